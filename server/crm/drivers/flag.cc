// fs of type flag: a file in memory. Up as long as it is there, which no reboot survives.
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/crm/drivers/driver.h"

namespace om {
namespace {

// Where flags are. Installations under a root of their own do not share the host's.
std::string FlagDirectory(const Roots& roots) {
  return roots.var == Roots::Packaged().var ? "/dev/shm/opensvc" : absl::StrCat(roots.var, "/shm");
}

class Flag final : public ResourceDriver {
 public:
  using ResourceDriver::ResourceDriver;
  std::string Type() const override { return "fs.flag"; }
  std::string Label() const override { return "fs.flag"; }

  absl::StatusOr<bool> Start() override {
    const std::string file = File();
    ASSIGN_OR_RETURN(const bool exists, Exists(file));
    if (exists) {
      Log(InstanceLog::Level::kInfo, "already up");
      return false;
    }
    Log(InstanceLog::Level::kInfo, absl::StrCat("create flag ", file));
    RETURN_IF_ERROR(MakeDirectories(file.substr(0, file.rfind('/')), 0700));
    WriteOptions options;
    options.mode = 0644;
    options.sync = false;  // It is not to survive anything.
    RETURN_IF_ERROR(WriteFileAtomically(file, "", options));
    return true;
  }

  absl::Status Stop() override {
    const std::string file = File();
    ASSIGN_OR_RETURN(const bool exists, Exists(file));
    if (!exists) {
      Log(InstanceLog::Level::kInfo, "already down");
      return absl::OkStatus();
    }
    Log(InstanceLog::Level::kInfo, absl::StrCat("remove flag ", file));
    return RemoveFile(file);
  }

  absl::StatusOr<Availability> Status(StatusLog*) override {
    ASSIGN_OR_RETURN(const bool exists, Exists(File()));
    return exists ? Availability::kUp : Availability::kDown;
  }

  // Under a root of its own the file may be on a disk.
  absl::Status Boot() override { return RemoveFile(File()); }
  absl::Status Unprovision() override { return RemoveFile(File()); }

 private:
  std::string File() const {
    const ObjectPath& path = instance().settings.path;
    return absl::StrCat(FlagDirectory(instance().roots), "/",
                        path.in_root() ? "" : absl::StrCat(path.ns(), "/"), path.kind(), "/",
                        path.name(), "/", resource().rid, ".flag");
  }

  static absl::StatusOr<bool> Exists(const std::string& file) {
    if (access(file.c_str(), F_OK) == 0) return true;
    if (errno == ENOENT) return false;
    return ErrnoStatus(errno, absl::StrCat("looking for \"", file, "\""));
  }
};

}  // namespace

std::unique_ptr<ResourceDriver> MakeFlag(const Instance* instance,
                                         const ResourceSettings* resource) {
  return std::make_unique<Flag>(instance, resource);
}

}  // namespace om
