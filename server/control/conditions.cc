#include "server/control/conditions.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace om {

bool IsOneOf(absl::string_view word, std::initializer_list<absl::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool IsListed(const std::string& word, const std::vector<std::string>& list) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

bool AnyInstance(const ObjectState& object, const std::function<bool(const InstanceState&)>& test) {
  return std::any_of(object.instances.begin(), object.instances.end(),
                     [&](const auto& entry) { return test(entry.second); });
}

bool HasData(const InstanceState& instance) { return instance.status != nullptr; }

bool IsShutDown(std::optional<Availability> avail) {
  return !avail.has_value() || avail == Availability::kNa || avail == Availability::kDown ||
         avail == Availability::kStdbyDown;
}
bool IsShutDown(const InstanceState& instance) { return IsShutDown(instance.avail()); }

bool IsUp(const InstanceState& instance) { return instance.avail() == Availability::kUp; }

bool IsWarnAtRest(const InstanceState& instance) {
  return instance.avail() == Availability::kWarn && !IsTransition(instance.monitor.status);
}

bool RunsService(const InstanceState& instance) {
  const std::optional<Availability> avail = instance.avail();
  if (avail == Availability::kUp) return true;
  if (avail != Availability::kWarn) return false;
  return std::any_of(
      instance.status->resources.begin(), instance.status->resources.end(),
      [](const ResourceStatus& resource) {
        return !resource.standby && !resource.disabled && !resource.optional &&
               (resource.status == Availability::kUp || resource.status == Availability::kWarn);
      });
}

bool IsAborted(const InstanceMonitor& monitor) {
  return (monitor.global_expect.empty() || monitor.global_expect == expect_word::kAborted) &&
         (monitor.local_expect.empty() || monitor.local_expect == expect_word::kStarted);
}

bool IsOverloaded(const NodeState& node) {
  const NodeStats& stats = node.stats;
  return (stats.mem_total_mib > 0 && stats.mem_avail_percent < node.min_avail_mem_percent) ||
         (stats.swap_total_mib > 0 && stats.swap_avail_percent < node.min_avail_swap_percent);
}

bool FailureCancels(absl::string_view status, absl::string_view order, bool leader) {
  struct Row {
    absl::string_view status;
    absl::string_view order;
  };
  static constexpr Row kRows[] = {
      {status_word::kStartFailed, expect_word::kStarted},
      {status_word::kStopFailed, expect_word::kStopped},
      {status_word::kStopFailed, expect_word::kUnprovisioned},
      {status_word::kStopFailed, expect_word::kPurged},
      {status_word::kShutdownFailed, expect_word::kShutdown},
      {status_word::kFreezeFailed, expect_word::kFrozen},
      {status_word::kThawFailed, expect_word::kThawed},
      {status_word::kProvisionFailed, expect_word::kProvisioned},
      {status_word::kUnprovisionFailed, expect_word::kUnprovisioned},
      {status_word::kPurgeFailed, expect_word::kPurged},
      {status_word::kDeleteFailed, expect_word::kDeleted},
      {status_word::kPlaceFailed, expect_word::kPlaced},
  };
  if (status == status_word::kRestartFailed && IsRestartOrder(order)) return true;
  if (order == expect_word::kPlaced) {
    if (status == status_word::kStartFailed && leader) return true;
    if (status == status_word::kStopFailed && !leader) return true;
  }
  return std::any_of(std::begin(kRows), std::end(kRows),
                     [&](const Row& row) { return row.status == status && row.order == order; });
}

bool IsPlacedAt(absl::string_view order) { return absl::StartsWith(order, expect_word::kPlacedAt); }

bool IsRestartOrder(absl::string_view order) {
  return order == expect_word::kRestarted || absl::StartsWith(order, expect_word::kRestartedAt);
}

std::vector<std::string> Destinations(absl::string_view order) {
  if (!absl::ConsumePrefix(&order, expect_word::kPlacedAt)) return {};
  return absl::StrSplit(order, ',', absl::SkipWhitespace());
}

Relation FindRelation(const Snapshot& snapshot, const ObjectPath& from, const std::string& text) {
  const size_t at = text.find('@');
  const absl::StatusOr<ObjectPath> path =
      ObjectPath::ParseRelative(absl::string_view(text).substr(0, at), from.ns());
  Relation found;
  if (path.ok()) found.object = snapshot.objects.Find(*path);
  if (at != std::string::npos) found.node = text.substr(at + 1);
  return found;
}

bool ParentsAvailable(const Snapshot& snapshot, const ObjectPath& path,
                      const ObjectConfig& config) {
  return std::all_of(config.parents.begin(), config.parents.end(), [&](const std::string& name) {
    const Relation parent = FindRelation(snapshot, path, name);
    if (parent.object == nullptr) return true;
    std::optional<Availability> avail = parent.object->aggregate.avail;
    if (!parent.node.empty()) {
      const InstanceState* instance = parent.object->instance(parent.node);
      avail = instance == nullptr ? std::nullopt : instance->avail();
    }
    return !avail.has_value() || avail == Availability::kUnknown || IsStarted(avail);
  });
}

bool ParentInTransition(const Snapshot& snapshot, const ObjectPath& path,
                        const ObjectConfig& config) {
  return std::any_of(config.parents.begin(), config.parents.end(), [&](const std::string& name) {
    const Relation parent = FindRelation(snapshot, path, name);
    return parent.object != nullptr &&
           AnyInstance(*parent.object, [](const InstanceState& instance) {
             return IsTransition(instance.monitor.status);
           });
  });
}

bool AllChildren(const Snapshot& snapshot, const ObjectPath& path, const ObjectConfig& config,
                 const std::function<bool(const ObjectState&)>& test) {
  for (const auto* names : {&config.children, &config.slaves, &config.scaler_slaves}) {
    for (const std::string& name : *names) {
      const Relation child = FindRelation(snapshot, path, name);
      if (child.object != nullptr && child.object->path != path && !test(*child.object)) {
        return false;
      }
    }
  }
  return true;
}

bool GaveUpShutdown(const NodeState& node, const InstanceState& instance) {
  return instance.monitor.status == status_word::kShutdownFailed &&
         instance.monitor.status_updated >= node.monitor.status_updated;
}

}  // namespace om
