// A stream to a client: of a state, an order, a log, the output of a command.
#ifndef OM_SERVER_RPC_WATCH_STREAM_H_
#define OM_SERVER_RPC_WATCH_STREAM_H_

#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <utility>

#include "grpcpp/grpcpp.h"
#include "grpcpp/support/byte_buffer.h"
#include "server/base/counters.h"
#include "server/base/loop.h"
#include "server/base/mutex.h"
#include "server/service/stream_source.h"
#include "server/state/change_feed.h"

namespace om {

// The bytes of a message without copying them.
grpc::ByteBuffer ToByteBuffer(const Bytes& bytes);

class WatchStream;

// The streams that are open. THREAD: any.
class WatchStreams {
 public:
  // Ends them all with `status`, and every one that comes later.
  void EndAll(const absl::Status& status) EXCLUDES(mutex_);
  // Waits until all have ended. False if some are still there at `deadline`.
  bool WaitForNone(std::chrono::steady_clock::time_point deadline) EXCLUDES(mutex_);

 private:
  friend class WatchStream;
  void Add(const std::shared_ptr<WatchStream>& stream) EXCLUDES(mutex_);
  void Remove(const std::shared_ptr<WatchStream>& stream) EXCLUDES(mutex_);

  Mutex mutex_;
  CondVar none_;
  std::set<std::shared_ptr<WatchStream>> streams_ GUARDED_BY(mutex_);
  absl::Status end_ GUARDED_BY(mutex_);
};

struct WatchStreamOptions {
  std::chrono::milliseconds heartbeat_interval;
  std::chrono::milliseconds write_timeout;
};

// Has `wake` called whenever a source may have something to tell, from any thread, until what it
// returns is destroyed; a call may still run then.
using Wakes = std::function<std::shared_ptr<void>(std::function<void()> wake)>;
// After each change in `feed`, on `executor`. Both are borrowed.
Wakes WakesOf(ChangeFeed* feed, Executor* executor);
// Passes wakes on to `executor`, which is borrowed; one waits there at a time, and one that it
// refuses is made up for by the next, or by a heartbeat. THREAD: any.
std::function<void()> WakeOn(Executor* executor, std::function<void()> wake);
// For sources that are told by SetWake() whom to wake, on `executor`.
template <class Source>
Wakes WakesOf(const std::shared_ptr<Source>& source, Executor* executor) {
  // Weak: what is subscribed lives as long as the call, and the source must go with it.
  const std::weak_ptr<Source> weak = source;
  return [weak, executor](std::function<void()> wake) -> std::shared_ptr<void> {
    if (const std::shared_ptr<Source> woken = weak.lock()) {
      woken->SetWake(WakeOn(executor, std::move(wake)));
    }
    return nullptr;
  };
}

// Starts serving `source`, which is asked again after each of `wakes`, and returns the reactor for
// gRPC, which deletes itself. `source` is destroyed when the call is over, for whatever reason.
grpc::ServerWriteReactor<grpc::ByteBuffer>* ServeWatch(grpc::CallbackServerContext* context,
                                                       std::shared_ptr<StreamSource> source,
                                                       const Wakes& wakes, const Clock* clock,
                                                       Counters* counters, WatchStreams* streams,
                                                       const WatchStreamOptions& options);

}  // namespace om

#endif  // OM_SERVER_RPC_WATCH_STREAM_H_
