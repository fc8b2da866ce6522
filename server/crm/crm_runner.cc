#include "server/crm/crm_runner.h"

#include <signal.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "glog/logging.h"
#include "server/base/status.h"

namespace om {
namespace {

bool IsMutating(const CrmCommand& command) {
  if (command.paths.empty()) return false;  // On the node; nothing here to protect.
  for (const char* word :
       {"status", "resource_monitor", "push_resinfo", "compliance_auto", "run", "sync_all"}) {
    if (command.words[0] == word) return false;
  }
  return true;
}

std::string JoinPaths(const std::vector<ObjectPath>& paths) {
  return absl::StrJoin(
      paths, ",", [](std::string* out, const ObjectPath& path) { out->append(path.ToString()); });
}

// For logs and errors.
std::string Describe(const CrmCommand& command) {
  return absl::StrCat("\"", command.words.empty() ? "" : command.words[0], "\" on \"",
                      command.paths.empty() ? "the node" : JoinPaths(command.paths), "\"");
}

absl::Status LockedByOther(const CrmCommand& command) {
  return WithReason(absl::FailedPreconditionError(absl::StrCat(
                        Describe(command), ": an action of somebody else is in progress")),
                    "ACTION_IN_PROGRESS");
}

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

struct CrmRunner::State : std::enable_shared_from_this<CrmRunner::State> {
  Counter* commands;
  Counter* failures;
  Counter* refused;
  Counter* running;

  mutable Mutex mutex;
  bool closed GUARDED_BY(mutex) = false;
  Options options GUARDED_BY(mutex);
  // Instances with a mutating command; no id until the launcher has said it.
  std::map<ObjectPath, std::optional<ProcessId>> busy GUARDED_BY(mutex);

  // The command no longer runs, or never did.
  void Forget(const CrmCommand& command) EXCLUDES(mutex) {
    MutexLock lock(&mutex);
    running->Add(-1);
    if (!IsMutating(command)) return;
    for (const ObjectPath& path : command.paths) busy.erase(path);
  }

  void Refuse(Executor* executor, const absl::Status& refusal, const Done<CrmResult>& done) {
    refused->Add();
    CrmResult answer;
    answer.error = refusal;
    const bool posted = executor->Post([done, answer] { done(answer); });
    if (!posted) LOG(WARNING) << "OM-CRM-RESULT-LOST " << refusal.ToString();
  }

  void Launch(ProcessLauncher* launcher, ProcessSpec spec, CrmCommand command, Done<CrmResult> done)
      EXCLUDES(mutex) {
    {
      MutexLock lock(&mutex);
      if (closed) return;
    }
    commands->Add();
    LOG(INFO) << "crm: " << absl::StrJoin(spec.argv, " ");
    const std::vector<ObjectPath> paths =
        IsMutating(command) ? command.paths : std::vector<ObjectPath>();
    const ProcessId id =
        launcher->Run(std::move(spec), [state = shared_from_this(), command = std::move(command),
                                        done = std::move(done)](const ProcessResult& result) {
          state->Finish(command, result, done);
        });
    MutexLock lock(&mutex);
    for (const ObjectPath& path : paths) {
      const auto it = busy.find(path);
      // Not there: it has ended already. With an id: another one has begun since.
      if (it != busy.end() && !it->second.has_value()) it->second = id;
    }
  }

  void Finish(const CrmCommand& command, const ProcessResult& result, const Done<CrmResult>& done) {
    Forget(command);
    {
      MutexLock lock(&mutex);
      if (closed) return;
    }
    CrmResult answer;
    answer.exit_code = result.exit_code;
    answer.signal = result.signal;
    if (!result.status.ok()) {
      answer.error = Annotate(result.status, Describe(command));
    } else if (result.timed_out) {
      answer.error =
          absl::DeadlineExceededError(absl::StrCat(Describe(command), ": ", result.Describe()));
    }
    // A status command tells a state by its exit code; that is no failure of the command.
    if (!answer.error.ok() || (IsMutating(command) && !answer.succeeded())) {
      failures->Add();
      LOG(WARNING) << "OM-CRM-FAILED " << Describe(command) << ": " << result.Describe() << " "
                   << FirstLine(result.standard_error);
    }
    done(std::move(answer));
  }
};

CrmRunner::CrmRunner(ProcessLauncher* launcher, Executor* executor, Counters* counters,
                     Options options)
    : launcher_(launcher), executor_(executor), state_(std::make_shared<State>()) {
  state_->commands = counters->Get("crm.commands");
  state_->failures = counters->Get("crm.failures");
  state_->refused = counters->Get("crm.refused");
  state_->running = counters->Get("crm.running");
  MutexLock lock(&state_->mutex);
  state_->options = std::move(options);
}

CrmRunner::~CrmRunner() {
  MutexLock lock(&state_->mutex);
  state_->closed = true;
}

void CrmRunner::Run(CrmCommand command, Done<CrmResult> done) {
  ProcessSpec spec;
  absl::Status refusal;
  std::function<bool(const ObjectPath&)> is_locked;
  Executor* workers = nullptr;
  {
    MutexLock lock(&state_->mutex);
    if (command.words.empty()) {
      refusal = absl::InvalidArgumentError("a resource manager command needs an action");
    } else if (IsMutating(command)) {
      for (const ObjectPath& path : command.paths) {
        if (state_->busy.count(path) != 0) {
          refusal = WithReason(absl::FailedPreconditionError(absl::StrCat(
                                   Describe(command), ": another action is in progress")),
                               "ACTION_IN_PROGRESS");
          break;
        }
      }
    }
    if (refusal.ok()) {
      spec.argv = command.paths.empty() ? state_->options.node_command : state_->options.command;
      spec.extra_environment = state_->options.environment;
      if (IsMutating(command)) {
        for (const ObjectPath& path : command.paths) state_->busy[path] = std::nullopt;
      }
      state_->running->Add();
      is_locked = state_->options.is_locked;
      workers = state_->options.workers;
    }
  }
  if (!refusal.ok()) return state_->Refuse(executor_, refusal, done);
  if (!command.paths.empty()) {
    spec.argv.push_back("-s");
    spec.argv.push_back(JoinPaths(command.paths));
  }
  spec.argv.insert(spec.argv.end(), command.words.begin(), command.words.end());
  if (command.local) spec.argv.push_back("--local");
  for (const auto& [name, value] : command.environment) {
    spec.extra_environment.push_back(absl::StrCat(name, "=", value));
  }
  spec.extra_environment.push_back("OSVC_ACTION_ORIGIN=daemon");
  if (command.timeout > Duration::zero()) {
    spec.time_limit = std::chrono::duration_cast<std::chrono::milliseconds>(command.timeout);
  }
  spec.output = ProcessSpec::Output::kCapture;
  spec.output_limit_bytes = 4096;  // Only for the log line of a failure.
  // Many at once wait for their locks themselves: one that is held must not keep the others.
  if (is_locked && IsMutating(command) && command.paths.size() == 1) {
    const bool posted = workers->Post([state = state_, launcher = launcher_, executor = executor_,
                                       is_locked, spec, command, done] {
      if (!is_locked(command.paths[0])) return state->Launch(launcher, spec, command, done);
      state->Forget(command);
      state->Refuse(executor, LockedByOther(command), done);
    });
    if (posted) return;
    // Nobody can look; then the resource manager waits for the lock by itself.
  }
  state_->Launch(launcher_, std::move(spec), std::move(command), std::move(done));
}

void CrmRunner::SetCommands(std::vector<std::string> command,
                            std::vector<std::string> node_command) {
  MutexLock lock(&state_->mutex);
  state_->options.command = std::move(command);
  state_->options.node_command = std::move(node_command);
}

void CrmRunner::Interrupt(const ObjectPath& path) {
  std::optional<ProcessId> id;
  {
    MutexLock lock(&state_->mutex);
    const auto it = state_->busy.find(path);
    if (it != state_->busy.end()) id = it->second;
  }
  if (id.has_value()) launcher_->Kill(*id, SIGTERM);
}

bool CrmRunner::IsBusy(const ObjectPath& path) const {
  MutexLock lock(&state_->mutex);
  return state_->busy.count(path) != 0;
}

}  // namespace om
