#include "client/omctl/interrupt.h"

#include <signal.h>

#include <atomic>
#include <cstdlib>

#include "gtest/gtest.h"

namespace om {
namespace {

// Waits until the watch has told, on its thread.
void Await(const std::atomic<int>& told, int count) {
  while (told.load() < count) std::this_thread::yield();
}

TEST(InterruptWatchTest, TellsOnceAndRemembersTheFirstSignal) {
  std::atomic<int> told{0};
  {
    InterruptWatch watch([&told] { ++told; });
    EXPECT_EQ(watch.signal(), 0);
    raise(SIGTERM);
    Await(told, 1);
    EXPECT_EQ(watch.signal(), SIGTERM);
    raise(SIGINT);
    // What was in the pipe has been read when the watch is gone.
  }
  EXPECT_EQ(told.load(), 1);
}

TEST(InterruptWatchTest, OneAfterTheOtherIsToldOfItsOwnSignals) {
  for (const int signal : {SIGHUP, SIGINT, SIGTERM}) {
    std::atomic<int> told{0};
    InterruptWatch watch([&told] { ++told; });
    raise(signal);
    Await(told, 1);
    EXPECT_EQ(watch.signal(), signal);
  }
}

TEST(InterruptWatchTest, SecondSignalOfAKindEndsTheProcess) {
  EXPECT_EXIT(
      {
        std::atomic<int> told{0};
        InterruptWatch watch([&told] { ++told; });
        raise(SIGINT);
        Await(told, 1);
        raise(SIGINT);
        std::abort();  // Not reached.
      },
      ::testing::KilledBySignal(SIGINT), "");
}

TEST(InterruptWatchTest, HandlersAreAsBeforeWhenItIsGone) {
  struct sigaction before {};
  sigaction(SIGHUP, nullptr, &before);
  ASSERT_NE(signal(SIGHUP, SIG_IGN), SIG_ERR);
  {
    InterruptWatch watch([] {});
    raise(SIGHUP);  // Is ignored, as it was.
    EXPECT_EQ(watch.signal(), 0);
  }
  struct sigaction after {};
  sigaction(SIGHUP, &before, &after);
  EXPECT_EQ(after.sa_handler, SIG_IGN);
  sigaction(SIGTERM, nullptr, &after);
  EXPECT_EQ(after.sa_handler, SIG_DFL);
}

}  // namespace
}  // namespace om
