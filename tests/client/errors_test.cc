#include "client/errors.h"

#include <google/protobuf/stubs/logging.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/base/json.h"
#include "server/base/status.h"
#include "tests/client/fake_daemon.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Optional;

const grpc::Status kUnknownThread =
    DetailedError(grpc::StatusCode::NOT_FOUND, "there is no thread 'x'; there are: listener",
                  "UNKNOWN_THREAD", "thread_id");

TEST(ErrorsTest, TextNamesErrorReasonFieldAndHint) {
  EXPECT_EQ(FormatError(DescribeError(kUnknownThread)),
            "there is no thread 'x'; there are: listener\n"
            "  error:   NOT_FOUND, reason UNKNOWN_THREAD\n"
            "  field:   thread_id: is not right\n"
            "  hint:    'omctl daemon threads' lists the threads\n");
}

TEST(ErrorsTest, ReasonThatOnlyRepeatsTheCodeIsNotSaidTwice) {
  const ErrorReport report =
      DescribeError(DetailedError(grpc::StatusCode::INTERNAL, "it broke", "INTERNAL"));
  EXPECT_EQ(FormatError(report), "it broke\n  error:   INTERNAL\n");
}

TEST(ErrorsTest, RetryDelayIsToldInSeconds) {
  const ErrorReport report = DescribeError(DetailedError(
      grpc::StatusCode::RESOURCE_EXHAUSTED, "too many streams", "STREAM_LIMIT", "", 1500));
  EXPECT_THAT(report.retry_delay, Optional(Eq(std::chrono::milliseconds(1500))));
  EXPECT_THAT(FormatError(report), HasSubstr("  retry:   in 1.5 s\n"));
}

TEST(ErrorsTest, HintOfTheDaemonIsTakenWhereWeHaveNoneOfOurOwn) {
  const auto with_hint = [](const std::string& reason) {
    google::rpc::ErrorInfo info;
    info.set_reason(reason);
    (*info.mutable_metadata())["hint"] = "from the daemon";
    google::rpc::Status details;
    details.add_details()->PackFrom(info);
    return DescribeError({grpc::StatusCode::ABORTED, "no", details.SerializeAsString()});
  };
  EXPECT_EQ(with_hint("SOMETHING_NEW").hint, "from the daemon");
  EXPECT_THAT(with_hint("UNKNOWN_THREAD").hint, HasSubstr("omctl daemon threads"));
  EXPECT_THAT(with_hint("UNKNOWN_THREAD").facts, IsEmpty());
}

TEST(ErrorsTest, JsonHoldsWhatTheTextHolds) {
  const auto json = ParseJson(FormatErrorJson(DescribeError(kUnknownThread)));
  ASSERT_THAT(json, IsOk());
  EXPECT_EQ((*json)["error"]["code"], "NOT_FOUND");
  EXPECT_EQ((*json)["error"]["reason"], "UNKNOWN_THREAD");
  EXPECT_EQ((*json)["error"]["fieldViolations"][0]["field"], "thread_id");
}

TEST(ErrorsTest, StatusCarriesReasonFieldAndDelay) {
  const absl::Status status = ToAbslStatus(kUnknownThread);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound, HasSubstr("no thread 'x'")));
  EXPECT_EQ(ReasonOf(status), "UNKNOWN_THREAD");
  EXPECT_EQ(FieldOf(status), "thread_id");
  EXPECT_THAT(ToAbslStatus(grpc::Status::OK), IsOk());
}

TEST(ErrorsTest, DamagedDetailsAreLeftOutAndNeverFatal) {
  const google::protobuf::LogSilencer silencer;  // Of complaints about invalid UTF-8.
  const std::string details = kUnknownThread.error_details();
  for (size_t length = 0; length < details.size(); ++length) {
    const grpc::Status cut(grpc::StatusCode::NOT_FOUND, "text", details.substr(0, length));
    EXPECT_THAT(FormatError(DescribeError(cut)), HasSubstr("NOT_FOUND")) << length;
  }
  for (size_t i = 0; i < details.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = details;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      const grpc::Status damaged(grpc::StatusCode::NOT_FOUND, "text", flipped);
      EXPECT_THAT(FormatError(DescribeError(damaged)), HasSubstr("NOT_FOUND"));
    }
  }
}

TEST(ErrorsTest, ControlCharactersDoNotReachTheTerminal) {
  EXPECT_EQ(Printable("a\x1b[2Jb\nc\x7f\xc2\x9b"
                      "d\xc3\xa9"),
            "a?[2Jb?c??d\xc3\xa9");
  EXPECT_EQ(Printable("a\nb\tc", /*keep_newlines=*/true), "a\nb\tc");
  const grpc::Status hostile(grpc::StatusCode::INTERNAL, "x\x1b]0;title\x07");
  EXPECT_THAT(FormatError(DescribeError(hostile)), Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace om
