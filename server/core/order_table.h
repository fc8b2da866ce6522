// Orders as things of their own: who gave them, what was done for them where, how they ended.
#ifndef OM_SERVER_CORE_ORDER_TABLE_H_
#define OM_SERVER_CORE_ORDER_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/config/object_path.h"
#include "server/control/explain.h"
#include "server/state/change_feed.h"
#include "server/state/model.h"
#include "server/state/snapshot.h"

namespace om {

// Numbers are written to the journal: they only grow.
enum class OrderState {
  kRunning = 1,
  kBlocked = 2,     // Not over: something else must change first.
  kReached = 3,     // Over, all of the following.
  kFailed = 4,      // Given up after a failure.
  kAborted = 5,     // Taken back.
  kSuperseded = 6,  // Replaced by a later order.
};
bool IsOver(OrderState state);
absl::string_view OrderStateName(OrderState state);  // "running", "blocked", ...

// What an order means for one object.
struct OrderPart {
  ObjectPath path;
  OrderState state = OrderState::kRunning;
  std::string reason;  // Why it is blocked, or ended otherwise than reached.
  bool operator==(const OrderPart&) const = default;
};

// Something that a node did for an order.
struct OrderStep {
  std::string node;
  ObjectPath path;
  std::string action;  // "start" here, the monitor's word ("starting") on other nodes.
  absl::Time begin;
  std::optional<absl::Time> end;   // Absent: not ended, or the daemon was killed meanwhile.
  std::optional<int> exit_status;  // Absent: not ended, or not known.
  std::string error;               // How it ended, if not well.
  bool operator==(const OrderStep&) const = default;
};

// An order and what became of it. Immutable once it is in the table.
struct OrderProgress {
  std::string id;  // UUID.
  ObjectPath path;
  std::string global_expect;
  std::string requester;  // Empty: the order came from a peer.
  std::string node;       // Node that took it.
  absl::Time time;
  std::optional<absl::Time> end;
  std::vector<OrderPart> parts;  // The path first, then its slaves. Never empty.
  std::vector<OrderStep> steps;  // Oldest first.
  int dropped_steps = 0;
  std::vector<NodeProgress> nodes;  // What each is doing about it now; not journalled.
  uint64_t version = 0;             // Grows with every change of any order.

  // Blocked or running while a part is (blocked only if no part runs), else the worst end.
  OrderState state() const;
  // Of the part that decides the state; with its path where that is not the order's own.
  std::string reason() const;
  const OrderPart* part(const ObjectPath& object) const;
};
using OrderPtr = std::shared_ptr<const OrderProgress>;

// Orders in progress, at most one part an object, and those that ended lately. What changes it is
// confined to the core loop; readers may be on any thread.
class OrderTable {
 public:
  struct Options {
    size_t max_ended = 1000;
    absl::Duration keep_ended = absl::Hours(1);
    size_t max_steps = 100;  // Of one order; older ones go, and are counted.
    size_t max_parts = 256;  // Of one order; further objects follow it unseen.
  };
  // `clock` is borrowed.
  OrderTable(const Clock* clock, std::string local_node, const Options& options);

  // ---- Reading. THREAD: any ----
  OrderPtr Get(const std::string& id) const EXCLUDES(mutex_);  // Null: not known (any more).
  // Place in the list, newest first.
  struct Position {
    absl::Time time;
    std::string id;
  };
  struct Filter {
    std::optional<ObjectPath> path;  // Orders with a part for it.
    bool only_in_progress = false;
  };
  // At most `limit` orders after `after` (from the newest, if absent).
  std::vector<OrderPtr> List(const std::optional<Position>& after, const Filter& filter,
                             size_t limit) const EXCLUDES(mutex_);
  // Tells that some order changed; see ChangeFeed::Subscribe.
  ChangeFeed* feed() { return &feed_; }

  // ---- Changing: on the loop ----
  // A new order. Ends the parts of earlier orders on the same objects: superseded, or aborted if
  // this one says so. `saved`: it is in the journal already. Observe() must follow.
  void Begin(OrderProgress order, bool saved);
  // The order on `path`, if there is one, is over.
  void End(const ObjectPath& path, OrderState state, const std::string& reason);
  // The same, as far as this node is concerned, before its instance has lost the order: a failure
  // here is none of the order while other nodes still carry it out.
  void EndHere(const ObjectPath& path, OrderState state, const std::string& reason);
  // A command of this node on `path` began; and ended, with an error text if not well. Told only
  // where the object has an order; others are ignored.
  void CommandBegun(const ObjectPath& path, const std::string& action);
  void CommandEnded(const ObjectPath& path, std::optional<int> exit_status,
                    const std::string& error);
  bool HasOrder(const ObjectPath& path) const { return by_path_.count(path) != 0; }
  size_t in_progress() const { return by_path_.size(); }

  // Compares what instances do with what they did: steps of other nodes, flags, and orders whose
  // instance no longer has them. Of all objects with orders, or of one.
  // `settled`: instances that are missing will not turn up any more.
  void Observe(const Snapshot& snapshot, bool settled);
  void Observe(const Snapshot& snapshot, const ObjectPath& path, bool settled);
  // Objects whose orders are to be explained next, at most `limit`, in turn.
  std::vector<ObjectPath> NextToExplain(size_t limit);
  void Explained(const ObjectPath& path, const Explanation& explanation);
  // Forgets what ended too long ago.
  void Expire();

  // ---- The journal ----
  // Orders whose beginning or end has not been given out for writing yet.
  std::vector<OrderProgress> TakeUnsaved();
  // Those could not be written.
  void MarkUnsaved(const std::vector<std::string>& ids);
  bool has_unsaved() const { return !unsaved_.empty(); }
  std::vector<OrderProgress> All() const EXCLUDES(mutex_);  // Oldest first.
  void Restore(OrderProgress order);

 private:
  using Key = std::pair<absl::Time, std::string>;
  // What was last seen of an object with an order.
  struct Seen {
    std::string id;
    std::shared_ptr<const ObjectState> object;
    std::optional<std::string> failure;  // Of this node; others may still succeed.
  };

  // Replaces the order by an edited copy, and tells readers.
  void Edit(const std::string& id, const std::function<void(OrderProgress*)>& edit)
      EXCLUDES(mutex_);
  void EndPart(OrderProgress* order, const ObjectPath& path, OrderState state,
               const std::string& reason);
  void AddStep(OrderProgress* order, OrderStep step) const;
  void ObserveObject(const ObjectPath& path, const std::shared_ptr<const ObjectState>& before,
                     const std::shared_ptr<const ObjectState>& now);
  void Trim() EXCLUDES(mutex_);

  const Clock* const clock_;  // Not owned.
  const std::string local_node_;
  const Options options_;
  ChangeFeed feed_;
  uint64_t version_ = 0;
  std::map<ObjectPath, Seen> by_path_;          // Orders in progress.
  std::map<ObjectPath, std::string> commands_;  // Under way, and the order that each is for.
  std::set<std::string> unsaved_;
  ObjectPath explain_position_;

  mutable Mutex mutex_;
  std::map<std::string, OrderPtr> by_id_ GUARDED_BY(mutex_);
  std::map<Key, OrderPtr> by_time_ GUARDED_BY(mutex_);
  size_t ended_count_ GUARDED_BY(mutex_) = 0;
};

}  // namespace om

#endif  // OM_SERVER_CORE_ORDER_TABLE_H_
