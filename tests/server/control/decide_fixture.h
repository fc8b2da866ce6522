// A small cluster as node n1 sees it, and decisions as words.
#ifndef OM_TESTS_SERVER_CONTROL_DECIDE_FIXTURE_H_
#define OM_TESTS_SERVER_CONTROL_DECIDE_FIXTURE_H_

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/control/decide.h"
#include "server/control/placement.h"
#include "server/state/instance_status.h"
#include "server/state/state_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/object_path.h"

namespace om {

inline constexpr char kNode[] = "n1";
struct Resource {
  std::string rid;
  std::string status;
  int restart = 0;
  bool monitored = false;
  bool standby = false;
};

// Actions as words: "run start", "freeze", "order reached", "event instance_start/single_node" ...
inline std::string Word(const Action& action) {
  struct Visitor {
    std::string operator()(const RunCrm& run) { return "run " + absl::StrJoin(run.words, " "); }
    std::string operator()(const FenceNode& fence) { return "fence " + fence.node; }
    std::string operator()(const CreateSlice& create) {
      return "create " + create.slice.ToString() + " " +
             absl::StrJoin(create.keywords, " ", absl::PairFormatter("="));
    }
    std::string operator()(const ResizeSlice& resize) {
      return "resize " + resize.slice.ToString() + " " +
             absl::StrJoin(resize.keywords, " ", absl::PairFormatter("="));
    }
    std::string operator()(const GiveOrder& give) {
      return "give " + give.path.ToString() + " " + give.global_expect;
    }
    std::string operator()(const ChangeOrder& change) {
      return "order becomes " + change.global_expect;
    }
    std::string operator()(const SetFrozen& set) { return set.frozen ? "freeze" : "thaw"; }
    std::string operator()(const SetNodeFrozen& set) {
      return set.frozen ? "freeze node" : "thaw node";
    }
    std::string operator()(const SetMonitor& set) {
      std::string word = "set";
      if (set.patch.status.has_value()) absl::StrAppend(&word, " status=", *set.patch.status);
      if (set.patch.local_expect.has_value()) {
        absl::StrAppend(&word, " local=", *set.patch.local_expect);
      }
      if (set.patch.restart.has_value()) {
        absl::StrAppend(
            &word, " restart=", absl::StrJoin(*set.patch.restart, ",", absl::PairFormatter(":")));
      }
      if (set.patch.stonith.has_value()) absl::StrAppend(&word, " stonith=", *set.patch.stonith);
      if (set.patch.restarted.has_value()) {
        absl::StrAppend(&word, " restarted=", *set.patch.restarted);
      }
      return word;
    }
    std::string operator()(const SetNodeStatus& set) { return "node " + set.status; }
    std::string operator()(const ClearNodeOrder&) { return "node order reached"; }
    std::string operator()(const ClearNodeLocalExpect&) { return "node local expect done"; }
    std::string operator()(const ForgetNode& forget) { return "forget " + forget.node; }
    std::string operator()(const ClearOrder& clear) {
      return clear.end == OrderEnd::kReached ? "order reached" : "order failed: " + clear.why;
    }
    std::string operator()(const EmitEvent& emit) {
      return "event " + emit.event.id + (emit.event.reason.empty() ? "" : "/") + emit.event.reason;
    }
    std::string operator()(const AcquireOwnership&) { return "acquire"; }
    std::string operator()(const ReleaseOwnership&) { return "release"; }
    std::string operator()(const WakeAt&) { return "wake"; }
  };
  return std::visit(Visitor(), action);
}

class DecideTest : public ::testing::Test {
 protected:
  DecideTest() : store_(&clock_, kNode, "run", {}) {
    store_.SetCluster({"c", "id", {kNode}});
    AddNode(kNode);
    Add("s");
  }
  void AddNode(const std::string& name) {
    store_.EditNode(name, [](NodeState* node) { node->monitor.status = status_word::kIdle; });
  }
  void Add(const std::string& path, std::vector<std::string> nodes = {kNode}) {
    store_.EditObject(Path(path), [&](ObjectState* object) {
      object->configs[kNode].nodes = std::move(nodes);
      object->instances[kNode].monitor.placement = "leader";
    });
    SetStatus(path, kNode, "down", {{"app#1", "down"}});
  }
  void SetStatus(const std::string& path, const std::string& node, const std::string& avail,
                 const std::vector<Resource>& resources = {}) {
    Json json = Json::object();
    for (const Resource& resource : resources) {
      json[resource.rid] = {{"status", resource.status},
                            {"restart", resource.restart},
                            {"monitor", resource.monitored},
                            {"standby", resource.standby}};
    }
    const std::string topology = Config(path).topology;
    store_.EditObject(Path(path), [&](ObjectState* object) {
      object->instances[node].status = *ParseInstanceStatus({{"updated", 1.0},
                                                             {"topology", topology},
                                                             {"flex_max", 9},
                                                             {"avail", avail},
                                                             {"overall", avail},
                                                             {"resources", json}});
    });
  }
  ObjectConfig Config(const std::string& path) {
    return *store_.current().objects.Find(Path(path))->config(kNode);
  }
  void EditConfig(const std::string& path, const std::function<void(ObjectConfig*)>& edit) {
    store_.EditObject(Path(path), [&](ObjectState* object) { edit(&object->configs[kNode]); });
  }
  void Edit(const std::function<void(InstanceState*)>& edit) {
    store_.EditInstance(Path("s"), edit);
  }
  void Order(const std::string& order) {
    Edit([&](InstanceState* instance) { instance->monitor.global_expect = order; });
  }
  void Status(const std::string& status) {
    Edit([&](InstanceState* instance) {
      instance->monitor.status = status;
      instance->monitor.status_updated = clock_.Now();
    });
  }
  void LocalExpect(const std::string& word) {
    Edit([&](InstanceState* instance) { instance->monitor.local_expect = word; });
  }
  void Freeze() {
    Edit([&](InstanceState* instance) { instance->frozen_since = clock_.Now(); });
  }
  // The service runs, or may run, on n1 and these; nothing is up.
  void AddPeers(const std::vector<std::string>& names) {
    std::vector<std::string> nodes = {kNode};
    nodes.insert(nodes.end(), names.begin(), names.end());
    store_.SetCluster({"c", "id", nodes});
    EditConfig("s", [&](ObjectConfig* config) { config->nodes = nodes; });
    for (const std::string& name : names) {
      AddNode(name);
      SetStatus("s", name, "down", {{"app#1", "down"}});
    }
  }
  void EditPeer(const std::string& name, const std::function<void(InstanceState*)>& edit) {
    store_.EditObject(Path("s"), [&](ObjectState* object) { edit(&object->instances[name]); });
  }
  void PeerStatus(const std::string& name, const std::string& status) {
    EditPeer(name, [&](InstanceState* instance) { instance->monitor.status = status; });
  }
  void EditStatus(const std::string& node, const std::function<void(InstanceStatus*)>& edit) {
    EditPeer(node, [&](InstanceState* instance) {
      auto status = std::make_shared<InstanceStatus>(*instance->status);
      edit(status.get());
      instance->status = std::move(status);
    });
  }
  void Up(const std::string& node) { SetStatus("s", node, "up", {{"app#1", "up"}}); }
  void Down(const std::string& node) { SetStatus("s", node, "down", {{"app#1", "down"}}); }
  void Provisioned(const std::string& node, bool provisioned) {
    EditStatus(node, [&](InstanceStatus* status) { status->provisioned = provisioned; });
  }
  // With ownership; `owner` has the service, if not empty.
  void Own(const std::string& owner) {
    ownership_ = std::make_unique<std::map<ObjectPath, Ownership>>();
    if (!owner.empty()) {
      (*ownership_)[Path("s")] = {owner == kNode, owner, 1, clock_.Now() + absl::Hours(1)};
    }
  }
  View MakeView() {
    View view;
    view.snapshot = &store_.current();
    view.settings = &settings_;
    view.busy = &busy_;
    view.ownership = ownership_.get();
    view.thread_start = start_;
    view.last_shutdown = last_shutdown_;
    return view;
  }
  std::vector<std::string> Words() {
    std::vector<std::string> words;
    for (const Action& action : Decide(MakeView(), kNode, clock_.Now())) {
      // Who leads has its own test.
      if (Word(action) != "set") words.push_back(Word(action));
    }
    return words;
  }
  std::vector<std::string> After(CrmVerb verb, bool succeeded, const char* avail,
                                 std::optional<bool> provisioned = std::nullopt,
                                 std::vector<std::string> command = {},
                                 std::string failed_status = "") {
    std::shared_ptr<const InstanceStatus> status;
    if (avail != nullptr) {
      Json json = {{"updated", 2.0}, {"avail", avail}, {"overall", avail}};
      if (provisioned.has_value()) json["provisioned"] = *provisioned;
      status = *ParseInstanceStatus(json);
    }
    const RunCrm run{Path("s"), verb, std::move(command), "", {}, std::move(failed_status)};
    std::vector<std::string> words;
    for (const Action& action :
         AfterCrm(MakeView(), kNode, run, {succeeded, status.get()}, clock_.Now())) {
      words.push_back(Word(action));
    }
    return words;
  }

  FakeClock clock_;
  StateStore store_;
  ControlSettings settings_;
  std::set<ObjectPath> busy_;
  std::unique_ptr<std::map<ObjectPath, Ownership>> ownership_;
  const absl::Time start_ = clock_.Now();
  std::optional<absl::Time> last_shutdown_;
};

}  // namespace om

#endif  // OM_TESTS_SERVER_CONTROL_DECIDE_FIXTURE_H_
