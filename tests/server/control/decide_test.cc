#include "server/control/decide.h"

#include "tests/server/control/decide_fixture.h"

namespace om {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

TEST_F(DecideTest, AServiceThatNobodyWantsIsLeftAlone) { EXPECT_THAT(Words(), IsEmpty()); }

TEST_F(DecideTest, AStartOrderStartsASingleNodeServiceAtOnce) {
  Order("started");
  EXPECT_THAT(Words(), ElementsAre("event instance_start/single_node", "run start"));
}

TEST_F(DecideTest, HaServicesStartByThemselvesAndOthersDoNot) {
  EditConfig("s", [](ObjectConfig* config) { config->orchestrate = "ha"; });
  EXPECT_THAT(Words(), Contains("run start"));
  Freeze();
  EXPECT_THAT(Words(), Not(Contains("run start")));
}

TEST_F(DecideTest, NothingIsBegunOnABusyObjectNorPastTheLimit) {
  Order("started");
  busy_.insert(Path("s"));
  EXPECT_THAT(Words(), IsEmpty());
  busy_ = {Path("other")};
  settings_.max_parallel = 1;
  EXPECT_THAT(Words(), IsEmpty());
  settings_.max_parallel = 2;
  EXPECT_THAT(Words(), Contains("run start"));
}

TEST_F(DecideTest, TheLimitCountsWhatThisPassBegins) {
  Add("t");
  for (const char* name : {"s", "t"}) {
    store_.EditInstance(
        Path(name), [](InstanceState* instance) { instance->monitor.global_expect = "started"; });
  }
  settings_.max_parallel = 1;
  EXPECT_THAT(Words(), ElementsAre("event instance_start/single_node", "run start"));
}

TEST_F(DecideTest, AStartOrderThawsFirst) {
  Freeze();
  Order("started");
  EXPECT_THAT(Words(), ElementsAre("event instance_thaw/target", "thaw"));
}

TEST_F(DecideTest, AStartOrderEndsWhenTheServiceIsUp) {
  Order("started");
  SetStatus("s", kNode, "up", {{"app#1", "up"}});
  EXPECT_THAT(Words(), ElementsAre("order reached"));
}

TEST_F(DecideTest, AStartOrderEndsOnAnInstanceInWarn) {
  Order("started");
  SetStatus("s", kNode, "warn", {{"app#1", "warn"}});
  EXPECT_THAT(Words(), ElementsAre("order reached"));
}

TEST_F(DecideTest, AStopOrderFreezesThenStopsThenEnds) {
  SetStatus("s", kNode, "up", {{"app#1", "up"}});
  Order("stopped");
  EXPECT_THAT(Words(), ElementsAre("event instance_freeze/target", "freeze"));
  Freeze();
  EXPECT_THAT(Words(), ElementsAre("event instance_stop/target", "run stop"));
  SetStatus("s", kNode, "down", {{"app#1", "down"}});
  EXPECT_THAT(Words(), ElementsAre("order reached"));
}

TEST_F(DecideTest, AStopWaitsForEveryInstanceToBeFrozen) {
  AddNode("n2");
  Add("s", {kNode, "n2"});
  SetStatus("s", kNode, "up", {{"app#1", "up"}});
  SetStatus("s", "n2", "down");
  Order("stopped");
  Freeze();
  EXPECT_THAT(Words(), IsEmpty());
}

TEST_F(DecideTest, AFailedStatusCancelsItsOrderWithoutRunningAnything) {
  Order("started");
  Status("start failed");
  EXPECT_THAT(Words(), ElementsAre("order failed: start failed"));
  Order("stopped");
  Status("stop failed");
  EXPECT_THAT(Words(), ElementsAre("order failed: stop failed"));
}

TEST_F(DecideTest, AFailedStatusDoesNotBlockAnotherOrder) {
  SetStatus("s", kNode, "warn", {{"app#1", "warn"}});
  Freeze();
  Order("stopped");
  Status("start failed");
  EXPECT_THAT(Words(), Contains("run stop"));
}

TEST_F(DecideTest, AFailureOfAnotherKindDoesNotHoldUpAStartOrder) {
  Order("started");
  Status("thaw failed");
  EXPECT_THAT(Words(),
              ElementsAre("set status=idle", "event instance_start/single_node", "run start"));
}

TEST_F(DecideTest, AFailedStartBlocksAutomaticStarts) {
  EditConfig("s", [](ObjectConfig* config) { config->orchestrate = "ha"; });
  Status("start failed");
  EXPECT_THAT(Words(), Not(Contains("run start")));
}

TEST_F(DecideTest, AFailedStartIsForgottenOnceTheServiceIsUp) {
  SetStatus("s", kNode, "up", {{"app#1", "up"}});
  LocalExpect("started");
  Status("start failed");
  EXPECT_THAT(Words(), Contains("set status=idle"));
}

TEST_F(DecideTest, FrozenAndThawedOrders) {
  Order("frozen");
  EXPECT_THAT(Words(), ElementsAre("event instance_freeze/target", "freeze"));
  Freeze();
  EXPECT_THAT(Words(), ElementsAre("order reached"));
  Order("thawed");
  EXPECT_THAT(Words(), ElementsAre("event instance_thaw/target", "thaw"));
}

TEST_F(DecideTest, AbortDropsWhatTheInstanceExpects) {
  LocalExpect("shutdown");
  Order("aborted");
  EXPECT_THAT(Words(), ElementsAre("event instance_abort/target", "set local="));
  LocalExpect("");
  EXPECT_THAT(Words(), ElementsAre("order reached"));
}

TEST_F(DecideTest, ARunningInstanceIsArmedForRestarts) {
  SetStatus("s", kNode, "up", {{"app#1", "up"}});
  EXPECT_THAT(Words(), ElementsAre("set local=started"));
}

TEST_F(DecideTest, AnInstanceWithoutResourcesIsNotArmed) {
  SetStatus("s", kNode, "up", {});
  EXPECT_THAT(Words(), IsEmpty());
}

TEST_F(DecideTest, ALostResourceIsRestartedAsOftenAsAllowedThenDegraded) {
  LocalExpect("started");
  SetStatus("s", kNode, "down", {{"app#1", "down", 2}});
  EXPECT_THAT(Words(), ElementsAre("set restart=app#1:1", "event resource_restart",
                                   "run start --rid app#1"));
  Edit([](InstanceState* instance) { instance->monitor.restart = {{"app#1", 1}}; });
  EXPECT_THAT(Words(), Contains("run start --rid app#1"));
  Edit([](InstanceState* instance) { instance->monitor.restart = {{"app#1", 2}}; });
  EXPECT_THAT(Words(), ElementsAre("set restart=app#1:3", "event max_resource_restart",
                                   "event resource_degraded", "set local="));
  Edit([](InstanceState* instance) { instance->monitor.restart = {{"app#1", 3}}; });
  EXPECT_THAT(Words(), ElementsAre("set local="));
}

TEST_F(DecideTest, AttemptsAreForgottenOnceTheResourceIsUp) {
  LocalExpect("started");
  SetStatus("s", kNode, "up", {{"app#1", "up", 2}});
  Edit([](InstanceState* instance) { instance->monitor.restart = {{"app#1", 2}}; });
  EXPECT_THAT(Words(), ElementsAre("set restart="));
}

TEST_F(DecideTest, NothingIsRestartedWhenFrozenOrderedToStopOrNotArmed) {
  SetStatus("s", kNode, "down", {{"app#1", "down", 2}});
  EXPECT_THAT(Words(), IsEmpty());
  LocalExpect("started");
  Order("stopped");
  EXPECT_THAT(Words(), Not(Contains("run start --rid app#1")));
  Order("");
  Freeze();
  EXPECT_THAT(Words(), Not(Contains("run start --rid app#1")));
}

TEST_F(DecideTest, AMonitoredResourceIsNotGivenUpForNoCandidate) {
  LocalExpect("started");
  SetStatus("s", kNode, "down", {{"app#1", "down", 0, true}});
  EXPECT_THAT(Words(), ElementsAre("set restart=app#1:1", "event resource_would_toc/no_candidate"));
}

TEST_F(DecideTest, AStartOrderPrevailsOverAMonitoredResourceThatWasGivenUp) {
  LocalExpect("started");
  SetStatus("s", kNode, "down", {{"app#1", "down", 0, true}});
  Edit([](InstanceState* instance) { instance->monitor.restart = {{"app#1", 1}}; });
  EXPECT_THAT(Words(), IsEmpty());
  Order("started");
  EXPECT_THAT(Words(), Contains("run start"));
  SetStatus("s", kNode, "stdby up",
            {{"app#1", "down", 0, true}, {"disk#1", "stdby up", 3, false, true}});
  EXPECT_THAT(Words(), Contains("run start"));
}

TEST_F(DecideTest, AMonitoredResourceMovesTheServiceToAnotherCandidate) {
  AddNode("n2");
  Add("s", {kNode, "n2"});
  SetStatus("s", "n2", "down");
  LocalExpect("started");
  SetStatus("s", kNode, "down", {{"app#1", "down", 0, true}});
  EXPECT_THAT(Words(), Contains("run toc"));
}

TEST_F(DecideTest, StandbyResourcesAreRestartedAtLeastTwiceAndAfterOthers) {
  LocalExpect("started");
  SetStatus("s", kNode, "warn",
            {{"disk#1", "stdby down", 0, false, true}, {"app#1", "down", 1, false, false}});
  EXPECT_THAT(Words(), ElementsAre("set restart=app#1:1,disk#1:1", "event resource_degraded",
                                   "event resource_restart", "run start --rid app#1"));
  LocalExpect("");
  EXPECT_THAT(Words(), Contains("run startstandby --rid disk#1"));
}

TEST_F(DecideTest, WithSeveralNodesTheLeaderAnnouncesItselfBeforeItStarts) {
  AddNode("n2");
  Add("s", {kNode, "n2"});
  SetStatus("s", "n2", "down");
  Order("started");
  EXPECT_THAT(Words(), ElementsAre("set status=ready", "wake"));
  Status("ready");
  EXPECT_THAT(Words(), ElementsAre("wake"));
  clock_.Advance(std::chrono::seconds(5));
  EXPECT_THAT(Words(), ElementsAre("wake"));  // Strictly older than the period.
  clock_.Advance(std::chrono::milliseconds(1));
  EXPECT_THAT(Words(), ElementsAre("event instance_start/from_ready", "run start"));
}

TEST_F(DecideTest, WhoIsNotTheLeaderDoesNotStart) {
  AddNode("n2");
  Add("s", {"n2", kNode});
  SetStatus("s", "n2", "down");
  Order("started");
  EXPECT_THAT(Words(), Not(Contains("set status=ready")));
  // The better placed node cannot start it: this one is the leader now.
  store_.EditObject(Path("s"), [](ObjectState* object) {
    object->instances["n2"].monitor.status = "start failed";
  });
  EXPECT_THAT(Words(), Contains("set status=ready"));
}

TEST_F(DecideTest, NobodyStartsWhileAPeerWorksOrComesUp) {
  AddNode("n2");
  Add("s", {kNode, "n2"});
  SetStatus("s", "n2", "down");
  Order("started");
  store_.EditObject(
      Path("s"), [](ObjectState* object) { object->instances["n2"].monitor.status = "stopping"; });
  EXPECT_THAT(Words(), IsEmpty());
  store_.EditObject(Path("s"),
                    [](ObjectState* object) { object->instances["n2"].monitor.status = "idle"; });
  store_.EditNode("n2", [](NodeState* node) { node->monitor.status = "init"; });
  EXPECT_THAT(Words(), IsEmpty());
}

TEST_F(DecideTest, AStartNeedsOwnershipWhereThereIsAny) {
  ownership_ = std::make_unique<std::map<ObjectPath, Ownership>>();
  Order("started");
  EXPECT_THAT(Words(), ElementsAre("acquire"));
  Ownership mine;
  mine.held = true;
  mine.may_act_until = clock_.Now() + absl::Seconds(1);
  (*ownership_)[Path("s")] = mine;
  EXPECT_THAT(Words(), Contains("run start"));
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_THAT(Words(), IsEmpty());
}

TEST_F(DecideTest, ParentsAreWaitedForAndChildrenStopFirst) {
  Add("p");
  EditConfig("s", [](ObjectConfig* config) { config->parents = {"p"}; });
  Order("started");
  EXPECT_THAT(Words(), ElementsAre("set status=wait parents"));
  Status("wait parents");
  SetStatus("p", kNode, "up", {});
  EXPECT_THAT(Words(), Contains("run start"));

  EditConfig("s", [](ObjectConfig* config) { config->children = {"p"}; });
  SetStatus("s", kNode, "up", {{"app#1", "up"}});
  Status("idle");
  Order("stopped");
  EXPECT_THAT(Words(), ElementsAre("set status=wait children"));
}

TEST_F(DecideTest, FlexServicesRunOnAsManyNodesAsTheyAim) {
  EditConfig("s", [](ObjectConfig* config) {
    config->topology = "flex";
    config->orchestrate = "ha";
    config->flex_target = 1;
    config->flex_max = 2;
  });
  SetStatus("s", kNode, "down", {{"app#1", "down"}});
  EXPECT_THAT(Words(), ElementsAre("set status=ready", "wake"));
  EditConfig("s", [](ObjectConfig* config) { config->flex_target = 0; });
  SetStatus("s", kNode, "up", {{"app#1", "up"}});
  LocalExpect("started");
  EXPECT_THAT(Words(), Contains("run stop"));
}

TEST_F(DecideTest, ASingleNodeClusterJoinsAtOnceOthersWaitForTheRest) {
  store_.EditNode(kNode, [](NodeState* node) { node->monitor.status = "rejoin"; });
  EXPECT_THAT(Words(), ElementsAre("node idle"));
  store_.SetCluster({"c", "id", {kNode, "n2"}});
  EXPECT_THAT(Words(), ElementsAre("wake"));
  AddNode("n2");
  EXPECT_THAT(Words(), ElementsAre("node idle"));
  store_.EraseNode("n2");
  clock_.Advance(std::chrono::seconds(91));
  EXPECT_THAT(Words(), ElementsAre("event node_freeze/rejoin_expire", "freeze node", "node idle"));
}

TEST_F(DecideTest, NothingIsDecidedBeforeTheInstancesAreKnownNorOnTheWayOut) {
  Order("started");
  for (const char* status : {"init", "maintenance", "upgrade", "shutting"}) {
    store_.EditNode(kNode, [&](NodeState* node) { node->monitor.status = status; });
    EXPECT_THAT(Words(), IsEmpty()) << status;
  }
}

TEST_F(DecideTest, NodeOrders) {
  const auto order = [&](const char* word) {
    store_.EditNode(kNode, [&](NodeState* node) { node->monitor.global_expect = word; });
  };
  order("frozen");
  EXPECT_THAT(Words(), ElementsAre("event node_freeze/target", "freeze node"));
  store_.EditNode(kNode, [&](NodeState* node) { node->frozen_since = clock_.Now(); });
  EXPECT_THAT(Words(), Contains("node order reached"));
  order("thawed");
  EXPECT_THAT(Words(), Contains("thaw node"));
}

TEST_F(DecideTest, AStartCountsOnlyIfTheInstanceIsSeenToRun) {
  EXPECT_THAT(After(CrmVerb::kStart, true, "up"), ElementsAre("set status=idle local=started"));
  EXPECT_THAT(After(CrmVerb::kStart, true, "n/a"), ElementsAre("set status=idle local=started"));
  EXPECT_THAT(After(CrmVerb::kStart, false, "down"), ElementsAre("set status=start failed"));
  EXPECT_THAT(After(CrmVerb::kStart, true, "down"), ElementsAre("set status=start failed"));
  EXPECT_THAT(After(CrmVerb::kStart, true, nullptr), ElementsAre("set status=start failed"));
}

TEST_F(DecideTest, AStopThatLeavesTheInstanceUpHasFailed) {
  EXPECT_THAT(After(CrmVerb::kStop, true, "down"), ElementsAre("set status=idle local="));
  EXPECT_THAT(After(CrmVerb::kStop, true, "stdby up"), ElementsAre("set status=idle local="));
  EXPECT_THAT(After(CrmVerb::kStop, true, "up"), ElementsAre("set status=stop failed"));
  EXPECT_THAT(After(CrmVerb::kStop, true, "warn"), ElementsAre("set status=stop failed"));
  EXPECT_THAT(After(CrmVerb::kStop, false, "down"), ElementsAre("set status=stop failed"));
  EXPECT_THAT(After(CrmVerb::kStop, true, nullptr), ElementsAre("set status=stop failed"));
}

TEST_F(DecideTest, OtherCommandsLeaveWhatTheTableSays) {
  EXPECT_THAT(After(CrmVerb::kShutdown, false, "up"),
              ElementsAre("set status=shutdown failed local="));
  EXPECT_THAT(After(CrmVerb::kRestartResources, false, "down"), ElementsAre("set status=idle"));
  EXPECT_THAT(After(CrmVerb::kToc, true, "down"), ElementsAre("set local="));
  EXPECT_THAT(After(CrmVerb::kToc, false, "up"), ElementsAre("set status=toc failed"));
}

TEST_F(DecideTest, PlacementPolicies) {
  for (const char* name : {"n2", "n3"}) AddNode(name);
  ObjectConfig config;
  const std::vector<std::string> nodes = {"n1", "n2", "n3"};
  config.placement = "shift";
  EXPECT_THAT(Rank(store_.current(), Path("1.web"), config, nodes), ElementsAre("n2", "n3", "n1"));
  EXPECT_THAT(Rank(store_.current(), Path("web"), config, nodes), ElementsAre("n1", "n2", "n3"));
  config.placement = "score";
  store_.EditNode("n3", [](NodeState* node) { node->stats.score = 9; });
  EXPECT_THAT(Rank(store_.current(), Path("web"), config, nodes), ElementsAre("n3", "n1", "n2"));
  config.placement = "load avg";
  store_.EditNode("n1", [](NodeState* node) { node->stats.load_15m = 3; });
  EXPECT_THAT(Rank(store_.current(), Path("web"), config, nodes), ElementsAre("n2", "n3", "n1"));
  config.placement = "none";
  EXPECT_THAT(Rank(store_.current(), Path("web"), config, nodes), IsEmpty());
  EXPECT_THAT(Rank(store_.current(), Path("web"), config, {"n2"}), ElementsAre("n2"));
  config.placement = "spread";
  EXPECT_EQ(Rank(store_.current(), Path("web"), config, nodes),
            Rank(store_.current(), Path("web"), config, {"n3", "n2", "n1"}));
  config.nodes = {"n1"};
  config.drpnodes = {"n3", "n2"};
  EXPECT_THAT(PeerNodes(config, "n2"), ElementsAre("n3", "n2"));
  EXPECT_THAT(PeerNodes(config, "n9"), IsEmpty());
}

}  // namespace
}  // namespace om
