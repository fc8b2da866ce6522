#include "server/config/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace om {

absl::StatusOr<FileLock> FileLock::Acquire(const std::string& path, Duration patience) {
  RETURN_IF_ERROR(MakeDirectories(std::filesystem::path(path).parent_path().string()));
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("opening ", path));
  const auto deadline = std::chrono::steady_clock::now() + patience;
  // Asked again and again: a flock that waits cannot be given a deadline, and a holder that has
  // been stopped must not hold every editor for ever.
  std::chrono::milliseconds pause(1);
  while (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, absl::StrCat("locking ", path));
    if (std::chrono::steady_clock::now() >= deadline) {
      return WithReason(
          absl::UnavailableError(absl::StrCat(
              path, " has been held by another editor for ",
              std::chrono::duration_cast<std::chrono::milliseconds>(patience).count(), " ms")),
          "CONFIG_LOCKED");
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::milliseconds(32));
  }
  return FileLock(std::move(fd));
}

}  // namespace om
