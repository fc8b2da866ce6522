#include "server/core/scheduler.h"

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
#include "tests/support/fake_loop.h"
#include "tests/support/object_path.h"

namespace om {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Commands that end when the test says so, and stamps.
class FakeCrm final : public CrmPort, public StampPort {
 public:
  void Run(CrmCommand command, Done<CrmResult> done) override {
    std::vector<std::string> paths;
    for (const ObjectPath& path : command.paths) paths.push_back(path.ToString());
    commands.push_back(
        absl::StrCat(absl::StrJoin(paths, ","), " ", absl::StrJoin(command.words, " ")));
    limits.push_back(command.timeout);
    pending.push_back(std::move(done));
  }
  void LastRun(const ObjectPath& /*path*/, const std::string& /*rid*/,
               Done<std::optional<absl::Time>> done) override {
    done(stamp);
  }
  std::vector<std::string> commands;
  std::vector<Duration> limits;
  std::vector<Done<CrmResult>> pending;
  std::optional<absl::Time> stamp;
};

class SchedulerTest : public ::testing::Test {
 protected:
  SchedulerTest() {
    store_.EditNode("n1", [](NodeState* node) { node->monitor.status = status_word::kIdle; });
    Scheduler::Ports ports;
    ports.loop = &loop_;
    ports.clock = &clock_;
    ports.random = &random_;
    ports.crm = &crm_;
    ports.stamps = &crm_;
    ports.counters = &counters_;
    ports.snapshot = [this] { return store_.snapshot(); };
    ports.evaluated = [this](const ObjectPath& path) { evaluated_.push_back(path.ToString()); };
    ports.publish = [this](SchedulerState state) { published_.push_back(std::move(state)); };
    ScheduleOptions options;
    options.max_parallel = 4;
    options.task_limit = minutes(60);
    scheduler_ = std::make_unique<Scheduler>(options, absl::UTCTimeZone(), std::move(ports));
  }
  void Add(const std::string& name, std::vector<TaskSchedule> tasks = {}) {
    store_.EditObject(Path(name), [&](ObjectState* object) {
      object->configs["n1"].tasks = std::move(tasks);
      object->instances["n1"];
    });
  }
  void Start() {
    EXPECT_TRUE(scheduler_->Start([](absl::Status) {}).ok());
  }
  void End(CrmResult result = {}) {
    const Done<CrmResult> done = crm_.pending.front();
    crm_.pending.erase(crm_.pending.begin());
    done(std::move(result));
    loop_.RunReady();
  }

  FakeClock clock_;
  FakeLoop loop_{&clock_};
  StateStore store_{&clock_, "n1", "run", ChangeFeed::Options()};
  Random random_{1};
  Counters counters_;
  FakeCrm crm_;
  std::vector<std::string> evaluated_;
  std::vector<SchedulerState> published_;
  std::unique_ptr<Scheduler> scheduler_;
};

TEST_F(SchedulerTest, CommandsHaveTheLegacyWordsAndALimit) {
  Add("a");
  Add("b", {{"task#1", "@5"}});
  Start();
  loop_.AdvanceBy(Scheduler::kPassInterval);
  EXPECT_THAT(crm_.commands, ElementsAre("a,b status --parallel --refresh --waitlock=5 --cron",
                                         "b run --rid task#1 --waitlock=5 --cron"));
  EXPECT_THAT(crm_.limits, ElementsAre(minutes(5), minutes(60)));
  EXPECT_EQ(published_.back().running, 2);
  EXPECT_THAT(evaluated_, IsEmpty());
  End();
  EXPECT_THAT(evaluated_, ElementsAre("a", "b"));
  End();
  loop_.AdvanceBy(Scheduler::kPassInterval);
  EXPECT_EQ(published_.back().running, 0);
}

TEST_F(SchedulerTest, NothingIsBegunWhileTheNodeComesOrGoes) {
  Add("a");
  Start();
  for (const char* status : {"init", "upgrade", "shutting"}) {
    store_.EditNode("n1", [&](NodeState* node) { node->monitor.status = status; });
    loop_.AdvanceBy(minutes(20));
    EXPECT_THAT(crm_.commands, IsEmpty()) << status;
  }
  store_.EditNode("n1", [](NodeState* node) { node->monitor.status = "idle"; });
  loop_.AdvanceBy(Scheduler::kPassInterval);
  EXPECT_EQ(crm_.commands.size(), 1U);
}

TEST_F(SchedulerTest, AnOverloadedNodeRunsTwoAtATime) {
  store_.EditNode("n1", [](NodeState* node) {
    node->stats.mem_total_mib = 1000;
    node->stats.mem_avail_percent = 1;
  });
  Add("a", {{"task#1", "@5"}, {"task#2", "@5"}, {"task#3", "@5"}});
  Start();
  loop_.AdvanceBy(seconds(30));
  EXPECT_EQ(crm_.commands.size(), 2U);
  EXPECT_EQ(published_.back().running, 2);
  EXPECT_EQ(published_.back().delayed_count, 2U);
  // What waits follows at once; one task at a time.
  End();
  loop_.AdvanceBy(seconds(0));
  EXPECT_EQ(crm_.commands.size(), 2U);
  End();
  loop_.AdvanceBy(seconds(0));
  EXPECT_EQ(crm_.commands.size(), 3U);
}

TEST_F(SchedulerTest, StoppedItBeginsNothingAndStartedAgainNothingTwice) {
  Add("a");
  Start();
  loop_.AdvanceBy(Scheduler::kPassInterval);
  ASSERT_EQ(crm_.commands.size(), 1U);
  bool stopped = false;
  scheduler_->Stop([&] { stopped = true; });
  EXPECT_TRUE(stopped);
  loop_.AdvanceBy(minutes(30));
  Start();
  loop_.AdvanceBy(minutes(1));
  EXPECT_EQ(crm_.commands.size(), 1U);
  End();
  loop_.AdvanceBy(minutes(1));
  EXPECT_EQ(crm_.commands.size(), 2U);
}

TEST_F(SchedulerTest, AnswersAfterItsEndAreDropped) {
  Add("a");
  Start();
  loop_.AdvanceBy(Scheduler::kPassInterval);
  ASSERT_EQ(crm_.pending.size(), 1U);
  scheduler_->Stop([] {});
  scheduler_.reset();
  End();
  EXPECT_THAT(evaluated_, IsEmpty());
}

TEST_F(SchedulerTest, TimeoutsAreCounted) {
  Add("a");
  Start();
  loop_.AdvanceBy(Scheduler::kPassInterval);
  CrmResult result;
  result.error = absl::DeadlineExceededError("killed");
  End(result);
  EXPECT_EQ(counters_.Get("scheduler.timeouts")->value(), 1);
  EXPECT_EQ(counters_.Get("scheduler.commands")->value(), 1);
}

}  // namespace
}  // namespace om
