#include "server/guard/guard_client.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/status.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::Duration kTimeout = absl::Seconds(60);

int64_t In(absl::Duration span) { return BootNanoseconds() + absl::ToInt64Nanoseconds(span); }

// The program itself.
class GuardClientTest : public ::testing::Test {
 protected:
  ~GuardClientTest() override {
    // Our child, if it was started; it stays as long as it watches.
    const absl::StatusOr<pid_t> pid = GuardPid();
    siginfo_t info = {};
    if (!pid.ok() ||
        waitid(P_PID, static_cast<id_t>(*pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
      return;
    }
    kill(*pid, SIGKILL);
    waitpid(*pid, nullptr, 0);
  }

  GuardOptions Options() const {
    GuardOptions options;
    options.program = OM_BIN_DIR "/omd-guard";
    options.folder = folder_.path();
    return options;
  }
  GuardClient Attach() const {
    absl::StatusOr<GuardClient> client = GuardClient::Attach(folder_.path(), kTimeout);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }
  std::string Log() const {
    const absl::StatusOr<FileContent> log =
        ReadFile(absl::StrCat(folder_.path(), "/", kGuardLogName), 1 << 20);
    return log.ok() ? log->text : "";
  }
  absl::StatusOr<pid_t> GuardPid() const {
    const std::string log = Log();
    const std::string words = "guards, as process ";
    const size_t at = log.rfind(words);
    if (at == std::string::npos) return absl::NotFoundError("no guard");
    return static_cast<pid_t>(atoi(log.c_str() + at + words.size()));
  }
  std::string Fired() {
    // The reply to an attach comes once killing is over.
    const int64_t end = In(kTimeout);
    while (BootNanoseconds() < end) {
      GuardClient client = Attach();
      if (client.status().fired_ns > 0) return "yes";
    }
    return "no";
  }

  const TempDir folder_;
};

TEST_F(GuardClientTest, WithoutAGuardAttachingSaysSo) {
  EXPECT_EQ(GuardClient::Attach(folder_.path(), kTimeout).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(GuardClientTest, AStartedGuardAnswersAndASecondIsRefused) {
  ASSERT_TRUE(StartGuard(Options(), kTimeout).ok());
  const GuardClient client = Attach();
  EXPECT_EQ(client.status().instance_count, 0u);
  EXPECT_EQ(client.status().fired_ns, 0);
  EXPECT_EQ(StartGuard(Options(), kTimeout).code(), absl::StatusCode::kAlreadyExists);
  const absl::StatusOr<pid_t> pid = GuardPid();
  ASSERT_TRUE(pid.ok());
  EXPECT_EQ(getsid(*pid), *pid) << "a session of its own";
}

TEST_F(GuardClientTest, ASocketThatWasLeftBehindIsNoObstacle) {
  ASSERT_TRUE(StartGuard(Options(), kTimeout).ok());
  const pid_t pid = *GuardPid();
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  ASSERT_EQ(GuardClient::Attach(folder_.path(), kTimeout).status().code(),
            absl::StatusCode::kNotFound);
  ASSERT_TRUE(StartGuard(Options(), kTimeout).ok());
  Attach();
}

TEST_F(GuardClientTest, WhatIsToldStaysToldWhenTheConnectionEnds) {
  ASSERT_TRUE(StartGuard(Options(), kTimeout).ok());
  const GuardedInstance instance = {.id = absl::StrCat("nobody-", getpid()),
                                    .path = "ns/svc/one",
                                    .cgroup = "/nowhere",
                                    .group = 0,
                                    .group_start = 0};
  const int64_t until_ns = In(absl::Minutes(5));
  {
    GuardClient client = Attach();
    ASSERT_TRUE(client.Renew(until_ns).ok());
    ASSERT_TRUE(client.Watch(instance).ok());
  }
  GuardClient client = Attach();
  EXPECT_EQ(client.status().until_ns, until_ns);
  const absl::StatusOr<std::vector<GuardedInstance>> list = client.List();
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->size(), 1u);
  EXPECT_EQ((*list)[0].id, instance.id);
  EXPECT_EQ((*list)[0].path, instance.path);
  EXPECT_EQ((*list)[0].cgroup, instance.cgroup);
  EXPECT_TRUE(client.Release(instance.id).ok());
  EXPECT_THAT(*client.List(), IsEmpty());
}

TEST_F(GuardClientTest, MistakesAreNamed) {
  ASSERT_TRUE(StartGuard(Options(), kTimeout).ok());
  GuardClient client = Attach();
  const absl::Status early = client.Watch({.id = "a", .path = "svc1"});
  EXPECT_EQ(early.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(early), "GUARD_EXPIRED");
  EXPECT_THAT(std::string(early.message()), HasSubstr("svc1"));
  ASSERT_TRUE(client.Renew(In(absl::Minutes(1))).ok());
  EXPECT_EQ(client.Watch({}).code(), absl::StatusCode::kInvalidArgument);
  const absl::Status longer = client.Watch({.id = std::string(64, 'x')});
  EXPECT_EQ(longer.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(longer.message()), HasSubstr("63 bytes"));
  EXPECT_EQ(client.Renew(In(absl::Hours(1))).code(), absl::StatusCode::kInvalidArgument);
  GuardOptions wrong = Options();
  wrong.program = folder_.path() + "/none";
  EXPECT_EQ(StartGuard(wrong, kTimeout).code(), absl::StatusCode::kNotFound);
}

TEST_F(GuardClientTest, AnUnusableSysrqFileKeepsTheGuardFromStarting) {
  GuardOptions options = Options();
  options.split_action = "crash";
  options.sysrq_trigger = folder_.path() + "/none";
  EXPECT_EQ(StartGuard(options, kTimeout).code(), absl::StatusCode::kInternal);
}

TEST_F(GuardClientTest, TheSplitActionFollowsOnceAndOnlyWhereConfigured) {
  for (const char* action : {"reboot", "crash"}) {
    const TempDir folder;
    const std::string trigger = folder.path() + "/sysrq";
    ASSERT_TRUE(WriteFileAtomically(trigger, "", {.sync = false}).ok());
    GuardOptions options = Options();
    options.split_action = action;
    options.sysrq_trigger = trigger;
    ASSERT_TRUE(StartGuard(options, kTimeout).ok());
    GuardClient client = Attach();
    ASSERT_TRUE(client.Renew(In(absl::Minutes(1))).ok());
    ASSERT_TRUE(client.Watch({.id = absl::StrCat("nobody-", getpid())}).ok());
    ASSERT_TRUE(client.Renew(1).ok());
    ASSERT_EQ(Fired(), "yes");
    EXPECT_EQ(ReadFile(trigger, 100)->text, std::string(1, action[0] == 'r' ? 'b' : 'c'));
    EXPECT_EQ(ReasonOf(client.Renew(In(absl::Minutes(1)))), "GUARD_FIRED");
    const pid_t pid = *GuardPid();
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
}

TEST_F(GuardClientTest, ToldToEndItStaysWhileItWatches) {
  ASSERT_TRUE(StartGuard(Options(), kTimeout).ok());
  const pid_t pid = *GuardPid();
  const std::string id = absl::StrCat("nobody-", getpid());
  GuardClient client = Attach();
  ASSERT_TRUE(client.Renew(In(absl::Minutes(5))).ok());
  ASSERT_TRUE(client.Watch({.id = id}).ok());
  kill(pid, SIGTERM);
  while (Log().find("told to end") == std::string::npos && waitpid(pid, nullptr, WNOHANG) == 0) {
    usleep(1000);
  }
  EXPECT_THAT(Log(), HasSubstr("stays while 1 instances"));
  ASSERT_TRUE(client.Release(id).ok());
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(client.Renew(In(absl::Minutes(5))).code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace om
