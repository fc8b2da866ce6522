#include "client/event_watch.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/client/fake_daemon.h"
#include "tests/client/soon.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using om::control::v1::WatchEventsRequest;
using om::control::v1::WatchEventsResponse;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const grpc::Status kBroken(grpc::StatusCode::UNAVAILABLE, "the daemon is stopping");

WatchEventsResponse Told(const std::string& id, const std::string& token) {
  WatchEventsResponse message;
  message.add_events()->set_id(id);
  message.set_resume_token(token);
  return message;
}

WatchEventsResponse Token(const std::string& token) {
  WatchEventsResponse message;
  message.set_resume_token(token);
  return message;
}

WatchEventsResponse AfterGap(const std::string& id, const std::string& token, uint64_t missed) {
  WatchEventsResponse message = Told(id, token);
  message.mutable_gap()->set_missed_changes(missed);
  return message;
}

FakeDaemon::EventScript From(std::string token, std::vector<WatchEventsResponse> messages,
                             grpc::Status end) {
  return [token = std::move(token), messages = std::move(messages), end](
             grpc::ServerContext*, const WatchEventsRequest& request,
             grpc::ServerWriter<WatchEventsResponse>* writer) {
    EXPECT_EQ(request.resume_token(), token);
    EXPECT_THAT(request.ids(), ElementsAre("instance_*"));
    for (const WatchEventsResponse& message : messages) writer->Write(message);
    return end;
  };
}

class Recorder final : public EventListener {
 public:
  bool OnMessage(const WatchEventsResponse& message) override {
    for (const auto& event : message.events()) log.push_back(event.id());
    return log.empty() || log.back() != "last";
  }
  void OnGap(std::optional<uint64_t> missed, const absl::Status&) override {
    log.push_back(missed.has_value() ? absl::StrCat("gap of ", *missed) : "gap");
  }
  void OnReconnect(const absl::Status&, milliseconds) override { ++reconnects; }

  std::vector<std::string> log;
  int reconnects = 0;
};

class EventWatcherTest : public ::testing::Test {
 protected:
  EventWatcherTest() : daemon_(root_.path()) {
    daemon_.Start();
    connection_ = std::make_unique<Connection>(*UnixEndpoint(root_.path()));
    request_.add_ids("instance_*");
  }

  absl::Status Run() {
    EventWatcher watcher(connection_.get(), &recorder_, request_,
                         {milliseconds(1), milliseconds(8), /*jitter_seed=*/1});
    const absl::Status end = watcher.Run(Soon());
    token_ = watcher.resume_token();
    return end;
  }

  TempDir root_;
  FakeDaemon daemon_;
  std::unique_ptr<Connection> connection_;
  Recorder recorder_;
  WatchEventsRequest request_;
  std::string token_;
};

TEST_F(EventWatcherTest, GoesOnWithTheLastTokenWithoutGap) {
  daemon_.ScriptEvents({From("", {Token("t0"), Told("a", "t1")}, kBroken), From("t1", {}, kBroken),
                        From("t1", {Told("last", "t2")}, {})});
  EXPECT_THAT(Run(), IsOk());
  EXPECT_THAT(recorder_.log, ElementsAre("a", "last"));
  EXPECT_EQ(recorder_.reconnects, 2);
  EXPECT_EQ(token_, "t2");
}

TEST_F(EventWatcherTest, GapOfTheDaemonIsToldBeforeItsEvents) {
  daemon_.ScriptEvents({From("", {Told("a", "t1"), AfterGap("last", "t9", 42)}, {})});
  EXPECT_THAT(Run(), IsOk());
  EXPECT_THAT(recorder_.log, ElementsAre("a", "gap of 42", "last"));
}

TEST_F(EventWatcherTest, TokenOfAnotherStartOfTheDaemonIsAGap) {
  request_.set_resume_token("old");
  daemon_.ScriptEvents(
      {From("old", {}, DetailedError(grpc::StatusCode::OUT_OF_RANGE, "start", "FOREIGN_TOKEN")),
       From("", {Told("last", "t1")}, {})});
  EXPECT_THAT(Run(), IsOk());
  EXPECT_THAT(recorder_.log, ElementsAre("gap", "last"));
  EXPECT_EQ(recorder_.reconnects, 0);
}

TEST_F(EventWatcherTest, StreamThatBreaksBeforeItsFirstTokenIsAGap) {
  daemon_.ScriptEvents(
      {From("", {}, kBroken), From("", {}, kBroken), From("", {Told("last", "t1")}, {})});
  EXPECT_THAT(Run(), IsOk());
  EXPECT_THAT(recorder_.log, ElementsAre("gap", "last"));
}

TEST_F(EventWatcherTest, FilterThatMakesNoSenseIsAnError) {
  daemon_.FailNext({grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "a glob is empty")});
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a glob is empty")));
}

}  // namespace
}  // namespace om
