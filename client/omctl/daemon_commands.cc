// The daemon: its state, its life, its threads.
#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/errors.h"
#include "client/omctl/commands.h"
#include "client/omctl/launch.h"
#include "client/watch.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "server/base/file.h"
#include "server/base/json.h"

namespace om {

using namespace om::control::v1;  // NOLINT: most names here are messages.
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr seconds kLifecycleLimit{60};
constexpr seconds kShutdownLimit{3600};  // Services may take their time.
// Between two looks at something that cannot be waited for.
constexpr milliseconds kPollInterval{50};

// Prints a watch.
class WatchPrinter final : public StatusListener {
 public:
  WatchPrinter(const OmctlEnvironment& environment, bool json, int count)
      : env_(environment),
        json_(json),
        count_(count),
        text_({environment.colour, environment.zone}) {}

  bool OnMessage(const WatchStatusResponse& message) override {
    *env_.out << (json_ ? ToJson(message, /*pretty=*/false) + "\n" : text_.Render(message));
    env_.out->flush();
    if (!*env_.out) return false;  // Nobody reads any more.
    if (message.has_change() && count_ > 0 && --count_ == 0) return false;
    return true;
  }

  void OnGap(const absl::Status& why) override {
    text_.Forget();
    if (json_) {
      const Json line = {{"gap",
                          {{"code", absl::StatusCodeToString(why.code())},
                           {"message", std::string(why.message())}}}};
      *env_.out << DumpCompactJson(line) << "\n";
    } else {
      *env_.out << "gap: changes were missed (" << Printable(why.message())
                << "); the state follows anew\n";
    }
    env_.out->flush();
  }

  void OnReconnect(const absl::Status& why, milliseconds delay) override {
    *env_.err << absl::StrFormat("omctl: the stream ended (%s), trying again in %.1f s\n",
                                 Printable(why.message()),
                                 static_cast<double>(delay.count()) / 1000.0);
  }

 private:
  const OmctlEnvironment& env_;
  const bool json_;
  int count_;
  WatchText text_;
};

}  // namespace

void Omctl::DefineDaemon() {
  CLI::App* daemon = Group(&app_, "daemon", "The daemon: state, start, stop, threads",
                           "Examples:\n"
                           "  omctl daemon status --selector 'web*'\n"
                           "  omctl daemon start\n"
                           "  omctl daemon stop --thread-id listener --wait");
  CLI::App* status = Define(daemon, "status", "Shows cluster, threads, nodes and services",
                            [this] { return DaemonStatusCommand(); });
  status->add_option("--selector", args_.selector, "Only objects whose path matches")
      ->type_name("GLOB");
  status->footer(
      "Instances are shown as O up, X down, ! warn, / n/a, S standby up, s standby down, ? not\n"
      "known; then ^ leader, * frozen, P not provisioned, and what is being done to them.\n"
      "\n"
      "Examples:\n"
      "  omctl daemon status\n"
      "  omctl daemon status --selector 'ns1/svc/*' -o json");
  Define(daemon, "stats", "Shows what the daemon has used and counted", [this] {
    return DaemonStats();
  })->footer("Example:\n  omctl daemon stats -o json | jq .counters");
  CLI::App* start = Define(daemon, "start", "Starts the daemon, or one of its threads",
                           [this] { return DaemonStart(); });
  start->add_option("--thread-id", args_.thread_id, "Start this thread of the running daemon")
      ->type_name("ID");
  start->add_option("--nodename", args_.nodename, "Node name to run under (default: host name)")
      ->type_name("NAME")
      ->excludes("--thread-id");
  start->footer(
      "Without a running daemon: 'systemctl start omd' where systemd runs and the unit is there\n"
      "(and neither --root nor --nodename is given), else the program omd beside omctl or in "
      "PATH,\n"
      "detached, its output in omd.out of the log folder. Ends when the daemon serves.\n"
      "\n"
      "Examples:\n"
      "  omctl daemon start\n"
      "  omctl --root /tmp/n1 daemon start --nodename n1\n"
      "  omctl daemon start --thread-id listener");
  CLI::App* stop = Define(daemon, "stop", "Stops the daemon, or one of its threads",
                          [this] { return DaemonStop(); });
  CLI::Option* stop_thread =
      stop->add_option("--thread-id", args_.thread_id, "Stop this thread, the daemon stays")
          ->type_name("ID");
  stop->add_flag("--upgrade", args_.upgrade, "Tell peers that it is for an upgrade")
      ->excludes(stop_thread);
  stop->add_flag("--wait", args_.wait, "With --thread-id: end when the thread has stopped");
  stop->footer(
      "Services stay as they are. Ends when the daemon's process is gone.\n"
      "\n"
      "Examples:\n"
      "  omctl daemon stop\n"
      "  omctl daemon stop --thread-id scheduler --wait");
  Define(daemon, "shutdown", "Shuts this node's services down, then stops the daemon",
         [this] { return DaemonShutdown(); })
      ->footer(
          "What is in progress is waited for. A service that cannot be shut down is named, and "
          "left.\n"
          "\n"
          "Examples:\n"
          "  omctl daemon shutdown\n"
          "  omctl --timeout 300 daemon shutdown");
  Define(daemon, "threads", "Lists the supervised threads", [this] {
    return DaemonThreads();
  })->footer("Example:\n  omctl daemon threads");
  CLI::App* watch = Define(daemon, "watch", "Shows the state, then every change as it happens",
                           [this] { return DaemonWatch(); });
  watch->add_option("--resume", args_.resume_token, "Go on after the message with this token")
      ->type_name("TOKEN");
  watch->add_flag("--only-changes", args_.only_changes, "Leave the state out");
  watch->add_option("--count", args_.count, "End after that many changes")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  watch->footer(
      "Goes on after lost connections. Where changes were missed it says 'gap' and shows the "
      "state\n"
      "anew. With -o json: one message a line; resumeToken of the last is for --resume.\n"
      "\n"
      "Examples:\n"
      "  omctl daemon watch --only-changes\n"
      "  omctl daemon watch -o json | jq -c '.change.events[]?'");
}

void Omctl::DefineHealth() {
  CLI::App* health = Define(&app_, "health", "Asks the gRPC health service: 0 if it serves, else 1",
                            [this] { return Health(); });
  health->add_option("service", args_.health_service, "Part to ask for, such as a thread's id");
  health->footer("Examples:\n  omctl health\n  omctl health listener");
}

std::optional<Failure> Omctl::FetchStatus(const std::string& selector, GetStatusResponse* whole) {
  const auto stub = NewStub<DaemonService>();
  GetStatusRequest request;
  request.set_selector(selector);
  while (true) {
    GetStatusResponse page;
    const grpc::Status status = Read(stub.get(), &DaemonService::Stub::GetStatus, request, &page);
    if (!status.ok()) return FailureOf(status);
    request.set_page_token(page.next_page_token());
    if (request.page_token().empty() && whole->objects().empty()) {
      *whole = std::move(page);
      return std::nullopt;
    }
    // The last page is the freshest; objects add up.
    auto* objects = whole->mutable_objects();
    for (ObjectStatus& object : *page.mutable_objects()) *objects->Add() = std::move(object);
    page.mutable_objects()->Swap(objects);
    *whole = std::move(page);
    if (request.page_token().empty()) return std::nullopt;
  }
}

Outcome Omctl::DaemonStatusCommand() {
  if (auto failure = Connect()) return *std::move(failure);
  GetStatusResponse status;
  if (auto failure = FetchStatus(args_.selector, &status)) return *std::move(failure);
  return Print(status, RenderStatus(status, render()));
}

Outcome Omctl::DaemonStats() {
  if (auto failure = Connect()) return *std::move(failure);
  GetStatsResponse stats;
  const grpc::Status status = Read(NewStub<DaemonService>().get(), &DaemonService::Stub::GetStats,
                                   GetStatsRequest(), &stats);
  if (!status.ok()) return FailureOf(status);
  return Print(stats, RenderStats(stats, render()));
}

Outcome Omctl::DaemonThreads() {
  if (auto failure = Connect()) return *std::move(failure);
  const auto stub = NewStub<DaemonService>();
  ListThreadsRequest request;
  ListThreadsResponse whole;
  do {
    ListThreadsResponse page;
    const grpc::Status status = Read(stub.get(), &DaemonService::Stub::ListThreads, request, &page);
    if (!status.ok()) return FailureOf(status);
    whole.mutable_threads()->MergeFrom(page.threads());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return Print(whole, RenderThreads(whole.threads(), render()));
}

Outcome Omctl::DaemonStart() {
  UseLimit(args_.thread_id.empty() ? kLifecycleLimit : kCallLimit);
  std::optional<Failure> failure = Connect();
  if (!args_.thread_id.empty()) {
    if (failure.has_value()) return *std::move(failure);
    StartThreadRequest request;
    request.set_thread_id(args_.thread_id);
    StartThreadResponse response;
    const grpc::Status status = Change(NewStub<DaemonService>().get(),
                                       &DaemonService::Stub::StartThread, request, &response);
    if (!status.ok()) return FailureOf(status);
    return Print(response, absl::StrCat("thread ", Printable(response.thread().id()), " is ",
                                        StateText(response.thread().state()), "\n"));
  }
  if (failure.has_value()) {
    if (failure->exit_status != kExitNoConnection) return *std::move(failure);
    if (!args_.server.empty()) return *std::move(failure);
    return StartDaemonProcess();
  }
  StartDaemonResponse response;
  const grpc::Status status =
      Change(NewStub<DaemonService>().get(), &DaemonService::Stub::StartDaemon,
             StartDaemonRequest(), &response);
  if (!status.ok()) return FailureOf(status);
  return Print(response, absl::StrCat("already running, pid ", response.pid(), "\n"));
}

Outcome Omctl::StartDaemonProcess() {
  const InstallPaths paths = PathsBelow(args_.root);
  if (DaemonLockHeld(paths.var)) {
    const pid_t pid = PidFileOf(paths.var);
    return LocalFailure(
        kExitError, "FAILED_PRECONDITION",
        absl::StrCat("a daemon holds ", paths.var, "/lock/osvcd.lock",
                     pid > 0 ? absl::StrCat(" (pid ", pid, ")") : "", ", and ",
                     connection_->endpoint().text,
                     " does not answer: it is a legacy daemon, or omd that starts, ends or hangs"));
  }
  std::optional<pid_t> child;
  std::string output_path;
  if (args_.root.empty() && args_.nodename.empty() && SystemdUnitInstalled()) {
    const absl::Status started = StartSystemdUnit();
    if (!started.ok()) return LocalFailure(kExitError, started);
  } else {
    const absl::StatusOr<std::string> program =
        env_.daemon_program.empty() ? FindDaemonProgram() : env_.daemon_program;
    if (!program.ok()) return LocalFailure(kExitError, program.status());
    std::vector<std::string> arguments = {*program};
    if (!args_.root.empty()) arguments.insert(arguments.end(), {"--root", args_.root});
    if (!args_.nodename.empty()) arguments.insert(arguments.end(), {"--nodename", args_.nodename});
    const absl::Status made = MakeDirectories(paths.log);
    if (!made.ok()) return LocalFailure(kExitError, made);
    output_path = absl::StrCat(paths.log, "/omd.out");
    const absl::StatusOr<pid_t> pid = SpawnDetached(arguments, output_path);
    if (!pid.ok()) return LocalFailure(kExitError, pid.status());
    child = *pid;
  }
  const auto health = NewStub<grpc::health::v1::Health>();
  while (true) {
    const auto soon = std::min(deadline_, std::chrono::steady_clock::now() + kPollInterval);
    if (connection_->WaitReady(soon, Connection::Patience::kUntilDeadline).ok()) {
      grpc::health::v1::HealthCheckResponse answer;
      const grpc::Status status = Read(health.get(), &grpc::health::v1::Health::Stub::Check,
                                       grpc::health::v1::HealthCheckRequest(), &answer);
      if (status.ok() && answer.status() == grpc::health::v1::HealthCheckResponse::SERVING) break;
      std::this_thread::sleep_for(kPollInterval);
    }
    if (child.has_value()) {
      if (const std::optional<std::string> end = HowItEnded(*child)) {
        return LocalFailure(kExitError, "UNAVAILABLE",
                            absl::StrCat("the daemon ", *end, " before it served; see ",
                                         output_path, " and ", paths.log, "/node.log"));
      }
    }
    if (std::chrono::steady_clock::now() >= deadline_) {
      return LocalFailure(kExitDeadline, "DEADLINE_EXCEEDED",
                          absl::StrCat("the daemon was started and does not serve yet",
                                       output_path.empty() ? "" : "; see ", output_path));
    }
  }
  StartDaemonResponse response;
  const grpc::Status status =
      Change(NewStub<DaemonService>().get(), &DaemonService::Stub::StartDaemon,
             StartDaemonRequest(), &response);
  if (!status.ok()) return FailureOf(status);
  // The daemon says that it ran before the call; it was this command that started it.
  response.set_already_running(false);
  return Print(response, absl::StrCat("started, pid ", response.pid(), "\n"));
}

Outcome Omctl::DaemonStop() {
  UseLimit(args_.thread_id.empty() ? kLifecycleLimit : kCallLimit);
  if (auto failure = Connect()) return *std::move(failure);
  const auto stub = NewStub<DaemonService>();
  if (!args_.thread_id.empty()) {
    StopThreadRequest request;
    request.set_thread_id(args_.thread_id);
    request.set_wait(args_.wait);
    StopThreadResponse response;
    const grpc::Status status =
        Change(stub.get(), &DaemonService::Stub::StopThread, request, &response);
    if (!status.ok()) return FailureOf(status);
    return Print(response, absl::StrCat("thread ", Printable(response.thread().id()), " is ",
                                        StateText(response.thread().state()), "\n"));
  }
  StopDaemonRequest request;
  request.set_upgrade(args_.upgrade);
  StopDaemonResponse response;
  const grpc::Status status =
      Change(stub.get(), &DaemonService::Stub::StopDaemon, request, &response);
  if (!status.ok()) return FailureOf(status);
  if (auto failure = AwaitEnd(response.pid())) return *std::move(failure);
  return Print(response, absl::StrCat("stopped, pid was ", response.pid(), "\n"));
}

Outcome Omctl::DaemonShutdown() {
  UseLimit(kShutdownLimit);
  if (auto failure = Connect()) return *std::move(failure);
  const auto stub = NewStub<DaemonService>();
  ShutdownDaemonRequest request;
  ShutdownDaemonResponse response;
  const grpc::Status status =
      Change(stub.get(), &DaemonService::Stub::ShutdownDaemon, request, &response);
  if (!status.ok()) return FailureOf(status);
  if (auto failure = AwaitEnd(response.pid())) return *std::move(failure);
  std::string text = absl::StrCat("shut down, pid was ", response.pid(), "\n");
  for (const std::string& path : response.failed_paths()) {
    absl::StrAppend(&text, "not shut down: ", Printable(path), "\n");
  }
  return Print(response, text);
}

// Waits for the end of a daemon that has said that it ends.
std::optional<Failure> Omctl::AwaitEnd(int64_t pid) {
  const Failure late =
      LocalFailure(kExitDeadline, "DEADLINE_EXCEEDED",
                   absl::StrCat("the daemon, pid ", pid, ", was told to end and still runs"));
  ProcessWatch process(static_cast<pid_t>(pid));
  if (!process.WaitGone(deadline_)) return late;
  if (!process.visible()) {
    // It has ended already, or its process cannot be seen from here: its lock, or its door, can.
    const std::string var = PathsBelow(args_.root).var;
    while (true) {
      bool gone;
      if (args_.server.empty()) {
        gone = !DaemonLockHeld(var);
      } else {
        Connection probe(connection_->endpoint());
        gone = !probe.WaitReady(deadline_, Connection::Patience::kUntilRefused).ok();
      }
      if (gone) break;
      if (std::chrono::steady_clock::now() >= deadline_) return late;
      std::this_thread::sleep_for(kPollInterval);
    }
  }
  return std::nullopt;
}

Outcome Omctl::DaemonWatch() {
  if (auto failure = Connect()) return *std::move(failure);
  UseLimit(seconds::max());
  WatchPrinter printer(env_, json(), args_.count);
  WatchOptions options;
  options.resume_token = args_.resume_token;
  options.only_changes = args_.only_changes;
  env_.random->Fill(&options.jitter_seed, sizeof(options.jitter_seed));
  StatusWatcher watcher(connection_.get(), &printer, options);
  const absl::Status end = watcher.Run(deadline_);
  if (!json() && watcher.resume_token() != args_.resume_token) {
    *env_.err << "omctl: go on from here with --resume " << watcher.resume_token() << "\n";
  }
  if (end.ok()) return kExitDone;
  return LocalFailure(
      end.code() == absl::StatusCode::kDeadlineExceeded ? kExitDeadline : kExitError, end);
}

Outcome Omctl::Health() {
  if (auto failure = Connect()) return *std::move(failure);
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(args_.health_service);
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status = Read(NewStub<grpc::health::v1::Health>().get(),
                                   &grpc::health::v1::Health::Stub::Check, request, &response);
  if (!status.ok()) {
    if (status.error_code() != grpc::StatusCode::NOT_FOUND) return FailureOf(status);
    return LocalFailure(
        kExitError, "NOT_FOUND",
        absl::StrCat("the daemon has no part '", args_.health_service,
                     "' that can be asked for; 'omctl daemon threads' lists the threads"));
  }
  Print(response,
        grpc::health::v1::HealthCheckResponse::ServingStatus_Name(response.status()) + "\n");
  return response.status() == grpc::health::v1::HealthCheckResponse::SERVING ? kExitDone
                                                                             : kExitError;
}

}  // namespace om
