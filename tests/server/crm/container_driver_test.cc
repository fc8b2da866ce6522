// The drivers container.docker and container.podman against a fake engine, which keeps what it is
// told and answers as the real ones do. No container is run.
#include <unistd.h>

#include "server/base/file.h"
#include "tests/server/crm/driver_fixture.h"
#include "tests/server/crm/fake_tools.h"

namespace om {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;

class ContainerDriverTest : public DriverTest, public ::testing::WithParamInterface<const char*> {
 protected:
  ContainerDriverTest() {
    WriteProgram(GetParam(), kFakeEngine);
    root_.Write("engine/journal", "");
  }
  void ConfigureContainer(const std::string& more = "", const std::string& path = "svc1") {
    Configure(absl::StrCat("[container#1]\ntype = ", GetParam(),
                           "\nimage = nginx:1.25\nstart_timeout = 200\n", more),
              path);
  }
  // What the engine was told to change, without its own name.
  std::vector<std::string> Journal() {
    std::vector<std::string> lines = Lines("engine/journal");
    for (std::string& line : lines) {
      EXPECT_THAT(line, StartsWith(absl::StrCat(GetParam(), " ")));
      line.erase(0, std::string(GetParam()).size() + 1);
    }
    root_.Write("engine/journal", "");
    return lines;
  }
  void Set(const std::string& name, const std::string& text = "") {
    root_.Write("engine/" + name, text);
  }
  // A container that somebody has made.
  void MakeContainer(const std::string& name, const std::string& states,
                     const std::string& label = "id1.container#1",
                     const std::string& image = "nginx:1.25") {
    Set("c/" + name, states);
    Set("label." + name, label);
    Set("image." + name, image);
  }
  const std::string kName = "svc1.container.1";
};

INSTANTIATE_TEST_SUITE_P(Engines, ContainerDriverTest, ::testing::Values("docker", "podman"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(ContainerDriverTest, AFirstStartPullsAndRunsAndALaterOneStarts) {
  ConfigureContainer("command = nginx-debug -g \"daemon off;\"\n");
  EXPECT_EQ(Driver("container#1")->Type(), absl::StrCat("container.", GetParam()));
  EXPECT_EQ(Driver("container#1")->Label(), absl::StrCat(GetParam(), " nginx:1.25"));
  EXPECT_EQ(StateOf("container#1"), Availability::kDown);
  EXPECT_THAT(Driver("container#1")->Start(), IsOkAndHolds(true));
  EXPECT_EQ(StateOf("container#1"), Availability::kUp);
  EXPECT_THAT(status_log_, IsEmpty());
  EXPECT_THAT(Journal(),
              ElementsAre("pull nginx:1.25",
                          "run --name svc1.container.1 -d --label com.opensvc.id=id1.container#1 "
                          "--label com.opensvc.path=svc1 --label com.opensvc.namespace=root "
                          "--label com.opensvc.kind=svc --label com.opensvc.name=svc1 "
                          "--label com.opensvc.rid=container#1 --net none nginx:1.25 "
                          "nginx-debug -g daemon off;"));
  EXPECT_THAT(Driver("container#1")->Start(), IsOkAndHolds(false));
  EXPECT_THAT(Journal(), IsEmpty());
  EXPECT_THAT(Driver("container#1")->Stop(), IsOk());
  EXPECT_EQ(StateOf("container#1"), Availability::kDown);
  EXPECT_THAT(Driver("container#1")->Stop(), IsOk());
  EXPECT_THAT(Driver("container#1")->Start(), IsOkAndHolds(true));
  EXPECT_THAT(Journal(), ElementsAre("stop -t 120 svc1.container.1", "start svc1.container.1"));
}

TEST_P(ContainerDriverTest, KeywordsBecomeOptions) {
  ConfigureContainer(
      "name = web\nhostname = h1\nnetns = container#2\npidns = host\nipcns = shareable\n"
      "utsns = host\nuserns = host\nprivileged = true\ninteractive = true\ntty = yes\n"
      "entrypoint = /bin/sh\nvolume_mounts = /srv/a:/a:ro /srv/b:/b\n"
      "devices = /dev/null:/dev/x\nenvironment = a=1 \"B=x y\"\n"
      "run_args = -p 80:80 --name other -d --rm --name=x --cpus 2\n"
      "[container#2]\ntype = docker\nimage = pause\n",
      "ns1/svc/svc1");
  EXPECT_THAT(Driver("container#1")->Start(), IsOkAndHolds(true));
  EXPECT_THAT(Journal()[1],
              AllOf(StartsWith("run --name web -d --label"),
                    HasSubstr("--label com.opensvc.namespace=ns1 "),
                    EndsWith(" --hostname h1 --net container:ns1..svc1.container.2 --pid host "
                             "--ipc shareable --uts host --userns host --entrypoint /bin/sh "
                             "--privileged --interactive --tty -v /srv/a:/a:ro -v /srv/b:/b "
                             "--device /dev/null:/dev/x -e A=1 -e B=x y -p 80:80 --cpus 2 "
                             "nginx:1.25")));
  EXPECT_THAT(Log(), AllOf(HasSubstr("-e A=... -e B=... "), Not(HasSubstr("x y"))));
  EXPECT_EQ(StateOf("container#1"), Availability::kUp);
  EXPECT_THAT(StatusLines(), HasSubstr("warn: current tty false, expected true\n"));
}

TEST_P(ContainerDriverTest, OldSpellingsCount) {
  Configure(absl::StrCat("[container#1]\ntype = ", GetParam(),
                         "\nrun_image = nginx:1.25\nrun_command = x y\nnet = host\n"
                         "start_timeout = 200\n"));
  EXPECT_THAT(Driver("container#1")->Start(), IsOkAndHolds(true));
  EXPECT_THAT(Journal()[1], EndsWith("--net host nginx:1.25 x y"));
}

TEST_P(ContainerDriverTest, ANetworkOfRunArgsIsTheOnlyOne) {
  ConfigureContainer("run_args = --net=bridge\n");
  EXPECT_THAT(Driver("container#1")->Start(), IsOkAndHolds(true));
  EXPECT_THAT(Journal()[1],
              EndsWith("--label com.opensvc.rid=container#1 --net=bridge nginx:1.25"));
}

TEST_P(ContainerDriverTest, WhatObjectsHoldIsOnNoCommandLineAndInNoLog) {
  root_.Write("etc/sec/creds.conf", "[DEFAULT]\nid = s\n[data]\npassword = literal:hunter2\n");
  root_.Write("etc/cfg/conf.conf", "[DEFAULT]\nid = c\n[data]\ncolour = literal:mauve\n");
  ConfigureContainer(
      "secrets_environment = pass=creds/password\nconfigs_environment = colour=conf/colour\n");
  EXPECT_THAT(Driver("container#1")->Start(), IsOkAndHolds(true));
  EXPECT_THAT(Journal()[1], AllOf(HasSubstr("-e COLOUR -e PASS nginx"), Not(HasSubstr("hunter2"))));
  EXPECT_THAT(root_.Read("engine/environment"),
              AllOf(HasSubstr("PASS=hunter2\n"), HasSubstr("COLOUR=mauve\n")));
  EXPECT_THAT(Log(), Not(HasSubstr("hunter2")));
}

TEST_P(ContainerDriverTest, AHeldVariableThatWouldSteerTheEngineIsRefused) {
  root_.Write("etc/sec/creds.conf", "[DEFAULT]\nid = s\n[data]\npassword = literal:hunter2\n");
  ConfigureContainer("secrets_environment = docker_host=creds/password\n");
  EXPECT_THAT(Driver("container#1")->Start(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("DOCKER_HOST")));
  EXPECT_THAT(Journal(), IsEmpty());
}

TEST_P(ContainerDriverTest, OneThatIsToBeRemovedIsGoneAfterTheStop) {
  ConfigureContainer("rm = true\nstop_timeout = 7\n");
  EXPECT_THAT(Driver("container#1")->Start(), IsOkAndHolds(true));
  EXPECT_THAT(Driver("container#1")->Stop(), IsOk());
  EXPECT_EQ(access(root_.File("engine/c/" + kName).c_str(), F_OK), -1);
  std::vector<std::string> journal = Journal();
  EXPECT_THAT(journal[1], HasSubstr(" -d --rm "));
  EXPECT_EQ(journal.back(), "stop -t 7 svc1.container.1");
  // One that a crash has left is removed, not started.
  MakeContainer(kName, "exited\n");
  EXPECT_THAT(Driver("container#1")->Start(), IsOkAndHolds(true));
  journal = Journal();
  EXPECT_EQ(journal[0], "rm svc1.container.1");
  EXPECT_THAT(journal[1], StartsWith("run "));
}

TEST_P(ContainerDriverTest, OneThatDoesNotDetachIsRunToItsEnd) {
  ConfigureContainer("detach = false\n");
  EXPECT_THAT(Driver("container#1")->Start(), IsOkAndHolds(true));
  EXPECT_THAT(Journal()[1], StartsWith("run --name svc1.container.1 --rm --label"));
}

TEST_P(ContainerDriverTest, ImagesArePulledOnceOrAlways) {
  Set("images/nginx:1.25");
  ConfigureContainer();
  EXPECT_THAT(Driver("container#1")->Provision(), IsOk());
  EXPECT_THAT(Journal(), IsEmpty());
  ConfigureContainer("image_pull_policy = always\n");
  EXPECT_THAT(Driver("container#1")->Provision(), IsOk());
  EXPECT_THAT(Journal(), ElementsAre("pull nginx:1.25"));
}

TEST_P(ContainerDriverTest, APullThatFailsSaysWhyAndNothingIsRun) {
  Set("nopull");
  ConfigureContainer();
  EXPECT_THAT(Driver("container#1")->Start(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("manifest unknown")));
  EXPECT_THAT(Journal(), ElementsAre("pull nginx:1.25"));
}

TEST_P(ContainerDriverTest, TheRegistrysLoginIsInAFileForTheTimeOfThePull) {
  root_.Write("etc/sec/reg.conf", "[DEFAULT]\nid = s\n[data]\nconfig.json = literal:{\"auths\"}\n");
  ConfigureContainer("registry_creds = reg\n");
  EXPECT_THAT(Driver("container#1")->Provision(), IsOk());
  EXPECT_EQ(root_.Read("engine/login"), "{\"auths\"}");
  EXPECT_EQ(access(root_.File("var/svc/svc1/container#1/registry").c_str(), F_OK), -1);
  EXPECT_THAT(Log(), Not(HasSubstr("auths")));
  ConfigureContainer("registry_creds = nothere\nimage_pull_policy = always\n");
  EXPECT_THAT(Driver("container#1")->Provision(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("container#1.registry_creds")));
}

TEST_P(ContainerDriverTest, AStartIsDoneOnlyOnceTheContainerRuns) {
  Set("afterrun", "created\ncreated\nrunning\n");
  ConfigureContainer();
  EXPECT_THAT(Driver("container#1")->Start(), IsOkAndHolds(true));
  EXPECT_EQ(StateOf("container#1"), Availability::kUp);
}

TEST_P(ContainerDriverTest, AContainerThatEndsAtOnceHasFailedToStart) {
  Set("afterrun", "exited\n");
  ConfigureContainer();
  EXPECT_THAT(Driver("container#1")->Start(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("exit code 7")));
}

TEST_P(ContainerDriverTest, AFailedStartLeavesNothingRunning) {
  Set("runfails");
  ConfigureContainer();
  EXPECT_THAT(Driver("container#1")->Start(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("port is taken")));
  EXPECT_EQ(Journal().back(), "stop -t 10 svc1.container.1");
  EXPECT_EQ(StateOf("container#1"), Availability::kDown);
}

TEST_P(ContainerDriverTest, AContainerThatStaysUpFailsTheStop) {
  ConfigureContainer();
  ASSERT_THAT(Driver("container#1")->Start(), IsOk());
  Set("stuck");
  EXPECT_THAT(Driver("container#1")->Stop(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("still running")));
  unlink(root_.File("engine/stuck").c_str());
  Set("stopfails");
  EXPECT_THAT(Driver("container#1")->Stop(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("no answer")));
}

TEST_P(ContainerDriverTest, AnEngineThatDoesNotAnswerIsAnErrorAndNeverDown) {
  Set("dead");
  ConfigureContainer();
  EXPECT_THAT(Driver("container#1")->Status(&status_log_),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("Cannot connect")));
  EXPECT_THAT(Driver("container#1")->Stop(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Driver("container#1")->Start(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Driver("container#1")->Unprovision(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_P(ContainerDriverTest, AnEngineThatIsNotInstalledIsNamed) {
  instance_.environment = {absl::StrCat("PATH=", root_.path(), "/empty")};
  ConfigureContainer();
  EXPECT_THAT(Driver("container#1")->Status(&status_log_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(GetParam())));
}

TEST_P(ContainerDriverTest, AnotherResourcesContainerIsLeftAlone) {
  MakeContainer(kName, "running\n", "other.container#1");
  ConfigureContainer();
  EXPECT_EQ(StateOf("container#1"), Availability::kDown);
  EXPECT_THAT(StatusLines(), HasSubstr("belongs to another resource"));
  EXPECT_THAT(Driver("container#1")->Start(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Driver("container#1")->Stop(), IsOk());
  EXPECT_THAT(Driver("container#1")->Unprovision(), IsOk());
  EXPECT_THAT(Journal(), IsEmpty());
}

TEST_P(ContainerDriverTest, StatesAndDifferencesAreTold) {
  ConfigureContainer();
  for (const auto& [state, expected] : {std::make_pair("paused\n", Availability::kWarn),
                                        std::make_pair("restarting\n", Availability::kWarn),
                                        std::make_pair("created\n", Availability::kDown),
                                        std::make_pair("dead\n", Availability::kDown),
                                        std::make_pair("running\n", Availability::kUp)}) {
    MakeContainer(kName, state, "");
    EXPECT_EQ(StateOf("container#1"), expected) << state;
  }
  MakeContainer(kName, "running\n", "", "docker.io/library/nginx:1.25");
  EXPECT_EQ(StateOf("container#1"), Availability::kUp);
  EXPECT_EQ(StatusLines(), "");
  MakeContainer(kName, "running\n", "", "nginx:1.24");
  EXPECT_EQ(StateOf("container#1"), Availability::kUp);
  EXPECT_EQ(StatusLines(), "warn: current image nginx:1.24, expected nginx:1.25\n");
}

TEST_P(ContainerDriverTest, APausedContainerIsContinued) {
  MakeContainer(kName, "paused\n");
  ConfigureContainer();
  EXPECT_THAT(Driver("container#1")->Start(), IsOkAndHolds(true));
  EXPECT_THAT(Journal(), ElementsAre("unpause svc1.container.1"));
}

TEST_P(ContainerDriverTest, UnprovisioningRemovesTheContainerAndKeepsTheImage) {
  ConfigureContainer();
  ASSERT_THAT(Driver("container#1")->Start(), IsOk());
  ASSERT_THAT(Driver("container#1")->Stop(), IsOk());
  EXPECT_THAT(Driver("container#1")->Unprovision(), IsOk());
  EXPECT_EQ(Journal().back(), "rm svc1.container.1");
  EXPECT_THAT(Driver("container#1")->Unprovision(), IsOk());
  EXPECT_THAT(Journal(), IsEmpty());
}

TEST_P(ContainerDriverTest, InfoNamesContainerAndImage) {
  ConfigureContainer();
  EXPECT_THAT(Driver("container#1")->Info(),
              IsOkAndHolds(ElementsAre(Pair("name", kName), Pair("image", "nginx:1.25"))));
}

TEST_P(ContainerDriverTest, WordsThatCannotBeUsedAreNamed) {
  for (const auto& [more, expected] :
       {std::make_pair("volume_mounts = vol1:/data\n", "volume_mounts: \"vol1\""),
        std::make_pair("volume_mounts = /data\n", "container#1.volume_mounts"),
        std::make_pair("devices = x\n", "container#1.devices"),
        std::make_pair("environment = novalue\n", "container#1.environment"),
        std::make_pair("secrets_environment = A=nothere/key\n", "sec/nothere"),
        std::make_pair("netns = container#9\n", "container#9"),
        std::make_pair("name = -f\n", "container#1.name"),
        std::make_pair("image = --help\n", "container#1.image")}) {
    ConfigureContainer(more);
    const auto started = Driver("container#1")->Start();
    ASSERT_FALSE(started.ok()) << more;
    EXPECT_THAT(std::string(started.status().message()), HasSubstr(expected));
  }
  EXPECT_THAT(Journal(), IsEmpty());
}

}  // namespace
}  // namespace om
