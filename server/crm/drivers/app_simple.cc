// app of type simple: a program that stays in the foreground, found again by its command line and
// environment.
#include <signal.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/crm/drivers/app.h"
#include "server/crm/drivers/processes.h"

namespace om {
namespace {

// A program that fails at once has ended by then.
constexpr std::chrono::milliseconds kSettle(200);

class SimpleApp final : public App {
 public:
  SimpleApp(const Instance* instance, const ResourceSettings* resource)
      : App(instance, resource, "simple") {}

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
    ASSIGN_OR_RETURN(const ProgramSpec spec, MakeSpec(*command, {}));
    Log(InstanceLog::Level::kInfo, absl::StrCat("exec ", command->text));
    ASSIGN_OR_RETURN(const std::optional<ProgramResult> ended,
                     LaunchProgram(spec, kSettle, instance().interrupt));
    if (ended.has_value() && !ended->Succeeded()) {
      return absl::AbortedError(absl::StrCat("start: ", ended->Describe()));
    }
    return true;
  }

  absl::Status Stop() override {
    ASSIGN_OR_RETURN(const InstanceLock lock, Lock("stop"));
    StatusLog ignored;
    ASSIGN_OR_RETURN(const Availability before, Check(&ignored));
    if (before == Availability::kDown) {
      Log(InstanceLog::Level::kInfo, "already down");
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const std::optional<Command> command, FindCommand("stop", "stop"));
    if (command.has_value()) {
      ASSIGN_OR_RETURN(const ProgramResult result,
                       RunLogged(*command, {"stop_timeout", "timeout"}));
      if (!result.Succeeded()) {
        Log(InstanceLog::Level::kWarning, absl::StrCat("stop: ", result.Describe()));
      }
    }
    RETURN_IF_ERROR(Terminate());
    return AwaitDown(kStopGrace);
  }

 protected:
  absl::StatusOr<Availability> Check(StatusLog* log) override {
    ASSIGN_OR_RETURN(const std::optional<Availability> checked, RunCheck(log));
    if (checked.has_value()) return *checked;
    ASSIGN_OR_RETURN(const std::vector<pid_t> pids, Processes());
    if (pids.empty()) return Availability::kDown;
    if (pids.size() > 1) {
      log->emplace_back("info", absl::StrCat(pids.size(), " processes run the start command"));
    }
    return Availability::kUp;
  }

 private:
  absl::StatusOr<std::vector<pid_t>> Processes() const {
    ASSIGN_OR_RETURN(const std::optional<Command> command, FindCommand("start", "start"));
    if (!command.has_value()) return std::vector<pid_t>();
    return FindProcesses(command->text, {absl::StrCat("OPENSVC_SVC_ID=", instance().settings.id),
                                         absl::StrCat("OPENSVC_RID=", resource().rid)});
  }

  // SIGTERM to the processes, with `kill = tree` to their descendants too, and time to disappear.
  absl::Status Terminate() {
    ASSIGN_OR_RETURN(std::vector<pid_t> pids, Processes());
    ASSIGN_OR_RETURN(const std::optional<std::string> extent,
                     instance().settings.Get(resource().rid, "kill"));
    if (extent.value_or("parent") == "tree") {
      const std::vector<pid_t> heads = pids;
      for (const pid_t head : heads) {
        const std::vector<pid_t> below = DescendantsOf(head);
        pids.insert(pids.end(), below.begin(), below.end());
      }
    }
    for (const pid_t pid : pids) {
      Log(InstanceLog::Level::kInfo, absl::StrCat("send SIGTERM to process ", pid));
      kill(pid, SIGTERM);
    }
    const auto deadline = std::chrono::steady_clock::now() + kStopGrace;
    while (true) {
      ASSIGN_OR_RETURN(const std::vector<pid_t> left, Processes());
      // Children that `kill = tree` names count too, though no command line tells them.
      const auto child = std::find_if(pids.begin(), pids.end(), IsRunning);
      if (left.empty() && child == pids.end()) return absl::OkStatus();
      if (std::chrono::steady_clock::now() >= deadline) {
        return absl::AbortedError(absl::StrCat("stop: process ", left.empty() ? *child : left[0],
                                               " is still there ", kStopGrace.count() / 1000,
                                               " s after SIGTERM"));
      }
      if (!instance().interrupt->Sleep(kPoll)) return instance().interrupt->ToStatus();
    }
  }
};

}  // namespace

std::unique_ptr<ResourceDriver> MakeSimpleApp(const Instance* instance,
                                              const ResourceSettings* resource) {
  return std::make_unique<SimpleApp>(instance, resource);
}

}  // namespace om
