// omcrm itself, as processes on a root of its own.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/clock.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "server/crm/drivers/processes.h"
#include "server/crm/drivers/status_document.h"
#include "tests/server/crm/omcrm_fixture.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

TEST_F(OmcrmTest, StartStopAndStatusOfAForkingAppAreIdempotent) {
  ConfigureForking();
  EXPECT_EQ(Do("status"), 1);
  EXPECT_EQ(Status()["avail"], "down");
  EXPECT_EQ(Do("start"), 0);
  EXPECT_TRUE(IsUp("app#1"));
  EXPECT_EQ(Status()["avail"], "up");
  EXPECT_EQ(Do("start"), 0);
  EXPECT_EQ(Do("status"), 0);
  EXPECT_EQ(Do("stop"), 0);
  EXPECT_FALSE(IsUp("app#1"));
  EXPECT_EQ(Do("stop"), 0);
  EXPECT_EQ(Status()["avail"], "down");
  EXPECT_THAT(Journal(), ElementsAre("start app#1", "stop app#1"));
}

TEST_F(OmcrmTest, TheProgramGetsTheDocumentedEnvironment) {
  ConfigureForking();
  ASSERT_EQ(Do("start"), 0);
  const std::string environment = root_.Read("app.sh.env");
  for (const char* line :
       {"OPENSVC_SVCNAME=svc1\n", "OPENSVC_SVCPATH=svc1\n", "OPENSVC_SVC_ID=id1\n",
        "OPENSVC_ACTION=start\n", "OPENSVC_LEADER=0\n", "OPENSVC_RID=app#1\n",
        "OSVC_ACTION_ORIGIN=daemon\n", "OSVC_SESSION_UUID="}) {
    EXPECT_THAT(environment, HasSubstr(line));
  }
  EXPECT_THAT(environment, HasSubstr(absl::StrCat("PWD=", root_.path(), "/tmp\n")));
  EXPECT_THAT(environment, Not(HasSubstr("OPENSVC_NAMESPACE")));
}

TEST_F(OmcrmTest, ASimpleAppIsFoundByItsCommandLineAndStopped) {
  Configure(
      "[DEFAULT]\nid = id1\nnodes = n1\n\n[app#1]\ntype = simple\n"
      "start = /bin/sleep 1000017\n");
  EXPECT_EQ(Do("status"), 1);
  EXPECT_EQ(Do("start"), 0);
  EXPECT_EQ(Status()["resources"]["app#1"]["type"], "app.simple");
  EXPECT_EQ(Status()["resources"]["app#1"]["label"], "simple: sleep");
  const std::vector<pid_t> pids =
      *FindProcesses("/bin/sleep 1000017", {absl::StrCat("OM_ROOT=", root_.path())});
  ASSERT_THAT(pids, SizeIs(1));
  EXPECT_EQ(getsid(pids[0]), pids[0]);
  EXPECT_EQ(Do("start"), 0);
  EXPECT_EQ(*FindProcesses("/bin/sleep 1000017", {absl::StrCat("OM_ROOT=", root_.path())}), pids);
  EXPECT_EQ(Do("stop"), 0);
  EXPECT_EQ(Status()["avail"], "down");
  EXPECT_THAT(*FindProcesses("/bin/sleep 1000017", {absl::StrCat("OM_ROOT=", root_.path())}),
              SizeIs(0));
}

TEST_F(OmcrmTest, ASimpleAppThatEndsAtOnceHasFailedToStart) {
  Configure("[DEFAULT]\nid = id1\nnodes = n1\n\n[app#1]\ntype = simple\nstart = /bin/false\n");
  // It is watched for a moment, by the end of which a busy machine may not have run it yet.
  int code = 0;
  Await([&] {
    code = Do("start");
    return absl::StrContains(root_.Read("omcrm.out"), "exit code 1");
  });
  EXPECT_EQ(code, 1);
}

TEST_F(OmcrmTest, AFailingStartRollsBackWhatItStartedLastFirst) {
  Configure(
      "[DEFAULT]\nid = id1\nnodes = n1\n"
      "[app#1]\nscript = @SCRIPT@\nstart = 1\nstop = 1\ncheck = 1\n"
      "[app#2]\nscript = @SCRIPT@\nstart = 2\nstop = 1\ncheck = 1\n"
      "[app#3]\nscript = @SCRIPT@\nstart = 3\nstop = 1\ncheck = 1\n");
  Flag("fail.app#3");
  EXPECT_EQ(Do("start"), 1);
  EXPECT_THAT(Journal(),
              ElementsAre("start app#1", "start app#2", "start app#3", "stop app#2", "stop app#1"));
  EXPECT_EQ(Status()["avail"], "down");
  EXPECT_THAT(root_.Read("log/svc1.log"), HasSubstr("n1.svc1.app#3 - WARNING - | cannot start"));
}

TEST_F(OmcrmTest, WhatWasUpBeforeAFailingStartStaysUp) {
  Configure(
      "[DEFAULT]\nid = id1\nnodes = n1\n"
      "[app#1]\nscript = @SCRIPT@\nstart = 1\nstop = 1\ncheck = 1\n"
      "[app#2]\nscript = @SCRIPT@\nstart = 2\nstop = 1\ncheck = 1\n");
  Flag("app#1.up");
  Flag("fail.app#2");
  EXPECT_EQ(Do("start"), 1);
  EXPECT_TRUE(IsUp("app#1"));
}

TEST_F(OmcrmTest, RollbackCanBeSwitchedOff) {
  const std::string apps =
      "[app#1]\nscript = @SCRIPT@\nstart = 1\nstop = 1\ncheck = 1\n"
      "[app#2]\nscript = @SCRIPT@\nstart = 2\nstop = 1\ncheck = 1\n";
  Flag("fail.app#2");
  Configure("[DEFAULT]\nid = id1\nnodes = n1\n" + apps);
  EXPECT_EQ(Run({"-s", "svc1", "start", "--local", "--disable-rollback"}), 1);
  EXPECT_TRUE(IsUp("app#1"));
  EXPECT_EQ(Do("stop"), 0);
  Configure("[DEFAULT]\nid = id1\nnodes = n1\nrollback = false\n" + apps);
  EXPECT_EQ(Do("start"), 1);
  EXPECT_TRUE(IsUp("app#1"));
}

TEST_F(OmcrmTest, AnOptionalResourceDoesNotFailTheAction) {
  Configure(
      "[DEFAULT]\nid = id1\nnodes = n1\n"
      "[app#1]\nscript = @SCRIPT@\nstart = 1\nstop = 1\ncheck = 1\noptional = true\n"
      "[app#2]\nscript = @SCRIPT@\nstart = 2\nstop = 1\ncheck = 1\n");
  Flag("fail.app#1");
  EXPECT_EQ(Do("start"), 0);
  EXPECT_TRUE(IsUp("app#2"));
  EXPECT_EQ(Status()["optional"], "down");
  EXPECT_EQ(Status()["avail"], "up");
}

TEST_F(OmcrmTest, StandbyResourcesStayUpUnlessForced) {
  Configure(
      "[DEFAULT]\nid = id1\nnodes = n1\n"
      "[app#1]\nscript = @SCRIPT@\nstart = 1\nstop = 1\ncheck = 1\nstandby = true\n"
      "[app#2]\nscript = @SCRIPT@\nstart = 2\nstop = 1\ncheck = 1\n");
  ASSERT_EQ(Do("start"), 0);
  EXPECT_EQ(Status()["avail"], "up");
  EXPECT_EQ(Do("stop"), 0);
  EXPECT_TRUE(IsUp("app#1"));
  EXPECT_EQ(Status()["avail"], "stdby up");
  EXPECT_EQ(Do("status"), 6);
  EXPECT_EQ(Do("shutdown"), 0);
  EXPECT_FALSE(IsUp("app#1"));
  EXPECT_EQ(Run({"-s", "svc1", "startstandby", "--rid", "app#1", "--local"}), 0);
  EXPECT_TRUE(IsUp("app#1"));
  EXPECT_FALSE(IsUp("app#2"));
}

TEST_F(OmcrmTest, AStopThatLeavesTheAppUpFails) {
  ConfigureForking();
  ASSERT_EQ(Do("start"), 0);
  Flag("stuck");
  EXPECT_EQ(Do("stop"), 1);
  EXPECT_THAT(root_.Read("omcrm.out"), HasSubstr("still up"));
  EXPECT_EQ(Status()["avail"], "up");
}

TEST_F(OmcrmTest, AStopCommandThatFailsFailsTheStop) {
  ConfigureForking();
  ASSERT_EQ(Do("start"), 0);
  Flag("stopfail");
  EXPECT_EQ(Do("stop"), 1);
  EXPECT_THAT(root_.Read("omcrm.out"), HasSubstr("exit code 3"));
}

TEST_F(OmcrmTest, AStartThatHangsEndsAtItsTimeout) {
  ConfigureForking("\n[app#1]\nstart_timeout = 1\n");
  Flag("gate");
  unlink(absl::StrCat(script_, ".gate").c_str());
  ASSERT_EQ(mkfifo(absl::StrCat(script_, ".gate").c_str(), 0600), 0);
  EXPECT_EQ(Do("start"), 1);
  EXPECT_THAT(root_.Read("omcrm.out"), HasSubstr("timeout"));
}

TEST_F(OmcrmTest, ACheckThatReportsErrorsIsAWarning) {
  ConfigureForking();
  Flag("sick");
  EXPECT_EQ(Run({"-s", "svc1", "status", "--refresh"}), 2);
  EXPECT_EQ(Status()["resources"]["app#1"]["log"][0], "warn: check reports errors (4)");
}

TEST_F(OmcrmTest, StatusWithoutRefreshTellsWhatWasSeenLast) {
  ConfigureForking();
  ASSERT_EQ(Do("start"), 0);
  unlink(absl::StrCat(script_, ".app#1.up").c_str());
  EXPECT_EQ(Do("status"), 0);
  EXPECT_EQ(Run({"-s", "svc1", "status", "--refresh"}), 1);
  EXPECT_EQ(Run({"-s", "svc1", "status", "--cron", "--waitlock=5"}), 1);
}

TEST_F(OmcrmTest, TheSecondOfTwoStartsWaitsAndFindsItUp) {
  ConfigureForking();
  const std::string gate = absl::StrCat(script_, ".gate");
  ASSERT_EQ(mkfifo(gate.c_str(), 0600), 0);
  const pid_t first = Spawn({"-s", "svc1", "start", "--local"});
  Await([&] { return access(absl::StrCat(script_, ".waiting").c_str(), F_OK) == 0; });
  // While it runs others wait, or give up when they may not.
  EXPECT_EQ(Run({"-s", "svc1", "start", "--local", "--waitlock=0"}), 1);
  EXPECT_THAT(root_.Read("omcrm.out"), HasSubstr("held for \"start\""));
  EXPECT_EQ(Run({"-s", "svc1", "status", "--refresh", "--waitlock=0"}), 3);
  EXPECT_EQ(Status()["running"], Json::array({"app#1"}));
  EXPECT_EQ(Status()["resources"]["app#1"]["log"][0], "info: start in progress");
  const pid_t second = Spawn({"-s", "svc1", "start", "--local"});
  { std::ofstream(gate) << "go\n"; }
  EXPECT_EQ(Wait(first), 0);
  EXPECT_EQ(Wait(second), 0);
  EXPECT_THAT(Journal(), ElementsAre("start app#1"));
}

TEST_F(OmcrmTest, AKilledStartLeavesTheLockFree) {
  ConfigureForking();
  const std::string gate = absl::StrCat(script_, ".gate");
  ASSERT_EQ(mkfifo(gate.c_str(), 0600), 0);
  const pid_t killed = Spawn({"-s", "svc1", "start", "--local"});
  Await([&] { return access(absl::StrCat(script_, ".waiting").c_str(), F_OK) == 0; });
  kill(killed, SIGKILL);
  EXPECT_EQ(Wait(killed), 1000 + SIGKILL);
  unlink(gate.c_str());
  EXPECT_EQ(Run({"-s", "svc1", "start", "--local", "--waitlock=0"}), 0);
  EXPECT_EQ(Status()["avail"], "up");
}

TEST_F(OmcrmTest, SigtermInterruptsAndTheStatusIsWritten) {
  ConfigureForking();
  const std::string gate = absl::StrCat(script_, ".gate");
  ASSERT_EQ(mkfifo(gate.c_str(), 0600), 0);
  const pid_t interrupted = Spawn({"-s", "svc1", "start", "--local"});
  Await([&] { return access(absl::StrCat(script_, ".waiting").c_str(), F_OK) == 0; });
  kill(interrupted, SIGTERM);
  EXPECT_EQ(Wait(interrupted), 1);
  EXPECT_EQ(Status()["avail"], "down");
  unlink(gate.c_str());
  EXPECT_EQ(Run({"-s", "svc1", "start", "--local", "--waitlock=0"}), 0);
}

TEST_F(OmcrmTest, StatusIsReplacedAndNeverMissingDuringActions) {
  ConfigureForking();
  ASSERT_EQ(Do("status"), 1);
  const std::string file = root_.File("var/svc/svc1/status.json");
  const pid_t pid = Spawn({"-s", "svc1", "start", "--local"});
  siginfo_t info = {};
  while (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == 0) {
    const auto content = ReadFile(file, 1 << 20);
    ASSERT_THAT(content, IsOk());
    ASSERT_THAT(ParseJson(content->text), IsOk());
  }
  EXPECT_EQ(Wait(pid), 0);
}

TEST_F(OmcrmTest, TheFilesTimeIsWhenTheEvaluationBegan) {
  ConfigureForking();
  ASSERT_EQ(Do("start"), 0);
  const auto mtime = ModificationTime(root_.File("var/svc/svc1/status.json"));
  ASSERT_THAT(mtime, IsOk());
  EXPECT_NEAR(om::ToUnixSeconds(*mtime), Status()["updated"].get<double>(), 1e-5);
  EXPECT_EQ(StatusChecksum(Status()), Status()["csum"]);
}

TEST_F(OmcrmTest, CachesAndHistoryAreKeptForEachResource) {
  ConfigureForking();
  ASSERT_EQ(Do("status"), 1);
  ASSERT_EQ(Do("start"), 0);
  ASSERT_EQ(Do("start"), 0);
  EXPECT_EQ(root_.Read("var/svc/svc1/app#1/status.last"),
            R"({"status": "up", "label": "forking: app.sh", "log": []})");
  const std::vector<std::string> history =
      absl::StrSplit(root_.Read("var/svc/svc1/app#1/status.history"), '\n', absl::SkipEmpty());
  ASSERT_THAT(history, SizeIs(2));
  EXPECT_THAT(history[0], ::testing::MatchesRegex("[0-9-]+ [0-9:]+,[0-9][0-9][0-9] \\| down"));
  EXPECT_TRUE(absl::EndsWith(history[1], " | up"));
}

TEST_F(OmcrmTest, TheLogHasTheLegacyForm) {
  ConfigureForking();
  ASSERT_EQ(Do("start"), 0);
  const std::vector<std::string> lines =
      absl::StrSplit(root_.Read("log/svc1.log"), '\n', absl::SkipEmpty());
  for (const std::string& line : lines) {
    EXPECT_THAT(line, ::testing::MatchesRegex("[0-9]+-[0-9]+-[0-9]+ [0-9]+:[0-9]+:[0-9]+,[0-9]+ - "
                                              "n1[.]svc1([.]app#1)? - [A-Z]+ - .*"));
  }
  EXPECT_THAT(root_.Read("log/svc1.log"), HasSubstr("n1.svc1.app#1 - INFO - | starting\n"));
}

TEST_F(OmcrmTest, AMissingIdIsWrittenOnceAndCommentsStay) {
  Configure("# mine\n[DEFAULT]\nnodes = n1\n\n[app#1]\nscript = @SCRIPT@\nstart = 1\n");
  ASSERT_EQ(Do("status"), 3);
  const std::string text = root_.Read("etc/svc1.conf");
  EXPECT_THAT(text, HasSubstr("\nid = "));
  EXPECT_THAT(text, HasSubstr("# mine\n"));
  ASSERT_EQ(Do("status"), 3);
  EXPECT_EQ(root_.Read("etc/svc1.conf"), text);
}

TEST_F(OmcrmTest, FreezeAndThawSetTheFlagAndTheStatus) {
  ConfigureForking();
  EXPECT_EQ(Do("freeze"), 0);
  const double since = Status()["frozen"].get<double>();
  EXPECT_GT(since, 0);
  EXPECT_EQ(Do("freeze"), 0);
  EXPECT_EQ(Status()["frozen"].get<double>(), since);
  EXPECT_EQ(Do("thaw"), 0);
  EXPECT_FALSE(Status().contains("frozen"));
}

TEST_F(OmcrmTest, WhatItCannotDoNamesTheSettingThatHelps) {
  ConfigureForking("\n[disk#1]\ntype = lvm\nname = vg1\n");
  EXPECT_EQ(Do("compliance_check"), 1);
  EXPECT_THAT(root_.Read("omcrm.out"), HasSubstr("crm.command"));
  EXPECT_EQ(Do("start"), 1);
  EXPECT_THAT(root_.Read("omcrm.out"), HasSubstr("crm.command"));
  EXPECT_EQ(Status()["resources"]["disk#1"]["status"], "undef");
}

TEST_F(OmcrmTest, BadCommandLinesAndUnknownServicesAreErrors) {
  EXPECT_EQ(Run({"start"}), 1);
  EXPECT_EQ(Run({"-s", "svc1"}), 1);
  EXPECT_EQ(Run({"-s", "svc1", "start", "--no-such-option"}), 1);
  EXPECT_THAT(root_.Read("omcrm.out"), HasSubstr("--no-such-option"));
  EXPECT_EQ(Run({"-s", "nothere", "start"}), 1);
  EXPECT_THAT(root_.Read("omcrm.out"), HasSubstr("nothere"));
  EXPECT_EQ(Run({"-s", "../../etc/passwd", "start"}), 1);
}

TEST_F(OmcrmTest, AServiceOfOtherNodesOrEnvironmentsIsRefused) {
  Configure("[DEFAULT]\nid = id1\nnodes = n2\n\n[app#1]\nscript = @SCRIPT@\nstart = 1\n");
  EXPECT_EQ(Do("start"), 1);
  EXPECT_THAT(root_.Read("omcrm.out"), HasSubstr("neither in nodes nor in drpnodes"));
  ConfigureForking("env = DEV\n");
  root_.Write("etc/node.conf", "[node]\nenv = PRD\n");
  EXPECT_EQ(Do("start"), 1);
  EXPECT_THAT(root_.Read("omcrm.out"), HasSubstr("PRD"));
  EXPECT_THAT(Journal(), SizeIs(0));
}

TEST_F(OmcrmTest, ABlockingTriggerCanPreventTheStart) {
  ConfigureForking("\n[app#1]\npre_start = /bin/false\nblocking_pre_start = test -e " +
                   root_.File("allowed") + "\n");
  EXPECT_EQ(Do("start"), 1);
  EXPECT_THAT(Journal(), SizeIs(0));
  root_.Write("allowed", "");
  EXPECT_EQ(Do("start"), 0);
}

TEST_F(OmcrmTest, RequirementsAreCheckedBeforeTheStart) {
  Configure(
      "[DEFAULT]\nid = id1\nnodes = n1\n"
      "[app#1]\nscript = @SCRIPT@\nstart = 1\nstop = 1\ncheck = 1\n"
      "start_requires = app#2(down)\n"
      "[app#2]\nscript = @SCRIPT@\nstart = 2\nstop = 1\ncheck = 1\n"
      "start_requires = app#1\n");
  EXPECT_EQ(Do("start"), 0);
  EXPECT_EQ(Do("stop"), 0);
  EXPECT_EQ(Run({"-s", "svc1", "start", "--rid", "app#2"}), 1);
  EXPECT_THAT(root_.Read("omcrm.out"), HasSubstr("start_requires"));
}

TEST_F(OmcrmTest, DryRunChangesNothing) {
  ConfigureForking();
  EXPECT_EQ(Run({"-s", "svc1", "start", "--dry-run"}), 0);
  EXPECT_EQ(root_.Read("omcrm.out"), "start app#1\n");
  EXPECT_THAT(Journal(), SizeIs(0));
}

TEST_F(OmcrmTest, ResourcesRunAsTheirUserWithTheirLimits) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can be somebody else";
  chmod(root_.path().c_str(), 0755);
  Configure(
      "[DEFAULT]\nid = id1\nnodes = n1\n\n[app#1]\nuser = nobody\nlimit_nofile = 77\n"
      "cwd = /tmp\nstart = /bin/sh -c \"id -un; ulimit -n; pwd; echo $HOME\"\n");
  EXPECT_EQ(Do("start"), 0);
  const std::string log = root_.Read("log/svc1.log");
  for (const char* line : {"| nobody\n", "| 77\n", "| /tmp\n"}) EXPECT_THAT(log, HasSubstr(line));
}

TEST_F(OmcrmTest, TheDaemonIsWokenAfterTheStatusIsWritten) {
  ConfigureForking();
  FakeDaemon daemon(root_.File("var/lsnr/lsnr.sock"));
  const pid_t pid = Spawn({"-s", "svc1", "start", "--local"});
  EXPECT_EQ(daemon.Next(), (Json{{"action", "wake_monitor"}, {"options", {{"svcpath", "svc1"}}}}));
  EXPECT_EQ(Status()["avail"], "up");
  EXPECT_EQ(Wait(pid), 0);
}

TEST_F(OmcrmTest, APersonsStopIsToldToTheDaemonAndNotUndoneByIt) {
  ConfigureForking("orchestrate = ha\n");
  ASSERT_EQ(Do("start"), 0);
  FakeDaemon daemon(root_.File("var/lsnr/lsnr.sock"));
  const pid_t pid = Spawn({"-s", "svc1", "stop", "--local"}, {"OSVC_ACTION_ORIGIN=user"});
  Json request = daemon.Next();
  EXPECT_EQ(request["action"], "set_service_monitor");
  EXPECT_EQ(request["options"],
            (Json{{"svcpath", "svc1"}, {"status", "stopping"}, {"local_expect", "unset"}}));
  EXPECT_EQ(daemon.Next()["action"], "wake_monitor");
  EXPECT_EQ(daemon.Next()["options"]["status"], "idle");
  EXPECT_EQ(Wait(pid), 0);
  EXPECT_TRUE(Status().contains("frozen"));
}

TEST_F(OmcrmTest, AFailedActionOfAPersonIsToldAsFailed) {
  ConfigureForking();
  Flag("fail.app#1");
  FakeDaemon daemon(root_.File("var/lsnr/lsnr.sock"));
  const pid_t pid = Spawn({"-s", "svc1", "start", "--local"}, {"OSVC_ACTION_ORIGIN=user"});
  EXPECT_EQ(daemon.Next()["options"]["status"], "starting");
  EXPECT_EQ(daemon.Next()["action"], "wake_monitor");
  EXPECT_EQ(daemon.Next()["options"]["status"], "start failed");
  EXPECT_EQ(Wait(pid), 1);
}

TEST_F(OmcrmTest, SeveralPathsAreEvaluatedInOneProcess) {
  ConfigureForking();
  Configure("[DEFAULT]\nid = id2\nnodes = n1\n", "svc2");
  EXPECT_EQ(Run({"-s", "svc1,svc2", "status", "--parallel", "--refresh"}), 0);
  EXPECT_EQ(Status("svc1")["avail"], "down");
  EXPECT_EQ(Status("svc2")["avail"], "n/a");
}

TEST_F(OmcrmTest, ObjectsWithoutInstancesHaveABareStatus) {
  root_.Write("etc/namespaces/test/cfg/c1.conf", "[DEFAULT]\nid = id3\n[data]\nk1 = literal:v1\n");
  const std::string cluster = root_.Read("etc/cluster.conf");
  EXPECT_EQ(Run({"-s", "test/cfg/c1,cluster", "status"}), 0);
  EXPECT_EQ(root_.Read("etc/cluster.conf"), cluster);
  // The recorded checksums.
  Json status = *ParseJson(root_.Read("var/namespaces/test/cfg/c1/status.json"));
  EXPECT_EQ(status["csum"], "5998feb0dd652ab5988954e6039c9d66");
  status = *ParseJson(root_.Read("var/ccfg/cluster/status.json"));
  EXPECT_EQ(status["csum"], "a7a79239cadee30e6d0135a7c72334e5");
  EXPECT_EQ(Run({"-s", "test/cfg/c1", "start"}), 1);
  EXPECT_EQ(Run({"-s", "test/cfg/c1,nothere", "status"}), 1);
}

// The recorded configurations, and the status files that the legacy agent wrote for them.
class RecordedStatusTest : public OmcrmTest {
 protected:
  static Json Recorded() {
    const auto file =
        ReadFile(std::string(OM_SOURCE_DIR) + "/tests/golden/compat/behaviour-instance-status.json",
                 1 << 20);
    return *ParseJson(file->text);
  }
  // What is comparable: no times, and nothing of the implicit copy to other nodes, which omcrm
  // leaves to others.
  static Json Comparable(Json content) {
    const bool implicit_sync = content.contains("resources") &&
                               content["resources"].contains("sync#i0") &&
                               !content["resources"]["sync#i0"].contains("disable");
    if (implicit_sync) content["resources"].erase("sync#i0");
    for (const char* key : {"updated", "csum"}) content.erase(key);
    if (content.contains("resources")) {
      for (auto& [rid, resource] : content["resources"].items()) {
        if (resource.contains("provisioned")) resource["provisioned"].erase("mtime");
      }
    }
    return Json::parse(nlohmann::json(content).dump());  // Keys sorted: their order says nothing.
  }
};

TEST_F(RecordedStatusTest, EqualConfigurationsGiveTheRecordedDocuments) {
  const Json recorded = Recorded();
  int compared = 0;
  for (const auto& [name, config] : recorded["configs"].items()) {
    for (const char* node : {"n1", "n2"}) {
      const std::string below = absl::StrContains(name, '/') ? absl::StrCat("namespaces/", name)
                                                             : absl::StrCat("svc/", name);
      const std::string key = absl::StrCat(node, ":<OSVCVAR>/", below, "/status.json");
      if (!recorded["files"].contains(key)) continue;
      Json expected = recorded["files"][key]["content"];
      // The same apps, up or down as they were when it was recorded.
      TempDir* const root = &root_;
      const std::string demo = root->File(absl::StrCat("demo-", node));
      const std::string etc = absl::StrContains(name, '/')
                                  ? absl::StrCat("etc/namespaces/", name, ".conf")
                                  : absl::StrCat("etc/", name, ".conf");
      root->Write(etc, absl::StrReplaceAll(config.get<std::string>(), {{"/srv/demo", demo}}));
      const std::string state = absl::StrCat("var/", below);
      for (const char* script : {"app.sh", "envapp.sh"}) {
        chmod(root->Write(absl::StrCat("demo-", node, "/", script), kScript).c_str(), 0755);
      }
      if (expected.contains("resources") && expected["resources"].contains("fs#1")) {
        Json& label = expected["resources"]["fs#1"]["label"];  // "dir <path>"
        label = absl::StrReplaceAll(label.get<std::string>(), {{"/srv/demo", demo}});
        const std::string text = label;
        EXPECT_THAT(MakeDirectories(text.substr(text.find('/'))), IsOk());
      }
      const Json resources = expected.value("resources", Json::object());
      std::string to_start;
      for (const auto& [rid, resource] : resources.items()) {
        const std::string status = resource["status"];
        if (absl::StartsWith(rid, "app#") && (status == "up" || status == "stdby up")) {
          absl::StrAppend(&to_start, to_start.empty() ? "" : ",", rid);
        }
        if (resource.contains("provisioned") && resource["provisioned"].contains("mtime")) {
          root->Write(absl::StrCat(state, "/", rid, "/provisioned"), "true");
        }
      }
      const std::string nodename = absl::StrCat("OMD_NODENAME=", node);
      if (!to_start.empty()) {
        EXPECT_EQ(Run({"-s", name, "start", "--rid", to_start, "--local"}, {nodename}), 0)
            << key << root->Read("omcrm.out");
      }
      Run({"-s", name, "status", "--refresh"}, {nodename});
      const auto written = ParseJson(root->Read(absl::StrCat(state, "/status.json")));
      ASSERT_THAT(written, IsOk()) << key;
      EXPECT_EQ(Comparable(*written), Comparable(expected)) << key;
      // Where nothing was left out, the whole of it is the same, and so is the checksum.
      const bool whole =
          Comparable(expected).value("resources", Json::object()).size() == resources.size() &&
          !resources.contains("fs#1");
      if (whole) EXPECT_EQ((*written)["csum"], expected["csum"]) << key;
      if (!to_start.empty()) Run({"-s", name, "shutdown", "--local"}, {nodename});
      std::filesystem::remove_all(root->File("var"));
      ++compared;
    }
  }
  EXPECT_EQ(compared, 18);
}

}  // namespace
}  // namespace om
