#include "server/logs/object_log.h"

#include <fstream>
#include <sstream>
#include <string>

#include "server/logs/log_entry.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

TEST(ObjectLogTest, LinesAreThoseThatReadersOfLogsKnow) {
  const absl::Time time = absl::FromUnixMillis(1'795'362'565'198);
  const std::string line = FormatObjectLogLine(time, absl::UTCTimeZone(), "node1", "svc1", "app#1",
                                               "event resource_restart\nof app");
  EXPECT_EQ(line,
            "2026-11-22 15:49:25,198 - node1.svc1.app#1 - INFO - event resource_restart of app\n");
  const LogEntry entry =
      ParseLogLine(line.substr(0, line.size() - 1), {"node1", "svc1"}, absl::UTCTimeZone());
  EXPECT_EQ(entry.time, time);
  EXPECT_EQ(entry.rid, "app#1");
  EXPECT_EQ(FormatObjectLogLine(time, absl::UTCTimeZone(), "n", "s", "", "x"),
            "2026-11-22 15:49:25,198 - n.s - INFO - x\n");
}

TEST(ObjectLogTest, LinesAreAddedAndFoldersMade) {
  const TempDir directory;
  const std::string file = directory.File("namespaces/ns1/svc/web.log");
  ASSERT_THAT(AppendToLog(file, "one\n"), IsOk());
  ASSERT_THAT(AppendToLog(file, "two\n"), IsOk());
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  EXPECT_EQ(text.str(), "one\ntwo\n");
  EXPECT_FALSE(AppendToLog(file + "/below", "x").ok());
}

}  // namespace
}  // namespace om
