#include "server/control/explain.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/control/conditions.h"
#include "server/control/node_view.h"
#include "server/control/placement.h"

namespace om {
namespace {

// What a node that decided so would be doing; empty: nothing that brings the order on.
std::string Effect(const Action& action, const std::string& monitor_status) {
  if (const auto* run = std::get_if<RunCrm>(&action)) {
    return absl::StrCat("is about to ", run->words.front());
  }
  if (const auto* frozen = std::get_if<SetFrozen>(&action)) {
    return frozen->frozen ? "is about to freeze" : "is about to thaw";
  }
  if (const auto* fence = std::get_if<FenceNode>(&action)) {
    return absl::StrCat("is about to kill node ", fence->node);
  }
  if (std::holds_alternative<CreateSlice>(action) || std::holds_alternative<ResizeSlice>(action) ||
      std::holds_alternative<GiveOrder>(action) || std::holds_alternative<ChangeOrder>(action)) {
    return "goes on";
  }
  if (const auto* set = std::get_if<SetMonitor>(&action)) {
    const auto& status = set->patch.status;
    if (status.has_value() && *status != monitor_status && !IsWaiting(*status)) {
      return absl::StrCat("becomes ", *status);
    }
  }
  return "";
}

class Explainer {
 public:
  Explainer(const View& view, const ObjectState& object, absl::Time now, bool paused)
      : view_(view),
        snapshot_(*view.snapshot),
        object_(object),
        local_(snapshot_.local_node),
        now_(now),
        paused_(paused),
        config_(*object.config(local_)),
        instance_(*object.instance(local_)),
        order_(instance_.monitor.global_expect),
        peers_(PeerNodes(config_, local_)) {}

  Explanation Run() {
    Explanation explanation;
    if (peers_.empty()) {
      explanation.blocked = true;
      explanation.reason = absl::StrCat("node ", local_, " is none of its nodes");
      return explanation;
    }
    bool moving = false;
    for (const std::string& node : peers_) {
      std::string doing = Doing(node);
      if (!doing.empty()) moving = true;
      explanation.nodes.push_back({node, object_.path, std::move(doing)});
    }
    for (NodeProgress& node : explanation.nodes) {
      if (!node.text.empty()) continue;
      const std::string obstacle = Obstacle(node.node);
      if (IsDone(node.node)) {
        node.text = "done";
      } else if (obstacle.empty()) {
        node.text = moving ? "waits for the other nodes" : "waits";
      } else {
        node.text = absl::StrCat(moving ? "waits: " : "blocked: ", obstacle);
      }
    }
    explanation.blocked = !moving;
    if (explanation.blocked) explanation.reason = Reason();
    return explanation;
  }

 private:
  const NodeState* Node(const std::string& node) const { return snapshot_.node(node); }

  std::string Doing(const std::string& node) const {
    const NodeState* state = Node(node);
    const InstanceState* instance = object_.instance(node);
    if (instance == nullptr || state == nullptr || !state->alive) return "";
    const std::string& status = instance->monitor.status;
    if (IsTransition(status) || status == status_word::kShutdown) return status;
    const bool is_local = node == local_;
    if (is_local && view_.busy->count(object_.path) != 0) return "an action is in progress";
    if (is_local && paused_) return "";
    // Over there, it is over: it reached its end, or gave up, before things were as they are now.
    if (!is_local && instance->monitor.global_expect.empty() &&
        (Failure(*instance) ||
         instance->monitor.global_expect_updated > instance_.monitor.global_expect_updated)) {
      return "";
    }
    std::set<ObjectPath> paths = {object_.path};
    for (const Action& action : NodeView(view_, node, paths).Decide(now_)) {
      std::string effect = Effect(action, status);
      if (!effect.empty()) return effect;
      // A failure ends the order on that node alone.
      const auto* clear = std::get_if<ClearOrder>(&action);
      if (clear != nullptr && (is_local || clear->end == OrderEnd::kReached)) return "ends it";
      if (std::holds_alternative<WakeAt>(action) && status == status_word::kReady) {
        return "ready, starts soon";
      }
      if (std::holds_alternative<AcquireOwnership>(action) && is_local && Owner().empty()) {
        return "asks for the ownership";
      }
    }
    return "";
  }

  static bool Failure(const InstanceState& instance) { return IsFailed(instance.monitor.status); }

  // The node that has the ownership, if it is known and not this one.
  std::string Owner() const {
    if (view_.ownership == nullptr) return "";
    const auto owned = view_.ownership->find(object_.path);
    if (owned == view_.ownership->end() || owned->second.held) return "";
    return owned->second.owner;
  }

  // The node has done its part.
  bool IsDone(const std::string& node) const {
    const InstanceState* instance = object_.instance(node);
    if (instance == nullptr) return false;
    if (order_ == expect_word::kFrozen) return instance->frozen();
    if (order_ == expect_word::kThawed) return !instance->frozen();
    if (order_ == expect_word::kStopped || order_ == expect_word::kShutdown) {
      return instance->frozen() && IsStopped(instance->avail());
    }
    if (order_ == expect_word::kStarted) {
      return !instance->frozen() && instance->avail() == Availability::kUp;
    }
    return false;
  }

  // Why that node can do nothing, in a few words; empty: nothing speaks against it.
  std::string Obstacle(const std::string& node) const {
    const NodeState* state = Node(node);
    if (state == nullptr || !state->alive) return "not reachable";
    const std::string& status = state->monitor.status;
    if (node == local_ && paused_) return "its monitor is stopped";
    if (status != status_word::kIdle) return absl::StrCat("in ", status);
    const InstanceState* instance = object_.instance(node);
    if (instance == nullptr) return "it has no instance";
    const InstanceMonitor& monitor = instance->monitor;
    if (monitor.status == status_word::kWaitParents) return ParentsText();
    if (monitor.status == status_word::kWaitChildren) return ChildrenText();
    if (Failure(*instance) || IsWaiting(monitor.status)) return monitor.status;
    if (StartsInstances()) {
      if (state->frozen()) return "the node is frozen";
      if (instance->frozen()) return "frozen";
      if (IsOverloaded(*state)) return "overloaded";
      if (!instance->avail().has_value()) return "not evaluated";
      if (instance->status->provisioned == false && order_ != expect_word::kProvisioned) {
        return "not provisioned";
      }
      if (!instance->status->constraints) return "its constraints do not hold";
      if (instance->avail() == Availability::kWarn) return "warn";
    }
    if (node == local_ && StartsInstances() && view_.ownership != nullptr) {
      const std::string owner = Owner();
      if (!owner.empty()) return absl::StrCat("not owner: ", owner, " holds it");
      const auto owned = view_.ownership->find(object_.path);
      if (owned != view_.ownership->end() && owned->second.held &&
          now_ >= owned->second.may_act_until) {
        return "its lease is not renewed";
      }
    }
    return "";
  }

  bool StartsInstances() const {
    return IsOneOf(order_, {expect_word::kStarted, expect_word::kPlaced, expect_word::kProvisioned,
                            expect_word::kRestarted}) ||
           absl::StartsWith(order_, expect_word::kPlacedAt) ||
           absl::StartsWith(order_, expect_word::kRestartedAt);
  }

  // The whole of it: what is true of the service, else of its nodes.
  std::string Reason() const {
    if (paused_) return absl::StrCat("the monitor of node ", local_, " is stopped");
    const NodeState* local = Node(local_);
    if (local != nullptr && local->monitor.status != status_word::kIdle) {
      return absl::StrCat("node ", local_, " is in ", local->monitor.status);
    }
    for (const std::string& node : peers_) {
      const NodeState* state = Node(node);
      if (state != nullptr && state->monitor.status == status_word::kInit) {
        return absl::StrCat("peer ", node, " is in init");
      }
    }
    if (instance_.status == nullptr) return "the instance here was never evaluated";
    if (view_.unevaluated != nullptr && view_.unevaluated->count(object_.path) != 0) {
      return "the instance here is not evaluated yet";
    }
    if (StartsInstances()) {
      if (!config_.error.empty()) return absl::StrCat("its configuration: ", config_.error);
      if (config_.disabled) return "the service is disabled";
      if (!snapshot_.compat) return "the nodes have different compatibility levels";
      std::string parents = ParentsText();
      if (!parents.empty()) return parents;
      std::string affinity = AffinityText();
      if (!affinity.empty()) return affinity;
    } else {
      std::string children = ChildrenText();
      if (!children.empty() && !IsOneOf(order_, {expect_word::kFrozen, expect_word::kThawed})) {
        return children;
      }
    }
    const size_t limit = static_cast<size_t>(std::max(view_.settings->max_parallel, 1));
    if (view_.busy->size() >= limit) {
      return absl::StrCat("max_parallel: ", view_.busy->size(), " actions are in progress");
    }
    std::vector<std::string> obstacles;
    bool all = true;
    for (const std::string& node : peers_) {
      const std::string obstacle = Obstacle(node);
      if (obstacle.empty()) {
        all = all && IsDone(node);
      } else if (!IsDone(node) || StartsInstances()) {
        obstacles.push_back(absl::StrCat(node, ": ", obstacle));
      }
    }
    std::string list = absl::StrJoin(obstacles, ", ");
    if (StartsInstances() && peers_.size() > 1 && all && !obstacles.empty()) {
      return absl::StrCat("no candidate: ", list);
    }
    if (!obstacles.empty()) return list;
    if (StartsInstances() && config_.orchestrate == "start") {
      return "orchestrate is start: only the first of its nodes starts it";
    }
    const Availability avail = object_.aggregate.avail.value_or(Availability::kUnknown);
    return absl::StrCat("nothing is left to do while the service is ", AvailabilityName(avail),
                        " and ", object_.aggregate.frozen);
  }

  // "parent vol/x is down"
  std::string ParentsText() const {
    return Related(config_.parents, "parent ", [](const std::optional<Availability>& avail) {
      return !avail.has_value() || avail == Availability::kUnknown || IsStarted(avail);
    });
  }
  std::string ChildrenText() const {
    for (const auto* names : {&config_.children, &config_.slaves, &config_.scaler_slaves}) {
      std::string text =
          Related(*names, names == &config_.children ? "child " : "slave ", IsStopped);
      if (!text.empty()) return text;
    }
    return "";
  }
  template <class Test>
  std::string Related(const std::vector<std::string>& names, const char* what,
                      const Test& passes) const {
    for (const std::string& name : names) {
      const size_t at = name.find('@');
      const absl::StatusOr<ObjectPath> path =
          ObjectPath::ParseRelative(absl::string_view(name).substr(0, at), object_.path.ns());
      if (!path.ok()) continue;
      const std::shared_ptr<const ObjectState> object = snapshot_.objects.Find(*path);
      if (object == nullptr) continue;
      std::optional<Availability> avail = object->aggregate.avail;
      if (at != std::string::npos) {
        const InstanceState* instance = object->instance(name.substr(at + 1));
        avail = instance == nullptr ? std::nullopt : instance->avail();
      }
      if (passes(avail)) continue;
      return absl::StrCat(what, name, " is ",
                          AvailabilityName(avail.value_or(Availability::kUnknown)));
    }
    return "";
  }

  std::string AffinityText() const {
    // A node with data on which the listed ones are as they should be is enough.
    const auto holds = [&](const std::vector<std::string>& names, const std::string& node,
                           bool wanted) {
      return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
        const absl::StatusOr<ObjectPath> path = ObjectPath::ParseRelative(name, object_.path.ns());
        const std::shared_ptr<const ObjectState> object =
            path.ok() ? snapshot_.objects.Find(*path) : nullptr;
        const InstanceState* instance = object == nullptr ? nullptr : object->instance(node);
        return (instance != nullptr && instance->avail() == Availability::kUp) == wanted;
      });
    };
    const auto nowhere = [&](const std::vector<std::string>& names, bool wanted) {
      return !names.empty() && std::none_of(peers_.begin(), peers_.end(), [&](const auto& node) {
        return holds(names, node, wanted);
      });
    };
    if (nowhere(config_.hard_affinity, true)) {
      return absl::StrCat("affinity with ", absl::StrJoin(config_.hard_affinity, " "));
    }
    if (nowhere(config_.hard_anti_affinity, false)) {
      return absl::StrCat("anti-affinity with ", absl::StrJoin(config_.hard_anti_affinity, " "));
    }
    return "";
  }

  const View& view_;
  const Snapshot& snapshot_;
  const ObjectState& object_;
  const std::string& local_;
  const absl::Time now_;
  const bool paused_;
  const ObjectConfig& config_;
  const InstanceState& instance_;
  const std::string& order_;
  const std::vector<std::string> peers_;
};

}  // namespace

Explanation Explain(const View& view, const ObjectPath& path, absl::Time now, bool paused) {
  const std::shared_ptr<const ObjectState> object = view.snapshot->objects.Find(path);
  const std::string& local = view.snapshot->local_node;
  if (object == nullptr || object->config(local) == nullptr || object->instance(local) == nullptr ||
      object->instance(local)->monitor.global_expect.empty()) {
    return {};
  }
  return Explainer(view, *object, now, paused).Run();
}

}  // namespace om
