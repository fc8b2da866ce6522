// What the bindings of gRPC services share: from a call to the service layer and back.
#ifndef OM_SERVER_RPC_CALL_H_
#define OM_SERVER_RPC_CALL_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "grpcpp/grpcpp.h"
#include "grpcpp/support/byte_buffer.h"
#include "server/base/mutex.h"
#include "server/rpc/caller_resolver.h"
#include "server/rpc/grpc_status.h"
#include "server/rpc/watch_stream.h"
#include "server/service/caller.h"
#include "server/service/caller_limits.h"
#include "server/service/context.h"

namespace om {

// Calls in flight, and who makes them. THREAD: any.
class CallCount {
 public:
  // Both are borrowed; `limiter` may be null.
  CallCount(const CallerResolver* callers, CallLimiter* limiter)
      : callers_(callers), limiter_(limiter) {}

  // Who makes the call; an error if it is not known, or over its limit. Calls with a credential
  // that is not good count against the address they come from: nobody has proved to be anyone else.
  absl::StatusOr<Identified> CallerOf(const grpc::CallbackServerContext& context) const {
    absl::StatusOr<Identified> who = callers_->Resolve(context);
    if (!who.ok()) {
      absl::Status taken = TakeCallOfAddress(limiter_, context.peer());
      return taken.ok() ? who.status() : taken;
    }
    absl::Status taken = TakeCall(limiter_, who->caller);
    if (!taken.ok()) return taken;
    return who;
  }
  CallLimiter* limiter() const { return limiter_; }
  void Begin() {
    MutexLock lock(&mutex_);
    ++count_;
  }
  void End() {
    MutexLock lock(&mutex_);
    if (--count_ == 0) none_.NotifyAll();
  }
  // False if there are still some at `deadline`.
  bool WaitForNone(std::chrono::steady_clock::time_point deadline) {
    MutexLock lock(&mutex_);
    while (count_ > 0) {
      if (!none_.WaitUntil(&mutex_, deadline) && count_ > 0) return false;
    }
    return true;
  }

 private:
  const CallerResolver* const callers_;  // Not owned.
  CallLimiter* const limiter_;           // Not owned.
  Mutex mutex_;
  CondVar none_;
  int count_ GUARDED_BY(mutex_) = 0;
};

// Begins a unary call. It is gRPC's own reactor: one with an OnDone() of ours would cost each call
// a change of threads.
inline grpc::ServerUnaryReactor* BeginCall(grpc::CallbackServerContext* context, CallCount* calls) {
  calls->Begin();
  return context->DefaultReactor();
}

// Ends it. What is on its way to the client by then goes out before connections are closed.
inline void FinishCall(grpc::ServerUnaryReactor* reactor, const grpc::Status& status,
                       CallCount* calls) {
  reactor->Finish(status);
  calls->End();
}

// Answers a call by a method of the service layer that answers at once.
template <class Api, class Method, class Request, class Response>
grpc::ServerUnaryReactor* Answer(Api* api, Method method, grpc::CallbackServerContext* context,
                                 CallCount* calls, const Request* request, Response* response) {
  grpc::ServerUnaryReactor* reactor = BeginCall(context, calls);
  const absl::StatusOr<Identified> who = calls->CallerOf(*context);
  absl::StatusOr<Response> result =
      who.ok() ? (api->*method)(who->caller, *request) : absl::StatusOr<Response>(who.status());
  const grpc::Status status = ToGrpcStatus(result.status());
  if (result.ok()) *response = *std::move(result);
  FinishCall(reactor, status, calls);
  return reactor;
}

// Answers a call when its result comes. `response` lives until the reactor has finished.
template <class Response>
Reply<Response> AnswerLater(grpc::ServerUnaryReactor* reactor, CallCount* calls,
                            Response* response) {
  return [reactor, calls, response](absl::StatusOr<Response> result) {
    const grpc::Status status = ToGrpcStatus(result.status());
    if (result.ok()) *response = *std::move(result);
    FinishCall(reactor, status, calls);
  };
}

// Answers a call by a method of the service layer that takes a reply.
template <class Api, class Method, class Request, class Response>
grpc::ServerUnaryReactor* Ask(Api* api, Method method, grpc::CallbackServerContext* context,
                              CallCount* calls, const Request* request, Response* response) {
  grpc::ServerUnaryReactor* reactor = BeginCall(context, calls);
  const absl::StatusOr<Identified> who = calls->CallerOf(*context);
  if (!who.ok()) {
    FinishCall(reactor, ToGrpcStatus(who.status()), calls);
    return reactor;
  }
  (api->*method)(who->caller, *request, AnswerLater(reactor, calls, response));
  return reactor;
}

// The request in a buffer that gRPC did not parse.
template <class Request>
absl::StatusOr<Request> ParseBuffer(const grpc::ByteBuffer& buffer) {
  Request request;
  if (buffer.Length() == 0) return request;  // The usual one: nothing but defaults.
  grpc::ByteBuffer copy = buffer;            // Parsing consumes it.
  const grpc::Status parsed = grpc::SerializationTraits<Request>::Deserialize(&copy, &request);
  if (!parsed.ok()) return absl::InvalidArgumentError("the request is no valid message");
  return request;
}

// Ends a stream before its first message; deletes itself.
class RefusedWatch final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  explicit RefusedWatch(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

// What bindings with streams work with. All borrowed.
struct StreamParts {
  CallCount* calls = nullptr;
  WatchStreams* streams = nullptr;
  Executor* executor = nullptr;  // Where messages are made.
  const Clock* clock = nullptr;
  Counters* counters = nullptr;
  WatchStreamOptions options;
};

// `source`, until what its caller showed is no longer good.
std::shared_ptr<StreamSource> EndedWith(std::shared_ptr<StreamSource> source,
                                        std::function<absl::Status()> still_good);

// `source`, which holds `slot` until the call is over.
std::shared_ptr<StreamSource> Holding(std::shared_ptr<StreamSource> source, CallLimiter::Slot slot);

// Opens a stream by a method of the service layer. `wakes` makes of what the method returned a
// Wakes.
template <class Request, class Api, class Method, class MakeWakes>
grpc::ServerWriteReactor<grpc::ByteBuffer>* OpenStream(
    const StreamParts& parts, const WatchStreamOptions& options, Api* api, Method method,
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* buffer, MakeWakes make_wakes) {
  const absl::StatusOr<Request> request = ParseBuffer<Request>(*buffer);
  if (!request.ok()) return new RefusedWatch(ToGrpcStatus(request.status()));
  absl::StatusOr<Identified> who = parts.calls->CallerOf(*context);
  if (!who.ok()) return new RefusedWatch(ToGrpcStatus(who.status()));
  absl::StatusOr<CallLimiter::Slot> slot = TakeStream(parts.calls->limiter(), who->caller);
  if (!slot.ok()) return new RefusedWatch(ToGrpcStatus(slot.status()));
  auto source = (api->*method)(who->caller, *request);
  if (!source.ok()) return new RefusedWatch(ToGrpcStatus(source.status()));
  const Wakes wakes = make_wakes(*source);
  return ServeWatch(
      context, Holding(EndedWith(*std::move(source), std::move(who->still_good)), *std::move(slot)),
      wakes, parts.clock, parts.counters, parts.streams, options);
}

// Of a source that is told whom to wake.
template <class Request, class Api, class Method>
grpc::ServerWriteReactor<grpc::ByteBuffer>* OpenStream(const StreamParts& parts,
                                                       const WatchStreamOptions& options, Api* api,
                                                       Method method,
                                                       grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer* buffer) {
  return OpenStream<Request>(
      parts, options, api, method, context, buffer,
      [&parts](const auto& source) { return WakesOf(source, parts.executor); });
}

// Of one that tells what is in a feed, which is borrowed.
template <class Request, class Api, class Method>
grpc::ServerWriteReactor<grpc::ByteBuffer>* OpenStream(const StreamParts& parts, ChangeFeed* feed,
                                                       Api* api, Method method,
                                                       grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer* buffer) {
  return OpenStream<Request>(parts, parts.options, api, method, context, buffer,
                             [&parts, feed](const auto&) { return WakesOf(feed, parts.executor); });
}

}  // namespace om

#endif  // OM_SERVER_RPC_CALL_H_
