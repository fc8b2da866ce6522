// Follows the state of a daemon across lost connections and restarts.
#ifndef OM_CLIENT_WATCH_H_
#define OM_CLIENT_WATCH_H_

#include <grpcpp/client_context.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "client/connection.h"
#include "client/stream_loop.h"
#include "om/control/v1/daemon.grpc.pb.h"
#include "server/base/clock.h"

namespace om {

// Is told what a watcher sees, on the thread that runs the watcher.
class StatusListener {
 public:
  virtual ~StatusListener() = default;

  // A message, in the order of the stream. Returns false to end the watch.
  virtual bool OnMessage(const om::control::v1::WatchStatusResponse& message) = 0;

  // Changes were missed, or a state was not received whole: what was known before is void, and the
  // next messages are the whole state. `why` is what the daemon or the connection said.
  virtual void OnGap(const absl::Status& why) = 0;

  // The stream ended and is taken up again after `delay`. Nothing is lost unless OnGap says so.
  virtual void OnReconnect(const absl::Status& why, std::chrono::milliseconds delay) = 0;
};

struct WatchOptions {
  std::string resume_token;   // Start right after the message that carried it. Empty: anew.
  bool only_changes = false;  // Leave the state out; it still comes after a gap.
  // As in StreamLoop::Options.
  std::chrono::milliseconds first_delay{200};
  std::chrono::milliseconds longest_delay{10000};
  uint64_t jitter_seed = 0;
};

// One watch. It never skips silently: messages either continue without a hole, or OnGap comes
// first. Run it on one thread, once.
class StatusWatcher {
 public:
  // Both are borrowed; `listener` must outlive the watcher.
  StatusWatcher(Connection* connection, StatusListener* listener, WatchOptions options);

  // Follows until the listener ends it (OK), Stop is called (CANCELLED), `deadline` passes
  // (DEADLINE_EXCEEDED), or the daemon refuses in a way that trying again does not mend.
  absl::Status Run(MonotonicTime deadline);

  // Makes Run return soon. THREAD: any.
  void Stop() { loop_.Stop(); }

  // Token of the last message that carried one; start a later watch with it. Call it on the thread
  // of Run.
  const std::string& resume_token() const { return token_; }

 private:
  grpc::Status ReadStream(grpc::ClientContext* context, StreamLoop::Progress* progress);
  StreamLoop::Next Judge(const grpc::Status& status, const absl::Status& why);

  StatusListener* const listener_;
  const std::unique_ptr<om::control::v1::DaemonService::Stub> stub_;
  StreamLoop loop_;
  std::string token_;
  bool only_changes_;
  bool ever_heard_ = false;    // Something was told since the last gap.
  bool inside_state_ = false;  // Pieces of a state were delivered, its end was not.
};

}  // namespace om

#endif  // OM_CLIENT_WATCH_H_
