// A lock between processes: flock on a file of its own.
#ifndef OM_SERVER_CONFIG_FILE_LOCK_H_
#define OM_SERVER_CONFIG_FILE_LOCK_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/file.h"

namespace om {

// Holds the lock while it lives. Excludes other threads of this process too, each of which opens
// the file anew; the kernel drops it when the process ends, however it ends.
class FileLock {
 public:
  // Makes the file and its directory if need be. Waits up to `patience`, blocking the thread, then
  // UNAVAILABLE with reason CONFIG_LOCKED. THREAD: any that may block.
  static absl::StatusOr<FileLock> Acquire(const std::string& path, Duration patience);

 private:
  explicit FileLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace om

#endif  // OM_SERVER_CONFIG_FILE_LOCK_H_
