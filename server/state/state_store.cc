#include "server/state/state_store.h"

#include <utility>

#include "server/state/aggregate.h"

namespace om {

StateStore::StateStore(const Clock* clock, std::string local_node, std::string incarnation,
                       const ChangeFeed::Options& feed_options)
    : clock_(clock),
      local_node_(std::move(local_node)),
      incarnation_(std::move(incarnation)),
      feed_(feed_options) {
  working_.time = clock_->Now();
  working_.local_node = local_node_;
  working_.cluster = std::make_shared<ClusterInfo>();
  working_.nodes = std::make_shared<NodeTable>();
  working_.threads = std::make_shared<ThreadTable>();
  working_.listener = std::make_shared<ListenerState>();
  working_.scheduler = std::make_shared<SchedulerState>();
  working_.alerts = std::make_shared<std::vector<Alert>>();
  published_ = std::make_shared<Snapshot>(working_);
}

SnapshotPtr StateStore::snapshot() const {
  MutexLock lock(&mutex_);
  return published_;
}

Change* StateStore::pending() {
  if (pending_ == nullptr) pending_ = std::make_unique<Change>();
  return pending_.get();
}

void StateStore::Changed() {
  if (batch_depth_ == 0) Publish();
}

void StateStore::Publish() {
  if (pending_ == nullptr) return;
  working_.revision = Revision{ToNumber(working_.revision) + 1};
  working_.time = clock_->Now();
  std::shared_ptr<Change> change = std::move(pending_);
  change->revision = working_.revision;
  change->time = working_.time;
  change->objects.assign(pending_objects_.begin(), pending_objects_.end());
  change->nodes.assign(pending_nodes_.begin(), pending_nodes_.end());
  change->threads.assign(pending_threads_.begin(), pending_threads_.end());
  touched_.objects.merge(pending_objects_);
  pending_objects_.clear();
  pending_nodes_.clear();
  pending_threads_.clear();
  auto snapshot = std::make_shared<const Snapshot>(working_);
  {
    MutexLock lock(&mutex_);
    published_.swap(snapshot);
  }
  // After the snapshot: who reads of a change must find it in the snapshot.
  feed_.Append(std::move(change));
}  // The old snapshot dies here, outside the lock, if nobody else holds it.

void StateStore::SetCluster(ClusterInfo cluster) {
  if (*working_.cluster == cluster) return;
  working_.cluster = std::make_shared<ClusterInfo>(std::move(cluster));
  touched_.nodes = true;
  pending()->cluster = true;
  Changed();
}

void StateStore::SetListener(ListenerState listener) {
  if (*working_.listener == listener) return;
  working_.listener = std::make_shared<ListenerState>(std::move(listener));
  pending()->listener = true;
  Changed();
}

void StateStore::SetScheduler(SchedulerState scheduler) {
  if (*working_.scheduler == scheduler) return;
  working_.scheduler = std::make_shared<SchedulerState>(std::move(scheduler));
  pending();
  pending_threads_.insert("scheduler");
  Changed();
}

void StateStore::SetAlerts(std::vector<Alert> alerts) {
  if (*working_.alerts == alerts) return;
  working_.alerts = std::make_shared<std::vector<Alert>>(std::move(alerts));
  pending()->alerts = true;
  Changed();
}

void StateStore::PutThread(ThreadStatus thread) {
  const auto it = working_.threads->find(thread.id);
  if (it != working_.threads->end() && it->second == thread) return;
  auto threads = std::make_shared<ThreadTable>(*working_.threads);
  pending();
  pending_threads_.insert(thread.id);
  std::string id = thread.id;
  threads->insert_or_assign(std::move(id), std::move(thread));
  working_.threads = std::move(threads);
  Changed();
}

void StateStore::EraseThread(const std::string& id) {
  if (working_.threads->count(id) == 0) return;
  auto threads = std::make_shared<ThreadTable>(*working_.threads);
  threads->erase(id);
  working_.threads = std::move(threads);
  pending();
  pending_threads_.insert(id);
  Changed();
}

namespace {

// `updated` aside.
bool SameNode(const NodeState& a, const NodeState& b) {
  return a.name == b.name && a.agent_version == b.agent_version && a.compat == b.compat &&
         a.api == b.api && a.env == b.env && a.labels == b.labels && a.targets == b.targets &&
         a.frozen_since == b.frozen_since && a.stats == b.stats &&
         a.min_avail_mem_percent == b.min_avail_mem_percent &&
         a.min_avail_swap_percent == b.min_avail_swap_percent && a.monitor == b.monitor &&
         a.config_csum == b.config_csum && a.speaker == b.speaker && a.alive == b.alive;
}

// Paths of the slaves that any node names.
std::set<ObjectPath> SlavesOf(const ObjectState& object) {
  std::set<ObjectPath> slaves;
  const auto add = [&](const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      const absl::StatusOr<ObjectPath> path = ObjectPath::ParseRelative(name, object.path.ns());
      if (path.ok() && *path != object.path) slaves.insert(*path);
    }
  };
  for (const auto& [node, config] : object.configs) {
    add(config.slaves);
    add(config.scaler_slaves);
  }
  for (const auto& [node, instance] : object.instances) {
    if (instance.status == nullptr) continue;
    add(instance.status->slaves);
    add(instance.status->scaler_slaves);
  }
  return slaves;
}

bool SameInstance(const InstanceState& a, const InstanceState& b) {
  return a.status == b.status && a.frozen_since == b.frozen_since && a.monitor == b.monitor;
}

bool SameObject(const ObjectState& a, const ObjectState& b) {
  if (a.configs != b.configs || a.instances.size() != b.instances.size()) return false;
  auto other = b.instances.begin();
  for (const auto& [node, instance] : a.instances) {
    if (node != other->first || !SameInstance(instance, other->second)) return false;
    ++other;
  }
  return a.aggregate == b.aggregate;
}

}  // namespace

void StateStore::PutNode(NodeState node) {
  const NodeState* old = working_.node(node.name);
  if (old != nullptr && SameNode(*old, node)) return;
  NodeState but_stats = node;
  if (old != nullptr) but_stats.stats = old->stats;
  touched_.nodes = touched_.nodes || old == nullptr || !SameNode(*old, but_stats);
  node.updated = clock_->Now();
  auto nodes = std::make_shared<NodeTable>(*working_.nodes);
  pending();
  pending_nodes_.insert(node.name);
  std::string name = node.name;
  nodes->insert_or_assign(std::move(name), std::make_shared<NodeState>(std::move(node)));
  working_.nodes = std::move(nodes);
  RecomputeNodes();
  Changed();
}

void StateStore::EditNode(const std::string& name, const std::function<void(NodeState*)>& edit) {
  NodeState node;
  if (const NodeState* old = working_.node(name)) node = *old;
  node.name = name;
  edit(&node);
  PutNode(std::move(node));
}

void StateStore::EraseNode(const std::string& name) {
  const Batch batch(this);
  if (working_.node(name) != nullptr) {
    touched_.nodes = true;
    auto nodes = std::make_shared<NodeTable>(*working_.nodes);
    nodes->erase(name);
    working_.nodes = std::move(nodes);
    pending();
    pending_nodes_.insert(name);
    RecomputeNodes();
  }
  std::vector<ObjectPath> affected;
  working_.objects.ForEach([&](const ObjectState& object) {
    if (object.configs.count(name) != 0 || object.instances.count(name) != 0) {
      affected.push_back(object.path);
    }
  });
  for (const ObjectPath& path : affected) {
    EditObject(path, [&](ObjectState* object) {
      object->configs.erase(name);
      object->instances.erase(name);
    });
  }
}

void StateStore::RecomputeNodes() {
  working_.frozen = AggregateNodesFrozen(*working_.nodes);
  working_.compat = true;
  for (const auto& [name, node] : *working_.nodes) {
    working_.compat = working_.compat && node->compat == working_.nodes->begin()->second->compat;
  }
}

void StateStore::EditObject(const ObjectPath& path, const std::function<void(ObjectState*)>& edit) {
  const std::shared_ptr<const ObjectState> old = working_.objects.Find(path);
  auto object =
      old == nullptr ? std::make_shared<ObjectState>() : std::make_shared<ObjectState>(*old);
  object->path = path;
  edit(object.get());
  if (object->configs.empty() && object->instances.empty()) {
    EraseObject(path);
    return;
  }
  object->aggregate = AggregateObject(*object, working_.objects);
  if (old != nullptr && SameObject(*old, *object)) return;
  working_.transition_count +=
      TransitionCount(*object) - (old == nullptr ? 0 : TransitionCount(*old));
  IndexSlaves(old.get(), object.get());
  const bool aggregate_changed = old == nullptr || !(old->aggregate == object->aggregate);
  working_.objects.Put(std::move(object));
  pending();
  pending_objects_.insert(path);
  if (aggregate_changed) RecomputeMasters(path);
  Changed();
}

void StateStore::EraseObject(const ObjectPath& path) {
  const std::shared_ptr<const ObjectState> old = working_.objects.Find(path);
  if (old == nullptr) return;
  working_.transition_count -= TransitionCount(*old);
  IndexSlaves(old.get(), nullptr);
  working_.objects.Erase(path);
  pending();
  pending_objects_.insert(path);
  RecomputeMasters(path);
  Changed();
}

void StateStore::IndexSlaves(const ObjectState* before, const ObjectState* after) {
  if (before != nullptr) {
    for (const ObjectPath& slave : SlavesOf(*before)) {
      const auto it = masters_.find(slave);
      if (it == masters_.end()) continue;
      it->second.erase(before->path);
      if (it->second.empty()) masters_.erase(it);
    }
  }
  if (after != nullptr) {
    for (const ObjectPath& slave : SlavesOf(*after)) masters_[slave].insert(after->path);
  }
}

void StateStore::RecomputeMasters(const ObjectPath& path) {
  const auto it = masters_.find(path);
  if (it == masters_.end() || !recomputing_.insert(path).second) return;
  const Batch batch(this);
  const std::set<ObjectPath> masters = it->second;
  for (const ObjectPath& master : masters) {
    if (working_.objects.Find(master) != nullptr) EditObject(master, [](ObjectState*) {});
  }
  recomputing_.erase(path);
}

void StateStore::EditInstance(const ObjectPath& path,
                              const std::function<void(InstanceState*)>& edit) {
  EditObject(path, [&](ObjectState* object) { edit(&object->instances[local_node_]); });
}

void StateStore::Emit(Event event) {
  if (event.time == absl::Time()) event.time = clock_->Now();
  if (event.node.empty()) event.node = local_node_;
  pending()->events.push_back(std::make_shared<const Event>(std::move(event)));
  Changed();
}

}  // namespace om
