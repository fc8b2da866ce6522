// status.json: what an instance looks like to the daemon, in the legacy agent's form.
#ifndef OM_SERVER_CRM_DRIVERS_STATUS_DOCUMENT_H_
#define OM_SERVER_CRM_DRIVERS_STATUS_DOCUMENT_H_

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "server/base/json.h"
#include "server/config/settings.h"
#include "server/state/availability.h"

namespace om {

// {level, text}, levels "info", "warn", "error".
using StatusLog = std::vector<std::pair<std::string, std::string>>;

// One resource, evaluated.
struct ResourceReport {
  std::string rid;
  Availability status = Availability::kUndef;  // After the mapping of standby resources.
  std::string type;                            // "app.forking"
  std::string label;
  StatusLog log;
  std::optional<bool> provisioned;
  std::optional<double> provisioned_mtime;
  Json info;  // An object, or null.
};

// What the document says besides the configuration and the resources.
struct InstanceFlags {
  absl::Time updated;  // When the evaluation began.
  std::string env;     // The service's, or the node's.
  std::optional<absl::Time> frozen;
  std::vector<std::string> running;  // Rids that an action works on.
  bool constraints = true;           // Whether the service's constraints hold here.
};

// The whole document of a service. Reports of resources that the configuration does not have are
// left out. Pure.
Json MakeStatusDocument(const ObjectSettings& settings, const std::vector<ResourceReport>& reports,
                        const InstanceFlags& flags);
// That of another kind of object: {"updated", "kind", "csum"}.
Json MakeBareStatusDocument(absl::string_view kind, absl::Time updated);

// Lower-case hex MD5 over the values as the legacy agent writes them, times left out: equal for
// documents that say the same.
std::string StatusChecksum(const Json& document);

// "overall" of a document; kUndef when there is none.
Availability OverallOf(const Json& document);
Availability AvailOf(const Json& document);

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_STATUS_DOCUMENT_H_
