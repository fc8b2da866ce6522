#include "server/state/model.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"

namespace om {

bool IsTransition(absl::string_view monitor_status) {
  return absl::EndsWith(monitor_status, "ing") && monitor_status != "scaling";
}

bool IsFailed(absl::string_view monitor_status) {
  return absl::EndsWith(monitor_status, " failed");
}

bool IsWaiting(absl::string_view monitor_status) {
  return absl::StartsWith(monitor_status, "wait ");
}

const ObjectConfig* ObjectState::config(const std::string& node) const {
  const auto it = configs.find(node);
  return it == configs.end() ? nullptr : &it->second;
}

const InstanceState* ObjectState::instance(const std::string& node) const {
  const auto it = instances.find(node);
  return it == instances.end() ? nullptr : &it->second;
}

int NodeScore(const NodeStats& stats) {
  const double score = (100 / std::max(stats.load_15m, 1.0) + 100 + stats.mem_avail_percent +
                        2.0 * (100 + stats.swap_avail_percent)) /
                       7;
  return static_cast<int>(std::floor(score));
}

absl::string_view ThreadStateName(ThreadState state) {
  switch (state) {
    case ThreadState::kRunning:
      return "running";
    case ThreadState::kStopping:
      return "stopping";
    case ThreadState::kStopped:
      return "stopped";
    case ThreadState::kTerminated:
      break;
  }
  return "terminated";
}

bool NodeState::overloaded() const {
  return (stats.mem_total_mib > 0 && stats.mem_avail_percent < min_avail_mem_percent) ||
         (stats.swap_total_mib > 0 && stats.swap_avail_percent < min_avail_swap_percent);
}

}  // namespace om
