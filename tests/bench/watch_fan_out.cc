#include "tests/bench/watch_fan_out.h"

#include <chrono>
#include <cstdio>
#include <deque>
#include <memory>
#include <set>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "grpcpp/grpcpp.h"
#include "om/bench/v1/echo.grpc.pb.h"
#include "om/control/v1/daemon.pb.h"
#include "server/base/mutex.h"

namespace om {
namespace {

using Service =
    bench::v1::EchoService::WithRawCallbackMethod_Watch<bench::v1::EchoService::CallbackService>;

grpc::ByteBuffer ToBuffer(const control::v1::WatchStatusResponse& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

// As large as what omd tells of a service with one instance.
control::v1::WatchStatusResponse Message(uint64_t revision) {
  control::v1::WatchStatusResponse message;
  control::v1::StateChange* change = message.mutable_change();
  const absl::Time now = absl::Now();
  change->set_revision(revision);
  change->mutable_time()->set_seconds(absl::ToUnixSeconds(now));
  change->mutable_time()->set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(now - absl::FromUnixSeconds(absl::ToUnixSeconds(now)))));
  change->add_objects()->set_config_error(std::string(300, 'x'));
  return message;
}

class FanOutStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  explicit FanOutStream(std::function<void(FanOutStream*)> ended) : ended_(std::move(ended)) {}

  void Send(const grpc::ByteBuffer& message) {
    MutexLock lock(&mutex_);
    if (finished_) return;
    waiting_.push_back(message);
    WriteNext();
  }
  void OnWriteDone(bool ok) override {
    MutexLock lock(&mutex_);
    writing_ = false;
    waiting_.pop_front();
    if (!ok) return End();
    WriteNext();
  }
  void OnCancel() override {
    MutexLock lock(&mutex_);
    End();
  }
  void OnDone() override {
    ended_(this);
    delete this;
  }

 private:
  void WriteNext() REQUIRES(mutex_) {
    if (writing_ || finished_ || waiting_.empty()) return;
    writing_ = true;
    StartWrite(&waiting_.front());
  }
  void End() REQUIRES(mutex_) {
    if (std::exchange(finished_, true)) return;
    Finish(grpc::Status::OK);
  }

  const std::function<void(FanOutStream*)> ended_;
  Mutex mutex_;
  std::deque<grpc::ByteBuffer> waiting_ GUARDED_BY(mutex_);
  bool writing_ GUARDED_BY(mutex_) = false;
  bool finished_ GUARDED_BY(mutex_) = false;
};

class FanOut final : public Service {
 public:
  using Service::Watch;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Watch(grpc::CallbackServerContext* /*context*/,
                                                    const grpc::ByteBuffer* /*request*/) override {
    auto* stream = new FanOutStream([this](FanOutStream* ended) {
      MutexLock lock(&mutex_);
      streams_.erase(ended);
    });
    control::v1::WatchStatusResponse ready;
    ready.mutable_state_end();
    stream->Send(ToBuffer(ready));
    MutexLock lock(&mutex_);
    streams_.insert(stream);
    return stream;
  }
  void SendAll(const grpc::ByteBuffer& message) {
    MutexLock lock(&mutex_);
    for (FanOutStream* stream : streams_) stream->Send(message);
  }

 private:
  Mutex mutex_;
  std::set<FanOutStream*> streams_ GUARDED_BY(mutex_);
};

}  // namespace

int ServeWatchFanOut(const std::string& socket, int rate) {
  FanOut service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    std::fprintf(stderr, "cannot listen on %s\n", socket.c_str());
    return 1;
  }
  std::printf("ready\n");
  std::fflush(stdout);
  const auto interval = std::chrono::nanoseconds(std::chrono::seconds(1)) / rate;
  auto next = std::chrono::steady_clock::now();
  for (uint64_t revision = 1;; ++revision) {
    next += interval;
    std::this_thread::sleep_until(next);
    service.SendAll(ToBuffer(Message(revision)));
  }
}

}  // namespace om
