#include "server/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace om {
namespace {

absl::Status WriteAll(int fd, absl::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t wrote = write(fd, text.data(), text.size());
    if (wrote < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, absl::StrCat("writing ", path));
    }
    text.remove_prefix(static_cast<size_t>(wrote));
  }
  return absl::OkStatus();
}

absl::Status FillFile(int fd, const std::string& path, absl::string_view text,
                      const WriteOptions& options) {
  // The mode is set, not only asked for: the process' umask must not decide who reads a secret.
  if (fchmod(fd, options.mode) != 0) return ErrnoStatus(errno, absl::StrCat("chmod ", path));
  RETURN_IF_ERROR(WriteAll(fd, text, path));
  if (options.mtime.has_value()) {
    const timespec stamp = absl::ToTimespec(*options.mtime);
    const timespec times[2] = {stamp, stamp};
    if (futimens(fd, times) != 0) return ErrnoStatus(errno, absl::StrCat("utimens ", path));
  }
  if (options.sync && fsync(fd) != 0) return ErrnoStatus(errno, absl::StrCat("fsync ", path));
  return absl::OkStatus();
}

}  // namespace

void UniqueFd::Reset(int fd) {
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
}

absl::StatusOr<FileContent> ReadFile(const std::string& path, size_t max_bytes,
                                     AcceptedFiles kind) {
  // Opening a pipe would wait for its writer, perhaps for ever.
  const int wait = kind == AcceptedFiles::kRegular ? O_NONBLOCK : 0;
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | wait));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("opening ", path));
  FileContent content;
  struct stat info = {};
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", path));
  // A directory has an error of its own below.
  if (kind == AcceptedFiles::kRegular && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is no regular file"));
  }
  content.mtime = absl::TimeFromTimespec(info.st_mtim);
  char buffer[1 << 16];
  while (true) {
    const ssize_t got = read(fd.get(), buffer, sizeof(buffer));
    if (got < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, absl::StrCat("reading ", path));
    }
    if (got == 0) return content;
    content.text.append(buffer, static_cast<size_t>(got));
    if (content.text.size() > max_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat(path, " is longer than the limit of ", max_bytes, " bytes"));
    }
  }
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view text,
                                 const WriteOptions& options) {
  static std::atomic<unsigned> serial{0};
  const std::string directory = std::filesystem::path(path).parent_path().string();
  RETURN_IF_ERROR(MakeDirectories(directory));
  const std::string temporary = absl::StrCat(path, ".tmp.", getpid(), ".", serial.fetch_add(1));
  {
    const UniqueFd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("creating ", temporary));
    absl::Status filled = FillFile(fd.get(), temporary, text, options);
    if (!filled.ok()) {
      unlink(temporary.c_str());
      return filled;
    }
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    absl::Status status = ErrnoStatus(errno, absl::StrCat("renaming ", temporary, " to ", path));
    unlink(temporary.c_str());
    return status;
  }
  if (options.sync) {
    const UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.valid()) fsync(fd.get());
  }
  return absl::OkStatus();
}

absl::Status MakeDirectories(const std::string& path, mode_t mode) {
  if (path.empty() || path == "/" || path == ".") return absl::OkStatus();
  if (mkdir(path.c_str(), mode) == 0) return absl::OkStatus();
  if (errno == EEXIST) {
    struct stat info = {};
    if (stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(path, " exists and is no directory"));
  }
  if (errno != ENOENT) return ErrnoStatus(errno, absl::StrCat("making directory ", path));
  const std::string parent = std::filesystem::path(path).parent_path().string();
  if (parent == path) return ErrnoStatus(ENOENT, absl::StrCat("making directory ", path));
  RETURN_IF_ERROR(MakeDirectories(parent, mode));
  if (mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("making directory ", path));
}

absl::StatusOr<absl::Time> ModificationTime(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", path));
  return absl::TimeFromTimespec(info.st_mtim);
}

absl::Status RemoveFile(const std::string& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("removing ", path));
}

}  // namespace om
