#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/service/log_api.h"
#include "tests/server/service/service_fixture.h"

namespace om {
namespace {

namespace pb = control::v1;
using absl::StatusCode;

constexpr char kLine[] = "2026-11-22 18:00:00,123 - node1.svc1.app#1 - ";

class LogApiTest : public ::testing::Test {
 protected:
  LogApiTest() {
    fixture_.AddService("svc1", /*up=*/true);
    fixture_.AddService("space/svc/svc2", /*up=*/true);
    fixture_.Start();
  }

  void Append(const std::string& file, const std::string& text) {
    const std::filesystem::path path = absl::StrCat(fixture_.dir.path(), "/log/", file);
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::app | std::ios::binary) << text;
  }
  static pb::ReadLogRequest Whole(const std::string& path) {
    pb::ReadLogRequest request;
    request.set_path(path);
    request.set_whole_file(true);
    return request;
  }
  std::shared_ptr<LogStream> Open(const pb::ReadLogRequest& request) {
    absl::StatusOr<std::shared_ptr<LogStream>> stream =
        api_.ReadLog(ServiceFixture::Root(), request);
    EXPECT_THAT(stream, IsOk());
    fixture_.loop.RunReady();
    return stream.ok() ? *stream : nullptr;
  }
  absl::Status Refusal(const pb::ReadLogRequest& request,
                       const Caller& caller = ServiceFixture::Root()) {
    const absl::StatusOr<std::shared_ptr<LogStream>> stream = api_.ReadLog(caller, request);
    return stream.status();
  }
  // All that comes until the stream is over, in one message.
  pb::ReadLogResponse TakeAll(LogStream* stream) {
    pb::ReadLogResponse all;
    while (true) {
      absl::StatusOr<std::optional<pb::ReadLogResponse>> message = stream->NextMessage();
      EXPECT_THAT(message, IsOk());
      if (!message.ok()) return all;
      if (message->has_value()) {
        const std::string raw = absl::StrCat(all.raw(), (*message)->raw());
        all.MergeFrom(**message);
        all.set_raw(raw);
      } else if (stream->over()) {
        return all;
      } else {
        fixture_.loop.RunReady();
      }
    }
  }

  ServiceFixture fixture_;
  LogTailer tailer_{
      &fixture_.loop, &fixture_.clock, &fixture_.counters, {.chunk_bytes = 128, .max_readers = 2}};
  LogApi api_{&fixture_.context, &tailer_};
};

TEST_F(LogApiTest, LinesAreParsedAndKeptAsTheyAre) {
  Append("svc1.log", absl::StrCat(kLine, "WARNING - late\n  very\nodd \xff\n"));
  const pb::ReadLogResponse all = TakeAll(Open(Whole("svc1")).get());
  EXPECT_EQ(all.node(), "node1");
  ASSERT_EQ(all.entries_size(), 3);
  EXPECT_EQ(all.entries(0).node(), "node1");
  EXPECT_EQ(all.entries(0).object(), "svc1");
  EXPECT_EQ(all.entries(0).resource_id(), "app#1");
  EXPECT_EQ(all.entries(0).level(), "WARNING");
  EXPECT_EQ(all.entries(0).message(), "late");
  EXPECT_EQ(all.entries(0).raw(), absl::StrCat(kLine, "WARNING - late"));
  EXPECT_TRUE(all.entries(0).has_time());
  EXPECT_EQ(all.entries(1).raw(), "  very");
  EXPECT_TRUE(all.entries(1).continuation());
  EXPECT_EQ(all.entries(2).raw(), "odd \xff");
}

TEST_F(LogApiTest, AnEmptyPathIsTheNodesLogAndOthersAreTheirObjects) {
  Append("node.log", "of the node\n");
  Append("namespaces/space/svc/svc2.log", "of svc2\n");
  pb::ReadLogRequest request = Whole("");
  request.set_raw(true);
  EXPECT_EQ(TakeAll(Open(request).get()).raw(), "of the node\n");
  request.set_path("space/svc/svc2");
  EXPECT_EQ(TakeAll(Open(request).get()).raw(), "of svc2\n");
}

TEST_F(LogApiTest, TheCursorOfEachMessageResumesRightAfterIt) {
  std::string all;
  for (int i = 0; i < 50; ++i) absl::StrAppend(&all, kLine, "INFO - line ", i, "\n");
  Append("svc1.log", all);
  pb::ReadLogRequest request = Whole("svc1");
  request.set_raw(true);
  std::string got;
  while (true) {
    const std::shared_ptr<LogStream> stream = Open(request);
    ASSERT_NE(stream, nullptr);
    const absl::StatusOr<std::optional<pb::ReadLogResponse>> message = stream->NextMessage();
    ASSERT_THAT(message, IsOk());
    if (!message->has_value()) {
      EXPECT_TRUE(stream->over());
      break;
    }
    EXPECT_FALSE((*message)->gap());
    got += (*message)->raw();
    request.set_cursor((*message)->cursor());
  }
  EXPECT_EQ(got, all);
}

TEST_F(LogApiTest, AFilterThatLetsNothingThroughLetsOthersHaveTheThread) {
  for (int i = 0; i < 100; ++i) Append("svc1.log", absl::StrCat(kLine, "INFO - line ", i, "\n"));
  Append("svc1.log", absl::StrCat(kLine, "ERROR - found\n"));
  pb::ReadLogRequest request = Whole("svc1");
  request.mutable_filter()->set_min_level("ERROR");
  const std::shared_ptr<LogStream> stream = Open(request);
  int wakes = 0;
  stream->SetWake([&wakes] { ++wakes; });
  int pauses = 0;
  pb::ReadLogResponse found;
  while (!stream->over()) {
    const absl::StatusOr<std::optional<pb::ReadLogResponse>> message = stream->NextMessage();
    ASSERT_THAT(message, IsOk());
    if (message->has_value()) {
      found.MergeFrom(**message);
      continue;
    }
    if (stream->over()) break;
    // Whoever pauses is woken: nobody else would go on.
    ++pauses;
    const int before = wakes;
    fixture_.loop.RunReady();
    ASSERT_GT(wakes, before);
  }
  EXPECT_GT(pauses, 5);
  ASSERT_EQ(found.entries_size(), 1);
  EXPECT_EQ(found.entries(0).message(), "found");
}

TEST_F(LogApiTest, AFollowerIsToldThatItCaughtUpAndOfALogThatAppears) {
  pb::ReadLogRequest request = Whole("svc1");
  request.set_follow(true);
  const std::shared_ptr<LogStream> stream = Open(request);
  absl::StatusOr<std::optional<pb::ReadLogResponse>> message = stream->NextMessage();
  ASSERT_THAT(message, IsOk());
  ASSERT_TRUE(message->has_value());
  EXPECT_TRUE((*message)->caught_up());
  Append("svc1.log", absl::StrCat(kLine, "INFO - here\n"));
  fixture_.Settle();
  message = stream->NextMessage();
  ASSERT_THAT(message, IsOk());
  ASSERT_TRUE(message->has_value());
  ASSERT_EQ((*message)->entries_size(), 1);
  EXPECT_EQ((*message)->entries(0).message(), "here");
  EXPECT_FALSE(stream->over());
}

TEST_F(LogApiTest, RequestsThatCannotBeAreRefusedByName) {
  EXPECT_EQ(ReasonOf(Refusal(Whole("nosuch"))), "SERVICE_UNKNOWN");
  EXPECT_EQ(Refusal(Whole("../etc")).code(), StatusCode::kInvalidArgument);
  pb::ReadLogRequest request;
  request.set_cursor("nonsense");
  EXPECT_EQ(ReasonOf(Refusal(request)), "BAD_CURSOR");
  request = Whole("");
  request.mutable_filter()->set_min_level("LOUD");
  EXPECT_EQ(Refusal(request).code(), StatusCode::kInvalidArgument);
  request.mutable_filter()->set_min_level("");
  request.mutable_filter()->mutable_since()->set_nanos(-1);
  EXPECT_EQ(Refusal(request).code(), StatusCode::kInvalidArgument);
  request = Whole("");
  request.set_raw(true);
  request.mutable_filter()->set_text("x");
  EXPECT_EQ(Refusal(request).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Refusal(Whole(""), ServiceFixture::Guest()).code(), StatusCode::kPermissionDenied);
}

TEST_F(LogApiTest, ReadersPastTheCapAreRefusedUntilOneLeaves) {
  Append("node.log", "x\n");
  std::shared_ptr<LogStream> first = Open(Whole(""));
  const std::shared_ptr<LogStream> second = Open(Whole(""));
  EXPECT_EQ(ReasonOf(Refusal(Whole(""))), "TOO_MANY_READERS");
  first.reset();
  EXPECT_THAT(Refusal(Whole("")), IsOk());
}

}  // namespace
}  // namespace om
