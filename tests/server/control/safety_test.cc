// Ownership, placement, fencing, starts on request, and what the node itself does.
#include "tests/server/control/decide_fixture.h"

namespace om {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

class SafetyTest : public DecideTest {
 protected:
  SafetyTest() { AddPeers({"n2"}); }
  std::vector<std::string> CandidateNodes(const Relaxations& relax = {}) {
    const auto object = store_.current().objects.Find(Path("s"));
    return Candidates(store_.current(), *object, *object->config(kNode), kNode, relax);
  }
  void Request() {
    Edit([](InstanceState* instance) {
      instance->monitor.local_expect = "started";
      instance->monitor.start_requested = true;
    });
  }
};

// ---- Ownership ----

TEST_F(SafetyTest, AnInstanceThatIsAnotherNodesIsStoppedEvenIfFrozen) {
  Up("n1");
  LocalExpect("started");
  Freeze();
  Own("n2");
  EXPECT_THAT(Words(), ElementsAre("event instance_stop/ownership_lost", "run stop"));
  Status("stopping");
  EXPECT_THAT(Words(), IsEmpty());
  Status("stop failed");
  EXPECT_THAT(Words(), IsEmpty());
}

TEST_F(SafetyTest, AnInstanceThatIsFoundRunningAsksForItsRecord) {
  Up("n1");
  LocalExpect("started");
  Own("");
  EXPECT_THAT(Words(), ElementsAre("acquire"));
  Own(kNode);
  EXPECT_THAT(Words(), IsEmpty());
}

TEST_F(SafetyTest, AFlexServiceNeedsNoRecord) {
  EditConfig("s", [](ObjectConfig* config) { config->topology = "flex"; });
  Up("n1");
  LocalExpect("started");
  Own("n2");
  EXPECT_THAT(Words(), Not(Contains("run stop")));
}

TEST_F(SafetyTest, AStandbyInstanceInTroubleIsNotTakenForTheService) {
  SetStatus("s", kNode, "warn",
            {{"disk#1", "stdby up", 0, false, true}, {"disk#2", "stdby down", 0, false, true}});
  Own("n2");
  EXPECT_THAT(Words(), Not(Contains("run stop")));
}

TEST_F(SafetyTest, TheRecordIsLetGoOnceTheInstanceIsDown) {
  Own(kNode);
  EXPECT_THAT(Words(), ElementsAre("release"));
  LocalExpect("started");  // Its restarts are not over.
  SetStatus("s", kNode, "down", {{"app#1", "down", 3}});
  EXPECT_THAT(Words(), Not(Contains("release")));
  LocalExpect("");
  SetStatus("s", kNode, "n/a", {{"app#1", "n/a"}});  // Who knows.
  EXPECT_THAT(Words(), IsEmpty());
}

TEST_F(SafetyTest, TheRecordIsKeptOnTheWayToAStart) {
  Own(kNode);
  Order("started");
  Status("ready");
  EXPECT_THAT(Words(), ElementsAre("wake"));
}

TEST_F(SafetyTest, CommandsThatStopLetGoOfTheRecord) {
  Own(kNode);
  for (const CrmVerb verb : {CrmVerb::kStop, CrmVerb::kShutdown, CrmVerb::kToc,
                             CrmVerb::kUnprovision, CrmVerb::kPurge}) {
    EXPECT_THAT(After(verb, true, "down", false), Contains("release")) << CrmVerbName(verb);
    EXPECT_THAT(After(verb, true, "up", false), Not(Contains("release"))) << CrmVerbName(verb);
    EXPECT_THAT(After(verb, false, "down", true), Not(Contains("release"))) << CrmVerbName(verb);
  }
  EXPECT_THAT(After(CrmVerb::kDelete, true, nullptr), Contains("release"));
  Up("n1");
  EXPECT_THAT(After(CrmVerb::kDelete, true, nullptr), Not(Contains("release")));
}

TEST_F(SafetyTest, ResourcesAreRestartedOnlyWhileTheRecordHolds) {
  LocalExpect("started");
  SetStatus("s", kNode, "warn", {{"app#1", "down", 3}, {"app#2", "up"}});
  Own(kNode);
  EXPECT_THAT(Words(), Contains("run start --rid app#1"));
  (*ownership_)[Path("s")].may_act_until = clock_.Now();
  EXPECT_THAT(Words(), IsEmpty());
}

// ---- local_expect started ----

TEST_F(SafetyTest, AStartOnRequestGoesThroughReadyWhateverThePlacement) {
  EditConfig("s", [](ObjectConfig* config) { config->nodes = {"n2", "n1"}; });
  Request();
  EXPECT_THAT(Words(), ElementsAre("set status=ready", "wake"));
  Status("ready");
  clock_.Advance(std::chrono::seconds(6));
  EXPECT_THAT(Words(), ElementsAre("event instance_start/from_ready", "run start"));
}

TEST_F(SafetyTest, AStartOnRequestIsWholeNotInParts) {
  Request();
  SetStatus("s", kNode, "down", {{"app#1", "down", 3}});
  EXPECT_THAT(Words(), ElementsAre("set status=ready", "wake"));
}

TEST_F(SafetyTest, AStartOnRequestNeedsTheRecord) {
  Own("");
  Request();
  Status("ready");
  clock_.Advance(std::chrono::seconds(6));
  EXPECT_THAT(Words(), ElementsAre("acquire"));
}

TEST_F(SafetyTest, AStartOnRequestIsDroppedWhereTheServiceRunsElsewhere) {
  Up("n2");
  Request();
  EXPECT_THAT(Words(), ElementsAre("set local="));
}

TEST_F(SafetyTest, AStartOnRequestWaitsWhileFrozen) {
  Request();
  Freeze();
  EXPECT_THAT(Words(), IsEmpty());
}

TEST_F(SafetyTest, AStartOnRequestKeepsToTheMostThatAFlexServiceMayHave) {
  EditConfig("s", [](ObjectConfig* config) {
    config->topology = "flex";
    config->flex_max = 1;
  });
  Up("n2");
  Request();
  EXPECT_THAT(Words(), ElementsAre("set local="));
}

// ---- Candidates ----

TEST_F(SafetyTest, WhatKeepsANodeFromBeingACandidate) {
  EXPECT_THAT(CandidateNodes(), ElementsAre("n1", "n2"));
  PeerStatus("n2", "start failed");
  EXPECT_THAT(CandidateNodes(), ElementsAre("n1"));
  EXPECT_THAT(CandidateNodes({.failed = true}), ElementsAre("n1", "n2"));
  PeerStatus("n2", "idle");
  Provisioned("n2", false);
  EXPECT_THAT(CandidateNodes(), ElementsAre("n1"));
  EXPECT_THAT(CandidateNodes({.unprovisioned = true}), ElementsAre("n1", "n2"));
  Provisioned("n2", true);
  EditStatus("n2", [](InstanceStatus* status) { status->constraints = false; });
  EXPECT_THAT(CandidateNodes(), ElementsAre("n1"));
  EXPECT_THAT(CandidateNodes({.constraints = true}), ElementsAre("n1", "n2"));
  Down("n2");
  store_.EditNode("n2", [](NodeState* node) { node->frozen_since = absl::UnixEpoch(); });
  EXPECT_THAT(CandidateNodes(), ElementsAre("n1"));
  EXPECT_THAT(CandidateNodes({.frozen = true}), ElementsAre("n1", "n2"));
  store_.EditNode("n2", [](NodeState* node) {
    node->frozen_since.reset();
    node->stats.mem_total_mib = 100;
    node->stats.mem_avail_percent = 1;
  });
  EXPECT_THAT(CandidateNodes(), ElementsAre("n1"));
  EXPECT_THAT(CandidateNodes({.overload = true}), ElementsAre("n1", "n2"));
  store_.EditNode("n2", [](NodeState* node) {
    node->stats = {};
    node->monitor.status = "shutting";
  });
  EXPECT_THAT(CandidateNodes(Relaxations::ForPlacedAt()), ElementsAre("n1"));
  EXPECT_THAT(CandidateNodes(Relaxations::ForScaler()), ElementsAre("n1", "n2"));
}

TEST_F(SafetyTest, AffinitiesAreLookedAtOnEachNode) {
  Add("t", {"n1", "n2"});
  SetStatus("t", "n2", "up");
  EditConfig("s", [](ObjectConfig* config) { config->hard_affinity = {"t"}; });
  EXPECT_THAT(CandidateNodes(), ElementsAre("n2"));
  EditConfig("s", [](ObjectConfig* config) {
    config->hard_affinity.clear();
    config->hard_anti_affinity = {"t"};
  });
  EXPECT_THAT(CandidateNodes(), ElementsAre("n1"));
  EditConfig("s", [](ObjectConfig* config) { config->hard_affinity = {"gone"}; });
  EXPECT_THAT(CandidateNodes(), IsEmpty());
}

TEST_F(SafetyTest, SoftAffinitiesNarrowTheChoiceButNeverToNothing) {
  Add("t", {"n1", "n2"});
  EditConfig("s", [](ObjectConfig* config) { config->soft_affinity = {"t"}; });
  EXPECT_THAT(CandidateNodes(), ElementsAre("n1", "n2"));
  SetStatus("t", "n2", "up");
  EXPECT_THAT(CandidateNodes(), ElementsAre("n2"));
  EditConfig("s", [](ObjectConfig* config) { config->soft_anti_affinity = {"t"}; });
  EXPECT_THAT(CandidateNodes(), ElementsAre("n1", "n2"));
}

// ---- Fencing, toc ----

TEST_F(SafetyTest, ANodeThatRanTheServiceAndIsGoneIsKilledBeforeATakeover) {
  EditConfig("s", [](ObjectConfig* config) { config->orchestrate = "ha"; });
  Up("n2");
  EditStatus("n2", [](InstanceStatus* status) { status->stonith = true; });
  EXPECT_THAT(Words(), Contains("set stonith=n2"));
  Edit([](InstanceState* instance) { instance->monitor.stonith = "n2"; });
  store_.EraseNode("n2");
  Status("ready");
  clock_.Advance(std::chrono::seconds(6));
  EXPECT_THAT(Words(), ElementsAre("fence n2"));
  Edit([](InstanceState* instance) { instance->monitor.stonith.clear(); });
  EXPECT_THAT(Words(), Contains("run start"));
}

TEST_F(SafetyTest, ANodeThatLetGoOfTheServiceIsNotKilled) {
  Edit([](InstanceState* instance) { instance->monitor.stonith = "n2"; });
  EXPECT_THAT(Words(), ElementsAre("set stonith="));
}

TEST_F(SafetyTest, ASwitchHandsTheServiceOverByAnOrder) {
  EditConfig("s", [](ObjectConfig* config) { config->monitor_action = "switch"; });
  Status("tocing");
  EXPECT_THAT(After(CrmVerb::kToc, true, "down"),
              ElementsAre("set status=start failed local=", "give s placed"));
  // The resource manager has said so itself.
  Status("start failed");
  EXPECT_THAT(After(CrmVerb::kToc, true, "down"), ElementsAre("set local="));
  Status("tocing");
  EXPECT_THAT(After(CrmVerb::kToc, true, "up"), ElementsAre("set status=idle local="));
  EditConfig("s", [](ObjectConfig* config) { config->monitor_action = "freezestop"; });
  EXPECT_THAT(After(CrmVerb::kToc, true, "down"), ElementsAre("set status=idle local="));
}

// ---- Wrappers ----

TEST_F(SafetyTest, AnObjectWithoutResourcesIsNeverStarted) {
  EditConfig("s", [](ObjectConfig* config) { config->orchestrate = "ha"; });
  SetStatus("s", kNode, "down", {});
  EXPECT_THAT(Words(), IsEmpty());
}

// ---- Scalers ----

class ScalerTest : public SafetyTest {
 protected:
  ScalerTest() {
    for (const char* node : {"n1", "n2"}) SetStatus("s", node, "n/a", {});
  }
  void Scale(int scale, const char* topology) {
    EditConfig("s", [&](ObjectConfig* config) {
      config->scale = scale;
      config->topology = topology;
    });
  }
  void AddSlice(const std::string& path, const char* topology, int width) {
    Add(path);
    EditConfig(path, [&](ObjectConfig* config) {
      config->scaler_slave = true;
      config->topology = topology;
      config->flex_target = width;
    });
    store_.EditInstance(Path(path),
                        [](InstanceState* instance) { instance->monitor.placement = "leader"; });
  }
};

TEST_F(ScalerTest, MissingSlicesAreMadeOneByOne) {
  Scale(2, "failover");
  EXPECT_THAT(Words(),
              ElementsAre("event scale_up", "set status=scaling", "create 0.s scaler_slave=true"));
  AddSlice("0.s", "failover", 0);
  Status("scaling");
  EXPECT_THAT(Words(), ElementsAre("create 1.s scaler_slave=true"));
  AddSlice("1.s", "failover", 0);
  EXPECT_THAT(Words(), ElementsAre("set status=idle"));
}

TEST_F(ScalerTest, FlexSlicesAreAsWideAsThereAreNodesTheLastTakesTheRest) {
  Scale(3, "flex");
  EXPECT_THAT(Words(), Contains("create 0.s flex_max=2 flex_min=2 flex_target=2 "
                                "scaler_slave=true"));
  AddSlice("0.s", "flex", 2);
  EXPECT_THAT(Words(), Contains("create 1.s flex_max=1 flex_min=1 flex_target=1 "
                                "scaler_slave=true"));
}

TEST_F(ScalerTest, ExcessSlicesArePurgedFromTheHighestAndShrunkIfOnlyPartIsTooMuch) {
  Scale(1, "failover");
  AddSlice("0.s", "failover", 0);
  AddSlice("1.s", "failover", 0);
  EXPECT_THAT(Words(), ElementsAre("event scale_down", "set status=scaling", "give 1.s purged"));
  Scale(1, "flex");
  store_.EraseObject(Path("1.s"));
  AddSlice("0.s", "flex", 2);
  EXPECT_THAT(Words(), Contains("resize 0.s flex_max=1 flex_min=1 flex_target=1"));
}

TEST_F(ScalerTest, NothingIsScaledWhileASliceIsWorkedOnOrTheScalerIsFrozen) {
  Scale(2, "failover");
  AddSlice("0.s", "failover", 0);
  store_.EditInstance(Path("0.s"), [](InstanceState* instance) {
    instance->monitor.global_expect = "provisioned";
  });
  EXPECT_THAT(Words(), Not(Contains("create 1.s scaler_slave=true")));
  store_.EditInstance(Path("0.s"),
                      [](InstanceState* instance) { instance->monitor.global_expect.clear(); });
  EXPECT_THAT(Words(), Contains("create 1.s scaler_slave=true"));
  Freeze();
  EXPECT_THAT(Words(), Not(Contains("create 1.s scaler_slave=true")));
}

TEST_F(ScalerTest, OnlyTheFirstNodeScales) {
  Scale(2, "failover");
  EditConfig("s", [](ObjectConfig* config) { config->nodes = {"n2", "n1"}; });
  EXPECT_THAT(Words(), IsEmpty());
}

// ---- The node ----

TEST_F(SafetyTest, AShutdownEndsEveryInstanceChildrenFirstEvenFrozenOnes) {
  Add("c");
  SetStatus("c", kNode, "up", {{"app#1", "up"}});
  EditConfig("s", [](ObjectConfig* config) { config->children = {"c"}; });
  Up("n1");
  Freeze();
  store_.EditNode(kNode, [&](NodeState* node) {
    node->monitor.status = "shutting";
    node->monitor.status_updated = clock_.Now();
  });
  EXPECT_THAT(Words(),
              ElementsAre("set local=shutdown", "event instance_stop/shutdown", "run shutdown",
                          "set local=shutdown", "set status=wait children"));
  EXPECT_FALSE(ShutdownFinished(MakeView(), kNode));
  SetStatus("c", kNode, "down", {{"app#1", "down"}});
  LocalExpect("shutdown");
  Status("wait children");
  EXPECT_THAT(Words(), ElementsAre("event instance_stop/shutdown", "run shutdown"));
  Down("n1");
  EXPECT_THAT(Words(), ElementsAre("set local=", "set status=idle"));
  EXPECT_TRUE(ShutdownFinished(MakeView(), kNode));
  busy_.insert(Path("c"));
  EXPECT_FALSE(ShutdownFinished(MakeView(), kNode));
}

TEST_F(SafetyTest, AShutdownGivesUpOnWhatFailsToButNotOnWhatFailedBefore) {
  Up("n1");
  Status("shutdown failed");
  clock_.Advance(std::chrono::seconds(1));
  store_.EditNode(kNode, [&](NodeState* node) {
    node->monitor.status = "shutting";
    node->monitor.status_updated = clock_.Now();
  });
  EXPECT_THAT(Words(), Contains("run shutdown"));
  Status("shutdown failed");
  EXPECT_THAT(Words(), Not(Contains("run shutdown")));
  EXPECT_TRUE(ShutdownFinished(MakeView(), kNode));
}

TEST_F(SafetyTest, ChildrenInACircleDoNotHoldUpAShutdown) {
  Up("n1");
  Add("c");
  SetStatus("c", kNode, "up", {{"app#1", "up"}});
  EditConfig("s", [](ObjectConfig* config) { config->children = {"c"}; });
  EditConfig("c", [](ObjectConfig* config) { config->children = {"s"}; });
  store_.EditNode(kNode, [](NodeState* node) { node->monitor.status = "shutting"; });
  EXPECT_THAT(Words(), Contains("run shutdown"));
}

TEST_F(SafetyTest, ANodesOwnOrderActsOnItAloneAndEnds) {
  const auto expect = [&](const char* word) {
    store_.EditNode(kNode, [&](NodeState* node) { node->monitor.local_expect = word; });
  };
  expect("frozen");
  EXPECT_THAT(Words(), ElementsAre("event node_freeze/target", "freeze node"));
  store_.EditNode(kNode, [&](NodeState* node) { node->frozen_since = clock_.Now(); });
  EXPECT_THAT(Words(), ElementsAre("node local expect done"));
  expect("thawed");
  EXPECT_THAT(Words(), ElementsAre("event node_thaw/target", "thaw node"));
}

TEST_F(SafetyTest, WhatPeersFrozeWhileThisNodeWasAwayIsFrozenHere) {
  EditConfig("s", [](ObjectConfig* config) { config->orchestrate = "ha"; });
  store_.EditNode(kNode, [](NodeState* node) { node->monitor.status = "rejoin"; });
  const absl::Time frozen = clock_.Now();
  store_.EditNode("n2", [&](NodeState* node) { node->frozen_since = frozen; });
  EditPeer("n2", [&](InstanceState* instance) { instance->frozen_since = frozen; });
  EXPECT_THAT(Words(), Not(Contains("freeze")));  // After an upgrade.
  last_shutdown_ = frozen;
  EXPECT_THAT(Words(), Not(Contains("freeze")));
  last_shutdown_ = frozen - absl::Seconds(1);
  EXPECT_THAT(Words(), ElementsAre("event node_freeze/merge_frozen", "freeze node",
                                   "event instance_freeze/merge_frozen", "freeze", "node idle"));
  Order("thawed");
  EXPECT_THAT(Words(), Not(Contains("freeze")));
}

TEST_F(SafetyTest, ASilentNodeInMaintenanceIsForgottenAfterItsGracePeriod) {
  Up("n1");
  LocalExpect("started");
  store_.EditNode("n2", [](NodeState* node) {
    node->alive = false;
    node->monitor.status = "maintenance";
  });
  EXPECT_THAT(Words(), ElementsAre("wake"));
  clock_.Advance(std::chrono::seconds(61));
  EXPECT_THAT(Words(), ElementsAre("event forget_peer/no_rx", "forget n2"));
  store_.EditNode("n2", [](NodeState* node) { node->monitor.status = "upgrade"; });
  EXPECT_THAT(Words(), IsEmpty());
}

}  // namespace
}  // namespace om
