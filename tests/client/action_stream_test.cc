#include "client/action_stream.h"

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/client/fake_daemon.h"
#include "tests/client/soon.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using namespace om::control::v1;  // NOLINT: most names here are messages.
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const grpc::Status kBroken(grpc::StatusCode::UNAVAILABLE, "the daemon is stopping");

template <class Response>
Response Begin() {
  Response message;
  message.mutable_action()->set_id("a1");
  message.mutable_action()->set_stdout_bytes(4);
  return message;
}

template <class Response>
Response Output(uint64_t offset, const std::string& data, uint64_t missed = 0,
                OutputStream stream = OUTPUT_STREAM_STDOUT) {
  Response message;
  message.mutable_output()->set_stream(stream);
  message.mutable_output()->set_offset(offset);
  message.mutable_output()->set_data(data);
  message.mutable_output()->set_missed_bytes(missed);
  return message;
}

template <class Response>
Response End(int exit_code) {
  Response message;
  message.mutable_end()->set_id("a1");
  message.mutable_end()->set_state(ACTION_STATE_EXITED);
  message.mutable_end()->set_exit_code(exit_code);
  return message;
}

using Streamed = StreamActionResponse;
using Attached = AttachActionResponse;

template <class Request, class Response>
FakeDaemon::Script<Request, Response> Says(std::vector<Response> messages,
                                           grpc::Status end = grpc::Status::OK) {
  return [messages = std::move(messages), end](grpc::ServerContext*, const Request&,
                                               grpc::ServerWriter<Response>* writer) {
    for (const Response& message : messages) writer->Write(message);
    return end;
  };
}
constexpr auto RunSays = Says<StreamActionRequest, Streamed>;
constexpr auto AttachSays = Says<AttachActionRequest, Attached>;

// Writes down what it is told.
class Recorder final : public ActionListener {
 public:
  void OnAction(const Action& action) override { log.push_back("action " + action.id()); }
  bool OnOutput(const ActionOutput& output) override {
    log.push_back(
        absl::StrCat(output.stream() == OUTPUT_STREAM_STDERR ? "err " : "out ", output.data()));
    if (on_output) on_output();
    return output.data() != leave_at;
  }
  void OnMissed(OutputStream, uint64_t bytes) override {
    log.push_back(absl::StrCat("missed ", bytes));
  }
  void OnReconnect(const absl::Status& why, milliseconds) override {
    log.push_back(absl::StrCat("again ", absl::StatusCodeToString(why.code())));
  }

  std::vector<std::string> log;
  std::string leave_at = "nothing";
  std::function<void()> on_output;
};

class ActionStreamTest : public ::testing::Test {
 protected:
  ActionStreamTest() : daemon_(root_.path()) {
    daemon_.Start();
    connection_ = std::make_unique<Connection>(*UnixEndpoint(root_.path()));
    stream_ = std::make_unique<ActionStream>(
        connection_.get(), &recorder_,
        StreamLoop::Options{milliseconds(1), milliseconds(8), /*jitter_seed=*/1});
    request_.mutable_command()->add_arguments("run");
    attach_.set_action_id("a1");
  }

  TempDir root_;
  FakeDaemon daemon_;
  std::unique_ptr<Connection> connection_;
  Recorder recorder_;
  std::unique_ptr<ActionStream> stream_;
  StreamActionRequest request_;
  AttachActionRequest attach_;
};

TEST_F(ActionStreamTest, TellsTheActionItsOutputAsItIsAndItsEnd) {
  Streamed heartbeat;
  heartbeat.mutable_heartbeat();
  const std::string odd("\xff\0\n", 3);
  daemon_.ScriptActions(
      {RunSays({Begin<Streamed>(), Output<Streamed>(0, odd), heartbeat,
                Output<Streamed>(0, "bad", 0, OUTPUT_STREAM_STDERR), End<Streamed>(3)},
               grpc::Status::OK)});
  OM_ASSERT_OK_AND_ASSIGN(const Action end, stream_->Run(request_, Soon()));
  EXPECT_EQ(end.exit_code(), 3);
  EXPECT_THAT(recorder_.log, ElementsAre("action a1", "out " + odd, "err bad"));
}

TEST_F(ActionStreamTest, BrokenStreamOfADetachedActionGoesOnWhereItStopped) {
  request_.set_detach(true);
  daemon_.ScriptActions({RunSays({Begin<Streamed>(), Output<Streamed>(0, "abcd")}, kBroken)});
  daemon_.ScriptAttaches(
      {AttachSays({Begin<Attached>()}, kBroken),
       AttachSays({Begin<Attached>(), Output<Attached>(0, "ab"), Output<Attached>(2, "cdef"),
                   Output<Attached>(9, "j", 3), End<Attached>(0)},
                  grpc::Status::OK)});
  OM_ASSERT_OK_AND_ASSIGN(const Action end, stream_->Run(request_, Soon()));
  EXPECT_EQ(end.id(), "a1");
  EXPECT_THAT(recorder_.log, ElementsAre("action a1", "out abcd", "again UNAVAILABLE",
                                         "again UNAVAILABLE", "out ef", "missed 3", "out j"));
}

TEST_F(ActionStreamTest, BrokenStreamEndsWhatWasNotDetached) {
  daemon_.ScriptActions({RunSays({Begin<Streamed>(), Output<Streamed>(0, "abcd")}, kBroken)});
  EXPECT_THAT(stream_->Run(request_, Soon()), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(stream_->last_status().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(daemon_.Requests(), SizeIs(1));
}

TEST_F(ActionStreamTest, CommandThatNobodyHeardOfIsNotRunAgain) {
  request_.set_detach(true);
  daemon_.ScriptActions({RunSays({}, kBroken)});
  EXPECT_THAT(stream_->Run(request_, Soon()), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(daemon_.Requests(), SizeIs(1));
}

TEST_F(ActionStreamTest, StopCancelsTheCall) {
  absl::Status end;
  bool cancelled = false;
  daemon_.ScriptActions({[&](grpc::ServerContext* context, const StreamActionRequest&,
                             grpc::ServerWriter<Streamed>* writer) {
    writer->Write(Begin<Streamed>());
    writer->Write(Output<Streamed>(0, "x"));
    while (!context->IsCancelled()) std::this_thread::yield();
    cancelled = true;
    return grpc::Status::CANCELLED;
  }});
  recorder_.on_output = [this] { stream_->Stop(); };
  EXPECT_THAT(stream_->Run(request_, Soon()), StatusIs(absl::StatusCode::kCancelled));
  daemon_.Stop();
  EXPECT_TRUE(cancelled);
}

TEST_F(ActionStreamTest, ListenerThatLeavesEndsTheCall) {
  recorder_.leave_at = "b";
  daemon_.ScriptAttaches({AttachSays({Begin<Attached>(), Output<Attached>(0, "a"),
                                      Output<Attached>(1, "b"), Output<Attached>(2, "c")},
                                     grpc::Status::OK)});
  EXPECT_THAT(stream_->Attach(attach_, Soon()), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(recorder_.log, ElementsAre("action a1", "out a", "out b"));
}

TEST_F(ActionStreamTest, AttachingTellsWhatIsNotKeptAnyMore) {
  daemon_.ScriptAttaches(
      {AttachSays({Begin<Attached>(), Output<Attached>(100, "rest", 100), End<Attached>(0)},
                  grpc::Status::OK)});
  EXPECT_THAT(stream_->Attach(attach_, Soon()), IsOk());
  EXPECT_THAT(recorder_.log, ElementsAre("action a1", "missed 100", "out rest"));
}

TEST_F(ActionStreamTest, OnlyNewOutputStaysSoAfterABrokenStream) {
  attach_.set_only_new(true);
  daemon_.ScriptAttaches(
      {AttachSays({Begin<Attached>()}, kBroken),
       AttachSays({Begin<Attached>(), Output<Attached>(0, "old+new"), End<Attached>(0)},
                  grpc::Status::OK)});
  EXPECT_THAT(stream_->Attach(attach_, Soon()), IsOk());
  EXPECT_THAT(recorder_.log, ElementsAre("action a1", "again UNAVAILABLE", "out new"));
}

TEST_F(ActionStreamTest, RefusalIsReturnedAsItIs) {
  daemon_.FailNext({DetailedError(grpc::StatusCode::NOT_FOUND, "no action a1", "ACTION_UNKNOWN")});
  EXPECT_THAT(stream_->Attach(attach_, Soon()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no action a1")));
  EXPECT_THAT(recorder_.log, IsEmpty());
}

}  // namespace
}  // namespace om
