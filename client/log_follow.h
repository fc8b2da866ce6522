// Reads and follows a log across lost connections and restarts of the daemon.
#ifndef OM_CLIENT_LOG_FOLLOW_H_
#define OM_CLIENT_LOG_FOLLOW_H_

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "client/connection.h"
#include "client/stream_loop.h"
#include "om/control/v1/log.grpc.pb.h"

namespace om {

// Is told what a follower reads, on the thread that runs the follower.
class LogListener {
 public:
  virtual ~LogListener() = default;

  // A message, in the order of the log. Returns false to end the reading.
  virtual bool OnMessage(const om::control::v1::ReadLogResponse& message) = 0;

  // Lines between the message before and the next one were lost; `why` says how.
  virtual void OnGap(const absl::Status& why) = 0;

  // The stream ended and is taken up again after `delay`, without loss unless OnGap says so.
  virtual void OnReconnect(const absl::Status& why, std::chrono::milliseconds delay) = 0;
};

// One reading. It neither skips silently nor repeats: after a lost stream it goes on with the
// cursor of the last message. Run it on one thread, once.
class LogFollower {
 public:
  // Both are borrowed; `listener` must outlive the follower. `request` says which log, from where,
  // and whether to follow it.
  LogFollower(Connection* connection, LogListener* listener,
              om::control::v1::ReadLogRequest request, const StreamLoop::Options& options);

  // Reads until the end of the log (OK; never with `follow`), until the listener ends it (OK), Stop
  // is called (CANCELLED), `deadline` passes (DEADLINE_EXCEEDED), or the daemon refuses in a way
  // that trying again does not mend. Without `follow` only a connection that broke is tried again.
  absl::Status Run(MonotonicTime deadline);

  // Makes Run return soon. THREAD: any.
  void Stop() { loop_.Stop(); }

  // Cursor of the last message that carried one. Call both on the thread of Run.
  const std::string& cursor() const { return cursor_; }
  const grpc::Status& last_status() const { return loop_.last_status(); }

 private:
  grpc::Status ReadStream(grpc::ClientContext* context, StreamLoop::Progress* progress);
  StreamLoop::Next Judge(const grpc::Status& status, const absl::Status& why);

  LogListener* const listener_;
  const std::unique_ptr<om::control::v1::LogService::Stub> stub_;
  om::control::v1::ReadLogRequest request_;
  StreamLoop loop_;
  std::string cursor_;
};

}  // namespace om

#endif  // OM_CLIENT_LOG_FOLLOW_H_
