#include "server/crm/drivers/evaluate_instance.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/config/expression.h"
#include "server/crm/drivers/instance_lock.h"
#include "server/crm/drivers/selection.h"

namespace om {
namespace {

constexpr size_t kMaxCacheBytes = 256 * 1024;
constexpr size_t kMaxHistoryBytes = 256 * 1024;
constexpr size_t kMaxLogLines = 200;
constexpr size_t kMaxDocumentBytes = size_t{16} << 20;
constexpr absl::Duration kLeastStep = absl::Milliseconds(1);

// Groups whose resources an app lives on.
bool IsHostGroup(const std::string& group) {
  for (const char* host : {"ip", "disk", "fs", "share", "container"}) {
    if (group == host) return true;
  }
  return false;
}

struct Cached {
  Availability status;
  std::string label;
  StatusLog log;
};

std::optional<Cached> ReadCache(const std::string& file) {
  const absl::StatusOr<FileContent> content = ReadFile(file, kMaxCacheBytes);
  if (!content.ok()) return std::nullopt;
  const absl::StatusOr<Json> json = ParseJson(content->text, 8);
  if (!json.ok() || !json->is_object()) return std::nullopt;
  const auto status = json->find("status");
  if (status == json->end() || !status->is_string()) return std::nullopt;
  const std::optional<Availability> state =
      ParseAvailability(status->get_ref<const std::string&>());
  if (!state.has_value()) return std::nullopt;
  Cached cached{*state, "", {}};
  if (const auto label = json->find("label"); label != json->end() && label->is_string()) {
    cached.label = label->get<std::string>();
  }
  if (const auto log = json->find("log"); log != json->end() && log->is_array()) {
    for (const Json& line : *log) {
      if (line.is_array() && line.size() == 2 && line[0].is_string() && line[1].is_string()) {
        cached.log.emplace_back(line[0].get<std::string>(), line[1].get<std::string>());
      }
    }
  }
  return cached;
}

void WriteCache(const std::string& directory, const ResourceReport& report) {
  const std::string file = absl::StrCat(directory, "/status.last");
  const std::optional<Cached> before = ReadCache(file);
  Json log = Json::array();
  for (const auto& [level, text] : report.log) log.push_back({level, text});
  const Json json = {{"status", std::string(AvailabilityName(report.status))},
                     {"label", report.label},
                     {"log", std::move(log)}};
  WriteOptions options;
  options.mode = 0644;
  options.sync = false;  // A cache: after a power loss it is made again.
  if (!WriteFileAtomically(file, DumpJson(json), options).ok()) return;
  if (before.has_value() && before->status == report.status) return;
  const std::string history = absl::StrCat(directory, "/status.history");
  const std::string line =
      absl::StrCat(LegacyLogTime(absl::Now()), " | ", AvailabilityName(report.status), "\n");
  UniqueFd fd(open(history.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
  if (!fd.valid()) return;
  if (lseek(fd.get(), 0, SEEK_END) > static_cast<off_t>(kMaxHistoryBytes)) {
    // Half of it goes, so that this is rare.
    const absl::StatusOr<FileContent> old = ReadFile(history, 2 * kMaxHistoryBytes);
    std::string kept = old.ok() ? old->text.substr(old->text.size() / 2) : "";
    kept.erase(0, kept.find('\n') + 1);
    [[maybe_unused]] const absl::Status cut = WriteFileAtomically(history, kept + line, options);
    return;
  }
  [[maybe_unused]] const ssize_t written = write(fd.get(), line.data(), line.size());
}

// The flag file of the resource, or what the driver says itself.
void FillProvisioned(const std::string& directory, ResourceDriver* driver, ResourceReport* report) {
  const std::string file = absl::StrCat(directory, "/provisioned");
  absl::StatusOr<FileContent> flag = ReadFile(file, 64);
  report->provisioned = driver->Provisioned();
  if (flag.ok()) {
    const absl::string_view text = absl::StripAsciiWhitespace(flag->text);
    bool provisioned = text == "true" || text == "1";
    const bool up = report->status == Availability::kUp || report->status == Availability::kStdbyUp;
    if (!provisioned && up) {
      WriteOptions options;
      options.mode = 0644;
      provisioned = WriteFileAtomically(file, "true", options).ok();
      flag->mtime = absl::Now();
    }
    if (!report->provisioned.has_value()) report->provisioned = provisioned;
    report->provisioned_mtime = om::ToUnixSeconds(flag->mtime);
  }
}

ResourceReport Report(const Instance& instance, const ResourceSettings& resource, bool refresh,
                      std::optional<Availability> host) {
  const std::unique_ptr<ResourceDriver> driver = MakeDriver(&instance, &resource);
  const std::string directory = instance.ResourceDir(resource.rid);
  ResourceReport report;
  report.rid = resource.rid;
  report.type = driver->Type();
  report.label = driver->Label();
  if (resource.disable || instance.settings.disable || HasTag(resource, "nostatus")) {
    report.status = Availability::kNa;
    FillProvisioned(directory, driver.get(), &report);
    return report;
  }
  if (!refresh) {
    if (std::optional<Cached> cached = ReadCache(absl::StrCat(directory, "/status.last"))) {
      report.status = cached->status;
      report.log = std::move(cached->log);
      FillProvisioned(directory, driver.get(), &report);
      return report;
    }
  }
  const bool host_is_up =
      !host.has_value() || Shown(*host) == Availability::kUp || *host == Availability::kNa;
  if (driver->NeedsHostResources() && !host_is_up) {
    report.status = Availability::kNa;
    report.log.emplace_back("info", "not evaluated (instance not up)");
  } else {
    report.status = EvaluateResource(resource, driver.get(), &report.log);
  }
  if (report.log.size() > kMaxLogLines) report.log.resize(kMaxLogLines);
  FillProvisioned(directory, driver.get(), &report);
  WriteCache(directory, report);
  return report;
}

// When an evaluation that begins now is said to have begun: later than what the file has, by more
// than those who read it take for rounding, even if the clock stands still or was set back. In what
// a double of Unix seconds can hold, so that the file's time is that of the document.
absl::Time NextUpdateTime(const std::string& file) {
  absl::Time updated = absl::FromUnixMicros(absl::ToUnixMicros(absl::Now()));
  const absl::StatusOr<absl::Time> last = ModificationTime(file);
  if (last.ok()) updated = std::max(updated, *last + kLeastStep);
  return absl::FromUnixMicros(absl::ToUnixMicros(updated));
}

// "csum" of the document in the file; empty if there is none that can be read.
std::string ChecksumInFile(const std::string& file) {
  const absl::StatusOr<FileContent> content = ReadFile(file, kMaxDocumentBytes);
  if (!content.ok()) return "";
  const absl::StatusOr<Json> json = ParseJson(content->text);
  if (!json.ok() || !json->is_object()) return "";
  const auto csum = json->find("csum");
  return csum != json->end() && csum->is_string() ? csum->get<std::string>() : "";
}

// Constraints that cannot be worked out do not hold: nothing may start where it might not be meant
// to.
bool ConstraintsHold(const Instance& instance) {
  const std::string& constraints = instance.settings.constraints;
  if (constraints.empty()) return true;
  const absl::StatusOr<bool> holds = EvaluateCondition(constraints);
  if (!holds.ok()) {
    instance.log->Write("", InstanceLog::Level::kWarning,
                        absl::StrCat("constraints: ", holds.status().message()));
  }
  return holds.value_or(false);
}

std::vector<std::string> RunningResources(const Instance& instance) {
  std::vector<std::string> rids;
  for (const char* name : {"lock.generic", "lock.sync"}) {
    const std::optional<LockHolder> holder =
        FindLockHolder(absl::StrCat(instance.StateDir(), "/", name));
    if (!holder.has_value()) continue;
    for (absl::string_view rid : absl::StrSplit(holder->rid, ',', absl::SkipEmpty())) {
      rids.emplace_back(rid);
    }
  }
  for (const ResourceSettings& resource : instance.settings.resources) {
    if (resource.group != "task") continue;
    const std::string lock = absl::StrCat(instance.ResourceDir(resource.rid), "/run.lock");
    if (FindLockHolder(lock).has_value()) rids.push_back(resource.rid);
  }
  return rids;
}

}  // namespace

Availability EvaluateResource(const ResourceSettings& resource, ResourceDriver* driver,
                              StatusLog* log) {
  const absl::StatusOr<Availability> status = driver->Status(log);
  if (!status.ok()) {
    log->emplace_back("error", std::string(status.status().message()));
    return Availability::kUndef;
  }
  if (resource.standby && *status == Availability::kUp) return Availability::kStdbyUp;
  if (resource.standby && *status == Availability::kDown) return Availability::kStdbyDown;
  return *status;
}

absl::StatusOr<Json> EvaluateInstance(const Instance& instance, const EvaluateOptions& options) {
  const std::string directory = instance.StateDir();
  absl::StatusOr<InstanceLock> lock = InstanceLock::Acquire(
      absl::StrCat(directory, "/lock.status"), "status", options.lock_timeout, instance.interrupt);
  if (!lock.ok()) return lock.status();
  InstanceFlags flags;
  const std::string file = absl::StrCat(directory, "/status.json");
  flags.updated = NextUpdateTime(file);
  Json document;
  if (instance.settings.path.is_service()) {
    std::vector<const ResourceSettings*> resources;
    for (const ResourceSettings& resource : instance.settings.resources) {
      resources.push_back(&resource);
    }
    // What apps live on comes first: whether they can be evaluated depends on it.
    std::stable_sort(resources.begin(), resources.end(), [](const auto* a, const auto* b) {
      return IsHostGroup(a->group) > IsHostGroup(b->group);
    });
    std::optional<Availability> host;
    std::vector<ResourceReport> reports;
    for (const ResourceSettings* resource : resources) {
      const bool refresh = options.refresh &&
                           (!options.monitored_only || resource->monitor || resource->restart > 0);
      reports.push_back(Report(instance, *resource, refresh, host));
      const ResourceReport& report = reports.back();
      const bool counts = IsHostGroup(resource->group) && !resource->disable && !resource->encap &&
                          !resource->optional;
      if (counts) host = Merge(host.value_or(Availability::kNa), report.status);
    }
    flags.env = instance.settings.env.empty() ? instance.node_env : instance.settings.env;
    const absl::StatusOr<absl::Time> frozen = ModificationTime(absl::StrCat(directory, "/frozen"));
    if (frozen.ok()) flags.frozen = *frozen;
    flags.running = RunningResources(instance);
    flags.constraints = ConstraintsHold(instance);
    document = MakeStatusDocument(instance.settings, reports, flags);
  } else {
    document = MakeBareStatusDocument(instance.settings.path.kind(), flags.updated);
  }
  if (instance.interrupt->Requested()) return instance.interrupt->ToStatus();
  WriteOptions write_options;
  write_options.mode = 0644;
  write_options.mtime = flags.updated;
  write_options.sync = false;  // Evaluated again after a reboot.
  if (options.keep_if_same && ChecksumInFile(file) == document.value("csum", "")) return document;
  RETURN_IF_ERROR(WriteFileAtomically(file, DumpJson(document), write_options));
  return document;
}

}  // namespace om
