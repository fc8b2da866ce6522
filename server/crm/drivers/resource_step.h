// What an action does to one resource: requirements, triggers, the driver.
#ifndef OM_SERVER_CRM_DRIVERS_RESOURCE_STEP_H_
#define OM_SERVER_CRM_DRIVERS_RESOURCE_STEP_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/crm/drivers/driver.h"

namespace om {

enum class ResourceStep { kStart, kStop, kProvision, kUnprovision, kRun };

// "start", "stop" ...: as in keywords (`pre_start`, `start_requires`) and on the command line.
absl::string_view ToText(ResourceStep step);
std::optional<ResourceStep> ParseResourceStep(absl::string_view text);

struct StepOptions {
  bool cron = false;    // Unmet requirements are skipped, not errors.
  bool leader = false;  // Makes and removes what is shared between nodes.
};

// Takes one step: requirements, `pre_` and `blocking_pre_` triggers, the driver, `post_` triggers.
// `*changed`: something was started that was not up before, which may be so even when the step
// fails, by a trigger. kProvision starts what it made, apps apart; kUnprovision stops first. Both
// keep the flag file `<rid>/provisioned`.
absl::Status TakeStep(const Instance& instance, const ResourceSettings& resource, ResourceStep step,
                      const StepOptions& options, bool* changed);

// Runs a command of the configuration, its output in the log: through a shell if it has a `|`, `&&`
// or `;`. An exit code other than 0 is ABORTED. `what` is for messages.
absl::Status RunConfiguredCommand(const Instance& instance, absl::string_view rid,
                                  absl::string_view what, const std::string& command);

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_RESOURCE_STEP_H_
