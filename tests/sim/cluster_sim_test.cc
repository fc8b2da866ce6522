// Clusters through random troubles: as many schedules as the time allows, and those that once
// failed.
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>

#include "absl/strings/numbers.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "tests/sim/cluster_simulation.h"

namespace om {
namespace {

using Scenario = ClusterSimulation::Scenario;

// Under sanitizers a schedule takes many times longer.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr uint64_t kSeconds = 240, kLeast = 100;
#elif __has_feature(thread_sanitizer)
constexpr uint64_t kSeconds = 20, kLeast = 1;
#elif defined(NDEBUG) || defined(__OPTIMIZE__)
constexpr uint64_t kSeconds = 240, kLeast = 5000;
#else
constexpr uint64_t kSeconds = 60, kLeast = 1;
#endif
#else
constexpr uint64_t kSeconds = 240, kLeast = 5000;
#endif

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  uint64_t value = otherwise;
  if (text != nullptr && !absl::SimpleAtoi(text, &value)) {
    ADD_FAILURE() << name << "=" << text << " is not a number";
  }
  return value;
}

void BeQuiet() {
  FLAGS_minloglevel = google::GLOG_FATAL;
  FLAGS_logtostderr = true;
}

TEST(ClusterSimTest, WithoutTroublesAServiceStartsOnOneOfThreeNodes) {
  BeQuiet();
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Scenario scenario;
    scenario.node_count = 3;
    scenario.service_count = 1;
    scenario.troubles = false;
    ClusterSimulation simulation(seed, scenario);
    EXPECT_EQ(simulation.Run(), "") << "seed " << seed;
  }
}

// OM_SIM_SECONDS and OM_SIM_LEAST: for how long, and how many schedules there must be at least;
// OM_SIM_FIRST: the first seed; OM_SIM_SEEDS: how many, whatever the time; OM_SIM_SEED: only that
// one, and what happens is printed.
TEST(ClusterSimTest, ClustersKeepTheirPromisesThroughRandomTroubles) {
  const bool single = std::getenv("OM_SIM_SEED") != nullptr;
  const bool counted = std::getenv("OM_SIM_SEEDS") != nullptr;
  const uint64_t first =
      single ? FromEnvironment("OM_SIM_SEED", 1) : FromEnvironment("OM_SIM_FIRST", 1);
  const uint64_t most = single ? 1 : FromEnvironment("OM_SIM_SEEDS", UINT64_MAX);
  const uint64_t least = single || counted ? 1 : FromEnvironment("OM_SIM_LEAST", kLeast);
  const std::chrono::seconds limit(
      FromEnvironment("OM_SIM_SECONDS", counted ? 1'000'000 : kSeconds));
  BeQuiet();
  if (single) FLAGS_minloglevel = google::GLOG_INFO;
  const auto start = std::chrono::steady_clock::now();
  uint64_t count = 0;
  uint64_t failed = 0;
  // On a busy machine the least may take longer, but not without end.
  const auto goes_on = [&] {
    const auto taken = std::chrono::steady_clock::now() - start;
    return taken < limit || (count < least && taken < 2 * limit);
  };
  while (count < most && failed < 10 && goes_on()) {
    const uint64_t seed = first + count;
    ClusterSimulation simulation(seed);
    simulation.verbose = single;
    const std::string problem = simulation.Run();
    if (!problem.empty()) ++failed;
    EXPECT_EQ(problem, "") << "OM_SIM_SEED=" << seed << " repeats this";
    ++count;
  }
  std::cout << count << " schedules, seeds " << first << " to " << first + count - 1 << std::endl;
  if (failed == 0) {
    EXPECT_GE(count, least) << "too few schedules in " << 2 * limit.count() << " s";
  }
}

// A node whose clock had been set back took no evaluation for newer than the one it had, and gave
// the record of an instance back that had come up.
TEST(ClusterSimTest, AClockThatIsSetBackDoesNotHideWhatRuns) {
  BeQuiet();
  EXPECT_EQ(ClusterSimulation(135).Run(), "");
}

// A start that left no evaluation behind was taken for one that had started nothing.
TEST(ClusterSimTest, ARecordIsKeptUntilTheInstanceIsKnownToBeDown) {
  BeQuiet();
  EXPECT_EQ(ClusterSimulation(455).Run(), "");
}

// Daemons that came up saw orders of peers as older than themselves.
TEST(ClusterSimTest, ANodeThatComesBackTakesUpTheOrdersOfItsPeers) {
  BeQuiet();
  EXPECT_EQ(ClusterSimulation(191).Run(), "");
}

// An instance stayed `ready` while frozen, and started the moment it was thawed, beside another.
TEST(ClusterSimTest, AReadyPeriodBeginsAnewAfterAFreeze) {
  BeQuiet();
  EXPECT_EQ(ClusterSimulation(1425).Run(), "");
}

// An evaluation made while a start was under way said "down"; taken for the one at its end, it let
// the record go although the instance ran.
TEST(ClusterSimTest, AnEvaluationBesideACommandSaysNothingAboutItsEnd) {
  BeQuiet();
  EXPECT_EQ(ClusterSimulation(14108).Run(), "");
}

// Two nodes that had not seen each other ran the service; a third obeyed an order to start it.
TEST(ClusterSimTest, AServiceThatRunsTwiceIsNotStartedAThirdTime) {
  BeQuiet();
  EXPECT_EQ(ClusterSimulation(7838).Run(), "");
}

// An instance that was expected to stay started had lost its record, so nothing restarted it.
TEST(ClusterSimTest, AnOrderToStartEndsAlthoughTheRecordWasLost) {
  BeQuiet();
  EXPECT_EQ(ClusterSimulation(1865).Run(), "");
}

}  // namespace
}  // namespace om
