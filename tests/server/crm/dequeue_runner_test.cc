#include "server/crm/dequeue_runner.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/crm/fake_launcher.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_loop.h"

namespace om {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::SizeIs;

class CoalescingRunnerTest : public ::testing::Test {
 protected:
  CoalescingRunner::Options Options() {
    CoalescingRunner::Options options;
    options.name = "dequeue_actions";
    options.argv = {"om", "node", "dequeue", "actions"};
    return options;
  }
  int64_t Count(const char* name) { return counters_.Get(name)->value(); }

  FakeClock clock_;
  FakeLoop loop_{&clock_};
  FakeLauncher launcher_;
  Counters counters_;
  CoalescingRunner runner_{&loop_, &clock_, &launcher_, &counters_, Options()};
};

TEST_F(CoalescingRunnerTest, ARequestRunsTheCommandAtOnce) {
  runner_.Request();
  ASSERT_THAT(launcher_.runs, SizeIs(1));
  EXPECT_THAT(launcher_.runs[0].spec.argv, ElementsAre("om", "node", "dequeue", "actions"));
}

TEST_F(CoalescingRunnerTest, ManyRequestsWhileOneRunsCauseExactlyOneMoreRun) {
  runner_.Request();
  for (int i = 0; i < 1000; ++i) runner_.Request();
  EXPECT_THAT(launcher_.runs, SizeIs(1));
  clock_.Advance(seconds(5));
  launcher_.End(0, FakeLauncher::Exit(0));
  EXPECT_THAT(launcher_.runs, SizeIs(2));
  clock_.Advance(seconds(5));
  launcher_.End(1, FakeLauncher::Exit(0));
  loop_.AdvanceBy(seconds(60));
  EXPECT_THAT(launcher_.runs, SizeIs(2));
  EXPECT_FALSE(runner_.running());
  EXPECT_EQ(Count("dequeue_actions.requests"), 1001);
  EXPECT_EQ(Count("dequeue_actions.runs"), 2);
}

TEST_F(CoalescingRunnerTest, RunsStartAtLeastTheMinimumIntervalApart) {
  runner_.Request();
  launcher_.End(0, FakeLauncher::Exit(0));
  runner_.Request();
  runner_.Request();
  EXPECT_THAT(launcher_.runs, SizeIs(1));
  loop_.AdvanceBy(milliseconds(999));
  EXPECT_THAT(launcher_.runs, SizeIs(1));
  loop_.AdvanceBy(milliseconds(1));
  EXPECT_THAT(launcher_.runs, SizeIs(2));
  launcher_.End(1, FakeLauncher::Exit(0));
  loop_.AdvanceBy(seconds(10));
  EXPECT_THAT(launcher_.runs, SizeIs(2));
}

TEST_F(CoalescingRunnerTest, AMissingCommandIsCountedEachTimeAndDoesNotStopLaterRuns) {
  for (size_t i = 0; i < 3; ++i) {
    runner_.Request();
    ASSERT_THAT(launcher_.runs, SizeIs(i + 1));
    ProcessResult missing;
    missing.status = absl::NotFoundError("program \"om\" is not in PATH");
    launcher_.End(i, missing);
    loop_.AdvanceBy(seconds(2));
  }
  EXPECT_EQ(Count("dequeue_actions.missing"), 3);
  EXPECT_EQ(Count("dequeue_actions.failures"), 0);
}

TEST_F(CoalescingRunnerTest, AFailureIsCountedAndTheNextRequestRunsAgain) {
  runner_.Request();
  launcher_.End(0, FakeLauncher::Exit(1));
  EXPECT_EQ(Count("dequeue_actions.failures"), 1);
  loop_.AdvanceBy(seconds(2));
  runner_.Request();
  EXPECT_THAT(launcher_.runs, SizeIs(2));
}

TEST_F(CoalescingRunnerTest, TheEndOfARunAfterDestructionTouchesNothing) {
  FakeLauncher launcher;
  {
    CoalescingRunner runner(&loop_, &clock_, &launcher, &counters_, Options());
    runner.Request();
    runner.Request();
  }
  launcher.End(0, FakeLauncher::Exit(0));
  loop_.AdvanceBy(seconds(5));
  EXPECT_THAT(launcher.runs, SizeIs(1));
}

}  // namespace
}  // namespace om
