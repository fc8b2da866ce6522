// Which services this node may run, as far as it knows: the records of the transport, asked for,
// held, and given back.
#ifndef OM_SERVER_CORE_OWNERSHIP_TABLE_H_
#define OM_SERVER_CORE_OWNERSHIP_TABLE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/base/clock.h"
#include "server/config/object_path.h"
#include "server/control/decide.h"
#include "server/core/ports.h"

namespace om {

// Confined to the core loop. Reads no clock: moments are given.
class OwnershipTable {
 public:
  // Between two attempts to get, or give back, the same record.
  static constexpr Duration kRetry = std::chrono::seconds(1);
  // How long it is believed that a record is another node's.
  static constexpr Duration kElsewhereHolds = std::chrono::seconds(10);
  // A record is kept at least this long, so that what it was asked for can begin.
  static constexpr Duration kKept = std::chrono::seconds(3);

  // Takes the lease as it is now. Returns what was held and is no longer.
  std::vector<ObjectPath> Renewed(const Lease& lease, MonotonicTime now);

  // Whether to ask for the record now: not while it is held, asked for, or on its way back. If so
  // it counts as asked for until Answered().
  bool BeginAcquire(const ObjectPath& path, MonotonicTime now);
  // Returns whether it is held by now.
  bool Answered(const ObjectPath& path, const absl::StatusOr<Ownership>& answer, MonotonicTime now);

  // From now on this node does not act on it; the record stays known until it is returned.
  void Release(const ObjectPath& path);
  // What to hand back now, with the tokens. Each counts as under way until Released().
  std::vector<std::pair<ObjectPath, uint64_t>> DueReleases(MonotonicTime now);
  void Released(const ObjectPath& path, uint64_t token, const absl::Status& status);

  bool MayAct(const ObjectPath& path, MonotonicTime now) const;
  // Held for long enough that it can be asked whether it is still needed.
  std::vector<ObjectPath> Held(MonotonicTime now) const;

  // For decisions: `now` and `monotonic` are the same moment. Valid until the next call of anything
  // here.
  const std::map<ObjectPath, Ownership>& ForView(absl::Time now, MonotonicTime monotonic);

 private:
  struct Giving {
    uint64_t token = 0;
    bool under_way = false;
    MonotonicTime next_try;
  };

  std::map<ObjectPath, Ownership> records_;    // Held, or known to be another node's.
  std::map<ObjectPath, MonotonicTime> since_;  // Of records_.
  std::map<ObjectPath, MonotonicTime> asked_;  // When last; an entry blocks for kRetry.
  std::set<ObjectPath> acquiring_;
  std::map<ObjectPath, Giving> giving_;
  // Nothing may be done until the transport has said so once.
  MonotonicTime may_act_until_ = MonotonicTime::min();
  absl::Time shown_until_ = absl::InfinitePast();
};

}  // namespace om

#endif  // OM_SERVER_CORE_OWNERSHIP_TABLE_H_
