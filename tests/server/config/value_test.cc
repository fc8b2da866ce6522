#include "server/config/value.h"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/matchers.h"

namespace om {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

auto IsInvalid(const std::string& text) {
  return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
}

TEST(ValueTest, BooleansAreTheDocumentedWordsInAnyCase) {
  for (const char* text : {"yes", "Y", "true", "True", "t", "1", " TRUE "}) {
    EXPECT_THAT(ParseBoolean(text), IsOkAndHolds(Eq(true))) << text;
  }
  for (const char* text : {"no", "N", "false", "F", "0", "0.0", "none", "None", "[]", "{}", ""}) {
    EXPECT_THAT(ParseBoolean(text), IsOkAndHolds(Eq(false))) << text;
  }
  for (const char* text : {"2", "on", "off", "maybe", "truee", "yes no"}) {
    EXPECT_THAT(ParseBoolean(text), IsInvalid(text)) << text;
  }
}

TEST(ValueTest, TristateIsUnsetOrABoolean) {
  EXPECT_THAT(ParseTristate("  "), IsOkAndHolds(Eq(std::nullopt)));
  EXPECT_THAT(ParseTristate("yes"), IsOkAndHolds(Eq(std::optional<bool>(true))));
  EXPECT_THAT(ParseTristate("none"), IsOkAndHolds(Eq(std::optional<bool>(false))));
  EXPECT_THAT(ParseTristate("x"), IsInvalid("boolean"));
}

TEST(ValueTest, IntegersGoThroughANumberWithFraction) {
  EXPECT_THAT(ParseInteger("1214"), IsOkAndHolds(Eq(1214)));
  EXPECT_THAT(ParseInteger(" -3 "), IsOkAndHolds(Eq(-3)));
  EXPECT_THAT(ParseInteger("1.9"), IsOkAndHolds(Eq(1)));
  EXPECT_THAT(ParseInteger("1e3"), IsOkAndHolds(Eq(1000)));
  for (const char* text :
       {"", "abc", "1x", "inf", "nan", "0x10", "1 2", "1e300", "9007199254740994"}) {
    EXPECT_THAT(ParseInteger(text), IsInvalid("expected an integer")) << text;
  }
}

TEST(ValueTest, DurationsAreSecondsOrASumOfUnits) {
  const std::vector<std::pair<const char*, seconds>> durations = {
      {"0", seconds(0)},    {"90", seconds(90)},    {"10s", seconds(10)},
      {"5m", minutes(5)},   {"1h30m", minutes(90)}, {"1H30M", minutes(90)},
      {"2d", hours(48)},    {"1w", hours(168)},     {" 1w 2d 3h ", hours(168 + 48 + 3)},
      {"1m1m", minutes(2)},
  };
  for (const auto& [text, duration] : durations) {
    EXPECT_THAT(ParseDuration(text), IsOkAndHolds(Eq(Duration(duration)))) << text;
  }
}

TEST(ValueTest, DurationsThatOldAgentsTakeForZeroAreErrors) {
  for (const char* text : {"10x", "1.5", "", "m", "1h30", "-1", "h1", "1 0", "ten", "1y"}) {
    EXPECT_THAT(ParseDuration(text), IsInvalid("expected a duration")) << text;
  }
  for (const char* text : {"99999999999999999999", "9223372036854775807w", "5300w", "4000000000"}) {
    EXPECT_THAT(ParseDuration(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST(ValueTest, SizesHaveBinaryUnitsUnlessAnISaysDecimal) {
  const std::vector<std::pair<const char*, int64_t>> sizes = {
      {"0", 0},
      {"512", 512},
      {"512b", 512},
      {"1k", 1024},
      {"1K", 1024},
      {"1kb", 1024},
      {"1m", 1024 * 1024},
      {"1.5m", 1536 * 1024},
      {"1,5m", 1536 * 1024},
      {"2G", int64_t{2} << 30},
      {"1T", int64_t{1} << 40},
      {"1P", int64_t{1} << 50},
      {"1Z", int64_t{1} << 60},
      {"1Ki", 1000},
      {"1KiB", 1000},
      {"1 Mi", 1000 * 1000},
      {"3Gi", int64_t{3} * 1000 * 1000 * 1000},
  };
  for (const auto& [text, bytes] : sizes) {
    const absl::StatusOr<Size> size = ParseSize(text);
    ASSERT_THAT(size, IsOk()) << text;
    EXPECT_EQ(size->bytes, bytes) << text;
    EXPECT_FALSE(size->is_share());
  }
  for (const char* text : {"", "m", "1x", "1mm", "-1", "1.2.3m", "1e3", "%", "2%disk", "nan"}) {
    EXPECT_THAT(ParseSize(text), IsInvalid("expected a size")) << text;
  }
  EXPECT_THAT(ParseSize("1E"), IsInvalid("exbibytes"));
}

TEST(ValueTest, SharesAreKeptAsText) {
  for (const char* text : {"2%", "10%FREE", "5%VG", "1%ORIGIN", "1%PVS"}) {
    const absl::StatusOr<Size> size = ParseSize(text);
    ASSERT_THAT(size, IsOk()) << text;
    EXPECT_EQ(size->share, text);
  }
}

TEST(ValueTest, ListsSplitOnWhiteSpaceOrCommas) {
  EXPECT_THAT(ParseList(" a\tB\n c "), ElementsAre("a", "B", "c"));
  EXPECT_THAT(ParseList(""), IsEmpty());
  EXPECT_THAT(ParseListLower("N1 n2"), ElementsAre("n1", "n2"));
  EXPECT_THAT(ParseCommaList("a, b c ,,d"), ElementsAre("a", "b c", "d"));
}

TEST(ValueTest, ShellWordsFollowPosixQuoting) {
  const auto words = [](absl::string_view text) {
    const absl::StatusOr<std::vector<std::string>> split = ParseShlex(text);
    EXPECT_THAT(split, IsOk()) << text;
    return split.ok() ? *split : std::vector<std::string>();
  };
  EXPECT_THAT(words("om node  dequeue\tactions"), ElementsAre("om", "node", "dequeue", "actions"));
  EXPECT_THAT(words("/bin/sh -c \"env > /tmp/x\""), ElementsAre("/bin/sh", "-c", "env > /tmp/x"));
  EXPECT_THAT(words("a'b c'd \"e\\\"f\\\\g\\h\" i\\ j ''"),
              ElementsAre("ab cd", "e\"f\\g\\h", "i j", ""));
  EXPECT_THAT(words("# not a comment"), ElementsAre("#", "not", "a", "comment"));
  EXPECT_THAT(words(""), IsEmpty());
  for (const char* text : {"a 'b", "a \"b", "a\\", "\"a\\\""}) {
    EXPECT_THAT(ParseShlex(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

SelectorNodes Cluster() {
  return {{"n2", "n1", "n3", "db1"},
          "n1",
          {{"n1", {{"az", "fr1"}}}, {"n2", {{"az", "fr2"}}}, {"n3", {{"az", "fr1"}, {"ssd", ""}}}}};
}

TEST(ValueTest, NodeSelectorsSelect) {
  const std::vector<std::pair<const char*, std::vector<std::string>>> selections = {
      {"*", {"n2", "n1", "n3", "db1"}},
      {"", {"n2", "n1", "n3", "db1"}},
      {"n3 n1 other", {"n3", "n1", "other"}},
      {"N3 n1 n3", {"n3", "n1"}},
      {"n*", {"n1", "n2", "n3"}},
      {"n2", {"n2"}},
      {"other", {}},
      {"n?", {"n1", "n2", "n3"}},
      {"n[13]", {"n1", "n3"}},
      {"n[!13]", {"n2"}},
      {"db* n*", {"db1", "n1", "n2", "n3"}},
      {"az=fr1", {"n1", "n3"}},
      {"ssd:", {"n3"}},
      {"!ssd:", {"db1", "n1", "n2"}},
      {"!az=fr1", {"db1", "n2"}},
      {"az=fr1+!ssd:", {"n1"}},
      {"db1,n2", {"db1", "n2"}},
      {"az=fr1,az=fr2+n*", {"n1", "n2", "n3"}},
      {"n3* n*", {"n3", "n1", "n2"}},
      {"!n*", {"db1"}},
  };
  for (const auto& [selector, nodes] : selections) {
    EXPECT_EQ(SelectNodes(selector, Cluster()), nodes) << selector;
  }
}

TEST(ValueTest, WithoutClusterDataOnlyTheLocalNodeCanMatch) {
  const SelectorNodes alone = {{}, "n1", {}};
  EXPECT_THAT(SelectNodes("*", alone), ElementsAre("n1"));
  EXPECT_THAT(SelectNodes("n*", alone), ElementsAre("n1"));
  EXPECT_THAT(SelectNodes("m*", alone), IsEmpty());
}

TEST(ValueTest, HostilePatternsEndSoon) {
  SelectorNodes nodes = {{std::string(200, 'a')}, "", {}};
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "*a";
  EXPECT_THAT(SelectNodes(pattern + "b", nodes), IsEmpty());
  EXPECT_THAT(SelectNodes(std::string(100000, '!') + "*", nodes), IsEmpty());
  EXPECT_THAT(SelectNodes("[", nodes), IsEmpty());
}

TEST(ValueTest, LongValuesAreCutInMessages) {
  const absl::Status status = ParseInteger(std::string(100000, 'x')).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("...")));
  EXPECT_LT(status.message().size(), 300u);
}

}  // namespace
}  // namespace om
