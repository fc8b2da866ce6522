// Follows the events of a daemon across lost connections and restarts.
#ifndef OM_CLIENT_EVENT_WATCH_H_
#define OM_CLIENT_EVENT_WATCH_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "client/connection.h"
#include "client/stream_loop.h"
#include "om/control/v1/event.grpc.pb.h"

namespace om {

// Is told what a watcher sees, on the thread that runs the watcher.
class EventListener {
 public:
  virtual ~EventListener() = default;

  // Events, oldest first; what only carries a token has none. Returns false to end the watch.
  virtual bool OnMessage(const om::control::v1::WatchEventsResponse& message) = 0;

  // Before the next events some were missed: so many changes of the state as the daemon said, or
  // nobody knows how many, because it started anew or the stream broke before it gave a token.
  virtual void OnGap(std::optional<uint64_t> missed_changes, const absl::Status& why) = 0;

  // The stream ended and is taken up again after `delay`, without loss unless OnGap says so.
  virtual void OnReconnect(const absl::Status& why, std::chrono::milliseconds delay) = 0;
};

// One watch. It never skips silently. Run it on one thread, once.
class EventWatcher {
 public:
  // Both are borrowed; `listener` must outlive the watcher. `request` has the filters and, to start
  // right after a message of an earlier watch, its token.
  EventWatcher(Connection* connection, EventListener* listener,
               om::control::v1::WatchEventsRequest request, const StreamLoop::Options& options);

  // Follows until the listener ends it (OK), Stop is called (CANCELLED), `deadline` passes
  // (DEADLINE_EXCEEDED), or the daemon refuses in a way that trying again does not mend.
  absl::Status Run(MonotonicTime deadline);

  // Makes Run return soon. THREAD: any.
  void Stop() { loop_.Stop(); }

  // Token of the last message that carried one. Call both on the thread of Run.
  const std::string& resume_token() const { return request_.resume_token(); }
  const grpc::Status& last_status() const { return loop_.last_status(); }

 private:
  grpc::Status ReadStream(grpc::ClientContext* context, StreamLoop::Progress* progress);
  StreamLoop::Next Judge(const grpc::Status& status, const absl::Status& why);

  EventListener* const listener_;
  const std::unique_ptr<om::control::v1::EventService::Stub> stub_;
  om::control::v1::WatchEventsRequest request_;
  StreamLoop loop_;
  bool gap_told_ = false;  // One gap is one, however many attempts it takes to end it.
};

}  // namespace om

#endif  // OM_CLIENT_EVENT_WATCH_H_
