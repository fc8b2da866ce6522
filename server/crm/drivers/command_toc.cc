// toc: what is done when a monitored resource is lost for good.
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/crm/drivers/command.h"

namespace om {
namespace {

// Between the announcement and an action that may take this node down.
constexpr std::chrono::milliseconds kDelay = std::chrono::seconds(2);

// Has the kernel reboot ("b") or crash ("c") at once, by writing where it takes orders. An
// installation below a root of its own is not the host's only one, so that it has no right to do
// that unless it is told what to write to.
absl::Status OrderKernel(const Roots& roots, absl::string_view order) {
  const char* told = getenv("OM_SYSRQ_TRIGGER");
  std::string file = told != nullptr ? told : "";
  if (file.empty()) {
    if (roots.var != Roots::Packaged().var) {
      return absl::FailedPreconditionError(
          "omcrm works below a root of its own: it takes no host down unless OM_SYSRQ_TRIGGER "
          "names the file to write to");
    }
    file = "/proc/sysrq-trigger";
  }
  if (geteuid() != 0) return absl::PermissionDeniedError("only root can take the host down");
  const UniqueFd fd(open(file.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("opening \"", file, "\""));
  if (write(fd.get(), order.data(), order.size()) != static_cast<ssize_t>(order.size())) {
    return ErrnoStatus(errno, absl::StrCat("writing to \"", file, "\""));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Command::StopForToc() {
  ASSIGN_OR_RETURN(std::optional<InstanceLock> lock, TakeLock());
  Actions actions(&instance_, &options(), lock.has_value() ? &*lock : nullptr);
  absl::Status status = actions.Stop(options().force);
  if (options().dry_run) return status;
  if (lock.has_value()) lock->SetProgress("");
  interrupt_->Clear();
  const absl::StatusOr<Json> document = Evaluate(MakeEvaluateOptions(/*refresh=*/true));
  if (!status.ok()) return status;
  RETURN_IF_ERROR(document.status());
  return CheckDown(*document, actions, options().force);
}

absl::Status Command::Toc() {
  const ObjectSettings& settings = instance_.settings;
  const std::string action = settings.monitor_action;
  if (!settings.pre_monitor_action.empty()) {
    if (options().dry_run) {
      printf("pre_monitor_action %s\n", settings.pre_monitor_action.c_str());
    } else {
      const absl::Status status =
          RunConfiguredCommand(instance_, "", "pre_monitor_action", settings.pre_monitor_action);
      if (absl::IsCancelled(status)) return status;
      // What it was to prepare is done without it: a resource is lost.
      if (!status.ok()) log_->Write("", InstanceLog::Level::kWarning, status.message());
    }
  }
  if (action.empty()) return absl::OkStatus();
  if (options().dry_run) printf("monitor_action %s\n", action.c_str());
  if (!options().dry_run) {
    log_->Write("", InstanceLog::Level::kWarning, absl::StrCat("toc: ", action));
  }
  if (action == "freezestop") {
    RETURN_IF_ERROR(SetFrozen(true));
    return StopForToc();
  }
  if (!options().dry_run && !interrupt_->Sleep(kDelay)) return interrupt_->ToStatus();
  if (action == "switch") {
    RETURN_IF_ERROR(StopForToc());
    if (options().dry_run) return absl::OkStatus();
    // This node is no candidate then, and another takes over.
    return Annotate(daemon_.SetServiceMonitor(
                        PathText(), {{"status", "start failed"}, {"global_expect", "placed"}}),
                    "asking for another node to take over");
  }
  if (options().dry_run) return absl::OkStatus();
  return OrderKernel(roots_, action == "reboot" ? "b" : "c");
}

}  // namespace om
