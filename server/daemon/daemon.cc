#include "server/daemon/daemon.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <future>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "asio/executor_work_guard.hpp"
#include "asio/io_context.hpp"
#include "compat/gateway/event_hub.h"
#include "compat/gateway/event_messages.h"
#include "compat/gateway/packet_server.h"
#include "compat/gateway/packet_validator.h"
#include "compat/gateway/router.h"
#include "glog/logging.h"
#include "server/base/loop.h"
#include "server/base/random.h"
#include "server/cluster/embedded_transport.h"
#include "server/config/watcher.h"
#include "server/core/core.h"
#include "server/core/journal.h"
#include "server/core/scheduler.h"
#include "server/core/supervisor.h"
#include "server/crm/action_lock.h"
#include "server/crm/action_registry.h"
#include "server/crm/crm_runner.h"
#include "server/crm/dequeue_runner.h"
#include "server/crm/hook_runner.h"
#include "server/crm/instance_files.h"
#include "server/crm/inventory_loader.h"
#include "server/crm/node_stats_reader.h"
#include "server/crm/process_runner.h"
#include "server/daemon/boot_facts.h"
#include "server/daemon/event_pump.h"
#include "server/daemon/node_settings.h"
#include "server/logs/log_line.h"
#include "server/logs/log_tailer.h"
#include "server/logs/object_log.h"
#include "server/rpc/grpc_server.h"
#include "server/rpc/tls_credentials.h"
#include "server/rpc/tls_files.h"

namespace om {
namespace {

// Every listing says whether something changed; so many of those without news leave the rest out.
constexpr int kUnchangedListings = 60;
// Wakes of watches: one waits for each at most.
constexpr size_t kMaxStreamQueue = 1 << 16;
// Past the drain deadline the process ends, whatever still hangs.
constexpr std::chrono::milliseconds kWatchdogMargin{5'000};
// What name resolutions in flight are given at the very end.
constexpr std::chrono::milliseconds kResolverGrace{1'000};
// How often it is looked whether the local sockets are still there.
constexpr int kSocketCheckMs = 2'000;
// In this node's certificate.
constexpr size_t kMaxOwnAddresses = 24;
// How long the start waits until it is known which objects there are. Then the doors open anyway.
constexpr std::chrono::seconds kFirstListing{30};
// How long the start waits for the packet port.
constexpr std::chrono::milliseconds kFirstListen{5'000};
// Connections at the local socket and gRPC get their answer within this.
constexpr std::chrono::milliseconds kPacketDrain{3'000};

// Before this the end of a certificate, or of the revocation list, is an alert. Our own list is
// made again when it is half over, 15 days before its end.
constexpr absl::Duration kExpiryWarning = absl::Hours(24 * 10);

// Whether nobody but this host can reach a listener there.
bool IsLoopback(absl::string_view address) {
  return address == "localhost" || address == "::1" || absl::StartsWith(address, "127.");
}

// Tells systemd, if it started us, that we are ready. Without its library: it is one datagram.
void NotifySystemd(absl::string_view state) {
  const char* path = getenv("NOTIFY_SOCKET");
  if (path == nullptr || path[0] == '\0') return;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const absl::string_view name(path);
  if (name.size() >= sizeof(address.sun_path)) return;
  std::copy(name.begin(), name.end(), address.sun_path);
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';  // The abstract namespace.
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  (void)sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&address), length);
}

// An io_context and the threads that run it.
class IoThread {
 public:
  IoThread(absl::string_view component, const char* name, int thread_count = 1)
      : work_(io_.get_executor()) {
    for (int i = 0; i < thread_count; ++i) {
      threads_.emplace_back([this, component, name] {
        pthread_setname_np(pthread_self(), name);
        tid_ = gettid();
        const LogComponent scope(component);
        io_.run();
      });
    }
  }
  ~IoThread() { Stop(); }
  asio::io_context* io() { return &io_; }
  int kernel_tid() const { return tid_.load(); }
  void Stop() {
    work_.reset();
    io_.stop();
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

 private:
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::atomic<int> tid_{0};  // Of one of them.
  std::vector<std::thread> threads_;
};

// The AES port, as a thread that operators stop and start. The local socket is not part of it: with
// the port closed the daemon must still be told to open it.
class ListenerComponent final : public Component {
 public:
  ListenerComponent(PacketServer* server, const SettingsHolder* settings, const IoThread* io)
      : server_(server), settings_(settings), io_(io) {}

  absl::Status Start(std::function<void(absl::Status)> /*exited*/) override {
    running_ = true;
    server_->Listen(PacketServerSettingsOf(*settings_->get()), [this] {
      if (!tried_.exchange(true)) first_try_.set_value();
    });
    return absl::OkStatus();
  }
  void Stop(std::function<void()> done) override {
    running_ = false;
    server_->StopListening(std::move(done));
  }
  int kernel_tid() const override { return io_->kernel_tid(); }

  // Waits until the addresses have been tried for the first time, which a slow name server can
  // delay.
  void WaitForFirstTry(std::chrono::milliseconds limit) { first_try_.get_future().wait_for(limit); }

  // Moves to what is configured now.
  void Reconfigure() {
    if (running_) server_->Listen(PacketServerSettingsOf(*settings_->get()), [] {});
  }

 private:
  PacketServer* const server_;            // Not owned.
  const SettingsHolder* const settings_;  // Not owned.
  const IoThread* const io_;              // Not owned.
  bool running_ = false;
  std::atomic<bool> tried_{false};
  std::promise<void> first_try_;
};

// The decisions of the core, as a thread that operators stop and start. While it is stopped orders
// are taken and wait.
class MonitorComponent final : public Component {
 public:
  MonitorComponent(Core* core, const ThreadLoop* loop) : core_(core), loop_(loop) {}
  absl::Status Start(std::function<void(absl::Status)> /*exited*/) override {
    core_->ResumeMonitor([] {});
    return absl::OkStatus();
  }
  void Stop(std::function<void()> done) override { core_->PauseMonitor(done); }
  int kernel_tid() const override { return loop_->kernel_tid(); }

 private:
  Core* const core_;              // Not owned.
  const ThreadLoop* const loop_;  // Not owned.
};

}  // namespace

class Daemon::Impl {
 public:
  Impl(const DaemonOptions& options, LoadedConfig config, const Clock* clock, Counters* counters,
       SecretMask* mask)
      : options_(options),
        clock_(clock),
        counters_(counters),
        mask_(mask),
        config_(std::make_shared<const LoadedConfig>(std::move(config))),
        settings_(config_->settings) {}

  absl::Status Start();
  void WaitForEnd(const std::function<void()>& reopen_log);
  void Shutdown();

 private:
  absl::Status StartCore();
  // What commands of resource managers get on top of the daemon's own environment.
  std::vector<std::string> CrmEnvironment() const;
  void StartServices();
  // Tokens and certificates.
  void StartIdentities();
  absl::Status StartPackets();
  void StartThreads();
  absl::Status StartGrpc();
  // On a worker: what is done about each event.
  void OnEvent(const Event& event, const SnapshotPtr& snapshot);
  GrpcServer::Options GrpcOptions();
  // Looks at certificates and users again. Blocks. One at a time.
  void RefreshIdentities();
  // On the loop: the files changed, or could not be read.
  void OnConfig(const absl::Status& status, std::shared_ptr<const LoadedConfig> loaded);
  void Apply(const LoadedConfig& config);
  void UpdateAlerts();
  // THREAD: any.
  void NotePreviousSecret(const std::string& sender);
  void CheckSockets();
  void StartWatchdog();
  // Runs `work` on the core loop and waits for what it passes on.
  void OnLoop(const std::function<void(std::function<void()> done)>& work);

  const DaemonOptions options_;
  const Clock* const clock_;                    // Not owned.
  Counters* const counters_;                    // Not owned.
  SecretMask* const mask_;                      // Not owned.
  std::shared_ptr<const LoadedConfig> config_;  // In force. On the loop, once that runs.
  SettingsHolder settings_;
  SystemRandom secure_random_;
  Random random_{std::random_device{}()};  // On the loop.
  UniqueFd end_;                           // An eventfd: somebody asked for the end.
  std::vector<std::string> config_alerts_;
  std::string grpc_alert_;
  std::string previous_secret_use_;     // When and by whom; empty: not since the start.
  std::vector<Alert> identity_alerts_;  // Of certificates and users.
  std::string journal_alert_;           // Set before the loop has anything to do.

  // In the order in which they are made; they go in the opposite one.
  std::optional<ThreadLoop> loop_;
  std::optional<WorkerPool> workers_;
  // Apart from the others: a name server that does not answer holds a thread for half a minute.
  std::optional<WorkerPool> resolvers_;
  std::optional<WorkerPool> journal_worker_;
  std::optional<WorkerPool> stream_worker_;
  std::optional<ThreadLoop> log_loop_;  // Reads logs for those who asked.
  std::optional<IoThread> packet_io_;
  std::optional<IoThread> crm_io_;
  std::unique_ptr<Journal> journal_;
  std::optional<ProcessRunner> processes_;
  std::optional<CrmRunner> crm_;
  std::optional<InstanceStatusLoader> instances_;
  std::optional<InventoryLoader> inventory_;
  const std::shared_ptr<std::promise<void>> first_listing_ = std::make_shared<std::promise<void>>();
  std::optional<FrozenFlags> flags_;
  std::optional<TaskStamps> stamps_;
  std::optional<NodeStatsReader> stats_;
  std::optional<EmbeddedTransport> transport_;
  std::optional<Core> core_;
  std::optional<Supervisor> supervisor_;
  std::optional<Blacklist> blacklist_;
  std::optional<ReplayWindow> replays_;
  std::optional<NodeNames> node_names_;
  std::optional<ConfigStore> config_store_;
  std::optional<CoalescingRunner> dequeue_;
  std::optional<HookRunner> hooks_;
  std::optional<ActionRegistry> actions_;
  std::optional<CallLimiter> limiter_;
  std::optional<AuditLog> audit_;
  std::optional<ConfigWatcher> watcher_;
  ServiceContext context_;
  std::optional<ActionApi> action_api_;
  std::optional<DaemonApi> daemon_api_;
  std::optional<BlacklistApi> blacklist_api_;
  std::optional<ConfigApi> config_api_;
  std::optional<MembershipApi> membership_api_;
  std::optional<MonitorApi> monitor_api_;
  std::optional<NodeApi> node_api_;
  std::optional<EventApi> event_api_;
  std::optional<LogTailer> log_tailer_;
  std::optional<LogApi> log_api_;
  std::optional<TokenAuthority> tokens_;
  std::optional<AuthApi> auth_api_;
  std::optional<PkiApi> pki_api_;
  ListenerStats listener_stats_;
  std::optional<StatusDocumentCache> documents_;
  std::optional<EventHub> event_hub_;
  std::optional<LegacyActions> legacy_actions_;
  std::optional<LegacyLogs> legacy_logs_;
  std::optional<Router> router_;
  std::optional<PacketValidator> validator_;
  std::optional<PacketServer> packets_;
  std::optional<ListenerComponent> listener_;
  std::optional<MonitorComponent> monitor_;
  std::optional<Scheduler> scheduler_;
  std::optional<UserDirectory> users_;
  std::optional<TlsFiles> tls_files_;  // If the gRPC port speaks TLS.
  std::optional<GrpcServer> grpc_;
  std::optional<EventPump> event_pump_;
  std::atomic<bool> checking_sockets_{false};
  bool started_ = false;
};

void Daemon::Impl::OnLoop(const std::function<void(std::function<void()> done)>& work) {
  std::promise<void> promise;
  const bool posted = loop_->Post([&] { work([&promise] { promise.set_value(); }); });
  if (posted) promise.get_future().wait();
}

absl::Status Daemon::Impl::Start() {
  end_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!end_.valid()) return ErrnoStatus(errno, "eventfd");
  loop_.emplace("core", clock_);
  // For as long as the thread lives.
  (void)loop_->Post([] {
    static const auto* const scope = new LogComponent("monitor");
    (void)scope;
  });
  const auto max_work_queue = static_cast<size_t>(config_->settings.work_queue);
  Counter* const work_refused = counters_->Get("limits.work_refused");
  workers_.emplace("worker", 2, max_work_queue, work_refused);
  resolvers_.emplace("resolver", 2, max_work_queue, work_refused);
  journal_worker_.emplace("journal", 1, max_work_queue, work_refused);
  stream_worker_.emplace("streams", 1, kMaxStreamQueue);
  log_loop_.emplace("logs", clock_);
  packet_io_.emplace("listener", "packet-io");
  // Starting a program holds a thread until the program is there.
  crm_io_.emplace("crm", "crm-io", 2);
  started_ = true;
  absl::Status status = StartCore();
  if (status.ok()) {
    StartServices();
    // Whoever comes back after a restart must not be told that there is no such service.
    if (first_listing_->get_future().wait_for(kFirstListing) != std::future_status::ready) {
      LOG(WARNING) << "OM-START-LISTING the doors open before it is known which objects there are";
    }
    status = StartPackets();
  }
  if (status.ok()) {
    StartThreads();
    // Last: whoever sees this door open may take the others for open, too.
    listener_->WaitForFirstTry(kFirstListen);
    status = StartGrpc();
  }
  if (!status.ok()) {
    Shutdown();
    return status;
  }
  OnLoop([this](const std::function<void()>& done) {
    UpdateAlerts();
    done();
  });
  NotifySystemd("READY=1");
  return absl::OkStatus();
}

absl::Status Daemon::Impl::StartCore() {
  Journal::Options journal_options;
  journal_options.path = absl::StrCat(options_.roots.OmdDir(), "/journal");
  journal_options.max_queue_bytes = static_cast<size_t>(config_->settings.journal_queue_bytes);
  ASSIGN_OR_RETURN(Journal::Opened opened,
                   Journal::Open(journal_options, &*journal_worker_, clock_));
  if (!opened.damage.empty()) {
    LOG(ERROR) << "OM-JOURNAL-DAMAGE " << opened.damage;
    journal_alert_ = opened.damage;
  }
  if (opened.cut_bytes > 0) {
    LOG(WARNING) << "OM-JOURNAL-CUT " << opened.cut_bytes << " bytes at the end of "
                 << journal_options.path << " are no whole record and were cut off";
  }
  journal_ = std::move(opened.journal);

  ProcessRunner::Options process_options;
  process_options.search_directories = {options_.program_directory};
  processes_.emplace(crm_io_->io(), &*loop_, counters_, process_options);
  CrmRunner::Options crm_options;
  crm_options.command = config_->settings.crm_command;
  crm_options.node_command = config_->settings.crm_node_command;
  crm_options.environment = CrmEnvironment();
  crm_options.workers = &*workers_;
  crm_options.is_locked = [roots = options_.roots](const ObjectPath& path) {
    return FindActionHolder(ActionLockFile(roots, path)).has_value();
  };
  crm_.emplace(&*processes_, &*loop_, counters_, std::move(crm_options));
  instances_.emplace(&*workers_, options_.roots);
  inventory_.emplace(&*workers_, options_.roots, options_.nodename, kUnchangedListings);
  flags_.emplace(&*workers_, options_.roots);
  stamps_.emplace(&*workers_, options_.roots, absl::LocalTimeZone());
  stats_.emplace(&*workers_);
  transport_.emplace(options_.nodename, &secure_random_);

  Core::Options core_options;
  core_options.local_node = options_.nodename;
  core_options.incarnation = secure_random_.Uuid();
  core_options.feed.max_changes = static_cast<size_t>(config_->settings.watch_changes);
  core_options.feed.max_bytes = static_cast<size_t>(config_->settings.watch_bytes);
  core_options.settings = CoreSettingsOf(*config_, options_.version);
  const BootFacts boot =
      ReadBootFacts(options_.roots, options_.proc, getenv("OPENSVC_AGENT_UPGRADE") != nullptr);
  core_options.start = boot.start;
  const auto remember_boot = [this, boot] {
    const absl::Status written = WriteBootIds(options_.roots, boot);
    if (!written.ok()) LOG(WARNING) << "OM-BOOT-ID " << written.message();
  };
  if (boot.start.rebooted) {
    LOG(INFO) << "the host was started since the daemon ran last";
    // Only then: a clean-up that is cut short is begun again by the next start.
    core_options.booted = [this, remember_boot] { (void)workers_->Post(remember_boot); };
  } else {
    (void)workers_->Post(remember_boot);
  }
  core_options.listed = [first = first_listing_] { first->set_value(); };
  Core::Ports ports;
  ports.loop = &*loop_;
  ports.clock = clock_;
  ports.secure_random = &secure_random_;
  ports.crm = &*crm_;
  ports.instances = &*instances_;
  ports.inventory = &*inventory_;
  ports.flags = &*flags_;
  ports.stats = &*stats_;
  ports.transport = &*transport_;
  ports.journal = journal_.get();
  ports.counters = counters_;
  core_.emplace(std::move(core_options), ports);
  supervisor_.emplace(Supervisor::Options{}, &*loop_, clock_, &random_, counters_,
                      [this](const ThreadStatus& thread) { core_->UpdateThread(thread); });
  core_->Start(std::move(opened.records));
  return absl::OkStatus();
}

std::vector<std::string> Daemon::Impl::CrmEnvironment() const {
  std::vector<std::string> environment = {absl::StrCat("OMD_NODENAME=", options_.nodename)};
  if (!options_.root.empty()) environment.push_back(absl::StrCat("OM_ROOT=", options_.root));
  return environment;
}

void Daemon::Impl::StartServices() {
  blacklist_.emplace(Blacklist::Options{});
  replays_.emplace();
  node_names_.emplace(ResolveHost, &*resolvers_, clock_);
  config_store_.emplace(options_.roots, options_.nodename);
  CoalescingRunner::Options dequeue;
  dequeue.name = "dequeue_actions";
  dequeue.argv = config_->settings.dequeue_actions_command;
  dequeue_.emplace(&*loop_, clock_, &*processes_, counters_, std::move(dequeue));

  ActionRegistry::Options actions;
  actions.command = config_->settings.crm_command;
  actions.node_command = config_->settings.crm_node_command;
  actions.environment = CrmEnvironment();
  actions.max_running = static_cast<size_t>(config_->settings.actions);
  actions.max_running_of_one = static_cast<size_t>(config_->settings.actions_per_caller);
  actions.mask = [this](absl::string_view text) { return mask_->Mask(text); };
  actions.ended = [this](const ObjectPath& path) { core_->WakeMonitor(path); };
  actions_.emplace(&*processes_, clock_, &secure_random_, counters_, std::move(actions));

  HookRunner::Options hooks;
  hooks.environment = {absl::StrCat("OMD_NODENAME=", options_.nodename)};
  hooks_.emplace(&*loop_, &*processes_, counters_, std::move(hooks));

  limiter_.emplace(CallLimitsOf(config_->settings), clock_, counters_);
  AuditLog::Options audit;
  audit.path = absl::StrCat(options_.roots.log, "/audit.log");
  audit.node = options_.nodename;
  audit.settings = AuditSettingsOf(config_->settings);
  audit.changed = [this] { (void)loop_->Post([this] { UpdateAlerts(); }); };
  audit_.emplace(std::move(audit), mask_, clock_, counters_);
  audit_->Start();
  context_.core = &*core_;
  context_.loop = &*loop_;
  context_.supervisor = &*supervisor_;
  context_.blacklist = &*blacklist_;
  context_.node_names = &*node_names_;
  context_.config_store = &*config_store_;
  context_.settings = &settings_;
  context_.workers = &*workers_;
  context_.counters = counters_;
  context_.clock = clock_;
  context_.audit = &*audit_;
  context_.limiter = &*limiter_;
  context_.roots = options_.roots;
  context_.facts.version = options_.version;
  context_.facts.pid = getpid();
  context_.facts.node = options_.nodename;
  context_.facts.incarnation = core_->incarnation();
  context_.facts.start_time = clock_->Now();
  context_.end_daemon = [this] {
    const uint64_t one = 1;
    (void)!write(end_.get(), &one, sizeof(one));
  };
  action_api_.emplace(&context_, &*actions_);
  daemon_api_.emplace(&context_, DaemonApi::Options{});
  blacklist_api_.emplace(&context_);
  config_api_.emplace(&context_);
  MembershipApi::Options membership;
  membership.changed = [this](const std::string& node, bool member) {
    validator_->SetMember(node, member);
  };
  membership_api_.emplace(&context_, std::move(membership));
  monitor_api_.emplace(&context_);
  node_api_.emplace(&context_);
  event_api_.emplace(&context_, &*stream_worker_);
  log_tailer_.emplace(&*log_loop_, clock_, counters_, LogTailer::Options{});
  log_api_.emplace(&context_, &*log_tailer_);
  StartIdentities();

  const auto facts = [this] {
    DocumentFacts document;
    document.pid = context_.facts.pid;
    document.compat_level = settings_.get()->compat_level;
    return document;
  };
  documents_.emplace([this] { return core_->snapshot(); }, facts, &listener_stats_, &*workers_,
                     clock_);
  Router::Services services;
  services.context = &context_;
  services.daemon = &*daemon_api_;
  services.blacklist = &*blacklist_api_;
  services.config = &*config_api_;
  services.monitor = &*monitor_api_;
  services.node = &*node_api_;
  services.documents = &*documents_;
  services.stats = &listener_stats_;
  services.facts = facts;
  EventHub::Parts hub;
  hub.snapshot = [this] { return core_->snapshot(); };
  hub.feed = core_->feed();
  hub.facts = facts;
  hub.workers = &*workers_;
  hub.counters = counters_;
  event_hub_.emplace(std::move(hub));
  legacy_actions_.emplace(&context_, &*action_api_);
  legacy_logs_.emplace(&context_, &*log_api_);
  services.events = &*event_hub_;
  services.actions = &*legacy_actions_;
  services.logs = &*legacy_logs_;
  services.membership = &*membership_api_;
  router_.emplace(std::move(services));
  validator_.emplace(
      &*blacklist_, &*replays_, &*node_names_, counters_,
      [this](const AdmissionKey& sender, int count) {
        LOG(WARNING) << "OM-BLACKLIST-ADD sender " << sender.ToString() << " blacklisted after "
                     << count << " invalid messages";
        Event event;
        event.id = "blacklist_add";
        event.data["sender"] = node_names_->DisplayName(sender);
        core_->EmitEvent(std::move(event));
      },
      [this](absl::string_view node, const PeerAddress& from) {
        NotePreviousSecret(absl::StrCat(node, " (", from.ToString(), ")"));
      });
}

void Daemon::Impl::NotePreviousSecret(const std::string& sender) {
  // To the minute: a sender of many packets must not make a revision of each.
  std::string use = absl::StrCat(
      absl::FormatTime("%Y-%m-%dT%H:%MZ", clock_->Now(), absl::UTCTimeZone()), " by ", sender);
  (void)loop_->Post([this, use = std::move(use)]() mutable {
    if (use == previous_secret_use_) return;
    previous_secret_use_ = std::move(use);
    UpdateAlerts();
  });
}

void Daemon::Impl::StartIdentities() {
  TokenAuthority::Options tokens;
  tokens.dir = options_.roots.OmdDir();
  tokens.cluster_id = [this] { return settings_.get()->cluster_id; };
  tokens_.emplace(std::move(tokens),
                  TokenAuthority::Ports{&*workers_, clock_, &secure_random_, counters_});
  tokens_->Load();
  context_.tokens = &*tokens_;
  users_.emplace(options_.roots);
  users_->Refresh();
  context_.users = &*users_;
  auth_api_.emplace(&context_, &*tokens_, [this](const std::string& name) {
    // Who has just made a user wants a token for him.
    users_->Refresh();
    return users_->Find(name);
  });
  pki_api_.emplace(&context_, &secure_random_, [this] {
    std::vector<std::string> addresses = InterfaceAddresses(kMaxOwnAddresses);
    // Where an address of its own was chosen, such as another one of the loopback interface.
    const std::string listens = settings_.get()->grpc_addr;
    if (listens != "0.0.0.0" && listens != "::") addresses.insert(addresses.begin(), listens);
    return addresses;
  });
  pki_api_->KeepCrl();
}

GrpcServer::Options Daemon::Impl::GrpcOptions() {
  // Not from config_: the loop may be replacing it.
  const std::shared_ptr<const NodeSettings> in_force = settings_.get();
  const NodeSettings& settings = *in_force;
  GrpcServer::Options options;
  options.unix_path = options_.roots.GrpcSocket();
  options.tcp_address = settings.grpc_addr;
  options.tcp_port = settings.grpc_port;
  const bool beyond_loopback = !options.tcp_address.empty() && !IsLoopback(options.tcp_address);
  if (settings.grpc_tls == "required" || (settings.grpc_tls == "auto" && beyond_loopback)) {
    const std::string pki = absl::StrCat(options_.roots.OmdDir(), "/pki/");
    const auto path = [&pki](const std::string& set, absl::string_view usual) {
      return set.empty() ? absl::StrCat(pki, usual) : set;
    };
    TlsFiles::Options files;
    files.files = {path(settings.grpc_cert, "node.crt"), path(settings.grpc_key, "node.key"),
                   path(settings.grpc_ca, "ca.crt"), path(settings.grpc_crl, "crl.pem")};
    files.dir = absl::StrCat(options_.roots.OmdDir(), "/tls");
    tls_files_.emplace(std::move(files), clock_, counters_);
    (void)tls_files_->Refresh();
    options.tls_credentials =
        MakeTlsCredentials(&*tls_files_, settings.grpc_client_cert == "required", counters_);
  } else if (beyond_loopback) {
    LOG(WARNING) << "OM-GRPC-PLAIN listener.grpc_tls is off, and the gRPC port is open beyond "
                    "this host: everybody on the way reads what is said, and tokens are refused";
  }
  options.accept.max_connections = settings.max_connections;
  // A few, even of few.
  options.accept.reserved_for_root =
      std::min(options.accept.reserved_for_root, settings.max_connections - 1);
  options.accept.max_connections_per_address = settings.max_connections_per_addr;
  options.accept.max_connections_per_user = settings.connections_per_user;
  options.limits.max_message_bytes = static_cast<int>(settings.message_bytes);
  options.accept.owner_uid = geteuid();
  if (!settings.grpc_group.empty()) {
    const group* found = getgrnam(settings.grpc_group.c_str());
    if (found != nullptr) {
      options.accept.trusted_group = found->gr_gid;
    } else {
      LOG(WARNING) << "OM-GRPC-GROUP listener.grpc_group " << settings.grpc_group
                   << " is no group of this host";
    }
  }
  return options;
}

absl::Status Daemon::Impl::StartPackets() {
  PacketServer::Parts parts;
  parts.io = packet_io_->io();
  parts.workers = &*resolvers_;
  parts.validator = &*validator_;
  parts.router = &*router_;
  parts.stats = &listener_stats_;
  parts.counters = counters_;
  parts.random = &secure_random_;
  parts.refused = [this](const std::string& client, absl::string_view why) {
    Caller stranger;
    stranger.address = client;
    stranger.transport = Transport::kPacket;
    audit_->WriteStranger("packet", std::move(stranger), why);
  };
  parts.dequeue_actions = [this] { (void)loop_->Post([this] { dequeue_->Request(); }); };
  parts.publish = [this](ListenerState state) { core_->UpdateListener(std::move(state)); };
  packets_.emplace(parts);
  RETURN_IF_ERROR(packets_->ListenLocal(options_.roots.ListenerSocket()));
  Apply(*config_);
  return absl::OkStatus();
}

void Daemon::Impl::OnEvent(const Event& event, const SnapshotPtr& snapshot) {
  if (event.path.has_value()) {
    // Of an instance that is gone the log is gone, too, and stays so.
    const std::shared_ptr<const ObjectState> object = snapshot->objects.Find(*event.path);
    if (object != nullptr && object->config(snapshot->local_node) != nullptr) {
      const absl::Status written = AppendToLog(
          event.path->LogFile(options_.roots),
          FormatObjectLogLine(
              event.time, absl::LocalTimeZone(), event.node, event.path->name(), event.rid,
              absl::StrCat("event ", event.id, event.reason.empty() ? "" : " ", event.reason)));
      if (!written.ok()) {
        counters_->Get("logs.object_errors")->Add();
        LOG_EVERY_N(WARNING, 100) << "OM-OBJECT-LOG " << written.message();
      }
    }
  }
  if (!hooks_->Wants(event.id)) return;
  const std::string text =
      DumpJson(EventMessage(event, *snapshot, settings_.get()->compat_level, "svcpath"));
  (void)loop_->Post([this, id = event.id, text] { hooks_->Run(id, text); });
}

absl::Status Daemon::Impl::StartGrpc() {
  GrpcServer::Parts grpc;
  grpc.action = &*action_api_;
  grpc.daemon = &*daemon_api_;
  grpc.blacklist = &*blacklist_api_;
  grpc.config = &*config_api_;
  grpc.membership = &*membership_api_;
  grpc.monitor = &*monitor_api_;
  grpc.node = &*node_api_;
  grpc.logs = &*log_api_;
  grpc.events = &*event_api_;
  grpc.auth = &*auth_api_;
  grpc.pki = &*pki_api_;
  grpc.core = &*core_;
  grpc.streams = &*stream_worker_;
  grpc.clock = clock_;
  grpc.counters = counters_;
  grpc.limiter = &*limiter_;
  const GrpcServer::Options options = GrpcOptions();
  grpc.callers.tls = tls_files_.has_value() ? &*tls_files_ : nullptr;
  grpc.callers.users = &*users_;
  grpc.callers.verify_token = [this](absl::string_view token) { return tokens_->Verify(token); };
  grpc.callers.is_member = [this](const std::string& node) {
    const std::vector<std::string>& nodes = settings_.get()->cluster_nodes;
    return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
  };
  grpc.callers.refused = [this](const Caller& caller, absl::string_view why) {
    audit_->WriteStranger("rpc", caller, why);
  };
  grpc.callers.clock = clock_;
  grpc.callers.counters = counters_;
  ASSIGN_OR_RETURN(grpc.callers.group_grants, Grants::Parse(settings_.get()->grpc_group_grants));
  RETURN_IF_ERROR(options.limits.Validate());
  RETURN_IF_ERROR(options.accept.Validate());
  grpc_.emplace(options, grpc);
  RETURN_IF_ERROR(grpc_->Start());
  RefreshIdentities();
  return absl::OkStatus();
}

void Daemon::Impl::StartThreads() {
  listener_.emplace(&*packets_, &settings_, &*packet_io_);
  monitor_.emplace(&*core_, &*loop_);
  Scheduler::Ports schedule;
  schedule.loop = &*loop_;
  schedule.clock = clock_;
  schedule.random = &random_;
  schedule.crm = &*crm_;
  schedule.stamps = &*stamps_;
  schedule.counters = counters_;
  schedule.snapshot = [this] { return core_->snapshot(); };
  schedule.evaluated = [this](const ObjectPath& path) { core_->WakeMonitor(path); };
  schedule.publish = [this](SchedulerState state) { core_->UpdateScheduler(std::move(state)); };
  scheduler_.emplace(ScheduleOptionsOf(config_->settings), absl::LocalTimeZone(),
                     std::move(schedule));
  OnLoop([this](const std::function<void()>& done) {
    // After the hooks were applied, which was posted before; the feed keeps what happened until
    // now.
    event_pump_.emplace(
        core_->feed(), [this] { return core_->snapshot(); }, &*workers_,
        [this](const Event& event, const SnapshotPtr& snapshot) { OnEvent(event, snapshot); });
    supervisor_->Add("listener", &*listener_);
    supervisor_->Add("monitor", &*monitor_);
    supervisor_->Add("scheduler", &*scheduler_);
    supervisor_->StartAll();
    ConfigWatcher::Options watch;
    watch.roots = options_.roots;
    watch.nodename = options_.nodename;
    watcher_.emplace(std::move(watch), &*loop_, &*workers_);
    watcher_->Start(config_,
                    [this](const absl::Status& status, std::shared_ptr<const LoadedConfig> loaded) {
                      OnConfig(status, std::move(loaded));
                    });
    done();
  });
}

void Daemon::Impl::OnConfig(const absl::Status& status,
                            std::shared_ptr<const LoadedConfig> loaded) {
  counters_->Get("config.changes")->Add();
  absl::Status usable = status;
  if (usable.ok()) usable = PacketRulesOf(loaded->settings).status();
  if (!usable.ok()) {
    counters_->Get("config.errors")->Add();
    LOG(ERROR) << "OM-CONFIG-BROKEN the last good configuration stays in force: "
               << usable.message();
    config_alerts_ = {absl::StrCat("configuration not applied: ", usable.message())};
    UpdateAlerts();
    return;
  }
  LOG(INFO) << "configuration changed";
  config_ = std::move(loaded);
  settings_.Set(config_->settings);
  Apply(*config_);
  listener_->Reconfigure();
  scheduler_->Configure(ScheduleOptionsOf(config_->settings));
  core_->ApplySettings(CoreSettingsOf(*config_, options_.version));
  for (const std::string& id : supervisor_->ids()) supervisor_->Configured(id);
  config_alerts_ = {};
  UpdateAlerts();
  Event event;
  event.id = "node_config_change";
  core_->EmitEvent(std::move(event));
}

void Daemon::Impl::Apply(const LoadedConfig& config) {
  const NodeSettings& settings = config.settings;
  mask_->Add(settings.cluster_secret);
  if (!settings.cluster_previous_secret.empty()) mask_->Add(settings.cluster_previous_secret);
  node_names_->SetNodes(settings.cluster_nodes);
  absl::StatusOr<PacketRules> rules = PacketRulesOf(settings);
  if (rules.ok()) validator_->SetRules(*std::move(rules));
  crm_->SetCommands(settings.crm_command, settings.crm_node_command);
  audit_->SetSettings(AuditSettingsOf(settings));
  limiter_->SetLimits(CallLimitsOf(settings));
  actions_->SetLimits(static_cast<size_t>(settings.actions),
                      static_cast<size_t>(settings.actions_per_caller));
  actions_->SetCommands(settings.crm_command, settings.crm_node_command);
  (void)loop_->Post([this, hooks = settings.hooks] { hooks_->SetHooks(hooks); });
  (void)loop_->Post(
      [this, command = settings.dequeue_actions_command] { dequeue_->SetCommand(command); });
  for (const std::string& warning : settings.warnings) LOG(WARNING) << "OM-CONFIG " << warning;
  for (const std::string& doubt : DoubtsOf(settings)) LOG(WARNING) << "OM-CONFIG " << doubt;
}

void Daemon::Impl::UpdateAlerts() {
  std::vector<Alert> alerts;
  for (const std::string& text : config_alerts_) {
    alerts.push_back({Alert::Severity::kError, text});
  }
  const std::string audit_problem = audit_.has_value() ? audit_->problem() : "";
  if (!audit_problem.empty()) {
    alerts.push_back({Alert::Severity::kError,
                      absl::StrCat("the audit log cannot be written: ", audit_problem)});
  }
  if (!journal_alert_.empty()) alerts.push_back({Alert::Severity::kError, journal_alert_});
  if (!grpc_alert_.empty()) alerts.push_back({Alert::Severity::kWarning, grpc_alert_});
  if (!settings_.get()->cluster_previous_secret.empty()) {
    alerts.push_back({Alert::Severity::kWarning,
                      absl::StrCat("cluster.previous_secret is still accepted: ",
                                   previous_secret_use_.empty()
                                       ? "not used since the daemon started"
                                       : absl::StrCat("last used at ", previous_secret_use_))});
  }
  alerts.insert(alerts.end(), identity_alerts_.begin(), identity_alerts_.end());
  core_->SetAlerts(std::move(alerts));
}

void Daemon::Impl::WaitForEnd(const std::function<void()>& reopen_log) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  const UniqueFd signal_fd(signalfd(-1, &signals, SFD_CLOEXEC));
  bool shutting_down = false;  // A second SIGTERM then ends the daemon at once.
  CHECK(signal_fd.valid());
  while (true) {
    pollfd fds[2] = {{signal_fd.get(), POLLIN, 0}, {end_.get(), POLLIN, 0}};
    const int count = poll(fds, 2, kSocketCheckMs);
    if (count < 0) {
      CHECK_EQ(errno, EINTR);
      continue;
    }
    if (count == 0) {
      CheckSockets();
      continue;
    }
    if (fds[1].revents != 0) return;
    signalfd_siginfo info = {};
    if (read(signal_fd.get(), &info, sizeof(info)) != static_cast<ssize_t>(sizeof(info))) continue;
    if (info.ssi_signo == SIGHUP) {
      reopen_log();
      continue;
    }
    LOG(INFO) << "signal " << info.ssi_signo << " received";
    // SIGINT comes from a terminal, and who sits there can give orders.
    const bool shutdown =
        info.ssi_signo == SIGTERM && !shutting_down &&
        settings_.get()->sigterm.value_or(options_.sigterm) == SigtermAction::kShutdown;
    if (!shutdown) return;
    shutting_down = true;
    daemon_api_->Shutdown([](const auto& answer) {
      if (!answer.ok()) {
        LOG(WARNING) << "OM-SHUTDOWN-FAILED the shutdown that SIGTERM asked for: "
                     << answer.status();
      } else if (answer->failed_paths_size() > 0) {
        LOG(WARNING) << "OM-SHUTDOWN-FAILED not shut down: "
                     << absl::StrJoin(answer->failed_paths(), " ");
      }
    });
  }
}

// Somebody may have cleaned up below the roots: without its sockets the daemon could not be told
// anything any more.
void Daemon::Impl::CheckSockets() {
  packets_->CheckLocal();
  if (checking_sockets_.exchange(true)) return;
  const bool posted = workers_->Post([this] {
    grpc_->CheckUnixSocket();
    RefreshIdentities();
    checking_sockets_ = false;
  });
  if (!posted) checking_sockets_ = false;
}

void Daemon::Impl::RefreshIdentities() {
  users_->Refresh();
  std::vector<Alert> alerts;
  for (const std::string& problem : users_->Problems()) {
    alerts.push_back({Alert::Severity::kWarning, problem});
  }
  if (tls_files_.has_value()) {
    (void)tls_files_->Refresh();
    const std::shared_ptr<const TlsState> state = tls_files_->state();
    if (state->serving && grpc_->tcp_port() == 0) grpc_->OpenTcp();
    if (!state->problem.empty()) {
      alerts.push_back({state->serving ? Alert::Severity::kWarning : Alert::Severity::kError,
                        absl::StrCat(state->serving ? "the gRPC port serves older certificates: "
                                                    : "the gRPC port is closed: ",
                                     state->problem)});
    }
    if (state->serving) {
      const absl::Duration left = state->expire_time - clock_->Now();
      counters_->Get("tls.expires_in_seconds")->Set(absl::ToInt64Seconds(left));
      if (left < kExpiryWarning) {
        alerts.push_back(
            {left <= absl::ZeroDuration() ? Alert::Severity::kError : Alert::Severity::kWarning,
             absl::StrCat(
                 "certificate or revocation list of the gRPC port ends ",
                 absl::FormatTime(absl::RFC3339_sec, state->expire_time, absl::UTCTimeZone()))});
      }
    }
  } else if (grpc_->tcp_port() == 0) {
    grpc_->OpenTcp();
  }
  const std::string tcp_error = grpc_->tcp_error();
  const std::string alert =
      tcp_error.empty() ? "" : absl::StrCat("gRPC does not listen on TCP: ", tcp_error);
  (void)loop_->Post([this, alert, alerts = std::move(alerts)] {
    if (grpc_alert_ == alert && identity_alerts_ == alerts) return;
    if (!alert.empty() && grpc_alert_ != alert) LOG(WARNING) << "OM-GRPC-TCP " << alert;
    grpc_alert_ = alert;
    identity_alerts_ = alerts;
    UpdateAlerts();
  });
}

void Daemon::Impl::StartWatchdog() {
  std::thread([limit = options_.drain_deadline + kPacketDrain + kWatchdogMargin] {
    std::this_thread::sleep_for(limit);
    // Nothing of ours may be trusted any more, the log included.
    constexpr char text[] = "omd: shutdown took too long, ending\n";
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(1);
  }).detach();
}

void Daemon::Impl::Shutdown() {
  if (!started_) return;
  started_ = false;
  NotifySystemd("STOPPING=1");
  StartWatchdog();
  if (core_.has_value()) {
    // Whoever asks from here on is told that this node is going.
    std::promise<void> announced;
    NodeMonitorOrder order;
    const SnapshotPtr snapshot = core_->snapshot();
    const NodeState* local = snapshot->local();
    if (local == nullptr || (local->monitor.status != status_word::kUpgrade &&
                             local->monitor.status != status_word::kShutting)) {
      order.status = status_word::kMaintenance;
    }
    core_->SetNodeMonitor(order, RequestKey{},
                          [&announced](const auto&) { announced.set_value(); });
    announced.get_future().wait();
  }
  // Commands of clients run on without the daemon; nobody waits for them here any more.
  if (actions_.has_value()) actions_->Stop();
  if (grpc_.has_value()) grpc_->Shutdown(options_.drain_deadline);
  if (packets_.has_value()) {
    auto ended = std::make_shared<std::promise<void>>();
    std::future<void> future = ended->get_future();
    packets_->Shutdown([ended] { ended->set_value(); });
    future.wait_for(kPacketDrain);
  }
  if (scheduler_.has_value()) {
    OnLoop([this](const std::function<void()>& done) {
      watcher_.reset();
      supervisor_->StopAll(done);
    });
  }
  if (core_.has_value()) {
    OnLoop([this](const std::function<void()>& done) { core_->Stop(done); });
  }
  // No thread runs anything of ours after these.
  if (packet_io_.has_value()) packet_io_->Stop();
  if (crm_io_.has_value()) crm_io_->Stop();
  workers_->Shutdown();
  log_loop_->Shutdown();
  stream_worker_->Shutdown();
  journal_worker_->Shutdown();
  loop_->Shutdown();
  if (audit_.has_value()) audit_->Stop();
  absl::Status stamped = WriteFileAtomically(options_.roots.LastShutdown(), "", {});
  if (!stamped.ok()) LOG(WARNING) << "OM-LAST-SHUTDOWN " << stamped.message();
  // Everything is done and on disk. A name server that does not answer is not waited for: nothing
  // can end a resolution but the end of the process.
  std::thread([pid_file = options_.roots.PidFile()] {
    std::this_thread::sleep_for(kResolverGrace);
    unlink(pid_file.c_str());
    _exit(0);
  }).detach();
  resolvers_->Shutdown();
}

Daemon::Daemon(const DaemonOptions& options, LoadedConfig config, const Clock* clock,
               Counters* counters, SecretMask* mask)
    : impl_(std::make_unique<Impl>(options, std::move(config), clock, counters, mask)) {}
Daemon::~Daemon() { Shutdown(); }

absl::Status Daemon::Start() { return impl_->Start(); }
void Daemon::WaitForEnd(const std::function<void()>& reopen_log) { impl_->WaitForEnd(reopen_log); }
void Daemon::Shutdown() { impl_->Shutdown(); }

}  // namespace om
