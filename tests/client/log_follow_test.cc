#include "client/log_follow.h"

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

using om::control::v1::ReadLogRequest;
using om::control::v1::ReadLogResponse;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const grpc::Status kBroken(grpc::StatusCode::UNAVAILABLE, "the daemon is stopping");

ReadLogResponse Line(const std::string& text, const std::string& cursor, bool gap = false) {
  ReadLogResponse message;
  message.add_entries()->set_raw(text);
  message.set_cursor(cursor);
  message.set_gap(gap);
  return message;
}

// A stream that checks the cursor it is started with, and sends `messages`.
FakeDaemon::LogScript From(std::string cursor, std::vector<ReadLogResponse> messages,
                           grpc::Status end) {
  return [cursor = std::move(cursor), messages = std::move(messages), end](
             grpc::ServerContext*, const ReadLogRequest& request,
             grpc::ServerWriter<ReadLogResponse>* writer) {
    EXPECT_EQ(request.cursor(), cursor);
    for (const ReadLogResponse& message : messages) writer->Write(message);
    return end;
  };
}

// Writes down what it is told, and ends the reading at a line "last".
class Recorder final : public LogListener {
 public:
  bool OnMessage(const ReadLogResponse& message) override {
    for (const auto& entry : message.entries()) log.push_back(entry.raw());
    return log.empty() || log.back() != "last";
  }
  void OnGap(const absl::Status& why) override {
    log.push_back(absl::StrCat("gap ", absl::StatusCodeToString(why.code())));
  }
  void OnReconnect(const absl::Status&, milliseconds) override {
    ++reconnects;
    if (on_reconnect) on_reconnect();
  }

  std::vector<std::string> log;
  int reconnects = 0;
  std::function<void()> on_reconnect;
};

class LogFollowerTest : public ::testing::Test {
 protected:
  LogFollowerTest() : daemon_(root_.path()) {
    daemon_.Start();
    connection_ = std::make_unique<Connection>(*UnixEndpoint(root_.path()));
    request_.set_path("web");
    request_.set_backlog_lines(10);
    request_.set_follow(true);
  }

  absl::Status Run() {
    LogFollower follower(connection_.get(), &recorder_, request_,
                         {milliseconds(1), milliseconds(8), /*jitter_seed=*/1});
    const absl::Status end = follower.Run(Soon());
    cursor_ = follower.cursor();
    return end;
  }

  TempDir root_;
  FakeDaemon daemon_;
  std::unique_ptr<Connection> connection_;
  Recorder recorder_;
  ReadLogRequest request_;
  std::string cursor_;
};

TEST_F(LogFollowerTest, GoesOnWithTheLastCursorAfterALostStream) {
  daemon_.ScriptLogs({From("", {Line("a", "c1"), Line("b", "c2")}, kBroken),
                      From("c2", {Line("c", "c3")}, grpc::Status::OK),
                      From("c3", {Line("last", "c4")}, grpc::Status::OK)});
  EXPECT_THAT(Run(), IsOk());
  EXPECT_THAT(recorder_.log, ElementsAre("a", "b", "c", "last"));
  EXPECT_EQ(recorder_.reconnects, 2);
  EXPECT_EQ(cursor_, "c4");
}

TEST_F(LogFollowerTest, DaemonThatRestartsIsWaitedFor) {
  daemon_.ScriptLogs({From("", {Line("a", "c1")}, kBroken), From("c1", {Line("last", "c2")}, {})});
  recorder_.on_reconnect = [this] {
    if (recorder_.reconnects > 1) return;
    daemon_.Stop();
    daemon_.Start();
  };
  EXPECT_THAT(Run(), IsOk());
  EXPECT_THAT(recorder_.log, ElementsAre("a", "last"));
}

TEST_F(LogFollowerTest, GapIsToldBeforeTheLinesAfterIt) {
  daemon_.ScriptLogs({From("", {Line("a", "c1"), Line("last", "c9", /*gap=*/true)}, {})});
  EXPECT_THAT(Run(), IsOk());
  EXPECT_THAT(recorder_.log, ElementsAre("a", "gap DATA_LOSS", "last"));
}

TEST_F(LogFollowerTest, CursorThatIsNotKnownAnyMoreIsAGap) {
  daemon_.ScriptLogs(
      {From("", {Line("a", "c1")}, kBroken),
       From("c1", {}, DetailedError(grpc::StatusCode::INVALID_ARGUMENT, "cursor", "BAD_CURSOR")),
       [](grpc::ServerContext*, const ReadLogRequest& request,
          grpc::ServerWriter<ReadLogResponse>* writer) {
         EXPECT_TRUE(request.end());
         writer->Write(Line("last", "d1"));
         return grpc::Status::OK;
       }});
  EXPECT_THAT(Run(), IsOk());
  EXPECT_THAT(recorder_.log, ElementsAre("a", "gap INVALID_ARGUMENT", "last"));
}

TEST_F(LogFollowerTest, CursorOfTheCallerThatIsBadIsAnError) {
  request_.set_cursor("junk");
  daemon_.FailNext({DetailedError(grpc::StatusCode::INVALID_ARGUMENT, "bad cursor", "BAD_CURSOR")});
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("bad cursor")));
  EXPECT_THAT(recorder_.log, IsEmpty());
}

TEST_F(LogFollowerTest, WithoutFollowTheEndOfTheLogIsTheEnd) {
  request_.set_follow(false);
  daemon_.ScriptLogs({From("", {Line("a", "c1")}, kBroken), From("c1", {Line("b", "c2")}, {})});
  EXPECT_THAT(Run(), IsOk());
  EXPECT_THAT(recorder_.log, ElementsAre("a", "b"));
}

TEST_F(LogFollowerTest, WithoutFollowARefusalIsNotTriedAgain) {
  request_.set_follow(false);
  daemon_.FailNext(
      {DetailedError(grpc::StatusCode::RESOURCE_EXHAUSTED, "too many", "TOO_MANY_READERS")});
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(daemon_.Requests(), SizeIs(1));
}

TEST_F(LogFollowerTest, StopEndsTheWaitForTheNextLine) {
  LogFollower follower(connection_.get(), &recorder_, request_, {});
  daemon_.ScriptLogs({[&](grpc::ServerContext* context, const ReadLogRequest&,
                          grpc::ServerWriter<ReadLogResponse>* writer) {
    writer->Write(Line("a", "c1"));
    follower.Stop();
    while (!context->IsCancelled()) std::this_thread::yield();
    return grpc::Status::CANCELLED;
  }});
  EXPECT_THAT(follower.Run(Soon()), StatusIs(absl::StatusCode::kCancelled));
}

}  // namespace
}  // namespace om
