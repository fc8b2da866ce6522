#include "server/daemon/daemon_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "server/base/json.h"
#include "server/base/status.h"

namespace om {
namespace {

constexpr size_t kMaxPidFileBytes = 4096;

// " (pid 123)", or nothing.
std::string HolderOf(const std::string& lock_file) {
  absl::StatusOr<FileContent> content = ReadFile(lock_file, kMaxPidFileBytes);
  if (!content.ok()) return "";
  absl::StatusOr<Json> holder = ParseJson(content->text);
  if (!holder.ok() || !holder->is_object() || !holder->contains("pid")) return "";
  return absl::StrCat(" (pid ", DumpCompactJson((*holder)["pid"]), ")");
}

}  // namespace

absl::StatusOr<DaemonLock> DaemonLock::Take(const Roots& roots, pid_t pid) {
  RETURN_IF_ERROR(MakeDirectories(roots.LockDir()));
  const std::string path = roots.DaemonLock();
  // Not made anew and renamed: the lock is on the file, and others hold on to the one that is
  // there.
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("opening ", path));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, absl::StrCat("locking ", path));
    return absl::FailedPreconditionError(
        absl::StrCat("another daemon", HolderOf(path), " holds ", path));
  }
  const std::string text = DumpJson(Json{{"pid", pid}, {"intent", nullptr}});
  // The flock is what protects; a full disk must not keep a node's daemon from starting.
  if (ftruncate(fd.get(), 0) != 0 ||
      pwrite(fd.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    LOG(WARNING) << "OM-PID-FILE " << ErrnoStatus(errno, absl::StrCat("writing ", path)).message();
  }
  WriteOptions options;
  options.mode = 0644;
  absl::Status written = WriteFileAtomically(roots.PidFile(), absl::StrCat(pid, "\n"), options);
  if (!written.ok()) LOG(WARNING) << "OM-PID-FILE " << written.message();
  return DaemonLock(std::move(fd), roots.PidFile());
}

DaemonLock::~DaemonLock() {
  if (!fd_.valid()) return;  // Moved away.
  absl::Status removed = RemoveFile(pid_file_);
  if (!removed.ok()) LOG(WARNING) << "OM-PID-FILE " << removed.message();
}

}  // namespace om
