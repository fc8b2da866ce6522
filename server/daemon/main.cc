// omd: the daemon.
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <system_error>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "compat/wire/crypto.h"
#include "glog/logging.h"
#include "server/base/random.h"
#include "server/config/identity.h"
#include "server/daemon/daemon.h"
#include "server/daemon/daemon_lock.h"
#include "server/logs/log_file_sink.h"

namespace om {
namespace {

constexpr int kExitFailure = 1;

struct Flags {
  std::string root;
  std::string nodename;
  std::string sigterm = "stop";
};

// What is wrong goes to who started the daemon as well as to the log.
int Fail(const absl::Status& status) {
  LOG(ERROR) << "OM-START omd does not start: " << status.message();
  return kExitFailure;
}

std::string ThisHost() {
  char name[HOST_NAME_MAX + 1] = {};
  if (gethostname(name, HOST_NAME_MAX) != 0) return "localhost";
  return absl::AsciiStrToLower(name);
}

std::string ProgramDirectory() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::string() : program.parent_path().string();
}

// Every thread inherits it: signals that end the daemon are taken by the main thread alone, and a
// peer that hangs up is an error of write(), not the end.
void BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);  // A file at its limit is an error of write(), too.
}

// As many descriptors as the host allows: the caps on connections are ours to set.
void RaiseDescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Our log is node.log; glog's own files are off, and standard error gets what needs attention.
void InitLogging() {
  for (const google::LogSeverity severity :
       {google::GLOG_INFO, google::GLOG_WARNING, google::GLOG_ERROR, google::GLOG_FATAL}) {
    google::SetLogDestination(severity, "");
  }
  FLAGS_stderrthreshold = google::GLOG_WARNING;
  google::InitGoogleLogging("omd");
}

// What is configured must give a key, or no packet could ever be read or answered.
absl::Status CheckSecret(const NodeSettings& settings) {
  absl::StatusOr<Key> key =
      Key::FromSecret(settings.cluster_secret, settings.compat_allow_short_secret);
  if (!key.ok()) {
    return absl::InvalidArgumentError("cluster.secret: " + std::string(key.status().message()));
  }
  if (LooksLikeUuid1(settings.cluster_secret)) {
    LOG(WARNING) << "OM-SECRET-WEAK cluster.secret looks like the default of old agents, made of a "
                    "clock and a network address: it can be guessed; replace it on all nodes";
  }
  if (settings.cluster_secret.size() < 32) {
    LOG(WARNING) << "OM-SECRET-SHORT cluster.secret is shorter than the 32 bytes of an AES-256 key";
  }
  return absl::OkStatus();
}

int Run(const Flags& flags) {
  DaemonOptions options;
  options.root = flags.root;
  options.roots = flags.root.empty() ? Roots::Packaged() : Roots::Under(flags.root);
  options.nodename = flags.nodename.empty() ? ThisHost() : absl::AsciiStrToLower(flags.nodename);
  options.version = OM_VERSION;
  options.program_directory = ProgramDirectory();
  if (flags.sigterm == "shutdown") options.sigterm = SigtermAction::kShutdown;

  // gRPC's fork handlers are of no use to a program that never forks, and have hung others.
  setenv("GRPC_ENABLE_FORK_SUPPORT", "0", 1);
  umask(022);
  BlockSignals();
  RaiseDescriptorLimit();
  InitLogging();

  for (const std::string& directory :
       {options.roots.etc, options.roots.var, options.roots.log, options.roots.ListenerDir(),
        options.roots.NodeStateDir(), options.roots.OmdDir()}) {
    // What is omd's own is nobody else's business.
    absl::Status made =
        MakeDirectories(directory, directory == options.roots.OmdDir() ? 0700 : 0755);
    if (!made.ok()) return Fail(made);
  }
  // Only once the lock is held may anything else below the roots be touched.
  absl::StatusOr<DaemonLock> lock = DaemonLock::Take(options.roots, getpid());
  if (!lock.ok()) return Fail(lock.status());

  const SystemClock clock;
  Counters counters;
  SecretMask mask;
  LogFileSink::Options log_options;
  log_options.path = options.roots.NodeLog();
  log_options.node_name = options.nodename;
  LogFileSink log(log_options, &mask, &clock, &counters);
  absl::Status logging = log.Start();
  if (!logging.ok()) LOG(WARNING) << "OM-LOG-OPEN " << logging.message();

  SystemRandom random;
  absl::StatusOr<Identity> identity = EnsureIdentity(options.roots, options.nodename, &random);
  if (!identity.ok()) return Fail(identity.status());
  for (const std::string& param : identity->generated) LOG(INFO) << "generated " << param;
  absl::StatusOr<LoadedConfig> config = LoadNodeConfig(options.roots, options.nodename);
  if (!config.ok()) return Fail(config.status());
  mask.Add(config->settings.cluster_secret);
  absl::Status secret = CheckSecret(config->settings);
  if (!secret.ok()) return Fail(secret);

  LOG(INFO) << "omd " << options.version << " starts as node " << options.nodename << ", pid "
            << getpid();
  Daemon daemon(options, *std::move(config), &clock, &counters, &mask);
  absl::Status started = daemon.Start();
  if (!started.ok()) return Fail(started);
  daemon.WaitForEnd([&log] { log.Reopen(); });
  daemon.Shutdown();
  LOG(INFO) << "omd ends";
  log.Stop();
  return 0;
}

}  // namespace
}  // namespace om

int main(int argc, char** argv) {
  CLI::App app{"Cluster control-plane daemon. Runs in the foreground and logs to <log>/node.log."};
  om::Flags flags;
  app.add_option("--root", flags.root,
                 "Keep everything in DIR/etc, DIR/var and DIR/log instead of the system's folders")
      ->type_name("DIR");
  app.add_option("--nodename", flags.nodename, "Run as this node instead of under the host's name")
      ->envname("OMD_NODENAME")
      ->type_name("NAME");
  app.add_option(
         "--sigterm", flags.sigterm,
         "What SIGTERM does where daemon.sigterm is not set: \"stop\" leaves services as they "
         "are, \"shutdown\" shuts them down first")
      ->envname("OMD_SIGTERM")
      ->check(CLI::IsMember({"stop", "shutdown"}));
  app.set_version_flag("--version", std::string("omd ") + OM_VERSION);
  CLI11_PARSE(app, argc, argv);
  return om::Run(flags);
}
