// Finds processes by what /proc says of them.
#ifndef OM_SERVER_CRM_DRIVERS_PROCESSES_H_
#define OM_SERVER_CRM_DRIVERS_PROCESSES_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace om {

// Processes whose command line, its arguments joined by spaces, contains `command` and whose
// environment has all of `variables` ("NAME=value"). Children of a match are left out: they are its
// business. Ordered by pid. Zombies have no command line and never match. PERMISSION_DENIED where a
// command line fits and the environment may not be read: taken for a stranger's, a program would be
// started a second time. With an empty `command` those are left out.
absl::StatusOr<std::vector<pid_t>> FindProcesses(absl::string_view command,
                                                 const std::vector<std::string>& variables);
// Whether there is such a process; a zombie is none.
bool IsRunning(pid_t pid);
// All descendants of `pid`, itself not among them.
std::vector<pid_t> DescendantsOf(pid_t pid);

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_PROCESSES_H_
