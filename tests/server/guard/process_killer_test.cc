#include "server/guard/process_killer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/file.h"
#include "server/guard/guard_client.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

constexpr int64_t kSecond = int64_t{1000} * 1000 * 1000;
// A bound for a hopeless case, no measurement.
constexpr int64_t kBound = 60 * kSecond;

// Real processes, told from others' by ids that contain our pid.
class ProcessKillerTest : public ::testing::Test {
 protected:
  ProcessKillerTest() {
    EXPECT_TRUE(killer_->Open());
    state_->Apply({.op = GuardOp::kRenew, .epoch = 1, .until_ns = kSecond}, 1);
  }
  ~ProcessKillerTest() override {
    for (const pid_t pid : children_) {
      kill(-pid, SIGKILL);
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
  }

  static std::string Id(const std::string& name) { return absl::StrCat(name, "-", getpid()); }

  void Watch(GuardInstance instance) {
    const GuardReply reply =
        state_->Apply({.op = GuardOp::kWatch, .epoch = 1, .instance = instance}, 1);
    ASSERT_EQ(reply.answer, GuardAnswer::kOk);
  }
  static GuardInstance Instance(const std::string& name) {
    GuardInstance instance;
    const std::string id = Id(name);
    memcpy(instance.id, id.data(), id.size());
    return instance;
  }

  // A shell in a group of its own that runs `script` with the instance's environment. Returns once
  // the script has said "ready", which it must do by `echo ready`.
  pid_t Start(const std::string& name, const std::string& script,
              const std::vector<std::string>& more = {}) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const UniqueFd said(ends[0]);
    UniqueFd say(ends[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, say.get(), 1);
    // A test program that dies leaves them behind: they must not keep its output open.
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    std::vector<std::string> environment = more;
    environment.push_back("PATH=/usr/bin:/bin");
    if (!name.empty()) environment.push_back(absl::StrCat("OPENSVC_SVC_ID=", Id(name)));
    std::vector<char*> variables;
    for (std::string& variable : environment) variables.push_back(variable.data());
    variables.push_back(nullptr);
    std::string shell = "sh";
    std::string flag = "-c";
    std::string text = script;
    char* argv[] = {shell.data(), flag.data(), text.data(), nullptr};
    pid_t pid = 0;
    EXPECT_EQ(posix_spawn(&pid, "/bin/sh", &actions, &attributes, argv, variables.data()), 0);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    say.Reset();
    children_.push_back(pid);
    char c = 0;
    std::string line;
    while (read(said.get(), &c, 1) == 1 && c != '\n') line.push_back(c);
    EXPECT_EQ(line, "ready");
    return pid;
  }

  // Pids of living processes whose command line has `mark`.
  static std::set<pid_t> WithMark(const std::string& mark) {
    std::set<pid_t> found;
    FILE* list = popen("ps -eo pid=,stat=,args=", "r");
    char line[4096];
    while (fgets(line, sizeof(line), list) != nullptr) {
      int pid = 0;
      char stat[16];
      if (sscanf(line, "%d %15s", &pid, stat) != 2 || stat[0] == 'Z') continue;
      if (strstr(line, mark.c_str()) != nullptr) found.insert(pid);
    }
    pclose(list);
    return found;
  }

  ProcessKiller::Result Kill() { return killer_->KillAll(kBound); }
  static bool Lives(pid_t pid) {
    siginfo_t info = {};
    return waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
  }

  const std::unique_ptr<GuardState> state_ = std::make_unique<GuardState>();
  const std::unique_ptr<ProcessKiller> killer_ = std::make_unique<ProcessKiller>(state_.get());
  std::vector<pid_t> children_;
};

TEST_F(ProcessKillerTest, KillsByTheEnvironmentAndNobodyElse) {
  const pid_t mine = Start("mine", "echo ready; exec >&-; while :; do sleep 1; done");
  const pid_t other = Start("other", "echo ready; exec >&-; while :; do sleep 1; done");
  const pid_t none = Start("", "echo ready; exec >&-; while :; do sleep 1; done");
  Watch(Instance("mine"));
  const ProcessKiller::Result result = Kill();
  EXPECT_EQ(result.survivor_count, 0u);
  EXPECT_GE(result.killed_count, 1u);
  EXPECT_FALSE(Lives(mine));
  EXPECT_TRUE(Lives(other));
  EXPECT_TRUE(Lives(none));
}

TEST_F(ProcessKillerTest, NothingToKillIsDoneAtOnce) {
  Watch(Instance("nobody"));
  const ProcessKiller::Result result = Kill();
  EXPECT_EQ(result.killed_count, 0u);
  EXPECT_EQ(result.survivor_count, 0u);
}

TEST_F(ProcessKillerTest, TheFirstOfTwoVariablesCountsAsItDoesForPrograms) {
  const pid_t other = Start("mine", "echo ready; exec >&-; kill -STOP $$", {"OPENSVC_SVC_ID=else"});
  Watch(Instance("mine"));
  Kill();
  EXPECT_TRUE(Lives(other));
}

TEST_F(ProcessKillerTest, AVariableThatOnlyLooksLikeItDoesNotCount) {
  const pid_t other = Start(
      "", "echo ready; exec >&-; while :; do sleep 1; done",
      {absl::StrCat("XOPENSVC_SVC_ID=", Id("mine")), absl::StrCat("OPENSVC_SVC_IDX=", Id("mine")),
       absl::StrCat("A=OPENSVC_SVC_ID=", Id("mine")),
       absl::StrCat("OPENSVC_SVC_ID=", Id("mine"), "0"), "OPENSVC_SVC_ID"});
  Watch(Instance("mine"));
  Kill();
  EXPECT_TRUE(Lives(other));
}

TEST_F(ProcessKillerTest, AnEnvironmentLargerThanAnyBufferIsReadToItsEnd) {
  std::vector<std::string> padding;
  for (int i = 0; i < 20; ++i)
    padding.push_back(absl::StrCat("P", i, "=", std::string(60000, 'x')));
  const pid_t mine = Start("mine", "echo ready; exec >&-; while :; do sleep 1; done", padding);
  Watch(Instance("mine"));
  Kill();
  EXPECT_FALSE(Lives(mine));
}

TEST_F(ProcessKillerTest, ChildrenThatDroppedTheEnvironmentGoWithTheirParent) {
  const std::string mark = Id("clean-child");
  Start("mine", absl::StrCat("env -i sh -c 'echo ready; exec >&-; while :; do sleep 1; done # ",
                             mark, "' & wait"));
  ASSERT_THAT(WithMark(mark), testing::Not(testing::IsEmpty()));
  Watch(Instance("mine"));
  Kill();
  EXPECT_THAT(WithMark(mark), testing::IsEmpty());
}

TEST_F(ProcessKillerTest, AChildThatBelongsToAnotherInstanceIsLeftAlone) {
  const std::string mark = Id("adopted");
  // It waits for itself: one that starts others is two processes of that command line now and then.
  const TempDir folder;
  const std::string fifo = folder.File("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const std::string child =
      absl::StrCat("exec 3<>", fifo, "; echo ready; exec >&-; read line <&3 # ", mark);
  Start("mine",
        absl::StrCat("OPENSVC_SVC_ID=other sh -c '", child, "' & echo >/dev/null; wait # parent"));
  const std::set<pid_t> before = WithMark(child);
  Watch(Instance("mine"));
  Kill();
  const std::set<pid_t> after = WithMark(absl::StrCat("sh -c ", child));
  EXPECT_THAT(after, SizeIs(1));
  for (const pid_t pid : after) {
    EXPECT_EQ(before.count(pid), 1u);
    kill(pid, SIGKILL);
  }
}

TEST_F(ProcessKillerTest, ProcessesThatIgnoreSignalsAreKilledAll) {
  const pid_t mine = Start("mine",
                           "trap '' TERM INT HUP QUIT USR1 CONT; echo ready; exec >&-; "
                           "while :; do sleep 1; done");
  Watch(Instance("mine"));
  Kill();
  EXPECT_FALSE(Lives(mine));
}

TEST_F(ProcessKillerTest, AStoppedProcessIsKilledToo) {
  const pid_t mine = Start("mine", "echo ready; exec >&-; while :; do sleep 1; done");
  kill(mine, SIGSTOP);
  Watch(Instance("mine"));
  Kill();
  EXPECT_FALSE(Lives(mine));
}

TEST_F(ProcessKillerTest, ARegisteredGroupIsKilledWithoutAnyEnvironment) {
  const pid_t mine = Start("", "sleep 1000 & echo ready; exec >&-; wait");
  absl::StatusOr<FileContent> stat = ReadFile(absl::StrCat("/proc/", mine, "/stat"), 4096);
  ASSERT_TRUE(stat.ok());
  const std::vector<std::string> fields =
      absl::StrSplit(stat->text.substr(stat->text.rfind(") ") + 2), ' ');
  GuardInstance instance = Instance("mine");
  instance.group = mine;
  ASSERT_TRUE(absl::SimpleAtoi(fields[19], &instance.group_start));
  // Another that had the number before: not ours.
  ++instance.group_start;
  Watch(instance);
  Kill();
  ASSERT_TRUE(Lives(mine));
  --instance.group_start;
  Watch(instance);
  const ProcessKiller::Result result = Kill();
  EXPECT_FALSE(Lives(mine));
  EXPECT_EQ(result.killed_count, 2u);
}

TEST_F(ProcessKillerTest, AGroupWhoseLeaderIsGoneIsKilled) {
  const pid_t leader = Start("", "sleep 1000 & echo ready");
  waitid(P_PID, static_cast<id_t>(leader), nullptr, WEXITED | WNOWAIT);
  GuardInstance instance = Instance("mine");
  instance.group = leader;
  instance.group_start = 1;
  Watch(instance);
  EXPECT_EQ(Kill().killed_count, 1u);
}

TEST_F(ProcessKillerTest, TheFeederIsSparedThoughItsEnvironmentSaysOtherwise) {
  const pid_t feeder = Start("mine", "echo ready; exec >&-; kill -STOP $$");
  killer_->Spare(feeder);
  Watch(Instance("mine"));
  Kill();
  EXPECT_TRUE(Lives(feeder));
  killer_->Spare(0);
  Kill();
  EXPECT_FALSE(Lives(feeder));
}

TEST_F(ProcessKillerTest, AProcessWhoseFirstThreadHasEndedIsFound) {
  // Python's main thread leaves by pthread_exit; the other one goes on.
  const pid_t mine =
      Start("mine",
            "exec /usr/bin/python3 -c 'import ctypes, os, threading, time\n"
            "def go():\n"
            "    while open(\"/proc/self/stat\").read().split(\") \")[1][0] != \"Z\":\n"
            "        time.sleep(0.01)\n"
            "    os.write(1, b\"ready\\n\")\n"
            "    os.close(1)\n"
            "    time.sleep(1000)\n"
            "threading.Thread(target=go).start()\n"
            "ctypes.CDLL(None).syscall(60, 0)'");
  Watch(Instance("mine"));
  const ProcessKiller::Result result = Kill();
  EXPECT_GE(result.killed_count, 1u);
  EXPECT_EQ(result.survivor_count, 0u);
  EXPECT_FALSE(Lives(mine));
}

TEST_F(ProcessKillerTest, ManyThatForkFasterThanOneLookAreAllCaught) {
  // Each line lives only to start the next one, in a session of its own.
  const std::string mark = Id("hopper");
  const std::string hop = absl::StrCat("exec >&- 2>&-; setsid sh \"$0\" & # ", mark);
  const TempDir folder;
  const std::string script = absl::StrCat(folder.path(), "/", mark);
  ASSERT_TRUE(WriteFileAtomically(script, hop, {.mode = 0700, .sync = false}).ok());
  for (int i = 0; i < 3; ++i) Start("mine", absl::StrCat("setsid sh ", script, " & echo ready"));
  Watch(Instance("mine"));
  const ProcessKiller::Result result = Kill();
  EXPECT_EQ(result.survivor_count, 0u);
  EXPECT_THAT(WithMark(mark), testing::IsEmpty());
}

TEST_F(ProcessKillerTest, ACgroupAndThoseBelowItAreKilled) {
  std::string top;
  for (const char* hierarchy :
       {"/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/pids"}) {
    const std::string name = absl::StrCat(hierarchy, "/", Id("om-guard-test"), ".slice");
    if (mkdir(name.c_str(), 0755) == 0 && access((name + "/cgroup.procs").c_str(), W_OK) == 0) {
      top = name;
      break;
    }
    rmdir(name.c_str());
  }
  if (top.empty()) GTEST_SKIP() << "no hierarchy of cgroups can be written here";
  const std::string below = top + "/a.scope";
  ASSERT_EQ(mkdir(below.c_str(), 0755), 0);
  const pid_t one = Start("", absl::StrCat("echo $$ > ", top, "/cgroup.procs && echo ready; ",
                                           "exec >&-; while :; do sleep 1; done"));
  const pid_t two = Start("", absl::StrCat("echo $$ > ", below, "/cgroup.procs && echo ready; ",
                                           "exec >&-; while :; do sleep 1; done"));
  GuardInstance instance = Instance("mine");
  memcpy(instance.cgroup, top.data(), top.size());
  Watch(instance);
  const ProcessKiller::Result result = Kill();
  EXPECT_EQ(result.survivor_count, 0u);
  EXPECT_FALSE(Lives(one));
  EXPECT_FALSE(Lives(two));
  for (const pid_t pid : children_) waitpid(pid, nullptr, 0);
  children_.clear();
  EXPECT_EQ(rmdir(below.c_str()), 0) << strerror(errno);
  EXPECT_EQ(rmdir(top.c_str()), 0) << strerror(errno);
}

}  // namespace
}  // namespace om
