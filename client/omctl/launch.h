// The daemon as a process of this machine: starting it, and seeing that it has ended.
#ifndef OM_CLIENT_OMCTL_LAUNCH_H_
#define OM_CLIENT_OMCTL_LAUNCH_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/file.h"

namespace om {

// Whether systemd runs this machine and knows omd.service.
bool SystemdUnitInstalled();

// Runs `systemctl start omd` and waits for its end. UNAVAILABLE with the exit status if it fails.
absl::Status StartSystemdUnit();

// The program `omd` beside this one, else in PATH. NOT_FOUND names where it was looked for.
absl::StatusOr<std::string> FindDaemonProgram();

// Starts `arguments` as a process of its own session, without our descriptors, its output appended
// to `output_path`. Returns its pid; the caller may wait for it.
absl::StatusOr<pid_t> SpawnDetached(const std::vector<std::string>& arguments,
                                    const std::string& output_path);

// How the child `pid` ended: `exited with status 1`, `killed by signal 9`. Nothing: it runs.
std::optional<std::string> HowItEnded(pid_t pid);

// Whether a daemon, omd or legacy, holds the lock of the installation whose state folder is `var`.
// Asks by taking the lock for a moment, so do not ask while a daemon is being started.
bool DaemonLockHeld(const std::string& var);

// The pid in the pid file below `var`; 0 if there is none.
pid_t PidFileOf(const std::string& var);

// A process that we wait for, safe against another one getting its pid.
class ProcessWatch {
 public:
  // Opened while the process still runs, or has just ended.
  explicit ProcessWatch(pid_t pid);
  // Waits until the process is gone, at most until `deadline`; returns whether it is.
  bool WaitGone(MonotonicTime deadline);
  // False if no such process is visible: it has ended, or lives in another container.
  bool visible() const { return fd_.valid(); }

 private:
  UniqueFd fd_;
};

}  // namespace om

#endif  // OM_CLIENT_OMCTL_LAUNCH_H_
