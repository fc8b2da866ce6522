#include "server/service/daemon_api.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "server/service/paging.h"

namespace om {
namespace {

namespace pb = control::v1;

constexpr PageSizes kThreadPages = {500, 1000};

google::protobuf::Duration SecondsToProto(double seconds) {
  google::protobuf::Duration out;
  out.set_seconds(static_cast<int64_t>(seconds));
  out.set_nanos(static_cast<int32_t>((seconds - static_cast<double>(out.seconds())) * 1e9));
  return out;
}

// First index and count of a page over `total` things that keep their order; tokens are indexes.
struct PageRange {
  size_t begin = 0;
  size_t end = 0;
};
absl::StatusOr<PageRange> RangeOf(int page_size, const std::string& token, size_t total) {
  ASSIGN_OR_RETURN(const size_t size, PageSizeOf(page_size, kThreadPages));
  uint32_t begin = 0;
  if (!token.empty() && (!absl::SimpleAtoi(token, &begin) || begin > total)) {
    return BadPageToken();
  }
  return PageRange{begin, std::min(total, begin + size)};
}

}  // namespace

DaemonApi::DaemonApi(const ServiceContext* context, const Options& options)
    : context_(context), options_(options), cache_(context->facts), sampler_(context->clock) {}

absl::Status DaemonApi::Stopping() {
  return MakeError("DAEMON_STOPPING", "the daemon is stopping");
}

absl::StatusOr<SnapshotPtr> DaemonApi::ReadSnapshot(const Caller& caller) {
  RETURN_IF_ERROR(Authorize(caller, "om.control.v1.DaemonService/GetStatus"));
  return context_->core->snapshot();
}

absl::StatusOr<Bytes> DaemonApi::GetStatus(const Caller& caller,
                                           const pb::GetStatusRequest& request) {
  RETURN_IF_ERROR(Admit(*context_, caller, "om.control.v1.DaemonService/GetStatus"));
  return cache_.Page(context_->core->snapshot(), request, Visibility(caller));
}

absl::StatusOr<std::shared_ptr<StatusWatch>> DaemonApi::WatchStatus(
    const Caller& caller, const pb::WatchStatusRequest& request) {
  RETURN_IF_ERROR(Admit(*context_, caller, "om.control.v1.DaemonService/WatchStatus"));
  if (watch_count_->fetch_add(1) >= options_.max_watches) {
    watch_count_->fetch_sub(1);
    context_->counters->Get("watch.refused")->Add();
    return WithRetryAfter(absl::ResourceExhaustedError(
                              absl::StrCat("all ", options_.max_watches, " watches are taken")),
                          std::chrono::seconds(5));
  }
  Core* core = context_->core;
  std::shared_ptr<StatusWatch> watch(
      new StatusWatch(
          &cache_, core->feed(), [core] { return core->snapshot(); }, Visibility(caller)),
      [count = watch_count_](StatusWatch* ended) {
        delete ended;
        count->fetch_sub(1);
      });
  RETURN_IF_ERROR(watch->Open(request));
  return watch;
}

absl::StatusOr<pb::GetStatsResponse> DaemonApi::GetStats(const Caller& caller,
                                                         const pb::GetStatsRequest& /*request*/) {
  RETURN_IF_ERROR(Admit(*context_, caller, "om.control.v1.DaemonService/GetStats"));
  const ProcessSample sample = sampler_.Sample();
  pb::GetStatsResponse response;
  *response.mutable_time() = ToProto(sample.time);
  *response.mutable_daemon()->mutable_cpu_time() = SecondsToProto(sample.cpu_seconds);
  response.mutable_daemon()->set_memory_bytes(sample.memory_bytes);
  response.mutable_daemon()->set_thread_count(sample.thread_count);
  response.mutable_daemon()->set_open_file_count(sample.open_file_count);
  *response.mutable_node_cpu_time() = SecondsToProto(sample.node_cpu_seconds);
  for (const auto& [name, value] : context_->counters->Values()) {
    (*response.mutable_counters())[name] = value;
  }
  const SnapshotPtr snapshot = context_->core->snapshot();
  for (const auto& [id, thread] : *snapshot->threads) {
    pb::ProcessStats& stats = (*response.mutable_threads())[id];
    const auto found = sample.cpu_seconds_by_tid.find(thread.kernel_tid);
    if (found == sample.cpu_seconds_by_tid.end()) continue;
    *stats.mutable_cpu_time() = SecondsToProto(found->second);
    stats.set_memory_bytes(sample.memory_bytes);
    stats.set_thread_count(1);
  }
  return response;
}

absl::StatusOr<pb::ListNodesResponse> DaemonApi::ListNodes(const Caller& caller,
                                                           const pb::ListNodesRequest& request) {
  RETURN_IF_ERROR(Admit(*context_, caller, "om.control.v1.DaemonService/ListNodes"));
  const SnapshotPtr snapshot = context_->core->snapshot();
  const std::vector<std::string>& names = snapshot->cluster->nodes;
  ASSIGN_OR_RETURN(const PageRange range,
                   RangeOf(request.page_size(), request.page_token(), names.size()));
  pb::ListNodesResponse response;
  for (size_t i = range.begin; i < range.end; ++i) {
    pb::NodeInfo& info = *response.add_nodes();
    info.set_name(names[i]);
    const NodeState* node = snapshot->node(names[i]);
    info.set_known(node != nullptr);
    if (node == nullptr) continue;
    for (const auto& [label, value] : node->labels) (*info.mutable_labels())[label] = value;
  }
  if (range.end < names.size()) response.set_next_page_token(absl::StrCat(range.end));
  return response;
}

absl::StatusOr<pb::ListThreadsResponse> DaemonApi::ListThreads(
    const Caller& caller, const pb::ListThreadsRequest& request) {
  RETURN_IF_ERROR(Admit(*context_, caller, "om.control.v1.DaemonService/ListThreads"));
  const SnapshotPtr snapshot = context_->core->snapshot();
  const Visibility visibility(caller);
  std::vector<const ThreadStatus*> threads;
  for (const auto& [id, thread] : *snapshot->threads) threads.push_back(&thread);
  ASSIGN_OR_RETURN(const PageRange range,
                   RangeOf(request.page_size(), request.page_token(), threads.size()));
  pb::ListThreadsResponse response;
  for (size_t i = range.begin; i < range.end; ++i) {
    *response.add_threads() = visibility.ShowThread(*threads[i], *snapshot);
  }
  if (range.end < threads.size()) response.set_next_page_token(absl::StrCat(range.end));
  return response;
}

void DaemonApi::StartDaemon(const Caller& caller, const pb::StartDaemonRequest& request,
                            Reply<pb::StartDaemonResponse> reply) {
  constexpr char operation[] = "om.control.v1.DaemonService/StartDaemon";
  if (!BeginChange(*context_, caller, operation, {"", request.request_id(), {}}, &reply)) return;
  absl::Status valid = CheckRequestId(request.request_id());
  if (!valid.ok()) return reply(std::move(valid));
  // Nothing changes, so nothing needs remembering: every repetition gets this answer.
  pb::StartDaemonResponse response;
  response.set_already_running(true);
  response.set_pid(context_->facts.pid);
  reply(std::move(response));
}

void DaemonApi::StopDaemon(const Caller& caller, const pb::StopDaemonRequest& request,
                           Reply<pb::StopDaemonResponse> reply) {
  constexpr char operation[] = "om.control.v1.DaemonService/StopDaemon";
  if (!BeginChange(*context_, caller, operation, {"", request.request_id(), {}}, &reply)) return;
  absl::Status valid = CheckRequestId(request.request_id());
  if (!valid.ok()) return reply(std::move(valid));
  // Not journalled: a second stop of this daemon answers the same, and one that reaches the next
  // daemon is a new wish.
  NodeMonitorOrder order;
  order.status = request.upgrade() ? status_word::kUpgrade : status_word::kMaintenance;
  RequestKey key;
  key.caller = caller.ToString();
  key.method = operation;
  context_->core->SetNodeMonitor(
      order, key,
      [this, reply = std::move(reply)](const absl::StatusOr<NodeMonitorAnswer>& announced) {
        if (!announced.ok()) return reply(announced.status());
        const bool has_peers = context_->core->snapshot()->cluster->nodes.size() > 1;
        context_->loop->PostAfter(has_peers ? options_.stop_announcement : Duration::zero(),
                                  [this, reply] {
                                    pb::StopDaemonResponse response;
                                    response.set_pid(context_->facts.pid);
                                    reply(std::move(response));
                                    EndDaemon();
                                  });
      });
}

void DaemonApi::EndDaemon() {
  if (!std::exchange(stop_begun_, true)) context_->end_daemon();
}

void DaemonApi::ShutdownDaemon(const Caller& caller, const pb::ShutdownDaemonRequest& request,
                               Reply<pb::ShutdownDaemonResponse> reply) {
  constexpr char operation[] = "om.control.v1.DaemonService/ShutdownDaemon";
  if (!BeginChange(*context_, caller, operation, {"", request.request_id(), {}}, &reply)) return;
  absl::Status valid = CheckRequestId(request.request_id());
  if (!valid.ok()) return reply(std::move(valid));
  // Not journalled, as a stop: a second one waits for the first, and one that reaches the next
  // daemon is a new wish.
  Shutdown(reply);
}

void DaemonApi::Shutdown(const Reply<pb::ShutdownDaemonResponse>& reply) {
  const bool posted = context_->loop->Post([this, reply] {
    static constexpr char scheduler[] = "scheduler";
    // It must run nothing on what is being shut down.
    absl::Status stopped = context_->supervisor->Stop(scheduler, [] {});
    if (!stopped.ok()) return reply(std::move(stopped));
    context_->core->Shutdown([this, reply](const absl::StatusOr<ShutdownAnswer>& answer) {
      if (!answer.ok()) {
        if (ReasonOf(answer.status()) == "SHUTDOWN_CANCELLED") {
          (void)context_->supervisor->Start(scheduler);
        }
        return reply(answer.status());
      }
      pb::ShutdownDaemonResponse response;
      response.set_pid(context_->facts.pid);
      for (const ObjectPath& path : answer->failed) response.add_failed_paths(path.ToString());
      reply(std::move(response));
      EndDaemon();
    });
  });
  if (!posted) reply(Stopping());
}

void DaemonApi::StartThread(const Caller& caller, const pb::StartThreadRequest& request,
                            Reply<pb::StartThreadResponse> reply) {
  constexpr char operation[] = "om.control.v1.DaemonService/StartThread";
  if (!BeginChange(*context_, caller, operation, {request.thread_id(), request.request_id(), {}},
                   &reply))
    return;
  DoOnce<pb::StartThreadResponse>(
      *context_, KeyOf(caller, operation, request),
      [this, id = request.thread_id()](const Reply<pb::StartThreadResponse>& done) {
        const bool posted = context_->loop->Post([this, id, done] {
          absl::Status started = context_->supervisor->Start(id);
          if (!started.ok()) return done(WithField(std::move(started), "thread_id"));
          pb::StartThreadResponse response;
          *response.mutable_thread() =
              ThreadToProto(*context_->supervisor->status(id), *context_->core->snapshot());
          done(std::move(response));
        });
        if (!posted) done(Stopping());
      },
      std::move(reply));
}

void DaemonApi::StopThread(const Caller& caller, const pb::StopThreadRequest& request,
                           Reply<pb::StopThreadResponse> reply) {
  constexpr char operation[] = "om.control.v1.DaemonService/StopThread";
  if (!BeginChange(*context_, caller, operation, {request.thread_id(), request.request_id(), {}},
                   &reply))
    return;
  DoOnce<pb::StopThreadResponse>(
      *context_, KeyOf(caller, operation, request),
      [this, id = request.thread_id(),
       wait = request.wait()](const Reply<pb::StopThreadResponse>& done) {
        const bool posted = context_->loop->Post([this, id, wait, done] {
          const auto answer = [this, id, done] {
            pb::StopThreadResponse response;
            *response.mutable_thread() =
                ThreadToProto(*context_->supervisor->status(id), *context_->core->snapshot());
            done(std::move(response));
          };
          absl::Status stopped = context_->supervisor->Stop(
              id, wait ? std::function<void()>(answer) : [] {});
          if (!stopped.ok()) return done(WithField(std::move(stopped), "thread_id"));
          if (!wait) answer();
        });
        if (!posted) done(Stopping());
      },
      std::move(reply));
}

}  // namespace om
