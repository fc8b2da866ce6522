#include "server/control/object_decision.h"

#include <utility>

namespace om {

ObjectDecision::ObjectDecision(const View& view, const ObjectState& object, const std::string& node,
                               absl::Time now, bool may_run, std::vector<Action>* actions)
    : view_(view),
      snapshot_(*view.snapshot),
      object_(object),
      node_(node),
      now_(now),
      may_run_(may_run),
      actions_(actions),
      config_(*object.config(node)),
      instance_(*object.instance(node)),
      monitor_(instance_.monitor),
      peers_(PeerNodes(config_, node)) {}

bool ObjectDecision::Run() {
  if (!object_.path.is_service()) {
    // Configuration only: all that there is to do is to delete it.
    if (ordered(expect_word::kDeleted) || ordered(expect_word::kPurged)) Orchestrate();
    return began_;
  }
  if (peers_.empty()) return false;
  candidates_ = Candidates(snapshot_, object_, config_, node_);
  leader_ = IsLeader(candidates_, config_, node_);
  const char* placement = leader_ ? "leader" : "";
  if (monitor_.placement != placement) {
    MonitorPatch patch;
    patch.placement = placement;
    Set(std::move(patch));
    monitor_.placement = placement;
  }
  if (!HasData(instance_)) {
    if (ordered(expect_word::kDeleted) || ordered(expect_word::kPurged)) Orchestrate();
    return began_;
  }
  ArmRestarts();
  NoteStonith();
  if (monitor_.start_requested &&
      (instance_.avail() == Availability::kUp || monitor_.local_expect != expect_word::kStarted)) {
    DropRequestedStart();
  }
  if (object_.aggregate.avail == Availability::kUp &&
      (monitor_.status == status_word::kStartFailed ||
       (monitor_.status == status_word::kPlaceFailed && monitor_.global_expect.empty() &&
        (!is_flex() || UpCount() >= config_.flex_target)))) {
    SetStatus(status_word::kIdle);
  }
  if (KeepOwnership()) return began_;
  if (!RestartResources()) Orchestrate();
  ReleaseIfUnused();
  return began_;
}

bool ObjectDecision::RunShutdown(bool children_too_long) {
  if (!HasData(instance_)) return false;
  if (IsShutDown(instance_) || GaveUpShutdown(local(), instance_)) {
    if (monitor_.local_expect == expect_word::kShutdown) SetLocalExpect("");
    StopWaiting();
    return false;
  }
  SetLocalExpect(expect_word::kShutdown);
  if (IsTransition(monitor_.status)) return false;
  const bool children_down = AllChildren(snapshot_, object_.path, config_, [&](const auto& child) {
    const InstanceState* instance = child.instance(node_);
    return instance == nullptr || IsShutDown(*instance) || GaveUpShutdown(local(), *instance);
  });
  if (!children_down && !children_too_long) {
    SetStatus(status_word::kWaitChildren);
    return false;
  }
  if (may_run_) {
    Tell("instance_stop", "shutdown");
    Begin(RunCrm{object_.path, CrmVerb::kShutdown, {"shutdown"}, status_word::kShutdown, {}});
  }
  return began_;
}

void ObjectDecision::Set(MonitorPatch patch) {
  actions_->push_back(SetMonitor{object_.path, std::move(patch)});
}

void ObjectDecision::SetStatus(const char* word) {
  if (monitor_.status == word) return;
  monitor_.status = word;
  monitor_.status_updated = now_;
  MonitorPatch patch;
  patch.status = word;
  Set(std::move(patch));
}

void ObjectDecision::SetLocalExpect(const char* word) {
  if (monitor_.local_expect == word) return;
  monitor_.local_expect = word;
  MonitorPatch patch;
  patch.local_expect = word;
  Set(std::move(patch));
}

void ObjectDecision::DropRequestedStart() {
  monitor_.start_requested = false;
  MonitorPatch patch;
  patch.start_requested = false;
  Set(std::move(patch));
}

void ObjectDecision::EndOrder(OrderEnd end, std::string why) {
  // What it waited for no longer matters.
  StopWaiting();
  monitor_.global_expect.clear();
  actions_->push_back(ClearOrder{object_.path, end, std::move(why)});
}

void ObjectDecision::StopWaiting() {
  if (IsWaiting(monitor_.status)) SetStatus(status_word::kIdle);
}

void ObjectDecision::Tell(const char* id, const char* reason, const std::string& rid, Json data) {
  Event event;
  event.id = id;
  event.reason = reason;
  event.path = object_.path;
  event.rid = rid;
  event.data = std::move(data);
  actions_->push_back(EmitEvent{std::move(event)});
}

void ObjectDecision::Freeze(bool frozen) {
  Tell(frozen ? "instance_freeze" : "instance_thaw", "target");
  actions_->push_back(SetFrozen{object_.path, frozen});
}

void ObjectDecision::Begin(RunCrm run) {
  began_ = true;
  actions_->push_back(std::move(run));
}

void ObjectDecision::Start(const char* reason, Json data) {
  if (!may_run_ || !MayStart()) return;
  Tell("instance_start", reason, "", std::move(data));
  RunCrm run{object_.path, CrmVerb::kStart, {"start"}, status_word::kStarting, {}};
  if (ordered(expect_word::kPlaced)) run.failed_status = status_word::kPlaceFailed;
  Begin(std::move(run));
}

void ObjectDecision::Stop(const char* reason, Json data, bool force) {
  if (!may_run_) return;
  Tell("instance_stop", reason, "", std::move(data));
  std::vector<std::string> words = {"stop"};
  if (force) words.emplace_back("--force");
  Begin(RunCrm{object_.path, CrmVerb::kStop, std::move(words), status_word::kStopping, {}});
}

bool ObjectDecision::NeedsOwnership() const { return view_.ownership != nullptr && !is_flex(); }

bool ObjectDecision::MayStart() {
  if (!NeedsOwnership()) return true;
  wants_ownership_ = true;
  const auto owned = view_.ownership->find(object_.path);
  if (owned == view_.ownership->end() || !owned->second.held) {
    actions_->push_back(AcquireOwnership{object_.path});
    return false;
  }
  return now_ < owned->second.may_act_until;
}

bool ObjectDecision::KeepOwnership() {
  if (!NeedsOwnership() || !RunsService(instance_)) return false;
  const auto owned = view_.ownership->find(object_.path);
  if (owned != view_.ownership->end() && owned->second.held) return false;
  if (owned == view_.ownership->end() || owned->second.owner.empty() ||
      owned->second.owner == node_) {
    // Found running, at the start of this daemon say.
    wants_ownership_ = true;
    actions_->push_back(AcquireOwnership{object_.path});
    return false;
  }
  // Even if frozen, and past any limit: the other node may start it at any moment.
  if (IsTransition(monitor_.status) || monitor_.status == status_word::kStopFailed) return true;
  Tell("instance_stop", "ownership_lost", "", {{"owner", owned->second.owner}});
  Begin(RunCrm{object_.path, CrmVerb::kStop, {"stop"}, status_word::kStopping, {}});
  return true;
}

void ObjectDecision::ReleaseIfUnused() {
  if (!NeedsOwnership() || began_ || wants_ownership_) return;
  const auto owned = view_.ownership->find(object_.path);
  if (owned == view_.ownership->end() || !owned->second.held) return;
  const std::optional<Availability> avail = instance_.avail();
  // An instance that tells nothing of itself may be running.
  const bool down = avail == Availability::kDown || avail == Availability::kStdbyDown ||
                    avail == Availability::kStdbyUp;
  if (!down || monitor_.local_expect == expect_word::kStarted || IsTransition(monitor_.status) ||
      monitor_.status == status_word::kReady || monitor_.status == status_word::kShutdown) {
    return;
  }
  actions_->push_back(ReleaseOwnership{object_.path});
}

}  // namespace om
