#include "server/crm/hook_runner.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/crm/fake_launcher.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_loop.h"

namespace om {
namespace {

using ::testing::ElementsAre;

class HookRunnerTest : public ::testing::Test {
 protected:
  static HookSettings Hook(const std::string& section, std::vector<std::string> events) {
    return {section, std::move(events), {"/bin/" + section}};
  }
  void Run(const std::string& id) { hooks_.Run(id, id + " text"); }
  // Programs and what they were given, in the order in which they were started.
  std::vector<std::string> Started() const {
    std::vector<std::string> all;
    for (const FakeLauncher::Started& run : launcher_.runs) {
      all.push_back(run.spec.argv[0] + ": " + run.spec.input.value_or("nothing"));
    }
    return all;
  }
  int64_t Count(const std::string& name) { return counters_.Get("hooks." + name)->value(); }

  FakeClock clock_;
  FakeLoop loop_{&clock_};
  FakeLauncher launcher_;
  Counters counters_;
  HookRunner hooks_{&loop_, &launcher_, &counters_, {.max_running = 2, .max_waiting = 3}};
};

TEST_F(HookRunnerTest, EachHookIsRunForItsEventsWithTheEventAsInput) {
  hooks_.SetHooks({Hook("a", {"all"}), Hook("b", {"instance_start", "instance_stop"})});
  EXPECT_TRUE(hooks_.Wants("crash"));
  Run("instance_start");
  Run("crash");
  EXPECT_THAT(Started(), ElementsAre("/bin/a: instance_start text", "/bin/b: instance_start text",
                                     "/bin/a: crash text"));
}

TEST_F(HookRunnerTest, NobodyWantsWhatNoHookIsFor) {
  hooks_.SetHooks({Hook("b", {"instance_start"}), HookSettings{"c", {"all"}, {}}});
  EXPECT_FALSE(hooks_.Wants("crash"));
  Run("crash");
  EXPECT_THAT(Started(), ElementsAre());
}

TEST_F(HookRunnerTest, AHangingHookHoldsUpOnlyItselfAndDropsWhatDoesNotFit) {
  hooks_.SetHooks({Hook("a", {"all"}), Hook("b", {"e9"})});
  for (int i = 0; i < 8; ++i) Run("e" + std::to_string(i));
  EXPECT_EQ(launcher_.runs.size(), 2u);
  EXPECT_EQ(Count("dropped"), 3);
  Run("e9");
  EXPECT_EQ(launcher_.runs.back().spec.argv[0], "/bin/b");
  // What waits is begun in its order as others end.
  launcher_.End(0, FakeLauncher::Exit(0));
  EXPECT_EQ(launcher_.runs.back().spec.input, "e2 text");
  launcher_.End(1, FakeLauncher::Exit(1));
  EXPECT_EQ(launcher_.runs.back().spec.input, "e3 text");
  EXPECT_EQ(Count("failures"), 1);
}

TEST_F(HookRunnerTest, EveryRunHasATimeLimit) {
  hooks_.SetHooks({Hook("a", {"all"})});
  Run("e");
  EXPECT_EQ(launcher_.runs[0].spec.time_limit, std::chrono::minutes(1));
}

TEST_F(HookRunnerTest, ChangedHooksCountFromTheNextEventOn) {
  hooks_.SetHooks({Hook("a", {"all"})});
  for (int i = 0; i < 4; ++i) Run("e" + std::to_string(i));
  hooks_.SetHooks({Hook("b", {"all"})});
  launcher_.End(0, FakeLauncher::Exit(0));
  launcher_.End(1, FakeLauncher::Exit(0));
  EXPECT_EQ(launcher_.runs.size(), 2u);
  Run("e4");
  EXPECT_EQ(launcher_.runs.back().spec.argv[0], "/bin/b");
}

TEST_F(HookRunnerTest, AnEventThatIsTooLongIsDroppedAndCounted) {
  hooks_.SetHooks({Hook("a", {"all"})});
  hooks_.Run("e", std::string(HookRunner::kMaxEventBytes + 1, 'x'));
  EXPECT_THAT(Started(), ElementsAre());
  EXPECT_EQ(Count("dropped"), 1);
}

}  // namespace
}  // namespace om
