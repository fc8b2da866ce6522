#include "server/rpc/event_binding.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "server/base/mutex.h"

namespace om {
namespace {

namespace pb = control::v1;

// A wait. A client that goes ends it, so that it does not keep its place until the deadline.
class WaitReactor final : public grpc::ServerUnaryReactor {
 public:
  explicit WaitReactor(CallCount* calls) : calls_(calls) { calls_->Begin(); }

  void Wait(EventApi* api, const Caller& caller, const pb::WaitForRequest& request,
            std::optional<absl::Time> deadline, pb::WaitForResponse* response) {
    std::function<void()> cancel = api->WaitFor(
        caller, request, deadline, [this, response](absl::StatusOr<pb::WaitForResponse> answer) {
          const grpc::Status status = ToGrpcStatus(answer.status());
          if (answer.ok()) *response = *std::move(answer);
          Finish(status);
        });
    bool gone = false;
    {
      MutexLock lock(&mutex_);
      gone = gone_;
      cancel_ = cancel;
    }
    if (gone) cancel();
    Release();
  }

  void OnCancel() override {
    std::function<void()> cancel;
    {
      MutexLock lock(&mutex_);
      gone_ = true;
      cancel = cancel_;
    }
    if (cancel) cancel();
  }

  void OnDone() override { Release(); }

 private:
  // gRPC may be done before Wait() is: whichever is last deletes it.
  void Release() {
    bool last = false;
    {
      MutexLock lock(&mutex_);
      last = --holders_ == 0;
    }
    if (!last) return;
    CallCount* const calls = calls_;
    delete this;
    calls->End();
  }

  CallCount* const calls_;  // Not owned.
  Mutex mutex_;
  std::function<void()> cancel_ GUARDED_BY(mutex_);
  bool gone_ GUARDED_BY(mutex_) = false;
  int holders_ GUARDED_BY(mutex_) = 2;
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* EventBinding::WatchEvents(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* buffer) {
  return OpenStream<pb::WatchEventsRequest>(parts_, api_->feed(), api_, &EventApi::WatchEvents,
                                            context, buffer);
}

grpc::ServerUnaryReactor* EventBinding::WaitFor(grpc::CallbackServerContext* context,
                                                const pb::WaitForRequest* request,
                                                pb::WaitForResponse* response) {
  std::optional<absl::Time> deadline;
  if (context->deadline() != std::chrono::system_clock::time_point::max()) {
    deadline = absl::FromChrono(context->deadline());
  }
  const absl::StatusOr<Identified> who = parts_.calls->CallerOf(*context);
  if (!who.ok()) {
    grpc::ServerUnaryReactor* refused = BeginCall(context, parts_.calls);
    FinishCall(refused, ToGrpcStatus(who.status()), parts_.calls);
    return refused;
  }
  auto* reactor = new WaitReactor(parts_.calls);
  reactor->Wait(api_, who->caller, *request, deadline, response);
  return reactor;
}

}  // namespace om
