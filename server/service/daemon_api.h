// The daemon, its threads, the status: what DaemonService of the API means, without any transport.
#ifndef OM_SERVER_SERVICE_DAEMON_API_H_
#define OM_SERVER_SERVICE_DAEMON_API_H_

#include <atomic>
#include <memory>

#include "om/control/v1/daemon.pb.h"
#include "server/service/context.h"
#include "server/service/process_stats.h"
#include "server/service/status_watch.h"

namespace om {

// THREAD: any. Errors are those the proto names.
class DaemonApi {
 public:
  struct Options {
    // Between the announcement of a stop to peers and its answer: legacy peers read it from
    // heartbeats that are 5 s apart. A node without peers does not wait.
    Duration stop_announcement = std::chrono::seconds(5);
    int max_watches = 1024;
  };
  // `context` is borrowed.
  DaemonApi(const ServiceContext* context, const Options& options);

  // Serialized GetStatusResponse.
  absl::StatusOr<Bytes> GetStatus(const Caller& caller,
                                  const control::v1::GetStatusRequest& request);
  // The caller of Next() must keep the watch only as long as its stream lives.
  // RESOURCE_EXHAUSTED past `max_watches`.
  absl::StatusOr<std::shared_ptr<StatusWatch>> WatchStatus(
      const Caller& caller, const control::v1::WatchStatusRequest& request);
  // Blocks on /proc for a moment, at most once a second.
  absl::StatusOr<control::v1::GetStatsResponse> GetStats(
      const Caller& caller, const control::v1::GetStatsRequest& request);
  absl::StatusOr<control::v1::ListNodesResponse> ListNodes(
      const Caller& caller, const control::v1::ListNodesRequest& request);
  absl::StatusOr<control::v1::ListThreadsResponse> ListThreads(
      const Caller& caller, const control::v1::ListThreadsRequest& request);
  void StartDaemon(const Caller& caller, const control::v1::StartDaemonRequest& request,
                   Reply<control::v1::StartDaemonResponse> reply);
  void StopDaemon(const Caller& caller, const control::v1::StopDaemonRequest& request,
                  Reply<control::v1::StopDaemonResponse> reply);
  void ShutdownDaemon(const Caller& caller, const control::v1::ShutdownDaemonRequest& request,
                      Reply<control::v1::ShutdownDaemonResponse> reply);
  // The same for the daemon itself, when a signal asks for it.
  void Shutdown(const Reply<control::v1::ShutdownDaemonResponse>& reply);
  void StartThread(const Caller& caller, const control::v1::StartThreadRequest& request,
                   Reply<control::v1::StartThreadResponse> reply);
  void StopThread(const Caller& caller, const control::v1::StopThreadRequest& request,
                  Reply<control::v1::StopThreadResponse> reply);

  // For who renders states in other forms: checks that the caller may read the status.
  absl::StatusOr<SnapshotPtr> ReadSnapshot(const Caller& caller);

  ChangeFeed* feed() const { return context_->core->feed(); }

 private:
  // Answers of a call that came too late for the loop to take it.
  static absl::Status Stopping();
  // Once, on the loop.
  void EndDaemon();

  const ServiceContext* const context_;  // Not owned.
  const Options options_;
  StatusCache cache_;
  ProcessSampler sampler_;
  std::shared_ptr<std::atomic<int>> watch_count_ = std::make_shared<std::atomic<int>>(0);
  bool stop_begun_ = false;  // On the loop.
};

}  // namespace om

#endif  // OM_SERVER_SERVICE_DAEMON_API_H_
