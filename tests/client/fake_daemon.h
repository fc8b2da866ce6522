// A daemon that says what a test tells it to, on a Unix socket where omctl looks for one.
#ifndef OM_TESTS_CLIENT_FAKE_DAEMON_H_
#define OM_TESTS_CLIENT_FAKE_DAEMON_H_

#include <grpcpp/server.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "om/control/v1/action.grpc.pb.h"
#include "om/control/v1/blacklist.grpc.pb.h"
#include "om/control/v1/config.grpc.pb.h"
#include "om/control/v1/daemon.grpc.pb.h"
#include "om/control/v1/event.grpc.pb.h"
#include "om/control/v1/log.grpc.pb.h"
#include "om/control/v1/monitor.grpc.pb.h"
#include "om/control/v1/node.grpc.pb.h"
#include "server/base/mutex.h"

namespace om {

// Serves <root>/var/lsnr/grpc.sock while started. What it answers with is set before the call that
// it is for; calls run on threads of the server.
class FakeDaemon {
 public:
  using WatchScript =
      std::function<grpc::Status(grpc::ServerContext*, const om::control::v1::WatchStatusRequest&,
                                 grpc::ServerWriter<om::control::v1::WatchStatusResponse>*)>;

  // What one streaming call does.
  template <class Request, class Response>
  using Script = std::function<grpc::Status(grpc::ServerContext*, const Request&,
                                            grpc::ServerWriter<Response>*)>;
  using ActionScript =
      Script<om::control::v1::StreamActionRequest, om::control::v1::StreamActionResponse>;
  using AttachScript =
      Script<om::control::v1::AttachActionRequest, om::control::v1::AttachActionResponse>;
  using LogScript = Script<om::control::v1::ReadLogRequest, om::control::v1::ReadLogResponse>;
  using EventScript =
      Script<om::control::v1::WatchEventsRequest, om::control::v1::WatchEventsResponse>;

  explicit FakeDaemon(std::string root);
  ~FakeDaemon();

  void Start();
  // Ends all calls and closes the socket.
  void Stop();
  // Whether clients are served, or will be soon. THREAD: any.
  bool started() const { return started_.load(); }
  void SetHealth(const std::string& service, bool serving);

  // The state that GetStatus pages through, whatever the selector; objects `page_size` at a time.
  om::control::v1::GetStatusResponse status;
  int page_size = 500;
  om::control::v1::GetStatsResponse stats;
  om::control::v1::ListThreadsResponse threads;
  om::control::v1::ListEntriesResponse blacklist;
  om::control::v1::GetConfigResponse config;
  om::control::v1::GetKeywordsResponse keywords;
  om::control::v1::UpdateConfigResponse update;
  om::control::v1::SetInstanceMonitorResponse order;
  om::control::v1::ClearInstanceResponse clear;
  om::control::v1::ListOrdersResponse orders;
  // What WatchOrder streams, then it ends; GetOrder answers the last of them.
  std::vector<om::control::v1::Order> order_progress;
  om::control::v1::GetNodeMonitorResponse node_monitor;
  om::control::v1::SetNodeMonitorResponse node_order;
  om::control::v1::StopDaemonResponse stop;
  om::control::v1::RunActionResponse run_action;
  // What ListActions, GetAction (the first) and KillAction (the first) answer with.
  om::control::v1::ListActionsResponse actions;
  om::control::v1::CreateObjectsResponse created;
  om::control::v1::WaitForResponse waited;
  // Runs before StopDaemon answers.
  std::function<void()> on_stop;

  // The next calls, of any kind, end with these instead of an answer.
  void FailNext(std::vector<grpc::Status> failures);
  // What the next WatchStatus calls do, one each; further ones end with UNIMPLEMENTED.
  void ScriptWatches(std::vector<WatchScript> scripts);

  // The same for the other streams.
  void ScriptActions(std::vector<ActionScript> scripts);
  void ScriptAttaches(std::vector<AttachScript> scripts);
  void ScriptLogs(std::vector<LogScript> scripts);
  void ScriptEvents(std::vector<EventScript> scripts);

  // Requests that came, as "<Method> <text form>", those that were failed included.
  std::vector<std::string> Requests() const;
  // request_id of the changing calls that came.
  std::vector<std::string> RequestIds() const;

 private:
  class Services;

  // Notes the request; returns what it shall fail with, or OK.
  grpc::Status Note(const std::string& method, const google::protobuf::Message& request,
                    const std::string& request_id = "");
  // Notes the call and does what its script says.
  template <class Request, class Response>
  grpc::Status Play(const std::string& method, grpc::ServerContext* context, const Request& request,
                    grpc::ServerWriter<Response>* writer,
                    std::deque<Script<Request, Response>>* scripts);

  const std::string root_;
  std::unique_ptr<Services> services_;
  std::unique_ptr<grpc::Server> server_;
  std::atomic<bool> started_{false};

  mutable Mutex mutex_;
  std::deque<grpc::Status> failures_ GUARDED_BY(mutex_);
  std::deque<WatchScript> watches_ GUARDED_BY(mutex_);
  std::deque<ActionScript> action_streams_ GUARDED_BY(mutex_);
  std::deque<AttachScript> attaches_ GUARDED_BY(mutex_);
  std::deque<LogScript> logs_ GUARDED_BY(mutex_);
  std::deque<EventScript> events_ GUARDED_BY(mutex_);
  std::vector<std::string> requests_ GUARDED_BY(mutex_);
  std::vector<std::string> request_ids_ GUARDED_BY(mutex_);
};

// A status with typed details, as the daemon sends it: `reason` and, if `field` is not empty, a
// wrong field; `retry_ms` above 0 asks to wait.
grpc::Status DetailedError(grpc::StatusCode code, const std::string& message,
                           const std::string& reason, const std::string& field = "",
                           int retry_ms = 0);

}  // namespace om

#endif  // OM_TESTS_CLIENT_FAKE_DAEMON_H_
