#include "tests/server/control/trace_replay.h"

#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/json.h"

namespace om {
namespace {

const char kFolder[] = OM_SOURCE_DIR "/tests/golden/behaviour/";

std::string ReadText(const std::string& name) {
  std::ifstream file(kFolder + name);
  EXPECT_TRUE(file.is_open()) << name;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Json ReadJson(const std::string& name) {
  absl::StatusOr<Json> json = ParseJson(ReadText(name));
  EXPECT_TRUE(json.ok()) << name << ": " << json.status();
  return json.ok() ? *std::move(json) : Json();
}

// Traces by the name that the table calls them: F0, F1, O0 ...
std::map<std::string, Json> Traces() {
  std::map<std::string, Json> traces;
  const Json failover = ReadJson("failover-trace.json");
  traces["F0"] = failover["failover"];
  traces["F1"] = failover["return"];
  const Json orchestration = ReadJson("orchestration-traces.json");
  int number = 0;
  for (const Json& trace : orchestration["traces"]) traces[absl::StrCat("O", number++)] = trace;
  return traces;
}

std::string Join(const Words& words) { return words.empty() ? "-" : absl::StrJoin(words, ", "); }

// The rows of the table in README.md, cells 1 to 6, with the reason.
std::map<std::string, std::string> ListedDivergences() {
  std::map<std::string, std::string> listed;
  for (absl::string_view line : absl::StrSplit(ReadText("README.md"), '\n')) {
    const std::vector<std::string> cells = absl::StrSplit(line, " | ");
    if (cells.size() != 7 || (cells[0][2] != 'F' && cells[0][2] != 'O')) continue;
    const std::string row =
        absl::StrCat(absl::StrJoin(cells.begin(), cells.begin() + 6, " | "), " |");
    const std::string reason(absl::StripSuffix(cells[6], " |"));
    EXPECT_FALSE(reason.empty()) << row;
    EXPECT_TRUE(listed.emplace(row, reason).second) << "twice: " << row;
  }
  return listed;
}

TEST(TraceReplayTest, EveryDivergenceFromTheRecordingsIsListedAndHappens) {
  const Json starts = ReadJson("starts.json");
  const Json steady = ReadJson("steady.json");
  std::map<std::string, std::string> listed = ListedDivergences();
  std::vector<std::string> unlisted;
  int compared = 0;
  for (const auto& [id, trace] : Traces()) {
    ASSERT_TRUE(starts.contains(id)) << id;
    const Json& start = starts[id];
    TraceReplay replay(steady[start.value("base", "steady")], start["facts"], trace["entries"]);
    for (const Divergence& divergence : replay.Run()) {
      const std::string row = absl::StrCat(
          "| ", id, " | ", absl::StrFormat("%.3f", divergence.time), " | ", divergence.node, " | ",
          divergence.object.empty() ? "(node)" : divergence.object, " | ", Join(divergence.legacy),
          " | ", Join(divergence.ours), " |");
      if (listed.erase(row) == 0) unlisted.push_back(row);
    }
    compared += replay.compared();
  }
  EXPECT_THAT(unlisted, testing::IsEmpty())
      << "control differs from the legacy daemon and no reason is listed:\n"
      << absl::StrJoin(unlisted, "\n");
  for (const auto& [row, reason] : listed) {
    ADD_FAILURE() << "listed, and does not happen (any more): " << row;
  }
  // The recordings hold that many decisions: fewer mean that the replay has lost some.
  EXPECT_EQ(compared, 258);
}

}  // namespace
}  // namespace om
