// app of type forking: a launcher that returns once the app runs, and says by a check whether it
// does.
#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/crm/drivers/app.h"

namespace om {
namespace {

class ForkingApp final : public App {
 public:
  ForkingApp(const Instance* instance, const ResourceSettings* resource)
      : App(instance, resource, "forking") {}

  absl::StatusOr<bool> Start() override {
    ASSIGN_OR_RETURN(const std::optional<Command> command, FindCommand("start", "start"));
    if (!command.has_value()) {
      Log(InstanceLog::Level::kInfo, "start is not set: nothing to do");
      return false;
    }
    ASSIGN_OR_RETURN(const InstanceLock lock, Lock("start"));
    StatusLog ignored;
    ASSIGN_OR_RETURN(const Availability state, Check(&ignored));
    if (state == Availability::kUp) {
      Log(InstanceLog::Level::kInfo, "already up");
      return false;
    }
    ASSIGN_OR_RETURN(const ProgramResult result, RunLogged(*command, {"start_timeout", "timeout"}));
    if (!result.Succeeded()) {
      return absl::AbortedError(absl::StrCat("start: ", result.Describe()));
    }
    return true;
  }

  absl::Status Stop() override {
    ASSIGN_OR_RETURN(const std::optional<Command> command, FindCommand("stop", "stop"));
    if (!command.has_value()) {
      Log(InstanceLog::Level::kInfo, "stop is not set: nothing to do");
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const InstanceLock lock, Lock("stop"));
    StatusLog ignored;
    ASSIGN_OR_RETURN(const Availability before, Check(&ignored));
    if (before == Availability::kDown) {
      Log(InstanceLog::Level::kInfo, "already down");
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const ProgramResult result, RunLogged(*command, {"stop_timeout", "timeout"}));
    if (!result.Succeeded()) {
      return absl::AbortedError(absl::StrCat("stop: ", result.Describe()));
    }
    return AwaitDown(StopGrace());
  }

 protected:
  absl::StatusOr<Availability> Check(StatusLog* log) override {
    ASSIGN_OR_RETURN(const std::optional<Availability> checked, RunCheck(log));
    if (checked.has_value()) return *checked;
    log->emplace_back("info", "check is not set");
    return Availability::kNa;
  }
};

}  // namespace

std::unique_ptr<ResourceDriver> MakeForkingApp(const Instance* instance,
                                               const ResourceSettings* resource) {
  return std::make_unique<ForkingApp>(instance, resource);
}

}  // namespace om
