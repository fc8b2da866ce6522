#include "server/core/supervisor.h"

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/status.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_loop.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FakeComponent final : public Component {
 public:
  absl::Status Start(std::function<void(absl::Status)> exited) override {
    ++starts;
    if (throws) throw std::runtime_error("boom");
    exit = std::move(exited);
    return start_status;
  }
  void Stop(std::function<void()> done) override {
    ++stops;
    if (slow) {
      finish = std::move(done);
    } else {
      done();
    }
  }
  int kernel_tid() const override { return 42; }

  int starts = 0;
  int stops = 0;
  bool throws = false;
  bool slow = false;
  absl::Status start_status;
  std::function<void(absl::Status)> exit;
  std::function<void()> finish;
};

class SupervisorTest : public ::testing::Test {
 protected:
  SupervisorTest() {
    supervisor_.Add("listener", &component_);
    supervisor_.Add("scheduler", &other_);
  }
  ThreadState state() { return supervisor_.status("listener")->state; }

  FakeClock clock_;
  FakeLoop loop_{&clock_};
  Random random_{1};
  Counters counters_;
  FakeComponent component_, other_;
  std::vector<std::string> published_;
  Supervisor supervisor_{
      {}, &loop_, &clock_, &random_, &counters_, [this](const ThreadStatus& thread) {
        published_.push_back(thread.id + " " + std::string(ThreadStateName(thread.state)));
      }};
};

TEST_F(SupervisorTest, StartAndStopAreIdempotentAndPublished) {
  EXPECT_THAT(supervisor_.Start("listener"), IsOk());
  EXPECT_THAT(supervisor_.Start("listener"), IsOk());
  EXPECT_EQ(component_.starts, 1);
  EXPECT_EQ(supervisor_.status("listener")->kernel_tid, 42);
  int stopped = 0;
  component_.slow = true;
  EXPECT_THAT(supervisor_.Stop("listener", [&] { ++stopped; }), IsOk());
  EXPECT_THAT(supervisor_.Stop("listener", [&] { ++stopped; }), IsOk());
  EXPECT_EQ(state(), ThreadState::kStopping);
  EXPECT_EQ(component_.stops, 1);
  component_.finish();
  loop_.RunReady();
  EXPECT_EQ(stopped, 2);
  EXPECT_THAT(supervisor_.Stop("listener", [&] { ++stopped; }), IsOk());
  EXPECT_EQ(stopped, 3);
  EXPECT_EQ(state(), ThreadState::kStopped);
  EXPECT_THAT(published_, ElementsAre("listener stopped", "scheduler stopped", "listener running",
                                      "listener stopping", "listener stopped", "listener stopped"));
}

TEST_F(SupervisorTest, AnUnknownIdIsAnsweredWithTheValidOnes) {
  const absl::Status status = supervisor_.Start("nope");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound, HasSubstr("listener, scheduler")));
  EXPECT_EQ(ReasonOf(status), "UNKNOWN_THREAD");
  EXPECT_THAT(supervisor_.Stop("nope", [] {}), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SupervisorTest, AnErrorExitRestartsWithGrowingBackoffAndIsCounted) {
  ASSERT_THAT(supervisor_.Start("listener"), IsOk());
  Duration last(0);
  for (int i = 1; i <= 4; ++i) {
    component_.exit(absl::InternalError("lost"));
    loop_.RunReady();
    EXPECT_EQ(state(), ThreadState::kTerminated);
    EXPECT_THAT(supervisor_.status("listener")->last_error, HasSubstr("lost"));
    const MonotonicTime fell = clock_.Monotonic();
    while (state() != ThreadState::kRunning) loop_.AdvanceBy(std::chrono::milliseconds(10));
    const Duration waited = clock_.Monotonic() - fell;
    EXPECT_GT(waited, last);
    last = waited;
    EXPECT_EQ(supervisor_.status("listener")->restart_count, i);
    EXPECT_EQ(counters_.Get("thread.restarts")->value(), i);
  }
  // Healthy for long, it starts over.
  loop_.AdvanceBy(seconds(61));
  component_.exit(absl::OkStatus());
  loop_.RunReady();
  loop_.AdvanceBy(seconds(2));
  EXPECT_EQ(state(), ThreadState::kRunning);
}

TEST_F(SupervisorTest, AThrowOutOfStartOrOfGuardedWorkTerminates) {
  component_.throws = true;
  ASSERT_THAT(supervisor_.Start("listener"), IsOk());
  EXPECT_EQ(state(), ThreadState::kTerminated);
  EXPECT_THAT(supervisor_.status("listener")->last_error, HasSubstr("boom"));
  component_.throws = false;
  loop_.AdvanceBy(seconds(2));
  ASSERT_EQ(state(), ThreadState::kRunning);
  EXPECT_TRUE(Supervisor::Guard(component_.exit, [] {}));
  EXPECT_FALSE(Supervisor::Guard(component_.exit, [] { throw 7; }));
  loop_.RunReady();
  EXPECT_EQ(state(), ThreadState::kTerminated);
}

TEST_F(SupervisorTest, AnOperatorsStopHoldsEvenBetweenRestarts) {
  ASSERT_THAT(supervisor_.Start("listener"), IsOk());
  component_.exit(absl::InternalError("lost"));
  loop_.RunReady();
  bool stopped = false;
  ASSERT_THAT(supervisor_.Stop("listener", [&] { stopped = true; }), IsOk());
  EXPECT_TRUE(stopped);
  EXPECT_EQ(state(), ThreadState::kStopped);
  loop_.AdvanceBy(seconds(300));
  EXPECT_EQ(component_.starts, 1);
  ASSERT_THAT(supervisor_.Start("listener"), IsOk());
  EXPECT_EQ(state(), ThreadState::kRunning);
}

TEST_F(SupervisorTest, AStartWhileStoppingStartsOnceStopped) {
  ASSERT_THAT(supervisor_.Start("listener"), IsOk());
  component_.slow = true;
  ASSERT_THAT(supervisor_.Stop("listener", [] {}), IsOk());
  ASSERT_THAT(supervisor_.Start("listener"), IsOk());
  EXPECT_EQ(component_.starts, 1);
  component_.finish();
  loop_.RunReady();
  EXPECT_EQ(component_.starts, 2);
  EXPECT_EQ(state(), ThreadState::kRunning);
}

TEST_F(SupervisorTest, AnExitOfAnEarlierRunIsIgnored) {
  ASSERT_THAT(supervisor_.Start("listener"), IsOk());
  const auto old_exit = component_.exit;
  ASSERT_THAT(supervisor_.Stop("listener", [] {}), IsOk());
  loop_.RunReady();
  ASSERT_THAT(supervisor_.Start("listener"), IsOk());
  old_exit(absl::InternalError("late"));
  loop_.RunReady();
  EXPECT_EQ(state(), ThreadState::kRunning);
}

TEST_F(SupervisorTest, AllStopTogetherAndRemovedOnesAreGone) {
  supervisor_.StartAll();
  bool all = false;
  supervisor_.StopAll([&] { all = true; });
  loop_.RunReady();
  EXPECT_TRUE(all);
  bool removed = false;
  supervisor_.Remove("scheduler", [&] { removed = true; });
  loop_.RunReady();
  EXPECT_TRUE(removed);
  EXPECT_THAT(supervisor_.ids(), ElementsAre("listener"));
  EXPECT_THAT(supervisor_.Start("scheduler"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace om
