// A status document for people.
#ifndef OM_SERVER_CRM_DRIVERS_PRINT_STATUS_H_
#define OM_SERVER_CRM_DRIVERS_PRINT_STATUS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "server/base/json.h"

namespace om {

// A line for the instance, one for each resource (rid, flags, state, label) and one for each line
// of its log. The flags are R running, M monitored, D disabled, O optional, E encapsulated, P not
// provisioned (/ unknown), S standby, and the number of restarts.
std::string StatusForPeople(absl::string_view path, const Json& document);

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_PRINT_STATUS_H_
