#include "server/service/convert.h"

#include <string>

#include "server/state/instance_status.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

namespace pb = control::v1;

using ::testing::ElementsAre;

TEST(ConvertTest, TimesKeepTheirNanosecondsAlsoBefore1970) {
  const google::protobuf::Timestamp time = ToProto(absl::FromUnixNanos(1'795'362'000'123'456'789));
  EXPECT_EQ(time.seconds(), 1'795'362'000);
  EXPECT_EQ(time.nanos(), 123'456'789);
  const google::protobuf::Timestamp before = ToProto(absl::FromUnixMillis(-1500));
  EXPECT_EQ(before.seconds(), -2);
  EXPECT_EQ(before.nanos(), 500'000'000);
}

TEST(ConvertTest, EveryStateHasAValueOfItsOwnName) {
  EXPECT_EQ(ToProto(Availability::kUp), pb::RESOURCE_STATE_UP);
  EXPECT_EQ(ToProto(Availability::kDown), pb::RESOURCE_STATE_DOWN);
  EXPECT_EQ(ToProto(Availability::kWarn), pb::RESOURCE_STATE_WARN);
  EXPECT_EQ(ToProto(Availability::kNa), pb::RESOURCE_STATE_NOT_APPLICABLE);
  EXPECT_EQ(ToProto(Availability::kStdbyUp), pb::RESOURCE_STATE_STANDBY_UP);
  EXPECT_EQ(ToProto(Availability::kStdbyDown), pb::RESOURCE_STATE_STANDBY_DOWN);
  EXPECT_EQ(ToProto(ThreadState::kRunning), pb::THREAD_STATE_RUNNING);
  EXPECT_EQ(ToProto(ThreadState::kStopping), pb::THREAD_STATE_STOPPING);
  EXPECT_EQ(ToProto(ThreadState::kStopped), pb::THREAD_STATE_STOPPED);
  EXPECT_EQ(ToProto(ThreadState::kTerminated), pb::THREAD_STATE_TERMINATED);
  EXPECT_EQ(FrozenToProto("frozen"), pb::FROZEN_STATE_FROZEN);
  EXPECT_EQ(FrozenToProto("thawed"), pb::FROZEN_STATE_THAWED);
  EXPECT_EQ(FrozenToProto("mixed"), pb::FROZEN_STATE_MIXED);
  EXPECT_EQ(FrozenToProto("n/a"), pb::FROZEN_STATE_NOT_APPLICABLE);
  EXPECT_EQ(FrozenToProto("of a later version"), pb::FROZEN_STATE_UNSPECIFIED);
}

TEST(ConvertTest, AnEventsDataBecomeTexts) {
  Event event;
  event.id = "instance_start";
  event.reason = "single_node";
  event.path = *ObjectPath::Parse("ns1/svc/a");
  event.rid = "app#1";
  event.node = "node1";
  event.data = {{"text", "a"}, {"number", 1}, {"list", {1, 2}}};
  const pb::Event out = ToProto(event);
  EXPECT_EQ(out.id(), "instance_start");
  EXPECT_EQ(out.reason(), "single_node");
  EXPECT_EQ(out.path(), "ns1/svc/a");
  EXPECT_EQ(out.resource_id(), "app#1");
  EXPECT_EQ(out.attributes().at("text"), "a");
  EXPECT_EQ(out.attributes().at("number"), "1");
  EXPECT_EQ(out.attributes().at("list"), "[1,2]");
}

TEST(ConvertTest, AListenersEndpointsAndWhatFailedAreShown) {
  Snapshot snapshot;
  auto listener = std::make_shared<ListenerState>();
  listener->addresses = {{"0.0.0.0", 1214, ""}, {"::1", 1214, ""}, {"10.9.9.9", 1214, "not here"}};
  snapshot.listener = listener;
  ThreadStatus thread;
  thread.id = "listener";
  thread.state = ThreadState::kRunning;
  thread.restart_count = 3;
  thread.last_error = "it broke";
  thread.alerts = {{Alert::Severity::kWarning, "look"}};
  const pb::ThreadStatus out = ThreadToProto(thread, snapshot);
  EXPECT_THAT(out.endpoints(), ElementsAre("0.0.0.0:1214", "[::1]:1214"));
  EXPECT_THAT(out.alerts(), ElementsAre("look", "10.9.9.9:1214: not here"));
  EXPECT_EQ(out.restart_count(), 3);
  EXPECT_EQ(out.last_error(), "it broke");
  EXPECT_FALSE(out.has_start_time());
  thread.id = "monitor";
  EXPECT_EQ(ThreadToProto(thread, snapshot).endpoints_size(), 0);
}

TEST(ConvertTest, TheSchedulerShowsWhatRunsAndWhatWaits) {
  Snapshot snapshot;
  auto scheduler = std::make_shared<SchedulerState>();
  scheduler->running = 2;
  scheduler->delayed_count = 7;
  scheduler->delayed = {{"run", *ObjectPath::Parse("ns1/svc/a"), "task#1",
                         absl::FromUnixSeconds(100), absl::FromUnixSeconds(160)}};
  snapshot.scheduler = scheduler;
  ThreadStatus thread;
  thread.id = "scheduler";
  const pb::ThreadStatus out = ThreadToProto(thread, snapshot);
  EXPECT_EQ(out.running_command_count(), 2);
  EXPECT_EQ(out.delayed_task_count(), 7);
  ASSERT_EQ(out.delayed_tasks_size(), 1);
  EXPECT_EQ(out.delayed_tasks(0).action(), "run");
  EXPECT_EQ(out.delayed_tasks(0).path(), "ns1/svc/a");
  EXPECT_EQ(out.delayed_tasks(0).rid(), "task#1");
  EXPECT_EQ(out.delayed_tasks(0).queue_time().seconds(), 100);
  EXPECT_EQ(out.delayed_tasks(0).begin_time().seconds(), 160);
}

TEST(ConvertTest, AnObjectShowsItsNewestConfigurationAndItsInstances) {
  ObjectState object;
  object.path = *ObjectPath::Parse("svc1");
  object.configs["node1"].mtime = absl::FromUnixSeconds(100);
  object.configs["node1"].csum = "old";
  object.configs["node2"].mtime = absl::FromUnixSeconds(200);
  object.configs["node2"].csum = "new";
  object.configs["node2"].scope = {"node1", "node2"};
  object.aggregate.avail = Availability::kUp;
  object.aggregate.overall = Availability::kWarn;
  object.aggregate.frozen = "mixed";
  object.aggregate.placement = "non-optimal";
  object.aggregate.provisioned = "true";
  InstanceState& instance = object.instances["node1"];
  instance.frozen_since = absl::FromUnixSeconds(50);
  instance.monitor.placement = "leader";
  instance.monitor.restart = {{"app#1", 2}};
  instance.status = *ParseInstanceStatus(*ParseJson(
      R"({"updated": 1795363759.0, "kind": "svc", "avail": "up", "overall": "warn",
          "optional": "n/a", "topology": "failover", "orchestrate": "ha", "placement": "nodes order",
          "resources": {"app#1": {"status": "up", "type": "app.forking", "label": "app",
                                  "restart": 2, "monitor": true, "log": ["warn: x"]}}})"));
  object.instances["node2"];
  const pb::ObjectStatus out = ToProto(object);
  EXPECT_EQ(out.path(), "svc1");
  EXPECT_EQ(out.kind(), "svc");
  EXPECT_EQ(out.avail(), pb::RESOURCE_STATE_UP);
  EXPECT_EQ(out.overall(), pb::RESOURCE_STATE_WARN);
  EXPECT_EQ(out.frozen(), pb::FROZEN_STATE_MIXED);
  EXPECT_EQ(out.placement(), pb::PLACEMENT_STATE_NON_OPTIMAL);
  EXPECT_EQ(out.provisioned(), pb::PROVISIONED_STATE_TRUE);
  EXPECT_EQ(out.config_checksum(), "new");
  EXPECT_THAT(out.scope(), ElementsAre("node1", "node2"));
  ASSERT_EQ(out.instances_size(), 2);
  const pb::InstanceStatus& shown = out.instances(0);
  EXPECT_EQ(shown.node(), "node1");
  EXPECT_EQ(shown.avail(), pb::RESOURCE_STATE_UP);
  EXPECT_EQ(shown.freeze_time().seconds(), 50);
  EXPECT_TRUE(shown.monitor().leader());
  EXPECT_EQ(shown.monitor().restart_counts().at("app#1"), 2);
  ASSERT_EQ(shown.resources_size(), 1);
  EXPECT_EQ(shown.resources(0).id(), "app#1");
  EXPECT_EQ(shown.resources(0).max_restart_count(), 2);
  EXPECT_TRUE(shown.resources(0).monitored());
  EXPECT_THAT(shown.resources(0).log(), ElementsAre("warn: x"));
  // Never evaluated: nothing is claimed.
  EXPECT_EQ(out.instances(1).node(), "node2");
  EXPECT_EQ(out.instances(1).avail(), pb::RESOURCE_STATE_UNSPECIFIED);
  EXPECT_FALSE(out.instances(1).has_freeze_time());
}

TEST(ConvertTest, ANodeIsShownWhole) {
  NodeState node;
  node.name = "node1";
  node.agent_version = "omd";
  node.compat = 10;
  node.env = "PRD";
  node.labels = {{"az", "1"}};
  node.frozen_since = absl::FromUnixSeconds(50);
  node.monitor.status = "idle";
  node.monitor.global_expect = "frozen";
  node.stats.score = 59;
  const pb::NodeStatus out = ToProto(node);
  EXPECT_EQ(out.name(), "node1");
  EXPECT_EQ(out.compat_level(), 10);
  EXPECT_EQ(out.environment(), "PRD");
  EXPECT_EQ(out.labels().at("az"), "1");
  EXPECT_EQ(out.freeze_time().seconds(), 50);
  EXPECT_EQ(out.monitor().status(), "idle");
  EXPECT_EQ(out.monitor().global_expect(), "frozen");
  EXPECT_EQ(out.load().score(), 59);
}

}  // namespace
}  // namespace om
