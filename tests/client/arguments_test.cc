#include "client/omctl/arguments.h"

#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(DurationArgumentTest, PlainNumbersAreSecondsAndUnitsAreTaken) {
  EXPECT_THAT(ParseDurationArgument("90"), IsOkAndHolds(absl::Seconds(90)));
  EXPECT_THAT(ParseDurationArgument("1.5"), IsOkAndHolds(absl::Milliseconds(1500)));
  EXPECT_THAT(ParseDurationArgument("200ms"), IsOkAndHolds(absl::Milliseconds(200)));
  EXPECT_THAT(ParseDurationArgument("5m"), IsOkAndHolds(absl::Minutes(5)));
  EXPECT_THAT(ParseDurationArgument("1h30m"), IsOkAndHolds(absl::Minutes(90)));
  EXPECT_THAT(ParseDurationArgument("2d"), IsOkAndHolds(absl::Hours(48)));
}

TEST(DurationArgumentTest, WhatIsNoneIsNamedWithWhatWasExpected) {
  for (const char* text : {"", "0", "-1", "-5m", "5 minutes", "5x", "m", "nan", "inf", "infd",
                           "1e300", "1e300d", "367d", "0s", " 5"}) {
    EXPECT_THAT(ParseDurationArgument(text),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(text), HasSubstr("such as 30, 1.5s, 5m"))))
        << text;
  }
}

TEST(TimeArgumentTest, PointsInTimeAndSpansBeforeNowAreTaken) {
  const absl::TimeZone zone = absl::FixedTimeZone(3600);
  const absl::Time now = absl::FromCivil(absl::CivilSecond(2026, 11, 23, 12, 0, 0), zone);
  const auto at = [&](int day, int hour, int minute, int second) {
    return absl::FromCivil(absl::CivilSecond(2026, 11, day, hour, minute, second), zone);
  };
  const auto parse = [&](const char* text) { return ParseTimeArgument(text, now, zone); };
  EXPECT_THAT(parse("2026-11-23T01:02:03Z"), IsOkAndHolds(at(23, 2, 2, 3)));
  EXPECT_THAT(parse("2026-11-23 01:02:03"), IsOkAndHolds(at(23, 1, 2, 3)));
  EXPECT_THAT(parse("2026-11-23T01:02"), IsOkAndHolds(at(23, 1, 2, 0)));
  EXPECT_THAT(parse("2026-11-20"), IsOkAndHolds(at(20, 0, 0, 0)));
  EXPECT_THAT(parse("09:15"), IsOkAndHolds(at(23, 9, 15, 0)));
  EXPECT_THAT(parse("2h"), IsOkAndHolds(at(23, 10, 0, 0)));
  EXPECT_THAT(parse("1d"), IsOkAndHolds(at(22, 12, 0, 0)));
  EXPECT_THAT(parse("yesterday"), StatusIs(absl::StatusCode::kInvalidArgument,
                                           AllOf(HasSubstr("yesterday"), HasSubstr("10m"))));
  EXPECT_THAT(parse("2026-13-01"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(LevelArgumentTest, AnyCaseAndTheShortWordAreTaken) {
  EXPECT_THAT(ParseLevelArgument("info"), IsOkAndHolds(std::string("INFO")));
  EXPECT_THAT(ParseLevelArgument("warn"), IsOkAndHolds(std::string("WARNING")));
  EXPECT_THAT(ParseLevelArgument("Warning"), IsOkAndHolds(std::string("WARNING")));
  EXPECT_THAT(ParseLevelArgument("loud"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected debug, info")));
}

}  // namespace
}  // namespace om
