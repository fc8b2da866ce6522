// Runs omcrm itself several times at once: one process a resource of a parallel set, or a few
// objects each of a long list.
#ifndef OM_SERVER_CRM_DRIVERS_RUN_SELF_H_
#define OM_SERVER_CRM_DRIVERS_RUN_SELF_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/crm/drivers/interrupt.h"

namespace om {

struct SelfRuns {
  std::vector<std::vector<std::string>> arguments;  // Of each process, the program's name left out.
  std::vector<std::string> environment;             // Of all.
  size_t at_once = 8;                               // Processes at a time, at least 1.
  // A descriptor that all of them hold while they live, so that a lock lasts as long as what works
  // under it; -1: none.
  int held_fd = -1;
};

// The exit codes, in the order of `arguments`; 128 + n for one that signal n ended. The processes
// write where this one does, are in its process group, and get SIGTERM when it is interrupted or
// ends before them; no more are started then, and those that were not have the code
// kNotStarted. Returns when all have ended.
inline constexpr int kNotStarted = -1;
absl::StatusOr<std::vector<int>> RunSelf(const SelfRuns& runs, Interrupt* interrupt);

// For a process that RunSelf started: asks to get SIGTERM when its parent ends. False if the parent
// has ended already.
bool FollowParent(int parent_pid);

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_RUN_SELF_H_
