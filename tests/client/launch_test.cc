#include "client/omctl/launch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/client/soon.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::HasSubstr;

TEST(LaunchTest, SpawnedProcessLeadsItsSessionAndKeepsNoDescriptorOfOurs) {
  TempDir dir;
  // One that the child would inherit.
  const UniqueFd open_file(open("/dev/null", O_RDONLY));
  ASSERT_TRUE(open_file.valid());
  OM_ASSERT_OK_AND_ASSIGN(
      const pid_t pid,
      SpawnDetached({"/bin/sh", "-c",
                     absl::StrCat("cut -d' ' -f6 /proc/$$/stat; echo to stderr >&2; test -e "
                                  "/proc/$$/fd/",
                                  open_file.get(), " && echo inherited")},
                    dir.File("omd.out")));
  ProcessWatch process(pid);
  ASSERT_TRUE(process.WaitGone(Soon()));
  EXPECT_EQ(HowItEnded(pid), "exited with status 1");
  EXPECT_EQ(dir.Read("omd.out"), absl::StrCat(pid, "\nto stderr\n"));
}

TEST(LaunchTest, OutputIsAppended) {
  TempDir dir;
  dir.Write("omd.out", "before\n");
  OM_ASSERT_OK_AND_ASSIGN(const pid_t pid,
                          SpawnDetached({"/bin/echo", "after"}, dir.File("omd.out")));
  ASSERT_TRUE(ProcessWatch(pid).WaitGone(Soon()));
  EXPECT_EQ(HowItEnded(pid), "exited with status 0");
  EXPECT_EQ(dir.Read("omd.out"), "before\nafter\n");
}

TEST(LaunchTest, ProgramThatCannotRunIsNamed) {
  TempDir dir;
  EXPECT_THAT(SpawnDetached({dir.File("omd")}, dir.File("omd.out")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(dir.File("omd"))));
}

TEST(LaunchTest, WatchTellsARunningProcessFromOneThatIsGone) {
  TempDir dir;
  OM_ASSERT_OK_AND_ASSIGN(const pid_t pid,
                          SpawnDetached({"/bin/sleep", "1000"}, dir.File("omd.out")));
  ProcessWatch process(pid);
  EXPECT_TRUE(process.visible());
  EXPECT_FALSE(process.WaitGone(std::chrono::steady_clock::now()));
  EXPECT_EQ(HowItEnded(pid), std::nullopt);
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  EXPECT_TRUE(process.WaitGone(Soon()));
  EXPECT_EQ(HowItEnded(pid), "killed by signal 9");
  EXPECT_FALSE(ProcessWatch(pid).visible());
}

TEST(LaunchTest, LockIsHeldWhileADaemonHoldsIt) {
  TempDir dir;
  EXPECT_FALSE(DaemonLockHeld(dir.path()));
  const std::string path = dir.Write("lock/osvcd.lock", "");
  EXPECT_FALSE(DaemonLockHeld(dir.path()));
  UniqueFd holder(open(path.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(flock(holder.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_TRUE(DaemonLockHeld(dir.path()));
  holder.Reset();
  EXPECT_FALSE(DaemonLockHeld(dir.path()));
}

TEST(LaunchTest, PidFileIsReadOrIsZero) {
  TempDir dir;
  EXPECT_EQ(PidFileOf(dir.path()), 0);
  dir.Write("osvcd.pid", "1234\n");
  EXPECT_EQ(PidFileOf(dir.path()), 1234);
  dir.Write("osvcd.pid", "none\n");
  EXPECT_EQ(PidFileOf(dir.path()), 0);
}

}  // namespace
}  // namespace om
