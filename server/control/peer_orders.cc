#include "server/control/peer_orders.h"

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "server/control/conditions.h"

namespace om {
namespace {

// A failed status that ends that order at once.
bool IsForbidden(const InstanceMonitor& monitor, const std::string& order) {
  static const std::map<std::string, std::string> kEnds = {
      {status_word::kStartFailed, expect_word::kStarted},
      {status_word::kStopFailed, expect_word::kStopped},
      {status_word::kShutdownFailed, expect_word::kShutdown},
      {"provision failed", expect_word::kProvisioned},
      {"unprovision failed", expect_word::kUnprovisioned},
      {"purge failed", expect_word::kPurged},
      {"delete failed", expect_word::kDeleted},
      {status_word::kPlaceFailed, expect_word::kPlaced},
  };
  const auto it = kEnds.find(monitor.status);
  if (it != kEnds.end() && it->second == order) return true;
  if (order != expect_word::kPlaced) return false;
  return monitor.status ==
         (monitor.placement == "leader" ? status_word::kStartFailed : status_word::kStopFailed);
}

// Heartbeats carry microseconds at best.
constexpr absl::Duration kStep = absl::Milliseconds(1);

}  // namespace

bool AdoptsOrder(const ObjectState& object, const std::string& node,
                 const std::string& global_expect) {
  const InstanceState* local = object.instance(node);
  const ObjectConfig* config = object.config(node);
  if (local == nullptr || config == nullptr) return false;
  const absl::string_view order = global_expect;
  const bool about_flags =
      IsOneOf(order, {expect_word::kFrozen, expect_word::kThawed, expect_word::kAborted});
  if (config->disabled && !about_flags &&
      !IsOneOf(order, {expect_word::kDeleted, expect_word::kPurged})) {
    return false;
  }
  if (!about_flags && IsForbidden(local->monitor, global_expect)) return false;
  const Aggregate& aggregate = object.aggregate;
  if (order == expect_word::kFrozen || order == expect_word::kThawed) {
    return aggregate.frozen != global_expect;
  }
  if (order == expect_word::kStarted) return IsStopped(aggregate.avail) || local->frozen();
  if (order == expect_word::kStopped) return !IsStopped(local->avail()) || !local->frozen();
  if (order == expect_word::kShutdown) {
    return !local->frozen() || AnyInstance(object, [](const InstanceState& instance) {
      const std::optional<Availability> avail = instance.avail();
      return avail.has_value() && avail != Availability::kNa && avail != Availability::kDown &&
             avail != Availability::kStdbyDown;
    });
  }
  if (order == expect_word::kProvisioned) return aggregate.provisioned != "true";
  if (order == expect_word::kUnprovisioned) return aggregate.provisioned != "false";
  if (order == expect_word::kDeleted || order == expect_word::kPurged) {
    return AnyInstance(object, HasData);
  }
  if (order == expect_word::kPlaced) {
    return aggregate.placement == "non-optimal" || aggregate.avail != Availability::kUp ||
           aggregate.frozen == expect_word::kFrozen;
  }
  if (absl::StartsWith(order, "placed@")) {
    const std::vector<std::string> targets =
        absl::StrSplit(order.substr(order.find('@') + 1), ',', absl::SkipEmpty());
    const bool target = std::find(targets.begin(), targets.end(), node) != targets.end();
    return target == IsStopped(local->avail());
  }
  if (order == expect_word::kAborted) {
    return AnyInstance(object,
                       [](const InstanceState& instance) { return !IsAborted(instance.monitor); });
  }
  return true;
}

absl::Time OrderTime(const ObjectState& object, absl::Time now) {
  for (const auto& [node, instance] : object.instances) {
    now = std::max(now, instance.monitor.global_expect_updated + 2 * kStep);
  }
  return now;
}

absl::Time NodeOrderTime(const NodeTable& nodes, absl::Time now) {
  for (const auto& [name, node] : nodes) {
    now = std::max(now, node->monitor.global_expect_updated + 2 * kStep);
  }
  return now;
}

absl::Time OrderEndTime(absl::Time order_time) { return order_time + kStep; }

}  // namespace om
