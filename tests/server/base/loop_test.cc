#include "server/base/loop.h"

#include <future>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_loop.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals only.

TEST(ThreadLoopTest, RunsWorkInOrderOnItsOwnThread) {
  SystemClock clock;
  ThreadLoop loop("test", &clock);
  std::vector<int> order;
  std::promise<bool> done;
  EXPECT_FALSE(loop.RunsHere());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(loop.Post([&order, i] { order.push_back(i); }));
  EXPECT_TRUE(loop.Post([&] { done.set_value(loop.RunsHere()); }));
  EXPECT_TRUE(done.get_future().get());
  EXPECT_THAT(order, ElementsAre(0, 1, 2));
  EXPECT_NE(loop.kernel_tid(), 0);
}

TEST(ThreadLoopTest, TimersFireAndCancelledOnesDoNot) {
  SystemClock clock;
  ThreadLoop loop("test", &clock);
  std::promise<void> done;
  std::vector<int> order;
  // On the loop, which runs no timer meanwhile, however long it takes to make them.
  ASSERT_TRUE(loop.Post([&] {
    const TimerId cancelled = loop.PostAfter(1ms, [&order] { order.push_back(9); });
    loop.Cancel(cancelled);
    loop.PostAfter(1h, [&order] { order.push_back(8); });
    loop.PostAfter(2ms, [&] {
      order.push_back(1);
      loop.PostAfter(2ms, [&] { done.set_value(); });
    });
  }));
  done.get_future().wait();
  EXPECT_THAT(order, ElementsAre(1));
}

TEST(ThreadLoopTest, ShutdownRunsWhatWasPostedAndRefusesTheRest) {
  SystemClock clock;
  ThreadLoop loop("test", &clock);
  int ran = 0;
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(loop.Post([&ran] { ++ran; }));
  loop.PostAfter(1h, [&ran] { ++ran; });
  loop.Shutdown();
  EXPECT_EQ(ran, 100);
  EXPECT_FALSE(loop.Post([] {}));
  loop.Shutdown();
}

TEST(WorkerPoolTest, SaysNoWhenItsQueueIsFull) {
  WorkerPool pool("test", 1, 2);
  std::promise<void> started;
  std::promise<void> release;
  ASSERT_TRUE(pool.Post([&] {
    started.set_value();
    release.get_future().wait();
  }));
  started.get_future().wait();
  int ran = 0;
  EXPECT_TRUE(pool.Post([&ran] { ++ran; }));
  EXPECT_TRUE(pool.Post([&ran] { ++ran; }));
  EXPECT_FALSE(pool.Post([&ran] { ++ran; }));
  release.set_value();
  pool.Shutdown();
  EXPECT_EQ(ran, 2);
  EXPECT_FALSE(pool.Post([] {}));
}

TEST(FakeLoopTest, EachTimerRunsAtItsOwnMoment) {
  FakeClock clock;
  FakeLoop loop(&clock);
  const MonotonicTime start = clock.Monotonic();
  std::vector<Duration> moments;
  loop.PostAfter(10ms, [&] {
    moments.push_back(clock.Monotonic() - start);
    loop.PostAfter(5ms, [&] { moments.push_back(clock.Monotonic() - start); });
  });
  loop.AdvanceBy(14ms);
  EXPECT_THAT(moments, ElementsAre(Duration(10ms)));
  loop.AdvanceBy(1ms);
  EXPECT_THAT(moments, ElementsAre(Duration(10ms), Duration(15ms)));
}

}  // namespace
}  // namespace om
