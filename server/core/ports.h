// What the core needs from the world. Every call returns at once; `done` is called later, from any
// thread, exactly once, and must hold no lock that the core could want (the core posts itself to
// its loop inside). Implementations are given to the core borrowed and must outlive it, or at least
// answer nothing once it is gone.
#ifndef OM_SERVER_CORE_PORTS_H_
#define OM_SERVER_CORE_PORTS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/base/clock.h"
#include "server/base/loop.h"
#include "server/config/object_path.h"
#include "server/control/decide.h"
#include "server/state/model.h"

namespace om {

template <class T>
using Done = std::function<void(T)>;

// ---- Commands on instances ----

struct CrmCommand {
  // Given as one comma-separated list; empty: a command on the node.
  std::vector<ObjectPath> paths;
  std::vector<std::string> words;                  // "start", "--rid", "app#1"
  bool local = true;                               // Adds "--local".
  std::map<std::string, std::string> environment;  // On top of the daemon's.
  Duration timeout = std::chrono::nanoseconds(0);  // 0: none.
};
struct CrmResult {
  int exit_code = 0;   // Of a process that ended by itself.
  int signal = 0;      // Not 0: it was killed by that signal.
  absl::Status error;  // Not OK: it could not be run, or timed out.
  bool succeeded() const { return error.ok() && signal == 0 && exit_code == 0; }
};
class CrmPort {
 public:
  virtual ~CrmPort() = default;
  virtual void Run(CrmCommand command, Done<CrmResult> done) = 0;
};

// ---- What is on disk about instances ----

// An action that holds the instance's lock, whoever started it.
struct ActionHolder {
  int pid = 0;                     // 0: not said.
  std::string intent;              // The action: "start". Empty: not said.
  std::string rid;                 // Being worked on; empty: not said.
  bool from_daemon = false;        // Started by a daemon, maybe one that is gone; else by a person.
  std::vector<std::string> words;  // The action and its options; empty: not known.
};

struct LoadedInstance {
  // Null: the file is missing or unreadable (`status_error` says why) or still that of `known`.
  std::shared_ptr<const InstanceStatus> status;
  bool unchanged = false;
  absl::Status status_error;
  std::optional<absl::Time> frozen_since;  // Modification time of the flag.
  std::optional<ActionHolder> action;      // Under way, this daemon's own included.
};
class InstanceStatusPort {
 public:
  virtual ~InstanceStatusPort() = default;
  // Reads status.json and the flag. `known` is the `updated` of what the core has; a file of
  // that time need not be read again (`unchanged`); an older one is, as clocks are set back. An
  // error means that not even the flag could be read.
  virtual void Load(const ObjectPath& path, std::optional<absl::Time> known,
                    Done<absl::StatusOr<LoadedInstance>> done) = 0;
  // Sends a signal to the process group of the action that holds the instance's lock, if that is
  // still `pid` and it leads a group.
  virtual void SignalAction(const ObjectPath& path, int pid, int signal) = 0;
};

struct InventoryItem {
  ObjectPath path;
  ObjectConfig config;  // `error` set: the file is there but could not be used.
};
struct Inventory {
  // Nothing differs from the listing before, and the rest is left empty. Now and then a listing
  // says everything all the same.
  bool unchanged = false;
  std::vector<InventoryItem> items;  // Every configuration file of this node.
  std::optional<absl::Time> node_frozen_since;
};
class InventoryPort {
 public:
  virtual ~InventoryPort() = default;
  // Lists them all, in any order. What has not changed since the last call should cost a stat at
  // most.
  virtual void List(Done<absl::StatusOr<Inventory>> done) = 0;
  // The next listing says everything: what the last one said could not all be applied.
  virtual void SayEverything() {}
};

class FlagPort {
 public:
  virtual ~FlagPort() = default;
  // Creates or removes the flag of an instance, or of the node (no path). Answers when it has been
  // frozen; nullopt: it is thawed.
  virtual void SetFrozen(std::optional<ObjectPath> path, bool frozen,
                         Done<absl::StatusOr<std::optional<absl::Time>>> done) = 0;
};

class StampPort {
 public:
  virtual ~StampPort() = default;
  // When that task of the instance last began, as the resource manager noted it; nullopt: never, or
  // nobody can tell.
  virtual void LastRun(const ObjectPath& path, const std::string& rid,
                       Done<std::optional<absl::Time>> done) = 0;
};

class NodeStatsPort {
 public:
  virtual ~NodeStatsPort() = default;
  virtual void Read(Done<absl::StatusOr<NodeStats>> done) = 0;
};

// ---- Peers ----

// What one node tells the others.
struct NodeDataset {
  NodeState node;
  std::map<ObjectPath, ObjectConfig> configs;
  std::map<ObjectPath, InstanceState> instances;
  uint64_t generation = 0;  // Grows with each publication of one daemon run.
  std::string incarnation;  // Of that run.
};

// An order as it travels between nodes.
struct ClusterOrder {
  std::string order_id;
  ObjectPath path;
  std::string global_expect;
  absl::Time time;     // Newest wins.
  std::string origin;  // Node that took it.
};

struct TransportCapabilities {
  bool publish = false;
  bool peer_views = false;
  bool liveness = false;
  bool durable_orders = false;
  bool ownership = false;  // Without: "never two among nodes that see each other" at best.
  bool locks = false;
  bool config_exchange = false;
};

// What this node may act on, and until when.
struct Lease {
  // All records that name this node, with their fencing tokens. Never null.
  std::shared_ptr<const std::map<ObjectPath, uint64_t>> held;
  // Two thirds of the lease after the last renewal that was answered had been sent. Past it nothing
  // is begun on what is held, and the guard stops what runs.
  MonotonicTime may_act_until = MonotonicTime::max();
};

// What a transport tells the core; called on any thread.
class TransportObserver {
 public:
  virtual ~TransportObserver() = default;
  // A peer's newest dataset. Data of one run may come late or twice, `generation` tells; but never
  // that of an earlier run after that of a later one.
  virtual void OnPeerView(std::shared_ptr<const NodeDataset> view) = 0;
  virtual void OnLiveness(const std::string& node, bool alive) = 0;
  // May come late, twice or never: orders are in the nodes' datasets, too.
  virtual void OnOrder(const ClusterOrder& order) = 0;
  // The lease was renewed, or its records changed. Never older than an answer given before: a
  // record that is missing in `held` is lost. Told first when the records of an earlier run of the
  // daemon are known.
  virtual void OnLease(const Lease& lease) = 0;
  virtual void OnPeerConfig(const std::string& node, const ObjectPath& path,
                            const ObjectConfig& config) = 0;
};

struct ConfigFile {
  std::string text;
  absl::Time mtime;
};

class TransportPort {
 public:
  virtual ~TransportPort() = default;
  virtual TransportCapabilities capabilities() const = 0;
  // `observer` is borrowed until Stop() returns. Called once, first.
  virtual absl::Status Start(TransportObserver* observer) = 0;
  virtual void Stop() = 0;

  // Makes this node's data known; a later call replaces one that has not left yet.
  virtual void Publish(std::shared_ptr<const NodeDataset> dataset) = 0;
  // Known peers' newest data, this node not among them. THREAD: any.
  virtual std::vector<std::shared_ptr<const NodeDataset>> PeerViews() const = 0;
  // Whether that node is heard; the local node always is. THREAD: any.
  virtual bool Liveness(const std::string& node) const = 0;
  // Done once the order can no longer be lost.
  virtual void SubmitOrder(const ClusterOrder& order, Done<absl::Status> done) = 0;

  // Answers `held` false and the `owner` if another node has it. A holder that asks again keeps it.
  // `may_act_until` is left alone: OnLease() tells it. After an error, UNAVAILABLE say, the record
  // may be held nevertheless, and OnLease() tells that, too.
  virtual void AcquireOwnership(const ObjectPath& path, Done<absl::StatusOr<Ownership>> done) = 0;
  // Only once the instance is confirmed down. NOT_FOUND: `token` is not the current one. After
  // another error it is to be tried again.
  virtual void ReleaseOwnership(const ObjectPath& path, uint64_t token,
                                Done<absl::Status> done) = 0;

  // A cluster-wide lock, until unlocked or this node is gone. UNAVAILABLE: not got within
  // `timeout`.
  virtual void Lock(const std::string& name, Duration timeout,
                    Done<absl::StatusOr<std::string>> done) = 0;  // Answers the lock's id.
  virtual void Unlock(const std::string& name, const std::string& id, Done<absl::Status> done) = 0;

  // Exchange of configuration files: offers one, fetches that of a peer.
  virtual void OfferConfig(const ObjectPath& path, ConfigFile file, Done<absl::Status> done) = 0;
  virtual void FetchConfig(const std::string& node, const ObjectPath& path,
                           Done<absl::StatusOr<ConfigFile>> done) = 0;
};

// ---- What survives a crash ----

class JournalPort {
 public:
  virtual ~JournalPort() = default;
  // Adds one record, at most 1 MiB. `done` is called in the order of the calls, with OK once the
  // record survives a power loss, or with an error and nothing kept: RESOURCE_EXHAUSTED when the
  // disk is full.
  virtual void Append(std::string record, Done<absl::Status> done) = 0;
  // Replaces everything appended before this call by `records`. On an error all is as before.
  virtual void Rewrite(std::vector<std::string> records, Done<absl::Status> done) = 0;
  // Length of the journal. THREAD: any.
  virtual size_t size_bytes() const = 0;
};

}  // namespace om

#endif  // OM_SERVER_CORE_PORTS_H_
