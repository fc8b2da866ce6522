// Orders on a service of several nodes, one rule a test.
#include "tests/server/control/decide_fixture.h"

namespace om {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

class OrderTest : public DecideTest {
 protected:
  OrderTest() { AddPeers({"n2"}); }
  // An order as it has reached both nodes.
  void OrderAll(const std::string& order) {
    for (const char* node : {"n1", "n2"}) {
      EditPeer(node, [&](InstanceState* instance) {
        instance->monitor.global_expect = order;
        instance->monitor.order_id = "o1";
      });
    }
  }
  bool Reached(const std::string& order) {
    return OrderReached(store_.current(), *store_.current().objects.Find(Path("s")), kNode, order);
  }
};

// ---- provisioned ----

TEST_F(OrderTest, TheFirstNodeProvisionsAsLeader) {
  Provisioned("n1", false);
  Provisioned("n2", false);
  OrderAll("provisioned");
  EXPECT_THAT(Words(), ElementsAre("event instance_provision/target",
                                   "run provision --leader --disable-rollback"));
}

TEST_F(OrderTest, OthersWaitForTheFirstNodeToBeProvisioned) {
  EditConfig("s", [](ObjectConfig* config) { config->nodes = {"n2", "n1"}; });
  Provisioned("n1", false);
  Provisioned("n2", false);
  OrderAll("provisioned");
  EXPECT_THAT(Words(), ElementsAre("set status=wait leader"));
  Status("wait leader");
  EXPECT_THAT(Words(), IsEmpty());
  Provisioned("n2", true);
  EXPECT_THAT(Words(), ElementsAre("event instance_provision/target", "run provision"));
}

TEST_F(OrderTest, WhereItRunsIsTheFirstNodeToBeProvisioned) {
  Provisioned("n1", false);
  SetStatus("s", "n2", "warn", {{"app#1", "warn"}});
  Provisioned("n2", false);
  OrderAll("provisioned");
  EXPECT_THAT(Words(), ElementsAre("set status=wait leader"));
}

TEST_F(OrderTest, ProvisioningWaitsForTheInstancesOfAllLiveNodes) {
  AddNode("n3");
  EditConfig("s", [](ObjectConfig* config) { config->nodes.push_back("n3"); });
  Provisioned("n1", false);
  OrderAll("provisioned");
  EXPECT_THAT(Words(), ElementsAre("set status=wait sync"));
  store_.EditNode("n3", [](NodeState* node) { node->alive = false; });
  EXPECT_THAT(Words(), Contains("run provision --leader --disable-rollback"));
}

TEST_F(OrderTest, ProvisioningWaitsForParents) {
  Add("p");
  EditConfig("s", [](ObjectConfig* config) { config->parents = {"p"}; });
  Provisioned("n1", false);
  OrderAll("provisioned");
  EXPECT_THAT(Words(), ElementsAre("set status=wait parents"));
}

TEST_F(OrderTest, WhatIsProvisionedWaitsNoMore) {
  Provisioned("n1", true);
  Provisioned("n2", false);
  OrderAll("provisioned");
  Status("wait leader");
  EXPECT_THAT(Words(), ElementsAre("set status=idle"));
}

TEST_F(OrderTest, ProvisionedServicesAreStartedUnlessTheyRun) {
  Provisioned("n1", true);
  Provisioned("n2", true);
  OrderAll("provisioned");
  EXPECT_THAT(Words(), ElementsAre("order becomes started"));
  Up("n1");
  Provisioned("n1", true);
  LocalExpect("started");
  EXPECT_THAT(Words(), ElementsAre("order becomes thawed"));
}

TEST_F(OrderTest, AProvisionThatFailedElsewhereEndsTheOrderHere) {
  EditConfig("s", [](ObjectConfig* config) { config->nodes = {"n2", "n1"}; });
  Provisioned("n1", false);
  Provisioned("n2", false);
  OrderAll("provisioned");
  EditPeer("n2", [](InstanceState* instance) {
    instance->monitor.status = "provision failed";
    instance->monitor.global_expect.clear();
  });
  EXPECT_THAT(Words(), ElementsAre("order failed: provision failed on n2"));
}

TEST_F(OrderTest, ALeaderThatProvisionsAFailoverServiceOwnsItFirst) {
  Provisioned("n1", false);
  Provisioned("n2", false);
  OrderAll("provisioned");
  Own("");
  EXPECT_THAT(Words(), ElementsAre("acquire"));
  Own(kNode);
  EXPECT_THAT(Words(), Contains("run provision --leader --disable-rollback"));
}

TEST_F(OrderTest, AProvisionCountsOnlyIfTheInstanceIsSeenToBe) {
  const std::vector<std::string> lead = {"provision", "--leader", "--disable-rollback"};
  EXPECT_THAT(After(CrmVerb::kProvision, true, "down", true), ElementsAre("set status=idle"));
  EXPECT_THAT(After(CrmVerb::kProvision, true, "n/a"), ElementsAre("set status=idle"));
  EXPECT_THAT(After(CrmVerb::kProvision, true, "down", false),
              ElementsAre("set status=provision failed"));
  EXPECT_THAT(After(CrmVerb::kProvision, true, nullptr),
              ElementsAre("set status=provision failed"));
  EXPECT_THAT(After(CrmVerb::kProvision, false, "down", true),
              ElementsAre("set status=provision failed"));
  // Half started: the rest is started at once.
  EXPECT_THAT(After(CrmVerb::kProvision, true, "warn", true, lead),
              ElementsAre("set", "run start"));
}

// ---- unprovisioned, purged, deleted ----

TEST_F(OrderTest, UnprovisioningStopsByForceAndEverywhereFirst) {
  Up("n1");
  Provisioned("n1", true);
  Provisioned("n2", true);
  OrderAll("unprovisioned");
  EXPECT_THAT(Words(), ElementsAre("event instance_stop/target", "run stop --force"));
  Down("n1");
  Provisioned("n1", true);
  Up("n2");
  EXPECT_THAT(Words(), IsEmpty());
}

TEST_F(OrderTest, TheLastNodeUnprovisionsAfterTheOthersAsLeader) {
  Provisioned("n1", true);
  Provisioned("n2", true);
  OrderAll("unprovisioned");
  EXPECT_THAT(Words(), ElementsAre("set status=wait non-leader"));
  Provisioned("n2", false);
  EXPECT_THAT(Words(),
              ElementsAre("event instance_unprovision/target", "run unprovision --leader"));
}

TEST_F(OrderTest, NodesBeforeTheLastUnprovisionAtOnce) {
  EditConfig("s", [](ObjectConfig* config) { config->nodes = {"n2", "n1"}; });
  Provisioned("n1", true);
  Provisioned("n2", true);
  OrderAll("unprovisioned");
  EXPECT_THAT(Words(), ElementsAre("event instance_unprovision/target", "run unprovision"));
}

TEST_F(OrderTest, UnprovisioningWaitsForChildren) {
  Add("c");
  SetStatus("c", kNode, "up", {{"app#1", "up"}});
  EditConfig("s", [](ObjectConfig* config) { config->children = {"c"}; });
  Provisioned("n1", true);
  OrderAll("unprovisioned");
  EXPECT_THAT(Words(), Contains("set status=wait children"));
}

TEST_F(OrderTest, UnprovisioningEndsWhenNothingIsProvisionedNorRuns) {
  Provisioned("n1", false);
  Provisioned("n2", true);
  EXPECT_FALSE(Reached("unprovisioned"));
  Provisioned("n2", false);
  EXPECT_TRUE(Reached("unprovisioned"));
  Up("n1");
  EXPECT_FALSE(Reached("unprovisioned"));
}

TEST_F(OrderTest, AStopThatFailedCancelsWhatItWasFor) {
  Status("stop failed");
  for (const char* order : {"stopped", "unprovisioned", "purged"}) {
    Order(order);
    Up("n1");
    EXPECT_THAT(Words(), Contains("order failed: stop failed")) << order;
  }
}

TEST_F(OrderTest, APurgeUnprovisionsThenDeletes) {
  EditConfig("s", [](ObjectConfig* config) { config->nodes = {"n2", "n1"}; });
  Provisioned("n1", true);
  OrderAll("purged");
  EXPECT_THAT(Words(), ElementsAre("event instance_purge/target", "run unprovision"));
  EXPECT_THAT(After(CrmVerb::kPurge, true, "down", false),
              ElementsAre("set", "run delete --purge-collector"));
  EXPECT_THAT(After(CrmVerb::kPurge, true, "down", true, {}, "purge failed"),
              ElementsAre("set status=purge failed"));
  EXPECT_THAT(After(CrmVerb::kPurge, true, "up", false, {}, "purge failed"),
              ElementsAre("set status=purge failed"));
}

TEST_F(OrderTest, TheLastNodePurgesOnceTheOthersAreGone) {
  Provisioned("n1", true);
  OrderAll("purged");
  EXPECT_THAT(Words(), ElementsAre("set status=wait non-leader"));
  store_.EditObject(Path("s"), [](ObjectState* object) { object->instances.erase("n2"); });
  EXPECT_THAT(Words(), ElementsAre("event instance_purge/target", "run unprovision --leader"));
}

TEST_F(OrderTest, WhatWasNeverProvisionedIsOnlyDeletedByAPurge) {
  EditConfig("s", [](ObjectConfig* config) { config->nodes = {"n2", "n1"}; });
  Provisioned("n1", false);
  OrderAll("purged");
  EXPECT_THAT(Words(), ElementsAre("event instance_delete/target", "run delete --purge-collector"));
}

TEST_F(OrderTest, ADeletionWaitsForChildrenAndEndsWithTheInstance) {
  Add("c");
  SetStatus("c", kNode, "up", {{"app#1", "up"}});
  EditConfig("s", [](ObjectConfig* config) { config->children = {"c"}; });
  OrderAll("deleted");
  EXPECT_THAT(Words(), Contains("set status=wait children"));
  SetStatus("c", kNode, "down", {{"app#1", "down"}});
  EXPECT_THAT(Words(), Contains("run delete --purge-collector"));
  EXPECT_THAT(After(CrmVerb::kDelete, true, nullptr),
              ElementsAre("set status=idle", "order reached"));
  EXPECT_THAT(After(CrmVerb::kDelete, false, nullptr), ElementsAre("set status=delete failed"));
}

TEST_F(OrderTest, ObjectsThatRunNothingAreDeletedAtOnce) {
  const ObjectPath path = Path("test/cfg/c");
  store_.EditObject(path, [](ObjectState* object) {
    object->configs[kNode].topology = "span";
    object->instances[kNode].monitor.global_expect = "purged";
  });
  EXPECT_THAT(Words(), Contains("run delete --purge-collector"));
}

// ---- placed ----

TEST_F(OrderTest, APlacementStopsTheServiceWhereItShouldNotRun) {
  EditConfig("s", [](ObjectConfig* config) { config->nodes = {"n2", "n1"}; });
  Up("n1");
  LocalExpect("started");
  EditPeer("n2", [](InstanceState* instance) { instance->monitor.placement = "leader"; });
  OrderAll("placed");
  EXPECT_THAT(Words(), Contains("run stop"));
}

TEST_F(OrderTest, ThePlacementLeaderStartsOnceTheOthersHaveStopped) {
  Up("n2");
  OrderAll("placed");
  EXPECT_THAT(Words(), IsEmpty());
  Down("n2");
  EXPECT_THAT(Words(), ElementsAre("set status=ready", "wake"));
  Status("ready");
  clock_.Advance(std::chrono::seconds(6));
  EXPECT_THAT(Words(), ElementsAre("event instance_start/from_ready", "run start"));
}

TEST_F(OrderTest, APlacementIsReachedWhereItIsOptimalAndUp) {
  Up("n1");
  EXPECT_TRUE(Reached("placed"));
  Down("n1");
  EXPECT_FALSE(Reached("placed"));
  Up("n2");
  EXPECT_FALSE(Reached("placed"));
}

TEST_F(OrderTest, APlacementFailsWhenNoNodeIsLeft) {
  PeerStatus("n2", "place failed");
  EditStatus("n1", [](InstanceStatus* status) { status->constraints = false; });
  OrderAll("placed");
  EXPECT_THAT(Words(), Contains("order failed: no node is left to place it on"));
}

TEST_F(OrderTest, AFailedStartUnderAPlacementIsAFailedPlacement) {
  OrderAll("placed");
  Status("ready");
  clock_.Advance(std::chrono::seconds(6));
  for (const Action& action : Decide(MakeView(), kNode, clock_.Now())) {
    if (const auto* run = std::get_if<RunCrm>(&action)) {
      EXPECT_EQ(run->failed_status, "place failed");
    }
  }
  Status("place failed");
  EXPECT_THAT(Words(), Contains("order failed: place failed"));
}

// ---- placed@ ----

TEST_F(OrderTest, AMoveStopsTheServiceElsewhereIfATargetCanRunIt) {
  Up("n1");
  LocalExpect("started");
  OrderAll("placed@n2");
  EXPECT_THAT(Words(), Contains("run stop"));
  store_.EditNode("n2", [](NodeState* node) { node->monitor.status = "maintenance"; });
  EXPECT_THAT(Words(), Not(Contains("run stop")));
}

TEST_F(OrderTest, TheTargetOfAMoveStartsAtOnceWhenTheOthersHaveStopped) {
  Up("n2");
  OrderAll("placed@n1");
  EXPECT_THAT(Words(), IsEmpty());
  Down("n2");
  PeerStatus("n2", "stopping");
  EXPECT_THAT(Words(), IsEmpty());
  PeerStatus("n2", "idle");
  EXPECT_THAT(Words(), ElementsAre("event instance_start/target", "run start"));
}

TEST_F(OrderTest, AMoveThawsFirst) {
  Freeze();
  OrderAll("placed@n1");
  EXPECT_THAT(Words(), ElementsAre("event instance_thaw/target", "thaw"));
}

TEST_F(OrderTest, AMoveWaitsForParents) {
  Add("p");
  EditConfig("s", [](ObjectConfig* config) { config->parents = {"p"}; });
  OrderAll("placed@n1");
  EXPECT_THAT(Words(), ElementsAre("set status=wait parents"));
}

TEST_F(OrderTest, AMoveFailsWithTheStartOfItsTargetOrTheStopOfAnother) {
  OrderAll("placed@n2");
  PeerStatus("n2", "start failed");
  EXPECT_THAT(Words(), ElementsAre("order failed: start failed on n2"));
  PeerStatus("n2", "idle");
  Up("n1");
  Status("stop failed");
  EXPECT_THAT(Words(), Contains("order failed: stop failed"));
}

TEST_F(OrderTest, AMoveUnderOwnershipStartsOnlyWithTheRecord) {
  OrderAll("placed@n1");
  Own("n2");
  EXPECT_THAT(Words(), ElementsAre("acquire"));
  Own(kNode);
  EXPECT_THAT(Words(), Contains("run start"));
}

// ---- restarted ----

TEST_F(OrderTest, InstancesRestartOneAfterTheOther) {
  EditConfig("s", [](ObjectConfig* config) { config->topology = "flex"; });
  EditConfig("s", [](ObjectConfig* config) { config->nodes = {"n2", "n1"}; });
  Up("n1");
  Up("n2");
  LocalExpect("started");
  OrderAll("restarted");
  EXPECT_THAT(Words(), Contains("set status=wait priors"));
  EditPeer("n2", [](InstanceState* instance) { instance->monitor.restarted = "o1"; });
  EXPECT_THAT(Words(), Contains("run restart"));
  Edit([](InstanceState* instance) { instance->monitor.restarted = "o1"; });
  EXPECT_THAT(Words(), Contains("order reached"));
}

TEST_F(OrderTest, ARestartIsRememberedByItsOrder) {
  OrderAll("restarted");
  EXPECT_THAT(After(CrmVerb::kRestart, true, "up"),
              ElementsAre("set status=idle local=started restarted=o1"));
  EXPECT_THAT(After(CrmVerb::kRestart, false, "up", std::nullopt, {}, "restart failed"),
              ElementsAre("set status=restart failed"));
  Up("n1");
  Status("restart failed");
  EXPECT_THAT(Words(), Contains("order failed: restart failed"));
}

TEST_F(OrderTest, WhatDoesNotRunIsNotRestarted) {
  OrderAll("restarted@12.5");
  EXPECT_THAT(Words(), ElementsAre("order reached"));
}

// ---- ends ----

TEST_F(OrderTest, AFailureOfAPeerEndsTheOrderOfWhoHasDoneItsPart) {
  Freeze();
  OrderAll("stopped");
  Up("n2");
  EditPeer("n2", [](InstanceState* instance) {
    instance->frozen_since = absl::UnixEpoch();
    instance->monitor.status = "stop failed";
  });
  EXPECT_THAT(Words(), IsEmpty());  // It may still be tried again there.
  EditPeer("n2", [](InstanceState* instance) { instance->monitor.global_expect.clear(); });
  EXPECT_THAT(Words(), ElementsAre("order failed: stop failed on n2"));
}

TEST_F(OrderTest, AnAbortLeavesWaiting) {
  Order("aborted");
  EditPeer("n2", [](InstanceState* instance) { instance->monitor.global_expect = "stopped"; });
  Status("wait children");
  EXPECT_THAT(Words(), ElementsAre("set status=idle"));
}

TEST_F(OrderTest, AnInstanceWithoutOrderDoesNotWaitForWhatTheOrderWaitedFor) {
  for (const char* status : {"wait children", "wait leader", "wait sync", "wait priors"}) {
    Status(status);
    EXPECT_THAT(Words(), ElementsAre("set status=idle")) << status;
  }
}

TEST_F(OrderTest, AnAbortedStartDoesNotGoOnFromReady) {
  Status("ready");
  EXPECT_THAT(Words(), ElementsAre("set status=idle"));
}

}  // namespace
}  // namespace om
