#include "server/config/watcher.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_loop.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Keeps work until it is told to run it, or refuses it.
class HeldExecutor final : public Executor {
 public:
  bool Post(std::function<void()> work) override {
    if (full) return false;
    held.push_back(std::move(work));
    return true;
  }
  void RunAll() {
    std::vector<std::function<void()>> now = std::move(held);
    held.clear();
    for (const std::function<void()>& work : now) work();
  }
  std::vector<std::function<void()>> held;
  bool full = false;
};

struct Report {
  absl::Status status;
  std::shared_ptr<const LoadedConfig> config;
};

class ConfigWatcherTest : public ::testing::Test {
 protected:
  ConfigWatcherTest() {
    Write("node.conf", "[listener]\nport = 1\n", 100);
    Write("cluster.conf", absl::StrCat("[cluster]\nsecret = ", std::string(32, 's'), "\n"), 100);
  }
  void Write(const std::string& name, const std::string& text, int mtime) {
    dir_.Write("etc/" + name, text);
    Touch(name, mtime);
  }
  void Touch(const std::string& name, int mtime) {
    const timespec times[2] = {{mtime, 0}, {mtime, 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, dir_.File("etc/" + name).c_str(), times, 0), 0);
  }
  std::shared_ptr<const LoadedConfig> Loaded() {
    absl::StatusOr<LoadedConfig> config = LoadNodeConfig(roots_, "n1");
    EXPECT_THAT(config, IsOk());
    return std::make_shared<const LoadedConfig>(*std::move(config));
  }
  ConfigWatcher::Options Options() {
    ConfigWatcher::Options options;
    options.roots = roots_;
    options.nodename = "n1";
    return options;
  }
  void Start(ConfigWatcher* watcher) {
    watcher->Start(Loaded(),
                   [this](const absl::Status& status, std::shared_ptr<const LoadedConfig> config) {
                     reports_.push_back({status, std::move(config)});
                   });
    // The first look, which finds what is in force.
    loop_.AdvanceBy(milliseconds(500));
    EXPECT_THAT(reports_, IsEmpty());
  }
  // Within a second: two periods.
  void OneSecond() { loop_.AdvanceBy(milliseconds(1000)); }

  const TempDir dir_;
  const Roots roots_ = Roots::Under(dir_.path());
  FakeClock clock_;
  FakeLoop loop_{&clock_};
  InlineExecutor executor_;
  std::vector<Report> reports_;
};

TEST_F(ConfigWatcherTest, ReportsAChangeOnceWithinASecond) {
  ConfigWatcher watcher(Options(), &loop_, &executor_);
  Start(&watcher);
  Write("node.conf", "[listener]\nport = 2\n", 200);
  OneSecond();
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_THAT(reports_[0].status, IsOk());
  EXPECT_EQ(reports_[0].config->settings.listener_port, 2);
  loop_.AdvanceBy(std::chrono::seconds(10));
  EXPECT_THAT(reports_, SizeIs(1));
}

TEST_F(ConfigWatcherTest, AnyOtherTimestampCountsAlsoAnOlderOne) {
  ConfigWatcher watcher(Options(), &loop_, &executor_);
  Start(&watcher);
  Touch("cluster.conf", 101);
  OneSecond();
  EXPECT_THAT(reports_, SizeIs(1));
  Touch("cluster.conf", 50);
  OneSecond();
  EXPECT_THAT(reports_, SizeIs(2));
  EXPECT_THAT(reports_[1].status, IsOk());
}

TEST_F(ConfigWatcherTest, DeletionAndReturnAreChanges) {
  ConfigWatcher watcher(Options(), &loop_, &executor_);
  Start(&watcher);
  ASSERT_EQ(unlink(roots_.NodeConf().c_str()), 0);
  OneSecond();
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_THAT(reports_[0].status, IsOk());
  EXPECT_EQ(reports_[0].config->settings.listener_port, 1214);
  Write("node.conf", "[listener]\nport = 1\n", 100);
  OneSecond();
  ASSERT_THAT(reports_, SizeIs(2));
  EXPECT_EQ(reports_[1].config->settings.listener_port, 1);
}

TEST_F(ConfigWatcherTest, AChangeBetweenLoadingAndStartingIsNoticed) {
  ConfigWatcher watcher(Options(), &loop_, &executor_);
  const std::shared_ptr<const LoadedConfig> old = Loaded();
  Write("node.conf", "[listener]\nport = 3\n", 100);
  watcher.Start(old,
                [this](const absl::Status& status, std::shared_ptr<const LoadedConfig> config) {
                  reports_.push_back({status, std::move(config)});
                });
  OneSecond();
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_EQ(reports_[0].config->settings.listener_port, 3);
}

TEST_F(ConfigWatcherTest, ABrokenFileLeavesTheLastGoodInForceAndIsReportedOnce) {
  ConfigWatcher watcher(Options(), &loop_, &executor_);
  Start(&watcher);
  Write("node.conf", "[listener]\nport = http\n", 200);
  OneSecond();
  loop_.AdvanceBy(std::chrono::seconds(10));
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_THAT(reports_[0].status, StatusIs(absl::StatusCode::kInvalidArgument,
                                           HasSubstr("node.conf:2: listener.port")));
  EXPECT_EQ(reports_[0].config->settings.listener_port, 1);
  Write("node.conf", "[listener\n", 201);
  OneSecond();
  ASSERT_THAT(reports_, SizeIs(2));
  EXPECT_EQ(reports_[1].config->settings.listener_port, 1);
  // Back to what is in force: that the fault is over is news as well.
  Write("node.conf", "[listener]\nport = 1\n", 202);
  OneSecond();
  ASSERT_THAT(reports_, SizeIs(3));
  EXPECT_THAT(reports_[2].status, IsOk());
}

TEST_F(ConfigWatcherTest, AVanishedSecretLeavesTheLastGoodInForce) {
  ConfigWatcher watcher(Options(), &loop_, &executor_);
  Start(&watcher);
  ASSERT_EQ(unlink(roots_.ClusterConf().c_str()), 0);
  OneSecond();
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_THAT(reports_[0].status, StatusIs(absl::StatusCode::kFailedPrecondition,
                                           HasSubstr("expected cluster.secret")));
  EXPECT_EQ(reports_[0].config->settings.cluster_secret, std::string(32, 's'));
}

TEST_F(ConfigWatcherTest, ADiskThatFailsIsTriedAgainAndReportedOnce) {
  ConfigWatcher watcher(Options(), &loop_, &executor_);
  Start(&watcher);
  // A directory cannot be read as a file.
  ASSERT_EQ(unlink(roots_.NodeConf().c_str()), 0);
  ASSERT_EQ(mkdir(roots_.NodeConf().c_str(), 0700), 0);
  loop_.AdvanceBy(std::chrono::seconds(5));
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_FALSE(reports_[0].status.ok());
  EXPECT_EQ(reports_[0].config->settings.listener_port, 1);
  ASSERT_EQ(rmdir(roots_.NodeConf().c_str()), 0);
  Write("node.conf", "[listener]\nport = 4\n", 300);
  OneSecond();
  ASSERT_THAT(reports_, SizeIs(2));
  EXPECT_EQ(reports_[1].config->settings.listener_port, 4);
}

TEST_F(ConfigWatcherTest, FilesAreReadOnTheExecutorOneLookAtATime) {
  HeldExecutor held;
  ConfigWatcher watcher(Options(), &loop_, &held);
  watcher.Start(Loaded(),
                [this](const absl::Status& status, std::shared_ptr<const LoadedConfig> config) {
                  reports_.push_back({status, std::move(config)});
                });
  Write("node.conf", "[listener]\nport = 2\n", 200);
  loop_.AdvanceBy(std::chrono::seconds(5));
  EXPECT_THAT(reports_, IsEmpty());
  EXPECT_THAT(held.held, SizeIs(1));
  held.RunAll();
  EXPECT_THAT(reports_, IsEmpty());
  loop_.RunReady();
  EXPECT_THAT(reports_, SizeIs(1));
}

TEST_F(ConfigWatcherTest, AFullExecutorOnlyDelays) {
  HeldExecutor held;
  held.full = true;
  ConfigWatcher watcher(Options(), &loop_, &held);
  watcher.Start(Loaded(),
                [this](const absl::Status& status, std::shared_ptr<const LoadedConfig> config) {
                  reports_.push_back({status, std::move(config)});
                });
  Write("node.conf", "[listener]\nport = 2\n", 200);
  OneSecond();
  held.full = false;
  OneSecond();
  held.RunAll();
  loop_.RunReady();
  EXPECT_THAT(reports_, SizeIs(1));
}

TEST_F(ConfigWatcherTest, NothingIsReportedAfterStop) {
  HeldExecutor held;
  auto watcher = std::make_unique<ConfigWatcher>(Options(), &loop_, &held);
  watcher->Start(Loaded(),
                 [this](const absl::Status& status, std::shared_ptr<const LoadedConfig> config) {
                   reports_.push_back({status, std::move(config)});
                 });
  Write("node.conf", "[listener]\nport = 2\n", 200);
  OneSecond();
  watcher.reset();
  held.RunAll();
  loop_.AdvanceBy(std::chrono::seconds(5));
  EXPECT_THAT(reports_, IsEmpty());
  EXPECT_THAT(held.held, IsEmpty());
}

TEST_F(ConfigWatcherTest, ACallbackMayStopTheWatcher) {
  ConfigWatcher watcher(Options(), &loop_, &executor_);
  int calls = 0;
  watcher.Start(Loaded(), [&](const absl::Status&, std::shared_ptr<const LoadedConfig>) {
    ++calls;
    watcher.Stop();
  });
  Write("node.conf", "[listener]\nport = 2\n", 200);
  OneSecond();
  Write("node.conf", "[listener]\nport = 3\n", 300);
  OneSecond();
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace om
