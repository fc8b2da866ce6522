#include "server/config/schedule.h"

#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::HasSubstr;

// Clocks there go from 02:00 to 03:00 on 2026-03-29, and from 03:00 to 02:00 on 2026-10-25.
absl::TimeZone Paris() {
  absl::TimeZone zone;
  EXPECT_TRUE(absl::LoadTimeZone("Europe/Paris", &zone));
  return zone;
}

absl::Time At(const std::string& text, const absl::TimeZone& zone) {
  absl::Time time;
  std::string error;
  EXPECT_TRUE(absl::ParseTime("%Y-%m-%d %H:%M:%S", text, zone, &time, &error)) << text << error;
  return time;
}

std::string Text(std::optional<absl::Time> time, const absl::TimeZone& zone) {
  return time.has_value() ? absl::FormatTime("%Y-%m-%d %H:%M:%S", *time, zone) : "never";
}

Schedule Parsed(const std::string& text) {
  absl::StatusOr<Schedule> schedule = Schedule::Parse(text);
  EXPECT_THAT(schedule, IsOk()) << text;
  return schedule.ok() ? *std::move(schedule) : Schedule();
}

struct NextCase {
  std::string schedule;
  std::string from;
  std::string last;  // Empty: never.
  std::string next;
};

void Check(const std::vector<NextCase>& cases, const absl::TimeZone& zone) {
  for (const NextCase& one : cases) {
    std::optional<absl::Time> last;
    if (!one.last.empty()) last = At(one.last, zone);
    EXPECT_EQ(Text(Parsed(one.schedule).Next(At(one.from, zone), last, zone), zone), one.next)
        << one.schedule << " from " << one.from << " last " << one.last;
  }
}

// 2026-11-22 is a Sunday, of ISO week 47.
TEST(ScheduleTest, TheNextTimeFollowsRangesAndIntervals) {
  Check(
      {
          {"", "2026-11-22 10:00:00", "", "never"},
          {"@0", "2026-11-22 10:00:00", "", "never"},
          {"10:00-12:00@0", "2026-11-22 10:00:00", "", "never"},
          {"*", "2026-11-22 10:00:00", "2026-11-22 10:00:00", "2026-11-22 10:00:00"},
          {"*@10", "2026-11-22 10:00:00", "2026-11-22 09:55:30", "2026-11-22 10:05:30"},
          {"@10", "2026-11-22 10:00:00", "", "2026-11-22 10:00:00"},
          {"@10", "2026-11-22 10:00:00", "2026-11-22 09:30:00", "2026-11-22 10:00:00"},
          {"@10", "2026-11-22 23:55:00", "2026-11-22 23:54:00", "2026-11-23 00:04:00"},
          {"@1h", "2026-11-22 10:00:00", "2026-11-22 09:30:00", "2026-11-22 10:30:00"},
          {"@30s", "2026-11-22 10:00:00", "2026-11-22 09:59:45", "2026-11-22 10:00:15"},
          // Once in a range, unless an interval says more.
          {"09:00-11:00", "2026-11-22 08:00:00", "", "2026-11-22 09:00:00"},
          {"09:00-11:00", "2026-11-22 10:00:00", "", "2026-11-22 10:00:00"},
          {"09:00-11:00", "2026-11-22 10:00:00", "2026-11-22 09:00:00", "2026-11-23 09:00:00"},
          {"09:00-11:00", "2026-11-22 11:00:59", "", "2026-11-22 11:00:59"},
          {"09:00-11:00", "2026-11-22 11:01:00", "", "2026-11-23 09:00:00"},
          {"09:00-11:00@30", "2026-11-22 10:00:00", "2026-11-22 09:45:00", "2026-11-22 10:15:00"},
          {"09:00-11:00@30", "2026-11-22 10:50:00", "2026-11-22 10:45:00", "2026-11-23 09:00:00"},
          {"09:00,14:00", "2026-11-22 10:00:00", "2026-11-22 09:00:00", "2026-11-22 14:00:00"},
          {"09:00", "2026-11-22 09:09:00", "", "2026-11-22 09:09:00"},
          {"09:00", "2026-11-22 09:10:00", "", "2026-11-23 09:00:00"},
          {"~09:00-11:00", "2026-11-22 08:00:00", "", "2026-11-22 09:00:00"},
          {"09:00-24:00", "2026-11-22 23:59:30", "", "2026-11-22 23:59:30"},
          // Over midnight.
          {"22:00-02:00", "2026-11-22 01:00:00", "", "2026-11-22 01:00:00"},
          {"22:00-02:00", "2026-11-22 01:00:00", "2026-11-21 22:30:00", "2026-11-22 22:00:00"},
          {"22:00-02:00 sun", "2026-11-23 01:00:00", "", "2026-11-23 01:00:00"},
          {"22:00-02:00 sun", "2026-11-22 01:00:00", "", "2026-11-22 22:00:00"},
          // The clock was set back.
          {"@10", "2026-11-22 10:00:00", "2026-11-22 12:00:00", "2026-11-22 10:00:00"},
      },
      absl::UTCTimeZone());
}

TEST(ScheduleTest, TheNextTimeFollowsDaysWeeksAndMonths) {
  Check(
      {
          {"09:00 mon", "2026-11-22 08:00:00", "", "2026-11-23 09:00:00"},
          {"09:00 Monday", "2026-11-22 08:00:00", "", "2026-11-23 09:00:00"},
          {"09:00 0", "2026-11-22 08:00:00", "", "2026-11-23 09:00:00"},
          {"09:00 sat-mon", "2026-11-22 08:00:00", "", "2026-11-22 09:00:00"},
          {"09:00 tue-thu,sat", "2026-11-22 08:00:00", "", "2026-11-24 09:00:00"},
          {"09:00 fri:last", "2026-11-22 08:00:00", "", "2026-11-27 09:00:00"},
          {"09:00 sun:last", "2026-11-22 08:00:00", "", "2026-11-29 09:00:00"},
          {"09:00 sun:4th", "2026-11-22 08:00:00", "", "2026-11-22 09:00:00"},
          {"09:00 mon:first", "2026-11-22 08:00:00", "", "2026-12-07 09:00:00"},
          {"09:00 *:first", "2026-11-22 08:00:00", "", "2026-12-01 09:00:00"},
          {"09:00 *:last", "2026-11-22 08:00:00", "", "2026-11-30 09:00:00"},
          {"09:00 :-2", "2026-11-22 08:00:00", "", "2026-11-29 09:00:00"},
          {"09:00 *:31", "2026-11-22 08:00:00", "", "2026-12-31 09:00:00"},
          {"09:00 * 48", "2026-11-22 08:00:00", "", "2026-11-23 09:00:00"},
          {"09:00 * 1-2", "2026-11-22 08:00:00", "", "2027-01-04 09:00:00"},
          {"09:00 * 53", "2026-11-22 08:00:00", "", "2026-12-28 09:00:00"},
          {"09:00 * %2", "2026-11-22 08:00:00", "", "2026-11-23 09:00:00"},
          {"09:00 * %2+1", "2026-11-22 08:00:00", "", "2026-11-22 09:00:00"},
          {"09:00 * * feb", "2026-11-22 08:00:00", "", "2027-02-01 09:00:00"},
          {"09:00 * * %2+1,feb-apr", "2026-11-22 08:00:00", "", "2026-11-22 09:00:00"},
          {"09:00 * * nov-january", "2026-11-22 08:00:00", "", "2026-11-22 09:00:00"},
          {"09:00 *:29 * 2", "2026-11-22 08:00:00", "", "2028-02-29 09:00:00"},
          {"09:00 *:31 * 2", "2026-11-22 08:00:00", "", "never"},
          // Any definition lets it; any exclusion keeps it back.
          {R"(["09:00 mon", "10:00 tue"])", "2026-11-22 08:00:00", "", "2026-11-23 09:00:00"},
          {R"(["@10", "! * sun"])", "2026-11-22 08:00:00", "", "2026-11-23 00:00:00"},
          {R"(["@10", "!08:00-09:59"])", "2026-11-22 08:30:00", "", "2026-11-22 10:00:00"},
          {R"(["09:00-11:00", "! 08:00-23:59 sun"])", "2026-11-22 08:00:00", "",
           "2026-11-23 09:00:00"},
          {R"(["! * sun"])", "2026-11-22 08:00:00", "", "never"},
          {R"(["*", "! *"])", "2026-11-22 08:00:00", "", "never"},
          {"[]", "2026-11-22 08:00:00", "", "never"},
      },
      absl::UTCTimeZone());
}

TEST(ScheduleTest, ATimeThatAClockChangeLeavesOutIsTheMomentOfTheChange) {
  Check(
      {
          {"02:30-02:50", "2026-03-29 00:00:00", "", "2026-03-29 03:00:00"},
          {"02:30-02:50", "2026-03-29 03:10:00", "2026-03-29 03:00:00", "2026-03-30 02:30:00"},
          {"02:30-04:00", "2026-03-29 00:00:00", "", "2026-03-29 03:00:00"},
          {"01:00-02:30", "2026-03-29 03:00:00", "", "2026-03-30 01:00:00"},
      },
      Paris());
}

TEST(ScheduleTest, OfATimeThatComesTwiceTheFirstCounts) {
  const absl::TimeZone zone = Paris();
  const Schedule schedule = Parsed("02:30");
  const absl::Time midnight = At("2026-10-25 00:00:00", zone);
  const std::optional<absl::Time> first = schedule.Next(midnight, std::nullopt, zone);
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(*first, midnight + absl::Minutes(150));
  // An hour later the clock shows 02:30 again.
  EXPECT_EQ(Text(*first + absl::Hours(1), zone), "2026-10-25 02:30:00");
  EXPECT_FALSE(schedule.Allows(*first + absl::Hours(1), std::nullopt, zone));
  EXPECT_EQ(Text(schedule.Next(*first + absl::Seconds(1), first, zone), zone),
            "2026-10-26 02:30:00");
}

TEST(ScheduleTest, ADailyTaskRunsOnceOnEveryDayOfTheYear) {
  const absl::TimeZone zone = Paris();
  for (const char* text : {"02:30", "01:00-04:00", "22:00-02:30"}) {
    const Schedule schedule = Parsed(text);
    absl::Time now = At("2026-01-01 12:00:00", zone);
    std::optional<absl::Time> last;
    absl::CivilDay day(2026, 1, 1);
    for (int i = 0; i < 365; ++i) {
      const std::optional<absl::Time> next = schedule.Next(now, last, zone);
      ASSERT_TRUE(next.has_value());
      const absl::CivilDay ran = absl::ToCivilDay(*next, zone);
      if (i > 0) EXPECT_EQ(ran, day + 1) << text;
      day = ran;
      last = next;
      now = *next + absl::Minutes(1);
    }
  }
}

TEST(ScheduleTest, AllowsIsTrueInsideRangesOnly) {
  const absl::TimeZone zone = absl::UTCTimeZone();
  const Schedule schedule = Parsed("09:00-11:00@30 sun");
  EXPECT_TRUE(schedule.Allows(At("2026-11-22 09:00:00", zone), std::nullopt, zone));
  EXPECT_FALSE(schedule.Allows(At("2026-11-22 08:59:59", zone), std::nullopt, zone));
  EXPECT_FALSE(schedule.Allows(At("2026-11-23 09:00:00", zone), std::nullopt, zone));
  EXPECT_FALSE(
      schedule.Allows(At("2026-11-22 09:20:00", zone), At("2026-11-22 09:00:00", zone), zone));
}

TEST(ScheduleTest, TasksOfLongRangesAreSpreadOverWhatRemains) {
  const absl::TimeZone zone = absl::UTCTimeZone();
  const auto spread = [&](const char* text, const char* time, double dice) {
    return Parsed(text).Spread(At(time, zone), dice, zone);
  };
  EXPECT_EQ(spread("09:00-10:59", "2026-11-22 09:00:00", 0), absl::ZeroDuration());
  EXPECT_EQ(spread("09:00-10:59", "2026-11-22 10:00:00", 0.5), absl::Minutes(29.5));
  EXPECT_EQ(spread("09:00-10:59@121", "2026-11-22 10:00:00", 0.5), absl::Minutes(29.5));
  EXPECT_EQ(spread("~09:00-10:59", "2026-11-22 10:00:00", 0.5), absl::Minutes(29.5));
  // Never past its end.
  EXPECT_LT(spread("09:00-10:59", "2026-11-22 10:00:00", 0.9999), absl::Minutes(59));
  // Several runs a range; too little remains; one moment; no end; not now.
  EXPECT_EQ(spread("09:00-10:59@30", "2026-11-22 10:00:00", 0.5), absl::ZeroDuration());
  EXPECT_EQ(spread("09:00-10:59", "2026-11-22 10:51:00", 0.5), absl::ZeroDuration());
  EXPECT_EQ(spread("09:00-09:05", "2026-11-22 09:00:00", 0.5), absl::ZeroDuration());
  EXPECT_EQ(spread("09:00", "2026-11-22 09:00:00", 0.5), absl::ZeroDuration());
  EXPECT_EQ(spread("@10", "2026-11-22 09:00:00", 0.5), absl::ZeroDuration());
  EXPECT_EQ(spread("*", "2026-11-22 09:00:00", 0.5), absl::ZeroDuration());
  EXPECT_EQ(spread("09:00-10:59", "2026-11-22 12:00:00", 0.5), absl::ZeroDuration());
}

TEST(ScheduleTest, OnlyWhatNamesNoTimeIsNever) {
  for (const char* text : {"", "  ", "@0", "[]", "[\"@0\", \"\"]", "09:00-10:00@0 mon", "! *"}) {
    EXPECT_TRUE(Parsed(text).never()) << text;
  }
  for (const char* text : {"*", "@1", "09:00", "@0,@1", "[\"@0\", \"*\"]"}) {
    EXPECT_FALSE(Parsed(text).never()) << text;
  }
}

TEST(ScheduleTest, ErrorsNameThePieceAndWhatWasExpected) {
  struct Case {
    const char* text;
    const char* expected;
    const char* found;
  };
  const Case cases[] = {
      {"25:00-26:00", "<hh:mm>", "25:00-26:00"},
      {"09:00-10", "<hh:mm>", "09:00-10"},
      {"9h", "<hh:mm>", "9h"},
      {"09:00--10:00", "<hh:mm>", "09:00--10:00"},
      {"09:60", "<hh:mm>", "09:60"},
      {"@10x", "interval", "\"10x\""},
      {"@", "interval", "\"\""},
      {"@-5", "interval", "\"-5\""},
      {"@99999999999", "interval", "99999999999"},
      {"09:00,", "<hh:mm>", "\"\""},
      {"09:00 moon", "a day", "moon"},
      {"09:00 mo", "a day", "\"mo\""},
      {"09:00 7", "a day", "\"7\""},
      {"09:00 mon:0", "a number of a day", "\"0\""},
      {"09:00 mon:32", "a number of a day", "32"},
      {"09:00 mon:", "a number of a day", "\"\""},
      {"09:00 * 54", "a week", "54"},
      {"09:00 * 0", "a week", "\"0\""},
      {"09:00 * %0", "%<n>", "%0"},
      {"09:00 * %2+", "%<n>", "%2+"},
      {"09:00 * * 13", "a month", "13"},
      {"09:00 * * ja", "a month", "\"ja\""},
      {"09:00 * * jan extra", "<months>", "extra"},
      {"!", "<range>", "\"\""},
      {"[\"@10\"", "JSON list", "[\\\"@10\\\""},
      {"[10]", "JSON list of texts", "[10]"},
      {"[\"@10\", \"09:0x\"]", "<hh:mm>", "09:0x"},
  };
  for (const Case& one : cases) {
    const absl::StatusOr<Schedule> schedule = Schedule::Parse(one.text);
    EXPECT_THAT(schedule, StatusIs(absl::StatusCode::kInvalidArgument,
                                   testing::AllOf(HasSubstr("expected"), HasSubstr(one.expected),
                                                  HasSubstr(one.found))))
        << one.text;
  }
}

TEST(ScheduleTest, SizesAreBounded) {
  std::string ranges = "09:00";
  for (size_t i = 1; i < Schedule::kMaxRanges; ++i) ranges += ",09:00";
  EXPECT_THAT(Schedule::Parse(ranges), IsOk());
  EXPECT_THAT(Schedule::Parse(ranges + ",09:00"), StatusIs(absl::StatusCode::kInvalidArgument));
  std::string list = "[\"@1\"";
  for (size_t i = 1; i < Schedule::kMaxDefinitions; ++i) list += ",\"@1\"";
  EXPECT_THAT(Schedule::Parse(list + "]"), IsOk());
  EXPECT_THAT(Schedule::Parse(list + ",\"@1\"]"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Schedule::Parse(std::string(Schedule::kMaxBytes, ' ')), IsOk());
  EXPECT_THAT(Schedule::Parse(std::string(Schedule::kMaxBytes + 1, ' ')),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace om
