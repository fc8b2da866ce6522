#include "server/crm/drivers/actions.h"

#include <stdio.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/status.h"
#include "server/crm/drivers/run_self.h"

namespace om {
namespace {

constexpr absl::string_view kTaskGroup[] = {"task"};
// Processes of one parallel subset at a time.
constexpr size_t kMaxAtOnce = 16;
// A resource may tell that much of itself.
constexpr size_t kMaxInfoLines = 200;

// Exit codes of a process that takes a step on one resource.
enum WorkerCode {
  kUnchanged = 0,
  kFailed = 1,
  kChanged = 10,
  kFailedChanged = 11,
  kCancelled = 12
};

// Keeps the resources for which `wanted` holds, and no empty sets.
template <typename Wanted>
void Filter(std::vector<ResourceSet>* sets, Wanted wanted) {
  for (ResourceSet& set : *sets) {
    set.resources.erase(std::remove_if(set.resources.begin(), set.resources.end(),
                                       [&](const auto* resource) { return !wanted(*resource); }),
                        set.resources.end());
  }
  sets->erase(std::remove_if(sets->begin(), sets->end(),
                             [](const ResourceSet& set) { return set.resources.empty(); }),
              sets->end());
}

}  // namespace

absl::Status Actions::Start(bool standby_only) {
  ASSIGN_OR_RETURN(std::vector<ResourceSet> sets,
                   SelectSets(*instance_, options_->selection, StartedGroups()));
  if (standby_only) Filter(&sets, [](const ResourceSettings& r) { return r.standby; });
  Resources started;
  absl::Status status = ForEach(ResourceStep::kStart, sets, &started);
  if (!status.ok() && MayRollBack()) RollBack(started);
  return status;
}

absl::Status Actions::Stop(bool force) {
  ASSIGN_OR_RETURN(std::vector<ResourceSet> sets,
                   SelectSets(*instance_, options_->selection, StartedGroups()));
  if (!force) Filter(&sets, [](const ResourceSettings& r) { return !r.standby; });
  ReverseSets(&sets);
  Resources ignored;
  return ForEach(ResourceStep::kStop, sets, &ignored);
}

absl::Status Actions::Provision() {
  ASSIGN_OR_RETURN(const std::vector<ResourceSet> sets,
                   SelectSets(*instance_, options_->selection, StartedGroups()));
  Resources started;
  absl::Status status = ForEach(ResourceStep::kProvision, sets, &started);
  const ObjectSettings& settings = instance_->settings;
  const bool elsewhere = settings.nodes.size() + settings.drpnodes.size() > 1;
  if ((!status.ok() || elsewhere) && MayRollBack()) RollBack(started);
  return status;
}

absl::Status Actions::Unprovision() {
  ASSIGN_OR_RETURN(std::vector<ResourceSet> sets,
                   SelectSets(*instance_, options_->selection, StartedGroups()));
  ReverseSets(&sets);
  Resources ignored;
  RETURN_IF_ERROR(ForEach(ResourceStep::kUnprovision, sets, &ignored));
  if (options_->dry_run) return absl::OkStatus();
  // What would tell of a life that is over: last states, their history, when tasks ran.
  namespace fs = std::filesystem;
  std::error_code error;
  for (const ResourceSet& set : sets) {
    for (const ResourceSettings* resource : set.resources) {
      const std::string directory = instance_->ResourceDir(resource->rid);
      for (const char* file : {"status.last", "status.history"}) {
        RETURN_IF_ERROR(RemoveFile(absl::StrCat(directory, "/", file)));
      }
    }
  }
  if (!options_->selection.limited()) {
    fs::remove_all(instance_->StateDir() + "/scheduler", error);
    if (error) {
      return ErrnoStatus(error.value(), absl::StrCat("removing the scheduler's stamps of ",
                                                     instance_->settings.path.ToString()));
    }
  }
  return absl::OkStatus();
}

absl::Status Actions::Run() {
  ASSIGN_OR_RETURN(const std::vector<ResourceSet> sets,
                   SelectSets(*instance_, options_->selection, kTaskGroup));
  absl::Status first;
  for (const ResourceSet& set : sets) {
    for (const ResourceSettings* task : set.resources) {
      if (options_->dry_run) {
        printf("run %s\n", task->rid.c_str());
        continue;
      }
      absl::StatusOr<bool> ask = instance_->settings.GetBoolean(task->rid, "confirmation");
      absl::Status status = ask.status();
      if (ask.ok() && *ask && !options_->confirm) {
        status = absl::FailedPreconditionError(
            absl::StrCat(task->rid, ".confirmation is true: --confirm is needed"));
      }
      bool ignored = false;
      if (status.ok()) {
        status = TakeStep(*instance_, *task, ResourceStep::kRun, MakeStepOptions(), &ignored);
      }
      if (status.ok()) continue;
      Log(task->rid, InstanceLog::Level::kError, status.message());
      if (absl::IsCancelled(status)) return status;
      // That tasks are optional keeps them out of the instance's state, not a failure from whoever
      // asked for the run.
      if (first.ok()) first = Annotate(status, task->rid);
    }
  }
  return first;
}

absl::Status Actions::ForEach(ResourceStep step, const std::vector<ResourceSet>& sets,
                              Resources* started) {
  for (const ResourceSet& set : sets) {
    if (!options_->dry_run && set.concurrent()) {
      RETURN_IF_ERROR(InParallel(step, set, started));
      continue;
    }
    for (const ResourceSettings* resource : set.resources) {
      if (options_->dry_run) {
        printf("%s %s\n", std::string(ToText(step)).c_str(), resource->rid.c_str());
        continue;
      }
      if (lock_ != nullptr) lock_->SetProgress(resource->rid);
      bool changed = false;
      const absl::Status status =
          TakeStep(*instance_, *resource, step, MakeStepOptions(), &changed);
      if (changed) started->push_back(resource);
      RETURN_IF_ERROR(Judge(*resource, status));
    }
  }
  return absl::OkStatus();
}

absl::Status Actions::InParallel(ResourceStep step, const ResourceSet& set, Resources* started) {
  const ObjectSettings& settings = instance_->settings;
  SelfRuns runs;
  runs.at_once = kMaxAtOnce;
  runs.environment = instance_->own_environment;
  if (lock_ != nullptr) runs.held_fd = lock_->fd();
  std::vector<std::string> rids;
  for (const ResourceSettings* resource : set.resources) {
    rids.push_back(resource->rid);
    std::vector<std::string> words = {"-s",         settings.path.ToString(),  instance_->action,
                                      "--step",     std::string(ToText(step)), "--rid",
                                      resource->rid};
    if (options_->cron) words.push_back("--cron");
    if (options_->leader) words.push_back("--leader");
    runs.arguments.push_back(std::move(words));
  }
  if (lock_ != nullptr) lock_->SetProgress(absl::StrJoin(rids, ","));
  ASSIGN_OR_RETURN(const std::vector<int> codes, RunSelf(runs, instance_->interrupt));
  absl::Status first;
  for (size_t i = 0; i < codes.size(); ++i) {
    const ResourceSettings& resource = *set.resources[i];
    if (codes[i] == kChanged || codes[i] == kFailedChanged) started->push_back(&resource);
    if (codes[i] == kChanged || codes[i] == kUnchanged) continue;
    // Its own process has logged why.
    absl::Status status;
    if (codes[i] == kCancelled || codes[i] == kNotStarted) {
      status = instance_->interrupt->ToStatus();
    } else if (!resource.optional) {
      status = absl::AbortedError(absl::StrCat(resource.rid, ": ", ToText(step), " failed"));
    }
    if (codes[i] != kFailed && codes[i] != kFailedChanged && codes[i] != kCancelled &&
        codes[i] != kNotStarted) {
      Log(resource.rid, InstanceLog::Level::kError,
          absl::StrCat(ToText(step), " ended with code ", codes[i]));
    }
    if (first.ok() || absl::IsCancelled(status)) first = status;
  }
  return first;
}

absl::Status Actions::Judge(const ResourceSettings& resource, absl::Status status) const {
  if (status.ok()) return status;
  Log(resource.rid, InstanceLog::Level::kError, status.message());
  if (resource.optional && !absl::IsCancelled(status)) return absl::OkStatus();
  return Annotate(status, resource.rid);
}

void Actions::RollBack(const Resources& started) {
  if (started.empty()) return;
  // What was interrupted is undone; a second signal ends that, too.
  instance_->interrupt->Clear();
  Log("", InstanceLog::Level::kInfo, "rollback: stopping what was started");
  for (auto it = started.rbegin(); it != started.rend(); ++it) {
    if (lock_ != nullptr) lock_->SetProgress((*it)->rid);
    bool ignored = false;
    const absl::Status status =
        TakeStep(*instance_, **it, ResourceStep::kStop, MakeStepOptions(), &ignored);
    if (!status.ok()) {
      Log((*it)->rid, InstanceLog::Level::kError, absl::StrCat("rollback: ", status.message()));
    }
  }
}

absl::Status Actions::Boot() {
  for (const ResourceSettings& resource : instance_->settings.resources) {
    if (!ActionsApply(*instance_, resource)) continue;
    if (options_->dry_run) {
      printf("boot %s\n", resource.rid.c_str());
      continue;
    }
    const absl::Status status = MakeDriver(instance_, &resource)->Boot();
    if (!status.ok()) Log(resource.rid, InstanceLog::Level::kError, status.message());
  }
  return absl::OkStatus();
}

absl::StatusOr<Json> Actions::ResourceInfo() const {
  Json document = Json::object();
  bool matched = !options_->selection.limited();
  for (const ResourceSettings& resource : instance_->settings.resources) {
    if (!options_->selection.Matches(resource)) continue;
    matched = true;
    if (resource.disable || instance_->settings.disable || resource.encap) continue;
    const auto info = MakeDriver(instance_, &resource)->Info();
    if (absl::IsCancelled(info.status())) return info.status();
    if (!info.ok()) {
      Log(resource.rid, InstanceLog::Level::kWarning,
          absl::StrCat("info: ", info.status().message()));
      continue;
    }
    Json values = Json::object();
    for (const auto& [key, value] : *info) {
      if (values.size() >= kMaxInfoLines) break;
      values[key] = value;
    }
    document[resource.rid] = std::move(values);
  }
  if (!matched) {
    return absl::NotFoundError(
        absl::StrCat("no resource matches ", options_->selection.ToString()));
  }
  return document;
}

absl::StatusOr<std::vector<std::string>> Actions::StillUp(const Json& document, bool force) const {
  ASSIGN_OR_RETURN(std::vector<ResourceSet> sets,
                   SelectSets(*instance_, options_->selection, StartedGroups()));
  std::vector<std::string> up;
  const auto resources = document.find("resources");
  if (resources == document.end()) return up;
  for (const ResourceSet& set : sets) {
    for (const ResourceSettings* resource : set.resources) {
      if (resource->optional || (resource->standby && !force)) continue;
      const auto one = resources->find(resource->rid);
      if (one == resources->end()) continue;
      const std::string status = one->value("status", "");
      if (status == "up" || status == "stdby up") up.push_back(resource->rid);
    }
  }
  return up;
}

int RunStepForParent(const Instance& instance, const ActionOptions& options,
                     absl::string_view step_name) {
  const std::optional<ResourceStep> step = ParseResourceStep(step_name);
  const ResourceSettings* resource =
      options.selection.rids.size() == 1
          ? instance.settings.FindResource(options.selection.rids.front())
          : nullptr;
  if (!step.has_value() || resource == nullptr) {
    instance.log->Write("", InstanceLog::Level::kError,
                        absl::StrCat("--step ", step_name, ": expected a step and one rid"));
    return kFailed;
  }
  bool changed = false;
  const absl::Status status =
      TakeStep(instance, *resource, *step, {options.cron, options.leader}, &changed);
  if (status.ok()) return changed ? kChanged : kUnchanged;
  instance.log->Write(resource->rid, InstanceLog::Level::kError, status.message());
  if (changed) return kFailedChanged;
  return absl::IsCancelled(status) ? kCancelled : kFailed;
}

}  // namespace om
