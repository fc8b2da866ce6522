#include "server/crm/crm_runner.h"

#include <signal.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/status.h"
#include "tests/server/crm/fake_launcher.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_loop.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class CrmRunnerTest : public ::testing::Test {
 protected:
  CrmRunner::Options Options() {
    CrmRunner::Options options;
    options.command = {"/opt/crm", "svc"};
    options.node_command = {"/opt/crm", "node"};
    options.environment = {"OM_ROOT=/r"};
    return options;
  }
  static ObjectPath Path(const char* text) { return *ObjectPath::Parse(text); }
  // Runs the command; its result goes to results_.
  void Run(const std::vector<const char*>& paths, std::vector<std::string> words) {
    CrmCommand command;
    for (const char* path : paths) command.paths.push_back(Path(path));
    command.words = std::move(words);
    runner_.Run(std::move(command), [this](CrmResult result) { results_.push_back(result); });
  }

  FakeClock clock_;
  FakeLoop loop_{&clock_};
  FakeLauncher launcher_;
  Counters counters_;
  CrmRunner runner_{&launcher_, &loop_, &counters_, Options()};
  std::vector<CrmResult> results_;
};

TEST_F(CrmRunnerTest, BuildsTheCommandLineOfTheContract) {
  Run({"svc1"}, {"start", "--rid", "app#1"});
  ASSERT_THAT(launcher_.runs, SizeIs(1));
  const ProcessSpec& spec = launcher_.runs[0].spec;
  EXPECT_THAT(spec.argv,
              ElementsAre("/opt/crm", "svc", "-s", "svc1", "start", "--rid", "app#1", "--local"));
  EXPECT_THAT(spec.extra_environment, ElementsAre("OM_ROOT=/r", "OSVC_ACTION_ORIGIN=daemon"));
  EXPECT_FALSE(spec.time_limit.has_value());
}

TEST_F(CrmRunnerTest, JoinsSeveralPathsByCommas) {
  Run({"svc1", "test/svc/db"}, {"status", "--parallel", "--refresh"});
  EXPECT_THAT(launcher_.runs[0].spec.argv, Contains("svc1,test/svc/db"));
}

TEST_F(CrmRunnerTest, ACommandWithoutPathsIsOneOnTheNode) {
  CrmCommand command;
  command.words = {"stonith", "--node", "n2"};
  command.local = false;
  command.environment = {{"A", "b"}};
  command.timeout = std::chrono::seconds(3);
  runner_.Run(command, [this](CrmResult result) { results_.push_back(result); });
  const ProcessSpec& spec = launcher_.runs[0].spec;
  EXPECT_THAT(spec.argv, ElementsAre("/opt/crm", "node", "stonith", "--node", "n2"));
  EXPECT_THAT(spec.extra_environment, Contains("A=b"));
  EXPECT_EQ(spec.time_limit, std::chrono::seconds(3));
}

TEST_F(CrmRunnerTest, ChangedPrefixesAreUsedFromTheNextCommandOn) {
  runner_.SetCommands({"other"}, {"node"});
  Run({"svc1"}, {"start"});
  EXPECT_EQ(launcher_.runs[0].spec.argv[0], "other");
}

TEST_F(CrmRunnerTest, TheExitStatusIsTheResult) {
  Run({"svc1"}, {"start"});
  EXPECT_TRUE(results_.empty());
  launcher_.End(0, FakeLauncher::Exit(0));
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_TRUE(results_[0].succeeded());
  Run({"svc1"}, {"start"});
  launcher_.End(1, FakeLauncher::Exit(1));
  EXPECT_EQ(results_[1].exit_code, 1);
  EXPECT_FALSE(results_[1].succeeded());
  EXPECT_EQ(counters_.Get("crm.failures")->value(), 1);
  EXPECT_EQ(counters_.Get("crm.running")->value(), 0);
}

TEST_F(CrmRunnerTest, AnActionOnAnInstanceThatSomebodyElseHasLockedIsRefused) {
  bool locked = true;
  CrmRunner::Options options = Options();
  options.workers = &loop_;
  options.is_locked = [&](const ObjectPath& path) { return locked && path == Path("svc1"); };
  CrmRunner runner(&launcher_, &loop_, &counters_, options);
  std::vector<CrmResult> results;
  const auto run = [&](const char* path, const char* word) {
    CrmCommand command;
    command.paths = {Path(path)};
    command.words = {word};
    runner.Run(std::move(command), [&](CrmResult result) { results.push_back(result); });
    loop_.RunReady();
    loop_.RunReady();
  };
  run("svc1", "start");
  EXPECT_THAT(launcher_.runs, SizeIs(0));
  ASSERT_THAT(results, SizeIs(1));
  EXPECT_EQ(ReasonOf(results[0].error), "ACTION_IN_PROGRESS");
  EXPECT_FALSE(runner.IsBusy(Path("svc1")));
  EXPECT_EQ(counters_.Get("crm.running")->value(), 0);
  // Looking at it, and others, are no business of the lock.
  run("svc1", "status");
  run("svc2", "start");
  EXPECT_THAT(launcher_.runs, SizeIs(2));
  locked = false;
  run("svc1", "start");
  EXPECT_THAT(launcher_.runs, SizeIs(3));
}

TEST_F(CrmRunnerTest, ASecondActionOnABusyInstanceIsRefused) {
  Run({"svc1"}, {"start"});
  Run({"svc1"}, {"stop"});
  EXPECT_TRUE(results_.empty());  // Never inside the call.
  loop_.RunReady();
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_THAT(results_[0].error, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(results_[0].error), "ACTION_IN_PROGRESS");
  EXPECT_THAT(launcher_.runs, SizeIs(1));
  EXPECT_TRUE(runner_.IsBusy(Path("svc1")));
  launcher_.End(0, FakeLauncher::Exit(0));
  EXPECT_FALSE(runner_.IsBusy(Path("svc1")));
  Run({"svc1"}, {"stop"});
  EXPECT_THAT(launcher_.runs, SizeIs(2));
}

TEST_F(CrmRunnerTest, StatusAndOtherInstancesAreNotHeldUp) {
  Run({"svc1"}, {"start"});
  Run({"svc1"}, {"status", "--refresh"});
  Run({"svc2"}, {"start"});
  EXPECT_THAT(launcher_.runs, SizeIs(3));
}

TEST_F(CrmRunnerTest, AStateToldByAStatusCommandIsNoFailure) {
  Run({"svc1"}, {"status", "--refresh"});
  launcher_.End(0, FakeLauncher::Exit(1));
  EXPECT_EQ(results_[0].exit_code, 1);
  EXPECT_EQ(counters_.Get("crm.failures")->value(), 0);
}

TEST_F(CrmRunnerTest, ErrorsOfTheLauncherKeepTheirCodes) {
  Run({"svc1"}, {"start"});
  ProcessResult missing;
  missing.status = absl::NotFoundError("program \"omcrm\" is not in PATH");
  launcher_.End(0, missing);
  EXPECT_THAT(results_[0].error, StatusIs(absl::StatusCode::kNotFound, HasSubstr("omcrm")));
  Run({"svc1"}, {"start"});
  ProcessResult late;
  late.timed_out = true;
  launcher_.End(1, late);
  EXPECT_THAT(results_[1].error, StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("svc1")));
  Run({"svc1"}, {});
  loop_.RunReady();
  EXPECT_THAT(results_[2].error, StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(CrmRunnerTest, InterruptTerminatesTheActionOfThatInstance) {
  Run({"svc1"}, {"start"});
  Run({"svc2"}, {"start"});
  runner_.Interrupt(Path("svc2"));
  runner_.Interrupt(Path("svc3"));
  EXPECT_TRUE(launcher_.runs[0].signals.empty());
  EXPECT_THAT(launcher_.runs[1].signals, ElementsAre(SIGTERM));
}

TEST_F(CrmRunnerTest, NothingIsAnsweredOnceTheRunnerIsGone) {
  {
    CrmRunner gone(&launcher_, &loop_, &counters_, Options());
    CrmCommand command;
    command.paths = {Path("svc1")};
    command.words = {"start"};
    gone.Run(command, [this](CrmResult result) { results_.push_back(result); });
  }
  launcher_.End(0, FakeLauncher::Exit(0));
  EXPECT_TRUE(results_.empty());
}

}  // namespace
}  // namespace om
