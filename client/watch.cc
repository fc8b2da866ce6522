#include "client/watch.h"

#include <utility>

namespace om {

using om::control::v1::DaemonService;
using om::control::v1::WatchStatusRequest;
using om::control::v1::WatchStatusResponse;

StatusWatcher::StatusWatcher(Connection* connection, StatusListener* listener, WatchOptions options)
    : listener_(listener),
      stub_(DaemonService::NewStub(connection->channel())),
      loop_(connection, {options.first_delay, options.longest_delay, options.jitter_seed}),
      token_(std::move(options.resume_token)),
      only_changes_(options.only_changes) {}

grpc::Status StatusWatcher::ReadStream(grpc::ClientContext* context,
                                       StreamLoop::Progress* progress) {
  WatchStatusRequest request;
  request.set_resume_token(token_);
  request.set_only_changes(only_changes_);
  const auto reader = stub_->WatchStatus(context, request);
  WatchStatusResponse message;
  while (!progress->ended && reader->Read(&message)) {
    progress->heard = true;
    ever_heard_ = true;
    if (message.has_state()) inside_state_ = true;
    if (message.has_state_end()) inside_state_ = false;
    if (!message.resume_token().empty()) token_ = message.resume_token();
    progress->ended = !listener_->OnMessage(message);
  }
  if (progress->ended) context->TryCancel();
  return reader->Finish();
}

StreamLoop::Next StatusWatcher::Judge(const grpc::Status& status, const absl::Status& why) {
  if (!WorthTryingAgain(status.error_code())) return StreamLoop::Next::kGiveUp;
  // What was told so far cannot be continued if the daemon does not know the token any more, if
  // the state stopped half way, or if there was no token yet after something was told.
  const bool unknown = status.error_code() == grpc::StatusCode::OUT_OF_RANGE;
  const bool lost = unknown || inside_state_ || (token_.empty() && ever_heard_);
  if (!lost) return StreamLoop::Next::kWait;
  const bool announce = ever_heard_ || !token_.empty() || only_changes_;
  // A token that turned out void needs no wait: the daemon is there and has the state.
  const bool void_token = unknown && !token_.empty();
  token_.clear();
  only_changes_ = false;
  inside_state_ = false;
  ever_heard_ = false;
  if (announce) listener_->OnGap(why);
  return void_token ? StreamLoop::Next::kAtOnce : StreamLoop::Next::kWait;
}

absl::Status StatusWatcher::Run(MonotonicTime deadline) {
  return loop_.Run(deadline, this, &StatusWatcher::ReadStream, &StatusWatcher::Judge, listener_);
}

}  // namespace om
