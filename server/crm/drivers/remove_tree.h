// Removes a directory with all that is in it, and nothing else.
#ifndef OM_SERVER_CRM_DRIVERS_REMOVE_TREE_H_
#define OM_SERVER_CRM_DRIVERS_REMOVE_TREE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/crm/drivers/interrupt.h"

namespace om {

// The real path of the directory `path`, whose last component must be no symbolic link, if it may
// be removed by an unprovision. FAILED_PRECONDITION says why it may not: it is (or holds) a
// directory of the system, a user's home, one of `precious`, or a mount point; it is at the top of
// the tree; or it lies among the system's programs, settings and devices. NOT_FOUND: it does not
// exist. `path` is an absolute path; reads /proc/self/mountinfo.
absl::StatusOr<std::string> CheckRemovable(const std::string& path,
                                           const std::vector<std::string>& precious);

// The same for a path that is already real and normalised, the mounts given. Pure, for tests.
absl::Status CheckRemovablePath(absl::string_view real, const std::vector<std::string>& precious,
                                const std::vector<std::string>& mounts);

// Removes it, going down by descriptors and never through a symbolic link, and never into another
// file system. What is not there is no error. On an error what was not removed yet stays.
absl::Status RemoveTree(const std::string& real, Interrupt* interrupt);

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_REMOVE_TREE_H_
