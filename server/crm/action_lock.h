// Who works on an instance: the resource manager's own lock tells, whoever started the action.
#ifndef OM_SERVER_CRM_ACTION_LOCK_H_
#define OM_SERVER_CRM_ACTION_LOCK_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "server/config/paths.h"
#include "server/core/ports.h"

namespace om {

// Where the lock of actions on the instance is.
std::string ActionLockFile(const Roots& roots, const ObjectPath& path);

// Tests the flock of `file`, a lock.generic, and reads what it and /proc say of the holder.
// nullopt: nobody holds it, or there is no such file. Holds the lock shared for an instant itself,
// which resource managers, who try again, do not notice. Blocks on disk.
std::optional<ActionHolder> FindActionHolder(const std::string& file);

// Sends `signal` to the process group of the holder. FAILED_PRECONDITION, and nobody is signalled,
// if `pid` does not hold the lock or leads no group of its own: a shell of a person may be in it.
absl::Status SignalActionHolder(const std::string& file, pid_t pid, int signal);

}  // namespace om

#endif  // OM_SERVER_CRM_ACTION_LOCK_H_
