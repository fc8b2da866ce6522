#include "server/rpc/grpc_server.h"

#include <sys/stat.h>

#include <map>
#include <utility>
#include <vector>

#include "glog/logging.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "om/control/v1/blacklist.grpc.pb.h"
#include "om/control/v1/config.grpc.pb.h"
#include "om/control/v1/daemon.grpc.pb.h"
#include "om/control/v1/monitor.grpc.pb.h"
#include "om/control/v1/node.grpc.pb.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/rpc/action_binding.h"
#include "server/rpc/auth_binding.h"
#include "server/rpc/builtin_limits.h"
#include "server/rpc/call.h"
#include "server/rpc/event_binding.h"
#include "server/rpc/grpc_acceptors.h"
#include "server/rpc/grpc_log.h"
#include "server/rpc/log_binding.h"
#include "server/rpc/membership_binding.h"
#include "server/rpc/pki_binding.h"
#include "server/rpc/watch_stream.h"

namespace om {
namespace {

namespace pb = control::v1;

// For connections without calls to take the goodbye.
constexpr std::chrono::milliseconds kHangUp{100};

// The status goes out as bytes that are made once and shared by everyone who asks.
using DaemonServiceBase = pb::DaemonService::WithRawCallbackMethod_GetStatus<
    pb::DaemonService::WithRawCallbackMethod_WatchStatus<pb::DaemonService::CallbackService>>;

class DaemonBinding final : public DaemonServiceBase {
 public:
  DaemonBinding(DaemonApi* api, const StreamParts& parts)
      : api_(api), stream_parts_(parts), calls_(parts.calls) {}

  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;

  // The typed forms are never called: the raw ones stand in their place.
  using DaemonServiceBase::GetStatus;
  using DaemonServiceBase::WatchStatus;

  Unary* GetStatus(Context* context, const grpc::ByteBuffer* buffer,
                   grpc::ByteBuffer* response) override {
    Unary* reactor = BeginCall(context, calls_);
    const absl::StatusOr<pb::GetStatusRequest> request = ParseBuffer<pb::GetStatusRequest>(*buffer);
    const absl::StatusOr<Identified> who = calls_->CallerOf(*context);
    absl::StatusOr<Bytes> status;
    if (!request.ok()) {
      status = request.status();
    } else if (!who.ok()) {
      status = who.status();
    } else {
      status = api_->GetStatus(who->caller, *request);
    }
    if (status.ok()) *response = ToByteBuffer(*status);
    FinishCall(reactor, ToGrpcStatus(status.status()), calls_);
    return reactor;
  }

  grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchStatus(Context* context,
                                                          const grpc::ByteBuffer* buffer) override {
    return OpenStream<pb::WatchStatusRequest>(stream_parts_, api_->feed(), api_,
                                              &DaemonApi::WatchStatus, context, buffer);
  }

  Unary* GetStats(Context* context, const pb::GetStatsRequest* request,
                  pb::GetStatsResponse* response) override {
    // Reads /proc, so not on gRPC's thread.
    Unary* reactor = BeginCall(context, calls_);
    const absl::StatusOr<Identified> who = calls_->CallerOf(*context);
    if (!who.ok()) {
      FinishCall(reactor, ToGrpcStatus(who.status()), calls_);
      return reactor;
    }
    const bool posted = stream_parts_.executor->Post(
        [this, caller = who->caller, request, reply = AnswerLater(reactor, calls_, response)] {
          reply(api_->GetStats(caller, *request));
        });
    if (!posted) {
      FinishCall(reactor, ToGrpcStatus(absl::ResourceExhaustedError("too many requests wait")),
                 calls_);
    }
    return reactor;
  }
  Unary* ListNodes(Context* context, const pb::ListNodesRequest* request,
                   pb::ListNodesResponse* response) override {
    return Answer(api_, &DaemonApi::ListNodes, context, calls_, request, response);
  }
  Unary* ListThreads(Context* context, const pb::ListThreadsRequest* request,
                     pb::ListThreadsResponse* response) override {
    return Answer(api_, &DaemonApi::ListThreads, context, calls_, request, response);
  }
  Unary* StartDaemon(Context* context, const pb::StartDaemonRequest* request,
                     pb::StartDaemonResponse* response) override {
    return Ask(api_, &DaemonApi::StartDaemon, context, calls_, request, response);
  }
  Unary* StopDaemon(Context* context, const pb::StopDaemonRequest* request,
                    pb::StopDaemonResponse* response) override {
    return Ask(api_, &DaemonApi::StopDaemon, context, calls_, request, response);
  }
  Unary* ShutdownDaemon(Context* context, const pb::ShutdownDaemonRequest* request,
                        pb::ShutdownDaemonResponse* response) override {
    return Ask(api_, &DaemonApi::ShutdownDaemon, context, calls_, request, response);
  }
  Unary* StartThread(Context* context, const pb::StartThreadRequest* request,
                     pb::StartThreadResponse* response) override {
    return Ask(api_, &DaemonApi::StartThread, context, calls_, request, response);
  }
  Unary* StopThread(Context* context, const pb::StopThreadRequest* request,
                    pb::StopThreadResponse* response) override {
    return Ask(api_, &DaemonApi::StopThread, context, calls_, request, response);
  }

 private:
  DaemonApi* const api_;  // Not owned.
  const StreamParts stream_parts_;
  CallCount* const calls_;  // Not owned.
};

class BlacklistBinding final : public pb::BlacklistService::CallbackService {
 public:
  BlacklistBinding(BlacklistApi* api, CallCount* calls) : api_(api), calls_(calls) {}

  grpc::ServerUnaryReactor* ListEntries(grpc::CallbackServerContext* context,
                                        const pb::ListEntriesRequest* request,
                                        pb::ListEntriesResponse* response) override {
    return Answer(api_, &BlacklistApi::ListEntries, context, calls_, request, response);
  }
  grpc::ServerUnaryReactor* ClearEntries(grpc::CallbackServerContext* context,
                                         const pb::ClearEntriesRequest* request,
                                         pb::ClearEntriesResponse* response) override {
    return Ask(api_, &BlacklistApi::ClearEntries, context, calls_, request, response);
  }

 private:
  BlacklistApi* const api_;  // Not owned.
  CallCount* const calls_;   // Not owned.
};

class ConfigBinding final : public pb::ConfigService::CallbackService {
 public:
  ConfigBinding(ConfigApi* api, CallCount* calls) : api_(api), calls_(calls) {}

  grpc::ServerUnaryReactor* GetConfig(grpc::CallbackServerContext* context,
                                      const pb::GetConfigRequest* request,
                                      pb::GetConfigResponse* response) override {
    return Ask(api_, &ConfigApi::GetConfig, context, calls_, request, response);
  }
  grpc::ServerUnaryReactor* GetKeywords(grpc::CallbackServerContext* context,
                                        const pb::GetKeywordsRequest* request,
                                        pb::GetKeywordsResponse* response) override {
    return Ask(api_, &ConfigApi::GetKeywords, context, calls_, request, response);
  }
  grpc::ServerUnaryReactor* UpdateConfig(grpc::CallbackServerContext* context,
                                         const pb::UpdateConfigRequest* request,
                                         pb::UpdateConfigResponse* response) override {
    return Ask(api_, &ConfigApi::UpdateConfig, context, calls_, request, response);
  }

 private:
  ConfigApi* const api_;    // Not owned.
  CallCount* const calls_;  // Not owned.
};

using MonitorServiceBase =
    pb::MonitorService::WithRawCallbackMethod_WatchOrder<pb::MonitorService::CallbackService>;

class MonitorBinding final : public MonitorServiceBase {
 public:
  MonitorBinding(MonitorApi* api, const StreamParts& parts)
      : api_(api), stream_parts_(parts), calls_(parts.calls) {}

  // The typed form is never called: the raw one stands in its place.
  using MonitorServiceBase::WatchOrder;

  grpc::ServerUnaryReactor* GetInstanceMonitor(grpc::CallbackServerContext* context,
                                               const pb::GetInstanceMonitorRequest* request,
                                               pb::GetInstanceMonitorResponse* response) override {
    return Answer(api_, &MonitorApi::GetInstanceMonitor, context, calls_, request, response);
  }
  grpc::ServerUnaryReactor* SetInstanceMonitor(grpc::CallbackServerContext* context,
                                               const pb::SetInstanceMonitorRequest* request,
                                               pb::SetInstanceMonitorResponse* response) override {
    return Ask(api_, &MonitorApi::SetInstanceMonitor, context, calls_, request, response);
  }
  grpc::ServerUnaryReactor* ClearInstance(grpc::CallbackServerContext* context,
                                          const pb::ClearInstanceRequest* request,
                                          pb::ClearInstanceResponse* response) override {
    return Ask(api_, &MonitorApi::ClearInstance, context, calls_, request, response);
  }

  grpc::ServerUnaryReactor* GetOrder(grpc::CallbackServerContext* context,
                                     const pb::GetOrderRequest* request,
                                     pb::GetOrderResponse* response) override {
    return Answer(api_, &MonitorApi::GetOrder, context, calls_, request, response);
  }
  grpc::ServerUnaryReactor* ListOrders(grpc::CallbackServerContext* context,
                                       const pb::ListOrdersRequest* request,
                                       pb::ListOrdersResponse* response) override {
    return Answer(api_, &MonitorApi::ListOrders, context, calls_, request, response);
  }
  grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchOrder(grpc::CallbackServerContext* context,
                                                         const grpc::ByteBuffer* buffer) override {
    return OpenStream<pb::WatchOrderRequest>(stream_parts_, api_->order_feed(), api_,
                                             &MonitorApi::WatchOrder, context, buffer);
  }

 private:
  MonitorApi* const api_;  // Not owned.
  const StreamParts stream_parts_;
  CallCount* const calls_;  // Not owned.
};

class NodeBinding final : public pb::NodeService::CallbackService {
 public:
  NodeBinding(NodeApi* api, CallCount* calls) : api_(api), calls_(calls) {}

  grpc::ServerUnaryReactor* GetNodeMonitor(grpc::CallbackServerContext* context,
                                           const pb::GetNodeMonitorRequest* request,
                                           pb::GetNodeMonitorResponse* response) override {
    return Answer(api_, &NodeApi::GetNodeMonitor, context, calls_, request, response);
  }
  grpc::ServerUnaryReactor* SetNodeMonitor(grpc::CallbackServerContext* context,
                                           const pb::SetNodeMonitorRequest* request,
                                           pb::SetNodeMonitorResponse* response) override {
    return Ask(api_, &NodeApi::SetNodeMonitor, context, calls_, request, response);
  }

 private:
  NodeApi* const api_;      // Not owned.
  CallCount* const calls_;  // Not owned.
};

}  // namespace

class GrpcServer::Impl {
 public:
  Impl(const Options& options, const Parts& parts)
      : options_(options),
        parts_(parts),
        callers_(parts.callers),
        calls_(&callers_, parts.limiter),
        stream_parts_{&calls_,        &streams_,
                      parts.streams,  parts.clock,
                      parts.counters, {options.heartbeat_interval, options.write_timeout}},
        daemon_(parts.daemon, stream_parts_),
        blacklist_(parts.blacklist, &calls_),
        config_(parts.config, &calls_),
        membership_(parts.membership, &calls_),
        monitor_(parts.monitor, stream_parts_),
        node_(parts.node, &calls_),
        auth_(parts.auth, &calls_),
        pki_(parts.pki, &calls_),
        events_(parts.events, stream_parts_),
        logs_(parts.logs, stream_parts_),
        action_(parts.action, stream_parts_) {}

  absl::Status Start();
  void CheckUnixSocket();
  void Shutdown(std::chrono::milliseconds deadline);

  // Listens on TCP; what keeps it from that is tcp_error_.
  void OpenTcp() EXCLUDES(tcp_mutex_);

  mutable Mutex tcp_mutex_;
  std::string tcp_error_ GUARDED_BY(tcp_mutex_);
  uint16_t tcp_port_ GUARDED_BY(tcp_mutex_) = 0;

 private:
  // Tells health checkers what the threads do. The server as a whole stays serving while an
  // operator has a thread stopped.
  // Called by one thread at a time.
  void UpdateHealth();

  const Options options_;
  const Parts parts_;
  const CallerResolver callers_;
  CallCount calls_;
  WatchStreams streams_;
  const StreamParts stream_parts_;
  DaemonBinding daemon_;
  BlacklistBinding blacklist_;
  ConfigBinding config_;
  MembershipBinding membership_;
  MonitorBinding monitor_;
  NodeBinding node_;
  AuthBinding auth_;
  PkiBinding pki_;
  EventBinding events_;
  LogBinding logs_;
  ActionBinding action_;
  std::unique_ptr<GrpcAcceptors> acceptors_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<AcceptLoop> accept_;
  ListenerId unix_listener_{};
  std::unique_ptr<ChangeFeed::Subscription> subscription_;
  std::map<std::string, bool> serving_;  // What health checkers were told, by thread.
  // Wakes of the subscription may come when the server is gone.
  struct HealthGuard {
    Mutex mutex;
    Impl* server GUARDED_BY(mutex) = nullptr;
  };
  std::shared_ptr<HealthGuard> guard_ = std::make_shared<HealthGuard>();
};

absl::Status GrpcServer::Impl::Start() {
  TakeOverGrpcLog();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  ConfigureServerBuilder(&builder, options_.limits);
  LimitBuiltinServices(&builder, parts_.limiter);
  acceptors_ = std::make_unique<GrpcAcceptors>(&builder, options_.tls_credentials);
  builder.RegisterService(&daemon_);
  builder.RegisterService(&blacklist_);
  builder.RegisterService(&config_);
  builder.RegisterService(&membership_);
  builder.RegisterService(&monitor_);
  builder.RegisterService(&node_);
  builder.RegisterService(&auth_);
  builder.RegisterService(&pki_);
  builder.RegisterService(&events_);
  builder.RegisterService(&logs_);
  builder.RegisterService(&action_);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) return absl::InternalError("gRPC did not start");
  accept_ = std::make_unique<AcceptLoop>(
      options_.accept,
      [this](UniqueFd fd, const Peer& peer) { acceptors_->HandOver(std::move(fd), peer); },
      parts_.clock, parts_.counters);
  ASSIGN_OR_RETURN(unix_listener_, accept_->ListenUnix(options_.unix_path));
  if (options_.tls_credentials == nullptr) OpenTcp();
  {
    MutexLock lock(&guard_->mutex);
    guard_->server = this;
  }
  subscription_ = parts_.core->feed()->Subscribe(parts_.streams, [guard = guard_] {
    MutexLock lock(&guard->mutex);
    if (guard->server != nullptr) guard->server->UpdateHealth();
  });
  {
    MutexLock lock(&guard_->mutex);
    UpdateHealth();
  }
  return accept_->Start();
}

void GrpcServer::Impl::OpenTcp() {
  if (options_.tcp_address.empty()) return;
  const absl::StatusOr<ListenerId> tcp =
      accept_->ListenTcp(options_.tcp_address, options_.tcp_port);
  MutexLock lock(&tcp_mutex_);
  tcp_error_ = std::string(tcp.status().message());
  if (tcp.ok()) tcp_port_ = accept_->Port(*tcp);
}

void GrpcServer::Impl::UpdateHealth() {
  const SnapshotPtr snapshot = parts_.core->snapshot();
  grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
  for (const auto& [id, thread] : *snapshot->threads) {
    // Health watchers are told of every call, also when it changes nothing.
    const bool serving = thread.state == ThreadState::kRunning;
    const auto [known, is_new] = serving_.emplace(id, serving);
    if (!is_new && known->second == serving) continue;
    known->second = serving;
    health->SetServingStatus(id, serving);
  }
}

void GrpcServer::Impl::CheckUnixSocket() {
  struct stat info = {};
  if (lstat(options_.unix_path.c_str(), &info) == 0) return;
  accept_->StopListening(unix_listener_);
  absl::Status status =
      MakeDirectories(options_.unix_path.substr(0, options_.unix_path.rfind('/')));
  if (status.ok()) {
    const absl::StatusOr<ListenerId> again = accept_->ListenUnix(options_.unix_path);
    if (again.ok()) unix_listener_ = *again;
    status = again.status();
  }
  LOG(WARNING) << "OM-SOCKET-GONE " << options_.unix_path << " was removed"
               << (status.ok() ? "; it is there again" : absl::StrCat(": ", status.ToString()));
}

void GrpcServer::Impl::Shutdown(std::chrono::milliseconds deadline) {
  if (server_ == nullptr) return;
  server_->GetHealthCheckService()->Shutdown();
  {
    MutexLock lock(&guard_->mutex);
    guard_->server = nullptr;
  }
  subscription_.reset();
  if (accept_ != nullptr) accept_->Shutdown();
  parts_.events->EndWaits();
  streams_.EndAll(MakeError("DAEMON_STOPPING", "the daemon is stopping; watch again"));
  // gRPC itself would wait for clients to hang up, idle ones included: the calls are what counts.
  // What runs on past the deadline is cut off, as are connections that do not go.
  const auto limit = std::chrono::steady_clock::now() + deadline;
  if (!calls_.WaitForNone(limit) || !streams_.WaitForNone(limit)) {
    LOG(WARNING) << "OM-RPC-CUT calls were cut off at the end of the daemon";
  }
  server_->Shutdown(std::chrono::system_clock::now() + kHangUp);
  server_->Wait();
  server_.reset();
}

GrpcServer::GrpcServer(const Options& options, const Parts& parts)
    : impl_(std::make_unique<Impl>(options, parts)) {}
GrpcServer::~GrpcServer() { Shutdown(std::chrono::milliseconds(0)); }

absl::Status GrpcServer::Start() { return impl_->Start(); }
void GrpcServer::OpenTcp() { impl_->OpenTcp(); }
std::string GrpcServer::tcp_error() const {
  MutexLock lock(&impl_->tcp_mutex_);
  return impl_->tcp_error_;
}
uint16_t GrpcServer::tcp_port() const {
  MutexLock lock(&impl_->tcp_mutex_);
  return impl_->tcp_port_;
}
void GrpcServer::CheckUnixSocket() { impl_->CheckUnixSocket(); }
void GrpcServer::Shutdown(std::chrono::milliseconds deadline) { impl_->Shutdown(deadline); }

}  // namespace om
