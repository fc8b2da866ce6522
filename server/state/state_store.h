// The one place where the cluster's state changes.
#ifndef OM_SERVER_STATE_STATE_STORE_H_
#define OM_SERVER_STATE_STATE_STORE_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/state/change_feed.h"
#include "server/state/model.h"
#include "server/state/snapshot.h"

namespace om {

// Confined to the core loop, except where it says otherwise. Each mutator that changes something
// makes a new revision and one entry in the feed; one that changes nothing does neither. Several
// mutators in one Batch share one revision. Aggregates are kept right by the mutators themselves.
class StateStore {
 public:
  // `clock` is borrowed. `incarnation` is random, new for each run of the daemon.
  StateStore(const Clock* clock, std::string local_node, std::string incarnation,
             const ChangeFeed::Options& feed_options);

  // The newest state, never null. THREAD: any.
  SnapshotPtr snapshot() const EXCLUDES(mutex_);
  // THREAD: any.
  ChangeFeed* feed() { return &feed_; }
  const std::string& incarnation() const { return incarnation_; }
  const std::string& local_node() const { return local_node_; }
  std::string ResumeToken(Revision revision) const {
    return EncodeResumeToken(incarnation_, revision);
  }

  // While one lives, changes collect; they are published together when the outermost one ends.
  class Batch {
   public:
    explicit Batch(StateStore* store) : store_(store) { ++store_->batch_depth_; }
    ~Batch() {
      if (--store_->batch_depth_ == 0) store_->Publish();
    }
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;

   private:
    StateStore* const store_;  // Not owned.
  };

  // The state as the writer sees it, changes of an unfinished batch included.
  const Snapshot& current() const { return working_; }

  void SetCluster(ClusterInfo cluster);
  void SetListener(ListenerState listener);
  void SetScheduler(SchedulerState scheduler);  // In the feed: the thread "scheduler".
  void SetAlerts(std::vector<Alert> alerts);
  void PutThread(ThreadStatus thread);
  void EraseThread(const std::string& id);
  void PutNode(NodeState node);  // Sets `updated`, unless nothing else differs.
  // Calls `edit` on a copy of the node (a new one with that name if there is none).
  void EditNode(const std::string& name, const std::function<void(NodeState*)>& edit);
  void EraseNode(const std::string& name);  // And its part of every object.

  // Calls `edit` on a copy of the object (a new one with that path if there is none), then puts the
  // aggregate right. An object left with neither configuration nor instance anywhere is removed.
  void EditObject(const ObjectPath& path, const std::function<void(ObjectState*)>& edit);
  void EraseObject(const ObjectPath& path);
  // `edit` is given the local node's instance, made if it is missing.
  void EditInstance(const ObjectPath& path, const std::function<void(InstanceState*)>& edit);

  // What was published since the last call, for a writer that follows its own changes.
  struct Touched {
    std::set<ObjectPath> objects;
    bool nodes = false;  // More of a node than its stats.
  };
  Touched TakeTouched() { return std::exchange(touched_, Touched()); }

  // Sets `time` and `node` if they are not set.
  void Emit(Event event);

 private:
  void Changed();  // Publishes, unless in a batch.
  void Publish() EXCLUDES(mutex_);
  void RecomputeNodes();
  // Aggregates of the objects that have `path` among their slaves.
  void RecomputeMasters(const ObjectPath& path);
  void IndexSlaves(const ObjectState* before, const ObjectState* after);
  Change* pending();

  const Clock* const clock_;  // Not owned.
  const std::string local_node_;
  const std::string incarnation_;
  ChangeFeed feed_;
  Snapshot working_;
  std::unique_ptr<Change> pending_;  // Null: nothing changed since the last revision.
  std::set<ObjectPath> pending_objects_;
  std::set<std::string> pending_nodes_;
  std::set<std::string> pending_threads_;
  Touched touched_;
  int batch_depth_ = 0;
  std::map<ObjectPath, std::set<ObjectPath>> masters_;  // Slave to those that name it.
  std::set<ObjectPath> recomputing_;                    // Stops objects that name each other.
  mutable Mutex mutex_;
  SnapshotPtr published_ GUARDED_BY(mutex_);
};

}  // namespace om

#endif  // OM_SERVER_STATE_STATE_STORE_H_
