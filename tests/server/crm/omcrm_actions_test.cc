// Actions on resources, through omcrm itself: selection, subsets, provisioning, tasks.
#include <sys/resource.h>

#include <algorithm>
#include <string>
#include <vector>

#include "server/base/clock.h"
#include "tests/server/crm/omcrm_fixture.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr char kApp[] = "script = @SCRIPT@\nstart = 1\nstop = 1\ncheck = 1\n";

class OmcrmActionsTest : public OmcrmTest {
 protected:
  // Sections of apps; what follows a rid is more of its keywords.
  void ConfigureApps(const std::vector<std::pair<std::string, std::string>>& apps,
                     const std::string& head = "nodes = n1\n") {
    std::string text = absl::StrCat("[DEFAULT]\nid = id1\n", head);
    for (const auto& [rid, more] : apps) absl::StrAppend(&text, "[", rid, "]\n", kApp, more);
    Configure(text);
  }
  std::string StatusOf(const std::string& rid) {
    return Status()["resources"][rid].value("status", "");
  }
  std::string Output() { return root_.Read("omcrm.out"); }
};

TEST_F(OmcrmActionsTest, ResourcesAreChosenByRidGroupTagAndSubset) {
  ConfigureApps({{"app#1", "tags = red blue\n"},
                 {"app#2", "tags = red\nsubset = g1\n"},
                 {"app#3", "tags = green\n"}});
  const auto dry = [&](const std::string& option) {
    EXPECT_EQ(Run({"-s", "svc1", "start", "--dry-run", option}), 0) << option;
    return Output();
  };
  EXPECT_EQ(dry("--rid=app#3,app#1"), "start app#1\nstart app#3\n");
  EXPECT_EQ(dry("--rid=app:g1"), "start app#2\n");
  EXPECT_EQ(dry("--rid=app"), "start app#1\nstart app#3\nstart app#2\n");
  EXPECT_EQ(dry("--tags=red"), "start app#1\nstart app#2\n");
  EXPECT_EQ(dry("--tags=red+blue"), "start app#1\n");
  EXPECT_EQ(dry("--tags=red+blue,green"), "start app#1\nstart app#3\n");
  EXPECT_EQ(dry("--subsets=g1"), "start app#2\n");
  EXPECT_EQ(Run({"-s", "svc1", "start", "--tags=red", "--rid=app#3"}), 1);
  EXPECT_THAT(Output(), HasSubstr("--rid app#3 --tags red"));
  EXPECT_EQ(Run({"-s", "svc1", "stop", "--dry-run"}), 0);
  EXPECT_EQ(Output(), "stop app#2\nstop app#3\nstop app#1\n");
  EXPECT_THAT(Journal(), IsEmpty());
}

TEST_F(OmcrmActionsTest, ADryRunChangesNoFileAndRunsNothing) {
  Configure(absl::StrCat("[DEFAULT]\nnodes = n1\norchestrate = ha\n[app#1]\n", kApp,
                         "[task#1]\ncommand = touch ", root_.File("ran"), "\n"));
  const std::string before = root_.Read("etc/svc1.conf");
  const std::pair<const char*, const char*> cases[] = {
      {"start", "start app#1\n"},
      {"stop", "stop app#1\n"},
      {"restart", "stop app#1\nstart app#1\n"},
      {"provision", "provision app#1\n"},
      {"unprovision", "unprovision app#1\n"},
      {"run", "run task#1\n"},
      {"freeze", "freeze svc1\n"},
      {"disable", "disable DEFAULT\n"},
  };
  for (const auto& [action, output] : cases) {
    EXPECT_EQ(Run({"-s", "svc1", action, "--dry-run"}, {"OSVC_ACTION_ORIGIN=user"}), 0) << action;
    EXPECT_EQ(Output(), output);
  }
  EXPECT_EQ(root_.Read("etc/svc1.conf"), before);
  EXPECT_NE(access(root_.File("var/svc").c_str(), F_OK), 0);
  EXPECT_NE(access(root_.File("log").c_str(), F_OK), 0);
  EXPECT_NE(access(root_.File("ran").c_str(), F_OK), 0);
}

TEST_F(OmcrmActionsTest, ALimitedStartNeedNotBringTheInstanceUp) {
  ConfigureApps({{"app#1", ""}, {"app#2", ""}});
  EXPECT_EQ(Run({"-s", "svc1", "start", "--rid", "app#2"}), 0);
  EXPECT_FALSE(IsUp("app#1"));
  EXPECT_EQ(Status()["avail"], "warn");
}

TEST_F(OmcrmActionsTest, TheResourcesOfAParallelSubsetWaitForEachOther) {
  // Each launcher waits until the others have begun: one after the other, none would end.
  const std::string meet =
      root_.Write("meet.sh",
                  "#!/bin/sh\ncase $1 in\n"
                  "start) : > \"$0.$OPENSVC_RID.begun\"\n"
                  "  while [ $(ls \"$0\".*.begun | wc -l) -lt 3 ]; do :; done\n"
                  "  : > \"$0.$OPENSVC_RID.up\" ;;\n"
                  "stop) rm -f \"$0.$OPENSVC_RID.up\" ;;\n"
                  "status) [ -e \"$0.$OPENSVC_RID.up\" ] ;;\nesac\n");
  chmod(meet.c_str(), 0755);
  std::string text = "[DEFAULT]\nid = id1\nnodes = n1\n[subset#app:g]\nparallel = true\n";
  for (const char* rid : {"app#1", "app#2", "app#3"}) {
    absl::StrAppend(&text, "[", rid, "]\nscript = ", meet, "\nsubset = g\n",
                    "start = 1\nstop = 1\ncheck = 1\nstart_timeout = 200\n");
  }
  Configure(text);
  EXPECT_EQ(Do("start"), 0) << Output();
  EXPECT_EQ(Status()["avail"], "up");
  EXPECT_EQ(Do("start"), 0);
  EXPECT_EQ(Do("stop"), 0);
  EXPECT_EQ(Status()["avail"], "down");
}

TEST_F(OmcrmActionsTest, AFailureInAParallelSubsetRollsBackTheRestOfIt) {
  ConfigureApps({{"app#0", ""}, {"app#1", "subset = g\n"}, {"app#2", "subset = g\n"}},
                "nodes = n1\n[subset#app:g]\nparallel = true\n");
  Flag("fail.app#2");
  EXPECT_EQ(Do("start"), 1);
  const std::vector<std::string> journal = Journal();
  ASSERT_THAT(journal, SizeIs(5));
  EXPECT_EQ(journal[0], "start app#0");
  EXPECT_THAT(std::vector<std::string>(journal.begin() + 1, journal.begin() + 3),
              UnorderedElementsAre("start app#1", "start app#2"));
  EXPECT_EQ(journal[3], "stop app#1");
  EXPECT_EQ(journal[4], "stop app#0");
  EXPECT_THAT(root_.Read("log/svc1.log"), HasSubstr("n1.svc1.app#2 - ERROR - start: exit code 7"));
}

TEST_F(OmcrmActionsTest, AnInterruptedParallelStartEndsItsProcessesAndFreesTheLock) {
  ConfigureApps({{"app#1", "subset = g\n"}, {"app#2", "subset = g\n"}},
                "nodes = n1\n[subset#app:g]\nparallel = true\n");
  const std::string gate = absl::StrCat(script_, ".gate");
  ASSERT_EQ(mkfifo(gate.c_str(), 0600), 0);
  const pid_t pid = Spawn({"-s", "svc1", "start", "--local"});
  Await([&] { return Journal().size() == 2; });
  // Both are worked on, and shown so.
  EXPECT_EQ(Run({"-s", "svc1", "status", "--refresh", "--waitlock=0"}), 3);
  EXPECT_EQ(Status()["running"], Json::array({"app#1", "app#2"}));
  kill(pid, SIGTERM);
  EXPECT_EQ(Wait(pid), 1);
  EXPECT_EQ(Status()["avail"], "down");
  unlink(gate.c_str());
  EXPECT_EQ(Run({"-s", "svc1", "start", "--local", "--waitlock=0"}), 0);
}

TEST_F(OmcrmActionsTest, AKilledParallelStartKeepsTheLockUntilItsProcessesHaveEnded) {
  ConfigureApps({{"app#1", "subset = g\n"}, {"app#2", "subset = g\n"}},
                "nodes = n1\n[subset#app:g]\nparallel = true\n");
  const std::string gate = absl::StrCat(script_, ".gate");
  ASSERT_EQ(mkfifo(gate.c_str(), 0600), 0);
  const pid_t pid = Spawn({"-s", "svc1", "start", "--local"});
  Await([&] { return Journal().size() == 2; });
  kill(pid, SIGKILL);
  EXPECT_EQ(Wait(pid), 1000 + SIGKILL);
  unlink(gate.c_str());
  // Waits for the lock; what was left running is gone then.
  EXPECT_EQ(Do("start"), 0);
  EXPECT_EQ(Status()["avail"], "up");
}

TEST_F(OmcrmActionsTest, AStopThatLeavesAnAppUpThatItCannotStopFails) {
  Configure(absl::StrCat("[DEFAULT]\nid = id1\nnodes = n1\n[app#1]\nscript = @SCRIPT@\n",
                         "start = 1\ncheck = 1\n"));
  ASSERT_EQ(Do("start"), 0);
  EXPECT_EQ(Do("stop"), 1);
  EXPECT_THAT(Output(), HasSubstr("still up: app#1"));
  EXPECT_EQ(Status()["avail"], "up");
}

TEST_F(OmcrmActionsTest, ProvisionMakesAndStartsButForAppsAndSetsTheFlags) {
  const std::string directory = root_.File("data");
  Configure(
      absl::StrCat("[DEFAULT]\nid = id1\nnodes = n1\n[fs#1]\ntype = directory\npath = ", directory,
                   "\npost_provision = touch ", root_.File("triggered"), "\n[app#1]\n", kApp));
  EXPECT_EQ(Do("provision"), 0) << Output();
  EXPECT_EQ(access(directory.c_str(), F_OK), 0);
  EXPECT_EQ(access(root_.File("triggered").c_str(), F_OK), 0);
  EXPECT_THAT(Journal(), IsEmpty());
  EXPECT_EQ(Status()["provisioned"], true);
  EXPECT_EQ(Status()["resources"]["fs#1"]["provisioned"]["state"], true);
  EXPECT_EQ(root_.Read("var/svc/svc1/app#1/provisioned"), "true");
  // Once more: nothing is done.
  EXPECT_EQ(Do("provision"), 0);
  EXPECT_THAT(root_.Read("log/svc1.log"), HasSubstr("fs#1 - INFO - already provisioned"));
}

TEST_F(OmcrmActionsTest, UnprovisionStopsAndForgetsButTheFlags) {
  ConfigureApps({{"app#1", ""}, {"app#2", "standby = true\n"}});
  ASSERT_EQ(Do("provision"), 0);
  ASSERT_EQ(Do("start"), 0);
  root_.Write("var/svc/svc1/scheduler/last_status", "x");
  EXPECT_EQ(Do("unprovision"), 0) << Output();
  EXPECT_FALSE(IsUp("app#1"));
  EXPECT_FALSE(IsUp("app#2"));
  EXPECT_EQ(Status()["provisioned"], false);
  EXPECT_EQ(root_.Read("var/svc/svc1/app#1/provisioned"), "false");
  EXPECT_NE(access(root_.File("var/svc/svc1/scheduler").c_str(), F_OK), 0);
}

TEST_F(OmcrmActionsTest, SharedResourcesAreTheLeadersToProvision) {
  ConfigureApps({{"app#1", "shared = true\n"}}, "nodes = n1 n2\n");
  EXPECT_EQ(Do("provision"), 0);
  EXPECT_EQ(Status()["resources"]["app#1"]["provisioned"]["mtime"], 1.0);
  EXPECT_THAT(root_.Read("log/svc1.log"), HasSubstr("provisioned by the leader"));
  EXPECT_EQ(Run({"-s", "svc1", "unprovision", "--leader", "--local"}), 0);
  EXPECT_EQ(Run({"-s", "svc1", "provision", "--leader", "--disable-rollback", "--local"}), 0);
  EXPECT_GT(Status()["resources"]["app#1"]["provisioned"]["mtime"].get<double>(), 1.0);
}

TEST_F(OmcrmActionsTest, AFailedUnprovisionLeavesTheFlagAndFails) {
  ConfigureApps({{"app#1", ""}});
  ASSERT_EQ(Do("provision"), 0);
  ASSERT_EQ(Do("start"), 0);
  Flag("stopfail");
  EXPECT_EQ(Do("unprovision"), 1);
  EXPECT_EQ(root_.Read("var/svc/svc1/app#1/provisioned"), "true");
}

TEST_F(OmcrmActionsTest, RunRunsTheTasksThatAreChosenAndFailsIfOneOfThemFails) {
  Configure(absl::StrCat("[DEFAULT]\nid = id1\nnodes = n1\n[task#1]\ncommand = touch ",
                         root_.File("ran1"), "\npost_run = touch ", root_.File("after1"),
                         "\n[task#2]\ncommand = /bin/false\n[task#3]\ncommand = touch ",
                         root_.File("ran3"), "\nconfirmation = true\n[app#1]\n", kApp));
  const auto exists = [&](const char* name) { return access(root_.File(name).c_str(), F_OK) == 0; };
  EXPECT_EQ(Run({"-s", "svc1", "run", "--rid", "task#1", "--cron", "--waitlock=5"}), 0) << Output();
  EXPECT_TRUE(exists("ran1"));
  EXPECT_TRUE(exists("after1"));
  EXPECT_TRUE(exists("var/svc/svc1/scheduler/last_task#1.success"));
  EXPECT_EQ(Run({"-s", "svc1", "run", "--rid", "task#3"}), 1);
  EXPECT_THAT(Output(), HasSubstr("--confirm"));
  EXPECT_FALSE(exists("ran3"));
  EXPECT_EQ(Run({"-s", "svc1", "run", "--confirm"}), 1);
  EXPECT_THAT(Output(), HasSubstr("task#2"));
  EXPECT_TRUE(exists("ran3"));
  EXPECT_THAT(Journal(), IsEmpty());
  EXPECT_EQ(Run({"-s", "svc1", "run", "--rid", "app#1"}), 1);
}

TEST_F(OmcrmActionsTest, ATaskThatRunsIsShownAndNotRunTwice) {
  const std::string gate = root_.File("gate");
  ASSERT_EQ(mkfifo(gate.c_str(), 0600), 0);
  Configure(absl::StrCat("[DEFAULT]\nid = id1\nnodes = n1\n[task#1]\ncommand = cat ", gate, "\n"));
  const pid_t pid = Spawn({"-s", "svc1", "run", "--rid", "task#1"});
  UniqueFd writer;
  Await([&] {
    writer.Reset(open(gate.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    return writer.valid();
  });
  EXPECT_EQ(Run({"-s", "svc1", "status", "--refresh"}), 3);
  EXPECT_EQ(Status()["running"], Json::array({"task#1"}));
  EXPECT_EQ(Run({"-s", "svc1", "run", "--rid", "task#1"}), 1);
  EXPECT_THAT(Output(), HasSubstr("it runs already"));
  writer.Reset();
  EXPECT_EQ(Wait(pid), 0);
  EXPECT_FALSE(Status().contains("running"));
}

TEST_F(OmcrmActionsTest, AFlagIsProvisionedStartedStoppedAndRemoved) {
  Configure("[DEFAULT]\nid = id1\nnodes = n1\n[fs#1]\ntype = flag\n");
  EXPECT_EQ(Do("provision"), 0) << Output();
  EXPECT_EQ(Status()["avail"], "up");
  EXPECT_EQ(Do("stop"), 0);
  EXPECT_EQ(Status()["avail"], "down");
  EXPECT_EQ(Do("start"), 0);
  EXPECT_EQ(Do("unprovision"), 0);
  EXPECT_EQ(Status()["avail"], "down");
  EXPECT_EQ(Status()["provisioned"], false);
  // Where the service has another node, that one is not to find it started here.
  Configure("[DEFAULT]\nid = id1\nnodes = n1 n2\n[fs#1]\ntype = flag\n");
  EXPECT_EQ(Do("provision"), 0);
  EXPECT_EQ(Status()["avail"], "down");
  EXPECT_EQ(Do("unprovision"), 0);
  EXPECT_EQ(Run({"-s", "svc1", "provision", "--disable-rollback", "--local"}), 0);
  EXPECT_EQ(Status()["avail"], "up");
}

TEST_F(OmcrmActionsTest, ResourceInfoIsPrintedAndStored) {
  ConfigureApps({{"app#1", "info = /bin/echo colour: blue\n"}});
  EXPECT_EQ(Run({"-s", "svc1", "print", "resinfo"}), 0);
  EXPECT_THAT(Output(), HasSubstr("app#1 colour: blue\n"));
  EXPECT_EQ(Run({"-s", "svc1", "print", "resinfo", "--format", "json"}), 0);
  const auto json = ParseJson(Output());
  ASSERT_THAT(json, IsOk());
  EXPECT_EQ((*json)["app#1"]["colour"], "blue");
  EXPECT_EQ(Run({"-s", "svc1", "push_resinfo", "--cron"}), 0);
  EXPECT_EQ(ParseJson(root_.Read("var/svc/svc1/resinfo.json")).value(), *json);
}

TEST_F(OmcrmActionsTest, DisabledResourcesAreLeftAloneUntilTheyAreEnabled) {
  ConfigureApps({{"app#1", ""}, {"app#2", ""}});
  EXPECT_EQ(Run({"-s", "svc1", "disable", "--rid", "app#2"}), 0);
  EXPECT_EQ(Do("start"), 0);
  EXPECT_FALSE(IsUp("app#2"));
  EXPECT_EQ(Status()["resources"]["app#2"]["disable"], true);
  EXPECT_EQ(Run({"-s", "svc1", "enable", "--rid", "app#2"}), 0);
  EXPECT_EQ(StatusOf("app#2"), "down");
  EXPECT_EQ(Do("disable"), 0);
  EXPECT_EQ(StatusOf("app#1"), "n/a");
  EXPECT_EQ(Do("stop"), 0);
  EXPECT_TRUE(IsUp("app#1"));
  EXPECT_EQ(Do("enable"), 0);
  EXPECT_EQ(StatusOf("app#1"), "up");
  EXPECT_THAT(root_.Read("etc/svc1.conf"), Not(HasSubstr("disable")));
}

TEST_F(OmcrmActionsTest, AScopedDisableIsToldWhereEnableCannotUndoIt) {
  ConfigureApps({{"app#1", "disable@n1 = true\n"}});
  EXPECT_EQ(Run({"-s", "svc1", "enable", "--rid", "app#1"}), 1);
  EXPECT_THAT(Output(), HasSubstr("app#1.disable@"));
}

TEST_F(OmcrmActionsTest, ResourceMonitorLooksAtMonitoredResourcesAndKeepsWhatIsTheSame) {
  ConfigureApps({{"app#1", "monitor = true\n"}, {"app#2", "restart = 1\n"}, {"app#3", ""}});
  ASSERT_EQ(Do("start"), 0);
  const Json before = Status();
  EXPECT_EQ(Run({"-s", "svc1", "resource_monitor", "--cron", "--waitlock=5"}), 0);
  EXPECT_EQ(Status(), before);
  for (const char* rid : {"app#1", "app#2", "app#3"}) {
    unlink(absl::StrCat(script_, ".", rid, ".up").c_str());
  }
  EXPECT_EQ(Run({"-s", "svc1", "resource_monitor", "--cron", "--waitlock=5"}), 0);
  EXPECT_EQ(StatusOf("app#1"), "down");
  EXPECT_EQ(StatusOf("app#2"), "down");
  EXPECT_EQ(StatusOf("app#3"), "up");
  EXPECT_THAT(root_.Read("var/svc/svc1/scheduler/last_resource_monitor"), Not(IsEmpty()));
}

TEST_F(OmcrmActionsTest, ACommandOfTheSchedulerTellsTheDaemonThatItEnded) {
  ConfigureForking();
  FakeDaemon daemon(root_.File("var/lsnr/lsnr.sock"));
  const pid_t pid = Spawn({"-s", "svc1", "status", "--cron", "--waitlock=5"});
  EXPECT_EQ(daemon.Next()["action"], "wake_monitor");
  EXPECT_EQ(daemon.Next(),
            (Json{{"action", "run_done"},
                  {"options", {{"action", "status"}, {"svcpath", "svc1"}, {"rids", nullptr}}}}));
  EXPECT_EQ(Wait(pid), 1);
}

TEST_F(OmcrmActionsTest, ClearAsksTheDaemon) {
  ConfigureForking();
  EXPECT_EQ(Do("clear"), 1);
  FakeDaemon daemon(root_.File("var/lsnr/lsnr.sock"));
  // It waits for the answer for a second, within which a busy machine may not give it.
  int code = 0;
  Await([&] {
    const pid_t pid = Spawn({"-s", "svc1", "clear"});
    EXPECT_EQ(daemon.Next(), (Json{{"action", "clear"}, {"options", {{"svcpath", "svc1"}}}}));
    code = Wait(pid);
    return !absl::StrContains(Output(), "the daemon does not answer");
  });
  EXPECT_EQ(code, 0);
}

TEST_F(OmcrmActionsTest, EachStatusIsNewerThanTheOneBeforeItWhateverTheClockSays) {
  ConfigureForking();
  ASSERT_EQ(Do("status"), 1);
  const std::string file = root_.File("var/svc/svc1/status.json");
  // As if the clock had been set back since.
  const timespec future[2] = {{4'000'000'000, 0}, {4'000'000'000, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, file.c_str(), future, 0), 0);
  double last = 4e9;
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(Run({"-s", "svc1", "status", "--refresh"}), 1);
    const double updated = Status()["updated"].get<double>();
    EXPECT_GT(updated, last + 0.0005);
    EXPECT_NEAR(om::ToUnixSeconds(ModificationTime(file).value()), updated, 1e-5);
    last = updated;
  }
}

TEST_F(OmcrmActionsTest, AFileSystemWithoutRoomIsToldAndLeavesTheLastStatus) {
  ConfigureForking();
  ASSERT_EQ(Do("status"), 1);
  const std::string before = root_.Read("var/svc/svc1/status.json");
  Flag("app#1.up");
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit none = {64, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &none), 0);
  signal(SIGXFSZ, SIG_IGN);
  const int code = Run({"-s", "svc1", "status", "--refresh"});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  EXPECT_EQ(code, 1);
  EXPECT_EQ(root_.Read("var/svc/svc1/status.json"), before);
}

TEST_F(OmcrmActionsTest, KilledAtAnyMomentItLeavesFilesThatCanBeReadAndAnActionThatCanBeRepeated) {
  ConfigureApps({{"app#1", ""}, {"app#2", "subset = g\n"}, {"app#3", "subset = g\n"}},
                "nodes = n1\n[subset#app:g]\nparallel = true\n");
  ASSERT_EQ(Do("status"), 1);
  const std::string config = root_.Read("etc/svc1.conf");
  const std::vector<std::string> actions = {"provision", "start", "status", "stop", "unprovision"};
  for (int i = 0; i < 60; ++i) {
    const std::string& action = actions[static_cast<size_t>(i) % actions.size()];
    const pid_t pid = Spawn({"-s", "svc1", action, "--refresh", "--local", "--waitlock=60"});
    // The moment is the fault that is tried, later each time around.
    const timespec moment = {0, 1'500'000L * (i / 5) + 200'000L};
    nanosleep(&moment, nullptr);
    kill(pid, SIGKILL);
    Wait(pid);
    const auto status = ParseJson(root_.Read("var/svc/svc1/status.json"));
    ASSERT_THAT(status, IsOk()) << action << " killed after " << moment.tv_nsec << " ns";
    EXPECT_EQ(status->value("kind", ""), "svc");
    for (const char* rid : {"app#1", "app#2", "app#3"}) {
      const std::string flag = root_.Read(absl::StrCat("var/svc/svc1/", rid, "/provisioned"));
      EXPECT_TRUE(flag.empty() || flag == "true" || flag == "false") << flag;
      const std::string last = root_.Read(absl::StrCat("var/svc/svc1/", rid, "/status.last"));
      if (!last.empty()) EXPECT_THAT(ParseJson(last), IsOk());
    }
    EXPECT_EQ(root_.Read("etc/svc1.conf"), config);
  }
  // What the last ones had started may still be at it, and must not be later than what follows.
  Await([&] { return FindProcesses("", {absl::StrCat("OM_ROOT=", root_.path())})->empty(); });
  EXPECT_EQ(Do("start"), 0) << Output();
  EXPECT_EQ(Status()["avail"], "up");
  EXPECT_EQ(Do("stop"), 0) << Output();
  EXPECT_EQ(Status()["avail"], "down");
}

TEST_F(OmcrmActionsTest, SeveralObjectsAreSharedOutToProcesses) {
  std::string paths;
  for (int i = 0; i < 70; ++i) {
    const std::string name = absl::StrCat("many", i);
    Configure(absl::StrCat("[DEFAULT]\nid = id", i, "\nnodes = n1\n"), name);
    absl::StrAppend(&paths, paths.empty() ? "" : ",", name);
  }
  EXPECT_EQ(Run({"-s", paths, "status", "--parallel", "--refresh"}), 0) << Output();
  for (int i = 0; i < 70; ++i) EXPECT_EQ(Status(absl::StrCat("many", i))["avail"], "n/a");
  EXPECT_EQ(Run({"-s", "many1,nothere", "status", "--parallel", "--refresh"}), 1);
  EXPECT_THAT(Output(), HasSubstr("nothere"));
}

TEST_F(OmcrmActionsTest, ConstraintsThatDoNotHoldHereAreShown) {
  const std::pair<const char*, bool> cases[] = {
      {"true", true},
      {"false", false},
      {"{nodename} == n1", true},
      {"{nodename} == n2", false},
      {"$({nodename} in (n1, n2))", true},
      {"$({#nodes} > 2)", false},
      {"neither", false},
  };
  for (const auto& [constraints, hold] : cases) {
    ConfigureApps({}, absl::StrCat("nodes = n1\nconstraints = ", constraints, "\n"));
    EXPECT_EQ(Run({"-s", "svc1", "status", "--refresh"}), 3);
    EXPECT_EQ(Status().contains("constraints"), !hold) << constraints;
    if (!hold) EXPECT_EQ(Status()["constraints"], false);
  }
}

TEST_F(OmcrmActionsTest, BootEvaluatesEveryObjectOfTheNodeAndStartsNothing) {
  ConfigureForking();
  Configure("[DEFAULT]\nid = id2\nnodes = n2\n", "foreign");
  root_.Write("etc/namespaces/test/cfg/c1.conf", "[DEFAULT]\nid = id3\n");
  EXPECT_EQ(Run({"-s", "svc1,foreign,test/cfg/c1", "boot", "--parallel", "--local"}), 0)
      << Output();
  EXPECT_EQ(Status()["avail"], "down");
  EXPECT_EQ(Status("foreign")["avail"], "n/a");
  EXPECT_THAT(ParseJson(root_.Read("var/namespaces/test/cfg/c1/status.json")), IsOk());
  EXPECT_THAT(Journal(), IsEmpty());
}

TEST_F(OmcrmActionsTest, PrintStatusIsForPeopleOrJson) {
  ConfigureApps({{"app#1", "monitor = true\nrestart = 2\n"}});
  ASSERT_EQ(Do("start"), 0);
  EXPECT_EQ(Run({"-s", "svc1", "print", "status"}), 0);
  EXPECT_THAT(Output(), HasSubstr("svc1  avail: up  overall: up\n"));
  EXPECT_THAT(Output(), HasSubstr("app#1          .M.../.2  up          forking: app.sh\n"));
  EXPECT_EQ(Run({"-s", "svc1", "print", "status", "--format", "json"}), 0);
  const auto json = ParseJson(Output());
  ASSERT_THAT(json, IsOk());
  EXPECT_EQ(*json, Status());
}

TEST_F(OmcrmActionsTest, AnActionThatWaitedForTheRemovalOfItsObjectDoesNothing) {
  ConfigureForking();
  const std::string gate = absl::StrCat(script_, ".gate");
  ASSERT_EQ(mkfifo(gate.c_str(), 0600), 0);
  const pid_t first = Spawn({"-s", "svc1", "start", "--local"});
  Await([&] { return access(absl::StrCat(script_, ".waiting").c_str(), F_OK) == 0; });
  const pid_t second = Spawn({"-s", "svc1", "restart", "--local"});
  // It waits for the lock once it has looked at the configuration: that it has the file open tells.
  const std::string lock = root_.File("var/svc/svc1/lock.generic");
  Await([&] {
    for (int fd = 3; fd < 10; ++fd) {
      char target[4096] = {};
      const std::string link = absl::StrCat("/proc/", second, "/fd/", fd);
      if (readlink(link.c_str(), target, sizeof target - 1) > 0 && lock == target) return true;
    }
    return false;
  });
  unlink(root_.File("etc/svc1.conf").c_str());
  {
    const UniqueFd fd(open(gate.c_str(), O_WRONLY | O_CLOEXEC));
    EXPECT_EQ(write(fd.get(), "go\n", 3), 3);
  }
  EXPECT_EQ(Wait(first), 0);
  EXPECT_EQ(Wait(second), 1);
  EXPECT_THAT(Journal(), ElementsAre("start app#1"));
}

}  // namespace
}  // namespace om
