#include "server/base/json.h"

#include <string>

#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::HasSubstr;

TEST(JsonTest, WritesWhatPythonWrites) {
  OM_ASSERT_OK_AND_ASSIGN(
      const Json value,
      ParseJson(R"({"b": [1, 2.5, null, true], "a": {"é": "\ud83d\ude00\n"}, "e": [], "o": {}})"));
  EXPECT_EQ(DumpJson(value),
            R"({"b": [1, 2.5, null, true], "a": {"\u00e9": "\ud83d\ude00\n"}, "e": [], "o": {}})");
}

TEST(JsonTest, DepthIsBounded) {
  const std::string at_limit = std::string(8, '[') + std::string(8, ']');
  EXPECT_THAT(ParseJson(at_limit, 8), IsOk());
  EXPECT_THAT(ParseJson(at_limit, 7),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit of 7")));
  // A million brackets cost neither stack nor an exception.
  EXPECT_THAT(ParseJson(std::string(1'000'000, '[')), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(JsonTest, OneValueAndNothingElse) {
  EXPECT_THAT(ParseJson(" \n{} \n"), IsOk());
  for (const char* bad :
       {"", " ", "{}{}", "{} x", "{", "\"\xff\"", "NaN", "{\"a\":}", "[1,]", "'a'"}) {
    EXPECT_THAT(ParseJson(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

TEST(JsonTest, AZeroByteIsNotTheEndOfTheText) {
  EXPECT_THAT(ParseJson(absl::string_view("{}\0", 3)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseJson(absl::string_view("{}\0{}", 5)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at byte 2")));
}

TEST(JsonTest, InvalidUtf8InAStringIsReplacedNotThrown) {
  EXPECT_EQ(DumpJson(Json("a\xff")), "\"a\\ufffd\"");
}

}  // namespace
}  // namespace om
