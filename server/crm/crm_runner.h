// Runs resource manager commands on instances.
#ifndef OM_SERVER_CRM_CRM_RUNNER_H_
#define OM_SERVER_CRM_CRM_RUNNER_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "server/base/counters.h"
#include "server/base/loop.h"
#include "server/base/mutex.h"
#include "server/core/ports.h"
#include "server/crm/process_runner.h"

namespace om {

// Builds `<crm.command> -s <paths> <words> [--local]`, or `<crm.node_command> <words>` for a
// command without paths, and runs it with OSVC_ACTION_ORIGIN=daemon. Exit 0 is success; the result
// of an action is read from the instance's status.json, not here.
//
// An instance has one mutating command at a time: another one is refused with FAILED_PRECONDITION,
// reason ACTION_IN_PROGRESS, and so is one on an instance that somebody else's action has locked.
// `status`, `resource_monitor`, `push_resinfo` and `compliance_auto` mutate nothing and are never
// refused.
//
// THREAD: any; results come from the launcher's executor. Counters: crm.commands, crm.failures,
// crm.refused, crm.running.
class CrmRunner final : public CrmPort {
 public:
  struct Options {
    // Prefix of commands on instances, from `crm.command` of node.conf.
    std::vector<std::string> command = {"omcrm"};
    // Prefix of commands on the node, from `crm.node_command`.
    std::vector<std::string> node_command = {"om", "node"};
    // Over the daemon's environment, "NAME=value": OM_ROOT, OMD_NODENAME.
    std::vector<std::string> environment;
    // Says whether somebody else works on the instance, before a mutating command is run on it. May
    // block: runs on `workers`. Unset: nobody asks.
    std::function<bool(const ObjectPath&)> is_locked;
    Executor* workers = nullptr;  // Not owned; must outlive the runner. Needed for `is_locked`.
  };

  // All are borrowed and must outlive this object. Refusals are posted to `executor`.
  CrmRunner(ProcessLauncher* launcher, Executor* executor, Counters* counters, Options options);
  // Commands that run are left running; their `done` is not called.
  ~CrmRunner() override;

  // CrmResult::error is INVALID_ARGUMENT for a command without an action, NOT_FOUND for a missing
  // program, DEADLINE_EXCEEDED at the timeout.
  void Run(CrmCommand command, Done<CrmResult> done) override;

  // The prefixes from the next command on.
  void SetCommands(std::vector<std::string> command, std::vector<std::string> node_command);
  // Sends SIGTERM to the mutating command of the instance, if one runs.
  void Interrupt(const ObjectPath& path);
  bool IsBusy(const ObjectPath& path) const;

 private:
  // Outlives the runner while results are on their way.
  struct State;

  ProcessLauncher* const launcher_;  // Not owned.
  Executor* const executor_;         // Not owned.
  const std::shared_ptr<State> state_;
};

}  // namespace om

#endif  // OM_SERVER_CRM_CRM_RUNNER_H_
