// Actions on one instance: which resources, in which order, and what a failure means.
#ifndef OM_SERVER_CRM_DRIVERS_ACTIONS_H_
#define OM_SERVER_CRM_DRIVERS_ACTIONS_H_

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "server/crm/drivers/driver.h"
#include "server/crm/drivers/instance_lock.h"
#include "server/crm/drivers/resource_step.h"
#include "server/crm/drivers/selection.h"

namespace om {

struct ActionOptions {
  Selection selection;  // Resources to work on; without limits: all.
  bool force = false;   // Stops standby resources too.
  bool disable_rollback = false;
  bool cron = false;     // Unmet requirements are skipped, not errors.
  bool dry_run = false;  // Says what it would do.
  bool leader = false;   // Makes and removes what is shared between nodes.
  bool confirm = false;  // Tasks that ask for a confirmation may run.
  // For the action lock; unset: the service's lock_timeout.
  std::optional<std::chrono::milliseconds> lock_timeout;
};

// Works on the resources of one instance. The caller holds the action lock and evaluates the
// instance afterwards. The resources of a parallel subset are worked on by a process each; all else
// is one after the other. Confined to one thread.
class Actions {
 public:
  // All are borrowed and must outlive this object; `lock` may be null.
  Actions(const Instance* instance, const ActionOptions* options, InstanceLock* lock)
      : instance_(instance), options_(options), lock_(lock) {}

  // In group order ip volume disk fs share container app; `standby_only`: resources kept up on all
  // nodes. The first failure of a resource that is not optional ends it, and what it had started is
  // stopped again, last first, unless that is switched off.
  absl::Status Start(bool standby_only);
  // In the opposite order. Standby resources stay unless `force`. A failure ends it, optional
  // resources apart.
  absl::Status Stop(bool force);
  // In starting order, makes each resource and starts it, apps apart. What it started is stopped
  // again, last first, when it fails or when the service has other nodes to start it on, unless
  // that is switched off. What was made stays.
  absl::Status Provision();
  // In stopping order, stops and removes. Then forgets what was recorded of each resource, but for
  // the flag that tells that it is gone.
  absl::Status Unprovision();
  // The tasks, each of them even if one before it failed; then the first failure.
  absl::Status Run();
  absl::Status Boot();
  // What the resources tell of themselves: {rid: {key: value}}.
  absl::StatusOr<Json> ResourceInfo() const;

  // Those of the selection that a stop should have brought down but that `document`, the status
  // taken after it, shows as up. Optional ones are left out.
  absl::StatusOr<std::vector<std::string>> StillUp(const Json& document, bool force) const;

 private:
  using Resources = std::vector<const ResourceSettings*>;

  // Takes the step on each resource of the sets. Those that were not up before are added to
  // `started` as they come up.
  absl::Status ForEach(ResourceStep step, const std::vector<ResourceSet>& sets, Resources* started);
  absl::Status InParallel(ResourceStep step, const ResourceSet& set, Resources* started);
  void RollBack(const Resources& started);
  // OK for what an optional resource may do; the status otherwise. Logs it.
  absl::Status Judge(const ResourceSettings& resource, absl::Status status) const;
  StepOptions MakeStepOptions() const { return {options_->cron, options_->leader}; }
  bool MayRollBack() const {
    return instance_->settings.rollback && !options_->disable_rollback && !options_->dry_run;
  }
  void Log(absl::string_view rid, InstanceLog::Level level, absl::string_view text) const {
    instance_->log->Write(rid, level, text);
  }

  const Instance* const instance_;      // Not owned.
  const ActionOptions* const options_;  // Not owned.
  InstanceLock* const lock_;            // Not owned.
};

// What a process that works on one resource for a parallel set does, and its exit code, which
// Actions of the process that started it understands.
int RunStepForParent(const Instance& instance, const ActionOptions& options,
                     absl::string_view step);

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_ACTIONS_H_
