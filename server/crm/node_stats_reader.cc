#include "server/crm/node_stats_reader.h"

#include <cmath>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/base/status.h"

namespace om {
namespace {

// Files of /proc have no size to check beforehand; these two are small.
std::string ReadProc(const char* file) {
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

absl::StatusOr<NodeStats> ParseNodeStats(absl::string_view loadavg, absl::string_view meminfo) {
  NodeStats stats;
  const std::vector<absl::string_view> loads = absl::StrSplit(loadavg, ' ');
  if (loads.size() < 3 || !absl::SimpleAtod(loads[2], &stats.load_15m)) {
    return absl::DataLossError(
        absl::StrCat("/proc/loadavg: \"", loadavg, "\" has no third number"));
  }
  stats.load_15m = std::round(stats.load_15m * 10) / 10;
  std::map<std::string, int64_t> kib;
  for (absl::string_view line : absl::StrSplit(meminfo, '\n')) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(": "), absl::SkipEmpty());
    int64_t value = 0;
    if (words.size() >= 2 && absl::SimpleAtoi(words[1], &value)) {
      kib[std::string(words[0])] = value;
    }
  }
  const int64_t total = kib["MemTotal"];
  if (total <= 0) return absl::DataLossError("/proc/meminfo: no MemTotal");
  const int64_t available =
      kib["MemFree"] + kib["Cached"] + kib["SwapCached"] + kib["SReclaimable"];
  stats.mem_total_mib = total / 1024;
  stats.mem_avail_percent = static_cast<int>(100 * available / total);
  const int64_t swap = kib["SwapTotal"];
  stats.swap_total_mib = swap / 1024;
  stats.swap_avail_percent = swap > 0 ? static_cast<int>(100 * kib["SwapFree"] / swap) : 0;
  stats.score = NodeScore(stats);
  return stats;
}

void NodeStatsReader::Read(Done<absl::StatusOr<NodeStats>> done) {
  const bool posted = workers_->Post(
      [done] { done(ParseNodeStats(ReadProc("/proc/loadavg"), ReadProc("/proc/meminfo"))); });
  if (!posted) done(absl::ResourceExhaustedError("too much work is waiting"));
}

}  // namespace om
