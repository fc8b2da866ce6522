// omctl's commands for actions, logs, events, waiting and creating.
#include <signal.h>

#include <sstream>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/omctl/omctl.h"
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
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr char kId[] = "0b8f9c6e-5a3f-4a53-a63d-0a5ad8a4b6a5";

Action SampleAction() {
  Action action;
  action.set_id(kId);
  action.set_node("n1");
  action.set_path("web");
  action.add_arguments("start");
  action.add_arguments("--rid");
  action.add_arguments("app#1");
  action.set_pid(77);
  action.set_state(ACTION_STATE_RUNNING);
  action.mutable_start_time()->set_seconds(1700000000);
  action.set_requester("uid 0 on a local socket");
  action.set_stdout_bytes(12);
  action.set_reader_count(1);
  return action;
}

Action Ended(ActionState state, int number) {
  Action action = SampleAction();
  action.set_state(state);
  (state == ACTION_STATE_EXITED) ? action.set_exit_code(number) : action.set_signal(number);
  action.mutable_end_time()->set_seconds(1700000002);
  action.mutable_end_time()->set_nanos(500000000);
  return action;
}

class OmctlStreamsTest : public ::testing::Test {
 protected:
  OmctlStreamsTest() : daemon_(root_.path()) {
    environment_.out = &out_;
    environment_.err = &err_;
    environment_.random = &random_;
    daemon_.Start();
  }

  int Run(std::vector<std::string> arguments) {
    out_.str("");
    err_.str("");
    // A daemon that is there is waited for, as long as a busy machine needs.
    if (daemon_.started()) {
      arguments.insert(arguments.begin(), {"--connect-timeout", "200"});
    }
    arguments.insert(arguments.begin(), {"--root", root_.path()});
    return RunOmctl(arguments, environment_);
  }
  // The next action says that it began, `out`, `err`, and ends as `end` says.
  void ScriptAction(const std::string& out, const std::string& err, const Action& end) {
    daemon_.ScriptActions({[=](grpc::ServerContext*, const StreamActionRequest&,
                               grpc::ServerWriter<StreamActionResponse>* writer) {
      StreamActionResponse message;
      *message.mutable_action() = SampleAction();
      writer->Write(message);
      message.mutable_output()->set_stream(OUTPUT_STREAM_STDOUT);
      message.mutable_output()->set_data(out);
      writer->Write(message);
      message.mutable_output()->set_stream(OUTPUT_STREAM_STDERR);
      message.mutable_output()->set_data(err);
      writer->Write(message);
      *message.mutable_end() = end;
      writer->Write(message);
      return grpc::Status::OK;
    }});
  }
  std::string Out() const { return out_.str(); }
  std::string Err() const { return err_.str(); }

  TempDir root_;
  FakeDaemon daemon_;
  std::ostringstream out_;
  std::ostringstream err_;
  FakeSecureRandom random_;
  OmctlEnvironment environment_;
};

// --- Actions -----------------------------------------------------------------------------------

TEST_F(OmctlStreamsTest, ActionShowsItsOutputAsItIsAndExitsAsItDid) {
  const std::string bytes("a\xff\0b\n", 5);
  ScriptAction(bytes, "oops\n", Ended(ACTION_STATE_EXITED, 7));
  EXPECT_EQ(Run({"web", "action", "start", "--rid", "app#1"}), 7);
  EXPECT_EQ(Out(), bytes);
  EXPECT_EQ(Err(), "oops\n");
  EXPECT_THAT(daemon_.Requests(),
              ElementsAre("StreamAction command { path: \"web\" arguments: \"start\" arguments: "
                          "\"--rid\" arguments: \"app#1\" }"));
}

TEST_F(OmctlStreamsTest, WordsOfAnActionAreNeverTakenForOptions) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> spellings = {
      {{"web", "sync_all", "--help", "--json", "--timeout", "x"},
       "path: \"web\" arguments: \"sync_all\" arguments: \"--help\" arguments: \"--json\" "
       "arguments: \"--timeout\" arguments: \"x\" }"},
      {{"web", "--", "start", "--", "--value="},
       "path: \"web\" arguments: \"start\" arguments: \"--\" arguments: \"--value=\" }"},
      {{"web", "action", "--detach", "--", "--odd"},
       "path: \"web\" arguments: \"--odd\" } detach: true"},
      {{"web", "--timeout", "5m", "--detach", "stats"},
       "path: \"web\" arguments: \"stats\" time_limit { seconds: 300 } } detach: true"},
      {{"node", "action", "checks", "--force"}, "{ arguments: \"checks\" arguments: \"--force\" }"},
      {{"node", "--", "get"}, "{ arguments: \"get\" }"},
  };
  for (const auto& [words, request] : spellings) {
    ScriptAction("", "", Ended(ACTION_STATE_EXITED, 0));
    EXPECT_EQ(Run(words), 0) << request << Err();
    EXPECT_THAT(daemon_.Requests().back(), HasSubstr(request));
  }
}

TEST_F(OmctlStreamsTest, ActionsOfUnknownNameNeedAService) {
  EXPECT_EQ(Run({"node", "explode"}), kExitUsage);
  EXPECT_EQ(Run({"web", "action"}), kExitUsage);
  EXPECT_THAT(Err(), HasSubstr("the action is missing"));
  EXPECT_EQ(Run({"web", "start", "--rid", "app#1"}), kExitUsage);
  EXPECT_THAT(Err(), HasSubstr("omctl web action start"));
  EXPECT_EQ(Run({"web", "--async", "--detach", "x"}), kExitUsage);
  EXPECT_THAT(daemon_.Requests(), IsEmpty());
}

TEST_F(OmctlStreamsTest, ActionThatDidNotEndByItselfHasAStatusThatSaysSo) {
  ScriptAction("", "", Ended(ACTION_STATE_KILLED, SIGKILL));
  EXPECT_EQ(Run({"web", "x"}), 128 + SIGKILL);
  EXPECT_THAT(Err(), HasSubstr("killed by SIGKILL"));
  ScriptAction("", "", Ended(ACTION_STATE_TIMED_OUT, SIGTERM));
  EXPECT_EQ(Run({"web", "x"}), 124);
  Action not_run = Ended(ACTION_STATE_NOT_RUN, 0);
  not_run.set_error("no such program");
  ScriptAction("", "", not_run);
  EXPECT_EQ(Run({"web", "x"}), 126);
  EXPECT_THAT(Err(), HasSubstr("no such program"));
  daemon_.FailNext({DetailedError(grpc::StatusCode::NOT_FOUND, "no web", "SERVICE_UNKNOWN")});
  EXPECT_EQ(Run({"web", "x"}), 121);
  EXPECT_THAT(Err(), StartsWith("omctl: no web"));
  daemon_.Stop();
  EXPECT_EQ(Run({"web", "x"}), 123);
}

// Somebody types ^C on seeing the output.
class InterruptingBuffer final : public std::stringbuf {
 protected:
  int sync() override {
    raise(SIGINT);
    return 0;
  }
};

TEST_F(OmctlStreamsTest, InterruptCancelsTheActionAndSaysSo) {
  InterruptingBuffer buffer;
  std::ostream out(&buffer);
  environment_.out = &out;
  for (const bool detach : {false, true}) {
    daemon_.ScriptActions({[](grpc::ServerContext* context, const StreamActionRequest&,
                              grpc::ServerWriter<StreamActionResponse>* writer) {
      StreamActionResponse message;
      *message.mutable_action() = SampleAction();
      writer->Write(message);
      message.mutable_output()->set_data("x");
      writer->Write(message);
      while (!context->IsCancelled()) std::this_thread::yield();
      return grpc::Status::CANCELLED;
    }});
    EXPECT_EQ(Run({"web", "action", detach ? "--detach" : "--", "run"}), 128 + SIGINT);
    EXPECT_THAT(Err(), HasSubstr(detach ? absl::StrCat("'omctl actions attach ", kId, "' shows it")
                                        : absl::StrCat(kId, " is being killed")));
  }
}

TEST_F(OmctlStreamsTest, AsynchronousActionPrintsItsId) {
  *daemon_.run_action.mutable_action() = SampleAction();
  EXPECT_EQ(Run({"web", "action", "--async", "start"}), 0);
  EXPECT_EQ(Out(), absl::StrCat(kId, "\n"));
  EXPECT_THAT(daemon_.Requests(), ElementsAre(HasSubstr("asynchronous: true")));
  EXPECT_THAT(daemon_.RequestIds(), SizeIs(1));
}

TEST_F(OmctlStreamsTest, ActionAsJsonIsADocumentALine) {
  ScriptAction("hi\n", "", Ended(ACTION_STATE_EXITED, 3));
  EXPECT_EQ(Run({"--json", "web", "x"}), 3);
  const std::vector<std::string> lines = absl::StrSplit(Out(), '\n', absl::SkipEmpty());
  ASSERT_THAT(lines, SizeIs(4));
  OM_ASSERT_OK_AND_ASSIGN(const Json begin, ParseJson(lines[0]));
  EXPECT_EQ(begin["action"]["arguments"][2], "app#1");
  OM_ASSERT_OK_AND_ASSIGN(const Json output, ParseJson(lines[1]));
  EXPECT_EQ(output["output"]["data"], "hi\n");
  OM_ASSERT_OK_AND_ASSIGN(const Json end, ParseJson(lines[3]));
  EXPECT_EQ(end["end"]["exitCode"], 3);
}

TEST_F(OmctlStreamsTest, ActionsAreListedShownAndKilled) {
  *daemon_.actions.add_actions() = SampleAction();
  *daemon_.actions.add_actions() = Ended(ACTION_STATE_KILLED, SIGTERM);
  Action* node = daemon_.actions.add_actions();
  *node = Ended(ACTION_STATE_EXITED, 0);
  node->clear_path();
  EXPECT_EQ(Run({"actions", "list", "--path", "root/svc/web", "--running"}), 0);
  EXPECT_EQ(Out(), GoldenText("omctl/actions_list.txt"));
  EXPECT_THAT(daemon_.Requests().back(), HasSubstr("path: \"web\" only_running: true"));
  EXPECT_EQ(Run({"actions", "show", kId}), 0);
  EXPECT_EQ(Out(), GoldenText("omctl/actions_show.txt"));
  EXPECT_EQ(Run({"actions", "kill", kId, "--signal", "INT"}), 0);
  EXPECT_EQ(Out(), absl::StrCat("sent INT to ", kId, "\n"));
  EXPECT_THAT(daemon_.Requests().back(), HasSubstr("signal: \"INT\""));
  daemon_.FailNext(
      {DetailedError(grpc::StatusCode::NOT_FOUND, "no such action", "ACTION_UNKNOWN")});
  EXPECT_EQ(Run({"actions", "show", "x"}), kExitError);
  EXPECT_THAT(Err(), HasSubstr("'omctl actions list'"));
}

TEST_F(OmctlStreamsTest, AttachingExitsAsTheActionDid) {
  daemon_.ScriptAttaches({[](grpc::ServerContext*, const AttachActionRequest& request,
                             grpc::ServerWriter<AttachActionResponse>* writer) {
    EXPECT_TRUE(request.only_new());
    AttachActionResponse message;
    *message.mutable_action() = SampleAction();
    writer->Write(message);
    message.mutable_output()->set_stream(OUTPUT_STREAM_STDOUT);
    message.mutable_output()->set_offset(5);
    message.mutable_output()->set_missed_bytes(5);
    message.mutable_output()->set_data("rest");
    writer->Write(message);
    *message.mutable_end() = Ended(ACTION_STATE_EXITED, 4);
    writer->Write(message);
    return grpc::Status::OK;
  }});
  EXPECT_EQ(Run({"actions", "attach", kId, "--only-new"}), 4);
  EXPECT_EQ(Out(), "rest");
  EXPECT_EQ(Err(), "omctl: gap: 5 bytes of the output are not kept any more\n");
}

// --- Logs --------------------------------------------------------------------------------------

FakeDaemon::LogScript LogOf(std::vector<std::string> lines, grpc::Status end, bool gap = false) {
  return [lines = std::move(lines), end, gap](grpc::ServerContext*, const ReadLogRequest& request,
                                              grpc::ServerWriter<ReadLogResponse>* writer) {
    ReadLogResponse message;
    message.set_gap(gap);
    for (const std::string& line : lines) {
      if (request.raw()) {
        message.set_raw(message.raw() + line + "\n");
      } else {
        LogEntry* entry = message.add_entries();
        entry->set_raw(line);
        entry->set_message(line);
      }
    }
    message.set_cursor("c1");
    writer->Write(message);
    return end;
  };
}

TEST_F(OmctlStreamsTest, LogIsShownLineByLineFitForATerminal) {
  daemon_.ScriptLogs({LogOf({"one", "t\x1b[31mwo"}, {})});
  EXPECT_EQ(Run({"web", "logs"}), 0);
  EXPECT_EQ(Out(), "one\nt?[31mwo\n");
  EXPECT_EQ(daemon_.Requests().back(), "ReadLog path: \"web\"");
  daemon_.ScriptLogs({LogOf({"t\x1b[31mwo\xff"}, {})});
  EXPECT_EQ(Run({"node", "logs", "--raw", "--bytes", "100"}), 0);
  EXPECT_EQ(Out(), "t\x1b[31mwo\xff\n");
  EXPECT_EQ(daemon_.Requests().back(), "ReadLog backlog_bytes: 100 raw: true");
}

TEST_F(OmctlStreamsTest, LogAsJsonIsALineALine) {
  daemon_.ScriptLogs({LogOf({"one", "t\xffwo"}, {})});
  EXPECT_EQ(Run({"web", "logs", "--json", "-n", "2"}), 0);
  const std::vector<std::string> lines = absl::StrSplit(Out(), '\n', absl::SkipEmpty());
  ASSERT_THAT(lines, SizeIs(2));
  OM_ASSERT_OK_AND_ASSIGN(const Json one, ParseJson(lines[0]));
  EXPECT_EQ(one["message"], "one");
  OM_ASSERT_OK_AND_ASSIGN(const Json two, ParseJson(lines[1]));
  EXPECT_EQ(two["message"], "t\xEF\xBF\xBDwo");
  EXPECT_THAT(daemon_.Requests().back(), HasSubstr("backlog_lines: 2"));
}

TEST_F(OmctlStreamsTest, FiltersOfALogAreSentAndReadAllOfIt) {
  daemon_.ScriptLogs({LogOf({}, {}), LogOf({}, {})});
  EXPECT_EQ(Run({"web", "logs", "--level", "warn", "--grep", "exit", "--rid", "app#1", "--since",
                 "2023-11-14 22:13:20.5", "--until", "2023-11-14T22:14Z"}),
            kExitUsage);
  EXPECT_THAT(Err(), HasSubstr("--until: '2023-11-14T22:14Z' is no time"));
  EXPECT_EQ(Run({"web", "logs", "--level", "warn", "--grep", "exit", "--rid", "app#1", "--since",
                 "2023-11-14 22:13:20.5"}),
            0);
  EXPECT_EQ(daemon_.Requests().back(),
            "ReadLog path: \"web\" whole_file: true filter { min_level: \"WARNING\" since { "
            "seconds: 1700000000 nanos: 500000000 } text: \"exit\" resource_id: \"app#1\" }");
  EXPECT_EQ(Run({"web", "logs", "--level", "error", "--lines", "5"}), 0);
  EXPECT_THAT(daemon_.Requests().back(), HasSubstr("backlog_lines: 5"));
  EXPECT_EQ(Run({"web", "logs", "--raw", "--level", "error"}), kExitUsage);
  EXPECT_EQ(Run({"web", "logs", "--level", "loud"}), kExitUsage);
}

TEST_F(OmctlStreamsTest, FollowedLogGoesOnAndTellsGapsOnTheErrorStream) {
  const grpc::Status broken(grpc::StatusCode::UNAVAILABLE, "stopping");
  daemon_.ScriptLogs({LogOf({"one"}, broken), LogOf({"two"}, broken, /*gap=*/true),
                      LogOf({"three"}, {grpc::StatusCode::NOT_FOUND, "the service is gone"})});
  EXPECT_EQ(Run({"web", "logs", "-f"}), kExitError);
  EXPECT_EQ(Out(), "one\ntwo\nthree\n");
  EXPECT_THAT(Err(), AllOf(HasSubstr("trying again"), HasSubstr("omctl: gap: lines were lost"),
                           HasSubstr("the service is gone")));
  EXPECT_THAT(daemon_.Requests(), Contains("ReadLog path: \"web\" cursor: \"c1\" follow: true"));
}

TEST_F(OmctlStreamsTest, FollowingEndsAtItsDeadline) {
  int code = kExitNoConnection;
  // A busy machine may need longer than that for the connection alone.
  for (int limit_ms = 100; code == kExitNoConnection && limit_ms < 100'000; limit_ms *= 2) {
    daemon_.ScriptLogs({[](grpc::ServerContext* context, const ReadLogRequest&,
                           grpc::ServerWriter<ReadLogResponse>*) {
      while (!context->IsCancelled()) std::this_thread::yield();
      return grpc::Status::CANCELLED;
    }});
    code = Run({"node", "logs", "--follow", "--timeout", absl::StrCat(limit_ms, "ms")});
  }
  EXPECT_EQ(code, kExitDeadline);
}

// --- Events and waiting ------------------------------------------------------------------------

WatchEventsResponse SampleEvents() {
  WatchEventsResponse message;
  Event* event = message.add_events();
  event->set_id("instance_start");
  event->set_reason("target");
  event->set_node("n1");
  event->set_path("web");
  event->mutable_time()->set_seconds(1700000000);
  (*event->mutable_attributes())["sender"] = "192.0.2.7";
  message.set_resume_token("t7");
  return message;
}

FakeDaemon::EventScript EventsOf(WatchEventsResponse message, grpc::Status end) {
  return [message = std::move(message), end](grpc::ServerContext*, const WatchEventsRequest&,
                                             grpc::ServerWriter<WatchEventsResponse>* writer) {
    writer->Write(message);
    return end;
  };
}

TEST_F(OmctlStreamsTest, EventsAreShownWithTheirGaps) {
  WatchEventsResponse late = SampleEvents();
  late.mutable_gap()->set_missed_changes(42);
  daemon_.ScriptEvents(
      {EventsOf(SampleEvents(), {grpc::StatusCode::UNAVAILABLE, "stopping"}), EventsOf(late, {})});
  EXPECT_EQ(Run({"events", "--id", "instance_*", "--id", "node_*", "--object", "web*", "--node",
                 "n1", "--since-token", "t6", "--count", "2"}),
            0);
  EXPECT_EQ(Out(),
            "2023-11-14 22:13:20  instance_start on n1 web (target) sender=192.0.2.7\n"
            "2023-11-14 22:13:20  instance_start on n1 web (target) sender=192.0.2.7\n");
  EXPECT_THAT(Err(), HasSubstr("gap: events of 42 changes were missed"));
  EXPECT_THAT(Err(), EndsWith("--since-token t7\n"));
  EXPECT_THAT(daemon_.Requests().front(),
              HasSubstr("resume_token: \"t6\" ids: \"instance_*\" ids: \"node_*\" selectors: "
                        "\"web*\" nodes: \"n1\""));
  EXPECT_THAT(daemon_.Requests().back(), HasSubstr("resume_token: \"t7\""));
}

TEST_F(OmctlStreamsTest, EventsAsJsonAreADocumentAMessage) {
  daemon_.ScriptEvents({EventsOf(SampleEvents(), DetailedError(grpc::StatusCode::OUT_OF_RANGE,
                                                               "another start", "FOREIGN_TOKEN")),
                        EventsOf(SampleEvents(), {})});
  EXPECT_EQ(Run({"events", "--json", "--count", "2"}), 0);
  const std::vector<std::string> lines = absl::StrSplit(Out(), '\n', absl::SkipEmpty());
  ASSERT_THAT(lines, SizeIs(3));
  OM_ASSERT_OK_AND_ASSIGN(const Json event, ParseJson(lines[0]));
  EXPECT_EQ(event["events"][0]["id"], "instance_start");
  OM_ASSERT_OK_AND_ASSIGN(const Json gap, ParseJson(lines[1]));
  EXPECT_EQ(gap["gap"]["code"], "OUT_OF_RANGE");
}

TEST_F(OmctlStreamsTest, WaitEndsWithTheValueOrWithStatusFour) {
  daemon_.waited.set_value("up");
  EXPECT_EQ(Run({"web", "wait", "avail=up", "--timeout", "2m"}), 0);
  EXPECT_EQ(Out(), "services.web.avail=up: up\n");
  EXPECT_THAT(daemon_.Requests().back(), HasSubstr("condition: \"services.web.avail=up\""));
  daemon_.FailNext(
      {DetailedError(grpc::StatusCode::DEADLINE_EXCEEDED, "avail is down", "CONDITION_NOT_MET")});
  EXPECT_EQ(Run({"wait", "nodes.n1.frozen"}), kExitDeadline);
  EXPECT_THAT(Err(), HasSubstr("avail is down"));
  EXPECT_THAT(daemon_.Requests().back(), HasSubstr("condition: \"nodes.n1.frozen\""));
  EXPECT_EQ(Run({"wait", "x", "--timeout", "25h"}), kExitUsage);
  EXPECT_THAT(Err(), HasSubstr("at most 24h"));
}

TEST_F(OmctlStreamsTest, WaitGoesOnWhenTheDaemonRestarts) {
  daemon_.waited.set_value("up");
  daemon_.FailNext({grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping")});
  EXPECT_EQ(Run({"web", "wait", "avail=up"}), 0);
  EXPECT_THAT(daemon_.Requests(), SizeIs(2));
}

// --- Creating ----------------------------------------------------------------------------------

TEST_F(OmctlStreamsTest, ServiceIsCreatedFromAFileAndKeywords) {
  daemon_.created.add_paths("web");
  daemon_.created.set_node("n1");
  daemon_.created.add_warnings("web: keyword app#1.strat is not known");
  const std::string file = root_.Write("web.conf", "[app#1]\nstart = /bin/a\n");
  EXPECT_EQ(Run({"web", "create", "--file", file, "--kw", "DEFAULT.nodes=n1", "--kw",
                 "app#2.start@n.1=a.b=c", "--replace", "--provision"}),
            0);
  EXPECT_EQ(Out(), "created web on n1\n");
  EXPECT_THAT(Err(), HasSubstr("strat is not known"));
  EXPECT_THAT(
      daemon_.Requests().back(),
      AllOf(
          HasSubstr("objects { path: \"web\" keywords { section: \"app#1\" name: \"start\" value: "
                    "\"/bin/a\" } keywords { section: \"DEFAULT\" name: \"nodes\" value: \"n1\" }"),
          HasSubstr("replace: true"), HasSubstr("provision: true")));
  EXPECT_THAT(daemon_.RequestIds(), SizeIs(1));
}

TEST_F(OmctlStreamsTest, ObjectsAreCreatedFromJson) {
  daemon_.created.add_paths("a");
  daemon_.created.add_paths("ns1/svc/b");
  daemon_.created.set_node("n1");
  const std::string file =
      root_.Write("objects.json", R"({"a": {"app#1": {"start": "x"}}, "b": {"DEFAULT": {}}})");
  EXPECT_EQ(Run({"create", file, "--namespace", "ns1"}), 0);
  EXPECT_EQ(Out(), "created a, ns1/svc/b on n1\n");
  EXPECT_THAT(daemon_.Requests().back(),
              AllOf(HasSubstr("path: \"b\""), HasSubstr("namespace: \"ns1\"")));
}

TEST_F(OmctlStreamsTest, WhatCannotBeCreatedIsNotAskedFor) {
  EXPECT_EQ(Run({"web", "create"}), kExitUsage);
  EXPECT_EQ(Run({"web", "create", "--kw", "secret"}), kExitUsage);
  EXPECT_EQ(Run({"web", "create", "--file", root_.File("none")}), kExitError);
  EXPECT_EQ(Run({"web", "create", "--file", root_.Write("bad", "[a]\nsecret\n")}), kExitError);
  EXPECT_THAT(Err(), AllOf(HasSubstr("bad:2: expected"), Not(HasSubstr("secret"))));
  EXPECT_EQ(Run({"create"}), kExitUsage);
  EXPECT_THAT(daemon_.Requests(), IsEmpty());
}

}  // namespace
}  // namespace om
