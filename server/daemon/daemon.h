// The daemon: makes the threads, clocks, randomness and executors, and wires everything together.
#ifndef OM_SERVER_DAEMON_DAEMON_H_
#define OM_SERVER_DAEMON_DAEMON_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "server/base/clock.h"
#include "server/base/counters.h"
#include "server/config/paths.h"
#include "server/config/settings.h"
#include "server/logs/secret_mask.h"

namespace om {

struct DaemonOptions {
  Roots roots;
  std::string root;  // As given with --root; empty: the packaged roots. Told to resource managers.
  std::string nodename;
  std::string version;
  std::string program_directory;  // Of the running binary: omcrm lies beside it.
  // What SIGTERM does where `daemon.sigterm` is not set.
  SigtermAction sigterm = SigtermAction::kStop;
  std::string proc = "/proc";
  // Whatever is open by then is cut off.
  std::chrono::milliseconds drain_deadline{5'000};
};

// One run of the daemon. Lives on the main thread.
class Daemon {
 public:
  // `config` is what the files say. All pointers are borrowed.
  Daemon(const DaemonOptions& options, LoadedConfig config, const Clock* clock, Counters* counters,
         SecretMask* mask);
  ~Daemon();  // Shutdown().

  // Opens everything. On an error nothing is left running.
  absl::Status Start();
  // Waits until a signal that ends the daemon comes, or a request that does. SIGHUP reopens the
  // log. The signals must be blocked in all threads.
  void WaitForEnd(const std::function<void()>& reopen_log);
  // Announces `maintenance`, stops what runs, waits for what is in flight, within the deadline.
  // Instances stay as they are. Idempotent.
  void Shutdown();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace om

#endif  // OM_SERVER_DAEMON_DAEMON_H_
