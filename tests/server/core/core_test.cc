#include "server/core/core.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/status.h"
#include "server/cluster/embedded_transport.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_loop.h"
#include "tests/support/fake_random.h"
#include "tests/support/fake_world.h"
#include "tests/support/matchers.h"
#include "tests/support/memory_cluster.h"
#include "tests/support/object_path.h"

namespace om {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using Kind = OrderOutcome::Kind;

// One daemon's core on a node in memory.
class Daemon {
 public:
  Daemon(FakeClock* clock, FakeLoop* loop, FakeWorld* world, MemoryJournal* journal,
         TransportPort* transport, SecureRandom* random, const std::string& node,
         std::vector<std::string> nodes) {
    Core::Options options;
    options.local_node = node;
    options.incarnation = random->Uuid();
    options.settings.cluster = {"c1", "id1", std::move(nodes)};
    options.journal_compact_bytes = 3000;
    core =
        std::make_unique<Core>(options, Core::Ports{loop, clock, random, world, world, world, world,
                                                    world, transport, journal, &counters});
    core->Start(journal->synced());
  }
  Counters counters;
  std::unique_ptr<Core> core;
};

class CoreTest : public ::testing::Test {
 protected:
  void Boot() {
    daemon_ = std::make_unique<Daemon>(&clock_, &loop_, &world_, &journal_, &transport_, &random_,
                                       "n1", std::vector<std::string>{"n1"});
    loop_.AdvanceBy(seconds(2));
  }
  // As kill -9 would.
  void Kill() {
    daemon_.reset();
    journal_.Crash();
    world_.Orphan();
  }
  Core& core() { return *daemon_->core; }
  const InstanceState& Instance(const std::string& path) {
    held_ = core().snapshot();
    return *held_->objects.Find(Path(path))->instance("n1");
  }
  OrderAnswer Answer(const absl::StatusOr<OrderAnswer>& answer) {
    EXPECT_THAT(answer, IsOk());
    return answer.ok() ? *answer : OrderAnswer{};
  }
  absl::StatusOr<OrderAnswer> Order(const std::string& path, const std::string& global_expect,
                                    RequestKey key = {}) {
    InstanceMonitorOrder order;
    order.path = Path(path);
    order.global_expect = global_expect;
    return Send(order, std::move(key));
  }
  absl::StatusOr<OrderAnswer> Send(const InstanceMonitorOrder& order, RequestKey key = {}) {
    absl::StatusOr<OrderAnswer> result = absl::UnknownError("not answered");
    core().SetInstanceMonitor(order, std::move(key), [&](absl::StatusOr<OrderAnswer> answer) {
      result = std::move(answer);
    });
    loop_.AdvanceBy(milliseconds(10));
    return result;
  }
  Kind KindOf(const absl::StatusOr<OrderAnswer>& answer) {
    return Answer(answer).outcomes.at(0).kind;
  }
  std::vector<std::string> Events() {
    std::vector<std::string> events;
    const auto changes = core().feed()->ReadAfter(Revision{0}, 100000);
    EXPECT_THAT(changes, IsOk());
    for (const auto& change : *changes) {
      for (const auto& event : change->events) {
        events.push_back(event->id + (event->reason.empty() ? "" : "/") + event->reason);
      }
    }
    return events;
  }
  int CountCommands(absl::string_view text) {
    return static_cast<int>(
        std::count(world_.commands.begin(), world_.commands.end(), std::string(text)));
  }

  FakeClock clock_;
  FakeLoop loop_{&clock_};
  FakeWorld world_{&clock_, &loop_};
  MemoryJournal journal_{&loop_};
  FakeSecureRandom random_;
  EmbeddedTransport transport_{"n1", &random_};
  std::unique_ptr<Daemon> daemon_;
  SnapshotPtr held_;
};

TEST_F(CoreTest, ANodeEvaluatesItsInstancesThenBecomesIdle) {
  world_.Add("s1");
  world_.Add("s2");
  Boot();
  EXPECT_EQ(world_.commands.at(0), "2 paths status --parallel --refresh");
  EXPECT_EQ(core().snapshot()->local()->monitor.status, "idle");
  EXPECT_EQ(core().snapshot()->local()->stats.mem_total_mib, 1024);
  EXPECT_EQ(core().snapshot()->objects.Find(Path("s1"))->aggregate.avail, Availability::kDown);
  EXPECT_THAT(Events(), Contains("monitor_started"));
}

TEST_F(CoreTest, ANodeWithoutObjectsComesUp) {
  Boot();
  EXPECT_EQ(core().snapshot()->local()->monitor.status, "idle");
}

TEST_F(CoreTest, AServiceIsStartedAndStoppedByOrder) {
  world_.Add("s1");
  Boot();
  const OrderAnswer started = Answer(Order("s1", "started"));
  EXPECT_TRUE(started.applied);
  EXPECT_NE(started.order_id, "");
  EXPECT_EQ(started.outcomes.at(0).kind, Kind::kAccepted);
  EXPECT_EQ(Instance("s1").monitor.status, "starting");
  EXPECT_EQ(core().snapshot()->transition_count, 1);
  loop_.AdvanceBy(seconds(2));
  EXPECT_TRUE(world_.IsUp("s1"));
  EXPECT_EQ(Instance("s1").monitor.status, "idle");
  EXPECT_EQ(Instance("s1").monitor.global_expect, "");
  EXPECT_EQ(Instance("s1").monitor.local_expect, "started");
  EXPECT_THAT(Events(), Contains("instance_start/single_node"));

  EXPECT_TRUE(Answer(Order("s1", "stopped")).applied);
  loop_.AdvanceBy(seconds(2));
  EXPECT_FALSE(world_.IsUp("s1"));
  EXPECT_TRUE(Instance("s1").frozen());
  EXPECT_EQ(Instance("s1").monitor.global_expect, "");
  EXPECT_EQ(Instance("s1").monitor.local_expect, "");
  EXPECT_EQ(CountCommands("s1 start"), 1);
  EXPECT_EQ(CountCommands("s1 stop"), 1);
  EXPECT_EQ(journal_.synced().empty(), false);
}

TEST_F(CoreTest, ChecksOfOrdersAreTyped) {
  world_.Add("s1");
  world_.Add("s2", {});
  Boot();
  EXPECT_EQ(KindOf(Order("nope", "started")), Kind::kUnknownService);
  EXPECT_EQ(KindOf(Order("s1", "exploded")), Kind::kInvalidValue);
  EXPECT_EQ(KindOf(Order("s1", "scaled")), Kind::kUnsupportedValue);
  EXPECT_EQ(KindOf(Order("s1", "placed@")), Kind::kEmptyDestination);
  EXPECT_EQ(KindOf(Order("s1", "placed@n1,n2")), Kind::kTooManyDestinations);
  EXPECT_EQ(KindOf(Order("s1", "placed@n9")), Kind::kUnknownDestination);
  const OrderAnswer already = Answer(Order("s1", "stopped"));
  EXPECT_EQ(already.outcomes.at(0).kind, Kind::kAlreadyInState);
  EXPECT_EQ(already.outcomes.at(0).state, "down");
  EXPECT_FALSE(already.applied);
  EXPECT_EQ(already.error_count(), 0);
  ASSERT_TRUE(Answer(Order("s1", "started")).applied);
  const OrderAnswer busy = Answer(Order("s1", "stopped"));
  EXPECT_EQ(busy.outcomes.at(0).kind, Kind::kInstanceBusy);
  EXPECT_EQ(busy.outcomes.at(0).node, "n1");
  EXPECT_EQ(busy.outcomes.at(0).state, "starting");
  EXPECT_EQ(busy.error_count(), 1);
  EXPECT_EQ(KindOf(Order("s1", "frozen")), Kind::kAccepted);  // Not checked.
  EXPECT_EQ(KindOf(Order("s2", "shutdown")), Kind::kIgnored);
  EXPECT_EQ(KindOf(Order("s2", "frozen")), Kind::kAccepted);
  InstanceMonitorOrder bad;
  bad.path = Path("s1");
  bad.local_expect = "sideways";
  EXPECT_EQ(KindOf(Send(bad)), Kind::kInvalidValue);
}

TEST_F(CoreTest, AnInstanceIsGoneOnceItIsPurged) {
  world_.Add("s1");
  Boot();
  world_.on_command = [&](const CrmCommand& command) {
    if (command.words.front() == "delete") world_.Remove("s1");
  };
  ASSERT_TRUE(Answer(Order("s1", "purged")).applied);
  loop_.AdvanceBy(seconds(3));
  EXPECT_EQ(CountCommands("s1 unprovision --leader"), 1);
  EXPECT_EQ(CountCommands("s1 delete --purge-collector"), 1);
  EXPECT_EQ(core().snapshot()->objects.Find(Path("s1")), nullptr);
}

TEST_F(CoreTest, AStartThatLocalExpectAsksForIsCarriedOut) {
  world_.Add("s1");
  Boot();
  InstanceMonitorOrder order;
  order.path = Path("s1");
  order.local_expect = "started";
  ASSERT_TRUE(Answer(Send(order)).applied);
  loop_.AdvanceBy(seconds(2));
  EXPECT_TRUE(world_.IsUp("s1"));
  EXPECT_EQ(Instance("s1").monitor.local_expect, "started");
  EXPECT_FALSE(Instance("s1").monitor.start_requested);
}

TEST_F(CoreTest, AnInstanceIsRestartedOnceByOneOrder) {
  world_.Add("s1");
  Boot();
  ASSERT_TRUE(Answer(Order("s1", "started")).applied);
  loop_.AdvanceBy(seconds(2));
  ASSERT_TRUE(Answer(Order("s1", "restarted")).applied);
  loop_.AdvanceBy(seconds(5));
  EXPECT_EQ(CountCommands("s1 restart"), 1);
  EXPECT_EQ(Instance("s1").monitor.global_expect, "");
}

TEST_F(CoreTest, OrdersReachSlaves) {
  world_.Add("low");
  world_.Add("top").config.slaves = {"low"};
  Boot();
  const OrderAnswer answer = Answer(Order("top", "frozen"));
  EXPECT_EQ(answer.outcomes.size(), 2U);
  loop_.AdvanceBy(seconds(1));
  EXPECT_TRUE(Instance("low").frozen());
  EXPECT_TRUE(Instance("top").frozen());
}

TEST_F(CoreTest, AStopWhoseAppStaysUpFailsAndIsNotRepeated) {
  world_.Add("s1", {{.up = true}});
  Boot();
  world_.plan = [](const CrmCommand&) { return CrmPlan{.effect = false}; };
  ASSERT_TRUE(Answer(Order("s1", "stopped")).applied);
  loop_.AdvanceBy(seconds(120));
  EXPECT_EQ(CountCommands("s1 stop"), 1);
  EXPECT_EQ(Instance("s1").monitor.status, "stop failed");
  EXPECT_EQ(Instance("s1").monitor.global_expect, "");
}

TEST_F(CoreTest, AFailedStartStaysFailedUntilCleared) {
  world_.Add("s1", {FakeResource{}}, "ha");
  world_.plan = [](const CrmCommand&) { return CrmPlan{.effect = false, .exit_code = 1}; };
  Boot();
  loop_.AdvanceBy(seconds(60));
  EXPECT_EQ(CountCommands("s1 start"), 1);
  EXPECT_EQ(Instance("s1").monitor.status, "start failed");
  world_.plan = nullptr;
  absl::StatusOr<ClearAnswer> cleared = absl::UnknownError("not answered");
  core().ClearInstance(Path("s1"), {},
                       [&](absl::StatusOr<ClearAnswer> answer) { cleared = answer; });
  loop_.AdvanceBy(milliseconds(50));
  ASSERT_THAT(cleared, IsOk());
  EXPECT_TRUE(cleared->cleared);
  core().ClearInstance(Path("s1"), {},
                       [&](absl::StatusOr<ClearAnswer> answer) { cleared = answer; });
  loop_.AdvanceBy(milliseconds(1));
  EXPECT_FALSE(cleared->cleared);
  EXPECT_EQ(cleared->status, "starting");
  loop_.AdvanceBy(seconds(2));
  EXPECT_TRUE(world_.IsUp("s1"));
}

TEST_F(CoreTest, ALostResourceIsRestartedAsOftenAsAllowed) {
  world_.Add("s1", {{.up = true, .restart = 2}});
  Boot();
  world_.plan = [](const CrmCommand&) { return CrmPlan{.effect = false}; };
  world_.Get("s1").resources[0].up = false;
  world_.Evaluate("s1");
  core().WakeMonitor(Path("s1"));
  loop_.AdvanceBy(seconds(30));
  EXPECT_EQ(CountCommands("s1 start --rid app#1"), 2);
  EXPECT_THAT(Events(), Contains("max_resource_restart"));
  EXPECT_THAT(Events(), Contains("resource_degraded"));
  EXPECT_EQ(Instance("s1").monitor.restart.at("app#1"), 3);
  // Counters outlive the daemon.
  Kill();
  Boot();
  loop_.AdvanceBy(seconds(30));
  EXPECT_EQ(CountCommands("s1 start --rid app#1"), 2);
  EXPECT_EQ(Instance("s1").monitor.restart.at("app#1"), 3);
}

TEST_F(CoreTest, AnAcknowledgedOrderIsTakenUpAgainAfterAKill) {
  world_.Add("s1");
  world_.plan = [](const CrmCommand&) { return CrmPlan{.delay = seconds(20)}; };
  Boot();
  const OrderAnswer answer = Answer(Order("s1", "started", {"id-1", "root", "Set", "f"}));
  ASSERT_TRUE(answer.applied);
  Kill();
  world_.plan = nullptr;
  Boot();
  EXPECT_EQ(Instance("s1").monitor.order_id, answer.order_id);
  // The same request is answered as before.
  EXPECT_EQ(Answer(Order("s1", "started", {"id-1", "root", "Set", "f"})).order_id, answer.order_id);
  loop_.AdvanceBy(seconds(30));
  EXPECT_TRUE(world_.IsUp("s1"));
  EXPECT_EQ(Instance("s1").monitor.global_expect, "");
}

TEST_F(CoreTest, AnOrderThatIsNotJournalledIsNeitherAcknowledgedNorDone) {
  world_.Add("s1");
  Boot();
  journal_.full = true;
  const absl::StatusOr<OrderAnswer> refused = Order("s1", "started", {"id-1", "root", "Set", "f"});
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("not made")));
  loop_.AdvanceBy(seconds(20));
  EXPECT_FALSE(world_.IsUp("s1"));
  journal_.full = false;
  EXPECT_TRUE(Answer(Order("s1", "started", {"id-1", "root", "Set", "f"})).applied);
  loop_.AdvanceBy(seconds(2));
  EXPECT_TRUE(world_.IsUp("s1"));
}

TEST_F(CoreTest, TheEndOfAnOrderReachesTheJournalOnceTheDiskHasSpace) {
  world_.Add("s1");
  Boot();
  ASSERT_TRUE(Answer(Order("s1", "started")).applied);
  journal_.full = true;
  loop_.AdvanceBy(seconds(5));
  EXPECT_EQ(Instance("s1").monitor.global_expect, "");
  journal_.full = false;
  loop_.AdvanceBy(seconds(5));
  world_.Get("s1").resources[0].up = false;
  world_.Evaluate("s1");
  Kill();
  Boot();
  loop_.AdvanceBy(seconds(5));
  EXPECT_EQ(CountCommands("s1 start"), 1);  // The order that had ended did not come back.
}

TEST_F(CoreTest, AReusedRequestIdIsRefusedAndACallMeanwhileGetsTheSameAnswer) {
  world_.Add("s1");
  Boot();
  std::vector<std::string> ids;
  const RequestKey key = {"id-1", "root", "Set", "f"};
  for (int i = 0; i < 2; ++i) {
    InstanceMonitorOrder order;
    order.path = Path("s1");
    order.global_expect = "started";
    core().SetInstanceMonitor(order, key, [&](const absl::StatusOr<OrderAnswer>& answer) {
      ids.push_back(answer.ok() ? answer->order_id : answer.status().ToString());
    });
  }
  loop_.AdvanceBy(milliseconds(10));
  ASSERT_EQ(ids.size(), 2U);
  EXPECT_EQ(ids[0], ids[1]);
  const absl::Status reused = Order("s1", "frozen", {"id-1", "root", "Set", "g"}).status();
  EXPECT_THAT(reused, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(ReasonOf(reused), "REQUEST_ID_REUSED");
}

TEST_F(CoreTest, OtherChangingCallsAreRememberedAcrossAKill) {
  Boot();
  const RequestKey key = {"id-1", "root", "SetConfig", "f"};
  std::vector<std::string> begun;
  const auto begin = [&] {
    core().BeginRequest(key, [&](const std::optional<absl::StatusOr<std::string>>& answer) {
      begun.push_back(!answer.has_value() ? "new"
                      : answer->ok()      ? **answer
                                          : std::string(answer->status().message()));
    });
    loop_.AdvanceBy(milliseconds(1));
  };
  begin();
  begin();
  absl::Status ended = absl::UnknownError("not answered");
  core().EndRequest(key, absl::NotFoundError("no such keyword"),
                    [&](absl::Status status) { ended = std::move(status); });
  loop_.AdvanceBy(milliseconds(10));
  EXPECT_THAT(ended, IsOk());
  Kill();
  Boot();
  begin();
  EXPECT_THAT(begun, ElementsAre("new", "no such keyword", "no such keyword"));
}

TEST_F(CoreTest, TheJournalIsCompactedAndLosesNothingThatIsLive) {
  world_.Add("s1", {{.up = true}});
  Boot();
  ASSERT_TRUE(Answer(Order("s1", "frozen", {"keep", "root", "Set", "f"})).applied);
  world_.plan = [](const CrmCommand&) { return CrmPlan{.delay = seconds(3600)}; };
  for (int i = 0; i < 40; ++i) (void)Order("s1", i % 2 == 0 ? "thawed" : "frozen");
  EXPECT_GT(journal_.rewrite_count, 0);
  EXPECT_LT(journal_.size_bytes(), 6000U);
  const std::string id = Answer(Order("s1", "frozen", {"keep", "root", "Set", "f"})).order_id;
  Kill();
  Boot();
  EXPECT_EQ(Answer(Order("s1", "frozen", {"keep", "root", "Set", "f"})).order_id, id);
}

TEST_F(CoreTest, ADamagedRecordIsCountedAndTheRestIsUsed) {
  world_.Add("s1");
  absl::Status ignored;
  journal_.Append("\xff\xff\xff\xff", [](const absl::Status&) {});
  loop_.AdvanceBy(seconds(1));
  Boot();
  EXPECT_EQ(daemon_->counters.Get("journal.bad_records")->value(), 1);
  EXPECT_EQ(core().snapshot()->local()->monitor.status, "idle");
}

TEST_F(CoreTest, ObjectsComeAndGoWithTheirFiles) {
  Boot();
  world_.Add("s1");
  loop_.AdvanceBy(seconds(3));
  ASSERT_NE(core().snapshot()->objects.Find(Path("s1")), nullptr);
  EXPECT_THAT(world_.commands, Contains("s1 status --refresh --waitlock=0"));
  world_.Get("s1").config.csum = "other";
  world_.Get("s1").config.mtime = clock_.Now();
  loop_.AdvanceBy(seconds(3));
  EXPECT_EQ(CountCommands("s1 status --refresh --waitlock=0"), 2);
  world_.Remove("s1");
  loop_.AdvanceBy(seconds(3));
  EXPECT_EQ(core().snapshot()->objects.Find(Path("s1")), nullptr);
}

TEST_F(CoreTest, FlagsMadeByHandAreNoticed) {
  world_.Add("s1");
  Boot();
  world_.Get("s1").frozen_since = clock_.Now();
  world_.node_frozen_since = clock_.Now();
  loop_.AdvanceBy(seconds(3));
  EXPECT_TRUE(Instance("s1").frozen());
  EXPECT_EQ(core().snapshot()->frozen, "frozen");
}

TEST_F(CoreTest, AFlagThatCannotBeSetFailsTheOrder) {
  world_.Add("s1", {{.up = true}});
  Boot();
  world_.flag_error = absl::PermissionDeniedError("read-only");
  ASSERT_TRUE(Answer(Order("s1", "stopped")).applied);
  loop_.AdvanceBy(seconds(60));
  EXPECT_EQ(Instance("s1").monitor.status, "freeze failed");
  EXPECT_EQ(Instance("s1").monitor.global_expect, "");
  EXPECT_TRUE(world_.IsUp("s1"));
}

TEST_F(CoreTest, APausedMonitorTakesOrdersAndCarriesThemOutLater) {
  world_.Add("s1");
  Boot();
  core().PauseMonitor([] {});
  ASSERT_TRUE(Answer(Order("s1", "started")).applied);
  loop_.AdvanceBy(seconds(60));
  EXPECT_EQ(CountCommands("s1 start"), 0);
  core().ResumeMonitor([] {});
  loop_.AdvanceBy(seconds(2));
  EXPECT_TRUE(world_.IsUp("s1"));
}

TEST_F(CoreTest, NodeOrdersFreezeTheNodeAndSurviveAKill) {
  Boot();
  absl::StatusOr<NodeMonitorAnswer> answer = absl::UnknownError("not answered");
  NodeMonitorOrder order;
  order.global_expect = "frozen";
  core().SetNodeMonitor(order, {}, [&](absl::StatusOr<NodeMonitorAnswer> got) { answer = got; });
  loop_.AdvanceBy(milliseconds(3));
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->monitor.global_expect, "frozen");
  Kill();
  Boot();
  loop_.AdvanceBy(seconds(2));
  EXPECT_TRUE(world_.node_frozen_since.has_value());
  EXPECT_EQ(core().snapshot()->local()->monitor.global_expect, "");
}

// The file of a new slice is there before the monitor has listed it.
TEST_F(CoreTest, EachSliceIsCreatedOnce) {
  FakeWorld::Instance& scaler = world_.Add("web", {});
  scaler.config.scale = 2;
  world_.on_command = [this](const CrmCommand& command) {
    if (command.words.front() != "create") return;
    const std::string slice = command.paths.front().ToString();
    world_.Add(slice).config.scaler_slave = true;
  };
  Boot();
  loop_.AdvanceBy(seconds(20));
  std::map<std::string, int> created;
  for (const std::string& command : world_.commands) {
    if (absl::StrContains(command, " create ")) ++created[command.substr(0, command.find(' '))];
  }
  EXPECT_THAT(created, ElementsAre(Pair("0.web", 1), Pair("1.web", 1)));
  EXPECT_EQ(Instance("web").monitor.status, "idle");
}

TEST_F(CoreTest, AStoppedCoreRefusesAndANodeInMaintenanceBeginsNothing) {
  world_.Add("s1", {FakeResource{}}, "ha");
  Boot();
  loop_.AdvanceBy(seconds(2));
  NodeMonitorOrder order;
  order.status = "maintenance";
  core().SetNodeMonitor(order, {}, [](const absl::StatusOr<NodeMonitorAnswer>&) {});
  world_.Get("s1").resources[0].up = false;
  world_.Evaluate("s1");
  loop_.AdvanceBy(seconds(60));
  EXPECT_EQ(CountCommands("s1 start"), 1);
  bool stopped = false;
  core().Stop([&] { stopped = true; });
  loop_.RunReady();
  EXPECT_TRUE(stopped);
  EXPECT_THAT(Order("s1", "started"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(CoreTest, AtRestNothingChangesAndNoPassFollowsAnother) {
  world_.Add("s1", {{.up = true}});
  Boot();
  loop_.AdvanceBy(seconds(20));
  const Revision revision = core().snapshot()->revision;
  const int64_t passes = daemon_->counters.Get("monitor.passes")->value();
  loop_.AdvanceBy(seconds(60));
  EXPECT_EQ(core().snapshot()->revision, revision);
  EXPECT_LE(daemon_->counters.Get("monitor.passes")->value() - passes, 4);
}

TEST(TwoNodesTest, AFailoverServiceStartsOnOneNodeAndMovesWhenThatNodeIsLost) {
  FakeClock clock;
  FakeLoop loop(&clock);
  MemoryCluster cluster(&loop, &clock);
  FakeSecureRandom random;
  const std::vector<std::string> nodes = {"n1", "n2"};
  FakeWorld world1(&clock, &loop), world2(&clock, &loop);
  MemoryJournal journal1(&loop), journal2(&loop);
  world1.Add("s1", {FakeResource{}}, "no", nodes);
  world2.Add("s1", {FakeResource{}}, "no", nodes);
  Daemon one(&clock, &loop, &world1, &journal1, cluster.Node("n1"), &random, "n1", nodes);
  Daemon two(&clock, &loop, &world2, &journal2, cluster.Node("n2"), &random, "n2", nodes);
  loop.AdvanceBy(seconds(10));
  ASSERT_EQ(one.core->snapshot()->local()->monitor.status, "idle");
  ASSERT_EQ(two.core->snapshot()->nodes->size(), 2U);
  EXPECT_FALSE(two.core->snapshot()->local()->speaker);

  InstanceMonitorOrder order;
  order.path = Path("s1");
  order.global_expect = "started";
  two.core->SetInstanceMonitor(order, {}, [](const absl::StatusOr<OrderAnswer>& answer) {
    ASSERT_THAT(answer, IsOk());
    EXPECT_TRUE(answer->applied);
  });
  loop.AdvanceBy(seconds(20));
  EXPECT_TRUE(world1.IsUp("s1"));
  EXPECT_FALSE(world2.IsUp("s1"));
  for (const Daemon* daemon : {&one, &two}) {
    const SnapshotPtr snapshot = daemon->core->snapshot();
    const auto object = snapshot->objects.Find(Path("s1"));
    EXPECT_EQ(object->aggregate.avail, Availability::kUp);
    EXPECT_EQ(object->instance("n1")->monitor.global_expect, "");
    EXPECT_EQ(object->instance("n2")->monitor.global_expect, "");
  }
  // Both tell of the order, under one id, and of what n1 did for it.
  const std::vector<OrderPtr> told_by_one = one.core->orders()->List(std::nullopt, {}, 10);
  const std::vector<OrderPtr> told_by_two = two.core->orders()->List(std::nullopt, {}, 10);
  ASSERT_EQ(told_by_one.size(), 1U);
  ASSERT_EQ(told_by_two.size(), 1U);
  EXPECT_EQ(told_by_one[0]->id, told_by_two[0]->id);
  for (const OrderPtr& told : {told_by_one[0], told_by_two[0]}) {
    EXPECT_EQ(told->state(), OrderState::kReached) << told->reason();
    EXPECT_EQ(told->node, "n2");
    ASSERT_FALSE(told->steps.empty());
    EXPECT_EQ(told->steps.back().node, "n1");
    EXPECT_EQ(told->steps.back().error, "");
  }

  // Cut off, n1 keeps its record until its guard has certainly done its work.
  bool guarded = false;
  cluster.on_guard = [&](const std::string& node, const std::vector<ObjectPath>& paths) {
    EXPECT_EQ(node, "n1");
    EXPECT_FALSE(world2.IsUp("s1"));
    for (const ObjectPath& path : paths) world1.KillInstance(path);
    guarded = true;
  };
  world2.on_started = [&](const ObjectPath& path) { EXPECT_FALSE(world1.AnyUp(path)); };
  cluster.Cut("n1");
  loop.AdvanceBy(seconds(6));
  order.global_expect = "started";
  two.core->SetInstanceMonitor(order, {}, [](const absl::StatusOr<OrderAnswer>&) {});
  loop.AdvanceBy(seconds(60));
  EXPECT_TRUE(guarded);
  EXPECT_TRUE(world2.IsUp("s1"));
  cluster.Join("n1");
  loop.AdvanceBy(seconds(20));
  EXPECT_FALSE(world1.IsUp("s1"));
  EXPECT_EQ(two.core->snapshot()->objects.Find(Path("s1"))->aggregate.avail, Availability::kUp);
}

}  // namespace
}  // namespace om
