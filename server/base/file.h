// Small files, read whole and replaced atomically.
#ifndef OM_SERVER_BASE_FILE_H_
#define OM_SERVER_BASE_FILE_H_

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace om {

// Owns a file descriptor.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    Reset(other.Release());
    return *this;
  }
  ~UniqueFd() { Reset(); }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void Reset(int fd = -1);

 private:
  int fd_ = -1;
};

struct FileContent {
  std::string text;
  absl::Time mtime;
};

enum class AcceptedFiles {
  kRegular,
  kAny,  // Pipes and devices, too: reading takes as long as whoever writes there likes.
};

// Text and modification time of one state of the file. NOT_FOUND if there is none;
// RESOURCE_EXHAUSTED if it is longer than `max_bytes`; FAILED_PRECONDITION if `kind` excludes it.
absl::StatusOr<FileContent> ReadFile(const std::string& path, size_t max_bytes,
                                     AcceptedFiles kind = AcceptedFiles::kRegular);

struct WriteOptions {
  mode_t mode = 0600;
  std::optional<absl::Time> mtime;  // Set on the new file before it gets its name.
  bool sync = true;                 // fsync the file and its directory: it survives a power loss.
};

// Replaces `path` by a file with `text`: readers see the old file or the new one, never a part, and
// on any error the old one stays. Missing parent directories are made, mode 0755.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view text,
                                 const WriteOptions& options);

// Makes `path` and its missing parents. Existing directories are left as they are.
absl::Status MakeDirectories(const std::string& path, mode_t mode = 0755);

// Modification time, or NOT_FOUND.
absl::StatusOr<absl::Time> ModificationTime(const std::string& path);

// Removes the file; one that is not there is no error.
absl::Status RemoveFile(const std::string& path);

}  // namespace om

#endif  // OM_SERVER_BASE_FILE_H_
