// Which role a request needs whose content decides it: commands on objects, orders for services.
// Pure functions. THREAD: any.
#ifndef OM_SERVER_SERVICE_ACTION_ROLES_H_
#define OM_SERVER_SERVICE_ACTION_ROLES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "om/control/v1/monitor.pb.h"
#include "server/auth/grants.h"

namespace om {

// The role that an action on an object needs on the object's namespace, by its name with "_" or
// " " between words: "start", "print_config_mtime". kRoot for those that the legacy list does not
// have.
Role RoleOfAction(absl::string_view action);

// What a whole command needs.
struct ActionNeed {
  Role role = Role::kRoot;
  // Why it is kRoot although its action asks for less; empty: it is not so.
  std::string why_root;
};
// `words` are those after the program and the path; the action is the ones before the first option.
// Only the options that choose what an action is done to, how, and how it is shown are for others
// than root: some of the rest name other objects, files of the host, or programs. The actions that
// change configurations by themselves (`set`, `unset`, `create`) are root's, too: what they would
// make of a file is only known to the program that they are passed to, and what others than root
// may put in one has to be judged first, as ConfigService/UpdateConfig and
// ActionService/CreateObjects do.
ActionNeed NeedOfAction(const std::vector<std::string>& words, bool has_input);

// The role that setting attributes of an instance's monitor needs: operator for everyday orders,
// admin for everything else.
Role RoleOfOrder(const control::v1::SetInstanceMonitorRequest& request);

}  // namespace om

#endif  // OM_SERVER_SERVICE_ACTION_ROLES_H_
