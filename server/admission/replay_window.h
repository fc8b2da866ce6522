// Remembers what was received lately, so that a captured message works only once.
#ifndef OM_SERVER_ADMISSION_REPLAY_WINDOW_H_
#define OM_SERVER_ADMISSION_REPLAY_WINDOW_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "server/base/mutex.h"

namespace om {

// The last `capacity` digests. THREAD: any. Every call is O(1).
//
// Only what is authentic should be inserted: look first with Contains(), do the work, and let
// Insert() decide between two copies that came at once. If messages of strangers were inserted as
// well, `capacity` of them would make the window forget a captured one.
class ReplayWindow {
 public:
  using Digest = std::array<uint8_t, 32>;  // SHA-256.

  // About 70 bytes a digest. 0 remembers nothing: no message is a replay.
  explicit ReplayWindow(size_t capacity = 65536);

  bool Contains(const Digest& digest) const EXCLUDES(mutex_);
  // Remembers `digest` in the place of the oldest. False, and nothing changes, if it is known.
  [[nodiscard]] bool Insert(const Digest& digest) EXCLUDES(mutex_);
  size_t size() const EXCLUDES(mutex_);

 private:
  const size_t capacity_;
  mutable Mutex mutex_;
  std::vector<Digest> ring_ GUARDED_BY(mutex_);
  size_t oldest_ GUARDED_BY(mutex_) = 0;  // Index in ring_, once that is full.
  absl::flat_hash_set<Digest> known_ GUARDED_BY(mutex_);
};

}  // namespace om

#endif  // OM_SERVER_ADMISSION_REPLAY_WINDOW_H_
