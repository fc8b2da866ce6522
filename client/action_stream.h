// Runs a command on a node and shows its output as it appears; shows that of one that runs already.
#ifndef OM_CLIENT_ACTION_STREAM_H_
#define OM_CLIENT_ACTION_STREAM_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/connection.h"
#include "client/stream_loop.h"
#include "om/control/v1/action.grpc.pb.h"

namespace om {

// Is told what a stream of an action shows, on the thread that runs the stream.
class ActionListener {
 public:
  virtual ~ActionListener() = default;

  // The action as it began, or as it was found. Once.
  virtual void OnAction(const om::control::v1::Action& action) = 0;

  // A piece of output; of each of the two streams in order, none twice. Returns false to leave.
  virtual bool OnOutput(const om::control::v1::ActionOutput& output) = 0;

  // So many bytes of a stream right before its next piece are not known any more.
  virtual void OnMissed(om::control::v1::OutputStream stream, uint64_t bytes) = 0;

  // The stream broke and the action, which goes on, is attached to after `delay`.
  virtual void OnReconnect(const absl::Status& why, std::chrono::milliseconds delay) = 0;
};

// One action. Run or Attach it on one thread, once.
class ActionStream {
 public:
  // Both are borrowed; `listener` must outlive the stream.
  ActionStream(Connection* connection, ActionListener* listener,
               const StreamLoop::Options& options);

  // Runs a command and returns it as it ended. Leaving early kills it unless `detach` is set. With
  // `detach` a connection that breaks is made anew and the output goes on where it stopped; without
  // it the break is the error, as the daemon kills the command. ABORTED if the listener left;
  // CANCELLED after Stop; DEADLINE_EXCEEDED past `deadline`; else what the daemon refused with.
  absl::StatusOr<om::control::v1::Action> Run(const om::control::v1::StreamActionRequest& request,
                                              MonotonicTime deadline);

  // The same for one that was begun before; leaving does not change anything for it.
  absl::StatusOr<om::control::v1::Action> Attach(
      const om::control::v1::AttachActionRequest& request, MonotonicTime deadline);

  // Makes Run or Attach return soon. THREAD: any.
  void Stop() { loop_.Stop(); }

  // Call it on the thread of Run.
  const grpc::Status& last_status() const { return loop_.last_status(); }

 private:
  template <class Reader, class Message>
  grpc::Status ReadStream(grpc::ClientContext* context, Reader* reader, Message* message,
                          StreamLoop::Progress* progress);
  // Returns false if the listener left.
  bool Take(const om::control::v1::ActionOutput& output);
  absl::StatusOr<om::control::v1::Action> Loop(
      const std::optional<om::control::v1::StreamActionRequest>& run,
      om::control::v1::AttachActionRequest attach, MonotonicTime deadline);

  ActionListener* const listener_;
  const std::unique_ptr<om::control::v1::ActionService::Stub> stub_;
  StreamLoop loop_;
  std::string id_;                 // Empty until the action was told.
  om::control::v1::Action first_;  // As it was told first.
  std::optional<om::control::v1::Action> end_;
  std::map<om::control::v1::OutputStream, uint64_t> seen_bytes_;  // Of each stream, what was told.
};

}  // namespace om

#endif  // OM_CLIENT_ACTION_STREAM_H_
