// fs of type directory: a directory that exists with its owner and mode. Never removed by a stop.
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/crm/drivers/driver.h"
#include "server/crm/drivers/program.h"
#include "server/crm/drivers/remove_tree.h"

namespace om {
namespace {

// What the keywords ask for; unset members are left as they are.
struct Wanted {
  std::string path;
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<mode_t> mode;
};

class Directory final : public ResourceDriver {
 public:
  using ResourceDriver::ResourceDriver;
  std::string Type() const override { return "fs.dir"; }
  std::string Label() const override {
    const absl::StatusOr<std::optional<std::string>> path = Keyword("path");
    return absl::StrCat("dir ", path.ok() ? path->value_or("") : "");
  }

  absl::StatusOr<bool> Start() override {
    ASSIGN_OR_RETURN(const Wanted wanted, ReadKeywords());
    struct stat st = {};
    const bool existed = stat(wanted.path.c_str(), &st) == 0;
    if (!existed) {
      Log(InstanceLog::Level::kInfo, absl::StrCat("make directory ", wanted.path));
      RETURN_IF_ERROR(MakeDirectories(wanted.path));
    } else if (!S_ISDIR(st.st_mode)) {
      return absl::FailedPreconditionError(
          absl::StrCat("\"", wanted.path, "\" exists and is not a directory"));
    }
    const uid_t uid = wanted.uid.value_or(static_cast<uid_t>(-1));
    const gid_t gid = wanted.gid.value_or(static_cast<gid_t>(-1));
    if ((wanted.uid.has_value() || wanted.gid.has_value()) &&
        chown(wanted.path.c_str(), uid, gid) != 0) {
      return ErrnoStatus(errno, absl::StrCat("setting the owner of \"", wanted.path, "\""));
    }
    if (wanted.mode.has_value() && chmod(wanted.path.c_str(), *wanted.mode) != 0) {
      return ErrnoStatus(errno, absl::StrCat("setting the mode of \"", wanted.path, "\""));
    }
    return !existed;
  }

  absl::Status Stop() override { return absl::OkStatus(); }

  absl::Status Provision() override { return Start().status(); }

  // The tree goes, with what the service has put there; a directory of the system does not.
  absl::Status Unprovision() override {
    ASSIGN_OR_RETURN(const std::optional<std::string> path, Keyword("path"));
    const Roots& roots = instance().roots;
    const absl::StatusOr<std::string> real = CheckRemovable(
        path.value_or(""), {roots.etc, roots.log, roots.tmp, roots.lib, roots.LockDir(),
                            roots.ListenerDir(), roots.NodeStateDir(), roots.OmdDir(),
                            roots.var + "/svc", roots.var + "/namespaces", instance().StateDir()});
    if (absl::IsNotFound(real.status())) return absl::OkStatus();
    if (!real.ok()) return Annotate(real.status(), absl::StrCat(resource().rid, ".path"));
    Log(InstanceLog::Level::kInfo, absl::StrCat("remove directory ", *real));
    return RemoveTree(*real, instance().interrupt);
  }

  std::optional<bool> Provisioned() override {
    const absl::StatusOr<std::optional<std::string>> path = Keyword("path");
    if (!path.ok() || !path->has_value()) return std::nullopt;
    struct stat st = {};
    return stat((*path)->c_str(), &st) == 0 && S_ISDIR(st.st_mode);
  }

  absl::StatusOr<Availability> Status(StatusLog* log) override {
    ASSIGN_OR_RETURN(const Wanted wanted, ReadKeywords());
    struct stat st = {};
    if (stat(wanted.path.c_str(), &st) != 0 || !S_ISDIR(st.st_mode)) return Availability::kDown;
    Availability status = Availability::kNa;
    const auto differs = [&](absl::string_view what, uint64_t seen, uint64_t expected) {
      log->emplace_back(
          "warn", absl::StrCat(wanted.path, ": ", what, " is ", seen, ", expected ", expected));
      status = Availability::kWarn;
    };
    if (wanted.uid.has_value() && st.st_uid != *wanted.uid) differs("user", st.st_uid, *wanted.uid);
    if (wanted.gid.has_value() && st.st_gid != *wanted.gid)
      differs("group", st.st_gid, *wanted.gid);
    if (wanted.mode.has_value() && (st.st_mode & 07777u) != *wanted.mode) {
      char text[64];
      snprintf(text, sizeof text, "mode is %o, expected %o", st.st_mode & 07777u, *wanted.mode);
      log->emplace_back("warn", absl::StrCat(wanted.path, ": ", text));
      status = Availability::kWarn;
    }
    return status;
  }

 private:
  absl::StatusOr<std::optional<std::string>> Keyword(absl::string_view keyword) const {
    return instance().settings.Get(resource().rid, keyword);
  }

  absl::StatusOr<Wanted> ReadKeywords() const {
    Wanted wanted;
    ASSIGN_OR_RETURN(const std::optional<std::string> path, Keyword("path"));
    if (!path.has_value() || path->empty() || (*path)[0] != '/') {
      return absl::InvalidArgumentError(
          absl::StrCat(resource().rid, ".path: expected an absolute path"));
    }
    wanted.path = *path;
    ASSIGN_OR_RETURN(const std::optional<std::string> user, Keyword("user"));
    ASSIGN_OR_RETURN(const std::optional<std::string> group, Keyword("group"));
    ASSIGN_OR_RETURN(const std::optional<std::string> mode, Keyword("perm"));
    if (user.has_value() && !user->empty()) {
      ASSIGN_OR_RETURN(const Credentials credentials, FindCredentials(*user, ""));
      wanted.uid = credentials.uid;
    }
    if (group.has_value() && !group->empty()) {
      const struct group* found = getgrnam(group->c_str());
      if (found == nullptr) {
        return absl::NotFoundError(
            absl::StrCat(resource().rid, ".group: group \"", *group, "\" is unknown"));
      }
      wanted.gid = found->gr_gid;
    }
    if (mode.has_value() && !mode->empty()) {
      char* end = nullptr;
      const unsigned long value = strtoul(mode->c_str(), &end, 8);
      if (*end != '\0' || value > 07777) {
        return absl::InvalidArgumentError(
            absl::StrCat(resource().rid, ".perm: \"", *mode, "\" is not an octal mode up to 7777"));
      }
      wanted.mode = static_cast<mode_t>(value);
    }
    return wanted;
  }
};

}  // namespace

std::unique_ptr<ResourceDriver> MakeDirectory(const Instance* instance,
                                              const ResourceSettings* resource) {
  return std::make_unique<Directory>(instance, resource);
}

}  // namespace om
