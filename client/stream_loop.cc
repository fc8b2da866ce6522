#include "client/stream_loop.h"

#include <algorithm>
#include <optional>

#include "client/errors.h"
#include "server/base/status.h"

namespace om {
namespace {

absl::Status DeadlinePassed() {
  return absl::DeadlineExceededError("the deadline of the watch has passed");
}

}  // namespace

bool WorthTryingAgain(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::OK:
    case grpc::StatusCode::ABORTED:
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::UNKNOWN:
      return true;
    default:
      return false;
  }
}

void StreamLoop::Stop() {
  MutexLock lock(&mutex_);
  stopped_ = true;
  if (context_ != nullptr) context_->TryCancel();
  changed_.NotifyAll();
}

bool StreamLoop::Stopped() {
  MutexLock lock(&mutex_);
  return stopped_;
}

bool StreamLoop::Pause(std::chrono::milliseconds delay, MonotonicTime deadline) {
  const MonotonicTime end = std::chrono::steady_clock::now() + delay;
  MutexLock lock(&mutex_);
  while (!stopped_) {
    if (!changed_.WaitUntil(&mutex_, std::min(end, deadline))) return !stopped_ && end <= deadline;
  }
  return false;
}

grpc::Status StreamLoop::Attempt(MonotonicTime deadline, const ReadStream& read,
                                 Progress* progress) {
  grpc::ClientContext context;
  if (deadline != MonotonicTime::max()) context.set_deadline(ToSystemTime(deadline));
  {
    MutexLock lock(&mutex_);
    if (stopped_) return grpc::Status::CANCELLED;
    context_ = &context;
  }
  grpc::Status status = read(&context, progress);
  MutexLock lock(&mutex_);
  context_ = nullptr;
  return status;
}

absl::Status StreamLoop::Run(MonotonicTime deadline, const ReadStream& read, const Judge& judge,
                             const OnReconnect& on_reconnect) {
  while (true) {
    Progress progress;
    last_status_ = Attempt(deadline, read, &progress);
    if (progress.ended) return absl::OkStatus();
    if (Stopped()) return absl::CancelledError("the watch was stopped");
    if (last_status_.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) return DeadlinePassed();
    absl::Status why = last_status_.ok() ? absl::UnavailableError("the daemon ended the stream")
                                         : ToAbslStatus(last_status_);
    if (progress.heard) delay_ = options_.first_delay;
    const Next next = judge(last_status_, why);
    if (next == Next::kDone) return absl::OkStatus();
    if (next == Next::kGiveUp) return why;
    if (next == Next::kAtOnce) continue;
    std::chrono::milliseconds pause =
        delay_ -
        std::chrono::milliseconds(jitter_.Below(static_cast<uint64_t>(delay_.count()) / 2 + 1));
    if (const std::optional<std::chrono::milliseconds> asked = RetryAfterOf(why)) {
      pause = std::max(pause, *asked);
    }
    on_reconnect(why, pause);
    if (!Pause(pause, deadline)) {
      return Stopped() ? absl::CancelledError("the watch was stopped") : DeadlinePassed();
    }
    delay_ = std::min(delay_ * 2, options_.longest_delay);
    connection_->TryNow();
  }
}

}  // namespace om
