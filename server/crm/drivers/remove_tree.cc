#include "server/crm/drivers/remove_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "server/base/file.h"
#include "server/base/status.h"

namespace om {
namespace {

// Each level holds a descriptor open.
constexpr int kMaxDepth = 256;
constexpr size_t kMaxMountInfoBytes = size_t{4} << 20;

// Trees that belong to the system as a whole: nothing in them is a service's to remove.
constexpr absl::string_view kSystemTrees[] = {
    "/bin",    "/boot", "/dev",  "/etc",     "/lib", "/lib32", "/lib64",
    "/libx32", "/proc", "/sbin", "/selinux", "/sys", "/usr",   "/lost+found"};
// What in those trees is free for anyone, from the second level below on.
constexpr absl::string_view kFreeTrees[] = {"/dev/shm", "/usr/local"};
// Directories that are the system's, though what is in them is not.
constexpr absl::string_view kSystemDirectories[] = {"/home",
                                                    "/media",
                                                    "/mnt",
                                                    "/opt",
                                                    "/root",
                                                    "/run",
                                                    "/srv",
                                                    "/tmp",
                                                    "/var",
                                                    "/dev/shm",
                                                    "/run/lock",
                                                    "/run/user",
                                                    "/usr/local",
                                                    "/var/backups",
                                                    "/var/cache",
                                                    "/var/crash",
                                                    "/var/db",
                                                    "/var/empty",
                                                    "/var/games",
                                                    "/var/lib",
                                                    "/var/local",
                                                    "/var/lock",
                                                    "/var/log",
                                                    "/var/mail",
                                                    "/var/opt",
                                                    "/var/run",
                                                    "/var/spool",
                                                    "/var/tmp",
                                                    "/var/www",
                                                    "/var/lib/dpkg",
                                                    "/var/lib/apt",
                                                    "/var/lib/rpm",
                                                    "/var/lib/systemd",
                                                    "/var/lib/docker",
                                                    "/var/lib/containers",
                                                    "/var/lib/opensvc",
                                                    "/var/log/opensvc",
                                                    "/var/spool/cron",
                                                    "/var/log/journal"};

// Whether `path` is `directory` or below it.
bool IsIn(absl::string_view path, absl::string_view directory) {
  return path == directory ||
         (absl::StartsWith(path, directory) && (directory == "/" || path[directory.size()] == '/'));
}

size_t Depth(absl::string_view path) {
  return std::vector<absl::string_view>(absl::StrSplit(path, '/', absl::SkipEmpty())).size();
}

absl::Status Refusal(absl::string_view path, absl::string_view why) {
  return absl::FailedPreconditionError(
      absl::StrCat("directory \"", path, "\" is not removed: ", why));
}

// The kernel writes what separates fields as \ooo.
std::string Unescape(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape =
        text[i] == '\\' && i + 3 < text.size() && text[i + 1] >= '0' && text[i + 1] <= '3';
    if (escape) {
      out.push_back(static_cast<char>(((text[i + 1] - '0') << 6) | ((text[i + 2] - '0') << 3) |
                                      (text[i + 3] - '0')));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

absl::StatusOr<std::vector<std::string>> MountPoints() {
  ASSIGN_OR_RETURN(const FileContent content,
                   ReadFile("/proc/self/mountinfo", kMaxMountInfoBytes, AcceptedFiles::kAny));
  std::vector<std::string> points;
  for (const absl::string_view line : absl::StrSplit(content.text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    if (fields.size() > 4) points.push_back(Unescape(fields[4]));
  }
  if (points.empty()) return absl::InternalError("/proc/self/mountinfo names no mount point");
  return points;
}

using Dir = std::unique_ptr<DIR, int (*)(DIR*)>;

// Empties the open directory. `device`: the file system that must not be left.
absl::Status EmptyDirectory(UniqueFd fd, const std::string& path, dev_t device, int depth,
                            Interrupt* interrupt) {
  if (depth > kMaxDepth) {
    return absl::FailedPreconditionError(
        absl::StrCat("\"", path, "\" is nested deeper than ", kMaxDepth, " directories"));
  }
  const Dir directory(fdopendir(fd.get()), &closedir);
  if (directory == nullptr) return ErrnoStatus(errno, absl::StrCat("listing \"", path, "\""));
  const int parent = fd.Release();  // The directory's now.
  while (true) {
    if (interrupt->Requested()) return interrupt->ToStatus();
    errno = 0;
    const dirent* const entry = readdir(directory.get());
    if (entry == nullptr) {
      return errno == 0 ? absl::OkStatus() : ErrnoStatus(errno, absl::StrCat("listing ", path));
    }
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string child = absl::StrCat(path, "/", name);
    struct stat st = {};
    if (fstatat(parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;
      return ErrnoStatus(errno, absl::StrCat("looking at \"", child, "\""));
    }
    if (!S_ISDIR(st.st_mode)) {
      if (unlinkat(parent, name.c_str(), 0) != 0 && errno != ENOENT) {
        return ErrnoStatus(errno, absl::StrCat("removing \"", child, "\""));
      }
      continue;
    }
    UniqueFd below(openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!below.valid()) return ErrnoStatus(errno, absl::StrCat("opening \"", child, "\""));
    // What was opened, not what was looked at before: it may have been replaced meanwhile.
    if (fstat(below.get(), &st) != 0) {
      return ErrnoStatus(errno, absl::StrCat("looking at \"", child, "\""));
    }
    if (st.st_dev != device) return Refusal(child, "it is on another file system");
    RETURN_IF_ERROR(EmptyDirectory(std::move(below), child, device, depth + 1, interrupt));
    if (unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
      return ErrnoStatus(errno, absl::StrCat("removing \"", child, "\""));
    }
  }
}

}  // namespace

absl::Status CheckRemovablePath(absl::string_view real, const std::vector<std::string>& precious,
                                const std::vector<std::string>& mounts) {
  if (!absl::StartsWith(real, "/") || absl::StrContains(real, "//")) {
    return Refusal(real, "its path is not absolute");
  }
  if (Depth(real) < 2) return Refusal(real, "it is at the top of the tree");
  for (const absl::string_view system : kSystemDirectories) {
    if (IsIn(system, real)) return Refusal(real, absl::StrCat(system, " is a system directory"));
  }
  for (const absl::string_view tree : kSystemTrees) {
    if (!IsIn(real, tree)) continue;
    bool free = false;
    for (const absl::string_view below : kFreeTrees) {
      // /usr/local/bin is the system's still, /usr/local/bin/x is not.
      free = free ||
             (IsIn(real, below) && Depth(real) >= Depth(below) + (below == "/usr/local" ? 2 : 1));
    }
    if (!free) return Refusal(real, absl::StrCat("what is in ", tree, " is the system's"));
  }
  if (IsIn(real, "/home") && Depth(real) == 2) return Refusal(real, "it is a user's home");
  for (const std::string& path : precious) {
    if (!path.empty() && IsIn(path, real)) {
      return Refusal(real, absl::StrCat(path, " is in use by the resource manager itself"));
    }
  }
  for (const std::string& mount : mounts) {
    if (mount == real) return Refusal(real, "it is a mount point");
    if (IsIn(mount, real)) return Refusal(real, absl::StrCat(mount, " is mounted in it"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> CheckRemovable(const std::string& path,
                                           const std::vector<std::string>& precious) {
  std::vector<std::string> components = absl::StrSplit(path, '/', absl::SkipEmpty());
  while (!components.empty() && components.back() == ".") components.pop_back();
  if (path.empty() || path[0] != '/') return Refusal(path, "its path is not absolute");
  if (components.empty()) return Refusal(path, "it is at the top of the tree");
  const std::string last = components.back();
  if (last == "..") return Refusal(path, "its path ends in \"..\"");
  components.pop_back();
  // Links on the way are resolved, and what they lead to is checked; the directory itself must be
  // one.
  const std::string parent = absl::StrCat("/", absl::StrJoin(components, "/"));
  const std::unique_ptr<char, decltype(&free)> resolved(realpath(parent.c_str(), nullptr), &free);
  if (resolved == nullptr) return ErrnoStatus(errno, absl::StrCat("resolving \"", parent, "\""));
  const std::string above = resolved.get();
  const std::string real = absl::StrCat(above == "/" ? "" : above, "/", last);
  struct stat st = {};
  if (lstat(real.c_str(), &st) != 0) {
    return ErrnoStatus(errno, absl::StrCat("looking at \"", real, "\""));
  }
  if (S_ISLNK(st.st_mode)) return Refusal(path, "it is a symbolic link");
  if (!S_ISDIR(st.st_mode)) return Refusal(path, "it is not a directory");
  ASSIGN_OR_RETURN(const std::vector<std::string> mounts, MountPoints());
  std::vector<std::string> kept;
  for (const std::string& directory : precious) {
    const std::unique_ptr<char, decltype(&free)> text(realpath(directory.c_str(), nullptr), &free);
    kept.push_back(text == nullptr ? directory : text.get());
  }
  RETURN_IF_ERROR(CheckRemovablePath(real, kept, mounts));
  return real;
}

absl::Status RemoveTree(const std::string& real, Interrupt* interrupt) {
  // Down to it without following anything: what was resolved may have been replaced since.
  UniqueFd parent(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent.valid()) return ErrnoStatus(errno, "opening \"/\"");
  const std::vector<std::string> components = absl::StrSplit(real, '/', absl::SkipEmpty());
  if (components.empty()) return Refusal(real, "it is at the top of the tree");
  for (size_t i = 0; i < components.size(); ++i) {
    UniqueFd next(openat(parent.get(), components[i].c_str(),
                         O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next.valid()) {
      if (errno == ENOENT) return absl::OkStatus();
      return ErrnoStatus(errno, absl::StrCat("opening \"", components[i], "\" of \"", real, "\""));
    }
    if (i + 1 < components.size()) {
      parent = std::move(next);
      continue;
    }
    struct stat above = {};
    struct stat st = {};
    if (fstat(parent.get(), &above) != 0 || fstat(next.get(), &st) != 0) {
      return ErrnoStatus(errno, absl::StrCat("looking at \"", real, "\""));
    }
    if (above.st_dev != st.st_dev) return Refusal(real, "it is a mount point");
    RETURN_IF_ERROR(EmptyDirectory(std::move(next), real, st.st_dev, 1, interrupt));
  }
  if (unlinkat(parent.get(), components.back().c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, absl::StrCat("removing \"", real, "\""));
  }
  return absl::OkStatus();
}

}  // namespace om
