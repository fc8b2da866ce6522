// Playing an order through on copies of the state.
#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/control/explain.h"
#include "server/control/node_view.h"
#include "server/state/aggregate.h"

namespace om {
namespace {

class Player {
 public:
  Player(const View& view, const std::vector<ObjectPath>& paths, absl::Time now, bool paused)
      : view_(view),
        snapshot_(*view.snapshot),
        order_paths_(paths),
        paths_(paths.begin(), paths.end()),
        now_(now),
        paused_(paused) {
    view_.snapshot = &snapshot_;
    view_.only = nullptr;
    if (view.ownership == nullptr) return;
    for (const ObjectPath& path : paths_) {
      const auto owned = view.ownership->find(path);
      if (owned != view.ownership->end()) ownership_[path] = owned->second;
    }
    view_.ownership = &ownership_;
  }

  Plan Play(const std::string& global_expect) {
    for (const ObjectPath& path : paths_) {
      Edit(path, [&](ObjectState* object) {
        for (auto& [node, instance] : object->instances) {
          instance.monitor.global_expect = global_expect;
          instance.monitor.global_expect_updated = now_;
          instance.monitor.order_id = "plan";
        }
      });
    }
    for (int pass = 0; pass < kMaxPlanRounds && !Over(); ++pass) {
      const size_t planned = plan_.actions.size();
      changed_ = false;
      wake_ = absl::InfiniteFuture();
      PlayPass();
      if (plan_.actions.size() > planned) ++round_;
      if (changed_) continue;
      if (wake_ <= now_ || wake_ == absl::InfiniteFuture()) break;
      now_ = wake_;
    }
    plan_.reached = Over() && failure_.empty();
    if (!failure_.empty()) {
      plan_.reason = failure_;
    } else if (!plan_.reached) {
      plan_.reason = WhyNot();
    }
    return std::move(plan_);
  }

 private:
  struct Decision {
    std::string node;
    std::vector<Action> actions;
  };

  void PlayPass() {
    // All decide over the same state, then act.
    std::vector<Decision> decisions;
    for (const auto& [name, node] : *snapshot_.nodes) {
      if (!node->alive || (paused_ && name == snapshot_.local_node)) continue;
      decisions.push_back({name, NodeView(view_, name, paths_).Decide(now_)});
    }
    for (const Decision& decision : decisions) {
      for (const Action& action : decision.actions) Act(decision.node, action);
    }
  }

  // The order has ended on this node, for every path.
  bool Over() const {
    return std::all_of(paths_.begin(), paths_.end(), [&](const ObjectPath& path) {
      const std::shared_ptr<const ObjectState> object = snapshot_.objects.Find(path);
      const InstanceState* local =
          object == nullptr ? nullptr : object->instance(snapshot_.local_node);
      return local == nullptr || local->monitor.global_expect.empty();
    });
  }

  std::string WhyNot() const {
    for (const ObjectPath& path : order_paths_) {
      Explanation explanation = Explain(view_, path, now_, paused_);
      if (explanation.reason.empty()) continue;
      if (path == order_paths_.front()) return std::move(explanation.reason);
      return absl::StrCat(path.ToString(), ": ", explanation.reason);
    }
    return absl::StrCat("it is not over after ", kMaxPlanRounds, " rounds");
  }

  void Edit(const ObjectPath& path, const std::function<void(ObjectState*)>& edit) {
    const std::shared_ptr<const ObjectState> object = snapshot_.objects.Find(path);
    if (object == nullptr) return;
    auto copy = std::make_shared<ObjectState>(*object);
    edit(copy.get());
    if (copy->instances.empty() && copy->configs.empty()) {
      snapshot_.objects.Erase(path);
      return;
    }
    copy->aggregate = AggregateObject(*copy, snapshot_.objects);
    snapshot_.objects.Put(std::move(copy));
    // What has this one for a slave shows its state.
    for (const ObjectPath& other : paths_) {
      const std::shared_ptr<const ObjectState> master = snapshot_.objects.Find(other);
      if (other == path || master == nullptr) continue;
      auto fresh = std::make_shared<ObjectState>(*master);
      fresh->aggregate = AggregateObject(*fresh, snapshot_.objects);
      if (!(fresh->aggregate == master->aggregate)) snapshot_.objects.Put(std::move(fresh));
    }
  }
  void EditInstance(const ObjectPath& path, const std::string& node,
                    const std::function<void(InstanceState*)>& edit) {
    Edit(path, [&](ObjectState* object) {
      const auto found = object->instances.find(node);
      if (found != object->instances.end()) edit(&found->second);
    });
  }

  void Note(const std::string& node, const ObjectPath& path, std::string action) {
    plan_.actions.push_back({node, path, std::move(action), round_});
    changed_ = true;
  }

  void Act(const std::string& node, const Action& action) {
    if (const auto* run = std::get_if<RunCrm>(&action)) {
      Run(node, *run);
    } else if (const auto* frozen = std::get_if<SetFrozen>(&action)) {
      Note(node, frozen->path, frozen->frozen ? "freeze" : "thaw");
      EditInstance(frozen->path, node, [&](InstanceState* instance) {
        instance->frozen_since = frozen->frozen ? std::optional<absl::Time>(now_) : std::nullopt;
      });
    } else if (const auto* set = std::get_if<SetMonitor>(&action)) {
      Set(node, *set);
    } else if (const auto* clear = std::get_if<ClearOrder>(&action)) {
      changed_ = true;
      if (clear->end != OrderEnd::kReached && node == snapshot_.local_node) failure_ = clear->why;
      EditInstance(clear->path, node, [](InstanceState* instance) {
        instance->monitor.global_expect.clear();
        instance->monitor.order_id.clear();
      });
    } else if (const auto* change = std::get_if<ChangeOrder>(&action)) {
      changed_ = true;
      EditInstance(change->path, node, [&](InstanceState* instance) {
        instance->monitor.global_expect = change->global_expect;
      });
    } else if (const auto* fence = std::get_if<FenceNode>(&action)) {
      Note(node, fence->path, absl::StrCat("kill node ", fence->node));
      EditInstance(fence->path, node,
                   [](InstanceState* instance) { instance->monitor.stonith.clear(); });
    } else if (const auto* acquire = std::get_if<AcquireOwnership>(&action)) {
      Acquire(node, acquire->path);
    } else if (const auto* release = std::get_if<ReleaseOwnership>(&action)) {
      const auto owned = ownership_.find(release->path);
      // A node that is only taken to have it has nothing to hand back.
      if (owned != ownership_.end() && owned->second.owner == node) {
        ownership_.erase(owned);
        changed_ = true;
      }
    } else if (const auto* create = std::get_if<CreateSlice>(&action)) {
      Once(node, create->slice, "create");
    } else if (const auto* resize = std::get_if<ResizeSlice>(&action)) {
      Once(node, resize->slice, "resize");
    } else if (const auto* give = std::get_if<GiveOrder>(&action)) {
      Once(node, give->path, absl::StrCat("order ", give->global_expect));
    } else if (const auto* wake = std::get_if<WakeAt>(&action)) {
      wake_ = std::min(wake_, wake->time);
    }
  }

  // The record goes to who asks first, if nobody has it.
  void Acquire(const std::string& node, const ObjectPath& path) {
    Ownership& ownership = ownership_[path];
    if (ownership.held || !ownership.owner.empty()) return;
    ownership.held = node == snapshot_.local_node;
    ownership.owner = node;
    changed_ = true;
  }

  // Things whose effect is not played.
  void Once(const std::string& node, const ObjectPath& path, std::string action) {
    if (!once_.insert({node, absl::StrCat(path.ToString(), " ", action)}).second) return;
    Note(node, path, std::move(action));
  }

  void Set(const std::string& node, const SetMonitor& set) {
    const std::shared_ptr<const ObjectState> object = snapshot_.objects.Find(set.path);
    const InstanceState* before = object == nullptr ? nullptr : object->instance(node);
    if (before == nullptr) return;
    const MonitorPatch& patch = set.patch;
    InstanceMonitor monitor = before->monitor;
    if (patch.status.has_value()) {
      monitor.status = *patch.status;
      monitor.status_updated = now_;
    }
    if (patch.local_expect.has_value()) monitor.local_expect = *patch.local_expect;
    if (patch.restart.has_value()) monitor.restart = *patch.restart;
    if (patch.placement.has_value()) monitor.placement = *patch.placement;
    if (patch.stonith.has_value()) monitor.stonith = *patch.stonith;
    if (patch.restarted.has_value()) monitor.restarted = *patch.restarted;
    if (monitor == before->monitor) return;
    changed_ = true;
    EditInstance(set.path, node, [&](InstanceState* instance) { instance->monitor = monitor; });
  }

  void Run(const std::string& node, const RunCrm& run) {
    Note(node, run.path, absl::StrJoin(run.words, " "));
    const std::shared_ptr<const ObjectState> object = snapshot_.objects.Find(run.path);
    const InstanceState* before = object == nullptr ? nullptr : object->instance(node);
    if (before == nullptr) return;
    const std::string& verb = run.words.front();
    CrmOutcome outcome;
    outcome.succeeded = true;
    std::shared_ptr<InstanceStatus> status;
    if (before->status != nullptr) {
      status = std::make_shared<InstanceStatus>(*before->status);
      Play(verb, run, status.get());
      EditInstance(run.path, node, [&](InstanceState* instance) { instance->status = status; });
      outcome.status = status.get();
    }
    const std::vector<Action> after = NodeView(view_, node, paths_).AfterCrm(run, outcome, now_);
    for (const Action& action : after) Act(node, action);
    if (verb == "delete") {
      Edit(run.path, [&](ObjectState* gone) {
        gone->instances.erase(node);
        gone->configs.erase(node);
      });
    }
  }

  // What the command, if it succeeds, makes of the instance.
  void Play(const std::string& verb, const RunCrm& run, InstanceStatus* status) const {
    const bool leader =
        std::find(run.words.begin(), run.words.end(), "--leader") != run.words.end();
    if (verb == "start" || verb == "restart" || verb == "startstandby" ||
        (verb == "provision" && leader)) {
      SetAll(status, true, run.rids);
    } else if (verb == "stop" || verb == "shutdown" || verb == "unprovision" || verb == "toc") {
      SetAll(status, false, {});
      const bool standby =
          std::any_of(status->resources.begin(), status->resources.end(),
                      [](const ResourceStatus& resource) { return resource.standby; });
      if (standby) {
        status->avail = verb == "stop" ? Availability::kStdbyUp : Availability::kStdbyDown;
      }
    }
    if (verb == "provision" || verb == "unprovision") {
      const bool provisioned = verb == "provision";
      if (status->provisioned.has_value()) status->provisioned = provisioned;
      for (ResourceStatus& resource : status->resources) {
        if (resource.provisioned.has_value()) resource.provisioned = provisioned;
      }
    }
    status->overall = status->avail;
    status->updated = now_;
  }

  static void SetAll(InstanceStatus* status, bool up, const std::vector<std::string>& rids) {
    for (ResourceStatus& resource : status->resources) {
      if (resource.disabled) continue;
      if (!rids.empty() && std::find(rids.begin(), rids.end(), resource.rid) == rids.end()) {
        continue;
      }
      resource.status = up ? Availability::kUp : Availability::kDown;
    }
    if (status->avail != Availability::kNa) {
      status->avail = up ? Availability::kUp : Availability::kDown;
    }
  }

  View view_;  // Of `snapshot_`.
  Snapshot snapshot_;
  const std::vector<ObjectPath>& order_paths_;
  const std::set<ObjectPath> paths_;
  absl::Time now_;
  const bool paused_;
  std::map<ObjectPath, Ownership> ownership_;
  Plan plan_;
  int round_ = 1;
  bool changed_ = false;
  absl::Time wake_ = absl::InfiniteFuture();
  std::string failure_;
  std::set<std::pair<std::string, std::string>> once_;
};

}  // namespace

Plan PlanOrder(const View& view, const std::vector<ObjectPath>& paths,
               const std::string& global_expect, absl::Time now, bool paused) {
  return Player(view, paths, now, paused).Play(global_expect);
}

}  // namespace om
