#include "client/event_watch.h"

#include <utility>

namespace om {

using om::control::v1::EventService;
using om::control::v1::WatchEventsRequest;
using om::control::v1::WatchEventsResponse;

EventWatcher::EventWatcher(Connection* connection, EventListener* listener,
                           WatchEventsRequest request, const StreamLoop::Options& options)
    : listener_(listener),
      stub_(EventService::NewStub(connection->channel())),
      request_(std::move(request)),
      loop_(connection, options) {}

grpc::Status EventWatcher::ReadStream(grpc::ClientContext* context,
                                      StreamLoop::Progress* progress) {
  const auto reader = stub_->WatchEvents(context, request_);
  WatchEventsResponse message;
  while (!progress->ended && reader->Read(&message)) {
    progress->heard = true;
    gap_told_ = false;
    if (!message.resume_token().empty()) request_.set_resume_token(message.resume_token());
    if (message.has_gap()) {
      listener_->OnGap(message.gap().missed_changes(),
                       absl::DataLossError("the daemon does not know them any more"));
    }
    progress->ended = !listener_->OnMessage(message);
  }
  if (progress->ended) context->TryCancel();
  return reader->Finish();
}

StreamLoop::Next EventWatcher::Judge(const grpc::Status& status, const absl::Status& why) {
  if (!WorthTryingAgain(status.error_code())) return StreamLoop::Next::kGiveUp;
  // Without a token, what happens until the next stream is open is missed.
  const bool void_token =
      status.error_code() == grpc::StatusCode::OUT_OF_RANGE && !request_.resume_token().empty();
  if (void_token || request_.resume_token().empty()) {
    request_.clear_resume_token();
    if (!std::exchange(gap_told_, true)) listener_->OnGap(std::nullopt, why);
  }
  return void_token ? StreamLoop::Next::kAtOnce : StreamLoop::Next::kWait;
}

absl::Status EventWatcher::Run(MonotonicTime deadline) {
  return loop_.Run(deadline, this, &EventWatcher::ReadStream, &EventWatcher::Judge, listener_);
}

}  // namespace om
