#include "server/logs/log_entry.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/logs/log_line.h"

namespace om {
namespace {

const LogOrigin kNodeLog = {"node1.example.com", ""};
const LogOrigin kInstanceLog = {"node1", "3.web"};

LogEntry Parse(absl::string_view line, const LogOrigin& origin) {
  return ParseLogLine(line, origin, absl::UTCTimeZone());
}

TEST(LogEntryTest, ReadsALineOfAnInstance) {
  const LogEntry entry =
      Parse("2026-11-22 15:48:06,151 - node1.3.web.app#1 - INFO - exec start - now", kInstanceLog);
  EXPECT_EQ(entry.time, absl::FromUnixMillis(1'795'362'486'151));
  EXPECT_EQ(entry.node, "node1");
  EXPECT_EQ(entry.object, "3.web");
  EXPECT_EQ(entry.rid, "app#1");
  EXPECT_EQ(entry.component, "");
  EXPECT_EQ(entry.level, LogLevel::kInfo);
  EXPECT_EQ(entry.level_text, "INFO");
  EXPECT_EQ(entry.message, "exec start - now");
  EXPECT_FALSE(entry.continuation);
}

TEST(LogEntryTest, ReadsWhatTheDaemonWrites) {
  const std::string line =
      FormatLogLines(absl::FromUnixMillis(1'795'362'486'007), absl::UTCTimeZone(), kNodeLog.node,
                     "listener", "WARNING", "text");
  const LogEntry entry = Parse(line.substr(0, line.size() - 1), kNodeLog);
  EXPECT_EQ(entry.time, absl::FromUnixMillis(1'795'362'486'007));
  EXPECT_EQ(entry.node, "node1.example.com");
  EXPECT_EQ(entry.component, "listener");
  EXPECT_EQ(entry.object, "");
  EXPECT_EQ(entry.level, LogLevel::kWarning);
  EXPECT_EQ(entry.message, "text");
}

TEST(LogEntryTest, ReadsOriginsOfTheNodesLog) {
  struct Case {
    const char* origin;
    const char* node;
    const char* object;
    const char* rid;
    const char* component;
  };
  for (const Case& one : std::vector<Case>{
           {"node1.example.com", "node1.example.com", "", "", ""},
           {"node1.example.com.osvcd", "node1.example.com", "", "", ""},
           {"node1.example.com.osvcd.hb#1.rx", "node1.example.com", "", "", "hb#1.rx"},
           {"node1.example.com.svc1", "node1.example.com", "svc1", "", ""},
           {"node1.example.com.3.web", "node1.example.com", "3.web", "", ""},
           {"node1.example.com.3.web.fs#0", "node1.example.com", "3.web", "fs#0", ""},
           {"other.svc1", "other", "svc1", "", ""}}) {
    const LogEntry entry =
        Parse(absl::StrCat("2026-11-22 15:48:06,151 - ", one.origin, " - ERROR - x"), kNodeLog);
    EXPECT_EQ(entry.node, one.node) << one.origin;
    EXPECT_EQ(entry.object, one.object) << one.origin;
    EXPECT_EQ(entry.rid, one.rid) << one.origin;
    EXPECT_EQ(entry.component, one.component) << one.origin;
  }
}

TEST(LogEntryTest, TimesAreOfTheZone) {
  const LogEntry entry = ParseLogLine("2026-11-22 15:48:06,151 - node1 - INFO - x", kInstanceLog,
                                      absl::FixedTimeZone(3600));
  EXPECT_EQ(entry.time, absl::FromUnixMillis(1'795'362'486'151) - absl::Hours(1));
}

TEST(LogEntryTest, AnEmptyMessageIsAMessage) {
  for (const char* line :
       {"2026-11-22 15:48:06,151 - node1 - INFO - ", "2026-11-22 15:48:06,151 - node1 - INFO -"}) {
    const LogEntry entry = Parse(line, kInstanceLog);
    EXPECT_FALSE(entry.continuation) << line;
    EXPECT_EQ(entry.message, "") << line;
  }
}

TEST(LogEntryTest, AnythingElseContinuesTheLineBefore) {
  for (const std::string& line : std::vector<std::string>{
           "", "Traceback (most recent call last):", "a - b - c - d",
           "2026-11-22 15:48:06,151 - node1 - LOUD - x", "2026-13-22 15:48:06,151 - n - INFO - x",
           "2026-11-22 15:48:06.151 - node1 - INFO - x", std::string("\xff\0 - ", 5)}) {
    const LogEntry entry = Parse(line, kInstanceLog);
    EXPECT_TRUE(entry.continuation) << line;
    EXPECT_EQ(entry.message, line);
    EXPECT_FALSE(entry.time.has_value());
  }
}

// The lines of a small log that pass.
std::string Passing(const LogFilter& filter) {
  const std::vector<std::string> lines = {
      "2026-11-22 10:00:00,000 - node1.3.web - INFO - a",
      "2026-11-22 10:00:01,000 - node1.3.web.app#1 - ERROR - b failed",
      "more of b",
      "2026-11-22 10:00:02,000 - node1.3.web.app#2 - WARNING - c",
      "2026-11-22 10:00:03,000 - node1.3.web.app#1 - DEBUG - d",
      "more of d",
  };
  LogLineFilter passes(filter);
  std::string passed;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (passes.Passes(Parse(lines[i], kInstanceLog))) absl::StrAppend(&passed, i);
  }
  return passed;
}

TEST(LogLineFilterTest, WithoutConditionsAllPasses) { EXPECT_EQ(Passing({}), "012345"); }

TEST(LogLineFilterTest, ALevelLetsItselfAndWorseThrough) {
  LogFilter filter;
  filter.min_level = LogLevel::kWarning;
  EXPECT_EQ(Passing(filter), "123");
}

TEST(LogLineFilterTest, TimesAreFromInclusiveToExclusive) {
  LogFilter filter;
  filter.since = absl::FromCivil(absl::CivilSecond(2026, 11, 22, 10, 0, 1), absl::UTCTimeZone());
  filter.until = absl::FromCivil(absl::CivilSecond(2026, 11, 22, 10, 0, 3), absl::UTCTimeZone());
  EXPECT_EQ(Passing(filter), "123");
}

TEST(LogLineFilterTest, TextAndResourceAreFoundTogetherWithWhatContinuesThem) {
  LogFilter filter;
  filter.text = "fail";
  EXPECT_EQ(Passing(filter), "12");
  filter = LogFilter();
  filter.rid = "app#1";
  EXPECT_EQ(Passing(filter), "1245");
}

}  // namespace
}  // namespace om
