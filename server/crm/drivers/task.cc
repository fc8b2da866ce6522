// task: a command run on a schedule or by hand. Nothing to start or stop. Whether a run was
// confirmed is for the action to ask.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/crm/drivers/driver.h"
#include "server/crm/drivers/execution.h"
#include "server/crm/drivers/instance_lock.h"

namespace om {
namespace {

// A second run does not wait for the first: it is an error.
constexpr std::chrono::milliseconds kNoWait(0);

class Task final : public ResourceDriver {
 public:
  using ResourceDriver::ResourceDriver;
  std::string Type() const override { return "task"; }
  std::string Label() const override { return "task"; }
  absl::StatusOr<bool> Start() override { return false; }
  absl::Status Stop() override { return absl::OkStatus(); }
  absl::StatusOr<Availability> Status(StatusLog*) override { return Availability::kNa; }
  std::optional<bool> Provisioned() override { return true; }

  absl::Status Run() override {
    ASSIGN_OR_RETURN(const std::optional<std::string> command,
                     instance().settings.Get(resource().rid, "command"));
    if (!command.has_value() || command->empty()) {
      return absl::InvalidArgumentError(absl::StrCat(resource().rid, ".command is not set"));
    }
    absl::StatusOr<InstanceLock> lock =
        InstanceLock::Acquire(absl::StrCat(instance().ResourceDir(resource().rid), "/run.lock"),
                              "run", kNoWait, instance().interrupt);
    if (!lock.ok()) return Annotate(lock.status(), "it runs already");
    lock->SetProgress(resource().rid);
    RETURN_IF_ERROR(Stamp(""));
    absl::Status status = Execute("command", *command);
    if (status.ok()) return Stamp(".success");
    if (absl::IsCancelled(status)) return status;
    ASSIGN_OR_RETURN(const std::optional<std::string> on_error,
                     instance().settings.Get(resource().rid, "on_error"));
    if (on_error.has_value() && !on_error->empty()) {
      const absl::Status handled = Execute("on_error", *on_error);
      if (!handled.ok()) Log(InstanceLog::Level::kError, handled.message());
    }
    return status;
  }

 private:
  absl::Status Execute(absl::string_view keyword, const std::string& text) const {
    absl::StatusOr<std::vector<std::string>> words = CommandWords(text);
    if (!words.ok()) return Annotate(words.status(), absl::StrCat(resource().rid, ".", keyword));
    Log(InstanceLog::Level::kInfo, absl::StrCat("exec ", absl::StrJoin(*words, " ")));
    ASSIGN_OR_RETURN(ProgramSpec spec,
                     MakeProgramSpec(instance(), resource(), *std::move(words), {"timeout"}));
    ASSIGN_OR_RETURN(const bool log, instance().settings.GetBoolean(resource().rid, "log", true));
    if (log) LogOutput(instance(), resource(), &spec);
    ASSIGN_OR_RETURN(const ProgramResult result, RunProgram(spec, instance().interrupt));
    if (result.Succeeded()) return absl::OkStatus();
    return absl::AbortedError(absl::StrCat(keyword, ": ", result.Describe()));
  }

  // When it ran last, and when it last succeeded: local time, which the scheduler goes by.
  absl::Status Stamp(absl::string_view suffix) const {
    WriteOptions options;
    options.mode = 0644;
    options.sync = false;
    return WriteFileAtomically(
        absl::StrCat(instance().StateDir(), "/scheduler/last_", resource().rid, suffix),
        absl::FormatTime("%Y-%m-%d %H:%M:%E6S\n", absl::Now(), absl::LocalTimeZone()), options);
  }
};

}  // namespace

std::unique_ptr<ResourceDriver> MakeTask(const Instance* instance,
                                         const ResourceSettings* resource) {
  return std::make_unique<Task>(instance, resource);
}

}  // namespace om
