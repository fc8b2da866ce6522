#include "server/crm/action_lock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/file.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::ElementsAre;

// A shell that holds the lock as a resource manager does: `-s svc1 start --rid app#1`.
class Holder {
 public:
  Holder(const std::string& file, bool own_group, bool from_daemon) {
    int ready[2];
    EXPECT_EQ(pipe(ready), 0);
    pid_ = fork();
    if (pid_ == 0) {
      if (own_group) setpgid(0, 0);
      const int fd = open(file.c_str(), O_RDWR | O_CREAT, 0600);
      if (fd < 0 || flock(fd, LOCK_EX) != 0) _exit(1);
      if (from_daemon) setenv("OSVC_ACTION_ORIGIN", "daemon", 1);
      dup2(ready[1], 1);
      close(ready[0]);
      execl("/bin/sh", "sh", "-c", "echo; kill -STOP $$", "-s", "svc1", "start", "--rid", "app#1",
            nullptr);
      _exit(1);
    }
    close(ready[1]);
    char byte;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
  }
  ~Holder() {
    if (pid_ > 0) kill(pid_, SIGKILL);
    Wait();
  }
  int Wait() {
    int status = 0;
    if (pid_ > 0) waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

class ActionLockTest : public ::testing::Test {
 protected:
  void Write(const std::string& text) { ASSERT_THAT(WriteFileAtomically(file_, text, {}), IsOk()); }
  TempDir dir_;
  std::string file_ = dir_.File("lock.generic");
};

TEST_F(ActionLockTest, AFileThatNobodyHoldsOrThatIsMissingIsNoAction) {
  EXPECT_FALSE(FindActionHolder(file_).has_value());
  Write(R"({"pid": 1, "intent": "start"})");
  EXPECT_FALSE(FindActionHolder(file_).has_value());
}

TEST_F(ActionLockTest, TheHolderIsDescribedByTheFileAndItsProcess) {
  Write("");
  const Holder holder(file_, true, true);
  {
    const UniqueFd fd(open(file_.c_str(), O_WRONLY));
    const std::string text = absl::StrCat(R"({"pid": )", holder.pid(),
                                          R"(, "intent": "start", "progress": {"rid": "app#1"}})");
    ASSERT_EQ(write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  const std::optional<ActionHolder> found = FindActionHolder(file_);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->pid, holder.pid());
  EXPECT_EQ(found->intent, "start");
  EXPECT_EQ(found->rid, "app#1");
  EXPECT_TRUE(found->from_daemon);
  EXPECT_THAT(found->words, ElementsAre("start", "--rid", "app#1"));
}

TEST_F(ActionLockTest, AHolderWhoseTextCannotBeReadIsAHolder) {
  Write("");
  const Holder holder(file_, true, false);
  for (const std::string text : {"", "{", "[]", R"({"pid": "x"})", R"({"pid": -5})", "\xff"}) {
    const UniqueFd fd(open(file_.c_str(), O_WRONLY | O_TRUNC));
    ASSERT_EQ(write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    const std::optional<ActionHolder> found = FindActionHolder(file_);
    ASSERT_TRUE(found.has_value()) << text;
    EXPECT_EQ(found->pid, 0) << text;
    EXPECT_FALSE(found->from_daemon);
  }
}

TEST_F(ActionLockTest, OnlyTheHolderIsSignalledAndOnlyIfItLeadsAGroup) {
  Write("");
  const auto write_pid = [&](pid_t pid) {
    const UniqueFd fd(open(file_.c_str(), O_WRONLY | O_TRUNC));
    const std::string text = absl::StrCat(R"({"pid": )", pid, R"(, "intent": "start"})");
    ASSERT_EQ(write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  };
  {
    Holder holder(file_, false, true);
    write_pid(holder.pid());
    EXPECT_THAT(SignalActionHolder(file_, holder.pid(), SIGKILL),
                StatusIs(absl::StatusCode::kFailedPrecondition));
  }
  Holder holder(file_, true, true);
  write_pid(holder.pid());
  EXPECT_THAT(SignalActionHolder(file_, holder.pid() + 1, SIGKILL),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(SignalActionHolder(file_, holder.pid(), SIGKILL), IsOk());
  const int status = holder.Wait();
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_FALSE(FindActionHolder(file_).has_value());
}

}  // namespace
}  // namespace om
