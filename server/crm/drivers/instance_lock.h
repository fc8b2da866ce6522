// Locks that keep actions on one instance, and on one app, apart.
#ifndef OM_SERVER_CRM_DRIVERS_INSTANCE_LOCK_H_
#define OM_SERVER_CRM_DRIVERS_INSTANCE_LOCK_H_

#include <chrono>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/base/file.h"
#include "server/crm/drivers/interrupt.h"

namespace om {

// An exclusive flock on a file that says who holds it: {"pid", "intent"[, "progress": {"rid"}]}.
// The kernel lets go of it when the holder ends, however that happens; the file stays. Programs
// started meanwhile do not inherit it.
class InstanceLock {
 public:
  // Any attempt lasts that long at least: who only looks at a lock holds it for an instant.
  static constexpr std::chrono::milliseconds kLeastWait = std::chrono::milliseconds(100);

  // Tries until `timeout` has passed. DEADLINE_EXCEEDED names the holder; CANCELLED if interrupted.
  static absl::StatusOr<InstanceLock> Acquire(const std::string& file, absl::string_view intent,
                                              std::chrono::milliseconds timeout,
                                              Interrupt* interrupt);
  InstanceLock(InstanceLock&&) = default;
  InstanceLock& operator=(InstanceLock&&) = default;

  // Says which resource is being worked on, several separated by commas; empty: none.
  void SetProgress(absl::string_view rid);
  // A process that is given a copy of it holds the lock too.
  int fd() const { return fd_.get(); }

 private:
  InstanceLock(UniqueFd fd, absl::string_view intent) : fd_(std::move(fd)), intent_(intent) {}

  UniqueFd fd_;
  std::string intent_;
};

// Who holds a lock.
struct LockHolder {
  std::string intent;
  std::string rid;  // Empty: no progress said.
};
// nullopt: nobody holds it.
std::optional<LockHolder> FindLockHolder(const std::string& file);

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_INSTANCE_LOCK_H_
