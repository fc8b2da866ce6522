// delete: an object, or sections of its configuration.
#include <stdio.h>

#include <filesystem>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/crm/drivers/command.h"
#include "server/crm/drivers/edit_config.h"

namespace om {
namespace {

namespace fs = std::filesystem;

// Removes a directory with what is in it, or a file. Symbolic links are removed, never followed.
absl::Status RemoveAll(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("removing \"", path, "\""));
  return absl::OkStatus();
}

// All that is in the directory, files named lock.* apart.
absl::Status RemoveAllButLocks(const std::string& directory) {
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (absl::StartsWith(it->path().filename().string(), "lock.")) continue;
    RETURN_IF_ERROR(RemoveAll(it->path().string()));
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return ErrnoStatus(error.value(), absl::StrCat("emptying \"", directory, "\""));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Command::Delete() {
  if (options().selection.limited()) {
    std::vector<std::string> sections;
    for (const ResourceSettings& resource : instance_.settings.resources) {
      if (options().selection.Matches(resource)) sections.push_back(resource.rid);
    }
    for (const std::string& rid : options().selection.rids) {
      const bool subset = absl::StartsWith(rid, "subset#");
      if (subset && instance_.settings.document().HasSection(rid)) sections.push_back(rid);
    }
    if (sections.empty()) {
      return absl::NotFoundError(
          absl::StrCat("no section matches ", options().selection.ToString()));
    }
    for (const std::string& section : sections) {
      if (options().dry_run) printf("delete %s\n", section.c_str());
    }
    if (options().dry_run) return absl::OkStatus();
    RETURN_IF_ERROR(EditDocument(roots_, node_, path_, [&](Document* document) {
      for (const std::string& section : sections) document->RemoveSection(section);
      return absl::OkStatus();
    }));
    for (const std::string& section : sections) {
      RETURN_IF_ERROR(RemoveAll(instance_.ResourceDir(section)));
    }
    return Load();
  }
  if (path_.kind() == "ccfg") {
    return absl::FailedPreconditionError(
        "the cluster's configuration cannot be deleted while the node is a member");
  }
  const std::string config = path_.ConfigFile(roots_);
  const std::string state = instance_.StateDir();
  if (options().dry_run) {
    for (const std::string& path :
         {path_.ScriptDir(roots_), state, path_.LogFile(roots_), config}) {
      printf("remove %s\n", path.c_str());
    }
    return absl::OkStatus();
  }
  // The configuration goes last, so that what a crash leaves can be deleted again, and the lock
  // after it, so that nobody works on the rest meanwhile.
  RETURN_IF_ERROR(RemoveAll(path_.ScriptDir(roots_)));
  RETURN_IF_ERROR(RemoveAllButLocks(state));
  RETURN_IF_ERROR(RemoveFile(path_.LogFile(roots_)));
  RETURN_IF_ERROR(RemoveFile(config));
  deleted_ = true;
  RETURN_IF_ERROR(RemoveAll(state));
  [[maybe_unused]] const absl::Status woken = daemon_.WakeMonitor(PathText());
  return absl::OkStatus();
}

}  // namespace om
