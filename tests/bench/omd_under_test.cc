#include "tests/bench/omd_under_test.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "grpcpp/grpcpp.h"
#include "om/control/v1/daemon.grpc.pb.h"
#include "om/control/v1/monitor.grpc.pb.h"
#include "server/base/clock.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "server/base/mutex.h"
#include "server/base/status.h"

namespace om {
namespace {

namespace pb = control::v1;

constexpr std::chrono::seconds kReadyLimit{120};
constexpr std::chrono::milliseconds kPollInterval{100};
constexpr std::chrono::seconds kCallLimit{10};

// The directories that have not been removed.
struct Scratches {
  Mutex mutex;
  std::set<std::string> paths GUARDED_BY(mutex);
};
Scratches& AllScratches() {
  static auto* const scratches = new Scratches;
  return *scratches;
}

void RemoveTree(const std::string& path) {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

std::string ServiceName(int index) { return absl::StrFormat("svc%04d", index); }

absl::Status FromGrpc(const grpc::Status& status, absl::string_view what) {
  if (status.ok()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(what, ": ", status.error_message()));
}

absl::Status Write(const std::string& path, absl::string_view text,
                   std::optional<absl::Time> mtime = std::nullopt) {
  WriteOptions options;
  options.mtime = mtime;
  options.sync = false;
  return WriteFileAtomically(path, text, options);
}

// A status as a resource manager of the legacy agent writes it.
std::string StatusDocument(absl::Time updated) {
  const Json provisioned = {{"state", true}, {"mtime", om::ToUnixSeconds(updated)}};
  Json document = {{"updated", om::ToUnixSeconds(updated)},
                   {"kind", "svc"},
                   {"app", "default"},
                   {"env", "TST"},
                   {"placement", "nodes order"},
                   {"topology", "failover"},
                   {"orchestrate", "no"},
                   {"subsets", Json::object()},
                   {"status_group", {{"app", "down"}, {"fs", "n/a"}, {"sync", "n/a"}}},
                   {"avail", "down"},
                   {"overall", "down"},
                   {"optional", "n/a"},
                   {"provisioned", true},
                   {"frozen", 0},
                   {"monitor_action", nullptr}};
  document["resources"]["app#1"] = {{"status", "down"},
                                    {"type", "app.simple"},
                                    {"label", "simple: /bin/true"},
                                    {"provisioned", provisioned}};
  document["resources"]["app#2"] = {{"status", "down"},
                                    {"type", "app.forking"},
                                    {"label", "forking: /bin/true"},
                                    {"log", {"info: not started"}},
                                    {"provisioned", provisioned}};
  return DumpCompactJson(document);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ScratchDirectory>> ScratchDirectory::Make() {
  std::error_code error;
  std::string path = std::filesystem::temp_directory_path(error).string();
  if (error) return absl::InternalError("there is no folder for temporary files");
  path += "/omd-bench-XXXXXX";  // Short: a socket's path has at most 107 characters.
  if (mkdtemp(path.data()) == nullptr) return ErrnoStatus(errno, path);
  MutexLock lock(&AllScratches().mutex);
  AllScratches().paths.insert(path);
  return std::unique_ptr<ScratchDirectory>(new ScratchDirectory(std::move(path)));
}

ScratchDirectory::~ScratchDirectory() {
  RemoveTree(path_);
  MutexLock lock(&AllScratches().mutex);
  AllScratches().paths.erase(path_);
}

void ScratchDirectory::RemoveAll() {
  MutexLock lock(&AllScratches().mutex);
  for (const std::string& path : AllScratches().paths) RemoveTree(path);
}

absl::StatusOr<std::unique_ptr<OmdUnderTest>> OmdUnderTest::Start(const std::string& program,
                                                                  int service_count) {
  std::unique_ptr<OmdUnderTest> omd(new OmdUnderTest());
  ASSIGN_OR_RETURN(omd->scratch_, ScratchDirectory::Make());
  SystemRandom random;
  omd->secret_ = random.Text(32, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
  ASSIGN_OR_RETURN(Key key, Key::FromSecret(omd->secret_));
  omd->key_ = std::move(key);
  RETURN_IF_ERROR(omd->WriteFiles(service_count));
  const std::string log = absl::StrCat(omd->scratch(), "/output.txt");
  ASSIGN_OR_RETURN(
      ChildProcess process,
      ChildProcess::Start({program, "--root", omd->scratch(), "--nodename", kNode}, log));
  omd->process_ = std::move(process);
  omd->channel_ = grpc::CreateChannel(omd->grpc_target(), grpc::InsecureChannelCredentials());
  absl::Status ready = omd->AwaitReady(service_count);
  if (!ready.ok()) {
    const absl::StatusOr<FileContent> output = ReadFile(log, size_t{1} << 20);
    return Annotate(ready, absl::StrCat("omd did not come up (it wrote: ",
                                        output.ok() ? output->text : "nothing", ")"));
  }
  return omd;
}

std::string OmdUnderTest::grpc_target() const {
  return absl::StrCat("unix:", scratch(), "/var/lsnr/grpc.sock");
}

absl::Status OmdUnderTest::WriteFiles(int service_count) {
  SystemRandom random;
  const std::string etc = absl::StrCat(scratch(), "/etc");
  RETURN_IF_ERROR(Write(absl::StrCat(etc, "/node.conf"),
                        "[node]\n"
                        "dequeue_actions_command = /bin/true\n"
                        "\n"
                        "[listener]\n"
                        "addr = 127.0.0.1\n"
                        "port = 0\n"
                        "grpc_addr = 127.0.0.1\n"
                        "grpc_port = 0\n"
                        "max_connections = 4096\n"
                        "max_connections_per_addr = 2048\n"
                        "\n"
                        "[limits]\n"
                        "calls_per_second = 0\n"
                        "\n"
                        "[compat]\n"
                        "replay_check = true\n"
                        "\n"
                        "[crm]\n"
                        "command = /bin/true\n"
                        "node_command = /bin/true\n"));
  RETURN_IF_ERROR(Write(absl::StrCat(etc, "/cluster.conf"),
                        absl::StrCat("[cluster]\nname = ", kClusterName, "\nsecret = ", secret_,
                                     "\nid = ", random.Uuid(), "\nnodes = ", kNode, "\n")));
  const absl::Time now = absl::Now();
  const std::string status = StatusDocument(now);
  for (int i = 0; i < service_count; ++i) {
    const std::string name = ServiceName(i);
    RETURN_IF_ERROR(
        Write(absl::StrCat(etc, "/", name, ".conf"),
              absl::StrCat("[DEFAULT]\nid = ", random.Uuid(), "\nnodes = ", kNode,
                           "\norchestrate = no\n\n[app#1]\ntype = simple\nstart = "
                           "/bin/true\n\n[app#2]\ntype = forking\nstart = /bin/true\n")));
    RETURN_IF_ERROR(Write(absl::StrCat(scratch(), "/var/svc/", name, "/status.json"), status, now));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> OmdUnderTest::IsReady(int service_count) {
  const std::unique_ptr<pb::DaemonService::Stub> stub = pb::DaemonService::NewStub(channel_);
  pb::GetStatusRequest request;
  request.set_page_size(1000);
  int evaluated = 0;
  bool idle = false;
  do {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallLimit);
    pb::GetStatusResponse response;
    RETURN_IF_ERROR(FromGrpc(stub->GetStatus(&context, request, &response), "GetStatus"));
    idle = response.nodes_size() == 1 && response.nodes(0).monitor().status() == "idle";
    for (const pb::ObjectStatus& object : response.objects()) {
      if (object.kind() == "svc" && object.avail() == pb::RESOURCE_STATE_DOWN) ++evaluated;
    }
    for (const pb::ThreadStatus& thread : response.threads()) {
      if (thread.id() != "listener" || thread.endpoints_size() == 0) continue;
      const std::string& endpoint = thread.endpoints(0);
      uint32_t port = 0;
      if (absl::SimpleAtoi(endpoint.substr(endpoint.rfind(':') + 1), &port) && port <= 65535) {
        packet_port_ = static_cast<uint16_t>(port);
      }
    }
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return idle && packet_port_ != 0 && evaluated == service_count;
}

absl::Status OmdUnderTest::AwaitReady(int service_count) {
  const auto deadline = std::chrono::steady_clock::now() + kReadyLimit;
  absl::Status last = absl::UnavailableError("its services have no state");
  while (std::chrono::steady_clock::now() < deadline) {
    const absl::StatusOr<bool> ready = IsReady(service_count);
    if (ready.ok() && *ready) return absl::OkStatus();
    if (!ready.ok()) last = ready.status();
    if (!process_->IsRunning()) return absl::UnavailableError("it has ended");
    std::this_thread::sleep_for(kPollInterval);
  }
  return Annotate(last, absl::StrCat("not within ", kReadyLimit.count(), " s"));
}

absl::StatusOr<uint64_t> OmdUnderTest::Revision() {
  const std::unique_ptr<pb::DaemonService::Stub> stub = pb::DaemonService::NewStub(channel_);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallLimit);
  pb::GetStatusResponse response;
  pb::GetStatusRequest request;
  request.set_page_size(1);
  RETURN_IF_ERROR(FromGrpc(stub->GetStatus(&context, request, &response), "GetStatus"));
  return response.revision();
}

absl::StatusOr<int64_t> OmdUnderTest::Counter(const std::string& name) {
  const std::unique_ptr<pb::DaemonService::Stub> stub = pb::DaemonService::NewStub(channel_);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallLimit);
  pb::GetStatsResponse response;
  RETURN_IF_ERROR(FromGrpc(stub->GetStats(&context, {}, &response), "GetStats"));
  const auto found = response.counters().find(name);
  if (found == response.counters().end()) {
    return absl::NotFoundError(absl::StrCat("omd has no counter ", name));
  }
  return found->second;
}

absl::StatusOr<std::string> OmdUnderTest::StatusBytes() {
  const std::unique_ptr<pb::DaemonService::Stub> stub = pb::DaemonService::NewStub(channel_);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallLimit);
  pb::GetStatusResponse response;
  RETURN_IF_ERROR(FromGrpc(stub->GetStatus(&context, {}, &response), "GetStatus"));
  return response.SerializeAsString();
}

Changer::Changer(const std::string& grpc_target, int changes_a_second)
    : thread_([this, grpc_target, changes_a_second] { Run(grpc_target, changes_a_second); }) {}

int64_t Changer::Stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
  return changes_;
}

void Changer::Run(const std::string& grpc_target, int changes_a_second) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const std::shared_ptr<grpc::Channel> channel =
      grpc::CreateCustomChannel(grpc_target, grpc::InsecureChannelCredentials(), arguments);
  const std::unique_ptr<pb::MonitorService::Stub> stub = pb::MonitorService::NewStub(channel);
  const auto interval = std::chrono::nanoseconds(std::chrono::seconds(1)) / changes_a_second;
  auto next = std::chrono::steady_clock::now();
  for (int64_t i = 0; !stopping_; ++i) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallLimit);
    pb::SetInstanceMonitorRequest request;
    request.set_path(ServiceName(0));
    request.set_status(i % 2 == 0 ? "start failed" : "idle");
    pb::SetInstanceMonitorResponse response;
    if (stub->SetInstanceMonitor(&context, request, &response).ok()) ++changes_;
    next += interval;
    std::this_thread::sleep_until(next);
  }
}

}  // namespace om
