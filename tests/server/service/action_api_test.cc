#include "server/service/action_api.h"

#include <signal.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "tests/server/crm/fake_launcher.h"
#include "tests/server/service/service_fixture.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

namespace pb = control::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ActionApiTest : public ::testing::Test, protected ServiceFixture {
 protected:
  ActionApiTest() {
    AddService("svc1", /*up=*/false);
    Start();
  }

  static pb::ActionCommand Command(const std::string& path = "svc1") {
    pb::ActionCommand command;
    command.set_path(path);
    command.add_arguments("start");
    return command;
  }
  static pb::RunActionRequest RunRequest(const std::string& request_id = "") {
    pb::RunActionRequest request;
    *request.mutable_command() = Command();
    request.set_request_id(request_id);
    return request;
  }
  // Begins a call; its answers go to `answers_`.
  void Run(const pb::RunActionRequest& request, const Caller& caller = Root()) {
    api_.RunAction(caller, request, [this](absl::StatusOr<pb::RunActionResponse> answer) {
      answers_.push_back(std::move(answer));
    });
    Settle();
  }
  void End(size_t run, int exit_code) {
    launcher_.End(run, FakeLauncher::Exit(exit_code));
    Settle();
  }
  // The next message of a stream; the default one if there is none.
  static pb::StreamActionResponse Next(StreamSource* stream) {
    pb::StreamActionResponse message;
    const absl::StatusOr<Bytes> bytes = stream->Next();
    EXPECT_THAT(bytes.status(), IsOk());
    if (bytes.ok() && *bytes != nullptr) EXPECT_TRUE(message.ParseFromString(**bytes));
    return message;
  }

  FakeLauncher launcher_;
  ActionRegistry registry_{&launcher_, &clock, &secure_random, &counters,
                           ActionRegistry::Options{}};
  ActionApi api_{&context, &registry_};
  std::vector<absl::StatusOr<pb::RunActionResponse>> answers_;
};

TEST_F(ActionApiTest, ARunIsAnsweredAtItsEndWithItsOutput) {
  Run(RunRequest());
  launcher_.runs[0].spec.on_start(17);
  launcher_.runs[0].spec.on_chunk(1, "out");
  EXPECT_THAT(answers_, IsEmpty());
  End(0, 3);
  ASSERT_THAT(answers_, SizeIs(1));
  ASSERT_THAT(answers_[0].status(), IsOk());
  EXPECT_EQ(answers_[0]->standard_output(), "out");
  EXPECT_EQ(answers_[0]->action().exit_code(), 3);
  EXPECT_EQ(answers_[0]->action().node(), "node1");
  EXPECT_EQ(answers_[0]->action().pid(), 17);
  EXPECT_THAT(answers_[0]->action().requester(), HasSubstr("root"));
}

TEST_F(ActionApiTest, AnAsynchronousRunIsAnsweredOnceItRuns) {
  pb::RunActionRequest request = RunRequest();
  request.set_asynchronous(true);
  Run(request);
  EXPECT_THAT(answers_, IsEmpty());
  launcher_.runs[0].spec.on_start(17);
  ASSERT_THAT(answers_, SizeIs(1));
  EXPECT_EQ(answers_[0]->action().state(), pb::ACTION_STATE_RUNNING);
  End(0, 0);
  EXPECT_THAT(answers_, SizeIs(1));
}

TEST_F(ActionApiTest, ARepeatedRequestIsRunOnceAlsoWhileItRuns) {
  Run(RunRequest("id-1"));
  Run(RunRequest("id-1"));
  EXPECT_THAT(launcher_.runs, SizeIs(1));
  launcher_.runs[0].spec.on_chunk(1, "out");
  End(0, 0);
  Run(RunRequest("id-1"));
  ASSERT_THAT(answers_, SizeIs(3));
  EXPECT_THAT(launcher_.runs, SizeIs(1));
  for (const auto& answer : answers_) {
    ASSERT_THAT(answer.status(), IsOk());
    EXPECT_EQ(answer->SerializeAsString(), answers_[0]->SerializeAsString());
  }
}

TEST_F(ActionApiTest, ARepetitionIsAnsweredThoughTheObjectIsGone) {
  const std::string file = roots.etc + "/other.conf";
  ASSERT_THAT(WriteFileAtomically(file, "[DEFAULT]\n", {}), IsOk());
  pb::RunActionRequest request = RunRequest("id-1");
  *request.mutable_command() = Command("other");
  Run(request);
  ASSERT_THAT(RemoveFile(file), IsOk());
  End(0, 0);
  Run(request);
  ASSERT_THAT(answers_, SizeIs(2));
  EXPECT_THAT(answers_[1].status(), IsOk());
}

TEST_F(ActionApiTest, ALongOutputIsNotRememberedForARepetition) {
  Run(RunRequest("id-1"));
  launcher_.runs[0].spec.on_chunk(2, std::string(100'000, 'x'));
  End(0, 4);
  Run(RunRequest("id-1"));
  ASSERT_THAT(answers_, SizeIs(2));
  EXPECT_THAT(answers_[0]->standard_error(), SizeIs(100'000));
  EXPECT_FALSE(answers_[0]->output_truncated());
  EXPECT_THAT(answers_[1]->standard_error(), IsEmpty());
  EXPECT_TRUE(answers_[1]->output_truncated());
  EXPECT_EQ(answers_[1]->action().exit_code(), 4);
}

TEST_F(ActionApiTest, OnlyRootRunsReadsKillsAndCreates) {
  Run(RunRequest(), Guest());
  ASSERT_THAT(answers_, SizeIs(1));
  EXPECT_EQ(ReasonOf(answers_[0].status()), "ROLE_MISSING");
  pb::StreamActionRequest stream;
  *stream.mutable_command() = Command();
  for (const Caller& caller : {Guest(), Joiner()}) {
    EXPECT_EQ(ReasonOf(api_.StreamAction(caller, stream).status()), "ROLE_MISSING");
    EXPECT_EQ(ReasonOf(api_.AttachAction(caller, {}).status()), "ROLE_MISSING");
    EXPECT_EQ(ReasonOf(api_.GetAction(caller, {}).status()), "ROLE_MISSING");
    EXPECT_EQ(ReasonOf(api_.ListActions(caller, {}).status()), "ROLE_MISSING");
    EXPECT_EQ(ReasonOf(Await<pb::KillActionResponse>([&](Reply<pb::KillActionResponse> reply) {
                         api_.KillAction(caller, {}, std::move(reply));
                       }).status()),
              "ROLE_MISSING");
    EXPECT_EQ(
        ReasonOf(Await<pb::CreateObjectsResponse>([&](Reply<pb::CreateObjectsResponse> reply) {
                   api_.CreateObjects(caller, {}, std::move(reply));
                 }).status()),
        "ROLE_MISSING");
  }
  EXPECT_THAT(launcher_.runs, IsEmpty());
}

TEST_F(ActionApiTest, AnUnknownServiceIsRefusedUnlessTheCommandMakesIt) {
  pb::RunActionRequest request;
  *request.mutable_command() = Command("other");
  Run(request);
  ASSERT_THAT(answers_, SizeIs(1));
  EXPECT_EQ(ReasonOf(answers_[0].status()), "SERVICE_UNKNOWN");
  request.mutable_command()->set_arguments(0, "create");
  Run(request);
  EXPECT_THAT(launcher_.runs, SizeIs(1));
  // Just written; the inventory does not have it yet.
  ASSERT_THAT(WriteFileAtomically(roots.etc + "/other.conf", "[DEFAULT]\n", {}), IsOk());
  request.mutable_command()->set_arguments(0, "start");
  Run(request);
  EXPECT_THAT(launcher_.runs, SizeIs(2));
}

TEST_F(ActionApiTest, ATimeLimitMustBePositive) {
  pb::RunActionRequest request = RunRequest();
  for (const int64_t seconds : {int64_t{0}, int64_t{-1}, int64_t{1} << 40}) {
    request.mutable_command()->mutable_time_limit()->set_seconds(seconds);
    Run(request);
    EXPECT_EQ(FieldOf(answers_.back().status()), "command.time_limit") << seconds;
  }
  request.mutable_command()->mutable_time_limit()->set_seconds(3);
  Run(request);
  ASSERT_THAT(launcher_.runs, SizeIs(1));
  EXPECT_EQ(launcher_.runs[0].spec.time_limit, std::chrono::milliseconds(3000));
}

TEST_F(ActionApiTest, AStreamTellsTheActionItsOutputAndItsEndAndIsOver) {
  pb::StreamActionRequest request;
  *request.mutable_command() = Command();
  OM_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<ActionStream> stream,
                          api_.StreamAction(Root(), request));
  EXPECT_EQ(Next(stream.get()).kind_case(), pb::StreamActionResponse::KIND_NOT_SET);
  launcher_.runs[0].spec.on_start(17);
  launcher_.runs[0].spec.on_chunk(2, "\xff");
  EXPECT_EQ(Next(stream.get()).action().pid(), 17);
  const pb::StreamActionResponse output = Next(stream.get());
  EXPECT_EQ(output.output().stream(), pb::OUTPUT_STREAM_STDERR);
  EXPECT_EQ(output.output().data(), "\xff");
  EXPECT_EQ(output.output().node(), "node1");
  EXPECT_FALSE(stream->over());
  End(0, 5);
  EXPECT_EQ(Next(stream.get()).end().exit_code(), 5);
  EXPECT_TRUE(stream->over());
  pb::StreamActionResponse heartbeat;
  ASSERT_TRUE(heartbeat.ParseFromString(*stream->HeartbeatMessage()));
  EXPECT_TRUE(heartbeat.has_heartbeat());
}

TEST_F(ActionApiTest, AStreamOfWhatCannotBeRunEndsWithWhy) {
  pb::StreamActionRequest request;
  *request.mutable_command() = Command();
  OM_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<ActionStream> stream,
                          api_.StreamAction(Root(), request));
  ProcessResult missing;
  missing.status = absl::NotFoundError("no crm");
  launcher_.End(0, missing);
  EXPECT_EQ(ReasonOf(stream->Next().status()), "PROGRAM_NOT_FOUND");
}

TEST_F(ActionApiTest, TheEndOfAStreamEndsItsCommandAndThatOfAnAttachedOneDoesNot) {
  pb::StreamActionRequest request;
  *request.mutable_command() = Command();
  OM_ASSERT_OK_AND_ASSIGN(std::shared_ptr<ActionStream> stream, api_.StreamAction(Root(), request));
  launcher_.runs[0].spec.on_start(17);
  pb::AttachActionRequest attach;
  attach.set_action_id(Next(stream.get()).action().id());
  OM_ASSERT_OK_AND_ASSIGN(std::shared_ptr<ActionStream> attached,
                          api_.AttachAction(Root(), attach));
  attached.reset();
  EXPECT_FALSE(launcher_.runs[0].terminated);
  stream.reset();
  EXPECT_TRUE(launcher_.runs[0].terminated);
}

TEST_F(ActionApiTest, OnlyTheNamedSignalsAreSent) {
  Run(RunRequest());
  OM_ASSERT_OK_AND_ASSIGN(const pb::ListActionsResponse list, api_.ListActions(Root(), {}));
  pb::KillActionRequest request;
  request.set_action_id(list.actions(0).id());
  const auto kill = [&](const std::string& signal) {
    request.set_signal(signal);
    return Await<pb::KillActionResponse>([&](Reply<pb::KillActionResponse> reply) {
             api_.KillAction(Root(), request, std::move(reply));
           })
        .status();
  };
  for (const char* signal : {"", "KILL", "HUP"}) EXPECT_THAT(kill(signal), IsOk());
  for (const char* signal : {"STOP", "9", "SIGTERM", "term"}) {
    EXPECT_EQ(FieldOf(kill(signal)), "signal") << signal;
  }
  EXPECT_THAT(launcher_.runs[0].signals, ElementsAre(SIGTERM, SIGKILL, SIGHUP));
}

TEST_F(ActionApiTest, PageTokensAndSizesThatDoNotFitAreRefused) {
  pb::ListActionsRequest request;
  request.set_page_token("0");
  EXPECT_EQ(ReasonOf(api_.ListActions(Root(), request).status()), "INVALID_PAGE_TOKEN");
  request.set_page_token("");
  request.set_page_size(1001);
  EXPECT_EQ(FieldOf(api_.ListActions(Root(), request).status()), "page_size");
  request.set_page_size(0);
  request.set_path("../x");
  EXPECT_EQ(FieldOf(api_.ListActions(Root(), request).status()), "path");
}

}  // namespace
}  // namespace om
