// Starting, ending, and what goes on meanwhile: actions of others, evaluations that hang, reboots.
#include <signal.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/status.h"
#include "server/cluster/embedded_transport.h"
#include "server/core/core.h"
#include "server/core/taken_over.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_loop.h"
#include "tests/support/fake_random.h"
#include "tests/support/fake_world.h"
#include "tests/support/matchers.h"
#include "tests/support/object_path.h"

namespace om {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

ActionHolder Holder(const std::string& intent, bool from_daemon) {
  ActionHolder holder;
  holder.pid = 4242;
  holder.intent = intent;
  holder.from_daemon = from_daemon;
  holder.words = {intent, "--local"};
  return holder;
}

class LifeTest : public ::testing::Test {
 protected:
  LifeTest() {
    options_.local_node = "n1";
    options_.settings.cluster = {"c1", "id1", {"n1"}};
    options_.settings.crm_timeout = minutes(1);
    options_.settings.status_timeout = minutes(5);
  }
  ~LifeTest() override { core_.reset(); }

  void Boot(Duration then = seconds(2)) {
    options_.incarnation = random_.Uuid();
    core_ = std::make_unique<Core>(
        options_, Core::Ports{&loop_, &clock_, &random_, &world_, &world_, &world_, &world_,
                              &world_, &transport_, &journal_, &counters_});
    core_->Start(journal_.synced());
    loop_.AdvanceBy(then);
  }
  // As kill -9 would.
  void Kill() {
    core_.reset();
    journal_.Crash();
    world_.Orphan();
  }
  const InstanceState& Instance(const std::string& path) {
    held_ = core_->snapshot();
    return *held_->objects.Find(Path(path))->instance("n1");
  }
  std::string Word(const std::string& path) { return Instance(path).monitor.status; }
  std::string NodeWord() { return core_->snapshot()->local()->monitor.status; }
  void Order(const std::string& path, const std::string& global_expect) {
    InstanceMonitorOrder order;
    order.path = Path(path);
    order.global_expect = global_expect;
    core_->SetInstanceMonitor(order, {}, [](const absl::StatusOr<OrderAnswer>& answer) {
      ASSERT_THAT(answer, IsOk());
      EXPECT_TRUE(answer->applied);
    });
    loop_.AdvanceBy(milliseconds(20));
  }
  void SetWord(const std::string& path, const std::string& status) {
    InstanceMonitorOrder order;
    order.path = Path(path);
    order.status = status;
    core_->SetInstanceMonitor(order, {}, [](const auto& answer) { ASSERT_THAT(answer, IsOk()); });
    loop_.AdvanceBy(milliseconds(20));
  }
  int Count(absl::string_view text) {
    return static_cast<int>(std::count_if(
        world_.commands.begin(), world_.commands.end(),
        [&](const std::string& command) { return absl::StrContains(command, text); }));
  }
  std::vector<std::string> Events() {
    std::vector<std::string> events;
    const auto changes = core_->feed()->ReadAfter(Revision{0}, 100000);
    EXPECT_THAT(changes, IsOk());
    for (const auto& change : *changes) {
      for (const auto& event : change->events) {
        events.push_back(event->id + (event->reason.empty() ? "" : "/") + event->reason);
      }
    }
    return events;
  }

  FakeClock clock_;
  FakeLoop loop_{&clock_};
  FakeWorld world_{&clock_, &loop_};
  MemoryJournal journal_{&loop_};
  FakeSecureRandom random_;
  EmbeddedTransport transport_{"n1", &random_};
  Counters counters_;
  Core::Options options_;
  std::unique_ptr<Core> core_;
  SnapshotPtr held_;
};

// ---- Actions of others ----

TEST_F(LifeTest, AStartLeftByAKilledDaemonIsTakenOverAndNotRepeated) {
  world_.Add("s1");
  world_.plan = [](const CrmCommand&) {
    CrmPlan plan;
    plan.delay = seconds(20);
    return plan;
  };
  Boot();
  Order("s1", "started");
  ASSERT_EQ(Count("s1 start"), 1);
  Kill();
  Boot();
  EXPECT_EQ(NodeWord(), "idle") << "the others are not kept waiting";
  EXPECT_EQ(Word("s1"), "starting");
  EXPECT_EQ(Instance("s1").monitor.global_expect, "started");
  loop_.AdvanceBy(seconds(30));
  EXPECT_TRUE(world_.IsUp("s1"));
  EXPECT_EQ(Word("s1"), "idle");
  EXPECT_EQ(Instance("s1").monitor.local_expect, "started");
  EXPECT_EQ(Instance("s1").monitor.global_expect, "");
  EXPECT_EQ(Count("s1 start"), 1);
}

TEST_F(LifeTest, WhatATakenOverActionDidNotAchieveIsTriedOnceMore) {
  world_.Add("s1");
  bool effect = false;
  world_.plan = [&](const CrmCommand&) {
    CrmPlan plan;
    plan.delay = seconds(5);
    plan.effect = std::exchange(effect, true);
    return plan;
  };
  Boot();
  Order("s1", "started");
  Kill();
  Boot();
  loop_.AdvanceBy(seconds(20));
  EXPECT_EQ(Count("s1 start"), 2);
  EXPECT_TRUE(world_.IsUp("s1"));
  EXPECT_EQ(Instance("s1").monitor.global_expect, "");
}

TEST_F(LifeTest, NothingIsBegunWhileAPersonsCommandRuns) {
  world_.Add("s1");
  Boot();
  world_.Get("s1").holder = Holder("start", /*from_daemon=*/false);
  Order("s1", "started");  // Before the lock has been noticed.
  loop_.AdvanceBy(seconds(2));
  EXPECT_EQ(Count("s1 start"), 0);
  EXPECT_EQ(Word("s1"), "starting");
  loop_.AdvanceBy(minutes(10));
  EXPECT_EQ(Count("s1 start"), 0);
  EXPECT_THAT(world_.signals, IsEmpty()) << "what a person began is the person's";
  world_.Get("s1").holder.reset();
  world_.Get("s1").resources[0].up = true;
  loop_.AdvanceBy(seconds(5));
  EXPECT_EQ(Word("s1"), "idle");
  EXPECT_EQ(Instance("s1").avail(), Availability::kUp);
  EXPECT_EQ(Instance("s1").monitor.global_expect, "") << "the order is reached";
  EXPECT_EQ(Count("s1 start"), 0);
}

TEST_F(LifeTest, TheOrderIsCarriedOutOnceAPersonsCommandHasFailed) {
  world_.Add("s1");
  Boot();
  world_.Get("s1").holder = Holder("start", /*from_daemon=*/false);
  Order("s1", "started");
  loop_.AdvanceBy(seconds(3));
  world_.Get("s1").holder.reset();
  loop_.AdvanceBy(seconds(5));
  EXPECT_EQ(Count("s1 start"), 1);
  EXPECT_TRUE(world_.IsUp("s1"));
}

TEST_F(LifeTest, AnOrphanPastItsLimitIsEndedThenKilled) {
  world_.Add("s1").config.limits.start = absl::Seconds(10);
  world_.Get("s1").holder = Holder("start", /*from_daemon=*/true);
  Boot();
  EXPECT_EQ(Word("s1"), "starting");
  loop_.AdvanceBy(seconds(7));
  EXPECT_THAT(world_.signals, IsEmpty());
  loop_.AdvanceBy(seconds(4));
  EXPECT_THAT(world_.signals, ElementsAre(SIGTERM));
  loop_.AdvanceBy(seconds(6));
  EXPECT_THAT(world_.signals, Contains(SIGKILL));
  world_.Get("s1").holder.reset();
  loop_.AdvanceBy(seconds(3));
  EXPECT_EQ(Word("s1"), "start failed");
}

TEST_F(LifeTest, AWordThatNobodyTakesBackExpires) {
  world_.Add("s1");
  Boot();
  SetWord("s1", "starting");
  loop_.AdvanceBy(seconds(50));
  EXPECT_EQ(Word("s1"), "starting");
  loop_.AdvanceBy(seconds(15));
  EXPECT_EQ(Word("s1"), "idle");
}

TEST_F(LifeTest, AWordStaysWhileTheActionBehindItRuns) {
  world_.Add("s1");
  Boot();
  SetWord("s1", "starting");
  world_.Get("s1").holder = Holder("start", /*from_daemon=*/false);
  loop_.AdvanceBy(minutes(30));
  EXPECT_EQ(Word("s1"), "starting");
}

TEST_F(LifeTest, CommandsHaveTheLimitsOfTheConfiguration) {
  ActionLimits& limits = world_.Add("s1").config.limits;
  limits.start = absl::Seconds(33);
  limits.stop = absl::Seconds(44);
  world_.Add("s2");
  std::map<std::string, Duration> seen;
  world_.on_command = [&](const CrmCommand& command) {
    seen[command.paths[0].ToString() + " " + command.words[0]] = command.timeout;
  };
  Boot();
  for (const char* path : {"s1", "s2"}) Order(path, "started");
  loop_.AdvanceBy(seconds(3));
  for (const char* path : {"s1", "s2"}) Order(path, "stopped");
  loop_.AdvanceBy(seconds(3));
  EXPECT_EQ(seen["s1 start"], Duration(seconds(33)));
  EXPECT_EQ(seen["s1 stop"], Duration(seconds(44)));
  EXPECT_EQ(seen["s2 start"], Duration(minutes(1)));
}

TEST(TakenOverActionsTest, AnotherHolderIsAnotherAction) {
  TakenOverActions actions;
  using Step = TakenOverActions::Step;
  const ObjectPath path = Path("s1");
  const MonotonicTime now;
  ActionHolder holder = Holder("start", true);
  EXPECT_EQ(actions.Note(path, std::nullopt, seconds(9), now), Step::kNone);
  EXPECT_EQ(actions.Note(path, holder, seconds(9), now), Step::kBegan);
  EXPECT_EQ(actions.Note(path, holder, seconds(9), now), Step::kGoesOn);
  holder.pid = 5;
  EXPECT_EQ(actions.Note(path, holder, seconds(9), now), Step::kBegan);
  EXPECT_EQ(actions.Note(path, std::nullopt, seconds(9), now), Step::kEnded);
  EXPECT_EQ(actions.Note(path, std::nullopt, seconds(9), now), Step::kNone);
  EXPECT_EQ(actions.Note(path, holder, seconds(9), now), Step::kBegan) << "before it was evaluated";
}

TEST(TakenOverActionsTest, ALimitedCommandIsNoCommandOnTheWholeInstance) {
  ActionHolder holder = Holder("start", true);
  ASSERT_TRUE(CommandOf(Path("s1"), holder).has_value());
  EXPECT_EQ(CommandOf(Path("s1"), holder)->verb, CrmVerb::kStart);
  holder.words = {"start", "--rid=app#1,app#2"};
  EXPECT_EQ(CommandOf(Path("s1"), holder)->verb, CrmVerb::kRestartResources);
  EXPECT_THAT(CommandOf(Path("s1"), holder)->rids, ElementsAre("app#1", "app#2"));
  holder.intent = "stop";
  EXPECT_FALSE(CommandOf(Path("s1"), holder).has_value());
}

// ---- Coming up ----

TEST_F(LifeTest, OneEvaluationThatHangsKeepsTheOthersWaitingForAMomentOnly) {
  world_.Add("s1");
  world_.Add("s2", {FakeResource{}}, "ha");
  world_.hangs_status = "s2";
  Boot(seconds(10));
  EXPECT_EQ(NodeWord(), "init");
  loop_.AdvanceBy(seconds(10));
  EXPECT_EQ(NodeWord(), "idle");
  Order("s1", "started");
  loop_.AdvanceBy(seconds(3));
  EXPECT_TRUE(world_.IsUp("s1"));
  EXPECT_EQ(Count("s2 start"), 0) << "it may be up already: nobody knows";
}

TEST_F(LifeTest, WhatTheFirstEvaluationDidNotWriteIsEvaluatedAloneOnce) {
  world_.Add("s1", {FakeResource{}}, "ha");
  world_.writes_status = false;
  Boot();
  EXPECT_EQ(NodeWord(), "idle");
  EXPECT_EQ(Count("s1 status --refresh"), 1);
  loop_.AdvanceBy(minutes(1));
  EXPECT_LE(Count("s1 status --refresh"), 3);
}

TEST_F(LifeTest, AfterARebootInstancesAreCleanedUpAndTheBootIsRemembered) {
  world_.Add("s1");
  world_.Add("s2");
  int booted = 0;
  options_.start.rebooted = true;
  options_.start.freeze_node = true;
  options_.booted = [&] { ++booted; };
  Boot();
  EXPECT_EQ(world_.commands.at(0), "2 paths boot --parallel");
  EXPECT_EQ(booted, 1);
  EXPECT_EQ(NodeWord(), "idle");
  EXPECT_TRUE(world_.node_frozen_since.has_value());
  EXPECT_THAT(Events(), Contains("node_freeze/kern_freeze"));
}

TEST_F(LifeTest, TheKernelsCommandLineCountsOnlyAfterAReboot) {
  options_.start.freeze_node = true;
  Boot();
  EXPECT_FALSE(world_.node_frozen_since.has_value());
}

TEST_F(LifeTest, AnUpgradedNodeIsFrozenUntilAllNodesAreThere) {
  world_.Add("s1", {FakeResource{}}, "ha");
  options_.start.after_upgrade = true;
  Boot(milliseconds(300));
  EXPECT_TRUE(world_.node_frozen_since.has_value());
  EXPECT_EQ(Count("s1 start"), 0);
  loop_.AdvanceBy(seconds(5));
  EXPECT_FALSE(world_.node_frozen_since.has_value());
  EXPECT_THAT(Events(), Contains("node_freeze/upgrade"));
  EXPECT_THAT(Events(), Contains("node_thaw/upgrade"));
}

TEST_F(LifeTest, ANodeThatWasFrozenBeforeAnUpgradeStaysFrozen) {
  world_.node_frozen_since = clock_.Now();
  options_.start.after_upgrade = true;
  Boot(seconds(10));
  EXPECT_TRUE(world_.node_frozen_since.has_value());
}

// ---- Shutting down ----

TEST_F(LifeTest, AShutdownStopsWhatRunsChildrenFirstEvenFrozenAndThenAnswers) {
  world_.Add("parent");
  world_.Add("child").config.parents = {"parent"};
  world_.Get("parent").config.children = {"child"};
  world_.Add("frozen").frozen_since = clock_.Now();
  world_.Add("down");
  for (const char* path : {"parent", "child", "frozen"}) world_.Get(path).resources[0].up = true;
  Boot();
  int answers = 0;
  const auto done = [&](const absl::StatusOr<ShutdownAnswer>& answer) {
    ASSERT_THAT(answer, IsOk());
    EXPECT_THAT(answer->failed, IsEmpty());
    ++answers;
  };
  core_->Shutdown(done);
  loop_.AdvanceBy(milliseconds(100));
  EXPECT_EQ(NodeWord(), "shutting");
  EXPECT_EQ(Word("parent"), "wait children");
  core_->Shutdown(done);  // Waits for the first.
  loop_.AdvanceBy(seconds(5));
  EXPECT_EQ(answers, 2);
  for (const char* path : {"parent", "child", "frozen"}) EXPECT_FALSE(world_.IsUp(path)) << path;
  EXPECT_EQ(Count("child shutdown"), 1);
  EXPECT_EQ(Count("parent shutdown"), 1);
  EXPECT_EQ(Count("down shutdown"), 0);
  EXPECT_EQ(NodeWord(), "shutting");
  core_->Shutdown(done);
  loop_.AdvanceBy(milliseconds(10));
  EXPECT_EQ(answers, 3);
}

TEST_F(LifeTest, AShutdownWaitsForTheCommandThatRuns) {
  world_.Add("s1");
  world_.plan = [](const CrmCommand& command) {
    CrmPlan plan;
    plan.delay = command.words[0] == "start" ? seconds(30) : seconds(1);
    return plan;
  };
  Boot();
  Order("s1", "started");
  bool answered = false;
  core_->Shutdown([&](const auto& answer) { answered = answer.ok(); });
  loop_.AdvanceBy(seconds(20));
  EXPECT_FALSE(answered);
  EXPECT_EQ(Count("s1 shutdown"), 0);
  loop_.AdvanceBy(seconds(20));
  EXPECT_TRUE(answered);
  EXPECT_FALSE(world_.IsUp("s1"));
}

TEST_F(LifeTest, AnInstanceThatCannotBeShutDownIsNamedAndGivenUp) {
  world_.Add("s1").resources[0].up = true;
  world_.plan = [](const CrmCommand&) {
    CrmPlan plan;
    plan.effect = false;
    plan.exit_code = 1;
    return plan;
  };
  Boot();
  std::vector<ObjectPath> failed;
  core_->Shutdown([&](const absl::StatusOr<ShutdownAnswer>& answer) {
    ASSERT_THAT(answer, IsOk());
    failed = answer->failed;
  });
  loop_.AdvanceBy(seconds(10));
  EXPECT_THAT(failed, ElementsAre(Path("s1")));
  EXPECT_EQ(Count("s1 shutdown"), 1);
}

TEST_F(LifeTest, AShutdownDoesNotWaitForAPersonForEver) {
  world_.Add("s1").resources[0].up = true;
  Boot();
  world_.Get("s1").holder = Holder("stop", /*from_daemon=*/false);
  loop_.AdvanceBy(seconds(2));
  std::vector<ObjectPath> failed;
  core_->Shutdown([&](const absl::StatusOr<ShutdownAnswer>& answer) {
    ASSERT_THAT(answer, IsOk());
    failed = answer->failed;
  });
  loop_.AdvanceBy(seconds(50));
  EXPECT_THAT(failed, IsEmpty());
  loop_.AdvanceBy(seconds(15));
  EXPECT_THAT(failed, ElementsAre(Path("s1")));
}

TEST_F(LifeTest, AShutdownAskedForWhileTheNodeComesUpBeginsThen) {
  world_.Add("s1").resources[0].up = true;
  Boot(milliseconds(10));
  ASSERT_EQ(NodeWord(), "init");
  bool answered = false;
  core_->Shutdown([&](const auto& answer) { answered = answer.ok(); });
  loop_.AdvanceBy(seconds(5));
  EXPECT_TRUE(answered);
  EXPECT_FALSE(world_.IsUp("s1"));
}

TEST_F(LifeTest, AnotherOrderToTheNodeCancelsAShutdown) {
  world_.Add("s1").resources[0].up = true;
  world_.plan = [](const CrmCommand&) {
    CrmPlan plan;
    plan.delay = seconds(10);
    return plan;
  };
  Boot();
  absl::Status result;
  core_->Shutdown([&](const auto& answer) { result = answer.status(); });
  loop_.AdvanceBy(seconds(1));
  NodeMonitorOrder order;
  order.status = "idle";
  core_->SetNodeMonitor(order, {}, [](const auto&) {});
  loop_.AdvanceBy(seconds(2));
  EXPECT_EQ(ReasonOf(result), "SHUTDOWN_CANCELLED");
}

TEST_F(LifeTest, WhoeverWaitsForAShutdownIsToldThatTheDaemonEndsFirst) {
  world_.Add("s1").resources[0].up = true;
  world_.plan = [](const CrmCommand&) {
    CrmPlan plan;
    plan.delay = seconds(10);
    return plan;
  };
  Boot();
  absl::Status result;
  core_->Shutdown([&](const auto& answer) { result = answer.status(); });
  loop_.AdvanceBy(seconds(1));
  core_->Stop([] {});
  loop_.AdvanceBy(milliseconds(10));
  EXPECT_EQ(ReasonOf(result), "DAEMON_STOPPING");
}

}  // namespace
}  // namespace om
