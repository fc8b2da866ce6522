#include "server/control/explain.h"

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/state/instance_status.h"
#include "server/state/state_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/object_path.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ExplainTest : public ::testing::Test {
 protected:
  // A cluster of these nodes, all idle, with the service `s` down on them.
  void MakeCluster(std::vector<std::string> nodes) {
    nodes_ = std::move(nodes);
    store_.SetCluster({"c", "id", nodes_});
    for (const std::string& name : nodes_) {
      store_.EditNode(name, [](NodeState* node) { node->monitor.status = status_word::kIdle; });
    }
    Add("s");
  }
  void Add(const std::string& path) {
    EditConfig(path, [&](ObjectConfig* config) { config->nodes = nodes_; });
    for (const std::string& node : nodes_) SetAvail(path, node, "down");
  }
  void SetAvail(const std::string& path, const std::string& node, const std::string& avail) {
    Edit(path, node, [&](InstanceState* instance) {
      instance->status = *ParseInstanceStatus({{"updated", 1.0},
                                               {"topology", "failover"},
                                               {"avail", avail},
                                               {"overall", avail},
                                               {"resources", {{"app#1", {{"status", avail}}}}}});
    });
  }
  void Edit(const std::string& path, const std::string& node,
            const std::function<void(InstanceState*)>& edit) {
    store_.EditObject(Path(path), [&](ObjectState* object) { edit(&object->instances[node]); });
  }
  void EditConfig(const std::string& path, const std::function<void(ObjectConfig*)>& edit) {
    store_.EditObject(Path(path), [&](ObjectState* object) { edit(&object->configs["n1"]); });
  }
  void Freeze(const std::string& node) {
    Edit("s", node, [&](InstanceState* instance) { instance->frozen_since = clock_.Now(); });
  }
  void SetStatus(const std::string& node, const std::string& status) {
    Edit("s", node, [&](InstanceState* instance) { instance->monitor.status = status; });
  }
  void EditNode(const std::string& name, const std::function<void(NodeState*)>& edit) {
    store_.EditNode(name, edit);
  }
  View MakeView() {
    View view;
    view.snapshot = &store_.current();
    view.settings = &settings_;
    view.busy = &busy_;
    view.ownership = owned_ ? &ownership_ : nullptr;
    return view;
  }
  Explanation Why(const std::string& order, bool paused = false) {
    for (const std::string& node : nodes_) {
      Edit("s", node, [&](InstanceState* instance) { instance->monitor.global_expect = order; });
    }
    return Explain(MakeView(), Path("s"), clock_.Now(), paused);
  }
  Plan Try(const std::string& order, const std::vector<std::string>& paths = {"s"}) {
    std::vector<ObjectPath> parsed;
    for (const std::string& path : paths) parsed.push_back(Path(path));
    return PlanOrder(MakeView(), parsed, order, clock_.Now(), false);
  }
  // "1 n1 freeze", the path after it where it is not `s`.
  std::vector<std::string> Actions(const Plan& plan) {
    std::vector<std::string> lines;
    for (const PlannedAction& action : plan.actions) {
      lines.push_back(absl::StrCat(action.round, " ", action.node, " ", action.action,
                                   action.path == Path("s") ? "" : " ",
                                   action.path == Path("s") ? "" : action.path.ToString()));
    }
    return lines;
  }

  FakeClock clock_;
  StateStore store_{&clock_, "n1", "run", {}};
  ControlSettings settings_;
  std::set<ObjectPath> busy_;
  bool owned_ = false;
  std::map<ObjectPath, Ownership> ownership_;
  std::vector<std::string> nodes_;
};

TEST_F(ExplainTest, NoOrderNeedsNoExplanation) {
  MakeCluster({"n1"});
  EXPECT_THAT(Why("").nodes, IsEmpty());
  EXPECT_FALSE(Why("").blocked);
}

TEST_F(ExplainTest, WhatIsAboutToHappenIsNotBlocked) {
  MakeCluster({"n1"});
  const Explanation why = Why("started");
  EXPECT_FALSE(why.blocked);
  ASSERT_EQ(why.nodes.size(), 1u);
  EXPECT_EQ(why.nodes[0].text, "is about to start");
}

TEST_F(ExplainTest, AnActionInProgressIsNamed) {
  MakeCluster({"n1"});
  SetStatus("n1", "starting");
  EXPECT_EQ(Why("started").nodes.at(0).text, "starting");
  EXPECT_FALSE(Why("started").blocked);
}

TEST_F(ExplainTest, AParentThatIsDownBlocksAStart) {
  MakeCluster({"n1"});
  Add("vol/x");
  EditConfig("s", [](ObjectConfig* config) { config->parents = {"vol/x"}; });
  SetStatus("n1", "wait parents");
  const Explanation why = Why("started");
  EXPECT_TRUE(why.blocked);
  EXPECT_EQ(why.reason, "parent vol/x is down");
  EXPECT_EQ(why.nodes.at(0).text, "blocked: parent vol/x is down");
}

TEST_F(ExplainTest, AChildThatIsUpBlocksAStop) {
  MakeCluster({"n1"});
  SetAvail("s", "n1", "up");
  Add("c");
  SetAvail("c", "n1", "up");
  EditConfig("s", [](ObjectConfig* config) { config->children = {"c"}; });
  SetStatus("n1", "wait children");
  EXPECT_TRUE(Why("stopped").blocked);
  EXPECT_EQ(Why("stopped").reason, "child c is up");
}

TEST_F(ExplainTest, APeerThatComesUpBlocksEverything) {
  MakeCluster({"n1", "n2"});
  EditNode("n2", [](NodeState* node) { node->monitor.status = status_word::kInit; });
  EXPECT_TRUE(Why("started").blocked);
  EXPECT_EQ(Why("started").reason, "peer n2 is in init");
}

TEST_F(ExplainTest, AStoppedMonitorIsSaid) {
  MakeCluster({"n1"});
  EXPECT_TRUE(Why("started", /*paused=*/true).blocked);
  EXPECT_EQ(Why("started", /*paused=*/true).reason, "the monitor of node n1 is stopped");
}

TEST_F(ExplainTest, WithoutCandidateEveryNodesReasonIsTold) {
  MakeCluster({"n1", "n2"});
  EditNode("n1", [](NodeState* node) {
    node->stats.mem_total_mib = 100;
    node->stats.mem_avail_percent = 1;
  });
  SetStatus("n2", "start failed");
  const Explanation why = Why("started");
  EXPECT_TRUE(why.blocked) << why.nodes.at(0).text << why.nodes.at(1).text;
  EXPECT_EQ(why.reason, "no candidate: n1: overloaded, n2: start failed");
}

TEST_F(ExplainTest, ANodeThatIsNotReachableIsNamed) {
  MakeCluster({"n1", "n2"});
  SetAvail("s", "n2", "up");
  Freeze("n1");
  EditNode("n2", [](NodeState* node) { node->alive = false; });
  const Explanation why = Why("stopped");
  EXPECT_TRUE(why.blocked);
  EXPECT_EQ(why.reason, "n2: not reachable");
  EXPECT_EQ(why.nodes.at(0).text, "done");
}

TEST_F(ExplainTest, AFrozenNodeKeepsAnOrderToStartWaiting) {
  MakeCluster({"n1"});
  EditNode("n1", [&](NodeState* node) { node->frozen_since = clock_.Now(); });
  EXPECT_TRUE(Why("started").blocked);
  EXPECT_EQ(Why("started").reason, "n1: the node is frozen");
}

TEST_F(ExplainTest, TheLimitOfParallelActionsIsSaid) {
  MakeCluster({"n1"});
  settings_.max_parallel = 1;
  busy_ = {Path("other")};
  EXPECT_TRUE(Why("started").blocked);
  EXPECT_EQ(Why("started").reason, "max_parallel: 1 actions are in progress");
}

TEST_F(ExplainTest, TheOwnerElsewhereIsNamed) {
  MakeCluster({"n1", "n2"});
  owned_ = true;
  Ownership other;
  other.owner = "n3";
  ownership_[Path("s")] = other;
  SetStatus("n1", "ready");
  const Explanation why = Why("started");
  EXPECT_EQ(why.nodes.at(0).text, "blocked: not owner: n3 holds it") << why.reason;
}

TEST_F(ExplainTest, APlanGoesThroughAllStepsOfAStop) {
  MakeCluster({"n1", "n2"});
  SetAvail("s", "n2", "up");
  const Plan plan = Try("stopped");
  EXPECT_THAT(Actions(plan), ElementsAre("1 n1 freeze", "1 n2 freeze", "2 n2 stop"));
  EXPECT_TRUE(plan.reached) << plan.reason;
  EXPECT_EQ(plan.reason, "");
}

TEST_F(ExplainTest, APlanThawsThenStartsOnTheBestNode) {
  MakeCluster({"n1", "n2"});
  Freeze("n1");
  Freeze("n2");
  const Plan plan = Try("started");
  EXPECT_THAT(Actions(plan), ElementsAre("1 n1 thaw", "1 n2 thaw", "2 n1 start"));
  EXPECT_TRUE(plan.reached) << plan.reason;
}

TEST_F(ExplainTest, APlanTakesTheOwnershipThatNobodyHas) {
  MakeCluster({"n1", "n2"});
  owned_ = true;
  const Plan plan = Try("started");
  EXPECT_THAT(Actions(plan), ElementsAre("1 n1 start"));
  EXPECT_TRUE(plan.reached) << plan.reason;
  EXPECT_THAT(ownership_, IsEmpty());
}

TEST_F(ExplainTest, APlanChangesNothing) {
  MakeCluster({"n1"});
  const Revision before = store_.current().revision;
  Try("started");
  EXPECT_EQ(store_.current().revision, before);
  EXPECT_EQ(store_.current().objects.Find(Path("s"))->aggregate.avail, Availability::kDown);
}

TEST_F(ExplainTest, APlanThatComesToNothingSaysWhy) {
  MakeCluster({"n1"});
  Add("vol/x");
  EditConfig("s", [](ObjectConfig* config) { config->parents = {"vol/x"}; });
  const Plan plan = Try("started");
  EXPECT_THAT(Actions(plan), IsEmpty());
  EXPECT_FALSE(plan.reached);
  EXPECT_EQ(plan.reason, "parent vol/x is down");
}

TEST_F(ExplainTest, APlanForAFailedInstanceSaysThatTheOrderWouldEnd) {
  MakeCluster({"n1"});
  SetStatus("n1", "start failed");
  const Plan plan = Try("started");
  EXPECT_FALSE(plan.reached);
  EXPECT_THAT(plan.reason, HasSubstr("start failed"));
}

}  // namespace
}  // namespace om
