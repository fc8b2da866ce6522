// One state of the cluster, immutable and cheap to make from the one before.
#ifndef OM_SERVER_STATE_SNAPSHOT_H_
#define OM_SERVER_STATE_SNAPSHOT_H_

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/state/model.h"

namespace om {

// Objects by path, in path order. A copy shares everything with its origin, and a change copies one
// leaf and the list of leaves: about the same with a thousand objects as with ten thousand.
// A value as immutable as its holder: THREAD: any for the const members.
class ObjectTable {
 public:
  // Null: there is none.
  std::shared_ptr<const ObjectState> Find(const ObjectPath& path) const;
  size_t size() const { return size_; }
  // Calls `visit` for each object, in path order.
  void ForEach(const std::function<void(const ObjectState&)>& visit) const;
  // Objects after `path` (all, if null), in order, at most `limit`: for paging.
  std::vector<std::shared_ptr<const ObjectState>> After(const ObjectPath* path, size_t limit) const;

  void Put(std::shared_ptr<const ObjectState> object);
  bool Erase(const ObjectPath& path);

 private:
  using Leaf = std::vector<std::shared_ptr<const ObjectState>>;  // Never empty; in path order.
  // Index of the leaf that holds `path`, or would.
  size_t LeafIndex(const ObjectPath& path) const;

  std::vector<std::shared_ptr<const Leaf>> leaves_;
  size_t size_ = 0;
};

using NodeTable = std::map<std::string, std::shared_ptr<const NodeState>>;
using ThreadTable = std::map<std::string, ThreadStatus>;

struct Snapshot {
  Revision revision{0};
  absl::Time time;         // When this state was made.
  std::string local_node;  // Name of the node that holds this view.
  // None of these pointers is null.
  std::shared_ptr<const ClusterInfo> cluster;
  std::shared_ptr<const NodeTable> nodes;  // Those with data; may lack nodes of cluster->nodes.
  std::shared_ptr<const ThreadTable> threads;
  std::shared_ptr<const ListenerState> listener;
  std::shared_ptr<const SchedulerState> scheduler;
  std::shared_ptr<const std::vector<Alert>> alerts;  // Configuration errors and the like.
  ObjectTable objects;
  int transition_count = 0;    // Instances whose monitor status is a transition.
  bool compat = true;          // All nodes announce the same compat number.
  std::string frozen = "n/a";  // Over the nodes: "frozen", "thawed", "mixed", "n/a".

  const NodeState* node(const std::string& name) const;  // Null: no data.
  const NodeState* local() const { return node(local_node); }
};

using SnapshotPtr = std::shared_ptr<const Snapshot>;

}  // namespace om

#endif  // OM_SERVER_STATE_SNAPSHOT_H_
