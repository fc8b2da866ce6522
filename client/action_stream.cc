#include "client/action_stream.h"

#include <utility>

namespace om {

using om::control::v1::Action;
using om::control::v1::ActionOutput;
using om::control::v1::ActionService;
using om::control::v1::AttachActionRequest;
using om::control::v1::AttachActionResponse;
using om::control::v1::StreamActionRequest;
using om::control::v1::StreamActionResponse;

ActionStream::ActionStream(Connection* connection, ActionListener* listener,
                           const StreamLoop::Options& options)
    : listener_(listener),
      stub_(ActionService::NewStub(connection->channel())),
      loop_(connection, options) {}

bool ActionStream::Take(const ActionOutput& output) {
  const auto seen = seen_bytes_.find(output.stream());
  const uint64_t end = output.offset() + output.data().size();
  if (seen == seen_bytes_.end()) {
    // What an attached stream begins after was not asked for, unless it says that it is gone.
    seen_bytes_[output.stream()] = end;
    if (output.missed_bytes() > 0) listener_->OnMissed(output.stream(), output.missed_bytes());
    return listener_->OnOutput(output);
  }
  if (end <= seen->second) return true;
  const uint64_t known = std::exchange(seen->second, end);
  if (output.offset() > known) listener_->OnMissed(output.stream(), output.offset() - known);
  if (output.offset() >= known) return listener_->OnOutput(output);
  // The part that is new.
  ActionOutput rest = output;
  rest.set_data(output.data().substr(known - output.offset()));
  rest.set_offset(known);
  return listener_->OnOutput(rest);
}

template <class Reader, class Message>
grpc::Status ActionStream::ReadStream(grpc::ClientContext* context, Reader* reader,
                                      Message* message, StreamLoop::Progress* progress) {
  while (!progress->ended && reader->Read(message)) {
    progress->heard = true;
    if (message->has_action() && id_.empty()) {
      first_ = message->action();
      id_ = first_.id();
      listener_->OnAction(first_);
    }
    if (message->has_output()) progress->ended = !Take(message->output());
    if (message->has_end()) {
      end_ = message->end();
      progress->ended = true;
    }
  }
  // The end is the last message: what follows is the stream's own end, which comes by itself.
  if (progress->ended && !end_.has_value()) context->TryCancel();
  return reader->Finish();
}

absl::StatusOr<Action> ActionStream::Loop(const std::optional<StreamActionRequest>& run,
                                          AttachActionRequest attach, MonotonicTime deadline) {
  const bool may_return = !run.has_value() || run->detach();
  const absl::Status status = loop_.Run(
      deadline,
      [&](grpc::ClientContext* context, StreamLoop::Progress* progress) {
        if (run.has_value() && id_.empty()) {
          StreamActionResponse message;
          return ReadStream(context, stub_->StreamAction(context, *run).get(), &message, progress);
        }
        if (!id_.empty()) {
          // Whoever wanted new output only knows what there was when the first stream began.
          if (attach.only_new()) {
            seen_bytes_.emplace(control::v1::OUTPUT_STREAM_STDOUT, first_.stdout_bytes());
            seen_bytes_.emplace(control::v1::OUTPUT_STREAM_STDERR, first_.stderr_bytes());
          }
          attach.set_action_id(id_);
          attach.set_only_new(false);
        }
        AttachActionResponse message;
        return ReadStream(context, stub_->AttachAction(context, attach).get(), &message, progress);
      },
      [&](const grpc::Status& end, const absl::Status&) {
        // Of a command that nobody heard of it is not known whether it was run.
        const bool known = !id_.empty() || !run.has_value();
        const bool broken = end.ok() || end.error_code() == grpc::StatusCode::UNAVAILABLE;
        return may_return && known && broken ? StreamLoop::Next::kWait : StreamLoop::Next::kGiveUp;
      },
      [this](const absl::Status& why, std::chrono::milliseconds delay) {
        listener_->OnReconnect(why, delay);
      });
  if (!status.ok()) return status;
  if (!end_.has_value()) return absl::AbortedError("the reader has left");
  return *end_;
}

absl::StatusOr<Action> ActionStream::Run(const StreamActionRequest& request,
                                         MonotonicTime deadline) {
  return Loop(request, AttachActionRequest(), deadline);
}

absl::StatusOr<Action> ActionStream::Attach(const AttachActionRequest& request,
                                            MonotonicTime deadline) {
  return Loop(std::nullopt, request, deadline);
}

}  // namespace om
