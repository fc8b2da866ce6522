#include "server/state/availability.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/state/aggregate.h"
#include "server/state/model.h"

namespace om {
namespace {

using enum Availability;

const std::vector<Availability> kMergeable = {
    kUp, kDown, kWarn, kNa, kStdbyUp, kStdbyDown, kUpWithStdbyUp, kStdbyUpWithDown};

TEST(AvailabilityTest, MergeFollowsTheLegacyTable) {
  struct Row {
    Availability a;
    std::vector<Availability> with;  // The columns from the diagonal on.
  };
  const std::vector<Row> table = {
      {kUp, {kUp, kWarn, kWarn, kUp, kUpWithStdbyUp, kWarn, kUpWithStdbyUp, kWarn}},
      {kDown, {kDown, kWarn, kDown, kStdbyUpWithDown, kStdbyDown, kWarn, kStdbyUpWithDown}},
      {kWarn, {kWarn, kWarn, kWarn, kWarn, kWarn, kWarn}},
      {kNa, {kNa, kStdbyUp, kStdbyDown, kUpWithStdbyUp, kStdbyUpWithDown}},
      {kStdbyUp, {kStdbyUp, kWarn, kUpWithStdbyUp, kStdbyUpWithDown}},
      {kStdbyDown, {kStdbyDown, kWarn, kWarn}},
      {kUpWithStdbyUp, {kUpWithStdbyUp, kWarn}},
      {kStdbyUpWithDown, {kStdbyUpWithDown}},
  };
  for (size_t row = 0; row < table.size(); ++row) {
    ASSERT_EQ(table[row].a, kMergeable[row]);
    ASSERT_EQ(table[row].with.size(), kMergeable.size() - row);
    for (size_t i = 0; i < table[row].with.size(); ++i) {
      const Availability other = kMergeable[row + i];
      EXPECT_EQ(Merge(table[row].a, other), table[row].with[i]) << row << " with " << row + i;
      EXPECT_EQ(Merge(other, table[row].a), table[row].with[i]) << row + i << " with " << row;
    }
  }
}

TEST(AvailabilityTest, UndefGivesTheOther) {
  for (const Availability other : kMergeable) {
    EXPECT_EQ(Merge(kUndef, other), other);
    EXPECT_EQ(Merge(other, kUndef), other);
  }
  EXPECT_EQ(Merge(kUndef, kUndef), kUndef);
}

TEST(AvailabilityTest, NamesParseBackAndInternalCodesAreNotShown) {
  for (const Availability one : {kUp, kDown, kWarn, kNa, kUndef, kStdbyUp, kStdbyDown, kUnknown}) {
    EXPECT_EQ(ParseAvailability(AvailabilityName(one)), one);
  }
  EXPECT_EQ(AvailabilityName(kUpWithStdbyUp), "up");
  EXPECT_EQ(AvailabilityName(kStdbyUpWithDown), "stdby up");
  EXPECT_EQ(Shown(kStdbyUpWithDown), kStdbyUp);
  EXPECT_EQ(ParseAvailability("UP"), std::nullopt);
  EXPECT_EQ(ParseAvailability(""), std::nullopt);
}

TEST(AvailabilityTest, StoppedAndStartedStatesOverlapOnlyInNothingToTell) {
  for (const Availability one : kMergeable) EXPECT_EQ(IsStopped(one) && IsStarted(one), one == kNa);
  EXPECT_TRUE(IsStopped(std::nullopt));
  EXPECT_FALSE(IsStarted(std::nullopt));
  EXPECT_FALSE(IsStopped(kWarn));
}

TEST(ModelTest, TransitionsEndInIngExceptScaling) {
  EXPECT_TRUE(IsTransition("starting"));
  EXPECT_FALSE(IsTransition("scaling"));
  EXPECT_FALSE(IsTransition("shutdown"));
  EXPECT_FALSE(IsTransition("idle"));
  EXPECT_TRUE(IsFailed("start failed"));
  EXPECT_TRUE(IsWaiting("wait parents"));
}

TEST(ModelTest, ScoreIsTheLegacyFormula) {
  NodeStats stats;
  stats.load_15m = 2;
  stats.mem_avail_percent = 50;
  stats.swap_avail_percent = 100;
  EXPECT_EQ(NodeScore(stats), 85);  // (50 + 100 + 50 + 400) / 7 = 85.7
  stats.load_15m = 0;
  EXPECT_EQ(NodeScore(stats), 92);  // (100 + 100 + 50 + 400) / 7 = 92.9
}

InstanceFacts Instance(Availability avail) {
  InstanceFacts facts;
  facts.avail = facts.overall = avail;
  return facts;
}
std::vector<InstanceFacts> Instances(const std::vector<Availability>& states) {
  std::vector<InstanceFacts> facts;
  for (const Availability state : states) facts.push_back(Instance(state));
  return facts;
}

TEST(AggregateTest, AvailOfFailoverServices) {
  const ServiceFacts service;
  const std::vector<std::pair<std::vector<Availability>, Availability>> table = {
      {{kUp}, kUp},
      {{kUp, kDown}, kUp},
      {{kUp, kWarn}, kUp},
      {{}, kNa},
      {{kNa, kNa}, kNa},
      {{kUp, kUp}, kWarn},
      {{kWarn, kDown}, kWarn},
      {{kDown, kDown}, kDown},
      {{kNa, kDown}, kDown},
      {{kUndef}, kDown},
      {{kStdbyUp, kStdbyUp}, kDown},
  };
  for (const auto& [states, expected] : table) {
    EXPECT_EQ(AggregateAvail(service, Instances(states)), expected)
        << ::testing::PrintToString(states);
  }
}

TEST(AggregateTest, AvailOfFlexServices) {
  ServiceFacts service;
  service.topology = "flex";
  service.flex_min = 2;
  service.flex_max = 3;
  const std::vector<std::pair<std::vector<Availability>, Availability>> table = {
      {{}, kNa},
      {{kNa, kNa}, kNa},
      {{kDown, kWarn}, kWarn},
      {{kDown, kNa}, kDown},
      {{kUp, kDown}, kWarn},
      {{kUp, kUp, kWarn}, kUp},
      {{kUp, kUp, kUp, kUp}, kWarn},
  };
  for (const auto& [states, expected] : table) {
    EXPECT_EQ(AggregateAvail(service, Instances(states)), expected)
        << ::testing::PrintToString(states);
  }
  service.scaler_slice = true;
  EXPECT_EQ(AggregateAvail(service, Instances({kUp, kDown})), kUp);
  std::vector<InstanceFacts> starting = Instances({kDown});
  EXPECT_EQ(AggregateAvail(service, starting), kDown);
  starting.front().monitor_status = "starting";
  EXPECT_EQ(AggregateAvail(service, starting), kUp);
}

TEST(AggregateTest, AvailOfScalersSlavesAndOtherTopologies) {
  ServiceFacts service;
  service.scale = 3;
  EXPECT_EQ(AggregateAvail(service, Instances({kNa})), kNa);
  service.slice_up_count = 2;
  EXPECT_EQ(AggregateAvail(service, Instances({kNa})), kWarn);
  service.slice_up_count = 3;
  EXPECT_EQ(AggregateAvail(service, Instances({kNa})), kUp);

  ServiceFacts wrapper;
  wrapper.has_slaves = true;
  EXPECT_EQ(AggregateAvail(wrapper, Instances({kNa})), kNa);
  wrapper.slaves_avail = {kUp, kUp};
  EXPECT_EQ(AggregateAvail(wrapper, Instances({kNa})), kUp);
  wrapper.slaves_avail = {kUp, kDown};
  EXPECT_EQ(AggregateAvail(wrapper, Instances({kNa})), kWarn);

  ServiceFacts other;
  other.topology = "ring";
  EXPECT_EQ(AggregateAvail(other, Instances({kUp})), kUnknown);
}

TEST(AggregateTest, Overall) {
  const ServiceFacts service;
  const std::vector<std::pair<std::vector<Availability>, Availability>> table = {
      {{}, kNa},
      {{kUp, kWarn}, kWarn},
      {{kUp, kStdbyDown}, kWarn},
      {{kDown, kDown}, kDown},
      {{kUp, kDown}, kUp},
      {{kUp, kStdbyUp}, kUp},
      {{kUp, kDown, kStdbyUp}, kUp},
      {{kUp, kDown, kStdbyUp, kNa}, kUp},
      {{kDown, kStdbyUp}, kDown},
      {{kDown, kStdbyUp, kNa}, kDown},
      {{kUp, kNa}, kUndef},
      {{kDown, kNa}, kUndef},
      {{kStdbyUp, kStdbyUp}, kDown},
  };
  for (const auto& [states, expected] : table) {
    EXPECT_EQ(AggregateOverall(service, Instances(states)), expected)
        << ::testing::PrintToString(states);
  }
  ServiceFacts wrapper;
  wrapper.has_slaves = true;
  wrapper.slaves_overall = {kUp};
  EXPECT_EQ(AggregateOverall(wrapper, Instances({kNa})), kUp);
  wrapper.slaves_overall = {kUp, kDown};
  EXPECT_EQ(AggregateOverall(wrapper, Instances({kNa})), kWarn);
}

TEST(AggregateTest, FrozenAndProvisionedCountInstances) {
  EXPECT_EQ(AggregateFrozen({}), "n/a");
  std::vector<InstanceFacts> two = Instances({kUp, kDown});
  EXPECT_EQ(AggregateFrozen(two), "thawed");
  EXPECT_EQ(AggregateProvisioned(two), "n/a");
  two[0].frozen = true;
  two[0].provisioned = true;
  EXPECT_EQ(AggregateFrozen(two), "mixed");
  EXPECT_EQ(AggregateProvisioned(two), "true");
  two[1].frozen = true;
  two[1].provisioned = false;
  EXPECT_EQ(AggregateFrozen(two), "frozen");
  EXPECT_EQ(AggregateProvisioned(two), "mixed");
  two[0].provisioned = false;
  EXPECT_EQ(AggregateProvisioned(two), "false");
}

TEST(AggregateTest, PlacementComparesLeadersWithWhatRuns) {
  ServiceFacts service;
  std::vector<InstanceFacts> two = Instances({kUp, kDown});
  two[0].leader = true;
  EXPECT_EQ(AggregatePlacement(service, two), "optimal");
  std::swap(two[0].leader, two[1].leader);
  EXPECT_EQ(AggregatePlacement(service, two), "non-optimal");
  two[0].frozen = true;
  EXPECT_EQ(AggregatePlacement(service, two), "optimal");  // One thawed instance has no choice.
  EXPECT_EQ(AggregatePlacement(service, Instances({kDown, kDown})), "n/a");
  service.placement = "none";
  EXPECT_EQ(AggregatePlacement(service, two), "n/a");
  service.placement = "nodes order";
  service.topology = "flex";
  EXPECT_EQ(AggregatePlacement(service, two), "n/a");  // flex_min is 0.
}

}  // namespace
}  // namespace om
