// What happens without an order, and how an order to start finds its node.
#include <algorithm>
#include <cstddef>
#include <utility>

#include "server/control/object_decision.h"

namespace om {
namespace {

// Instances of a flex service that are on their way count as up.
bool CountsAsUp(const InstanceState& instance) {
  return instance.avail() == Availability::kUp ||
         IsOneOf(instance.monitor.status,
                 {"restarting", "starting", "wait children", "provisioning", "placing"});
}

}  // namespace

bool ObjectDecision::MayStartUnderOrder() const {
  return ordered(expect_word::kStarted) || ordered(expect_word::kPlaced);
}

void ObjectDecision::StandDown() {
  if (IsOneOf(monitor_.status, {status_word::kReady, status_word::kWaitParents})) {
    SetStatus(status_word::kIdle);
  }
}

void ObjectDecision::Automatic() {
  if (config_.scale.has_value()) {
    if (monitor_.global_expect.empty()) Scale();
    return;
  }
  // A wrapper does what its slaves do.
  if (status().resources.empty()) {
    StandDown();
    return;
  }
  if (monitor_.start_requested && monitor_.global_expect.empty()) {
    RequestedStart();
    return;
  }
  if (!object_.aggregate.avail.has_value() || object_.aggregate.avail == Availability::kUnknown ||
      config_.topology == "span" || config_.disabled || !config_.error.empty() ||
      !snapshot_.compat) {
    return;
  }
  if (!is_flex() && monitor_.local_expect == expect_word::kStarted) {
    if (!ExpectationIsVain()) {
      StandDown();
      return;
    }
    SetLocalExpect("");
  }
  if (local().frozen() || instance_.frozen() || local().monitor.status == status_word::kRejoin ||
      object_.aggregate.avail == Availability::kUndef ||
      object_.aggregate.avail == Availability::kNa) {
    StandDown();
    return;
  }
  if (!IsOneOf(monitor_.status,
               {status_word::kIdle, status_word::kReady, status_word::kWaitParents})) {
    return;
  }
  // Nobody wants it any more.
  if (config_.orchestrate == "no" && !MayStartUnderOrder()) StandDown();
  if (config_.orchestrate == "start" && !IsNaturalLeader()) {
    StandDown();
    return;
  }
  if (is_flex()) {
    AutomaticFlex();
  } else {
    AutomaticFailover();
  }
}

// The instance was expected to stay started, and that can no longer come true here.
bool ObjectDecision::ExpectationIsVain() const {
  const std::optional<Availability> avail = instance_.avail();
  const bool local_up = avail == Availability::kUp;
  const bool service_up = object_.aggregate.avail == Availability::kUp;
  if (service_up && !local_up) return true;
  const auto expecting = std::count_if(
      object_.instances.begin(), object_.instances.end(),
      [](const auto& entry) { return entry.second.monitor.local_expect == expect_word::kStarted; });
  if (expecting > 1 && !local_up && !leader_) return true;
  if (service_up) return false;
  const bool local_down =
      !avail.has_value() ||
      IsOneOf(AvailabilityName(*avail), {"down", "stdby down", "undef", "n/a"}) ||
      (MayStartUnderOrder() && avail == Availability::kStdbyUp);
  if (!local_down) return false;
  // Without the record nothing is restarted: the service is started anew, here or elsewhere.
  if (NeedsOwnership()) {
    const auto owned = view_.ownership->find(object_.path);
    if (owned == view_.ownership->end() || !owned->second.held) return true;
  }
  return std::none_of(
      status().resources.begin(), status().resources.end(), [&](const ResourceStatus& resource) {
        if (resource.disabled ||
            !IsOneOf(AvailabilityName(resource.status), {"warn", "down", "stdby down"})) {
          return false;  // Nothing that a restart is ever tried for.
        }
        const auto counted = monitor_.restart.find(resource.rid);
        const int attempts = counted == monitor_.restart.end() ? 0 : counted->second;
        // Once its loss has been acted on, it does not stand against an operator's order.
        const bool given_up = MayStartUnderOrder() && attempts > resource.restart;
        return attempts < resource.restart || (resource.monitored && !given_up);
      });
}

bool ObjectDecision::IsNaturalLeader() const {
  if (peers_.size() == 1) return true;
  std::vector<std::string> nodes = peers_;
  // Nothing is known of the load of a node that is not there.
  if (IsOneOf(config_.placement, {"score", "load avg"})) {
    nodes.erase(
        std::remove_if(nodes.begin(), nodes.end(),
                       [&](const std::string& node) { return snapshot_.node(node) == nullptr; }),
        nodes.end());
  }
  return IsLeader(Rank(snapshot_, object_.path, config_, std::move(nodes)), config_, node_);
}

bool ObjectDecision::PeerIs(const std::function<bool(const InstanceState&)>& test) const {
  return std::any_of(peers_.begin(), peers_.end(), [&](const std::string& peer) {
    const InstanceState* instance = peer == node_ ? nullptr : object_.instance(peer);
    return instance != nullptr && test(*instance);
  });
}

bool ObjectDecision::PeerInTransition() const {
  return PeerIs([](const InstanceState& peer) { return IsTransition(peer.monitor.status); });
}

void ObjectDecision::AutomaticFailover() {
  const Availability service = *object_.aggregate.avail;
  const bool allowed = service == Availability::kDown || service == Availability::kStdbyDown ||
                       service == Availability::kStdbyUp ||
                       (service == Availability::kWarn && MayStartUnderOrder() && !PeerIs(IsUp));
  if (IsOneOf(monitor_.status, {status_word::kReady, status_word::kWaitParents})) {
    const bool peer_ready = PeerIs(
        [](const InstanceState& peer) { return peer.monitor.status == status_word::kReady; });
    if (instance_.avail() == Availability::kUp || !allowed || PeerIs(IsWarnAtRest) ||
        (peer_ready && !leader_) || PeerInTransition()) {
      SetStatus(status_word::kIdle);
      return;
    }
  }
  if (LeaveWaitParents()) return;
  if (monitor_.status == status_word::kReady) {
    if (ParentInTransition(snapshot_, object_.path, config_)) {
      SetStatus(status_word::kIdle);
      return;
    }
    StartFromReady();
    return;
  }
  if (monitor_.status != status_word::kIdle) return;
  if (config_.orchestrate == "no" && !MayStartUnderOrder()) return;
  if (!allowed || !leader_ || PeerInTransition()) return;
  if (PeerIs([](const InstanceState& peer) { return peer.avail() == Availability::kWarn; })) {
    return;
  }
  if (!config_.rollback && PeerIs([](const InstanceState& peer) {
        return peer.monitor.status == status_word::kStartFailed;
      })) {
    return;
  }
  GetReady();
}

int ObjectDecision::UpCount() const {
  return static_cast<int>(
      std::count_if(object_.instances.begin(), object_.instances.end(),
                    [](const auto& entry) { return CountsAsUp(entry.second); }));
}

void ObjectDecision::AutomaticFlex() {
  const int up_count = UpCount();
  int ready_before_us = 0;
  for (const std::string& candidate : candidates_) {
    if (candidate == node_) break;
    if (object_.instance(candidate)->monitor.status == status_word::kReady) ++ready_before_us;
  }
  const int missing = config_.flex_target - up_count;
  if (IsOneOf(monitor_.status, {status_word::kReady, status_word::kWaitParents}) &&
      (missing <= 0 || ready_before_us >= missing || instance_.avail() == Availability::kUp)) {
    SetStatus(status_word::kIdle);
    return;
  }
  if (LeaveWaitParents()) return;
  if (monitor_.status == status_word::kReady) {
    StartFromReady();
    return;
  }
  if (monitor_.status != status_word::kIdle) return;
  if (config_.orchestrate == "no" && !MayStartUnderOrder()) return;
  const std::optional<Availability> avail = instance_.avail();
  if (missing > 0) {
    if (leader_ && ready_before_us < missing &&
        (IsStopped(avail) || (avail == Availability::kWarn && MayStartUnderOrder()))) {
      GetReady();
    }
  } else if (missing < 0 && IsStarted(avail) && IsExcess(-missing)) {
    Stop("flex_threshold", {{"up", up_count}}, false);
  }
}

// Whether the local instance is one of the `excess` last ranked of those that are up; what is no
// candidate, such as an overloaded node, goes first.
bool ObjectDecision::IsExcess(int excess) const {
  std::vector<std::string> up;
  for (const std::string& peer : Rank(snapshot_, object_.path, config_, peers_)) {
    const InstanceState* instance = object_.instance(peer);
    if (instance != nullptr && CountsAsUp(*instance)) up.push_back(peer);
  }
  std::stable_partition(up.begin(), up.end(),
                        [&](const std::string& peer) { return IsListed(peer, candidates_); });
  const auto first =
      up.end() - std::min<std::ptrdiff_t>(excess, static_cast<std::ptrdiff_t>(up.size()));
  return std::find(first, up.end(), node_) != up.end();
}

// `local_expect` = `started` was asked for: this instance, whatever the placement says; but never a
// second one of a failover service, nor more of a flex service than it may have.
void ObjectDecision::RequestedStart() {
  if (config_.disabled || !config_.error.empty() || config_.topology == "span") return;
  if (is_flex() ? !CountsAsUp(instance_) && UpCount() >= config_.flex_max : PeerIs(RunsService)) {
    DropRequestedStart();
    SetLocalExpect("");
    StandDown();
    return;
  }
  if (local().frozen() || instance_.frozen() || local().monitor.status == status_word::kRejoin) {
    StandDown();
    return;
  }
  const bool peer_ready =
      PeerIs([](const InstanceState& peer) { return peer.monitor.status == status_word::kReady; });
  if (!is_flex() && (PeerInTransition() || (peer_ready && !leader_))) {
    StandDown();
    return;
  }
  if (LeaveWaitParents()) return;
  if (monitor_.status == status_word::kReady) {
    StartFromReady();
  } else if (monitor_.status == status_word::kIdle) {
    GetReady();
  }
}

bool ObjectDecision::LeaveWaitParents() {
  if (monitor_.status != status_word::kWaitParents) return false;
  if (ParentsAvailable(snapshot_, object_.path, config_) &&
      !ParentInTransition(snapshot_, object_.path, config_)) {
    SetStatus(status_word::kIdle);
  }
  return monitor_.status == status_word::kWaitParents;
}

void ObjectDecision::GetReady() {
  if (!ParentsAvailable(snapshot_, object_.path, config_) ||
      ParentInTransition(snapshot_, object_.path, config_)) {
    SetStatus(status_word::kWaitParents);
  } else if (peers_.size() == 1 && !is_flex()) {
    Start("single_node", Json::object());
  } else {
    SetStatus(status_word::kReady);
    actions_->push_back(WakeAt{now_ + view_.settings->ready_period + absl::Milliseconds(1)});
  }
}

void ObjectDecision::StartFromReady() {
  const absl::Time due = monitor_.status_updated + view_.settings->ready_period;
  // A clock that was set back must not make it wait for ever.
  if (now_ <= due && monitor_.status_updated <= now_) {
    wants_ownership_ = true;
    actions_->push_back(WakeAt{due + absl::Milliseconds(1)});
    return;
  }
  if (!is_flex() && !monitor_.stonith.empty() && monitor_.stonith != node_ && may_run_) {
    const NodeState* peer = snapshot_.node(monitor_.stonith);
    if (peer == nullptr || !peer->alive) {
      began_ = true;
      actions_->push_back(FenceNode{object_.path, monitor_.stonith});
      return;
    }
  }
  Start("from_ready", {{"since", absl::ToDoubleSeconds(now_ - monitor_.status_updated)}});
}

void ObjectDecision::NoteStonith() {
  if (is_flex()) return;
  std::string stonith = monitor_.stonith;
  for (const std::string& peer : peers_) {
    const InstanceState* instance = peer == node_ ? nullptr : object_.instance(peer);
    if (instance == nullptr || !HasData(*instance)) continue;
    if (instance->status->stonith && instance->avail() == Availability::kUp) {
      stonith = peer;
    } else if (stonith == peer && IsStopped(instance->avail())) {
      stonith.clear();  // It let go of the service by itself.
    }
  }
  if (instance_.avail() == Availability::kUp) stonith.clear();
  if (stonith == monitor_.stonith) return;
  monitor_.stonith = stonith;
  MonitorPatch patch;
  patch.stonith = std::move(stonith);
  Set(std::move(patch));
}

}  // namespace om
