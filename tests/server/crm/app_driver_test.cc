// The drivers app.forking and app.simple, keyword by keyword.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/file.h"
#include "server/crm/drivers/processes.h"
#include "tests/server/crm/driver_fixture.h"

namespace om {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;

class AppDriverTest : public DriverTest {
 protected:
  ~AppDriverTest() override {
    // What is left out as a child of another has lost its parent the next time.
    std::vector<pid_t> pids;
    while (!(pids = *FindProcesses("", {Mark()})).empty()) {
      for (const pid_t pid : pids) kill(pid, SIGKILL);
    }
  }
  void SetUp() override { instance_.environment.push_back(Mark()); }
  std::string Mark() const { return absl::StrCat("OM_TEST_ROOT=", root_.path()); }
  void ConfigureApp(const std::string& text) { Configure("[app#1]\n" + text); }
  absl::Status Start() { return Driver("app#1")->Start().status(); }
  std::string Script(const std::string& text) {
    std::string file = root_.Write("app.sh", "#!/bin/sh\n" + text);
    chmod(file.c_str(), 0755);
    return file;
  }
};

TEST_F(AppDriverTest, ExitCodesOfTheCheckAreStates) {
  for (const auto& [code, expected] :
       {std::make_pair(0, Availability::kUp), std::make_pair(1, Availability::kDown),
        std::make_pair(2, Availability::kWarn)}) {
    ConfigureApp(absl::StrCat("check = /bin/sh -c \"exit ", code, "\"\n"));
    EXPECT_EQ(StateOf("app#1"), expected);
  }
  EXPECT_EQ(StatusLines(), "warn: check reports errors (2)\n");
}

TEST_F(AppDriverTest, RetcodesSayWhatExitCodesMean) {
  const std::string retcodes = "retcodes = 0:down 3:up 4:n/a 5:stdby up 6:warn\n";
  for (const auto& [code, expected] :
       {std::make_pair(0, Availability::kDown), std::make_pair(3, Availability::kUp),
        std::make_pair(4, Availability::kNa), std::make_pair(5, Availability::kStdbyUp),
        std::make_pair(6, Availability::kWarn), std::make_pair(1, Availability::kWarn)}) {
    ConfigureApp(absl::StrCat(retcodes, "check = /bin/sh -c \"exit ", code, "\"\n"));
    EXPECT_EQ(StateOf("app#1"), expected) << code;
  }
  for (const char* bad : {"0", "0:high", "x:up", "256:up", "-1:up", ":up"}) {
    ConfigureApp(absl::StrCat("check = /bin/true\nretcodes = ", bad, "\n"));
    EXPECT_THAT(Driver("app#1")->Status(&status_log_),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("app#1.retcodes")))
        << bad;
  }
}

TEST_F(AppDriverTest, WithoutCheckThereIsNothingToTell) {
  ConfigureApp("start = /bin/true\n");
  EXPECT_EQ(StateOf("app#1"), Availability::kNa);
  EXPECT_EQ(StatusLines(), "info: check is not set\n");
}

TEST_F(AppDriverTest, StatusLogKeepsWhatTheCheckWrites) {
  ConfigureApp("check = /bin/sh -c \"echo fine; echo hot >&2\"\nstatus_log = true\n");
  EXPECT_EQ(StateOf("app#1"), Availability::kUp);
  EXPECT_THAT(status_log_,
              ::testing::UnorderedElementsAre(Pair("info", "fine"), Pair("warn", "hot")));
  ConfigureApp("check = /bin/sh -c \"echo fine; echo hot >&2\"\n");
  EXPECT_EQ(StateOf("app#1"), Availability::kUp);
  EXPECT_THAT(status_log_, IsEmpty());
}

TEST_F(AppDriverTest, ChecksThatHangEndAtTheirTimeoutAsAWarning) {
  for (const char* keyword : {"check_timeout", "timeout"}) {
    ConfigureApp(absl::StrCat("check = /bin/sleep 1000\n", keyword, " = 1\n"));
    EXPECT_EQ(StateOf("app#1"), Availability::kWarn) << keyword;
    EXPECT_EQ(StatusLines(), "warn: check stopped at its timeout\n");
  }
}

TEST_F(AppDriverTest, WhatIgnoresTheTermSignalIsKilledAtTwiceTheTimeout) {
  ConfigureApp(absl::StrCat("start = ", Script("trap '' TERM\nwhile :; do sleep 1; done\n"),
                            "\nstart_timeout = 1\n"));
  EXPECT_THAT(Start(), StatusIs(absl::StatusCode::kAborted, HasSubstr("timeout")));
  // A killed process takes a moment to go.
  while (!FindProcesses("", {Mark()})->empty()) {
    ASSERT_TRUE(interrupt_.Sleep(std::chrono::milliseconds(5)));
  }
}

TEST_F(AppDriverTest, InfoGivesKeysAndValues) {
  ConfigureApp(
      absl::StrCat("info = true\nscript = ",
                   Script("[ \"$1\" = info ] || exit 1\necho 'version:  1.2 '\necho no colon here\n"
                          "echo 'url: http://x:80/'\necho 'err: x' >&2\necho ': empty'\n"),
                   "\n"));
  EXPECT_THAT(Driver("app#1")->Info(),
              IsOkAndHolds(ElementsAre(Pair("version", "1.2"), Pair("url", "http://x:80/"))));
  ConfigureApp("start = /bin/true\n");
  EXPECT_THAT(Driver("app#1")->Info(), IsOkAndHolds(IsEmpty()));
  ConfigureApp("info = /bin/false\n");
  EXPECT_THAT(Driver("app#1")->Info(), StatusIs(absl::StatusCode::kAborted));
  ConfigureApp("info = /bin/sleep 1000\ninfo_timeout = 1\n");
  EXPECT_THAT(Driver("app#1")->Info(), StatusIs(absl::StatusCode::kAborted, HasSubstr("timeout")));
}

TEST_F(AppDriverTest, VariablesComeFromKeywordsAndObjects) {
  root_.Write("etc/sec/creds.conf", "[DEFAULT]\nid = s\n[data]\npassword = literal:hunter2\n");
  root_.Write("etc/cfg/conf.conf", "[DEFAULT]\nid = c\n[data]\ncolour = literal:mauve\n");
  ConfigureApp(absl::StrCat(
      "start = ", Script("env > \"$0.env\"\n"),
      "\nenvironment = plain=1 \"QUOTED=a b\" EMPTY=\nconfigs_environment = colour=conf/colour\n"
      "secrets_environment = pass=creds/password\n"));
  EXPECT_THAT(Start(), IsOk());
  EXPECT_THAT(root_.Read("app.sh.env"),
              AllOf(HasSubstr("PLAIN=1\n"), HasSubstr("QUOTED=a b\n"), HasSubstr("EMPTY=\n"),
                    HasSubstr("COLOUR=mauve\n"), HasSubstr("PASS=hunter2\n"),
                    HasSubstr("OPENSVC_RID=app#1\n")));
  EXPECT_THAT(Log(), Not(HasSubstr("hunter2")));
}

TEST_F(AppDriverTest, ASecretIsLookedUpAmongSecretsOnly) {
  root_.Write("etc/cfg/creds.conf", "[DEFAULT]\nid = s\n[data]\npassword = literal:hunter2\n");
  ConfigureApp("start = /bin/true\nsecrets_environment = PASS=creds/password\n");
  EXPECT_THAT(Start(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("sec/creds")));
}

TEST_F(AppDriverTest, WordsThatAreNoVariablesAreRefused) {
  for (const char* word : {"novalue", "1A=x", "A-B=x", "=x"}) {
    ConfigureApp(absl::StrCat("start = /bin/true\nenvironment = ", word, "\n"));
    EXPECT_THAT(Start(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("app#1.environment")))
        << word;
  }
}

TEST_F(AppDriverTest, ProgramsRunInTheirDirectory) {
  ConfigureApp(absl::StrCat("start = /bin/pwd\ncwd = ", root_.File("etc"), "\n"));
  EXPECT_THAT(Start(), IsOk());
  EXPECT_THAT(Log(), HasSubstr(absl::StrCat("| ", root_.File("etc"), "\n")));
  ConfigureApp("start = /bin/pwd\ncwd = /nothere\n");
  EXPECT_THAT(Start(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nothere")));
}

TEST_F(AppDriverTest, LimitsAreSizesDurationsAndCounts) {
  ConfigureApp(absl::StrCat("limit_fsize = 2m\nlimit_cpu = 1h\nlimit_nofile = 77\nlimit_core = 0\n",
                            "start = ", Script("ulimit -f; ulimit -t; ulimit -n; ulimit -c\n"),
                            "\n"));
  EXPECT_THAT(Start(), IsOk());
  // The shell counts the first one in blocks of 512 bytes.
  std::string seen;
  for (const absl::string_view line : absl::StrSplit(Log(), '\n')) {
    const size_t bar = line.find("| ");
    if (bar != absl::string_view::npos) absl::StrAppend(&seen, line.substr(bar + 2), " ");
  }
  EXPECT_EQ(seen, "4096 3600 77 0 ");
}

TEST_F(AppDriverTest, FilesAreMadeUnderTheUmask) {
  ConfigureApp(absl::StrCat("umask = 027\nstart = ", Script(": > \"$0.made\"\n"), "\n"));
  EXPECT_THAT(Start(), IsOk());
  struct stat st = {};
  ASSERT_EQ(stat(root_.File("app.sh.made").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777u, 0640u);
  for (const char* bad : {"8", "1000", "x"}) {
    ConfigureApp(absl::StrCat("start = /bin/true\numask = ", bad, "\n"));
    EXPECT_THAT(Start(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("app#1.umask")));
  }
}

TEST_F(AppDriverTest, ProgramsRunAsTheirOwnerElseAsTheUserAndGroup) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can be somebody else";
  chmod(root_.path().c_str(), 0755);
  const std::string script = Script("id -un; id -gn; echo $USER $LOGNAME $HOME\n");
  ASSERT_THAT(MakeDirectories(root_.File("tmp")), IsOk());
  ConfigureApp(absl::StrCat("user = nobody\ngroup = daemon\nstart = ", script, "\n"));
  EXPECT_THAT(Start(), IsOk());
  for (const char* line : {"| nobody\n", "| daemon\n", "| nobody nobody /nonexistent\n"}) {
    EXPECT_THAT(Log(), HasSubstr(line));
  }
  ASSERT_EQ(chown(script.c_str(), 2, 2), 0);  // bin, on any system.
  EXPECT_THAT(Start(), IsOk());
  EXPECT_THAT(Log(), HasSubstr("| bin\n"));
  ConfigureApp("user = no-such-user\nstart = /bin/true\n");
  EXPECT_THAT(Start(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("no-such-user")));
}

TEST_F(AppDriverTest, LimitsThatAreNoneAreRefused) {
  for (const char* limit : {"limit_as = -2", "limit_nofile = many", "limit_cpu = x"}) {
    absl::Status status;
    auto document = Document::Parse(
        absl::StrCat("[DEFAULT]\nid = id1\n[app#1]\nstart = /bin/true\n", limit, "\n"),
        "svc1.conf");
    ASSERT_THAT(document, IsOk());
    EvaluationContext context;
    context.nodename = "n1";
    context.path = *ObjectPath::Parse("svc1");
    auto settings = ObjectSettings::Load(*std::move(document), std::move(context));
    if (settings.ok()) {
      instance_.settings = *std::move(settings);
      log_.emplace(root_.File("test.log"), "n1", "svc1", /*echo=*/false);
      instance_.log = &*log_;
      status = Start();
    } else {
      status = settings.status();
    }
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit_"))) << limit;
  }
}

TEST_F(AppDriverTest, ARelativeScriptIsInTheServicesDirectoryAndMadeExecutable) {
  const std::string file = root_.Write("etc/svc1.d/launch", "#!/bin/sh\necho \"asked to $1\"\n");
  chmod(file.c_str(), 0644);
  ConfigureApp("script = launch\nstart = 5\nstop = yes\n");
  EXPECT_EQ(Driver("app#1")->SortKey(), "app#5");
  EXPECT_EQ(Driver("app#1")->Label(), "forking: launch");
  EXPECT_THAT(Start(), IsOk());
  EXPECT_THAT(Driver("app#1")->Stop(), IsOk());
  EXPECT_THAT(Log(), AllOf(HasSubstr("| asked to start\n"), HasSubstr("| asked to stop\n")));
  ConfigureApp("script = nothere\nstart = true\n");
  EXPECT_THAT(Start(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("app#1.script")));
  ConfigureApp("start = true\n");
  EXPECT_THAT(Start(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("app#1.start")));
}

TEST_F(AppDriverTest, AShellRunsWhatOnlyAShellUnderstands) {
  ConfigureApp("start = echo abc | tr a-z A-Z\n");
  EXPECT_THAT(Start(), IsOk());
  EXPECT_THAT(Log(), HasSubstr("| ABC\n"));
}

TEST_F(AppDriverTest, AStopAfterWhichTheCheckReportsErrorsFails) {
  ConfigureApp("stop = /bin/true\ncheck = /bin/sh -c \"exit 9\"\n");
  EXPECT_THAT(Driver("app#1")->Stop(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("still warn")));
}

class SimpleAppTest : public AppDriverTest {
 protected:
  void ConfigureSimple(const std::string& text) {
    ConfigureApp(absl::StrCat("type = simple\n", text));
  }
  // With a child that is another program.
  std::string Parent() { return Script("/bin/sleep 1000023 &\n: > \"$0.ready\"\nwait\n"); }
  void StartParent() {
    ASSERT_THAT(Start(), IsOk());
    while (access(root_.File("app.sh.ready").c_str(), F_OK) != 0) {
      ASSERT_TRUE(interrupt_.Sleep(std::chrono::milliseconds(5)));
    }
  }
  // The shell goes on before its child has become the other program.
  void AwaitChild() {
    while (Children().empty()) ASSERT_TRUE(interrupt_.Sleep(std::chrono::milliseconds(5)));
  }
  std::vector<pid_t> Children() { return *FindProcesses("/bin/sleep 1000023", {Mark()}); }
};

TEST_F(SimpleAppTest, AParentAloneIsStoppedByDefault) {
  ConfigureSimple(absl::StrCat("start = ", Parent(), "\n"));
  StartParent();
  AwaitChild();
  EXPECT_EQ(StateOf("app#1"), Availability::kUp);
  EXPECT_THAT(Driver("app#1")->Stop(), IsOk());
  EXPECT_EQ(StateOf("app#1"), Availability::kDown);
  EXPECT_THAT(Children(), SizeIs(1));
}

TEST_F(SimpleAppTest, KillTreeStopsTheChildrenToo) {
  ConfigureSimple(absl::StrCat("start = ", Parent(), "\nkill = tree\n"));
  StartParent();
  AwaitChild();
  EXPECT_THAT(Children(), SizeIs(1));
  EXPECT_THAT(Driver("app#1")->Stop(), IsOk());
  EXPECT_THAT(Children(), IsEmpty());
}

TEST_F(SimpleAppTest, OneThatIgnoresTheSignalFailsTheStop) {
  ConfigureSimple(absl::StrCat(
      "start = ", Script("trap '' TERM\n: > \"$0.ready\"\nwhile :; do sleep 1; done\n"), "\n"));
  StartParent();
  EXPECT_THAT(Driver("app#1")->Stop(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("still there")));
  EXPECT_EQ(StateOf("app#1"), Availability::kUp);
}

TEST_F(SimpleAppTest, ItsOwnStopCommandIsRunFirst) {
  ConfigureSimple("start = /bin/sleep 1000024\nstop = /bin/echo goodbye\n");
  ASSERT_THAT(Start(), IsOk());
  EXPECT_THAT(Driver("app#1")->Stop(), IsOk());
  EXPECT_THAT(Log(), HasSubstr("| goodbye\n"));
  EXPECT_EQ(StateOf("app#1"), Availability::kDown);
}

TEST_F(SimpleAppTest, ACheckOfItsOwnCountsInsteadOfTheProcesses) {
  ConfigureSimple("start = /bin/sleep 1000025\ncheck = /bin/true\n");
  EXPECT_EQ(StateOf("app#1"), Availability::kUp);
}

TEST_F(SimpleAppTest, AProcessOfAnotherServiceIsNotTaken) {
  ConfigureSimple("start = /bin/sleep 1000026\n");
  ASSERT_THAT(Start(), IsOk());
  EXPECT_EQ(StateOf("app#1"), Availability::kUp);
  instance_.settings.id = "id2";
  EXPECT_EQ(StateOf("app#1"), Availability::kDown);
}

}  // namespace
}  // namespace om
