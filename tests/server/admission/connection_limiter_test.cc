#include "server/admission/connection_limiter.h"

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using Verdict = ConnectionLimiter::Verdict;

AdmissionKey Key(absl::string_view text) {
  return AdmissionKey(PeerAddress::Parse(text).value(), false);
}

TEST(ConnectionLimiterTest, AKeyHasAtMostItsShare) {
  ConnectionLimiter limiter({10, 2});
  const auto first = limiter.Acquire(Key("10.0.0.1"));
  auto second = limiter.Acquire(Key("10.0.0.1"));
  EXPECT_EQ(first.verdict, Verdict::kGranted);
  EXPECT_TRUE(first.slot.held());
  EXPECT_EQ(second.verdict, Verdict::kGranted);
  const auto third = limiter.Acquire(Key("10.0.0.1"));
  EXPECT_EQ(third.verdict, Verdict::kTooManyOfKey);
  EXPECT_FALSE(third.slot.held());
  EXPECT_EQ(limiter.Acquire(Key("10.0.0.2")).verdict, Verdict::kGranted);
  second.slot.Release();
  second.slot.Release();
  EXPECT_EQ(limiter.total(), 1);
  EXPECT_EQ(limiter.Acquire(Key("10.0.0.1")).verdict, Verdict::kGranted);
}

TEST(ConnectionLimiterTest, AddressesOfOneNetworkShare) {
  ConnectionLimiter limiter({10, 1});
  const auto first = limiter.Acquire(Key("2001:db8::1"));
  EXPECT_EQ(limiter.Acquire(Key("2001:db8::2")).verdict, Verdict::kTooManyOfKey);
  EXPECT_EQ(limiter.Acquire(Key("2001:db8:0:1::2")).verdict, Verdict::kGranted);
}

TEST(ConnectionLimiterTest, TheTotalHoldsForAllTogether) {
  ConnectionLimiter limiter({2, 2});
  const auto first = limiter.Acquire(Key("10.0.0.1"));
  {
    const auto second = limiter.Acquire(Key("10.0.0.2"));
    EXPECT_EQ(limiter.Acquire(Key("10.0.0.3")).verdict, Verdict::kTooManyInTotal);
    EXPECT_EQ(limiter.total(), 2);
  }
  EXPECT_EQ(limiter.total(), 1);
  EXPECT_EQ(limiter.Acquire(Key("10.0.0.3")).verdict, Verdict::kGranted);
}

TEST(ConnectionLimiterTest, AMovedSlotIsGivenBackOnce) {
  ConnectionLimiter limiter({10, 10});
  ConnectionLimiter::Slot slot;
  {
    auto grant = limiter.Acquire(Key("10.0.0.1"));
    slot = std::move(grant.slot);
  }
  EXPECT_EQ(limiter.total(), 1);
  slot = limiter.Acquire(Key("10.0.0.2")).slot;  // Gives the former back.
  EXPECT_EQ(limiter.total(), 1);
  slot = ConnectionLimiter::Slot();
  EXPECT_EQ(limiter.total(), 0);
}

TEST(ConnectionLimiterTest, ASlotMayOutliveTheLimiter) {
  auto limiter = std::make_unique<ConnectionLimiter>(ConnectionLimiter::Limits{10, 10});
  ConnectionLimiter::Slot slot = limiter->Acquire(Key("10.0.0.1")).slot;
  limiter.reset();
  EXPECT_TRUE(slot.held());
  slot.Release();
  EXPECT_FALSE(slot.held());
}

TEST(ConnectionLimiterTest, NewLimitsHoldForTheNextConnections) {
  ConnectionLimiter limiter({10, 10});
  const auto first = limiter.Acquire(Key("10.0.0.1"));
  const auto second = limiter.Acquire(Key("10.0.0.1"));
  limiter.SetLimits({10, 1});
  EXPECT_TRUE(second.slot.held());
  EXPECT_EQ(limiter.Acquire(Key("10.0.0.1")).verdict, Verdict::kTooManyOfKey);
}

TEST(ConnectionLimiterTest, ManyThreadsNeverPassTheCap) {
  ConnectionLimiter limiter({3, 3});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 5'000; ++j) {
        const auto grant = limiter.Acquire(Key("10.0.0.1"));
        EXPECT_LE(limiter.total(), 3);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(limiter.total(), 0);
}

TEST(ConnectionLimiterTest, LimitsOutOfRangeAreRefused) {
  EXPECT_THAT(ConnectionLimiter::Limits().Validate(), IsOk());
  EXPECT_THAT((ConnectionLimiter::Limits{0, 1}.Validate()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT((ConnectionLimiter::Limits{1, 0}.Validate()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace om
