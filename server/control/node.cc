#include "server/control/node.h"

#include <cstddef>
#include <utility>

#include "server/control/conditions.h"
#include "server/control/placement.h"

namespace om {
namespace {

void Tell(const char* id, const char* reason, const std::string& peer,
          std::optional<ObjectPath> path, std::vector<Action>* actions) {
  Event event;
  event.id = id;
  event.reason = reason;
  event.path = std::move(path);
  if (!peer.empty()) event.data["peer"] = peer;
  actions->push_back(EmitEvent{std::move(event)});
}

// What was frozen elsewhere while this node was away is frozen here.
void MergeFrozen(const View& view, const NodeState& local, std::vector<Action>* actions) {
  const Snapshot& snapshot = *view.snapshot;
  const absl::Time since = *view.last_shutdown;
  const auto is_later = [since](const std::optional<absl::Time>& frozen) {
    return frozen.has_value() && *frozen > since;
  };
  if (!local.frozen() && local.monitor.global_expect != expect_word::kThawed) {
    for (const auto& [name, node] : *snapshot.nodes) {
      if (name == local.name || !is_later(node->frozen_since)) continue;
      Tell("node_freeze", "merge_frozen", name, std::nullopt, actions);
      actions->push_back(SetNodeFrozen{true});
      break;
    }
  }
  snapshot.objects.ForEach([&](const ObjectState& object) {
    const ObjectConfig* config = object.config(local.name);
    const InstanceState* instance = object.instance(local.name);
    if (!object.path.is_service() || config == nullptr || instance == nullptr ||
        config->orchestrate == "no" || instance->frozen() || view.busy->count(object.path) != 0 ||
        instance->monitor.global_expect == expect_word::kThawed) {
      return;
    }
    const std::vector<std::string> peers = PeerNodes(*config, local.name);
    if (peers.size() < 2) return;
    for (const std::string& peer : peers) {
      const InstanceState* other = peer == local.name ? nullptr : object.instance(peer);
      if (other == nullptr || !is_later(other->frozen_since)) continue;
      Tell("instance_freeze", "merge_frozen", peer, object.path, actions);
      actions->push_back(SetFrozen{object.path, true});
      return;
    }
  });
}

void Rejoin(const View& view, const NodeState& local, absl::Time now,
            std::vector<Action>* actions) {
  const Snapshot& snapshot = *view.snapshot;
  size_t joined = 0;
  for (const auto& [name, node] : *snapshot.nodes) {
    if (IsOneOf(node->monitor.status, {status_word::kIdle, status_word::kRejoin})) ++joined;
  }
  const bool all_here =
      snapshot.cluster->nodes.size() <= 1 || joined >= snapshot.cluster->nodes.size();
  const absl::Time limit = view.thread_start + view.settings->rejoin_grace_period;
  if (!all_here && now <= limit) {
    actions->push_back(WakeAt{limit + absl::Milliseconds(1)});
    return;
  }
  if (!all_here && !local.frozen()) {
    Tell("node_freeze", "rejoin_expire", "", std::nullopt, actions);
    actions->push_back(SetNodeFrozen{true});
  } else if (view.last_shutdown.has_value() && snapshot.cluster->nodes.size() > 1) {
    MergeFrozen(view, local, actions);
  }
  actions->push_back(SetNodeStatus{status_word::kIdle});
}

// A node that announced its absence, or went silent while it came up, is kept for a while, counted
// from when this node found it silent: clocks of other nodes do not matter.
void ForgetSilentNodes(const View& view, const NodeState& local, absl::Time now,
                       std::vector<Action>* actions) {
  for (const auto& [name, node] : *view.snapshot->nodes) {
    if (name == local.name || node->alive ||
        !IsOneOf(node->monitor.status, {status_word::kMaintenance, status_word::kInit})) {
      continue;
    }
    const absl::Time limit = node->updated + view.settings->maintenance_grace_period;
    if (now <= limit && node->updated <= now) {
      actions->push_back(WakeAt{limit + absl::Milliseconds(1)});
      continue;
    }
    Tell("forget_peer", "no_rx", name, std::nullopt, actions);
    actions->push_back(ForgetNode{name});
  }
}

void SetNodeFlag(bool frozen, std::vector<Action>* actions) {
  Tell(frozen ? "node_freeze" : "node_thaw", "target", "", std::nullopt, actions);
  actions->push_back(SetNodeFrozen{frozen});
}

}  // namespace

void DecideNode(const View& view, const NodeState& local, absl::Time now,
                std::vector<Action>* actions) {
  ForgetSilentNodes(view, local, now, actions);
  if (local.monitor.status == status_word::kRejoin) {
    Rejoin(view, local, now, actions);
    return;
  }
  if (local.monitor.status != status_word::kIdle) return;
  bool frozen = local.frozen();
  const std::string& order = local.monitor.global_expect;
  if (IsOneOf(order, {expect_word::kFrozen, expect_word::kThawed})) {
    if (view.snapshot->frozen == order) {
      actions->push_back(ClearNodeOrder{});
    } else if (frozen != (order == expect_word::kFrozen)) {
      frozen = !frozen;
      SetNodeFlag(frozen, actions);
    }
  }
  // The node's own order waits until that of the cluster is over.
  const std::string& own = local.monitor.local_expect;
  if (local.monitor.global_expect.empty() &&
      IsOneOf(own, {expect_word::kFrozen, expect_word::kThawed})) {
    if (frozen == (own == expect_word::kFrozen)) {
      actions->push_back(ClearNodeLocalExpect{});
    } else {
      SetNodeFlag(!frozen, actions);
    }
  }
}

}  // namespace om
