#include "server/logs/log_line.h"

#include <algorithm>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace om {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

std::string Format(absl::string_view text, absl::string_view component = "listener") {
  const absl::Time time = absl::FromUnixMillis(1'795'370'400'007);
  return FormatLogLines(time, absl::FixedTimeZone(3600), "node1", component, "INFO", text);
}

TEST(LogLineTest, ALineHasTimeSourceLevelAndText) {
  EXPECT_EQ(Format("blacklisted 10.0.0.1"),
            "2026-11-22 19:00:00,007 - node1.osvcd.listener - INFO - blacklisted 10.0.0.1\n");
  EXPECT_EQ(Format("started", ""), "2026-11-22 19:00:00,007 - node1.osvcd - INFO - started\n");
  EXPECT_EQ(Format(""), "2026-11-22 19:00:00,007 - node1.osvcd.listener - INFO - \n");
}

TEST(LogLineTest, MillisecondsAreCutAndNotRounded) {
  const std::string line =
      FormatLogLines(absl::FromUnixMicros(1'999'999), absl::UTCTimeZone(), "n", "", "INFO", "x");
  EXPECT_EQ(line, "1970-01-01 00:00:01,999 - n.osvcd - INFO - x\n");
}

TEST(LogLineTest, EveryLineOfAMessageCanBeReadByItself) {
  EXPECT_EQ(Format("one\ntwo\r\nthree\n\n"),
            "2026-11-22 19:00:00,007 - node1.osvcd.listener - INFO - one\n"
            "2026-11-22 19:00:00,007 - node1.osvcd.listener - INFO -     two\n"
            "2026-11-22 19:00:00,007 - node1.osvcd.listener - INFO -     three\n");
}

TEST(LogLineTest, ControlCharactersAreWrittenOut) {
  EXPECT_THAT(Format(absl::string_view("a\0b\x1b[31m\rc\x7f\td\xc3\xa9", 15)),
              EndsWith(" - a\\x00b\\x1b[31m\\x0dc\\x7f\td\xc3\xa9\n"));
}

TEST(LogLineTest, LongTextIsCutAndSaysSo) {
  const std::string line = Format(std::string(kMaxLogTextBytes + 100, 'x'));
  EXPECT_LT(line.size(), kMaxLogTextBytes + 300);
  EXPECT_THAT(line, EndsWith("    (100 bytes cut off)\n"));
  EXPECT_FALSE(absl::StrContains(Format(std::string(kMaxLogTextBytes, 'x')), "cut off"));
}

TEST(LogLineTest, ManyLinesAreCutAndSaySo) {
  std::string text;
  for (size_t i = 0; i < kMaxLinesPerMessage + 2; ++i) text += "y\n";
  const std::string lines = Format(text);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'),
            static_cast<ptrdiff_t>(kMaxLinesPerMessage) + 1);
  EXPECT_THAT(lines, HasSubstr("    (3 bytes cut off)\n"));
}

TEST(LogComponentTest, TheInnermostScopeOfTheThreadCounts) {
  EXPECT_EQ(LogComponent::Current(), "");
  {
    const LogComponent outer("monitor");
    EXPECT_EQ(LogComponent::Current(), "monitor");
    {
      const LogComponent inner("listener");
      EXPECT_EQ(LogComponent::Current(), "listener");
      std::thread([] { EXPECT_EQ(LogComponent::Current(), ""); }).join();
    }
    EXPECT_EQ(LogComponent::Current(), "monitor");
  }
  EXPECT_EQ(LogComponent::Current(), "");
}

}  // namespace
}  // namespace om
