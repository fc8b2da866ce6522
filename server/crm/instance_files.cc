#include "server/crm/instance_files.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "server/base/status.h"
#include "server/crm/action_lock.h"
#include "server/state/instance_status.h"

namespace om {
namespace {

constexpr int kMaxDepth = 32;
constexpr size_t kMaxStampBytes = 256;

absl::Status Full() { return absl::ResourceExhaustedError("too much disk work is waiting"); }

absl::StatusOr<std::shared_ptr<const InstanceStatus>> ReadStatus(const std::string& file) {
  ASSIGN_OR_RETURN(const FileContent content, ReadFile(file, InstanceStatusLoader::kMaxFileBytes));
  absl::StatusOr<Json> document = ParseJson(content.text, kMaxDepth);
  if (!document.ok()) return Annotate(document.status(), file);
  absl::StatusOr<std::shared_ptr<const InstanceStatus>> status =
      ParseInstanceStatus(*std::move(document));
  if (!status.ok()) return Annotate(status.status(), file);
  return status;
}

}  // namespace

absl::StatusOr<std::optional<absl::Time>> ReadFrozenFlag(const std::string& file) {
  const absl::StatusOr<absl::Time> mtime = ModificationTime(file);
  if (mtime.ok()) return std::optional<absl::Time>(*mtime);
  if (absl::IsNotFound(mtime.status())) return std::optional<absl::Time>();
  return mtime.status();
}

absl::StatusOr<LoadedInstance> InstanceStatusLoader::LoadNow(const Roots& roots,
                                                             const ObjectPath& path,
                                                             std::optional<absl::Time> known) {
  const std::string directory = path.StateDir(roots);
  LoadedInstance loaded;
  ASSIGN_OR_RETURN(loaded.frozen_since, ReadFrozenFlag(absl::StrCat(directory, "/frozen")));
  // Before the status: an action that ends in between has written what is read.
  loaded.action = FindActionHolder(ActionLockFile(roots, path));
  const std::string file = absl::StrCat(directory, "/status.json");
  const absl::StatusOr<absl::Time> mtime = ModificationTime(file);
  if (!mtime.ok()) {
    loaded.status_error = mtime.status();
    return loaded;
  }
  // Any other time is news: the clock may have been set back since.
  if (known.has_value() && absl::AbsDuration(*mtime - *known) <= kTimeRounding) {
    loaded.unchanged = true;
    return loaded;
  }
  absl::StatusOr<std::shared_ptr<const InstanceStatus>> status = ReadStatus(file);
  if (status.ok()) {
    loaded.status = *std::move(status);
  } else {
    loaded.status_error = status.status();
  }
  return loaded;
}

void InstanceStatusLoader::Load(const ObjectPath& path, std::optional<absl::Time> known,
                                Done<absl::StatusOr<LoadedInstance>> done) {
  const bool posted =
      workers_->Post([roots = roots_, path, known, done] { done(LoadNow(roots, path, known)); });
  if (!posted) done(Full());
}

void InstanceStatusLoader::SignalAction(const ObjectPath& path, int pid, int signal) {
  const bool posted = workers_->Post([file = ActionLockFile(roots_, path), pid, signal] {
    const absl::Status status = SignalActionHolder(file, pid, signal);
    if (!status.ok()) LOG(WARNING) << "OM-ACTION-NOT-ENDED " << status.message();
  });
  if (!posted) LOG(WARNING) << "OM-ACTION-NOT-ENDED " << path.ToString() << ": " << Full();
}

void FrozenFlags::SetFrozen(std::optional<ObjectPath> path, bool frozen,
                            Done<absl::StatusOr<std::optional<absl::Time>>> done) {
  const std::string file =
      path.has_value() ? absl::StrCat(path->StateDir(roots_), "/frozen") : roots_.NodeFrozen();
  const bool posted = workers_->Post([file, frozen, done] {
    absl::Status status;
    if (!frozen) {
      status = RemoveFile(file);
    } else if (absl::IsNotFound(ModificationTime(file).status())) {
      WriteOptions options;
      options.mode = 0644;
      status = WriteFileAtomically(file, "", options);
    }
    if (!status.ok()) return done(status);
    done(ReadFrozenFlag(file));
  });
  if (!posted) done(Full());
}

std::optional<absl::Time> TaskStamps::LastRunNow(const Roots& roots, const ObjectPath& path,
                                                 const std::string& rid,
                                                 const absl::TimeZone& zone) {
  const std::string file = absl::StrCat(path.StateDir(roots), "/scheduler/last_", rid);
  const absl::StatusOr<FileContent> content = ReadFile(file, kMaxStampBytes);
  if (!content.ok()) return std::nullopt;
  absl::Time time;
  std::string error;
  const std::string text(absl::StripAsciiWhitespace(content->text));
  if (absl::ParseTime("%Y-%m-%d %H:%M:%E*S", text, zone, &time, &error)) return time;
  return content->mtime;
}

void TaskStamps::LastRun(const ObjectPath& path, const std::string& rid,
                         Done<std::optional<absl::Time>> done) {
  const bool posted = workers_->Post([roots = roots_, zone = zone_, path, rid, done] {
    done(LastRunNow(roots, path, rid, zone));
  });
  if (!posted) done(std::nullopt);
}

}  // namespace om
