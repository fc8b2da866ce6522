#include "server/admission/replay_window.h"

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace om {
namespace {

ReplayWindow::Digest Digest(uint64_t n) {
  ReplayWindow::Digest digest = {};
  std::memcpy(digest.data() + 24, &n, sizeof(n));
  return digest;
}

TEST(ReplayWindowTest, WhatWasInsertedIsAReplay) {
  ReplayWindow window;
  EXPECT_FALSE(window.Contains(Digest(1)));
  EXPECT_TRUE(window.Insert(Digest(1)));
  EXPECT_TRUE(window.Contains(Digest(1)));
  EXPECT_FALSE(window.Insert(Digest(1)));
  EXPECT_TRUE(window.Insert(Digest(2)));
  EXPECT_EQ(window.size(), 2u);
}

TEST(ReplayWindowTest, TheOldestIsForgottenFirst) {
  ReplayWindow window(3);
  for (uint64_t n = 1; n <= 3; ++n) EXPECT_TRUE(window.Insert(Digest(n)));
  // A replay makes nothing younger.
  EXPECT_FALSE(window.Insert(Digest(1)));
  EXPECT_TRUE(window.Insert(Digest(4)));
  EXPECT_FALSE(window.Contains(Digest(1)));
  for (uint64_t n = 2; n <= 4; ++n) EXPECT_TRUE(window.Contains(Digest(n)));
  EXPECT_EQ(window.size(), 3u);
}

TEST(ReplayWindowTest, AMillionMessagesStayWithinTheBound) {
  ReplayWindow window;
  for (uint64_t n = 0; n < 1'000'000; ++n) ASSERT_TRUE(window.Insert(Digest(n)));
  EXPECT_EQ(window.size(), 65536u);
  EXPECT_TRUE(window.Contains(Digest(999'999)));
  EXPECT_TRUE(window.Contains(Digest(1'000'000 - 65536)));
  EXPECT_FALSE(window.Contains(Digest(1'000'000 - 65537)));
}

TEST(ReplayWindowTest, WithoutCapacityNothingIsAReplay) {
  ReplayWindow window(0);
  EXPECT_TRUE(window.Insert(Digest(1)));
  EXPECT_TRUE(window.Insert(Digest(1)));
  EXPECT_FALSE(window.Contains(Digest(1)));
}

TEST(ReplayWindowTest, OfCopiesThatComeAtOnceExactlyOneIsNew) {
  ReplayWindow window;
  std::atomic<int> fresh{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (uint64_t n = 0; n < 10'000; ++n) fresh += window.Insert(Digest(n)) ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(fresh.load(), 10'000);
}

}  // namespace
}  // namespace om
