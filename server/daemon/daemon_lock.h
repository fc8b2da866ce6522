// The lock that says that a daemon runs on this root, as the legacy tools look for it.
#ifndef OM_SERVER_DAEMON_DAEMON_LOCK_H_
#define OM_SERVER_DAEMON_DAEMON_LOCK_H_

#include <sys/types.h>

#include "absl/status/statusor.h"
#include "server/base/file.h"
#include "server/config/paths.h"

namespace om {

// Holds the flock on <var>/lock/osvcd.lock for as long as it lives; <var>/osvcd.pid has the pid.
// Both are released by the kernel, or found stale, after kill -9.
class DaemonLock {
 public:
  // FAILED_PRECONDITION, with its pid if it is known, if another daemon, omd or legacy, has it.
  static absl::StatusOr<DaemonLock> Take(const Roots& roots, pid_t pid);
  DaemonLock(DaemonLock&&) = default;
  DaemonLock& operator=(DaemonLock&&) = default;
  ~DaemonLock();  // Removes the pid file.

 private:
  DaemonLock(UniqueFd fd, std::string pid_file)
      : fd_(std::move(fd)), pid_file_(std::move(pid_file)) {}
  UniqueFd fd_;
  std::string pid_file_;
};

}  // namespace om

#endif  // OM_SERVER_DAEMON_DAEMON_LOCK_H_
