// One command on one object: the steps around an action, and the actions that are no work on
// resources.
#ifndef OM_SERVER_CRM_DRIVERS_COMMAND_H_
#define OM_SERVER_CRM_DRIVERS_COMMAND_H_

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/base/json.h"
#include "server/crm/drivers/arguments.h"
#include "server/crm/drivers/daemon_client.h"
#include "server/crm/drivers/driver.h"
#include "server/crm/drivers/evaluate_instance.h"
#include "server/crm/drivers/instance_lock.h"

namespace om {

// Used by one thread, once. command.cc has what surrounds an action, command_config.cc the actions
// on the configuration, command_toc.cc the monitor action, command_delete.cc the removal.
class Command {
 public:
  // All are borrowed and must outlive this object.
  Command(const Arguments* arguments, const ActionInfo* action, Roots roots, Interrupt* interrupt);

  // The exit code. Errors are on standard error and in the instance's log.
  int Run(const std::string& path_text);
  // Whether the command failed; the exit code of a status tells the state instead.
  bool failed() const { return failed_; }

 private:
  const ActionOptions& options() const { return arguments_->options; }
  std::string PathText() const { return path_.ToString(); }
  std::chrono::milliseconds LockTimeout() const;
  void LogError(absl::string_view text);

  absl::Status Load();
  // Whether the service may be worked on here at all.
  absl::Status CheckAllowedHere() const;
  absl::StatusOr<Json> Evaluate(const EvaluateOptions& evaluate);
  EvaluateOptions MakeEvaluateOptions(bool refresh) const;
  // Tells the daemon that a person does it, so that it does not work against them.
  void TellDaemon(const Json& attributes);
  bool ByPerson() const;

  int Status();
  int PrintStatus();
  absl::Status PrintConfig();
  absl::Status PrintInfo();
  absl::Status PushInfo();

  // What changes the instance, with everything around it.
  absl::Status Act();
  absl::Status ActLocked();
  absl::StatusOr<std::optional<InstanceLock>> TakeLock();
  absl::Status Perform(InstanceLock* lock);
  absl::Status JudgeResult(const Json& document, absl::Status status, const Actions& actions) const;
  absl::Status UnprovisionForGood(Actions* actions);
  // ABORTED, naming what the status taken after a stop still shows as up.
  absl::Status CheckDown(const Json& document, const Actions& actions, bool force) const;
  // The flag's time is since when; a frozen instance keeps it.
  absl::Status SetFrozen(bool frozen);
  bool IsFrozen() const;
  void StampSchedule(bool succeeded);

  absl::Status Toc();
  absl::Status StopForToc();
  absl::Status Delete();

  absl::Status Create();
  absl::Status SetKeywords();
  absl::Status UnsetKeywords();
  absl::Status GetKeywords();
  absl::Status SetDisabled(bool disabled);

  const Arguments* const arguments_;  // Not owned.
  const ActionInfo* const action_;    // Not owned.
  const Roots roots_;
  const std::string node_;
  Interrupt* const interrupt_;  // Not owned.
  const DaemonClient daemon_;
  bool by_daemon_ = false;
  bool failed_ = false;
  bool deleted_ = false;  // There is nothing left to evaluate.
  ObjectPath path_;
  absl::Time config_mtime_;
  std::optional<InstanceLog> log_;
  Instance instance_;
};

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_COMMAND_H_
