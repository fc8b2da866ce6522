// Finds out how an instance is and writes it down for the daemon.
#ifndef OM_SERVER_CRM_DRIVERS_EVALUATE_INSTANCE_H_
#define OM_SERVER_CRM_DRIVERS_EVALUATE_INSTANCE_H_

#include <chrono>

#include "absl/status/statusor.h"
#include "server/base/json.h"
#include "server/crm/drivers/driver.h"

namespace om {

struct EvaluateOptions {
  // Ask the drivers; else what they said last, where there is something.
  bool refresh = true;
  // Of `refresh`: only resources that are monitored or restarted.
  bool monitored_only = false;
  // Leave status.json as it is if it says the same but for times.
  bool keep_if_same = false;
  // How long to wait for another evaluation of the instance to end.
  std::chrono::milliseconds lock_timeout = std::chrono::seconds(60);
};

// Evaluates the instance, or the bare status of an object without instances, writes status.last and
// status.history of its resources and status.json, and returns the document. Each file is replaced
// as a whole; status.json is never missing in between, and each is newer than the one before it,
// whatever the clock does. CANCELLED, and nothing written, if interrupted.
absl::StatusOr<Json> EvaluateInstance(const Instance& instance, const EvaluateOptions& options);

// The state of one resource with standby resources mapped, errors told in `log` as the state undef.
Availability EvaluateResource(const ResourceSettings& resource, ResourceDriver* driver,
                              StatusLog* log);

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_EVALUATE_INSTANCE_H_
