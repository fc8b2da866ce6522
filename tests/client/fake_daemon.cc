#include "tests/client/fake_daemon.h"

#include <grpcpp/ext/health_check_service_server_builder_option.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/connection.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"
#include "server/base/file.h"

namespace om {

using namespace om::control::v1;  // NOLINT: most names here are messages.

class FakeDaemon::Services final {
 public:
  explicit Services(FakeDaemon* fake)
      : daemon(fake),
        blacklist(fake),
        config(fake),
        monitor(fake),
        node(fake),
        action(fake),
        log(fake),
        event(fake) {}

  class Daemon final : public DaemonService::Service {
   public:
    explicit Daemon(FakeDaemon* fake) : fake_(fake) {}

    grpc::Status GetStatus(grpc::ServerContext*, const GetStatusRequest* request,
                           GetStatusResponse* response) override {
      grpc::Status failure = fake_->Note("GetStatus", *request);
      if (!failure.ok()) return failure;
      int first = 0;
      if (!request->page_token().empty() && !absl::SimpleAtoi(request->page_token(), &first)) {
        return {grpc::StatusCode::INVALID_ARGUMENT, "page token"};
      }
      *response = fake_->status;
      response->clear_objects();
      const int last = std::min(first + fake_->page_size, fake_->status.objects_size());
      for (int i = first; i < last; ++i) *response->add_objects() = fake_->status.objects(i);
      if (last < fake_->status.objects_size()) response->set_next_page_token(absl::StrCat(last));
      return grpc::Status::OK;
    }
    grpc::Status WatchStatus(grpc::ServerContext* context, const WatchStatusRequest* request,
                             grpc::ServerWriter<WatchStatusResponse>* writer) override {
      return fake_->Play("WatchStatus", context, *request, writer, &fake_->watches_);
    }
    grpc::Status GetStats(grpc::ServerContext*, const GetStatsRequest* request,
                          GetStatsResponse* response) override {
      *response = fake_->stats;
      return fake_->Note("GetStats", *request);
    }
    grpc::Status StopDaemon(grpc::ServerContext*, const StopDaemonRequest* request,
                            StopDaemonResponse* response) override {
      if (fake_->on_stop) fake_->on_stop();
      *response = fake_->stop;
      return fake_->Note("StopDaemon", *request, request->request_id());
    }
    grpc::Status StartDaemon(grpc::ServerContext*, const StartDaemonRequest* request,
                             StartDaemonResponse* response) override {
      response->set_already_running(true);
      response->set_pid(fake_->status.daemon().pid());
      return fake_->Note("StartDaemon", *request, request->request_id());
    }
    grpc::Status ListThreads(grpc::ServerContext*, const ListThreadsRequest* request,
                             ListThreadsResponse* response) override {
      *response = fake_->threads;
      return fake_->Note("ListThreads", *request);
    }
    grpc::Status StartThread(grpc::ServerContext*, const StartThreadRequest* request,
                             StartThreadResponse* response) override {
      response->mutable_thread()->set_id(request->thread_id());
      response->mutable_thread()->set_state(THREAD_STATE_RUNNING);
      return fake_->Note("StartThread", *request, request->request_id());
    }
    grpc::Status StopThread(grpc::ServerContext*, const StopThreadRequest* request,
                            StopThreadResponse* response) override {
      response->mutable_thread()->set_id(request->thread_id());
      response->mutable_thread()->set_state(request->wait() ? THREAD_STATE_STOPPED
                                                            : THREAD_STATE_STOPPING);
      return fake_->Note("StopThread", *request, request->request_id());
    }

   private:
    FakeDaemon* const fake_;
  };

  class Blacklist final : public BlacklistService::Service {
   public:
    explicit Blacklist(FakeDaemon* fake) : fake_(fake) {}

    grpc::Status ListEntries(grpc::ServerContext*, const ListEntriesRequest* request,
                             ListEntriesResponse* response) override {
      *response = fake_->blacklist;
      return fake_->Note("ListEntries", *request);
    }
    grpc::Status ClearEntries(grpc::ServerContext*, const ClearEntriesRequest* request,
                              ClearEntriesResponse* response) override {
      response->set_cleared_count(fake_->blacklist.entries_size());
      return fake_->Note("ClearEntries", *request, request->request_id());
    }

   private:
    FakeDaemon* const fake_;
  };

  class Config final : public ConfigService::Service {
   public:
    explicit Config(FakeDaemon* fake) : fake_(fake) {}

    grpc::Status GetConfig(grpc::ServerContext*, const GetConfigRequest* request,
                           GetConfigResponse* response) override {
      *response = fake_->config;
      return fake_->Note("GetConfig", *request);
    }
    grpc::Status GetKeywords(grpc::ServerContext*, const GetKeywordsRequest* request,
                             GetKeywordsResponse* response) override {
      *response = fake_->keywords;
      return fake_->Note("GetKeywords", *request);
    }
    grpc::Status UpdateConfig(grpc::ServerContext*, const UpdateConfigRequest* request,
                              UpdateConfigResponse* response) override {
      *response = fake_->update;
      return fake_->Note("UpdateConfig", *request, request->request_id());
    }

   private:
    FakeDaemon* const fake_;
  };

  class Monitor final : public MonitorService::Service {
   public:
    explicit Monitor(FakeDaemon* fake) : fake_(fake) {}

    grpc::Status SetInstanceMonitor(grpc::ServerContext*, const SetInstanceMonitorRequest* request,
                                    SetInstanceMonitorResponse* response) override {
      *response = fake_->order;
      return fake_->Note("SetInstanceMonitor", *request, request->request_id());
    }
    grpc::Status GetOrder(grpc::ServerContext*, const GetOrderRequest* request,
                          GetOrderResponse* response) override {
      if (!fake_->order_progress.empty()) *response->mutable_order() = fake_->order_progress.back();
      return fake_->Note("GetOrder", *request);
    }
    grpc::Status ListOrders(grpc::ServerContext*, const ListOrdersRequest* request,
                            ListOrdersResponse* response) override {
      *response = fake_->orders;
      return fake_->Note("ListOrders", *request);
    }
    grpc::Status WatchOrder(grpc::ServerContext*, const WatchOrderRequest* request,
                            grpc::ServerWriter<WatchOrderResponse>* writer) override {
      grpc::Status failure = fake_->Note("WatchOrder", *request);
      if (!failure.ok()) return failure;
      for (const control::v1::Order& progress : fake_->order_progress) {
        WatchOrderResponse message;
        *message.mutable_order() = progress;
        writer->Write(message);
      }
      return grpc::Status::OK;
    }
    grpc::Status ClearInstance(grpc::ServerContext*, const ClearInstanceRequest* request,
                               ClearInstanceResponse* response) override {
      *response = fake_->clear;
      return fake_->Note("ClearInstance", *request, request->request_id());
    }

   private:
    FakeDaemon* const fake_;
  };

  class Node final : public NodeService::Service {
   public:
    explicit Node(FakeDaemon* fake) : fake_(fake) {}

    grpc::Status GetNodeMonitor(grpc::ServerContext*, const GetNodeMonitorRequest* request,
                                GetNodeMonitorResponse* response) override {
      *response = fake_->node_monitor;
      return fake_->Note("GetNodeMonitor", *request);
    }
    grpc::Status SetNodeMonitor(grpc::ServerContext*, const SetNodeMonitorRequest* request,
                                SetNodeMonitorResponse* response) override {
      *response = fake_->node_order;
      return fake_->Note("SetNodeMonitor", *request, request->request_id());
    }

   private:
    FakeDaemon* const fake_;
  };

  class Actions final : public ActionService::Service {
   public:
    explicit Actions(FakeDaemon* fake) : fake_(fake) {}

    grpc::Status RunAction(grpc::ServerContext*, const RunActionRequest* request,
                           RunActionResponse* response) override {
      *response = fake_->run_action;
      return fake_->Note("RunAction", *request, request->request_id());
    }
    grpc::Status StreamAction(grpc::ServerContext* context, const StreamActionRequest* request,
                              grpc::ServerWriter<StreamActionResponse>* writer) override {
      return fake_->Play("StreamAction", context, *request, writer, &fake_->action_streams_);
    }
    grpc::Status AttachAction(grpc::ServerContext* context, const AttachActionRequest* request,
                              grpc::ServerWriter<AttachActionResponse>* writer) override {
      return fake_->Play("AttachAction", context, *request, writer, &fake_->attaches_);
    }
    grpc::Status GetAction(grpc::ServerContext*, const GetActionRequest* request,
                           GetActionResponse* response) override {
      if (!fake_->actions.actions().empty()) {
        *response->mutable_action() = fake_->actions.actions(0);
      }
      return fake_->Note("GetAction", *request);
    }
    grpc::Status ListActions(grpc::ServerContext*, const ListActionsRequest* request,
                             ListActionsResponse* response) override {
      *response = fake_->actions;
      return fake_->Note("ListActions", *request);
    }
    grpc::Status KillAction(grpc::ServerContext*, const KillActionRequest* request,
                            KillActionResponse* response) override {
      if (!fake_->actions.actions().empty()) {
        *response->mutable_action() = fake_->actions.actions(0);
      }
      return fake_->Note("KillAction", *request, request->request_id());
    }
    grpc::Status CreateObjects(grpc::ServerContext*, const CreateObjectsRequest* request,
                               CreateObjectsResponse* response) override {
      *response = fake_->created;
      return fake_->Note("CreateObjects", *request, request->request_id());
    }

   private:
    FakeDaemon* const fake_;
  };

  class Logs final : public LogService::Service {
   public:
    explicit Logs(FakeDaemon* fake) : fake_(fake) {}

    grpc::Status ReadLog(grpc::ServerContext* context, const ReadLogRequest* request,
                         grpc::ServerWriter<ReadLogResponse>* writer) override {
      return fake_->Play("ReadLog", context, *request, writer, &fake_->logs_);
    }

   private:
    FakeDaemon* const fake_;
  };

  class Events final : public EventService::Service {
   public:
    explicit Events(FakeDaemon* fake) : fake_(fake) {}

    grpc::Status WatchEvents(grpc::ServerContext* context, const WatchEventsRequest* request,
                             grpc::ServerWriter<WatchEventsResponse>* writer) override {
      return fake_->Play("WatchEvents", context, *request, writer, &fake_->events_);
    }
    grpc::Status WaitFor(grpc::ServerContext*, const WaitForRequest* request,
                         WaitForResponse* response) override {
      *response = fake_->waited;
      return fake_->Note("WaitFor", *request);
    }

   private:
    FakeDaemon* const fake_;
  };

  Daemon daemon;
  Blacklist blacklist;
  Config config;
  Monitor monitor;
  Node node;
  Actions action;
  Logs log;
  Events event;
};

template <class Request, class Response>
grpc::Status FakeDaemon::Play(const std::string& method, grpc::ServerContext* context,
                              const Request& request, grpc::ServerWriter<Response>* writer,
                              std::deque<Script<Request, Response>>* scripts) {
  grpc::Status failure = Note(method, request);
  if (!failure.ok()) return failure;
  Script<Request, Response> script;
  {
    MutexLock lock(&mutex_);
    if (!scripts->empty()) {
      script = scripts->front();
      scripts->pop_front();
    }
  }
  if (!script) {
    return {grpc::StatusCode::UNIMPLEMENTED, absl::StrCat("no more ", method, " in the script")};
  }
  return script(context, request, writer);
}

FakeDaemon::FakeDaemon(std::string root) : root_(std::move(root)) {}

FakeDaemon::~FakeDaemon() { Stop(); }

void FakeDaemon::Start() {
  const absl::StatusOr<Endpoint> endpoint = UnixEndpoint(root_);
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  const absl::Status made = MakeDirectories(PathsBelow(root_).var + "/lsnr");
  ASSERT_TRUE(made.ok()) << made;
  services_ = std::make_unique<Services>(this);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(endpoint->target, grpc::InsecureServerCredentials());
  builder.RegisterService(&services_->daemon);
  builder.RegisterService(&services_->blacklist);
  builder.RegisterService(&services_->config);
  builder.RegisterService(&services_->monitor);
  builder.RegisterService(&services_->node);
  builder.RegisterService(&services_->action);
  builder.RegisterService(&services_->log);
  builder.RegisterService(&services_->event);
  server_ = builder.BuildAndStart();
  ASSERT_NE(server_, nullptr) << endpoint->target;
  started_ = true;
}

void FakeDaemon::Stop() {
  if (server_ == nullptr) return;
  started_ = false;
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
  services_.reset();
}

void FakeDaemon::SetHealth(const std::string& service, bool serving) {
  server_->GetHealthCheckService()->SetServingStatus(service, serving);
}

void FakeDaemon::FailNext(std::vector<grpc::Status> failures) {
  MutexLock lock(&mutex_);
  failures_.assign(failures.begin(), failures.end());
}

void FakeDaemon::ScriptWatches(std::vector<WatchScript> scripts) {
  MutexLock lock(&mutex_);
  watches_.assign(scripts.begin(), scripts.end());
}

void FakeDaemon::ScriptActions(std::vector<ActionScript> scripts) {
  MutexLock lock(&mutex_);
  action_streams_.assign(scripts.begin(), scripts.end());
}

void FakeDaemon::ScriptAttaches(std::vector<AttachScript> scripts) {
  MutexLock lock(&mutex_);
  attaches_.assign(scripts.begin(), scripts.end());
}

void FakeDaemon::ScriptLogs(std::vector<LogScript> scripts) {
  MutexLock lock(&mutex_);
  logs_.assign(scripts.begin(), scripts.end());
}

void FakeDaemon::ScriptEvents(std::vector<EventScript> scripts) {
  MutexLock lock(&mutex_);
  events_.assign(scripts.begin(), scripts.end());
}

std::vector<std::string> FakeDaemon::Requests() const {
  MutexLock lock(&mutex_);
  return requests_;
}

std::vector<std::string> FakeDaemon::RequestIds() const {
  MutexLock lock(&mutex_);
  return request_ids_;
}

grpc::Status FakeDaemon::Note(const std::string& method, const google::protobuf::Message& request,
                              const std::string& request_id) {
  MutexLock lock(&mutex_);
  requests_.push_back(absl::StrCat(method, " ", request.ShortDebugString()));
  if (!request_id.empty()) request_ids_.push_back(request_id);
  if (failures_.empty()) return grpc::Status::OK;
  grpc::Status failure = failures_.front();
  failures_.pop_front();
  return failure;
}

grpc::Status DetailedError(grpc::StatusCode code, const std::string& message,
                           const std::string& reason, const std::string& field, int retry_ms) {
  google::rpc::Status details;
  details.set_code(code);
  details.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("om");
  details.add_details()->PackFrom(info);
  if (!field.empty()) {
    google::rpc::BadRequest bad;
    google::rpc::BadRequest::FieldViolation* violation = bad.add_field_violations();
    violation->set_field(field);
    violation->set_description("is not right");
    details.add_details()->PackFrom(bad);
  }
  if (retry_ms > 0) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(retry_ms / 1000);
    retry.mutable_retry_delay()->set_nanos(retry_ms % 1000 * 1000000);
    details.add_details()->PackFrom(retry);
  }
  return {code, message, details.SerializeAsString()};
}

}  // namespace om
