#include "server/core/schedule_table.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/state/state_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/object_path.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class ScheduleTableTest : public ::testing::Test {
 protected:
  ScheduleTableTest() { options_.max_batch = 3; }

  // An object on the local node, evaluated just now.
  void Add(const std::string& name, const std::string& status_schedule = "@10",
           std::vector<TaskSchedule> tasks = {}) {
    store_.EditObject(Path(name), [&](ObjectState* object) {
      ObjectConfig& config = object->configs["n1"];
      config.nodes = {"n1"};
      config.status_schedule = status_schedule;
      config.tasks = std::move(tasks);
      object->instances["n1"];
    });
    Evaluate(name);
  }
  void Evaluate(const std::string& name, bool monitored = false) {
    auto status = std::make_shared<InstanceStatus>();
    status->updated = clock_.Now();
    status->kind = "svc";
    status->has_avail = true;
    status->avail = Availability::kUp;
    status->provisioned = provisioned_;
    ResourceStatus resource;
    resource.rid = "app#1";
    resource.monitored = monitored;
    status->resources.push_back(resource);
    store_.EditInstance(Path(name), [&](InstanceState* instance) { instance->status = status; });
  }
  void SetMonitorStatus(const std::string& name, const std::string& status) {
    store_.EditInstance(Path(name),
                        [&](InstanceState* instance) { instance->monitor.status = status; });
  }

  // What is begun now, as "<action> <paths> <rid>"; stamps are answered with `stamp_`.
  std::vector<std::string> Pass(int max_parallel = 10) {
    if (!table_.has_value()) table_.emplace(options_, absl::UTCTimeZone(), &random_);
    ScheduleTable::Work work = table_->Pass(*store_.snapshot(), max_parallel, clock_.Now());
    if (!work.stamps.empty()) {
      for (const auto& request : work.stamps) {
        asked_.push_back(absl::StrCat(request.path.ToString(), " ", request.rid));
        table_->Stamped(request.path, request.rid, stamp_, clock_.Now());
      }
      const ScheduleTable::Work more = table_->Pass(*store_.snapshot(), max_parallel, clock_.Now());
      work.commands.insert(work.commands.end(), more.commands.begin(), more.commands.end());
    }
    errors_ = work.errors;
    std::vector<std::string> texts;
    for (const ScheduledCommand& command : work.commands) {
      running_.push_back(command);
      std::vector<std::string> paths;
      for (const ObjectPath& path : command.paths) paths.push_back(path.ToString());
      texts.push_back(absl::StrCat(command.action, " ", absl::StrJoin(paths, ","),
                                   command.rid.empty() ? "" : " ", command.rid));
    }
    return texts;
  }
  // The oldest command, of that action if it is given, ends.
  void End(bool timed_out = false, const std::string& action = "") {
    const auto it = std::find_if(running_.begin(), running_.end(), [&](const auto& command) {
      return action.empty() || command.action == action;
    });
    ASSERT_NE(it, running_.end());
    const ScheduledCommand command = *it;
    running_.erase(it);
    if (command.action == "status" && !timed_out) {
      for (const ObjectPath& path : command.paths) Evaluate(path.ToString());
    }
    table_->Ended(command.id, timed_out, clock_.Now());
  }
  void Wait(absl::Duration by) { clock_.Advance(absl::ToChronoNanoseconds(by)); }

  FakeClock clock_;
  StateStore store_{&clock_, "n1", "run", ChangeFeed::Options()};
  Random random_{1};
  ScheduleTable::Options options_;
  std::optional<ScheduleTable> table_;
  std::optional<bool> provisioned_;
  std::optional<absl::Time> stamp_;
  std::vector<std::string> asked_;
  std::vector<std::string> errors_;
  std::vector<ScheduledCommand> running_;
};

TEST_F(ScheduleTableTest, DueEvaluationsAreMergedIntoBatches) {
  for (const char* name : {"a", "b", "c", "d"}) Add(name);
  EXPECT_THAT(Pass(), IsEmpty());
  Wait(absl::Minutes(10) - absl::Seconds(1));
  EXPECT_THAT(Pass(), IsEmpty());
  Wait(absl::Seconds(1));
  EXPECT_THAT(Pass(), ElementsAre("status a,b,c", "status d"));
  EXPECT_EQ(table_->state().running, 2);
  Wait(absl::Minutes(20));
  EXPECT_THAT(Pass(), IsEmpty());  // They still run.
  End();
  End();
  EXPECT_EQ(table_->state().running, 0);
  EXPECT_THAT(Pass(), IsEmpty());
  Wait(absl::Minutes(10));
  EXPECT_THAT(Pass(), ElementsAre("status a,b,c", "status d"));
}

TEST_F(ScheduleTableTest, AnEvaluationByAnotherHandPutsTheNextOff) {
  Add("a");
  Pass();
  Wait(absl::Minutes(9));
  Evaluate("a");
  Wait(absl::Minutes(9));
  EXPECT_THAT(Pass(), IsEmpty());
  Wait(absl::Minutes(1));
  EXPECT_THAT(Pass(), ElementsAre("status a"));
}

TEST_F(ScheduleTableTest, InstancesInATransitionAreLeftAlone) {
  Add("a");
  SetMonitorStatus("a", "starting");
  Wait(absl::Minutes(11));
  EXPECT_THAT(Pass(), IsEmpty());
  SetMonitorStatus("a", "idle");
  EXPECT_THAT(Pass(), ElementsAre("status a"));
}

TEST_F(ScheduleTableTest, MonitoredResourcesAreCheckedEachMinute) {
  Add("a");
  Evaluate("a", /*monitored=*/true);
  Add("b");
  EXPECT_THAT(Pass(), IsEmpty());
  Wait(absl::Minutes(1));
  EXPECT_THAT(Pass(), ElementsAre("resource_monitor a"));
  End();
  Wait(absl::Seconds(59));
  EXPECT_THAT(Pass(), IsEmpty());
  Wait(absl::Seconds(1));
  EXPECT_THAT(Pass(), ElementsAre("resource_monitor a"));
  End();
  // Both due: the full evaluation is enough.
  Wait(absl::Minutes(9));
  EXPECT_THAT(Pass(), ElementsAre("status a,b"));
}

TEST_F(ScheduleTableTest, AMonitorScheduleOfItsOwnCounts) {
  Add("a");
  store_.EditObject(Path("a"),
                    [](ObjectState* object) { object->configs["n1"].monitor_schedule = "@3"; });
  Pass();
  Wait(absl::Minutes(2));
  EXPECT_THAT(Pass(), IsEmpty());
  Wait(absl::Minutes(1));
  EXPECT_THAT(Pass(), ElementsAre("resource_monitor a"));
}

TEST_F(ScheduleTableTest, TasksAreRunEachByItself) {
  Add("a", "@0", {{"task#1", "@5"}, {"task#2", "@5"}, {"task#3", "@0"}});
  Add("b", "@0", {{"task#1", "@5"}});
  EXPECT_THAT(Pass(), ElementsAre("run a task#1", "run a task#2", "run b task#1"));
  Wait(absl::Minutes(10));
  EXPECT_THAT(Pass(), IsEmpty());
  End();
  EXPECT_THAT(Pass(), ElementsAre("run a task#1"));
}

TEST_F(ScheduleTableTest, StampsKeepTheRhythmOverARestart) {
  Add("a", "@0", {{"task#1", "@60"}});
  stamp_ = clock_.Now() - absl::Minutes(50);
  EXPECT_THAT(Pass(), IsEmpty());
  EXPECT_THAT(asked_, ElementsAre("a task#1"));
  Wait(absl::Minutes(9));
  EXPECT_THAT(Pass(), IsEmpty());
  Wait(absl::Minutes(1));
  EXPECT_THAT(Pass(), ElementsAre("run a task#1"));
  End();
  // Run by hand meanwhile, which only the stamp tells.
  Wait(absl::Minutes(60));
  stamp_ = clock_.Now() - absl::Minutes(20);
  EXPECT_THAT(Pass(), IsEmpty());
  Wait(absl::Minutes(40));
  EXPECT_THAT(Pass(), ElementsAre("run a task#1"));
}

TEST_F(ScheduleTableTest, TasksOfALongRangeAreDelayedAndShown) {
  Add("a", "@0", {{"task#1", "00:00-23:58"}});
  EXPECT_THAT(Pass(), IsEmpty());
  const SchedulerState state = table_->state();
  ASSERT_EQ(state.delayed.size(), 1U);
  EXPECT_EQ(state.delayed_count, 1U);
  EXPECT_EQ(state.delayed[0].action, "run");
  EXPECT_EQ(state.delayed[0].path, Path("a"));
  EXPECT_EQ(state.delayed[0].rid, "task#1");
  EXPECT_EQ(state.delayed[0].queued, clock_.Now());
  EXPECT_GT(state.delayed[0].expire, clock_.Now());
  Wait(state.delayed[0].expire - clock_.Now() - absl::Seconds(1));
  EXPECT_THAT(Pass(), IsEmpty());
  Wait(absl::Seconds(1));
  EXPECT_THAT(Pass(), ElementsAre("run a task#1"));
  EXPECT_THAT(table_->state().delayed, IsEmpty());
}

TEST_F(ScheduleTableTest, NothingButEvaluationsRunsWhileNotProvisioned) {
  provisioned_ = false;
  Add("a", "@10", {{"task#1", "@5"}});
  Evaluate("a", /*monitored=*/true);
  EXPECT_EQ(store_.snapshot()->objects.Find(Path("a"))->aggregate.provisioned, "false");
  EXPECT_THAT(Pass(), IsEmpty());
  Wait(absl::Minutes(10));
  EXPECT_THAT(Pass(), ElementsAre("status a"));
  End();
  provisioned_ = true;
  Evaluate("a");
  EXPECT_THAT(Pass(), ElementsAre("run a task#1"));
}

TEST_F(ScheduleTableTest, NoMoreThanTheLimitRunsAtATime) {
  options_.max_batch = 1;
  for (int i = 0; i < 6; ++i) Add(absl::StrCat("s", i), "@10", {{"task#1", "@10"}});
  Wait(absl::Minutes(10));
  for (const auto& text : Pass(4)) EXPECT_THAT(text, HasSubstr("status s"));
  EXPECT_EQ(table_->state().running, 4);
  for (int i = 0; i < 4; ++i) End();
  // Tasks leave room for evaluations.
  EXPECT_THAT(Pass(4), ElementsAre("run s0 task#1", "run s1 task#1", "status s4", "status s5"));
  EXPECT_TRUE(table_->has_waiting());
  EXPECT_THAT(Pass(4), IsEmpty());
  End(false, "status");
  EXPECT_THAT(Pass(4), IsEmpty());
  End(false, "run");
  EXPECT_THAT(Pass(4), ElementsAre("run s2 task#1"));
  EXPECT_EQ(table_->state().delayed_count, 3U);
}

TEST_F(ScheduleTableTest, WithALimitOfOneAnEvaluationDoesNotWaitForATask) {
  Add("a", "@10", {{"task#1", "@10"}, {"task#2", "@10"}});
  Wait(absl::Minutes(10));
  EXPECT_THAT(Pass(1), UnorderedElementsAre("run a task#1", "status a"));
}

TEST_F(ScheduleTableTest, AnInstanceThatHangsHoldsUpNoOther) {
  for (const char* name : {"a", "b", "c"}) Add(name);
  Pass();
  Wait(absl::Minutes(10));
  EXPECT_THAT(Pass(), ElementsAre("status a,b,c"));
  Wait(absl::Minutes(5));
  End(/*timed_out=*/true);
  EXPECT_THAT(Pass(), ElementsAre("status a", "status b", "status c"));
  End(/*timed_out=*/true);  // It was a.
  End();
  End();
  Wait(absl::Minutes(10));
  EXPECT_THAT(Pass(), ElementsAre("status b,c", "status a"));
  // And it is tried ever more rarely.
  End();
  absl::Duration before = absl::ZeroDuration();
  for (int i = 0; i < 8; ++i) {
    End(/*timed_out=*/true);
    const absl::Time ended = clock_.Now();
    bool again = false;
    for (int minute = 0; minute < 100 && !again; ++minute) {
      Wait(absl::Minutes(1));
      for (const std::string& text : Pass()) {
        if (text == "status a") {
          again = true;
        } else {
          EXPECT_EQ(text, "status b,c");
          End();
        }
      }
    }
    EXPECT_TRUE(again);
    EXPECT_GE(clock_.Now() - ended, before);
    before = clock_.Now() - ended;
  }
  EXPECT_EQ(before, options_.max_backoff);
}

TEST_F(ScheduleTableTest, AHangingTaskKeepsNothingElseBack) {
  Add("a", "@10", {{"task#1", "@1"}, {"task#2", "@1"}});
  EXPECT_THAT(Pass(), ElementsAre("run a task#1", "run a task#2"));
  running_.erase(running_.begin());  // task#1 never ends.
  End();
  Wait(absl::Minutes(10));
  EXPECT_THAT(Pass(), UnorderedElementsAre("run a task#2", "status a"));
}

TEST_F(ScheduleTableTest, ASchedulesErrorIsToldOnceAndNeverRuns) {
  Add("a", "@10", {{"task#1", "every day"}});
  EXPECT_THAT(Pass(), IsEmpty());
  EXPECT_THAT(errors_, ElementsAre(HasSubstr("a task#1, run: expected")));
  Wait(absl::Minutes(10));
  EXPECT_THAT(Pass(), ElementsAre("status a"));
  EXPECT_THAT(errors_, IsEmpty());
}

TEST_F(ScheduleTableTest, AChangedScheduleHoldsAtOnce) {
  Add("a", "@60");
  Pass();
  Wait(absl::Minutes(10));
  EXPECT_THAT(Pass(), IsEmpty());
  store_.EditObject(Path("a"),
                    [](ObjectState* object) { object->configs["n1"].status_schedule = "@10"; });
  EXPECT_THAT(Pass(), ElementsAre("status a"));
}

TEST_F(ScheduleTableTest, AClockThatIsSetBackStopsNothing) {
  Add("a");
  Pass();
  clock_.JumpWall(-absl::Hours(24));
  Wait(absl::Minutes(1));
  EXPECT_THAT(Pass(), ElementsAre("status a"));
  End();
  Wait(absl::Minutes(10));
  EXPECT_THAT(Pass(), ElementsAre("status a"));
}

TEST_F(ScheduleTableTest, AlwaysIsOnceAMinute) {
  Add("a", "*");
  Pass();
  Wait(absl::Seconds(59));
  EXPECT_THAT(Pass(), IsEmpty());
  Wait(absl::Seconds(1));
  EXPECT_THAT(Pass(), ElementsAre("status a"));
}

TEST_F(ScheduleTableTest, AnObjectThatGoesAwayWhileItsCommandRunsIsForgotten) {
  Add("a");
  Add("b");
  Wait(absl::Minutes(10));
  EXPECT_THAT(Pass(), ElementsAre("status a,b"));
  store_.EraseObject(Path("a"));
  EXPECT_THAT(Pass(), IsEmpty());
  const ScheduledCommand command = running_.front();
  running_.clear();
  Evaluate("b");
  table_->Ended(command.id, false, clock_.Now());
  EXPECT_EQ(table_->state().running, 0);
  Wait(absl::Minutes(10));
  EXPECT_THAT(Pass(), ElementsAre("status b"));
}

TEST_F(ScheduleTableTest, SyncsRunOnlyWhereTheResourceManagerHasThem) {
  Add("a", "@0", {{"sync#1", "@60", true}});
  EXPECT_THAT(Pass(), IsEmpty());
  options_.sync = true;
  table_.reset();
  EXPECT_THAT(Pass(), ElementsAre("sync_all a sync#1"));
}

}  // namespace
}  // namespace om
