#include "compat/wire/encoding.h"

#include <optional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/random.h"

namespace om {
namespace {

using ::testing::Eq;
using ::testing::Optional;

TEST(Utf8Test, ValidTextIsKeptWhole) {
  const std::string text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xed\x9f\xbf\xf4\x8f\xbf\xbf";
  EXPECT_EQ(DropInvalidUtf8(text), text);
  EXPECT_EQ(DropInvalidUtf8(""), "");
}

TEST(Utf8Test, InvalidBytesAreDroppedNotReplaced) {
  EXPECT_EQ(DropInvalidUtf8("\xff{\xfe}\x80"), "{}");
  EXPECT_EQ(DropInvalidUtf8("a\xc0\xaf"
                            "b"),
            "ab");  // Overlong.
  EXPECT_EQ(DropInvalidUtf8("a\xe0\x80\xaf"
                            "b"),
            "ab");  // Overlong.
  EXPECT_EQ(DropInvalidUtf8("a\xf0\x8f\xbf\xbf"
                            "b"),
            "ab");  // Overlong.
  EXPECT_EQ(DropInvalidUtf8("a\xed\xa0\x80"
                            "b"),
            "ab");  // Surrogate.
  EXPECT_EQ(DropInvalidUtf8("a\xf4\x90\x80\x80"
                            "b"),
            "ab");  // Past the last code point.
  EXPECT_EQ(DropInvalidUtf8("a\xf5\x80\x80\x80"
                            "b"),
            "ab");
  EXPECT_EQ(DropInvalidUtf8("a\xe2\x82"
                            "b"),
            "ab");                                         // Cut in the middle.
  EXPECT_EQ(DropInvalidUtf8("\xe2\x82"), "");              // Cut by the end.
  EXPECT_EQ(DropInvalidUtf8("\xe2\xc3\xa9"), "\xc3\xa9");  // A lead inside a sequence.
}

TEST(Base64Test, EncodesUrlSafeWithPadding) {
  EXPECT_EQ(EncodeBase64(""), "");
  EXPECT_EQ(EncodeBase64("f"), "Zg==");
  EXPECT_EQ(EncodeBase64("fo"), "Zm8=");
  EXPECT_EQ(EncodeBase64("foo"), "Zm9v");
  EXPECT_EQ(EncodeBase64("\xfb\xff\xfe"), "-__-");
}

TEST(Base64Test, ReadsWhatItWrites) {
  Random random(1);
  for (size_t size = 0; size < 300; ++size) {
    std::string bytes;
    for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(random.Below(256)));
    EXPECT_THAT(DecodeBase64(EncodeBase64(bytes)), Optional(bytes));
  }
}

TEST(Base64Test, ReadsBothAlphabetsAndSkipsForeignCharacters) {
  EXPECT_THAT(DecodeBase64("-_+/"), Optional(std::string("\xfb\xff\xbf")));
  EXPECT_THAT(DecodeBase64(" Z\nm*9\xc3\xa9v!"), Optional(std::string("foo")));
  EXPECT_THAT(DecodeBase64("\xc3\xa9"), Optional(std::string()));
  EXPECT_THAT(DecodeBase64(""), Optional(std::string()));
}

TEST(Base64Test, PaddingIsRequiredWhereDueAndIgnoredElsewhere) {
  EXPECT_THAT(DecodeBase64("Zg==="), Optional(std::string("f")));
  EXPECT_THAT(DecodeBase64("Zm9v===="), Optional(std::string("foo")));
  EXPECT_THAT(DecodeBase64("==Zm9v"), Optional(std::string("foo")));
  EXPECT_THAT(DecodeBase64("Zg==Zm9v"), Optional(std::string("f")));  // Nothing after the end.
  EXPECT_THAT(DecodeBase64("Zm=9v"), Optional(std::string("foo")));  // One sign is not the end yet.
  EXPECT_THAT(DecodeBase64("Zg="), Eq(std::nullopt));
  EXPECT_THAT(DecodeBase64("Zg"), Eq(std::nullopt));
  EXPECT_THAT(DecodeBase64("Zm8"), Eq(std::nullopt));
  EXPECT_THAT(DecodeBase64("Z"), Eq(std::nullopt));
  EXPECT_THAT(DecodeBase64("Z==="), Eq(std::nullopt));
  EXPECT_THAT(DecodeBase64("Zm9vZ"), Eq(std::nullopt));
}

}  // namespace
}  // namespace om
