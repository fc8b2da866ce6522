#include "server/rpc/watch_stream.h"

#include <atomic>
#include <utility>
#include <vector>

#include "grpcpp/alarm.h"
#include "grpcpp/support/slice.h"
#include "server/rpc/grpc_status.h"
#include "server/service/errors.h"

namespace om {

grpc::ByteBuffer ToByteBuffer(const Bytes& bytes) {
  auto* holder = new Bytes(bytes);
  // gRPC only reads the slice, though its interface does not say so.
  const grpc::Slice slice(
      const_cast<char*>(bytes->data()), bytes->size(),
      [](void* data) { delete static_cast<Bytes*>(data); }, holder);
  return grpc::ByteBuffer(&slice, 1);
}

// What a stream is, apart from the reactor that gRPC owns: wakes and alarms may come when that is
// gone. One write is in flight at most.
class WatchStream : public std::enable_shared_from_this<WatchStream> {
 public:
  using Reactor = grpc::ServerWriteReactor<grpc::ByteBuffer>;

  WatchStream(grpc::CallbackServerContext* context, std::shared_ptr<StreamSource> source,
              const Clock* clock, Counters* counters, WatchStreams* streams,
              const WatchStreamOptions& options)
      : clock_(clock),
        counters_(counters),
        streams_(streams),
        options_(options),
        context_(context),
        source_(std::move(source)) {}

  void Start(Reactor* reactor, const Wakes& wakes) {
    {
      MutexLock lock(&mutex_);
      reactor_ = reactor;
      last_write_ = clock_->Monotonic();
    }
    streams_->Add(shared_from_this());
    std::weak_ptr<WatchStream> weak = weak_from_this();
    std::shared_ptr<void> subscription = wakes([weak] {
      if (const std::shared_ptr<WatchStream> self = weak.lock()) self->Pump();
    });
    {
      MutexLock lock(&mutex_);
      subscription_ = std::move(subscription);
    }
    SetAlarm();
    Pump();
  }

  // Writes the next message, if there is one and none is being written.
  void Pump() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    PumpLocked(/*heartbeat=*/false);
  }

  void OnWriteDone(bool ok) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) {
      FinishLocked(absl::CancelledError("the client is gone"));
    } else if (!pending_end_.ok()) {
      FinishLocked(pending_end_);
    } else {
      PumpLocked(/*heartbeat=*/false);
    }
  }

  void End(const absl::Status& status) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    if (writing_) {
      pending_end_ = status;
    } else {
      FinishLocked(status);
    }
  }

  // gRPC is done with the reactor.
  void Done() EXCLUDES(mutex_) {
    std::shared_ptr<void> subscription;
    std::shared_ptr<StreamSource> source;
    {
      MutexLock lock(&mutex_);
      reactor_ = nullptr;
      context_ = nullptr;
      finished_ = true;
      subscription = std::move(subscription_);
      source = std::move(source_);
      alarm_.reset();
    }
    streams_->Remove(shared_from_this());
  }

 private:
  void SetAlarm() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    if (finished_) return;
    alarm_ = std::make_unique<grpc::Alarm>();
    std::weak_ptr<WatchStream> weak = weak_from_this();
    alarm_->Set(std::chrono::system_clock::now() + options_.heartbeat_interval, [weak](bool ok) {
      if (!ok) return;
      if (const std::shared_ptr<WatchStream> self = weak.lock()) self->OnAlarm();
    });
  }

  void OnAlarm() EXCLUDES(mutex_) {
    {
      MutexLock lock(&mutex_);
      if (finished_ || reactor_ == nullptr) return;
      const Duration since = clock_->Monotonic() - last_write_;
      if (writing_ && since > options_.write_timeout) {
        counters_->Get("watch.too_slow")->Add();
        // The write in flight ends with it, and OnWriteDone(false) finishes the call.
        context_->TryCancel();
        return;
      }
      PumpLocked(/*heartbeat=*/since >= options_.heartbeat_interval);
    }
    SetAlarm();
  }

  void PumpLocked(bool heartbeat) REQUIRES(mutex_) {
    if (writing_ || finished_ || reactor_ == nullptr) return;
    absl::StatusOr<Bytes> next = source_->Next();
    if (!next.ok()) return FinishLocked(next.status());
    Bytes message = *std::move(next);
    if (message == nullptr) {
      if (source_->over()) return FinishLocked(absl::OkStatus());
      if (!heartbeat) return;
      message = source_->HeartbeatMessage();
    }
    writing_ = true;
    last_write_ = clock_->Monotonic();
    buffer_ = ToByteBuffer(message);
    reactor_->StartWrite(&buffer_);
  }

  void FinishLocked(const absl::Status& status) REQUIRES(mutex_) {
    if (finished_ || reactor_ == nullptr) return;
    finished_ = true;
    if (absl::IsOutOfRange(status)) counters_->Get("watch.gaps")->Add();
    reactor_->Finish(ToGrpcStatus(status));
  }

  const Clock* const clock_;     // Not owned.
  Counters* const counters_;     // Not owned.
  WatchStreams* const streams_;  // Not owned.
  const WatchStreamOptions options_;
  Mutex mutex_;
  grpc::CallbackServerContext* context_ GUARDED_BY(mutex_);  // gRPC's, until Done().
  Reactor* reactor_ GUARDED_BY(mutex_) = nullptr;            // The same.
  std::shared_ptr<StreamSource> source_ GUARDED_BY(mutex_);
  std::shared_ptr<void> subscription_ GUARDED_BY(mutex_);
  std::unique_ptr<grpc::Alarm> alarm_ GUARDED_BY(mutex_);
  grpc::ByteBuffer buffer_ GUARDED_BY(mutex_);  // Lives until OnWriteDone.
  MonotonicTime last_write_ GUARDED_BY(mutex_);
  bool writing_ GUARDED_BY(mutex_) = false;
  bool finished_ GUARDED_BY(mutex_) = false;
  absl::Status pending_end_ GUARDED_BY(mutex_);  // Not OK: finish when the write is done.
};

namespace {

class WatchReactor final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  explicit WatchReactor(std::shared_ptr<WatchStream> stream) : stream_(std::move(stream)) {}
  void OnWriteDone(bool ok) override { stream_->OnWriteDone(ok); }
  void OnCancel() override { stream_->End(absl::CancelledError("the client is gone")); }
  void OnDone() override {
    stream_->Done();
    delete this;
  }

 private:
  const std::shared_ptr<WatchStream> stream_;
};

}  // namespace

void WatchStreams::Add(const std::shared_ptr<WatchStream>& stream) {
  absl::Status end;
  {
    MutexLock lock(&mutex_);
    streams_.insert(stream);
    end = end_;
  }
  if (!end.ok()) stream->End(end);
}

void WatchStreams::Remove(const std::shared_ptr<WatchStream>& stream) {
  MutexLock lock(&mutex_);
  streams_.erase(stream);
  if (streams_.empty()) none_.NotifyAll();
}

bool WatchStreams::WaitForNone(std::chrono::steady_clock::time_point deadline) {
  MutexLock lock(&mutex_);
  while (!streams_.empty()) {
    if (!none_.WaitUntil(&mutex_, deadline) && !streams_.empty()) return false;
  }
  return true;
}

void WatchStreams::EndAll(const absl::Status& status) {
  std::set<std::shared_ptr<WatchStream>> open;
  {
    MutexLock lock(&mutex_);
    end_ = status;
    open = streams_;
  }
  for (const std::shared_ptr<WatchStream>& stream : open) stream->End(status);
}

Wakes WakesOf(ChangeFeed* feed, Executor* executor) {
  return [feed, executor](std::function<void()> wake) -> std::shared_ptr<void> {
    return feed->Subscribe(executor, std::move(wake));
  };
}

std::function<void()> WakeOn(Executor* executor, std::function<void()> wake) {
  const auto waiting = std::make_shared<std::atomic<bool>>(false);
  return [executor, waiting, wake = std::move(wake)] {
    if (waiting->exchange(true)) return;
    const bool posted = executor->Post([waiting, wake] {
      waiting->store(false);  // Before looking: what comes from now on needs a new wake.
      wake();
    });
    if (!posted) waiting->store(false);
  };
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* ServeWatch(grpc::CallbackServerContext* context,
                                                       std::shared_ptr<StreamSource> source,
                                                       const Wakes& wakes, const Clock* clock,
                                                       Counters* counters, WatchStreams* streams,
                                                       const WatchStreamOptions& options) {
  auto stream =
      std::make_shared<WatchStream>(context, std::move(source), clock, counters, streams, options);
  auto* reactor = new WatchReactor(stream);
  stream->Start(reactor, wakes);
  return reactor;
}

}  // namespace om
