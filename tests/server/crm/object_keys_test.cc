#include "server/crm/drivers/object_keys.h"

#include "absl/strings/str_cat.h"
#include "server/base/file.h"
#include "tests/server/crm/driver_fixture.h"

namespace om {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Sealed by other programs: python3's zlib, base64 and json, and `openssl enc -aes-256-cbc`, with
// the key below and the IV 00 01 02 ... 0f. A text is a JSON string, binary data is itself.
constexpr char kSecret[] = "0123456789abcdef0123456789abcdef";
constexpr char kSealedText[] =
    "eyJjbHVzdGVybmFtZSI6ICJqb2luIiwgIm5vZGVuYW1lIjogIm4xIiwgIml2IjogIkFBRUNBd1FGQmdjSUNRb0xEQT"
    "BPRHc9PSIsICJkYXRhIjogInliMmtpUkthNHRoa1NnQm1Ma1FiYlJaQ3VhME4wM1hSNGRQN1lGSVpiSHc9In0A";
constexpr char kSealedBytes[] =
    "eyJjbHVzdGVybmFtZSI6ICJqb2luIiwgIm5vZGVuYW1lIjogIm4xIiwgIml2IjogIkFBRUNBd1FGQmdjSUNRb0xEQT"
    "BPRHc9PSIsICJkYXRhIjogIkF1VUdmMjhaaWd6ekk4eEpwMnJHa1VpTXdXeG0yTllNdVYta2FtbENzajA9In0A";

TEST(ObjectValueTest, PlainAndBase64TextsAreDecoded) {
  EXPECT_THAT(DecodeObjectValue("literal:a:b c", ""), IsOkAndHolds(std::string("a:b c")));
  EXPECT_THAT(DecodeObjectValue("no prefix", ""), IsOkAndHolds(std::string("no prefix")));
  EXPECT_THAT(DecodeObjectValue("base64:bGluZSAxCmxpbmUgMgo=", ""),
              IsOkAndHolds(std::string("line 1\nline 2\n")));
  // Both alphabets are in use.
  EXPECT_THAT(DecodeObjectValue("base64:-_8=", ""), IsOkAndHolds(std::string("\xfb\xff")));
  EXPECT_THAT(DecodeObjectValue("base64:+/8=", ""), IsOkAndHolds(std::string("\xfb\xff")));
  EXPECT_THAT(DecodeObjectValue("base64:*", ""), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ObjectValueTest, SealedValuesAreOpenedWithTheSecretOfTheCluster) {
  EXPECT_THAT(DecodeObjectValue(absl::StrCat("crypt:", kSealedText), kSecret),
              IsOkAndHolds(std::string("hunter2 \xc3\xa9")));
  EXPECT_THAT(DecodeObjectValue(absl::StrCat("crypt:", kSealedBytes), kSecret),
              IsOkAndHolds(std::string("\xff\0binary", 8)));
  // Only its first 32 bytes count.
  EXPECT_THAT(DecodeObjectValue(absl::StrCat("crypt:", kSealedText), absl::StrCat(kSecret, "x")),
              IsOkAndHolds(std::string("hunter2 \xc3\xa9")));
}

TEST(ObjectValueTest, AnotherClustersValuesAreRefusedAndNotShown) {
  const auto opened =
      DecodeObjectValue(absl::StrCat("crypt:", kSealedText), "ffffffffffffffffffffffffffffffff");
  EXPECT_THAT(opened, StatusIs(absl::StatusCode::kUnauthenticated,
                               AllOf(HasSubstr("secret of the cluster"), Not(HasSubstr("fff")))));
  EXPECT_THAT(DecodeObjectValue(absl::StrCat("crypt:", kSealedText), "short"),
              StatusIs(absl::StatusCode::kFailedPrecondition, Not(HasSubstr("short"))));
}

TEST(ObjectValueTest, NoCutOrDamagedValueIsTakenForAnotherText) {
  const std::string sealed = absl::StrCat("crypt:", kSealedText);
  for (size_t length = 6; length < sealed.size() - 8; ++length) {
    EXPECT_THAT(DecodeObjectValue(sealed.substr(0, length), kSecret),
                StatusIs(absl::StatusCode::kUnauthenticated))
        << length;
  }
  for (size_t i = 6; i < sealed.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = sealed;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      const auto opened = DecodeObjectValue(damaged, kSecret);
      // What does not count may be damaged: the names, and bytes of the padding.
      if (opened.ok()) EXPECT_EQ(*opened, "hunter2 \xc3\xa9") << i;
    }
  }
}

class ObjectKeyTest : public DriverTest {
 protected:
  void SetUp() override {
    root_.Write("etc/namespaces/ns1/sec/creds.conf",
                absl::StrCat("[DEFAULT]\nid = s\n[data]\nPass.Word = crypt:", kSealedText,
                             "\na/b = literal:nested\nbad = crypt:AAAA\n"));
    Configure("", "ns1/svc/svc1");
  }
};

TEST_F(ObjectKeyTest, KeysAreFoundInTheInstancesNamespaceWithoutCase) {
  EXPECT_THAT(ReadObjectKey(instance_, "sec", "creds/pass.word"),
              IsOkAndHolds(std::string("hunter2 \xc3\xa9")));
  EXPECT_THAT(ReadObjectKey(instance_, "sec", "creds/PASS.word"),
              IsOkAndHolds(std::string("hunter2 \xc3\xa9")));
  EXPECT_THAT(ReadObjectKey(instance_, "sec", "creds/a/b"), IsOkAndHolds(std::string("nested")));
  Configure("", "svc1");
  EXPECT_THAT(ReadObjectKey(instance_, "sec", "creds/pass.word"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ObjectKeyTest, WhatIsMissingOrBrokenIsNamed) {
  EXPECT_THAT(ReadObjectKey(instance_, "cfg", "creds/pass.word"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("ns1/cfg/creds")));
  EXPECT_THAT(ReadObjectKey(instance_, "sec", "creds/other"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("other")));
  EXPECT_THAT(ReadObjectKey(instance_, "sec", "creds/bad"),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("ns1/sec/creds")));
  for (const char* reference : {"", "creds", "creds/", "/key", "../x/key"}) {
    EXPECT_THAT(ReadObjectKey(instance_, "sec", reference),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << reference;
  }
}

}  // namespace
}  // namespace om
