// Orders, step by step: the first step that applies is taken, and the next pass looks again.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/control/object_decision.h"

namespace om {
namespace {

// Nothing to provision counts as provisioned, and as unprovisioned.
bool IsProvisioned(const InstanceState& instance) {
  return !HasData(instance) || instance.status->provisioned != false;
}
bool IsUnprovisioned(const InstanceState& instance) {
  return !HasData(instance) || instance.status->provisioned != true;
}
bool IsInstanceStopped(const InstanceState& instance) { return IsStopped(instance.avail()); }

}  // namespace

void ObjectDecision::Orchestrate() {
  for (const std::string& peer : peers_) {
    const NodeState* node = snapshot_.node(peer);
    if (node != nullptr && node->monitor.status == status_word::kInit) return;
  }
  if (monitor_.global_expect.empty()) {
    // Left over from an order that is gone.
    if (monitor_.status != status_word::kWaitParents) StopWaiting();
    Automatic();
    return;
  }
  if (!ordered(expect_word::kAborted)) {
    if (FailureCancels(monitor_.status, monitor_.global_expect, leader_)) {
      EndOrder(OrderEnd::kFailed, monitor_.status);
      return;
    }
    if (!IsFailed(monitor_.status) && !IsWaiting(monitor_.status) &&
        !IsOneOf(monitor_.status, {status_word::kIdle, status_word::kReady})) {
      return;
    }
  }
  if (!OrderReached(snapshot_, object_, node_, monitor_.global_expect)) {
    CarryOut();
    return;
  }
  if (ordered(expect_word::kProvisioned)) {
    StopWaiting();
    actions_->push_back(ChangeOrder{object_.path, IsStarted(object_.aggregate.avail)
                                                      ? expect_word::kThawed
                                                      : expect_word::kStarted});
    return;
  }
  EndOrder(OrderEnd::kReached, "");
  Automatic();
}

void ObjectDecision::CarryOut() {
  if (ordered(expect_word::kFrozen) || ordered(expect_word::kThawed)) {
    const bool frozen = ordered(expect_word::kFrozen);
    if (instance_.frozen() != frozen) {
      Freeze(frozen);
      return;
    }
    PeerGaveUp(frozen ? status_word::kFreezeFailed : status_word::kThawFailed,
               [&](const InstanceState& peer) { return peer.frozen() == frozen; });
  } else if (ordered(expect_word::kStopped) || ordered(expect_word::kShutdown)) {
    OrderStopped();
  } else if (ordered(expect_word::kStarted)) {
    OrderStarted();
  } else if (ordered(expect_word::kProvisioned)) {
    OrderProvisioned();
  } else if (ordered(expect_word::kUnprovisioned)) {
    OrderUnprovisioned();
  } else if (ordered(expect_word::kPurged)) {
    OrderPurged();
  } else if (ordered(expect_word::kDeleted)) {
    OrderDeleted();
  } else if (ordered(expect_word::kPlaced)) {
    OrderPlaced();
  } else if (IsPlacedAt(monitor_.global_expect)) {
    OrderPlacedAt();
  } else if (IsRestartOrder(monitor_.global_expect)) {
    OrderRestarted();
  } else if (ordered(expect_word::kAborted)) {
    StopWaiting();
    if (!monitor_.local_expect.empty() && monitor_.local_expect != expect_word::kStarted) {
      Tell("instance_abort", "target");
      SetLocalExpect("");
    }
  }
}

bool ObjectDecision::PeerGaveUp(const char* failed,
                                const std::function<bool(const InstanceState&)>& done) {
  for (const std::string& peer : peers_) {
    const InstanceState* instance = peer == node_ ? nullptr : object_.instance(peer);
    if (instance == nullptr || !HasData(*instance) || done(*instance)) continue;
    if (instance->monitor.status == failed &&
        instance->monitor.global_expect != monitor_.global_expect) {
      EndOrder(OrderEnd::kFailed, absl::StrCat(failed, " on ", peer));
      return true;
    }
  }
  return false;
}

bool ObjectDecision::ChildrenDown() const {
  return AllChildren(snapshot_, object_.path, config_,
                     [](const ObjectState& child) { return IsStopped(child.aggregate.avail); });
}

void ObjectDecision::OrderStopped() {
  const bool shutdown = ordered(expect_word::kShutdown);
  const auto is_stopped = [shutdown](const InstanceState& instance) {
    return shutdown ? IsShutDown(instance) : IsStopped(instance.avail());
  };
  if (!ChildrenDown()) {
    SetStatus(status_word::kWaitChildren);
    return;
  }
  StopWaiting();
  if (!instance_.frozen()) {
    // First of all and everywhere, so that nothing restarts what was stopped.
    Freeze(true);
    return;
  }
  if (is_stopped(instance_)) {
    PeerGaveUp(shutdown ? status_word::kShutdownFailed : status_word::kStopFailed, is_stopped);
    return;
  }
  if (AnyInstance(object_, [](const InstanceState& instance) {
        return HasData(instance) && !instance.frozen();
      })) {
    return;
  }
  if (!shutdown) {
    Stop("target", Json::object(), false);
  } else if (may_run_) {
    Tell("instance_stop", "target");
    Begin(RunCrm{object_.path, CrmVerb::kShutdown, {"shutdown"}, status_word::kShutdown, {}});
  }
}

void ObjectDecision::OrderStarted() {
  if (!ParentsAvailable(snapshot_, object_.path, config_)) {
    SetStatus(status_word::kWaitParents);
    return;
  }
  if (instance_.frozen()) {
    Freeze(false);
    return;
  }
  if (IsStarted(object_.aggregate.avail)) return;
  if (AnyInstance(object_, [](const InstanceState& instance) {
        return HasData(instance) && instance.frozen();
      })) {
    return;
  }
  // A failure that does not end the order does not hold it up for ever either.
  if (IsFailed(monitor_.status)) SetStatus(status_word::kIdle);
  Automatic();
}

void ObjectDecision::OrderProvisioned() {
  if (IsProvisioned(instance_)) {
    StopWaiting();
    PeerGaveUp(status_word::kProvisionFailed, IsProvisioned);
    return;
  }
  size_t live = 0;
  size_t known = 0;
  for (const std::string& peer : peers_) {
    const NodeState* node = snapshot_.node(peer);
    if (node == nullptr || !node->alive) continue;
    ++live;
    const InstanceState* instance = object_.instance(peer);
    if (instance != nullptr && HasData(*instance)) ++known;
  }
  if (known < live) {
    SetStatus(status_word::kWaitSync);
    return;
  }
  if (!ParentsAvailable(snapshot_, object_.path, config_)) {
    SetStatus(status_word::kWaitParents);
    return;
  }
  const std::string first = FirstNode();
  if (!first.empty() && first != node_ && !IsProvisioned(*object_.instance(first))) {
    if (PeerGaveUp(status_word::kProvisionFailed, IsProvisioned)) return;
    SetStatus(status_word::kWaitLeader);
    return;
  }
  // The leader starts what it provisions, and leaves it running.
  const bool leads = first == node_;
  if (!may_run_ || (leads && !MayStart())) return;
  Tell("instance_provision", "target");
  std::vector<std::string> words = {"provision"};
  if (leads) words.insert(words.end(), {"--leader", "--disable-rollback"});
  Begin(
      RunCrm{object_.path, CrmVerb::kProvision, std::move(words), status_word::kProvisioning, {}});
}

std::string ObjectDecision::FirstNode() const {
  std::vector<std::string> up;
  for (const std::string& peer : peers_) {
    const InstanceState* instance = object_.instance(peer);
    if (instance != nullptr &&
        (instance->avail() == Availability::kUp || instance->avail() == Availability::kWarn)) {
      up.push_back(peer);
    }
  }
  up = Rank(snapshot_, object_.path, config_, std::move(up));
  if (up.empty()) up = Candidates(snapshot_, object_, config_, node_, Relaxations::ForFirstNode());
  return up.empty() ? "" : up.front();
}

std::string ObjectDecision::LastNode() const {
  const std::vector<std::string> ranked =
      Candidates(snapshot_, object_, config_, node_, Relaxations::ForLastNode());
  return ranked.empty() ? "" : ranked.front();
}

bool ObjectDecision::WaitsForOthers(const char* failed,
                                    const std::function<bool(const InstanceState&)>& others_done) {
  if (!PeerIs([&](const InstanceState& peer) { return !others_done(peer); })) return false;
  if (!PeerGaveUp(failed, others_done)) SetStatus(status_word::kWaitNonLeader);
  return true;
}

bool ObjectDecision::StoppedEverywhere() {
  if (!ChildrenDown()) {
    SetStatus(status_word::kWaitChildren);
    return false;
  }
  if (!IsStopped(instance_.avail())) {
    Stop("target", Json::object(), true);
    return false;
  }
  if (!IsStopped(object_.aggregate.avail)) {
    if (!PeerGaveUp(status_word::kStopFailed, IsInstanceStopped)) StopWaiting();
    return false;
  }
  return true;
}

void ObjectDecision::OrderUnprovisioned() {
  if (!StoppedEverywhere()) return;
  if (IsUnprovisioned(instance_)) {
    StopWaiting();
    PeerGaveUp(status_word::kUnprovisionFailed, IsUnprovisioned);
    return;
  }
  if (!AllChildren(snapshot_, object_.path, config_, [](const ObjectState& child) {
        return IsOneOf(child.aggregate.provisioned, {"false", "n/a"});
      })) {
    SetStatus(status_word::kWaitChildren);
    return;
  }
  const bool last = LastNode() == node_;
  if (last && WaitsForOthers(status_word::kUnprovisionFailed, IsUnprovisioned)) return;
  if (!may_run_) return;
  Tell("instance_unprovision", "target");
  SetLocalExpect("");
  std::vector<std::string> words = {"unprovision"};
  if (last) words.emplace_back("--leader");
  Begin(RunCrm{
      object_.path, CrmVerb::kUnprovision, std::move(words), status_word::kUnprovisioning, {}});
}

void ObjectDecision::OrderPurged() {
  if (!object_.path.is_service() || !HasData(instance_)) {
    Delete(status_word::kPurgeFailed);
    return;
  }
  if (!StoppedEverywhere()) return;
  if (!AllChildren(snapshot_, object_.path, config_,
                   [](const ObjectState& child) { return child.instances.empty(); })) {
    SetStatus(status_word::kWaitChildren);
    return;
  }
  const bool last = LastNode() == node_;
  if (last && WaitsForOthers(status_word::kPurgeFailed,
                             [](const InstanceState& peer) { return !HasData(peer); })) {
    return;
  }
  if (!may_run_) return;
  if (status().provisioned == false || status().resources.empty()) {
    Delete(status_word::kPurgeFailed);
    return;
  }
  Tell("instance_purge", "target");
  SetLocalExpect("");
  std::vector<std::string> words = {"unprovision"};
  if (last) words.emplace_back("--leader");
  Begin(RunCrm{object_.path,
               CrmVerb::kPurge,
               std::move(words),
               status_word::kUnprovisioning,
               {},
               status_word::kPurgeFailed});
}

void ObjectDecision::OrderDeleted() {
  if (object_.path.is_service() && !ChildrenDown()) {
    SetStatus(status_word::kWaitChildren);
    return;
  }
  Delete(status_word::kDeleteFailed);
}

void ObjectDecision::Delete(const char* failed_status) {
  if (!may_run_) return;
  Tell("instance_delete", "target");
  SetLocalExpect("");
  Begin(RunCrm{object_.path,
               CrmVerb::kDelete,
               {"delete", "--purge-collector"},
               status_word::kDeleting,
               {},
               failed_status});
}

void ObjectDecision::OrderPlaced() {
  if (instance_.frozen()) {
    Freeze(false);
    return;
  }
  if (object_.aggregate.frozen == expect_word::kThawed &&
      !PlacementOptionLeft(snapshot_, object_, config_, node_)) {
    EndOrder(OrderEnd::kFailed, "no node is left to place it on");
    return;
  }
  if (!leader_) {
    if (!IsStopped(instance_.avail()) && !candidates_.empty()) {
      Stop("target", Json::object(), false);
    } else {
      StopWaiting();
    }
    return;
  }
  bool others_stopped = true;
  for (const auto& [peer, instance] : object_.instances) {
    if (IsLeader(candidates_, config_, peer) || IsStopped(instance.avail())) continue;
    others_stopped = false;
  }
  if (!others_stopped) {
    PeerGaveUp(status_word::kStopFailed, [&](const InstanceState& peer) {
      return IsStopped(peer.avail()) || peer.monitor.placement == "leader";
    });
    return;
  }
  const bool misplaced = !IsOneOf(object_.aggregate.placement, {"optimal", "n/a"}) ||
                         object_.aggregate.avail != Availability::kUp;
  if (!misplaced || IsStarted(instance_.avail())) return;
  if (IsFailed(monitor_.status)) SetStatus(status_word::kIdle);
  Automatic();
}

void ObjectDecision::OrderPlacedAt() {
  std::vector<std::string> targets = Destinations(monitor_.global_expect);
  if (!is_flex() && targets.size() > 1) targets.resize(1);
  if (instance_.frozen()) {
    Freeze(false);
    return;
  }
  for (const std::string& target : targets) {
    const InstanceState* instance = object_.instance(target);
    if (instance == nullptr || !IsStopped(instance->avail())) continue;
    const std::string& status = target == node_ ? monitor_.status : instance->monitor.status;
    if (IsOneOf(status, {status_word::kStartFailed, status_word::kPlaceFailed})) {
      EndOrder(OrderEnd::kFailed, absl::StrCat(status, " on ", target));
      return;
    }
  }
  if (!IsListed(node_, targets)) {
    if (IsStopped(instance_.avail())) {
      StopWaiting();
      return;
    }
    if (monitor_.status == status_word::kStopFailed) {
      EndOrder(OrderEnd::kFailed, monitor_.status);
      return;
    }
    const std::vector<std::string> candidates =
        Candidates(snapshot_, object_, config_, node_, Relaxations::ForPlacedAt());
    if (std::any_of(targets.begin(), targets.end(),
                    [&](const std::string& target) { return IsListed(target, candidates); })) {
      Stop("target", Json::object(), false);
    }
    return;
  }
  if (!IsStopped(instance_.avail()) && instance_.avail() != Availability::kWarn) return;
  for (const auto& [peer, instance] : object_.instances) {
    if (peer == node_ || IsListed(peer, targets)) continue;
    if (IsStopped(instance.avail()) && !IsTransition(instance.monitor.status)) continue;
    PeerGaveUp(status_word::kStopFailed, IsInstanceStopped);
    return;
  }
  if (!ParentsAvailable(snapshot_, object_.path, config_)) {
    SetStatus(status_word::kWaitParents);
    return;
  }
  StopWaiting();
  Start("target", Json::object());
}

void ObjectDecision::OrderRestarted() {
  const auto done = [&](const InstanceState& instance) {
    return IsStopped(instance.avail()) || instance.monitor.restarted == OrderKey(monitor_);
  };
  if (done(instance_)) {
    StopWaiting();
    PeerGaveUp(status_word::kRestartFailed, done);
    return;
  }
  for (const std::string& peer : Rank(snapshot_, object_.path, config_, peers_)) {
    if (peer == node_) break;
    const InstanceState* instance = object_.instance(peer);
    if (instance == nullptr || (done(*instance) && !IsTransition(instance->monitor.status))) {
      continue;
    }
    if (!PeerGaveUp(status_word::kRestartFailed, done)) SetStatus(status_word::kWaitPriors);
    return;
  }
  if (!may_run_ || !MayStart()) return;
  Tell("instance_restart", "target");
  Begin(RunCrm{object_.path,
               CrmVerb::kRestart,
               {"restart"},
               status_word::kRestarting,
               {},
               status_word::kRestartFailed});
}

}  // namespace om
