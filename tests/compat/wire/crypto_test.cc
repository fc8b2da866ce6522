#include "compat/wire/crypto.h"

#include <zlib.h>

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "compat/wire/encoding.h"
#include "compat/wire/frame.h"
#include "tests/support/fake_random.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kSecret[] = "0123456789abcdef0123456789abcdef";

Key TestKey(absl::string_view secret = kSecret) { return *Key::FromSecret(secret, true); }

std::string Unhex(absl::string_view hex) { return absl::HexStringToBytes(hex); }

// Encrypts `padded` as it is, so that each layer can be made wrong on its own.
Envelope Encrypted(const Key& key, absl::string_view padded,
                   const std::string& iv = std::string(16, 'i')) {
  return {"demo", "node1", EncodeBase64(iv), EncodeBase64(*EncryptBlocks(key, iv, padded))};
}

std::string Padded(std::string bytes) {
  const size_t pad = 16 - bytes.size() % 16;
  return bytes.append(pad, static_cast<char>(pad));
}

Envelope EnvelopeOf(const std::string& wire) {
  return *ParseEnvelope(wire.substr(0, wire.size() - 1));
}

MATCHER(DoesNotOpen, "is the one error of every cryptographic failure") {
  *result_listener << arg.status();
  return arg.status() ==
         absl::UnauthenticatedError("the packet does not open with the cluster's secret");
}

// NIST SP 800-38A, F.2: the three CBC examples.
struct NistVector {
  const char* key;
  const char* ciphertext;
};
constexpr char kNistIv[] = "000102030405060708090a0b0c0d0e0f";
constexpr char kNistText[] =
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";
constexpr NistVector kNistVectors[] = {
    {"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
     "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d"
     "39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b"},
    {"8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
     "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a"
     "571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd"},
    {"2b7e151628aed2a6abf7158809cf4f3c",
     "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"
     "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7"}};

TEST(CipherTest, AgreesWithThePublishedVectors) {
  for (const NistVector& vector : kNistVectors) {
    const Key key = TestKey(Unhex(vector.key));
    EXPECT_THAT(EncryptBlocks(key, Unhex(kNistIv), Unhex(kNistText)),
                IsOkAndHolds(Unhex(vector.ciphertext)));
    EXPECT_THAT(DecryptBlocks(key, Unhex(kNistIv), Unhex(vector.ciphertext)),
                IsOkAndHolds(Unhex(kNistText)));
  }
}

TEST(CipherTest, PublishedVectorsFailWithAnyOtherKeyIvOrCiphertext) {
  const std::string key = Unhex(kNistVectors[0].key);
  const std::string ciphertext = Unhex(kNistVectors[0].ciphertext);
  for (size_t bit = 0; bit < 8 * key.size(); ++bit) {
    std::string other = key;
    other[bit / 8] = static_cast<char>(other[bit / 8] ^ (1 << bit % 8));
    EXPECT_THAT(DecryptBlocks(TestKey(other), Unhex(kNistIv), ciphertext),
                IsOkAndHolds(Not(Unhex(kNistText))));
  }
  EXPECT_THAT(DecryptBlocks(TestKey(key), std::string(16, '\0'), ciphertext),
              IsOkAndHolds(Not(Unhex(kNistText))));
  std::string other = ciphertext;
  other[0] = static_cast<char>(other[0] ^ 1);
  EXPECT_THAT(DecryptBlocks(TestKey(key), Unhex(kNistIv), other),
              IsOkAndHolds(Not(Unhex(kNistText))));
}

TEST(CipherTest, SizesThatAreNotBlocksAreRefused) {
  const std::string iv(16, 'i');
  for (const size_t size : {0u, 1u, 15u, 17u, 31u}) {
    EXPECT_THAT(DecryptBlocks(TestKey(), iv, std::string(size, 'x')),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(absl::StrCat("has ", size, " bytes"))));
  }
  for (const size_t size : {0u, 15u, 17u}) {
    EXPECT_THAT(EncryptBlocks(TestKey(), std::string(size, 'i'), std::string(16, 'x')),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("IV")));
  }
}

TEST(KeyTest, IsTheFirst32BytesOfTheSecret) {
  OM_ASSERT_OK_AND_ASSIGN(const Key key, Key::FromSecret(std::string(kSecret) + "and more"));
  EXPECT_EQ(key.size_bytes(), 32u);
  EXPECT_EQ(absl::string_view(reinterpret_cast<const char*>(key.data()), 32), kSecret);
}

TEST(KeyTest, ShortSecretsNeedPermissionAndOtherLengthsAreNeverAccepted) {
  for (size_t size = 0; size < 32; ++size) {
    const std::string secret(size, 'q');
    const bool aes = size == 16 || size == 24;
    EXPECT_THAT(
        Key::FromSecret(secret),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 AllOf(HasSubstr(absl::StrCat("has ", size, " bytes: expected at least 32")),
                       Not(HasSubstr("qqqqq")))));
    EXPECT_EQ(Key::FromSecret(secret, true).ok(), aes) << size;
  }
}

TEST(KeyTest, AVersion1UuidIsRecognised) {
  EXPECT_TRUE(LooksLikeUuid1("c3a1f0de00e811ee9c4c0242ac120002"));
  EXPECT_TRUE(LooksLikeUuid1("C3A1F0DE00E811EEBC4C0242AC120002"));
  EXPECT_TRUE(LooksLikeUuid1("c3a1f0de00e811ee9c4c0242ac120002, cut"));
  EXPECT_FALSE(LooksLikeUuid1("c3a1f0de00e841ee9c4c0242ac120002"));  // Version 4.
  EXPECT_FALSE(LooksLikeUuid1("c3a1f0de00e811eecc4c0242ac120002"));  // Another variant.
  EXPECT_FALSE(LooksLikeUuid1("c3a1f0de00e811ee9c4c0242ac12000x"));
  EXPECT_FALSE(LooksLikeUuid1("c3a1f0de00e811ee9c4c0242ac12000"));
  EXPECT_FALSE(LooksLikeUuid1(""));
}

TEST(SealTest, WhatIsSealedOpens) {
  SystemRandom random;
  for (const size_t size : {0u, 1u, 15u, 16u, 17u, 1000u, 1'000'000u}) {
    std::string text;
    for (size_t i = 0; i < size; ++i) text.push_back(static_cast<char>(i * i % 251));
    for (const int level : {1, 6, 9}) {
      const std::string wire = Seal(TestKey(), &random, "demo",
                                    "n\xc3\xb6"
                                    "de\"",
                                    text, level);
      ASSERT_EQ(wire.back(), '\0');
      const Envelope envelope = EnvelopeOf(wire);
      EXPECT_EQ(envelope.clustername, "demo");
      EXPECT_EQ(envelope.nodename,
                "n\xc3\xb6"
                "de\"");
      OM_ASSERT_OK_AND_ASSIGN(const OpenedPacket opened, OpenPacket(TestKey(), envelope));
      EXPECT_TRUE(opened.text == text) << size;
    }
  }
}

TEST(SealTest, ACachedCompressedReplyIsSealedAnewForEachRequest) {
  SystemRandom random;
  const std::string compressed = Compress("{\"status\": 0}");
  const std::string first = SealCompressed(TestKey(), &random, "demo", "node1", compressed);
  const std::string second = SealCompressed(TestKey(), &random, "demo", "node1", compressed);
  EXPECT_NE(first, second);
  OM_ASSERT_OK_AND_ASSIGN(const OpenedPacket one, OpenPacket(TestKey(), EnvelopeOf(first)));
  OM_ASSERT_OK_AND_ASSIGN(const OpenedPacket two, OpenPacket(TestKey(), EnvelopeOf(second)));
  EXPECT_EQ(one.text, "{\"status\": 0}");
  EXPECT_EQ(two.text, one.text);
  EXPECT_NE(one.digest, two.digest);
}

// Computed apart, with Python's hmac and hashlib from the words of the header.
TEST(MacTest, IsWhatTheHeaderSays) {
  const Key key = *Key::FromSecret("0123456789abcdef0123456789abcdef");
  const absl::string_view mac_key(reinterpret_cast<const char*>(key.mac_key().data()),
                                  key.mac_key().size());
  EXPECT_EQ(absl::BytesToHexString(mac_key),
            "f1102e5c0d5ce39693f459b2efffa264d88b1a5ec9946ddbfa961dc6e550d8b4");
  EXPECT_EQ(MacOf(key, "node2", "demo", "AAAAAAAAAAAAAAAAAAAAAA==", "Zm9v"),
            "HqoyPei1fxXeSTaW_ePsU_YB74mBVigrW_lg-wKKtaM=");
}

TEST(MacTest, CoversEachFieldAndWhereItEnds) {
  FakeSecureRandom random;
  const Key key = *Key::FromSecret("0123456789abcdef0123456789abcdef");
  std::string packet =
      Seal(key, &random, "demo", "node2", "{}", kDefaultZlibLevel, PacketMac::kAttached);
  packet.pop_back();
  const absl::StatusOr<Envelope> sealed = ParseEnvelope(packet);
  ASSERT_THAT(sealed, IsOk());
  EXPECT_TRUE(CheckMac(key, *sealed));
  EXPECT_FALSE(CheckMac(*Key::FromSecret("ffffffffffffffffffffffffffffffff"), *sealed));
  for (std::string Envelope::*field :
       {&Envelope::clustername, &Envelope::nodename, &Envelope::iv, &Envelope::data}) {
    for (size_t i = 0; i < ((*sealed).*field).size(); ++i) {
      Envelope other = *sealed;
      (other.*field)[i] ^= 1;
      EXPECT_FALSE(CheckMac(key, other));
    }
  }
  // Bytes that move from one field to its neighbour change it, too.
  Envelope moved = *sealed;
  moved.nodename += moved.clustername.front();
  moved.clustername.erase(0, 1);
  EXPECT_FALSE(CheckMac(key, moved));
  for (size_t i = 0; i < sealed->hmac->size(); ++i) {
    Envelope other = *sealed;
    (*other.hmac)[i] ^= 1;
    EXPECT_FALSE(CheckMac(key, other));
    other.hmac = sealed->hmac->substr(0, i);
    EXPECT_FALSE(CheckMac(key, other));
  }
  Envelope without = *sealed;
  without.hmac = std::nullopt;
  EXPECT_FALSE(CheckMac(key, without));
}

TEST(MacTest, AMemberThatIsNoStringIsNoMac) {
  const Key key = *Key::FromSecret("0123456789abcdef0123456789abcdef");
  for (const char* hmac : {"null", "1", "[]", "{}", "\"\"", "true"}) {
    const absl::StatusOr<Envelope> envelope = ParseEnvelope(absl::StrCat(
        R"({"clustername": "demo", "nodename": "n", "iv": "", "data": "", "hmac": )", hmac, "}"));
    ASSERT_THAT(envelope, IsOk());
    EXPECT_TRUE(envelope->hmac.has_value()) << hmac;
    EXPECT_FALSE(CheckMac(key, *envelope)) << hmac;
  }
}

TEST(OpenTest, EveryFailureIsTheSameError) {
  const Key key = TestKey();
  const std::string good = Compress("{\"action\": \"daemon_status\"}");
  ASSERT_THAT(OpenPacket(key, Encrypted(key, Padded(good))), IsOk());

  Envelope bad = Encrypted(key, Padded(good));
  bad.iv = "abc";
  EXPECT_THAT(OpenPacket(key, bad), DoesNotOpen());
  bad.iv = EncodeBase64(std::string(15, 'i'));
  EXPECT_THAT(OpenPacket(key, bad), DoesNotOpen());
  bad = Encrypted(key, Padded(good));
  bad.data.pop_back();
  EXPECT_THAT(OpenPacket(key, bad), DoesNotOpen());
  bad.data = "";
  EXPECT_THAT(OpenPacket(key, bad), DoesNotOpen());

  EXPECT_THAT(OpenPacket(TestKey("another secret of 32 bytes......"), Encrypted(key, Padded(good))),
              DoesNotOpen());
  for (const int pad : {0, 17, 255}) {
    std::string padded = Padded(good + std::string(16, '\0'));
    padded.back() = static_cast<char>(pad);
    EXPECT_THAT(OpenPacket(key, Encrypted(key, padded)), DoesNotOpen()) << pad;
  }
  EXPECT_THAT(OpenPacket(key, Encrypted(key, Padded(good.substr(0, good.size() - 1)))),
              DoesNotOpen());
  EXPECT_THAT(OpenPacket(key, Encrypted(key, Padded("{\"action\": \"clear\"}"))), DoesNotOpen());
  std::string bad_sum = good;
  bad_sum.back() = static_cast<char>(bad_sum.back() ^ 1);
  EXPECT_THAT(OpenPacket(key, Encrypted(key, Padded(bad_sum))), DoesNotOpen());
  EXPECT_THAT(OpenPacket(key, Encrypted(key, Padded("")), 10), DoesNotOpen());
  EXPECT_THAT(OpenPacket(key, Encrypted(key, Padded(good)), 10), DoesNotOpen());
}

TEST(OpenTest, OnlyTheLastPaddingByteIsReadAndJunkAfterTheStreamIgnored) {
  const Key key = TestKey();
  const std::string good = Compress("{}");
  for (int pad = 1; pad <= 16; ++pad) {
    // The bytes before the last one are neither padding nor zlib.
    std::string padded = good + std::string(48 - good.size(), 'j');
    padded.back() = static_cast<char>(pad);
    OM_ASSERT_OK_AND_ASSIGN(const OpenedPacket opened, OpenPacket(key, Encrypted(key, padded)));
    EXPECT_EQ(opened.text, "{}");
  }
}

TEST(OpenTest, TheLimitIsTheLongestTextThatOpens) {
  const Key key = TestKey();
  for (const size_t limit : {size_t{1}, size_t{4096}, size_t{100'000}, kDefaultMaxTextBytes}) {
    const Envelope at_limit = Encrypted(key, Padded(Compress(std::string(limit, 'x'))));
    const Envelope beyond = Encrypted(key, Padded(Compress(std::string(limit + 1, 'x'))));
    OM_ASSERT_OK_AND_ASSIGN(const OpenedPacket opened, OpenPacket(key, at_limit, limit));
    EXPECT_EQ(opened.text.size(), limit);
    EXPECT_THAT(OpenPacket(key, beyond, limit), DoesNotOpen());
  }
}

// Inflates without end: a stored stream would be as long as its text, this is a thousandth of it.
TEST(OpenTest, AZipBombIsStoppedAtTheBound) {
  const Key key = TestKey();
  z_stream stream = {};
  ASSERT_EQ(deflateInit(&stream, 9), Z_OK);
  std::string bomb(size_t{1} << 20, '\0');
  stream.next_out = reinterpret_cast<Bytef*>(bomb.data());
  stream.avail_out = static_cast<uInt>(bomb.size());
  const std::string zeros(size_t{1} << 20, '\0');
  for (int mebibytes = 0; mebibytes < 600; ++mebibytes) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(zeros.data()));
    stream.avail_in = static_cast<uInt>(zeros.size());
    ASSERT_EQ(deflate(&stream, mebibytes == 599 ? Z_FINISH : Z_NO_FLUSH),
              mebibytes == 599 ? Z_STREAM_END : Z_OK);
  }
  bomb.resize(stream.total_out);
  deflateEnd(&stream);
  ASSERT_LT(bomb.size(), kDefaultMaxRequestBytes * 3 / 4);  // It fits into a request.
  EXPECT_THAT(OpenPacket(key, Encrypted(key, Padded(bomb))), DoesNotOpen());
}

TEST(DigestTest, CopiesThatAnEavesdropperCanMakeKeepTheDigest) {
  const Key key = TestKey();
  FakeSecureRandom random;
  const std::string text = R"({"action": "service_action", "options": {"cmd": ["start"]}})";
  const std::string wire = Seal(key, &random, "demo", "node1", text);
  const Envelope original = EnvelopeOf(wire);
  OM_ASSERT_OK_AND_ASSIGN(const OpenedPacket first, OpenPacket(key, original));

  Envelope respelled = original;
  respelled.data = "\n" + original.data + "==";
  respelled.iv.insert(3, " ");
  OM_ASSERT_OK_AND_ASSIGN(const OpenedPacket second, OpenPacket(key, respelled));
  EXPECT_EQ(second.digest, first.digest);

  // 78 9c becomes 78 01, another valid zlib header, by way of the IV and without the key.
  Envelope relevelled = original;
  std::string iv = *DecodeBase64(original.iv);
  iv[1] = static_cast<char>(iv[1] ^ 0x9c ^ 0x01);
  relevelled.iv = EncodeBase64(iv);
  OM_ASSERT_OK_AND_ASSIGN(const OpenedPacket third, OpenPacket(key, relevelled));
  EXPECT_EQ(third.text, text);
  EXPECT_EQ(third.digest, first.digest);

  // Blocks of junk after the stream; one in sixteen or so ends in acceptable padding.
  int opened_copies = 0;
  for (int junk = 0; junk < 400; ++junk) {
    Envelope longer = original;
    longer.data = EncodeBase64(*DecodeBase64(original.data) +
                               absl::StrCat(100 + junk, "..............").substr(0, 16));
    const absl::StatusOr<OpenedPacket> opened = OpenPacket(key, longer);
    if (!opened.ok()) continue;
    ++opened_copies;
    EXPECT_EQ(opened->text, text);
    EXPECT_EQ(opened->digest, first.digest);
  }
  EXPECT_GT(opened_copies, 0);
}

TEST(DigestTest, EqualTextsSentTwiceHaveDifferentDigests) {
  const Key key = TestKey();
  FakeSecureRandom random;
  for (const char* text : {"{}", R"({"action": "daemon_status", "options": {"refresh": false}})"}) {
    OM_ASSERT_OK_AND_ASSIGN(const OpenedPacket one,
                            OpenPacket(key, EnvelopeOf(Seal(key, &random, "demo", "n", text))));
    OM_ASSERT_OK_AND_ASSIGN(const OpenedPacket two,
                            OpenPacket(key, EnvelopeOf(Seal(key, &random, "demo", "n", text))));
    EXPECT_NE(one.digest, two.digest);
  }
}

}  // namespace
}  // namespace om
