#include "client/watch.h"

#include <functional>
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

using om::control::v1::WatchStatusRequest;
using om::control::v1::WatchStatusResponse;
using std::chrono::milliseconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Writer = grpc::ServerWriter<WatchStatusResponse>;

WatchStatusResponse Piece(uint64_t revision) {
  WatchStatusResponse message;
  message.mutable_state()->set_revision(revision);
  return message;
}

WatchStatusResponse End(uint64_t revision, const std::string& token) {
  WatchStatusResponse message;
  message.mutable_state_end()->set_revision(revision);
  message.set_resume_token(token);
  return message;
}

WatchStatusResponse Change(uint64_t revision, const std::string& token) {
  WatchStatusResponse message;
  message.mutable_change()->set_revision(revision);
  message.set_resume_token(token);
  return message;
}

// A stream that checks the token it is started with, sends `messages` and ends with `end`.
FakeDaemon::WatchScript Stream(std::string token, std::vector<WatchStatusResponse> messages,
                               grpc::Status end) {
  return [token = std::move(token), messages = std::move(messages), end](
             grpc::ServerContext*, const WatchStatusRequest& request, Writer* writer) {
    EXPECT_EQ(request.resume_token(), token);
    for (const WatchStatusResponse& message : messages) writer->Write(message);
    return end;
  };
}

// Writes down what it is told, and ends the watch at revision `last`.
class Recorder final : public StatusListener {
 public:
  explicit Recorder(uint64_t last) : last_(last) {}

  bool OnMessage(const WatchStatusResponse& message) override {
    if (message.has_state()) Note("state", message.state().revision());
    if (message.has_state_end()) Note("end", message.state_end().revision());
    if (message.has_change()) Note("change", message.change().revision());
    if (on_message) on_message();
    return !(message.has_change() && message.change().revision() == last_);
  }
  void OnGap(const absl::Status& why) override {
    log.push_back(absl::StrCat("gap ", absl::StatusCodeToString(why.code())));
  }
  void OnReconnect(const absl::Status&, milliseconds delay) override {
    delays.push_back(delay);
    if (on_reconnect) on_reconnect();
  }

  std::vector<std::string> log;
  std::vector<milliseconds> delays;
  std::function<void()> on_message;
  std::function<void()> on_reconnect;

 private:
  void Note(const char* what, uint64_t revision) {
    log.push_back(absl::StrCat(what, " ", revision));
  }
  const uint64_t last_;
};

class StatusWatcherTest : public ::testing::Test {
 protected:
  StatusWatcherTest() : daemon_(root_.path()) {
    daemon_.Start();
    connection_ = std::make_unique<Connection>(*UnixEndpoint(root_.path()));
    options_.first_delay = milliseconds(1);
    options_.longest_delay = milliseconds(8);
  }

  TempDir root_;
  FakeDaemon daemon_;
  std::unique_ptr<Connection> connection_;
  WatchOptions options_;
};

const grpc::Status kTooOld(grpc::StatusCode::OUT_OF_RANGE, "changes have been forgotten");
const grpc::Status kGoingAway(grpc::StatusCode::UNAVAILABLE, "the daemon is stopping");

TEST_F(StatusWatcherTest, GoesOnWithTheLastTokenWithoutGapAfterALostStream) {
  daemon_.ScriptWatches(
      {Stream("", {Piece(5), Piece(5), End(5, "t5"), Change(6, "t6")}, kGoingAway),
       Stream("t6", {Change(7, "t7")}, grpc::Status::OK),
       Stream("t7", {Change(8, "t8")}, grpc::Status::OK)});
  Recorder recorder(8);
  StatusWatcher watcher(connection_.get(), &recorder, options_);
  EXPECT_THAT(watcher.Run(Soon()), IsOk());
  EXPECT_THAT(recorder.log,
              ElementsAre("state 5", "state 5", "end 5", "change 6", "change 7", "change 8"));
  EXPECT_EQ(recorder.delays.size(), 2u);
  EXPECT_EQ(watcher.resume_token(), "t8");
}

TEST_F(StatusWatcherTest, GoesOnAfterTheDaemonWasRestarted) {
  daemon_.ScriptWatches(
      {[](grpc::ServerContext* context, const WatchStatusRequest&, Writer* writer) {
         writer->Write(End(5, "t5"));
         while (!context->IsCancelled()) std::this_thread::yield();
         return grpc::Status::CANCELLED;
       },
       Stream("t5", {}, kTooOld), Stream("", {Piece(1), End(1, "n1")}, kGoingAway),
       Stream("n1", {Change(2, "n2")}, grpc::Status::OK)});
  Recorder recorder(2);
  std::thread restarter;
  recorder.on_message = [&] {
    if (restarter.joinable()) return;
    restarter = std::thread([this] {
      daemon_.Stop();
      daemon_.Start();
    });
  };
  StatusWatcher watcher(connection_.get(), &recorder, options_);
  EXPECT_THAT(watcher.Run(Soon()), IsOk());
  restarter.join();
  EXPECT_THAT(recorder.log,
              ElementsAre("end 5", "gap OUT_OF_RANGE", "state 1", "end 1", "change 2"));
}

TEST_F(StatusWatcherTest, VoidTokenIsAnnouncedAsAGapAndTheStateFollowsAtOnce) {
  options_.resume_token = "old";
  daemon_.ScriptWatches({Stream("old", {}, kTooOld),
                         Stream("", {Piece(9), End(9, "t9"), Change(10, "t10")}, kGoingAway)});
  Recorder recorder(10);
  StatusWatcher watcher(connection_.get(), &recorder, options_);
  EXPECT_THAT(watcher.Run(Soon()), IsOk());
  EXPECT_THAT(recorder.log, ElementsAre("gap OUT_OF_RANGE", "state 9", "end 9", "change 10"));
  EXPECT_TRUE(recorder.delays.empty());
}

TEST_F(StatusWatcherTest, AfterAGapTheStateComesEvenIfOnlyChangesWereAskedFor) {
  options_.only_changes = true;
  daemon_.ScriptWatches(
      {[](grpc::ServerContext*, const WatchStatusRequest& request, Writer* writer) {
         EXPECT_TRUE(request.only_changes());
         writer->Write(Change(3, "t3"));
         return kTooOld;
       },
       [](grpc::ServerContext*, const WatchStatusRequest& request, Writer* writer) {
         EXPECT_FALSE(request.only_changes());
         writer->Write(End(4, "t4"));
         writer->Write(Change(5, "t5"));
         return grpc::Status::OK;
       }});
  Recorder recorder(5);
  StatusWatcher watcher(connection_.get(), &recorder, options_);
  EXPECT_THAT(watcher.Run(Soon()), IsOk());
  EXPECT_THAT(recorder.log, ElementsAre("change 3", "gap OUT_OF_RANGE", "end 4", "change 5"));
}

TEST_F(StatusWatcherTest, StateThatStopsHalfWayIsAnnouncedAndSentAnew) {
  daemon_.ScriptWatches({Stream("", {Piece(5)}, kGoingAway),
                         Stream("", {Piece(6), End(6, "t6"), Change(7, "t7")}, grpc::Status::OK)});
  Recorder recorder(7);
  StatusWatcher watcher(connection_.get(), &recorder, options_);
  EXPECT_THAT(watcher.Run(Soon()), IsOk());
  EXPECT_THAT(recorder.log,
              ElementsAre("state 5", "gap UNAVAILABLE", "state 6", "end 6", "change 7"));
}

TEST_F(StatusWatcherTest, RefusalIsFinal) {
  daemon_.FailNext({grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "guests may not")});
  Recorder recorder(1);
  StatusWatcher watcher(connection_.get(), &recorder, options_);
  EXPECT_THAT(watcher.Run(Soon()),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("guests")));
  EXPECT_TRUE(recorder.log.empty());
}

TEST_F(StatusWatcherTest, WaitsGrowUpToTheLongestAndAreAsLongAsTheDaemonAsks) {
  std::vector<grpc::Status> failures(6, kGoingAway);
  failures.push_back(
      DetailedError(grpc::StatusCode::RESOURCE_EXHAUSTED, "streams", "STREAM_LIMIT", "", 30));
  daemon_.FailNext(failures);
  daemon_.ScriptWatches({Stream("", {Change(1, "t1")}, grpc::Status::OK)});
  Recorder recorder(1);
  StatusWatcher watcher(connection_.get(), &recorder, options_);
  EXPECT_THAT(watcher.Run(Soon()), IsOk());
  ASSERT_EQ(recorder.delays.size(), 7u);
  for (size_t i = 0; i < 6; ++i) {
    const milliseconds whole(std::min(8, 1 << i));
    EXPECT_LE(recorder.delays[i], whole) << i;
    EXPECT_GE(recorder.delays[i], whole / 2) << i;
  }
  EXPECT_GE(recorder.delays[6], milliseconds(30));
}

TEST_F(StatusWatcherTest, StopEndsAnOpenStream) {
  daemon_.ScriptWatches(
      {[](grpc::ServerContext* context, const WatchStatusRequest&, Writer* writer) {
        writer->Write(End(5, "t5"));
        while (!context->IsCancelled()) std::this_thread::yield();
        return grpc::Status::CANCELLED;
      }});
  Recorder recorder(100);
  StatusWatcher watcher(connection_.get(), &recorder, options_);
  std::thread stopper;
  recorder.on_message = [&] { stopper = std::thread([&] { watcher.Stop(); }); };
  EXPECT_THAT(watcher.Run(Soon()), StatusIs(absl::StatusCode::kCancelled));
  stopper.join();
}

TEST_F(StatusWatcherTest, StopEndsAPause) {
  options_.first_delay = options_.longest_delay = std::chrono::hours(1);
  daemon_.FailNext({kGoingAway});
  Recorder recorder(100);
  StatusWatcher watcher(connection_.get(), &recorder, options_);
  std::thread stopper;
  recorder.on_reconnect = [&] { stopper = std::thread([&] { watcher.Stop(); }); };
  EXPECT_THAT(watcher.Run(MonotonicTime::max()), StatusIs(absl::StatusCode::kCancelled));
  stopper.join();
}

TEST_F(StatusWatcherTest, DeadlineEndsAWatchThatHasNoDaemon) {
  daemon_.Stop();
  Recorder recorder(100);
  StatusWatcher watcher(connection_.get(), &recorder, options_);
  EXPECT_THAT(watcher.Run(std::chrono::steady_clock::now() + milliseconds(50)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

}  // namespace
}  // namespace om
