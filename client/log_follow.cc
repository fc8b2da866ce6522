#include "client/log_follow.h"

#include <utility>

#include "client/errors.h"

namespace om {

using om::control::v1::LogService;
using om::control::v1::ReadLogRequest;
using om::control::v1::ReadLogResponse;

LogFollower::LogFollower(Connection* connection, LogListener* listener, ReadLogRequest request,
                         const StreamLoop::Options& options)
    : listener_(listener),
      stub_(LogService::NewStub(connection->channel())),
      request_(std::move(request)),
      loop_(connection, options) {}

grpc::Status LogFollower::ReadStream(grpc::ClientContext* context, StreamLoop::Progress* progress) {
  if (!cursor_.empty()) request_.set_cursor(cursor_);
  const auto reader = stub_->ReadLog(context, request_);
  ReadLogResponse message;
  while (!progress->ended && reader->Read(&message)) {
    progress->heard = true;
    if (!message.cursor().empty()) cursor_ = message.cursor();
    if (message.gap()) {
      listener_->OnGap(absl::DataLossError("files of the log went before they were read"));
    }
    progress->ended = !listener_->OnMessage(message);
  }
  if (progress->ended) context->TryCancel();
  return reader->Finish();
}

StreamLoop::Next LogFollower::Judge(const grpc::Status& status, const absl::Status& why) {
  if (status.ok() && !request_.follow()) return StreamLoop::Next::kDone;
  // The daemon cannot tell any more where we were: what is there now may have been read or not.
  if (status.error_code() == grpc::StatusCode::INVALID_ARGUMENT && !cursor_.empty() &&
      DescribeError(status).reason == "BAD_CURSOR") {
    listener_->OnGap(why);
    cursor_.clear();
    request_.set_end(true);
    return StreamLoop::Next::kAtOnce;
  }
  const bool again = request_.follow() ? WorthTryingAgain(status.error_code())
                                       : status.error_code() == grpc::StatusCode::UNAVAILABLE;
  return again ? StreamLoop::Next::kWait : StreamLoop::Next::kGiveUp;
}

absl::Status LogFollower::Run(MonotonicTime deadline) {
  return loop_.Run(deadline, this, &LogFollower::ReadStream, &LogFollower::Judge, listener_);
}

}  // namespace om
