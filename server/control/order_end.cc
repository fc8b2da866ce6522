// When an order is over.
#include <algorithm>

#include "server/control/conditions.h"
#include "server/control/decide.h"
#include "server/control/placement.h"

namespace om {
namespace {

bool AllShutDown(const ObjectState& object) {
  return !AnyInstance(object, [](const InstanceState& instance) { return !IsShutDown(instance); });
}

}  // namespace

bool OrderReached(const Snapshot& /*snapshot*/, const ObjectState& object, const std::string& node,
                  const std::string& global_expect) {
  const InstanceState* local = object.instance(node);
  const ObjectConfig* config = object.config(node);
  const bool local_frozen = local != nullptr && local->frozen();
  const Aggregate& aggregate = object.aggregate;
  const bool failover = config == nullptr || config->topology == "failover";
  if (global_expect == expect_word::kFrozen || global_expect == expect_word::kThawed) {
    return aggregate.frozen == global_expect;
  }
  if (global_expect == expect_word::kStarted) {
    if (IsStarted(aggregate.avail) && !local_frozen) return true;
    // Part of it runs, or it runs twice: starting again would not be safe, and is for the operator
    // to judge.
    return failover && aggregate.frozen == expect_word::kThawed &&
           AnyInstance(object, [](const InstanceState& instance) {
             return IsWarnAtRest(instance) || IsUp(instance);
           });
  }
  if (global_expect == expect_word::kStopped) return IsStopped(aggregate.avail) && local_frozen;
  if (global_expect == expect_word::kShutdown) return local_frozen && AllShutDown(object);
  if (global_expect == expect_word::kProvisioned) {
    return IsOneOf(aggregate.provisioned, {"true", "n/a"});
  }
  if (global_expect == expect_word::kUnprovisioned) {
    return IsOneOf(aggregate.provisioned, {"false", "n/a"}) && IsStopped(aggregate.avail);
  }
  if (global_expect == expect_word::kPlaced) {
    return IsOneOf(aggregate.placement, {"optimal", "n/a"}) && aggregate.avail == Availability::kUp;
  }
  if (IsPlacedAt(global_expect)) {
    const std::vector<std::string> targets = Destinations(global_expect);
    return std::all_of(targets.begin(), targets.end(), [&](const std::string& target) {
      const InstanceState* instance = object.instance(target);
      return instance != nullptr && !IsStopped(instance->avail()) &&
             !IsTransition(instance->monitor.status);
    });
  }
  if (IsRestartOrder(global_expect)) {
    if (local == nullptr || local->monitor.global_expect != global_expect) return false;
    const std::string& key = OrderKey(local->monitor);
    return !AnyInstance(object, [&](const InstanceState& instance) {
      return HasData(instance) &&
             (IsTransition(instance.monitor.status) ||
              (!IsStopped(instance.avail()) && instance.monitor.restarted != key));
    });
  }
  if (global_expect == expect_word::kAborted) {
    return !AnyInstance(object,
                        [](const InstanceState& instance) { return !IsAborted(instance.monitor); });
  }
  return false;  // Deleted and purged end with the instance.
}

bool PlacementOptionLeft(const Snapshot& snapshot, const ObjectState& object,
                         const ObjectConfig& config, const std::string& node) {
  const std::vector<std::string> ranked =
      Candidates(snapshot, object, config, node, Relaxations::ForOptionCheck());
  for (const auto& [peer, instance] : object.instances) {
    if (instance.monitor.status == status_word::kPlaceFailed) continue;
    const bool stopped = IsStopped(instance.avail());
    if (!IsLeader(ranked, config, peer)) {
      if (!stopped) return true;
    } else if (stopped || IsStarted(instance.avail()) || IsWarnAtRest(instance)) {
      return true;
    }
  }
  return false;
}

}  // namespace om
