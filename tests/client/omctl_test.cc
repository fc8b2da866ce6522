#include "client/omctl/omctl.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/omctl/launch.h"
#include "client/omctl/render.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "tests/client/fake_daemon.h"
#include "tests/support/fake_random.h"
#include "tests/support/golden.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using namespace om::control::v1;  // NOLINT: most names here are messages.
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using Writer = grpc::ServerWriter<WatchStatusResponse>;

InstanceStatus* AddInstance(ObjectStatus* object, const std::string& node, ResourceState avail) {
  InstanceStatus* instance = object->add_instances();
  instance->set_node(node);
  instance->set_avail(avail);
  instance->set_overall(avail);
  instance->set_provisioned(PROVISIONED_STATE_TRUE);
  instance->mutable_monitor()->set_status("idle");
  return instance;
}

// A cluster of two nodes with something of everything.
GetStatusResponse SampleStatus() {
  GetStatusResponse status;
  DaemonStatus* daemon = status.mutable_daemon();
  daemon->set_version("0.1.0");
  daemon->set_pid(4242);
  daemon->set_node("n1");
  daemon->mutable_start_time()->set_seconds(1700000000);
  daemon->add_alerts("node.conf:7: listener.port: 'x' is not a number; the last good file is used");
  ClusterStatus* cluster = status.mutable_cluster();
  cluster->set_name("c1");
  cluster->set_id("0b0dd5f7-5d5c-4b9c-8b3b-9b5e3f1d7f00");
  cluster->add_nodes("n1");
  cluster->add_nodes("n2");
  cluster->set_compatible(true);
  cluster->set_frozen(FROZEN_STATE_MIXED);
  cluster->set_transition_count(1);
  ThreadStatus* listener = status.add_threads();
  listener->set_id("listener");
  listener->set_state(THREAD_STATE_RUNNING);
  listener->add_endpoints("0.0.0.0:1214");
  listener->add_endpoints("/var/lsnr/lsnr.sock");
  listener->add_alerts("cannot bind [2001:db8::1]:1214: address not available");
  ThreadStatus* monitor = status.add_threads();
  monitor->set_id("monitor");
  monitor->set_state(THREAD_STATE_RUNNING);
  monitor->set_restart_count(2);
  monitor->set_last_error("injected");
  ThreadStatus* scheduler = status.add_threads();
  scheduler->set_id("scheduler");
  scheduler->set_state(THREAD_STATE_STOPPED);
  NodeStatus* n1 = status.add_nodes();
  n1->set_name("n1");
  n1->set_agent_version("0.1.0");
  n1->mutable_monitor()->set_status("idle");
  n1->mutable_load()->set_load_15m(0.42);
  n1->mutable_load()->set_memory_total_mib(7936);
  n1->mutable_load()->set_memory_available_percent(81);
  n1->set_min_available_memory_percent(2);
  NodeStatus* n2 = status.add_nodes();
  n2->set_name("n2");
  n2->set_agent_version("1.9-3184");
  n2->mutable_monitor()->set_status("maintenance");
  n2->mutable_freeze_time()->set_seconds(1);
  n2->mutable_load()->set_load_15m(11.06);
  n2->mutable_load()->set_memory_total_mib(2048);
  n2->mutable_load()->set_memory_available_percent(1);
  n2->mutable_load()->set_swap_total_mib(1024);
  n2->mutable_load()->set_swap_available_percent(99);
  n2->set_min_available_memory_percent(2);

  ObjectStatus* db = status.add_objects();
  db->set_path("db");
  db->set_avail(RESOURCE_STATE_DOWN);
  db->set_overall(RESOURCE_STATE_WARN);
  db->set_frozen(FROZEN_STATE_MIXED);
  db->set_placement(PLACEMENT_STATE_NON_OPTIMAL);
  db->add_scope("n1");
  db->add_scope("n2");
  InstanceStatus* db1 = AddInstance(db, "n1", RESOURCE_STATE_DOWN);
  db1->set_overall(RESOURCE_STATE_WARN);
  db1->mutable_monitor()->set_status("start failed");
  db1->mutable_monitor()->set_leader(true);
  db1->mutable_freeze_time()->set_seconds(1);
  db1->set_provisioned(PROVISIONED_STATE_FALSE);
  ResourceStatus* app = db1->add_resources();
  app->set_id("app#1");
  app->set_state(RESOURCE_STATE_DOWN);
  app->set_type("app.simple");
  app->set_label("simple: /bin/db");
  app->set_monitored(true);
  app->set_max_restart_count(3);
  (*db1->mutable_monitor()->mutable_restart_counts())["app#1"] = 1;
  app->set_provisioned(PROVISIONED_STATE_TRUE);
  app->add_log("error: exited with status 3");
  ResourceStatus* fs = db1->add_resources();
  fs->set_id("fs#1");
  fs->set_state(RESOURCE_STATE_STANDBY_UP);
  fs->set_standby(true);
  fs->set_optional(true);
  fs->set_disabled(true);
  fs->set_max_restart_count(12);

  ObjectStatus* web = status.add_objects();
  web->set_path("ns1/svc/web");
  web->set_avail(RESOURCE_STATE_UP);
  web->set_overall(RESOURCE_STATE_UP);
  web->set_frozen(FROZEN_STATE_THAWED);
  web->set_placement(PLACEMENT_STATE_OPTIMAL);
  web->add_scope("n1");
  web->add_scope("n2");
  AddInstance(web, "n1", RESOURCE_STATE_UP)->mutable_monitor()->set_leader(true);
  InstanceStatus* web2 = AddInstance(web, "n2", RESOURCE_STATE_DOWN);
  web2->mutable_monitor()->set_status("starting");
  web2->mutable_monitor()->set_global_expect("started");

  ObjectStatus* own = status.add_objects();
  own->set_path("cluster");
  own->set_kind("ccfg");
  own->add_scope("n1");
  ObjectStatus* broken = status.add_objects();
  broken->set_path("zed");
  broken->set_avail(RESOURCE_STATE_UNKNOWN);
  broken->set_overall(RESOURCE_STATE_UNKNOWN);
  broken->set_config_error("zed.conf:3: no section before the first keyword");
  broken->add_scope("n2");
  return status;
}

class OmctlTest : public ::testing::Test {
 protected:
  OmctlTest() : daemon_(root_.path()) {
    environment_.out = &out_;
    environment_.err = &err_;
    environment_.random = &random_;
    daemon_.status = SampleStatus();
  }

  // Runs omctl on the fake daemon's root; outputs are those of this run.
  int Run(std::vector<std::string> arguments) {
    out_.str("");
    err_.str("");
    // What is not told how long it may take has as long as a busy machine needs, and a daemon that
    // is there is waited for.
    const auto insert = [&](const std::string& option) {
      if (std::find(arguments.begin(), arguments.end(), option) != arguments.end()) return;
      arguments.insert(arguments.begin(), {option, "200"});
    };
    insert("--timeout");
    if (daemon_.started()) insert("--connect-timeout");
    arguments.insert(arguments.begin(), {"--root", root_.path()});
    return RunOmctl(arguments, environment_);
  }
  // Runs a command that ends at its deadline, which is set later and later until `text` is told: on
  // a busy machine a deadline may pass before the command has come to what it is about.
  int RunToItsDeadline(const std::vector<std::string>& arguments, const std::string& text) {
    int code = kExitDone;
    for (int seconds = 1; seconds < 200; seconds *= 2) {
      std::vector<std::string> words = arguments;
      words.insert(words.end(), {"--timeout", absl::StrCat(seconds)});
      code = Run(words);
      if (absl::StrContains(Err(), text)) break;
    }
    EXPECT_THAT(Err(), HasSubstr(text));
    return code;
  }
  // A program that leaves its pid and arguments in `started`, says hello, and sleeps.
  std::string MarkingProgram() {
    std::string path =
        root_.Write("omd", absl::StrCat("#!/bin/sh\necho \"$$ $*\" > ", root_.File("started.tmp"),
                                        "\necho hello\nmv ", root_.File("started.tmp"), " ",
                                        root_.File("started"), "\nexec sleep 1000\n"));
    EXPECT_EQ(chmod(path.c_str(), 0755), 0);
    return path;
  }
  void AwaitMark() {
    while (access(root_.File("started").c_str(), F_OK) != 0) std::this_thread::yield();
  }
  void EndMarkingProgram() {
    AwaitMark();
    const std::vector<std::string> words = absl::StrSplit(root_.Read("started"), ' ');
    int pid = 0;
    ASSERT_TRUE(absl::SimpleAtoi(words.front(), &pid));
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  std::string Out() const { return out_.str(); }
  std::string Err() const { return err_.str(); }
  Json OutJson() const {
    absl::StatusOr<Json> json = ParseJson(Out());
    EXPECT_THAT(json, IsOk()) << Out();
    return json.ok() ? *json : Json();
  }

  TempDir root_;
  FakeDaemon daemon_;
  std::ostringstream out_;
  std::ostringstream err_;
  FakeSecureRandom random_;
  OmctlEnvironment environment_;
};

// --- The command line itself -------------------------------------------------------------------

TEST_F(OmctlTest, HelpTeachesWithExamplesAndNeedsNoDaemon) {
  EXPECT_EQ(Run({"--help"}), kExitDone);
  EXPECT_THAT(Out(), HasSubstr("omctl daemon status"));
  EXPECT_THAT(Out(), HasSubstr("Exit status: 0 done"));
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"daemon"},
                                             {"daemon", "status"},
                                             {"daemon", "stats"},
                                             {"daemon", "start"},
                                             {"daemon", "stop"},
                                             {"daemon", "threads"},
                                             {"daemon", "watch"},
                                             {"blacklist"},
                                             {"blacklist", "status"},
                                             {"blacklist", "clear"},
                                             {"node"},
                                             {"node", "get"},
                                             {"node", "set"},
                                             {"node", "unset"},
                                             {"node", "freeze"},
                                             {"node", "thaw"},
                                             {"node", "monitor"},
                                             {"order"},
                                             {"order", "list"},
                                             {"order", "show"},
                                             {"order", "watch"},
                                             {"cluster"},
                                             {"cluster", "set"},
                                             {"config"},
                                             {"config", "get"},
                                             {"health"},
                                             {"web"},
                                             {"web", "start"},
                                             {"web", "stop"},
                                             {"web", "status"},
                                             {"web", "clear"},
                                             {"web", "freeze"},
                                             {"web", "thaw"},
                                             {"web", "abort"},
                                             {"web", "move"},
                                             {"web", "provision"},
                                             {"web", "get"},
                                             {"web", "set"},
                                             {"web", "unset"},
                                             {"web", "action"},
                                             {"web", "logs"},
                                             {"web", "wait"},
                                             {"web", "create"},
                                             {"node", "action"},
                                             {"node", "logs"},
                                             {"actions"},
                                             {"actions", "list"},
                                             {"actions", "show"},
                                             {"actions", "attach"},
                                             {"actions", "kill"},
                                             {"events"},
                                             {"wait"},
                                             {"create"}}) {
    std::vector<std::string> arguments = words;
    arguments.push_back("--help");
    EXPECT_EQ(Run(arguments), kExitDone) << words.back();
    EXPECT_THAT(Out(), HasSubstr("Example")) << words.back();
    EXPECT_THAT(Out(), HasSubstr("omctl ")) << words.back();
  }
}

TEST_F(OmctlTest, WrongUsageIsExitStatusTwo) {
  EXPECT_EQ(Run({}), kExitUsage);
  EXPECT_EQ(Run({"daemon"}), kExitUsage);
  EXPECT_EQ(Run({"daemon", "statsu"}), kExitUsage);
  EXPECT_EQ(Run({"daemon", "status", "--output", "xml"}), kExitUsage);
  EXPECT_EQ(Run({"web"}), kExitUsage);
  EXPECT_EQ(Run({"node", "explode"}), kExitUsage);
  EXPECT_EQ(Run({"<svc>", "start"}), kExitUsage);
  EXPECT_EQ(Run({"node", "get"}), kExitUsage);
  EXPECT_EQ(Run({"daemon", "status", "--timeout", "-1"}), kExitUsage);
  EXPECT_EQ(Run({"w_b", "start"}), kExitUsage);
  EXPECT_THAT(Err(), HasSubstr("'w_b' is no command and no service"));
  EXPECT_EQ(Run({"node", "set", "--param", "a.b", "--param", "c.d", "--value", "1"}), kExitUsage);
  EXPECT_THAT(Err(), HasSubstr("2 --param and 1 --value"));
  std::ostringstream err;
  environment_.err = &err;
  EXPECT_EQ(RunOmctl({"--server", "192.0.2.1:1216", "daemon", "status"}, environment_), kExitUsage);
  EXPECT_THAT(err.str(), HasSubstr("loopback"));
}

TEST_F(OmctlTest, WithoutADaemonEveryCommandEndsWithStatusThree) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"daemon", "status"},
                                             {"daemon", "stats"},
                                             {"daemon", "stop"},
                                             {"daemon", "threads"},
                                             {"daemon", "watch"},
                                             {"daemon", "start", "--thread-id", "listener"},
                                             {"blacklist", "status"},
                                             {"blacklist", "clear"},
                                             {"node", "get", "--param", "a.b"},
                                             {"cluster", "set", "--param", "a.b", "--value", "1"},
                                             {"config", "get"},
                                             {"health"},
                                             {"web", "start", "--wait"},
                                             {"web", "clear"},
                                             {"web", "logs"},
                                             {"web", "wait", "avail=up"},
                                             {"actions", "list"},
                                             {"events"}}) {
    EXPECT_EQ(Run(words), kExitNoConnection) << words.front() << " " << words.back();
    EXPECT_THAT(Err(), HasSubstr("no connection to")) << words.back();
    EXPECT_THAT(Out(), IsEmpty());
  }
  EXPECT_EQ(Run({"web", "status"}), 10 + kExitNoConnection);
}

TEST_F(OmctlTest, ConnectTimeoutWaitsForADaemonThatStarts) {
  std::thread starter([this] { daemon_.Start(); });
  EXPECT_EQ(Run({"daemon", "stats", "--connect-timeout", "200"}), kExitDone);
  starter.join();
}

// --- daemon ------------------------------------------------------------------------------------

TEST_F(OmctlTest, StatusTableIsAsRecorded) {
  daemon_.Start();
  EXPECT_EQ(Run({"daemon", "status"}), kExitDone);
  EXPECT_EQ(Out(), GoldenText("omctl/daemon_status.txt"));
  EXPECT_THAT(Err(), IsEmpty());
}

TEST_F(OmctlTest, StatusIsTheSameWhenItComesInPages) {
  daemon_.page_size = 1;
  daemon_.Start();
  EXPECT_EQ(Run({"daemon", "status"}), kExitDone);
  EXPECT_EQ(Out(), GoldenText("omctl/daemon_status.txt"));
  EXPECT_THAT(daemon_.Requests(), SizeIs(4));
}

TEST_F(OmctlTest, ColoursAreThereOnlyWhenAskedFor) {
  daemon_.Start();
  Run({"daemon", "status"});
  EXPECT_THAT(Out(), Not(HasSubstr("\x1b")));
  environment_.colour = true;
  Run({"daemon", "status"});
  EXPECT_THAT(Out(), HasSubstr("\x1b[32mup\x1b[0m"));
}

TEST_F(OmctlTest, StatusOfAnEmptyClusterIsShown) {
  daemon_.status.Clear();
  daemon_.Start();
  EXPECT_EQ(Run({"daemon", "status"}), kExitDone);
  EXPECT_THAT(Out(), HasSubstr("Services"));
}

TEST_F(OmctlTest, StatusAsJsonIsOneDocumentOfAllPages) {
  daemon_.page_size = 2;
  daemon_.Start();
  EXPECT_EQ(Run({"-o", "json", "daemon", "status", "--selector", "*"}), kExitDone);
  const Json json = OutJson();
  EXPECT_EQ(json["objects"].size(), 4u);
  EXPECT_EQ(json["objects"][1]["path"], "ns1/svc/web");
  EXPECT_EQ(json["objects"][1]["avail"], "RESOURCE_STATE_UP");
  EXPECT_EQ(json["daemon"]["pid"], "4242");
  EXPECT_THAT(daemon_.Requests(), Each(HasSubstr("selector: \"*\"")));
}

TEST_F(OmctlTest, StatsAreShownSorted) {
  daemon_.stats.mutable_daemon()->mutable_cpu_time()->set_seconds(3);
  daemon_.stats.mutable_daemon()->set_memory_bytes(10 << 20);
  daemon_.stats.mutable_daemon()->set_thread_count(12);
  (*daemon_.stats.mutable_counters())["packet.requests"] = 7;
  (*daemon_.stats.mutable_counters())["packet.dropped"] = 1;
  (*daemon_.stats.mutable_threads())["listener"].mutable_cpu_time()->set_nanos(500000000);
  daemon_.Start();
  EXPECT_EQ(Run({"daemon", "stats"}), kExitDone);
  EXPECT_EQ(Out(),
            "Use         cpu time  memory    threads  open files\n"
            " daemon     3.00 s    10.0 MiB  12       -\n"
            "  listener  0.50 s    0.0 MiB   -        -\n"
            "\n"
            "Counters\n"
            " packet.dropped   1\n"
            " packet.requests  7\n");
}

TEST_F(OmctlTest, ThreadsAreListedStartedAndStopped) {
  *daemon_.threads.mutable_threads() = daemon_.status.threads();
  daemon_.Start();
  EXPECT_EQ(Run({"daemon", "threads"}), kExitDone);
  EXPECT_THAT(Out(), HasSubstr(" scheduler  stopped\n"));
  EXPECT_EQ(Run({"daemon", "stop", "--thread-id", "listener"}), kExitDone);
  EXPECT_EQ(Out(), "thread listener is stopping\n");
  EXPECT_EQ(Run({"daemon", "stop", "--thread-id", "listener", "--wait"}), kExitDone);
  EXPECT_EQ(Out(), "thread listener is stopped\n");
  EXPECT_EQ(Run({"daemon", "start", "--thread-id", "listener"}), kExitDone);
  EXPECT_EQ(Out(), "thread listener is running\n");
}

TEST_F(OmctlTest, ErrorOfTheDaemonIsExplainedAndIsStatusOne) {
  daemon_.Start();
  daemon_.FailNext({DetailedError(grpc::StatusCode::NOT_FOUND,
                                  "there is no thread 'x'; there are: listener, monitor",
                                  "UNKNOWN_THREAD", "thread_id")});
  EXPECT_EQ(Run({"daemon", "stop", "--thread-id", "x"}), kExitError);
  EXPECT_THAT(Out(), IsEmpty());
  EXPECT_THAT(Err(), StartsWith("omctl: there is no thread 'x'; there are: listener, monitor\n"));
  EXPECT_THAT(Err(), HasSubstr("hint:    'omctl daemon threads'"));
}

TEST_F(OmctlTest, ErrorAsJsonIsOneDocumentOnTheErrorStream) {
  daemon_.Start();
  daemon_.FailNext({DetailedError(grpc::StatusCode::NOT_FOUND, "no", "UNKNOWN_THREAD")});
  EXPECT_EQ(Run({"daemon", "stop", "--thread-id", "x", "-o", "json"}), kExitError);
  EXPECT_THAT(Out(), IsEmpty());
  OM_ASSERT_OK_AND_ASSIGN(const Json json, ParseJson(Err()));
  EXPECT_EQ(json["error"]["reason"], "UNKNOWN_THREAD");
}

TEST_F(OmctlTest, DeadlineIsStatusFour) {
  daemon_.Start();
  daemon_.FailNext({grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "too slow")});
  EXPECT_EQ(Run({"daemon", "stats"}), kExitDeadline);
}

TEST_F(OmctlTest, StartOnARunningDaemonSaysSo) {
  daemon_.Start();
  EXPECT_EQ(Run({"daemon", "start"}), kExitDone);
  EXPECT_EQ(Out(), "already running, pid 4242\n");
}

TEST_F(OmctlTest, StartRunsTheProgramAndWaitsUntilItServes) {
  environment_.daemon_program = MarkingProgram();
  std::thread serve([this] {
    AwaitMark();
    daemon_.Start();
  });
  EXPECT_EQ(Run({"daemon", "start", "--nodename", "n1"}), kExitDone);
  serve.join();
  EXPECT_EQ(Out(), "started, pid 4242\n");
  EXPECT_THAT(root_.Read("started"),
              EndsWith(absl::StrCat(" --root ", root_.path(), " --nodename n1\n")));
  EXPECT_EQ(root_.Read("log/omd.out"), "hello\n");
  EndMarkingProgram();
}

TEST_F(OmctlTest, StartTellsWhereToLookWhenTheProgramEnds) {
  environment_.daemon_program = root_.Write("omd", "#!/bin/sh\necho no port >&2\nexit 7\n");
  ASSERT_EQ(chmod(environment_.daemon_program.c_str(), 0755), 0);
  EXPECT_EQ(Run({"daemon", "start"}), kExitError);
  EXPECT_THAT(Err(), HasSubstr("exited with status 7"));
  EXPECT_THAT(Err(), HasSubstr(root_.File("log/omd.out")));
  EXPECT_EQ(root_.Read("log/omd.out"), "no port\n");
}

TEST_F(OmctlTest, StartEndsAtItsDeadlineWhenTheProgramDoesNotServe) {
  environment_.daemon_program = MarkingProgram();
  EXPECT_EQ(Run({"daemon", "start", "--timeout", "1"}), kExitDeadline);
  EXPECT_THAT(Err(), HasSubstr("does not serve yet"));
  EndMarkingProgram();
}

TEST_F(OmctlTest, StartRefusesWhileAnotherDaemonHoldsTheLock) {
  environment_.daemon_program = "/bin/false";
  const std::string lock = root_.Write("var/lock/osvcd.lock", "");
  root_.Write("var/osvcd.pid", "77\n");
  const UniqueFd holder(open(lock.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(flock(holder.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_EQ(Run({"daemon", "start"}), kExitError);
  EXPECT_THAT(Err(), HasSubstr("(pid 77)"));
}

TEST_F(OmctlTest, StopEndsWhenTheProcessIsGone) {
  OM_ASSERT_OK_AND_ASSIGN(const pid_t pid,
                          SpawnDetached({"/bin/sleep", "1000"}, root_.File("sleep.out")));
  daemon_.stop.set_pid(pid);
  // It ends a while after the answer, as daemons do.
  std::thread killer;
  daemon_.on_stop = [&] { killer = std::thread([pid] { kill(pid, SIGTERM); }); };
  daemon_.Start();
  EXPECT_EQ(Run({"daemon", "stop", "--upgrade"}), kExitDone);
  EXPECT_EQ(Out(), absl::StrCat("stopped, pid was ", pid, "\n"));
  EXPECT_THAT(daemon_.Requests(), Contains(HasSubstr("upgrade: true")));
  killer.join();
  EXPECT_EQ(HowItEnded(pid), "killed by signal 15");
}

TEST_F(OmctlTest, StopThatDoesNotEndIsStatusFour) {
  daemon_.stop.set_pid(getpid());
  daemon_.Start();
  EXPECT_EQ(RunToItsDeadline({"daemon", "stop"}, "still runs"), kExitDeadline);
}

// --- watch -------------------------------------------------------------------------------------

WatchStatusResponse SampleChange() {
  WatchStatusResponse message;
  message.set_resume_token("t2");
  StateChange* change = message.mutable_change();
  change->set_revision(2);
  change->mutable_time()->set_seconds(1700000000);
  Event* event = change->add_events();
  event->set_id("blacklist_add");
  event->set_node("n1");
  (*event->mutable_attributes())["sender"] = "192.0.2.7";
  *change->add_objects() = SampleStatus().objects(1);
  change->add_removed_object_paths("old");
  return message;
}

FakeDaemon::WatchScript WatchOf(const std::vector<WatchStatusResponse>& messages,
                                const grpc::Status& end = grpc::Status::OK) {
  return [messages, end](grpc::ServerContext*, const WatchStatusRequest&, Writer* writer) {
    for (const WatchStatusResponse& message : messages) writer->Write(message);
    return end;
  };
}

TEST_F(OmctlTest, WatchPrintsGapStateAndChanges) {
  WatchStatusResponse state_end;
  state_end.mutable_state_end()->set_revision(1);
  state_end.mutable_state_end()->set_object_count(3);
  state_end.set_resume_token("t1");
  // What is shown of the object is what was shown before: not worth a line.
  WatchStatusResponse unchanged = SampleChange();
  unchanged.mutable_change()->clear_events();
  unchanged.mutable_change()->clear_removed_object_paths();
  WatchStatusResponse changed = unchanged;
  changed.mutable_change()->mutable_objects(0)->set_avail(RESOURCE_STATE_DOWN);
  daemon_.ScriptWatches(
      {WatchOf({}, grpc::Status(grpc::StatusCode::OUT_OF_RANGE, "token of another start")),
       WatchOf({state_end, SampleChange(), unchanged, changed})});
  daemon_.Start();
  EXPECT_EQ(Run({"daemon", "watch", "--resume", "t0", "--count", "3"}), kExitDone);
  EXPECT_EQ(
      Out(),
      "gap: changes were missed (token of another start); the state follows anew\n"
      "state at revision 1: 3 objects\n"
      "2023-11-14 22:13:20  event   blacklist_add on n1 sender=192.0.2.7\n"
      "2023-11-14 22:13:20  object  ns1/svc/web: avail up, overall up, order started; n1 O^; "
      "n2 X starting\n"
      "2023-11-14 22:13:20  object  old: removed\n"
      "2023-11-14 22:13:20  object  ns1/svc/web: avail down, overall up, order started; n1 O^; "
      "n2 X starting\n");
  EXPECT_THAT(Err(), HasSubstr("--resume t2"));
}

TEST_F(OmctlTest, WatchAsJsonIsOneDocumentALine) {
  daemon_.ScriptWatches({WatchOf({}, grpc::Status(grpc::StatusCode::OUT_OF_RANGE, "too old")),
                         WatchOf({SampleChange()})});
  daemon_.Start();
  EXPECT_EQ(Run({"daemon", "watch", "--resume", "t0", "--count", "1", "-o", "json"}), kExitDone);
  const std::vector<std::string> lines = absl::StrSplit(Out(), '\n', absl::SkipEmpty());
  ASSERT_THAT(lines, SizeIs(2));
  OM_ASSERT_OK_AND_ASSIGN(const Json gap, ParseJson(lines[0]));
  EXPECT_EQ(gap["gap"]["code"], "OUT_OF_RANGE");
  OM_ASSERT_OK_AND_ASSIGN(const Json change, ParseJson(lines[1]));
  EXPECT_EQ(change["resumeToken"], "t2");
  EXPECT_EQ(change["change"]["events"][0]["id"], "blacklist_add");
}

// --- blacklist, health -------------------------------------------------------------------------

TEST_F(OmctlTest, BlacklistIsShownAndCleared) {
  daemon_.Start();
  EXPECT_EQ(Run({"blacklist", "status"}), kExitDone);
  EXPECT_EQ(Out(), "No sender of invalid messages is known.\n");
  BlacklistEntry* entry = daemon_.blacklist.add_entries();
  entry->set_address("192.0.2.7");
  entry->set_node("n2");
  entry->set_invalid_count(5);
  entry->set_blacklisted(true);
  entry = daemon_.blacklist.add_entries();
  entry->set_address("2001:db8::/64");
  entry->set_invalid_count(1);
  EXPECT_EQ(Run({"blacklist", "status"}), kExitDone);
  EXPECT_EQ(Out(),
            "Sender          node  invalid  state\n"
            " 192.0.2.7      n2    5        blacklisted\n"
            " 2001:db8::/64  -     1        counted\n");
  EXPECT_EQ(Run({"blacklist", "clear", "--sender", "n2"}), kExitDone);
  EXPECT_EQ(Out(), "2 senders forgotten\n");
  EXPECT_THAT(daemon_.Requests(), Contains(HasSubstr("ClearEntries sender: \"n2\"")));
}

TEST_F(OmctlTest, HealthIsZeroOnlyWhereItServes) {
  daemon_.Start();
  daemon_.SetHealth("scheduler", false);
  EXPECT_EQ(Run({"health"}), kExitDone);
  EXPECT_EQ(Out(), "SERVING\n");
  EXPECT_EQ(Run({"health", "scheduler"}), kExitError);
  EXPECT_EQ(Out(), "NOT_SERVING\n");
  EXPECT_EQ(Run({"health", "nosuch"}), kExitError);
  EXPECT_THAT(Err(), HasSubstr("no part 'nosuch'"));
}

// --- Configuration -----------------------------------------------------------------------------

TEST_F(OmctlTest, OneKeywordIsItsValueAloneSeveralHaveNames) {
  daemon_.Start();
  KeywordValue* value = daemon_.keywords.add_values();
  value->set_name("listener.port");
  value->set_value("1214");
  EXPECT_EQ(Run({"node", "get", "--param", "listener.port"}), kExitDone);
  EXPECT_EQ(Out(), "1214\n");
  value = daemon_.keywords.add_values();
  value->set_name("cluster.name");
  value->set_value("c1");
  EXPECT_EQ(Run({"cluster", "get", "--param", "listener.port", "--param", "cluster.name"}),
            kExitDone);
  EXPECT_EQ(Out(), "listener.port = 1214\ncluster.name = c1\n");
  EXPECT_THAT(daemon_.Requests(),
              ElementsAre(HasSubstr("target { node: true } names: \"listener.port\""),
                          HasSubstr("target { cluster: true } names: \"listener.port\" names: "
                                    "\"cluster.name\"")));
}

TEST_F(OmctlTest, SetTakesPairsInOrderAndValuesAsTheyAre) {
  daemon_.update.set_changed(true);
  daemon_.update.add_warnings("a.c is not a known keyword");
  daemon_.Start();
  EXPECT_EQ(Run({"web", "set", "--param", "a.b", "--value", "[x,y]", "--param", "a.c", "--value",
                 "--dashes", "--value=", "--param", "a.d@n1", "--param", "a.e", "--value", ""}),
            kExitDone);
  EXPECT_EQ(Out(), "changed\n");
  EXPECT_THAT(Err(), HasSubstr("warning: a.c is not a known keyword"));
  ASSERT_THAT(daemon_.Requests(), SizeIs(1));
  EXPECT_THAT(daemon_.Requests()[0],
              StartsWith("UpdateConfig target { object_path: \"web\" } set { name: \"a.b\" value: "
                         "\"[x,y]\" } set { name: \"a.c\" value: \"--dashes\" } set { name: "
                         "\"a.d@n1\" } set { name: \"a.e\" } request_id: \""));
}

TEST_F(OmctlTest, UnsetNamesWhatToRemove) {
  daemon_.Start();
  EXPECT_EQ(Run({"node", "unset", "--param", "listener.port"}), kExitDone);
  EXPECT_EQ(Out(), "nothing to change\n");
  EXPECT_THAT(daemon_.Requests(), ElementsAre(HasSubstr("unset: \"listener.port\"")));
}

TEST_F(OmctlTest, ConfigGetShowsTheFileOrWhatItMeans) {
  daemon_.config.set_text("[listener]\nport = {x}  # why\n");
  ConfigSection* section = daemon_.config.add_sections();
  section->set_name("listener");
  section->add_keywords()->set_name("port");
  section->mutable_keywords(0)->set_value("1215");
  *daemon_.config.add_sections() = *section;
  daemon_.Start();
  EXPECT_EQ(Run({"config", "get"}), kExitDone);
  EXPECT_EQ(Out(), daemon_.config.text());
  EXPECT_EQ(Run({"config", "get", "root/svc/web", "--evaluate"}), kExitDone);
  EXPECT_EQ(Out(), "[listener]\nport = 1215\n\n[listener]\nport = 1215\n");
  EXPECT_THAT(daemon_.Requests(),
              ElementsAre(HasSubstr("node: true"), HasSubstr("object_path: \"web\"")));
  EXPECT_EQ(Run({"config", "get", "w_b"}), kExitUsage);
}

// --- Services ----------------------------------------------------------------------------------

TEST_F(OmctlTest, ServiceStatusIsAsRecordedAndExitsWithTheOverallState) {
  daemon_.Start();
  EXPECT_EQ(Run({"db", "status"}), 2);
  EXPECT_EQ(Out(), GoldenText("omctl/service_status.txt"));
  EXPECT_EQ(Run({"ns1/svc/web", "status", "--quiet"}), 0);
  EXPECT_THAT(Out(), IsEmpty());
  EXPECT_EQ(Run({"zed", "status"}), 5);
  EXPECT_EQ(Run({"db", "status", "-o", "json"}), 2);
  EXPECT_EQ(OutJson()["path"], "db");
  EXPECT_EQ(Run({"nosuch", "status"}), 10 + kExitError);
}

TEST_F(OmctlTest, StatesExitAsTheLegacyCommandLineDoes) {
  EXPECT_EQ(StateExitCode(RESOURCE_STATE_UP), 0);
  EXPECT_EQ(StateExitCode(RESOURCE_STATE_DOWN), 1);
  EXPECT_EQ(StateExitCode(RESOURCE_STATE_WARN), 2);
  EXPECT_EQ(StateExitCode(RESOURCE_STATE_NOT_APPLICABLE), 3);
  EXPECT_EQ(StateExitCode(RESOURCE_STATE_UNDEFINED), 5);
  EXPECT_EQ(StateExitCode(RESOURCE_STATE_STANDBY_UP), 6);
  EXPECT_EQ(StateExitCode(RESOURCE_STATE_STANDBY_DOWN), 7);
}

TEST_F(OmctlTest, OrdersSayWhatBecameOfThem) {
  daemon_.order.set_outcome(ORDER_OUTCOME_ACCEPTED);
  daemon_.Start();
  EXPECT_EQ(Run({"svc/daemon", "start"}), kExitDone);
  EXPECT_EQ(Out(), "daemon is ordered to be started\n");
  EXPECT_THAT(daemon_.Requests(),
              ElementsAre(HasSubstr("path: \"daemon\" global_expect: \"started\"")));
  daemon_.order.set_outcome(ORDER_OUTCOME_ALREADY_REACHED);
  EXPECT_EQ(Run({"web", "freeze", "--wait"}), kExitDone);
  EXPECT_EQ(Out(), "nothing to do: web needs no 'freeze'\n");
}

WatchStatusResponse StateOf(const ObjectStatus& object) {
  WatchStatusResponse message;
  *message.mutable_state()->add_objects() = object;
  return message;
}

WatchStatusResponse StateEndMessage() {
  WatchStatusResponse message;
  message.mutable_state_end();
  message.set_resume_token("t");
  return message;
}

WatchStatusResponse ChangeOf(const ObjectStatus& object) {
  WatchStatusResponse message;
  *message.mutable_change()->add_objects() = object;
  message.set_resume_token("t");
  return message;
}

class OmctlWaitTest : public OmctlTest {
 protected:
  OmctlWaitTest() {
    daemon_.order.set_outcome(ORDER_OUTCOME_ACCEPTED);
    daemon_.Start();
    ordered_.set_path("web");
    ordered_.set_avail(RESOURCE_STATE_DOWN);
    ordered_.set_frozen(FROZEN_STATE_THAWED);
    AddInstance(&ordered_, "n1", RESOURCE_STATE_DOWN)
        ->mutable_monitor()
        ->set_global_expect("started");
    done_ = ordered_;
    done_.set_avail(RESOURCE_STATE_UP);
    done_.mutable_instances(0)->set_avail(RESOURCE_STATE_UP);
    done_.mutable_instances(0)->mutable_monitor()->clear_global_expect();
    up_still_ordered_ = done_;
    up_still_ordered_.set_frozen(FROZEN_STATE_MIXED);
    up_still_ordered_.mutable_instances(0)->mutable_monitor()->set_global_expect("started");
  }

  ObjectStatus ordered_;
  ObjectStatus up_still_ordered_;
  ObjectStatus done_;
};

TEST_F(OmctlWaitTest, WaitEndsWhenTheServiceIsUpAndTheOrderGone) {
  daemon_.ScriptWatches({WatchOf(
      {StateOf(ordered_), StateEndMessage(), ChangeOf(up_still_ordered_), ChangeOf(done_)})});
  EXPECT_EQ(Run({"web", "start", "--wait"}), kExitDone);
  EXPECT_EQ(Out(), "web: start done, avail up, thawed\n");
}

TEST_F(OmctlWaitTest, WaitEndsAtOnceIfTheOrderWasFulfilledMeanwhile) {
  daemon_.ScriptWatches({WatchOf({StateOf(done_), StateEndMessage()})});
  EXPECT_EQ(Run({"root/svc/web", "start", "--wait", "-o", "json"}), kExitDone);
  EXPECT_EQ(OutJson()["path"], "web");
}

TEST_F(OmctlWaitTest, FailedStartIsStatusOneWithWhatIsKnown) {
  ObjectStatus failed = ordered_;
  failed.mutable_instances(0)->mutable_monitor()->clear_global_expect();
  failed.mutable_instances(0)->mutable_monitor()->set_status("start failed");
  ResourceStatus* app = failed.mutable_instances(0)->add_resources();
  app->set_id("app#1");
  app->add_log("error: exited with status 3");
  daemon_.ScriptWatches({WatchOf({StateOf(ordered_), StateEndMessage(), ChangeOf(failed)})});
  EXPECT_EQ(Run({"web", "start", "--wait"}), kExitError);
  EXPECT_THAT(Err(), HasSubstr("n1 down, start failed"));
  EXPECT_THAT(Err(), HasSubstr("app#1: error: exited with status 3"));
  EXPECT_THAT(Err(), HasSubstr("'omctl web clear'"));
}

TEST_F(OmctlWaitTest, FailureOnOneNodeIsNoneWhileAnotherStillFollowsTheOrder) {
  ObjectStatus half = ordered_;
  half.mutable_instances(0)->mutable_monitor()->clear_global_expect();
  half.mutable_instances(0)->mutable_monitor()->set_status("start failed");
  AddInstance(&half, "n2", RESOURCE_STATE_DOWN)->mutable_monitor()->set_global_expect("started");
  daemon_.ScriptWatches({WatchOf({StateOf(half), StateEndMessage(), ChangeOf(done_)})});
  EXPECT_EQ(Run({"web", "start", "--wait"}), kExitDone);
}

TEST_F(OmctlWaitTest, OrderStillInProgressAtTheDeadlineIsStatusFour) {
  // One for each time.
  daemon_.ScriptWatches(std::vector<FakeDaemon::WatchScript>(
      10, [&](grpc::ServerContext* context, const WatchStatusRequest&, Writer* writer) {
        writer->Write(StateOf(ordered_));
        writer->Write(StateEndMessage());
        while (!context->IsCancelled()) std::this_thread::yield();
        return grpc::Status::CANCELLED;
      }));
  EXPECT_EQ(RunToItsDeadline({"web", "start", "--wait"}, "still in progress"), kExitDeadline);
}

TEST_F(OmctlWaitTest, ServiceThatIsRemovedMeanwhileIsStatusOne) {
  WatchStatusResponse removed;
  removed.mutable_change()->add_removed_object_paths("web");
  daemon_.ScriptWatches({WatchOf({StateOf(ordered_), StateEndMessage(), removed})});
  EXPECT_EQ(Run({"web", "stop", "--wait"}), kExitError);
  EXPECT_THAT(Err(), HasSubstr("not known any more"));
}

TEST_F(OmctlWaitTest, StopIsDoneWhenDownAndFreezeWhenFrozen) {
  ObjectStatus stopped = done_;
  stopped.set_avail(RESOURCE_STATE_STANDBY_UP);
  daemon_.ScriptWatches({WatchOf({StateOf(stopped), StateEndMessage()})});
  EXPECT_EQ(Run({"web", "stop", "--wait"}), kExitDone);
  daemon_.ScriptWatches({WatchOf({StateOf(stopped), StateEndMessage()})});
  EXPECT_EQ(Run({"web", "freeze", "--wait"}), kExitError);
  stopped.set_frozen(FROZEN_STATE_FROZEN);
  daemon_.ScriptWatches({WatchOf({StateOf(stopped), StateEndMessage()})});
  EXPECT_EQ(Run({"web", "freeze", "--wait"}), kExitDone);
}

class OmctlOrderTest : public OmctlTest {
 protected:
  OmctlOrderTest() {
    daemon_.order.set_outcome(ORDER_OUTCOME_ACCEPTED);
    daemon_.order.set_order_id("o1");
    daemon_.Start();
  }
  static control::v1::Order Make(OrderState state, const std::string& reason = "") {
    control::v1::Order order;
    order.set_order_id("o1");
    order.set_path("web");
    order.set_global_expect("started");
    order.set_node("n1");
    order.set_state(state);
    order.set_reason(reason);
    return order;
  }
};

TEST_F(OmctlOrderTest, WaitFollowsTheOrderAndTellsWhyItIsBlocked) {
  daemon_.order_progress = {Make(ORDER_STATE_RUNNING),
                            Make(ORDER_STATE_BLOCKED, "parent db is down"),
                            Make(ORDER_STATE_REACHED)};
  EXPECT_EQ(Run({"web", "start", "--wait"}), kExitDone);
  EXPECT_EQ(Out(), "web started: reached\n");
  EXPECT_EQ(Err(), "omctl: web started: running\nomctl: web started: blocked: parent db is down\n");
  EXPECT_THAT(daemon_.Requests(), Contains(HasSubstr("WatchOrder order_id: \"o1\"")));
}

TEST_F(OmctlOrderTest, AnOrderThatFailedIsStatusOneWithItsSteps) {
  control::v1::Order failed = Make(ORDER_STATE_FAILED, "start failed");
  OrderStep* step = failed.add_steps();
  step->set_node("n1");
  step->set_path("web");
  step->set_action("start");
  step->set_exit_status(3);
  step->set_error("exited with status 3");
  daemon_.order_progress = {failed};
  EXPECT_EQ(Run({"order", "watch", "o1"}), kExitError);
  EXPECT_THAT(Err(), HasSubstr("web started: failed: start failed"));
  EXPECT_THAT(Err(), HasSubstr("exited with status 3"));
  EXPECT_EQ(Run({"order", "show", "o1"}), kExitDone);
  EXPECT_THAT(Out(), HasSubstr("exited with status 3"));
}

TEST_F(OmctlOrderTest, AStreamThatBreaksIsTakenUpAgain) {
  daemon_.order_progress = {Make(ORDER_STATE_REACHED)};
  daemon_.FailNext({grpc::Status(grpc::StatusCode::UNAVAILABLE, "the daemon is stopping")});
  EXPECT_EQ(Run({"order", "watch", "o1"}), kExitDone);
  EXPECT_THAT(Err(), HasSubstr("trying again"));
}

TEST_F(OmctlOrderTest, AnOrderStillInProgressAtTheDeadlineIsStatusFour) {
  daemon_.order_progress = {Make(ORDER_STATE_BLOCKED, "parent db is down")};
  EXPECT_EQ(RunToItsDeadline({"order", "watch", "o1"},
                             "still in progress: web started: blocked: parent db is down"),
            kExitDeadline);
}

TEST_F(OmctlOrderTest, OrdersAreListed) {
  EXPECT_EQ(Run({"order", "list"}), kExitDone);
  EXPECT_EQ(Out(), "No order is known.\n");
  *daemon_.orders.add_orders() = Make(ORDER_STATE_BLOCKED, "frozen");
  EXPECT_EQ(Run({"order", "list", "--path", "root/svc/web", "--running"}), kExitDone);
  EXPECT_THAT(Out(), HasSubstr("blocked"));
  EXPECT_THAT(daemon_.Requests(),
              Contains(HasSubstr("ListOrders path: \"web\" only_in_progress: true")));
  EXPECT_EQ(Run({"order", "list", "-o", "json"}), kExitDone);
  EXPECT_EQ(OutJson()["orders"][0]["orderId"], "o1");
}

TEST_F(OmctlOrderTest, ADryRunShowsWhatWouldBeDoneWhereAndWhyNoMore) {
  daemon_.order.Clear();
  daemon_.order.set_outcome(ORDER_OUTCOME_DRY_RUN);
  daemon_.order.set_message("1 action would be done");
  PlannedAction* action = daemon_.order.add_planned_actions();
  action->set_node("n2");
  action->set_path("web");
  action->set_action("thaw");
  action->set_round(1);
  daemon_.order.set_blocked_reason("parent db is down");
  EXPECT_EQ(Run({"web", "start", "--dry-run"}), kExitDone);
  EXPECT_EQ(Out(), "1 action would be done\n 1  n2  web  thaw\nthen no more: parent db is down\n");
  EXPECT_THAT(daemon_.Requests(), Contains(HasSubstr("dry_run: true")));
}

TEST_F(OmctlOrderTest, OrdersWithDestinationsAndOfOneInstance) {
  EXPECT_EQ(Run({"web", "move", "--to", "n2,n3"}), kExitDone);
  EXPECT_THAT(daemon_.Requests(), Contains(HasSubstr("global_expect: \"placed@n2,n3\"")));
  EXPECT_EQ(Run({"web", "move"}), kExitUsage);
  EXPECT_EQ(Run({"web", "start", "--local"}), kExitDone);
  EXPECT_THAT(daemon_.Requests(), Contains(HasSubstr("local_expect: \"started\"")));
}

TEST_F(OmctlOrderTest, NodesAreFrozenThawedAndShown) {
  daemon_.node_order.set_message("cluster target state set to frozen");
  EXPECT_EQ(Run({"node", "freeze"}), kExitDone);
  EXPECT_EQ(Out(), "cluster target state set to frozen\n");
  EXPECT_EQ(Run({"node", "thaw", "--local"}), kExitDone);
  EXPECT_THAT(daemon_.Requests(), Contains(HasSubstr("local_expect: \"thawed\"")));
  daemon_.node_monitor.set_node("n1");
  daemon_.node_monitor.mutable_monitor()->set_status("maintenance");
  EXPECT_EQ(Run({"node", "monitor", "--node", "n1"}), kExitDone);
  EXPECT_THAT(Out(), HasSubstr("maintenance"));
}

TEST_F(OmctlTest, ClearSaysWhatItCleared) {
  daemon_.clear.set_cleared(true);
  daemon_.clear.set_previous_status("start failed");
  daemon_.Start();
  EXPECT_EQ(Run({"web", "clear"}), kExitDone);
  EXPECT_EQ(Out(), "web: cleared, was 'start failed'\n");
  daemon_.clear.set_cleared(false);
  daemon_.clear.set_previous_status("starting");
  EXPECT_EQ(Run({"web", "clear"}), kExitError);
}

// --- Changing calls ----------------------------------------------------------------------------

TEST_F(OmctlTest, ChangingCallIsSentAgainOnceWithTheSameId) {
  daemon_.order.set_outcome(ORDER_OUTCOME_ACCEPTED);
  daemon_.Start();
  daemon_.FailNext({grpc::Status(grpc::StatusCode::UNAVAILABLE, "connection reset")});
  EXPECT_EQ(Run({"web", "start"}), kExitDone);
  std::vector<std::string> ids = daemon_.RequestIds();
  ASSERT_THAT(ids, SizeIs(2));
  EXPECT_EQ(ids[0], ids[1]);
  EXPECT_THAT(ids[0], SizeIs(36));

  const grpc::Status down(grpc::StatusCode::UNAVAILABLE, "connection reset");
  daemon_.FailNext({down, down, down});
  EXPECT_EQ(Run({"web", "start"}), kExitNoConnection);
  ids = daemon_.RequestIds();
  ASSERT_THAT(ids, SizeIs(4));
  EXPECT_EQ(ids[2], ids[3]);
  EXPECT_NE(ids[0], ids[2]);
}

TEST_F(OmctlTest, OtherErrorsAreNotTriedAgain) {
  daemon_.Start();
  daemon_.FailNext({grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "guests may not")});
  EXPECT_EQ(Run({"web", "stop"}), kExitError);
  EXPECT_THAT(Err(), HasSubstr("omctl auth whoami"));
  EXPECT_THAT(daemon_.Requests(), SizeIs(1));
}

TEST_F(OmctlTest, UnavailableWithDetailsIsAnAnswer) {
  daemon_.Start();
  const grpc::Status full = DetailedError(grpc::StatusCode::UNAVAILABLE,
                                          "the journal cannot be written", "JOURNAL_FAILED");
  daemon_.FailNext({full, full});
  EXPECT_EQ(Run({"web", "stop"}), kExitError);
  EXPECT_THAT(Err(), HasSubstr("journal"));
}

TEST_F(OmctlTest, EveryChangingCommandCarriesAnIdOfItsOwn) {
  daemon_.Start();
  daemon_.stop.set_pid(0);
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"daemon", "start"},
                                             {"daemon", "start", "--thread-id", "listener"},
                                             {"daemon", "stop", "--thread-id", "listener"},
                                             {"daemon", "stop"},
                                             {"blacklist", "clear"},
                                             {"node", "set", "--param", "a.b", "--value", "1"},
                                             {"node", "unset", "--param", "a.b"},
                                             {"web", "start"},
                                             {"web", "clear"}}) {
    Run(words);
  }
  const std::vector<std::string> ids = daemon_.RequestIds();
  EXPECT_THAT(ids, SizeIs(9));
  EXPECT_THAT(std::set<std::string>(ids.begin(), ids.end()), SizeIs(9));
}

}  // namespace
}  // namespace om
