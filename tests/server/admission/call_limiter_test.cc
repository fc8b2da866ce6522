#include "server/admission/call_limiter.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using CallVerdict = CallLimiter::Verdict;

class CallLimiterTest : public ::testing::Test {
 protected:
  CallLimiter Make(int64_t rate, int64_t burst, int64_t streams = 100, int64_t per_caller = 10) {
    return {{rate, burst, streams, per_caller}, &clock_, &counters_};
  }
  // How many of `count` calls are granted now.
  static int Granted(CallLimiter* limiter, const std::string& key, int count) {
    int granted = 0;
    Duration wait{};
    for (int i = 0; i < count; ++i) granted += limiter->TakeCall(key, &wait) ? 1 : 0;
    return granted;
  }
  int64_t Count(const char* name) { return counters_.Get(name)->value(); }

  FakeClock clock_;
  Counters counters_;
};

TEST_F(CallLimiterTest, LimitsHaveRanges) {
  EXPECT_THAT(CallLimiter::Limits().Validate(), IsOk());
  for (const CallLimiter::Limits& limits :
       {CallLimiter::Limits{-1, 1, 1, 1}, CallLimiter::Limits{1, 0, 1, 1},
        CallLimiter::Limits{1, 1, 0, 1}, CallLimiter::Limits{1, 1, 1, 0}}) {
    EXPECT_THAT(limits.Validate(), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_F(CallLimiterTest, ACallerHasItsBurstAndThenItsRate) {
  CallLimiter limiter = Make(10, 5);
  EXPECT_EQ(Granted(&limiter, "a", 20), 5);
  EXPECT_EQ(Count("limits.calls_refused"), 15);
  clock_.Advance(std::chrono::milliseconds(99));
  EXPECT_EQ(Granted(&limiter, "a", 1), 0);
  clock_.Advance(std::chrono::milliseconds(2));
  EXPECT_EQ(Granted(&limiter, "a", 2), 1);
  clock_.Advance(std::chrono::hours(1));
  EXPECT_EQ(Granted(&limiter, "a", 20), 5);
}

TEST_F(CallLimiterTest, WhoWaitsAsLongAsToldIsServed) {
  CallLimiter limiter = Make(3, 1);
  EXPECT_EQ(Granted(&limiter, "a", 1), 1);
  for (int i = 0; i < 10; ++i) {
    Duration wait{};
    ASSERT_FALSE(limiter.TakeCall("a", &wait));
    ASSERT_GT(wait, Duration::zero());
    clock_.Advance(wait);
    EXPECT_EQ(Granted(&limiter, "a", 1), 1);
  }
}

TEST_F(CallLimiterTest, CallersDoNotTakeFromEachOther) {
  CallLimiter limiter = Make(1, 3);
  EXPECT_EQ(Granted(&limiter, "a", 10), 3);
  EXPECT_EQ(Granted(&limiter, "b", 10), 3);
}

TEST_F(CallLimiterTest, TheEmptyKeyAndARateOfZeroAreNeverRefused) {
  CallLimiter limiter = Make(1, 1);
  EXPECT_EQ(Granted(&limiter, "", 1000), 1000);
  limiter.SetLimits({0, 1, 100, 10});
  EXPECT_EQ(Granted(&limiter, "a", 1000), 1000);
}

TEST_F(CallLimiterTest, NewLimitsHoldAtOnce) {
  CallLimiter limiter = Make(1, 100);
  EXPECT_EQ(Granted(&limiter, "a", 1), 1);
  limiter.SetLimits({1, 2, 100, 10});
  EXPECT_EQ(Granted(&limiter, "a", 10), 2);
}

TEST_F(CallLimiterTest, StreamsAreCappedByCallerAndInTotalAndGivenBack) {
  CallLimiter limiter = Make(1, 1, /*streams=*/4, /*per_caller=*/2);
  std::vector<CallLimiter::Grant> held;
  for (const char* key : {"a", "a", "b", ""}) {
    held.push_back(limiter.TakeStream(key));
    EXPECT_EQ(held.back().verdict, CallVerdict::kGranted) << key;
    EXPECT_TRUE(held.back().slot.held());
  }
  EXPECT_EQ(Count("limits.streams"), 4);
  EXPECT_EQ(limiter.TakeStream("c").verdict, CallVerdict::kTooManyInTotal);
  held.pop_back();
  EXPECT_EQ(limiter.TakeStream("a").verdict, CallVerdict::kTooManyOfCaller);
  EXPECT_EQ(limiter.TakeStream("b").verdict, CallVerdict::kGranted);
  held.clear();
  EXPECT_EQ(Count("limits.streams"), 0);
  EXPECT_EQ(Count("limits.streams_refused"), 2);
  EXPECT_EQ(limiter.TakeStream("a").verdict, CallVerdict::kGranted);
}

TEST_F(CallLimiterTest, ASlotMayOutliveItsLimiter) {
  CallLimiter::Slot slot;
  {
    CallLimiter limiter = Make(1, 1);
    slot = std::move(limiter.TakeStream("a").slot);
  }
  EXPECT_TRUE(slot.held());
}

TEST_F(CallLimiterTest, TheTableIsBoundedAndForgetsThoseWhoLoseNothing) {
  CallLimiter limiter = Make(1, 2);
  CallLimiter::Grant stream = limiter.TakeStream("watcher");
  for (size_t i = 0; i < 2 * CallLimiter::kMaxCallers; ++i) {
    (void)Granted(&limiter, absl::StrCat("caller ", i), 1);
  }
  // And one for all those who came late, who share its calls.
  EXPECT_EQ(Count("limits.callers"), static_cast<int64_t>(CallLimiter::kMaxCallers) + 1);
  EXPECT_EQ(Granted(&limiter, "one more", 1), 0);
  EXPECT_EQ(Granted(&limiter, "caller 1", 2), 1);
  clock_.Advance(std::chrono::seconds(10));
  EXPECT_EQ(Granted(&limiter, "one more", 5), 2);
  EXPECT_LE(Count("limits.callers"), 3);
  stream = {};
  EXPECT_EQ(Count("limits.streams"), 0);
}

}  // namespace
}  // namespace om
