// Counts invalid messages by address and shuts out who sends too many.
#ifndef OM_SERVER_ADMISSION_BLACKLIST_H_
#define OM_SERVER_ADMISSION_BLACKLIST_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "server/admission/address.h"
#include "server/base/mutex.h"

namespace om {

// A key that sends `threshold` invalid messages in a row is blacklisted until an operator clears
// it. Every call is O(1), except those that name all entries. THREAD: any.
//
// Bounded: with `max_entries` known, the key whose last invalid message is oldest and that is not
// blacklisted makes room for a new one; when all are blacklisted, the one blacklisted first does.
// So who commands more addresses than there are entries gets `threshold` messages more for each
// round through all of them; that is counted in evicted_blacklisted(). The other choice, refusing
// to remember newcomers, would leave the newcomers' messages uncounted for ever.
class Blacklist {
 public:
  struct Options {
    int threshold = 5;           // Invalid messages in a row; at least 1. Restart needed.
    size_t max_entries = 65536;  // At least 1; about 150 bytes each. Restart needed.

    absl::Status Validate() const;
  };
  struct Entry {
    AdmissionKey key;
    int count = 0;
    bool blacklisted = false;
  };
  struct InvalidResult {
    int count = 0;                    // Of invalid messages in a row, this one included.
    bool became_blacklisted = false;  // It was this message: the moment for an event.
  };

  // `options` must be valid.
  explicit Blacklist(const Options& options);

  // Whether messages of this key are to be dropped, before any work is spent on them.
  bool IsBlacklisted(const AdmissionKey& key) const EXCLUDES(mutex_);
  // Counts an invalid message. One that was let in before the key was blacklisted, and turns out to
  // be invalid only afterwards, is not counted.
  InvalidResult RecordInvalid(const AdmissionKey& key) EXCLUDES(mutex_);
  // Forgets the count of a key that is not blacklisted. Not to be called for a replay, which proves
  // nothing about its sender.
  void RecordValid(const AdmissionKey& key) EXCLUDES(mutex_);

  // Forgets everything, or one key; returns how many of the forgotten keys were blacklisted.
  size_t Clear() EXCLUDES(mutex_);
  size_t Clear(const AdmissionKey& key) EXCLUDES(mutex_);

  // All counts, those below the threshold too; the most recent last, blacklisted ones after others.
  std::vector<Entry> Entries() const EXCLUDES(mutex_);
  size_t size() const EXCLUDES(mutex_);
  // How often a blacklisted key was forgotten for lack of room.
  int64_t evicted_blacklisted() const EXCLUDES(mutex_);

 private:
  using List = std::list<Entry>;

  void MakeRoom() REQUIRES(mutex_);

  const Options options_;
  mutable Mutex mutex_;
  List counted_ GUARDED_BY(mutex_);      // By last invalid message, oldest first.
  List blacklisted_ GUARDED_BY(mutex_);  // By when they were blacklisted, oldest first.
  absl::flat_hash_map<AdmissionKey, List::iterator> by_key_ GUARDED_BY(mutex_);
  int64_t evicted_blacklisted_ GUARDED_BY(mutex_) = 0;
};

}  // namespace om

#endif  // OM_SERVER_ADMISSION_BLACKLIST_H_
