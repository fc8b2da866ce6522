#include "server/guard/guard_state.h"

#include <cstring>
#include <memory>
#include <random>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace om {
namespace {

constexpr int64_t kNow = int64_t{1000} * 1000 * 1000;
constexpr int64_t kLater = kNow + 500;

class GuardStateTest : public ::testing::Test {
 protected:
  GuardReply Apply(GuardRequest request, int64_t now_ns = kNow) {
    request.epoch = epoch_;
    request.sequence = ++sequence_;
    const GuardReply reply = state_->Apply(request, now_ns);
    EXPECT_EQ(reply.sequence, sequence_);
    return reply;
  }
  GuardReply Hello() {
    const GuardReply reply = Apply({.op = GuardOp::kHello});
    epoch_ = reply.epoch;
    return reply;
  }
  GuardAnswer Renew(int64_t until_ns, int64_t now_ns = kNow) {
    return Apply({.op = GuardOp::kRenew, .until_ns = until_ns}, now_ns).answer;
  }
  static GuardInstance Instance(const std::string& id) {
    GuardInstance instance;
    memcpy(instance.id, id.data(), id.size());
    return instance;
  }
  GuardAnswer Watch(const GuardInstance& instance, int64_t now_ns = kNow) {
    return Apply({.op = GuardOp::kWatch, .instance = instance}, now_ns).answer;
  }
  GuardAnswer Watch(const std::string& id) { return Watch(Instance(id)); }
  GuardAnswer Release(const std::string& id) {
    return Apply({.op = GuardOp::kRelease, .instance = Instance(id)}).answer;
  }
  bool Watches(const std::string& id) const { return state_->Watches(id.data(), id.size()); }

  // Too large for the stack.
  const std::unique_ptr<GuardState> state_ = std::make_unique<GuardState>();
  uint64_t epoch_ = 0;
  uint64_t sequence_ = 0;
};

TEST_F(GuardStateTest, OnlyAHelloIsAnsweredWithoutTheEpoch) {
  epoch_ = 77;
  EXPECT_EQ(Renew(kLater), GuardAnswer::kStaleEpoch);
  EXPECT_EQ(Hello().answer, GuardAnswer::kOk);
  EXPECT_EQ(Renew(kLater), GuardAnswer::kOk);
}

TEST_F(GuardStateTest, NothingIsWatchedBeforeTheFirstRenewalOrAfterTheTimeHasPassed) {
  Hello();
  EXPECT_EQ(Watch("a"), GuardAnswer::kLate);
  ASSERT_EQ(Renew(kLater), GuardAnswer::kOk);
  EXPECT_EQ(Watch(Instance("a"), kLater), GuardAnswer::kLate);
  EXPECT_EQ(Watch(Instance("a"), kLater - 1), GuardAnswer::kOk);
}

TEST_F(GuardStateTest, TimesOfAnotherUnitAreRefused) {
  Hello();
  EXPECT_EQ(Renew(0), GuardAnswer::kInvalid);
  EXPECT_EQ(Renew(-1), GuardAnswer::kInvalid);
  EXPECT_EQ(Renew(kNow + kGuardMaxAheadNs + 1), GuardAnswer::kInvalid);
  EXPECT_EQ(Renew(kNow + kGuardMaxAheadNs), GuardAnswer::kOk);
}

TEST_F(GuardStateTest, ItExpiresAtTheTimeAndOnlyWithInstances) {
  Hello();
  Renew(kLater);
  EXPECT_FALSE(state_->Expired(kLater + 1));
  Watch("a");
  EXPECT_FALSE(state_->Expired(kLater - 1));
  EXPECT_TRUE(state_->Expired(kLater));
  Release("a");
  EXPECT_FALSE(state_->Expired(kLater));
  EXPECT_FALSE(state_->Fire(kLater));
}

TEST_F(GuardStateTest, ARenewalMovesTheTimeEitherWay) {
  Hello();
  Renew(kLater);
  Watch("a");
  Renew(kLater + 100);
  EXPECT_FALSE(state_->Expired(kLater + 99));
  Renew(kLater - 100);
  EXPECT_TRUE(state_->Expired(kLater - 100));
}

TEST_F(GuardStateTest, FiringEndsTheEpochSoThatOldFeedersCannotArmItAgain) {
  Hello();
  Renew(kLater);
  Watch("a");
  ASSERT_TRUE(state_->Fire(kLater));
  EXPECT_FALSE(state_->Fire(kLater)) << "said once";
  EXPECT_EQ(Renew(kLater + 1000), GuardAnswer::kStaleEpoch);
  EXPECT_EQ(Watch("b"), GuardAnswer::kStaleEpoch);
  EXPECT_EQ(Release("a"), GuardAnswer::kStaleEpoch);
  EXPECT_TRUE(state_->Expired(kLater + 1)) << "what comes back is killed again";
  state_->Fired(5, 1, kLater + 7);
  const GuardReply hello = Hello();
  EXPECT_EQ(hello.fired_ns, kLater);
  EXPECT_EQ(hello.done_ns, kLater + 7);
  EXPECT_EQ(hello.killed_count, 5u);
  EXPECT_EQ(hello.survivor_count, 1u);
  EXPECT_EQ(hello.instance_count, 1u);
  ASSERT_EQ(Renew(kLater + 1000), GuardAnswer::kOk);
  EXPECT_FALSE(state_->Expired(kLater + 999));
  EXPECT_TRUE(state_->Fire(kLater + 1000)) << "a new lease that ends is a new firing";
}

TEST_F(GuardStateTest, ARenewalIntoThePastAfterFiringIsNoNewFiring) {
  Hello();
  Renew(kLater);
  Watch("a");
  state_->Fire(kLater);
  Hello();
  EXPECT_EQ(Renew(kNow - 1), GuardAnswer::kOk);
  EXPECT_FALSE(state_->Fire(kLater));
}

TEST_F(GuardStateTest, ALongerLeaseThatWasHeardOfLateStillCounts) {
  Hello();
  Renew(kLater);
  Watch("a");
  EXPECT_EQ(Renew(kLater + 100, kLater + 10), GuardAnswer::kOk);
  EXPECT_FALSE(state_->Fire(kLater + 10));
}

TEST_F(GuardStateTest, MalformedInstancesAreRefused) {
  Hello();
  Renew(kLater);
  EXPECT_EQ(Watch(""), GuardAnswer::kInvalid);
  for (const bool in_id : {true, false}) {
    GuardInstance endless = Instance("a");
    if (in_id) {
      memset(endless.id, 'x', sizeof(endless.id));
    } else {
      memset(endless.cgroup, '/', sizeof(endless.cgroup));
    }
    EXPECT_EQ(Watch(endless), GuardAnswer::kInvalid);
    if (in_id) {
      EXPECT_EQ(Apply({.op = GuardOp::kRelease, .instance = endless}).answer,
                GuardAnswer::kInvalid);
    }
  }
  GuardInstance relative = Instance("a");
  relative.cgroup[0] = 'x';
  EXPECT_EQ(Watch(relative), GuardAnswer::kInvalid);
  for (const int group : {1, -1}) {
    GuardInstance instance = Instance("a");
    instance.group = group;
    EXPECT_EQ(Watch(instance), GuardAnswer::kInvalid);
  }
  GuardRequest foreign = {.magic = 1, .op = GuardOp::kHello};
  EXPECT_EQ(Apply(foreign).answer, GuardAnswer::kInvalid);
  EXPECT_EQ(Apply({.op = static_cast<GuardOp>(99)}).answer, GuardAnswer::kInvalid);
  EXPECT_EQ(state_->count(), 0u);
}

TEST_F(GuardStateTest, WatchingAgainReplaces) {
  Hello();
  Renew(kLater);
  Watch("a");
  GuardInstance changed = Instance("a");
  changed.group = 42;
  EXPECT_EQ(Watch(changed), GuardAnswer::kOk);
  ASSERT_EQ(state_->count(), 1u);
  EXPECT_EQ(state_->at(0).group, 42);
}

TEST_F(GuardStateTest, OneIdIsNotAnotherThatBeginsLikeIt) {
  Hello();
  Renew(kLater);
  Watch("ab");
  EXPECT_TRUE(Watches("ab"));
  EXPECT_FALSE(Watches("a"));
  EXPECT_FALSE(Watches("abc"));
  EXPECT_FALSE(Watches(""));
}

TEST_F(GuardStateTest, AddingAndReleasingInAnyOrderKeepsASortedSet) {
  Hello();
  Renew(kLater);
  std::mt19937 random(7);
  std::set<std::string> expected;
  for (int i = 0; i < 20000; ++i) {
    const std::string id = "id" + std::to_string(random() % 300);
    if (random() % 2 == 0) {
      ASSERT_EQ(Watch(id), GuardAnswer::kOk);
      expected.insert(id);
    } else {
      ASSERT_EQ(Release(id), GuardAnswer::kOk);
      expected.erase(id);
    }
    ASSERT_EQ(state_->count(), expected.size());
  }
  uint32_t index = 0;
  for (const std::string& id : expected) {
    EXPECT_TRUE(Watches(id));
    const GuardReply reply = Apply({.op = GuardOp::kList, .index = index++});
    ASSERT_EQ(reply.answer, GuardAnswer::kOk);
    EXPECT_EQ(reply.instance.id, id);
  }
  EXPECT_EQ(Apply({.op = GuardOp::kList, .index = index}).answer, GuardAnswer::kUnknown);
}

TEST_F(GuardStateTest, OneMoreThanItHoldsIsRefusedAndNothingIsLost) {
  Hello();
  Renew(kLater);
  for (uint32_t i = 0; i < kGuardMaxInstances; ++i) {
    ASSERT_EQ(Watch("i" + std::to_string(i)), GuardAnswer::kOk);
  }
  EXPECT_EQ(Watch("more"), GuardAnswer::kFull);
  EXPECT_EQ(Watch("i7"), GuardAnswer::kOk) << "replacing needs no room";
  EXPECT_EQ(Release("i7"), GuardAnswer::kOk);
  EXPECT_EQ(Watch("more"), GuardAnswer::kOk);
  EXPECT_TRUE(Watches("i16383"));
}

}  // namespace
}  // namespace om
