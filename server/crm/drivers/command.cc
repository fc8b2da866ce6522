#include "server/crm/drivers/command.h"

#include <stdio.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/crm/drivers/load_instance.h"
#include "server/crm/drivers/print_status.h"

namespace om {
namespace {

constexpr size_t kMaxStatusBytes = size_t{16} << 20;

bool RefreshesAfter(Action action) { return action != Action::kFreeze && action != Action::kThaw; }

bool IsScheduled(Action action) {
  return action == Action::kStatus || action == Action::kResourceMonitor ||
         action == Action::kPushInfo || action == Action::kRun;
}

}  // namespace

Command::Command(const Arguments* arguments, const ActionInfo* action, Roots roots,
                 Interrupt* interrupt)
    : arguments_(arguments),
      action_(action),
      roots_(std::move(roots)),
      node_(LocalNodeName()),
      interrupt_(interrupt),
      daemon_(roots_.ListenerSocket()) {
  const char* origin = getenv("OSVC_ACTION_ORIGIN");
  by_daemon_ = origin != nullptr && absl::string_view(origin) == "daemon";
}

void Command::LogError(absl::string_view text) {
  failed_ = true;
  fprintf(stderr, "omcrm: %s: %s\n", PathText().c_str(), std::string(text).c_str());
}

int Command::Run(const std::string& path_text) {
  const absl::StatusOr<ObjectPath> path = ObjectPath::Parse(path_text);
  if (!path.ok()) {
    failed_ = true;
    fprintf(stderr, "omcrm: %s\n", std::string(path.status().message()).c_str());
    return 1;
  }
  path_ = *path;
  absl::Status status;
  const bool needs_object = action_->action != Action::kCreate && action_->action != Action::kClear;
  if (needs_object) status = Load();
  if (!status.ok()) {
    LogError(status.message());
    return 1;
  }
  if (!arguments_->step.empty()) return RunStepForParent(instance_, options(), arguments_->step);
  switch (action_->action) {
    case Action::kStatus:
    case Action::kResourceMonitor:
      return Status();
    case Action::kPrintStatus:
      return PrintStatus();
    case Action::kPrintConfig:
      status = PrintConfig();
      break;
    case Action::kPrintInfo:
      status = PrintInfo();
      break;
    case Action::kPushInfo:
      status = PushInfo();
      StampSchedule(status.ok());
      break;
    case Action::kCreate:
      status = Create();
      break;
    case Action::kSet:
      status = SetKeywords();
      break;
    case Action::kUnset:
      status = UnsetKeywords();
      break;
    case Action::kGet:
      status = GetKeywords();
      break;
    case Action::kClear:
      status = daemon_.Clear(PathText());
      break;
    default: {
      status = Act();
      if (status.ok()) return 0;
      failed_ = true;
      const std::string text = absl::StrCat(action_->name, " failed: ", status.message());
      // A log must not come back with the object gone.
      if (deleted_) {
        LogError(text);
      } else {
        log_->Write("", InstanceLog::Level::kError, text);
      }
      return 1;
    }
  }
  if (status.ok()) return 0;
  LogError(status.message());
  return 1;
}

absl::Status Command::Load() {
  LoadOptions load;
  const bool quiet = !action_->here_only && !action_->locked;
  if (!quiet) load.action = std::string(action_->name);
  load.leader = options().leader;
  load.is_child = arguments_->parent_pid != 0;
  load.read_only = options().dry_run;
  ASSIGN_OR_RETURN(LoadedObject loaded, LoadObject(path_, roots_, node_, load));
  if (!log_.has_value()) log_.emplace(path_.LogFile(roots_), node_, path_.name(), /*echo=*/true);
  instance_ = std::move(loaded.instance);
  instance_.log = &*log_;
  instance_.interrupt = interrupt_;
  config_mtime_ = loaded.config_mtime;
  return absl::OkStatus();
}

std::chrono::milliseconds Command::LockTimeout() const {
  return options().lock_timeout.value_or(
      std::chrono::duration_cast<std::chrono::milliseconds>(instance_.settings.lock_timeout));
}

EvaluateOptions Command::MakeEvaluateOptions(bool refresh) const {
  EvaluateOptions evaluate;
  evaluate.refresh = refresh;
  evaluate.lock_timeout = LockTimeout();
  return evaluate;
}

absl::StatusOr<Json> Command::Evaluate(const EvaluateOptions& evaluate) {
  ASSIGN_OR_RETURN(Json document, EvaluateInstance(instance_, evaluate));
  // A daemon that is not there reads the file when it comes back.
  [[maybe_unused]] const absl::Status woken = daemon_.WakeMonitor(PathText());
  return document;
}

int Command::Status() {
  EvaluateOptions evaluate = MakeEvaluateOptions(arguments_->refresh);
  if (action_->action == Action::kResourceMonitor) {
    evaluate.refresh = true;
    evaluate.monitored_only = true;
    evaluate.keep_if_same = true;
  }
  const absl::StatusOr<Json> document = Evaluate(evaluate);
  StampSchedule(document.ok());
  if (!document.ok()) {
    LogError(document.status().message());
    return 1;
  }
  if (action_->action == Action::kResourceMonitor) return 0;
  if (!path_.is_service()) return static_cast<int>(Availability::kNa);
  return static_cast<int>(OverallOf(*document));
}

int Command::PrintStatus() {
  const std::string file = absl::StrCat(instance_.StateDir(), "/status.json");
  absl::StatusOr<Json> document = absl::NotFoundError("");
  if (!arguments_->refresh) {
    const absl::StatusOr<FileContent> content = ReadFile(file, kMaxStatusBytes);
    if (content.ok()) document = ParseJson(content->text);
  }
  if (!document.ok()) document = Evaluate(MakeEvaluateOptions(arguments_->refresh));
  if (!document.ok()) {
    LogError(document.status().message());
    return 1;
  }
  const std::string text =
      arguments_->json
          ? absl::StrCat(document->dump(4, ' ', true, Json::error_handler_t::replace), "\n")
          : StatusForPeople(PathText(), *document);
  fputs(text.c_str(), stdout);
  return 0;
}

absl::Status Command::CheckAllowedHere() const {
  const ObjectSettings& settings = instance_.settings;
  if (!path_.is_service()) {
    return absl::FailedPreconditionError(
        absl::StrCat("\"", PathText(), "\" is a ", path_.kind(), ": it has no instances"));
  }
  const std::string& env = settings.env.empty() ? instance_.node_env : settings.env;
  if (instance_.node_env == "PRD" && env != "PRD") {
    return absl::FailedPreconditionError(
        absl::StrCat("a service of env ", env, " does not run on a node of env PRD"));
  }
  for (const std::vector<std::string>* nodes : {&settings.nodes, &settings.drpnodes}) {
    if (std::find(nodes->begin(), nodes->end(), node_) != nodes->end()) return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("node \"", node_, "\" is neither in nodes nor in drpnodes of the service"));
}

bool Command::ByPerson() const {
  return !by_daemon_ && !options().dry_run && !options().selection.limited() && path_.is_service();
}

void Command::TellDaemon(const Json& attributes) {
  if (!ByPerson()) return;
  [[maybe_unused]] const absl::Status told = daemon_.SetServiceMonitor(PathText(), attributes);
}

absl::Status Command::Act() {
  absl::Status allowed = action_->here_only ? CheckAllowedHere() : absl::OkStatus();
  if (action_->action == Action::kBoot && !allowed.ok() && !options().dry_run) {
    // All objects of a node are asked to boot; of those that have nothing to clean up here, the
    // status is wanted all the same.
    return Evaluate(MakeEvaluateOptions(/*refresh=*/true)).status();
  }
  RETURN_IF_ERROR(allowed);
  if (action_->action == Action::kToc && IsFrozen()) {
    log_->Write("", InstanceLog::Level::kInfo, "toc: nothing is done on a frozen instance");
    return absl::OkStatus();
  }
  if (action_->stops && ByPerson() && instance_.settings.orchestrate != Orchestrate::kNo) {
    RETURN_IF_ERROR(SetFrozen(true));
  }
  if (!action_->progress.empty()) {
    Json attributes = {{"status", std::string(action_->progress)}};
    if (action_->stops) attributes["local_expect"] = "unset";
    TellDaemon(attributes);
  }
  absl::Status status = action_->action == Action::kToc ? Toc() : ActLocked();
  if (IsScheduled(action_->action)) StampSchedule(status.ok());
  if (!action_->progress.empty() && !(status.ok() && deleted_)) {
    TellDaemon({{"status", status.ok() ? "idle" : std::string(action_->failure)}});
  }
  return status;
}

absl::StatusOr<std::optional<InstanceLock>> Command::TakeLock() {
  if (options().dry_run) return std::optional<InstanceLock>();
  ASSIGN_OR_RETURN(InstanceLock lock,
                   InstanceLock::Acquire(absl::StrCat(instance_.StateDir(), "/lock.generic"),
                                         action_->name, LockTimeout(), interrupt_));
  // What it waited for may have changed the configuration, or removed it.
  const absl::StatusOr<absl::Time> mtime = ModificationTime(path_.ConfigFile(roots_));
  RETURN_IF_ERROR(mtime.status());
  if (*mtime != config_mtime_) {
    RETURN_IF_ERROR(Load());
    if (action_->here_only) RETURN_IF_ERROR(CheckAllowedHere());
  }
  return std::optional<InstanceLock>(std::move(lock));
}

absl::Status Command::ActLocked() {
  std::optional<InstanceLock> lock;
  if (action_->locked) {
    ASSIGN_OR_RETURN(lock, TakeLock());
  }
  const bool refresh = RefreshesAfter(action_->action);
  if (refresh && !options().dry_run) {
    log_->Write("", InstanceLog::Level::kInfo, absl::StrCat("do ", action_->name));
  }
  absl::Status status = Perform(lock.has_value() ? &*lock : nullptr);
  if (options().dry_run || deleted_) return status;
  if (lock.has_value()) lock->SetProgress("");
  // What was interrupted is still told.
  interrupt_->Clear();
  if (path_.is_service()) {
    const absl::StatusOr<Json> document = Evaluate(MakeEvaluateOptions(refresh));
    if (!document.ok()) return status.ok() ? Annotate(document.status(), "status") : status;
    const Actions actions(&instance_, &options(), nullptr);
    status = JudgeResult(*document, status, actions);
  }
  if (refresh && status.ok()) {
    log_->Write("", InstanceLog::Level::kInfo, absl::StrCat(action_->name, " done"));
  }
  return status;
}

absl::Status Command::JudgeResult(const Json& document, absl::Status status,
                                  const Actions& actions) const {
  if (!status.ok()) return status;
  switch (action_->action) {
    case Action::kStart:
    case Action::kRestart: {
      if (options().selection.limited()) return status;
      const Availability avail = AvailOf(document);
      if (avail == Availability::kUp || avail == Availability::kStdbyUp ||
          avail == Availability::kNa) {
        return status;
      }
      return absl::AbortedError(
          absl::StrCat("all was started, but the instance is ", AvailabilityName(avail)));
    }
    case Action::kStop:
    case Action::kShutdown:
    case Action::kUnprovision:
      return CheckDown(document, actions, options().force || action_->action != Action::kStop);
    default:
      return status;
  }
}

absl::Status Command::Perform(InstanceLock* lock) {
  Actions actions(&instance_, &options(), lock);
  switch (action_->action) {
    case Action::kStart:
      return actions.Start(/*standby_only=*/false);
    case Action::kStartStandby:
      return actions.Start(/*standby_only=*/true);
    case Action::kStop:
      return actions.Stop(options().force);
    case Action::kShutdown:
      return actions.Stop(/*force=*/true);
    case Action::kRestart:
      RETURN_IF_ERROR(actions.Stop(options().force));
      return actions.Start(/*standby_only=*/false);
    case Action::kBoot:
      return actions.Boot();
    case Action::kProvision:
      return actions.Provision();
    case Action::kUnprovision:
      return actions.Unprovision();
    case Action::kPurge:
      RETURN_IF_ERROR(UnprovisionForGood(&actions));
      return Delete();
    case Action::kDelete:
      if (arguments_->unprovision && path_.is_service()) {
        RETURN_IF_ERROR(CheckAllowedHere());
        RETURN_IF_ERROR(UnprovisionForGood(&actions));
      }
      return Delete();
    case Action::kRun:
      return actions.Run();
    case Action::kFreeze:
    case Action::kThaw:
      return SetFrozen(action_->action == Action::kFreeze);
    case Action::kEnable:
    case Action::kDisable:
      return SetDisabled(action_->action == Action::kDisable);
    default:
      return absl::InternalError(absl::StrCat("\"", action_->name, "\" does nothing"));
  }
}

// What is still up must not lose the configuration that says how to stop it.
absl::Status Command::UnprovisionForGood(Actions* actions) {
  RETURN_IF_ERROR(actions->Unprovision());
  if (options().dry_run) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Json document, Evaluate(MakeEvaluateOptions(/*refresh=*/true)));
  return CheckDown(document, *actions, /*force=*/true);
}

absl::Status Command::CheckDown(const Json& document, const Actions& actions, bool force) const {
  ASSIGN_OR_RETURN(const std::vector<std::string> up, actions.StillUp(document, force));
  if (up.empty()) return absl::OkStatus();
  return absl::AbortedError(
      absl::StrCat("all was stopped, but still up: ", absl::StrJoin(up, ", ")));
}

bool Command::IsFrozen() const {
  return ModificationTime(absl::StrCat(instance_.StateDir(), "/frozen")).ok();
}

absl::Status Command::SetFrozen(bool frozen) {
  if (options().dry_run) {
    printf("%s %s\n", frozen ? "freeze" : "thaw", PathText().c_str());
    return absl::OkStatus();
  }
  const std::string flag = absl::StrCat(instance_.StateDir(), "/frozen");
  if (!frozen) return RemoveFile(flag);
  if (IsFrozen()) return absl::OkStatus();
  WriteOptions write;
  write.mode = 0644;
  return WriteFileAtomically(flag, "", write);
}

// When the scheduler's command ran, for its next start, and that it has ended. Failures are let go:
// it runs once more than it should then.
void Command::StampSchedule(bool succeeded) {
  if (!options().cron || options().dry_run || deleted_) return;
  WriteOptions write;
  write.mode = 0644;
  write.sync = false;
  // A task's own stamp is its driver's.
  if (action_->action != Action::kRun) {
    const std::string stamp = absl::StrCat(instance_.StateDir(), "/scheduler/last_", action_->name);
    const std::string now =
        absl::FormatTime("%Y-%m-%d %H:%M:%E6S\n", absl::Now(), absl::LocalTimeZone());
    [[maybe_unused]] absl::Status written = WriteFileAtomically(stamp, now, write);
    if (succeeded) written = WriteFileAtomically(stamp + ".success", now, write);
  }
  [[maybe_unused]] const absl::Status told =
      daemon_.RunDone(PathText(), action_->name, options().selection.rids);
}

absl::Status Command::PrintInfo() {
  ASSIGN_OR_RETURN(const Json info, Actions(&instance_, &options(), nullptr).ResourceInfo());
  if (arguments_->json) {
    printf("%s\n", info.dump(4, ' ', true, Json::error_handler_t::replace).c_str());
    return absl::OkStatus();
  }
  for (const auto& [rid, values] : info.items()) {
    for (const auto& [key, value] : values.items()) {
      printf("%s %s: %s\n", rid.c_str(), key.c_str(), value.get<std::string>().c_str());
    }
  }
  return absl::OkStatus();
}

absl::Status Command::PushInfo() {
  ASSIGN_OR_RETURN(const Json info, Actions(&instance_, &options(), nullptr).ResourceInfo());
  if (options().dry_run) return absl::OkStatus();
  WriteOptions write;
  write.mode = 0644;
  write.sync = false;
  return WriteFileAtomically(absl::StrCat(instance_.StateDir(), "/resinfo.json"), DumpJson(info),
                             write);
}

}  // namespace om
