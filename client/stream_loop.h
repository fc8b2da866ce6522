// What streams that are taken up again have in common: deadlines, waits between attempts, stopping.
#ifndef OM_CLIENT_STREAM_LOOP_H_
#define OM_CLIENT_STREAM_LOOP_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "client/connection.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/base/random.h"

namespace om {

// Whether the same request may well be answered later. An end without error is a daemon that goes.
bool WorthTryingAgain(grpc::StatusCode code);

// Opens streams one after the other until nothing more is wanted. Run it on one thread, once.
class StreamLoop {
 public:
  // Waits between attempts grow from the first to the longest, each shortened by up to half at
  // random so that the clients of a daemon that restarted do not return at once.
  struct Options {
    std::chrono::milliseconds first_delay{200};
    std::chrono::milliseconds longest_delay{10000};
    uint64_t jitter_seed = 0;
  };
  // What one attempt has seen.
  struct Progress {
    bool heard = false;  // Something was delivered.
    bool ended = false;  // Nothing more is wanted.
  };
  // What to do after a stream that ended by itself.
  enum class Next {
    kDone,    // Its end is the end of all.
    kGiveUp,  // Trying again does not mend it.
    kWait,    // Try again after a while.
    kAtOnce,  // Try again now.
  };
  // Opens a stream with that context, reads it to its end or until `ended`, and finishes it.
  using ReadStream = std::function<grpc::Status(grpc::ClientContext*, Progress*)>;
  // `why` is the stream's end as an error, also where it ended without one.
  using Judge = std::function<Next(const grpc::Status& status, const absl::Status& why)>;
  using OnReconnect = std::function<void(const absl::Status& why, std::chrono::milliseconds delay)>;

  // `connection` is borrowed.
  StreamLoop(Connection* connection, const Options& options)
      : connection_(connection),
        options_(options),
        jitter_(options.jitter_seed),
        delay_(options.first_delay) {}

  // OK once nothing more is wanted; CANCELLED after Stop; DEADLINE_EXCEEDED past `deadline`; else
  // what the daemon refused with. `judge` is not asked about the first three.
  absl::Status Run(MonotonicTime deadline, const ReadStream& read, const Judge& judge,
                   const OnReconnect& on_reconnect);

  // The same for an object whose methods read and judge, and a listener that has OnReconnect().
  template <class Watch, class Listener>
  absl::Status Run(MonotonicTime deadline, Watch* watch,
                   grpc::Status (Watch::*read)(grpc::ClientContext*, Progress*),
                   Next (Watch::*judge)(const grpc::Status&, const absl::Status&),
                   Listener* listener) {
    return Run(
        deadline,
        [=](grpc::ClientContext* context, Progress* progress) {
          return (watch->*read)(context, progress);
        },
        [=](const grpc::Status& status, const absl::Status& why) {
          return (watch->*judge)(status, why);
        },
        [=](const absl::Status& why, std::chrono::milliseconds delay) {
          listener->OnReconnect(why, delay);
        });
  }

  // Makes Run return soon. THREAD: any.
  void Stop();

  // How the last stream ended. Call it on the thread of Run.
  const grpc::Status& last_status() const { return last_status_; }

 private:
  grpc::Status Attempt(MonotonicTime deadline, const ReadStream& read, Progress* progress);
  // Returns false if Stop was called or the deadline passed before the delay did.
  bool Pause(std::chrono::milliseconds delay, MonotonicTime deadline);
  bool Stopped();

  Connection* const connection_;  // Not owned.
  const Options options_;
  Random jitter_;
  std::chrono::milliseconds delay_;
  grpc::Status last_status_;

  Mutex mutex_;
  CondVar changed_;
  bool stopped_ GUARDED_BY(mutex_) = false;
  grpc::ClientContext* context_ GUARDED_BY(mutex_) = nullptr;  // Of the stream that is open.
};

}  // namespace om

#endif  // OM_CLIENT_STREAM_LOOP_H_
