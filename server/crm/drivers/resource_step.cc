#include "server/crm/drivers/resource_step.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/crm/drivers/evaluate_instance.h"
#include "server/crm/drivers/program.h"

namespace om {
namespace {

struct StepName {
  ResourceStep step;
  absl::string_view name;
};
constexpr StepName kSteps[] = {
    {ResourceStep::kStart, "start"},
    {ResourceStep::kStop, "stop"},
    {ResourceStep::kProvision, "provision"},
    {ResourceStep::kUnprovision, "unprovision"},
    {ResourceStep::kRun, "run"},
};

// The time of the flag of a shared resource that another node has made.
constexpr int64_t kMadeElsewhere = 1;

// `pre_start` and the like, first the plain then the blocking one. Only blocking ones can fail.
absl::Status RunTriggers(const Instance& instance, const ResourceSettings& resource,
                         absl::string_view when) {
  for (const bool blocking : {false, true}) {
    const std::string keyword = absl::StrCat(blocking ? "blocking_" : "", when);
    ASSIGN_OR_RETURN(const std::optional<std::string> text,
                     instance.settings.Get(resource.rid, keyword));
    if (!text.has_value() || text->empty()) continue;
    absl::Status status = RunConfiguredCommand(instance, resource.rid, keyword, *text);
    if (status.ok()) continue;
    if (blocking || absl::IsCancelled(status)) return status;
    instance.log->Write(resource.rid, InstanceLog::Level::kWarning, status.message());
  }
  return absl::OkStatus();
}

// OK, or FAILED_PRECONDITION naming what is not as it must be.
absl::Status CheckRequirements(const Instance& instance, const ResourceSettings& resource,
                               absl::string_view step) {
  const std::string keyword = absl::StrCat(step, "_requires");
  ASSIGN_OR_RETURN(const std::vector<std::string> words,
                   instance.settings.GetList(resource.rid, keyword));
  for (const std::string& word : words) {
    const auto refuse = [&](absl::string_view why) {
      return absl::FailedPreconditionError(
          absl::StrCat(resource.rid, ".", keyword, ": \"", word, "\": ", why));
    };
    if (word == "impossible") return refuse("the action is never allowed");
    const size_t open = word.find('(');
    std::vector<std::string> states = {"up", "stdby up"};
    if (open != std::string::npos) {
      if (word.back() != ')') return refuse("expected <rid> or <rid>(<state>,<state>)");
      states = absl::StrSplit(word.substr(open + 1, word.size() - open - 2), ',');
    }
    const std::string rid = word.substr(0, open);
    const ResourceSettings* other = instance.settings.FindResource(rid);
    if (other == nullptr) return refuse("no such resource");
    StatusLog ignored;
    const std::unique_ptr<ResourceDriver> driver = MakeDriver(&instance, other);
    const std::string state(AvailabilityName(EvaluateResource(*other, driver.get(), &ignored)));
    if (std::find(states.begin(), states.end(), state) == states.end()) {
      return refuse(absl::StrCat("it is ", state));
    }
  }
  return absl::OkStatus();
}

std::string FlagFile(const Instance& instance, const ResourceSettings& resource) {
  return absl::StrCat(instance.ResourceDir(resource.rid), "/provisioned");
}

// What the flag file says; nullopt: there is none.
std::optional<bool> ReadFlag(const Instance& instance, const ResourceSettings& resource) {
  const absl::StatusOr<FileContent> flag = ReadFile(FlagFile(instance, resource), 64);
  if (!flag.ok()) return std::nullopt;
  return absl::StripAsciiWhitespace(flag->text) == "true";
}

absl::Status WriteFlag(const Instance& instance, const ResourceSettings& resource, bool provisioned,
                       std::optional<absl::Time> mtime = std::nullopt) {
  WriteOptions options;
  options.mode = 0644;
  options.mtime = mtime;
  return WriteFileAtomically(FlagFile(instance, resource), provisioned ? "true" : "false", options);
}

absl::StatusOr<bool> Provision(const Instance& instance, const ResourceSettings& resource,
                               const StepOptions& options, ResourceDriver* driver) {
  const auto log = [&](absl::string_view text) {
    instance.log->Write(resource.rid, InstanceLog::Level::kInfo, text);
  };
  if (resource.shared && !options.leader) {
    log("shared: provisioned by the leader");
    RETURN_IF_ERROR(WriteFlag(instance, resource, true, absl::FromUnixSeconds(kMadeElsewhere)));
    return false;
  }
  const std::optional<bool> told = driver->Provisioned();
  if (!resource.provision) {
    log("not provisioned: the keyword provision is false");
  } else if (told.has_value() ? *told : ReadFlag(instance, resource).value_or(false)) {
    log("already provisioned");
  } else {
    RETURN_IF_ERROR(driver->Provision());
  }
  if (ReadFlag(instance, resource) != true) RETURN_IF_ERROR(WriteFlag(instance, resource, true));
  // Apps come with the order that starts the service.
  if (resource.group == "app") return false;
  return driver->Start();
}

absl::Status Unprovision(const Instance& instance, const ResourceSettings& resource,
                         const StepOptions& options, ResourceDriver* driver) {
  RETURN_IF_ERROR(driver->Stop());
  if (resource.shared && !options.leader) {
    instance.log->Write(resource.rid, InstanceLog::Level::kInfo,
                        "shared: unprovisioned by the leader");
  } else if (!resource.unprovision) {
    instance.log->Write(resource.rid, InstanceLog::Level::kInfo,
                        "not unprovisioned: the keyword unprovision is false");
  } else {
    RETURN_IF_ERROR(driver->Unprovision());
  }
  if (ReadFlag(instance, resource) == false) return absl::OkStatus();
  return WriteFlag(instance, resource, false);
}

}  // namespace

absl::string_view ToText(ResourceStep step) {
  for (const StepName& entry : kSteps) {
    if (entry.step == step) return entry.name;
  }
  return "";
}

std::optional<ResourceStep> ParseResourceStep(absl::string_view text) {
  for (const StepName& entry : kSteps) {
    if (entry.name == text) return entry.step;
  }
  return std::nullopt;
}

absl::Status RunConfiguredCommand(const Instance& instance, absl::string_view rid,
                                  absl::string_view what, const std::string& command) {
  ProgramSpec spec;
  if (absl::StrContains(command, '|') || absl::StrContains(command, "&&") ||
      absl::StrContains(command, ';')) {
    spec.argv = {"/bin/sh", "-c", command};
  } else {
    absl::StatusOr<std::vector<std::string>> words = SplitShellWords(command);
    if (!words.ok()) return Annotate(words.status(), what);
    spec.argv = *std::move(words);
  }
  spec.environment = instance.environment;
  spec.on_line = [&](int stream, absl::string_view line) {
    instance.log->Write(rid, stream == 1 ? InstanceLog::Level::kInfo : InstanceLog::Level::kWarning,
                        absl::StrCat("| ", line));
  };
  instance.log->Write(rid, InstanceLog::Level::kInfo, absl::StrCat(what, ": ", command));
  const absl::StatusOr<ProgramResult> result = RunProgram(spec, instance.interrupt);
  if (!result.ok()) return Annotate(result.status(), what);
  if (result->Succeeded()) return absl::OkStatus();
  return Annotate(absl::AbortedError(result->Describe()), what);
}

absl::Status TakeStep(const Instance& instance, const ResourceSettings& resource, ResourceStep step,
                      const StepOptions& options, bool* changed) {
  *changed = false;
  if (instance.interrupt->Requested()) return instance.interrupt->ToStatus();
  const absl::string_view name = ToText(step);
  absl::Status requirements = CheckRequirements(instance, resource, name);
  if (!requirements.ok()) {
    if (!options.cron) return requirements;
    instance.log->Write(resource.rid, InstanceLog::Level::kInfo, requirements.message());
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(RunTriggers(instance, resource, absl::StrCat("pre_", name)));
  const std::unique_ptr<ResourceDriver> driver = MakeDriver(&instance, &resource);
  switch (step) {
    case ResourceStep::kStart: {
      ASSIGN_OR_RETURN(*changed, driver->Start());
      break;
    }
    case ResourceStep::kStop:
      RETURN_IF_ERROR(driver->Stop());
      break;
    case ResourceStep::kProvision: {
      ASSIGN_OR_RETURN(*changed, Provision(instance, resource, options, driver.get()));
      break;
    }
    case ResourceStep::kUnprovision:
      RETURN_IF_ERROR(Unprovision(instance, resource, options, driver.get()));
      break;
    case ResourceStep::kRun:
      RETURN_IF_ERROR(driver->Run());
      break;
  }
  return RunTriggers(instance, resource, absl::StrCat("post_", name));
}

}  // namespace om
