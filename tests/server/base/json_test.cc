#include "server/base/json.h"

#include <string>

#include "absl/strings/str_cat.h"
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

TEST(JsonTest, ManyMembersKeepTheirOrderAndCostNotTheirSquare) {
  constexpr int kMembers = 200'000;  // Looked through for each new one, they take minutes.
  std::string text = "{";
  for (int i = 0; i < kMembers; ++i) absl::StrAppend(&text, "\"k", i, "\": ", i, ", ");
  absl::StrAppend(&text, "\"k7\": \"late\", \"k100000\": [{\"k7\": {}}]}");
  OM_ASSERT_OK_AND_ASSIGN(const Json value, ParseJson(text));
  ASSERT_EQ(value.size(), size_t{kMembers});
  const auto* members = value.get_ref<const Json::object_t&>().data();
  EXPECT_EQ(members[0].first, "k0");
  EXPECT_EQ(members[7].second, "late");
  EXPECT_EQ(members[100'000].first, "k100000");
  EXPECT_EQ(members[100'000].second.dump(), R"([{"k7":{}}])");
  EXPECT_EQ(members[kMembers - 1].second, kMembers - 1);
}

TEST(JsonTest, TheLaterOfTwoMembersOfOneNameCounts) {
  OM_ASSERT_OK_AND_ASSIGN(const Json value, ParseJson(R"({"a": [1], "b": 2, "a": {"c": 3}})"));
  EXPECT_EQ(value.dump(), R"({"a":{"c":3},"b":2})");
}

TEST(JsonTest, NumbersKeepTheirKind) {
  OM_ASSERT_OK_AND_ASSIGN(const Json value,
                          ParseJson("[-9223372036854775808, 18446744073709551615, 1.5]"));
  EXPECT_TRUE(value[0].is_number_integer());
  EXPECT_EQ(value[1].get<uint64_t>(), UINT64_MAX);
  EXPECT_EQ(value[2], 1.5);
}

TEST(JsonTest, InvalidUtf8InAStringIsReplacedNotThrown) {
  EXPECT_EQ(DumpJson(Json("a\xff")), "\"a\\ufffd\"");
}

}  // namespace
}  // namespace om
