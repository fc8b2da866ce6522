// What the cluster looks like, as plain values. Nothing here changes once it is in a snapshot:
// whoever holds one may read it on any thread.
#ifndef OM_SERVER_STATE_MODEL_H_
#define OM_SERVER_STATE_MODEL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/base/json.h"
#include "server/config/object_path.h"
#include "server/state/availability.h"

namespace om {

// Counts the states of one daemon run, from 1. Two states of one run compare by it.
enum class Revision : uint64_t {};
inline uint64_t ToNumber(Revision revision) { return static_cast<uint64_t>(revision); }

// Monitor statuses and expectations are words, not enums: peers of other versions send words of
// their own, and requests may set any. These are the ones that omd itself acts on.
namespace status_word {
inline constexpr char kIdle[] = "idle";
inline constexpr char kReady[] = "ready";
inline constexpr char kStarting[] = "starting";
inline constexpr char kStopping[] = "stopping";
inline constexpr char kRestarting[] = "restarting";
inline constexpr char kShutdown[] = "shutdown";
inline constexpr char kFreezing[] = "freezing";
inline constexpr char kThawing[] = "thawing";
inline constexpr char kStartFailed[] = "start failed";
inline constexpr char kStopFailed[] = "stop failed";
inline constexpr char kShutdownFailed[] = "shutdown failed";
inline constexpr char kPlaceFailed[] = "place failed";
inline constexpr char kTocFailed[] = "toc failed";
inline constexpr char kWaitParents[] = "wait parents";
inline constexpr char kWaitChildren[] = "wait children";
inline constexpr char kWaitLeader[] = "wait leader";
inline constexpr char kWaitNonLeader[] = "wait non-leader";
inline constexpr char kWaitSync[] = "wait sync";
inline constexpr char kWaitPriors[] = "wait priors";
inline constexpr char kProvisioning[] = "provisioning";
inline constexpr char kUnprovisioning[] = "unprovisioning";
inline constexpr char kDeleting[] = "deleting";
inline constexpr char kTocing[] = "tocing";
inline constexpr char kScaling[] = "scaling";
inline constexpr char kProvisionFailed[] = "provision failed";
inline constexpr char kUnprovisionFailed[] = "unprovision failed";
inline constexpr char kPurgeFailed[] = "purge failed";
inline constexpr char kDeleteFailed[] = "delete failed";
inline constexpr char kRestartFailed[] = "restart failed";
inline constexpr char kFreezeFailed[] = "freeze failed";
inline constexpr char kThawFailed[] = "thaw failed";
inline constexpr char kCreateFailed[] = "create failed";
inline constexpr char kSetFailed[] = "set failed";
// Of nodes.
inline constexpr char kInit[] = "init";
inline constexpr char kRejoin[] = "rejoin";
inline constexpr char kMaintenance[] = "maintenance";
inline constexpr char kUpgrade[] = "upgrade";
inline constexpr char kShutting[] = "shutting";
}  // namespace status_word

namespace expect_word {
inline constexpr char kStarted[] = "started";
inline constexpr char kStopped[] = "stopped";
inline constexpr char kShutdown[] = "shutdown";
inline constexpr char kFrozen[] = "frozen";
inline constexpr char kThawed[] = "thawed";
inline constexpr char kAborted[] = "aborted";
inline constexpr char kProvisioned[] = "provisioned";
inline constexpr char kUnprovisioned[] = "unprovisioned";
inline constexpr char kPurged[] = "purged";
inline constexpr char kDeleted[] = "deleted";
inline constexpr char kPlaced[] = "placed";
inline constexpr char kPlacedAt[] = "placed@";  // Followed by nodes, with commas.
inline constexpr char kRestarted[] = "restarted";
inline constexpr char kRestartedAt[] = "restarted@";  // As 2.1 stores it: followed by a time.
inline constexpr char kUnset[] = "unset";             // Only in requests: clears.
}  // namespace expect_word

// An action is in progress: the word ends in "ing", "scaling" excepted.
bool IsTransition(absl::string_view monitor_status);
bool IsFailed(absl::string_view monitor_status);   // "... failed"
bool IsWaiting(absl::string_view monitor_status);  // "wait ..."

struct ClusterInfo {
  std::string name;
  std::string id;
  std::vector<std::string> nodes;  // As configured, in order.
  bool operator==(const ClusterInfo&) const = default;
};

// One resource of an instance, as the last evaluation saw it.
struct ResourceStatus {
  std::string rid;   // "app#1"
  std::string type;  // "app.forking"
  std::string label;
  Availability status = Availability::kUndef;
  std::optional<bool> provisioned;  // Absent: there is no way to tell.
  std::optional<absl::Time> provisioned_time;
  bool disabled = false;
  bool standby = false;
  bool encap = false;
  bool optional = false;
  bool monitored = false;         // Its loss, once out of restarts, moves the service away.
  int restart = 0;                // How often it is restarted before it counts as lost.
  std::vector<std::string> log;   // "warn: text"
  Json info;                      // An object, or null.
  std::vector<std::string> tags;  // Sorted.
  std::string subset;
};

// What the resource manager wrote about one instance. Built by ParseInstanceStatus() of
// instance_status.h and shared between snapshots.
struct InstanceStatus {
  absl::Time updated;  // When the evaluation began; also the file's modification time.
  std::string kind;
  std::string csum;
  std::string app;
  std::string env;
  Availability avail = Availability::kUndef;
  Availability overall = Availability::kUndef;
  Availability optional = Availability::kNa;
  bool has_avail = false;  // False for objects of other kinds, and while one is being deleted.
  std::optional<bool> provisioned;  // Absent: not known, or nothing to provision.
  std::string topology;             // "failover", "flex", "span"; empty: not said.
  std::string orchestrate = "no";   // "no", "ha", "start".
  std::string placement;
  bool constraints = true;
  int flex_target = 0;
  int flex_min = 0;
  int flex_max = 0;
  std::vector<std::string> parents, children, slaves, scaler_slaves;
  std::optional<int> scale;
  bool scaler_slave = false;
  bool stonith = false;
  bool drp = false;
  bool encap = false;                // This instance lives in a container.
  std::vector<std::string> running;  // Resources an action is working on.
  std::map<std::string, Availability> status_group;
  std::vector<ResourceStatus> resources;  // In the order of the document.
  // The document itself, whole, keys that are not understood included.
  std::shared_ptr<const Json> document;
};

// Service monitor data of one instance ("smon"). Words as in status_word and expect_word; an empty
// expectation is unset.
struct InstanceMonitor {
  std::string status = status_word::kIdle;
  absl::Time status_updated;
  std::string local_expect;
  absl::Time local_expect_updated;
  std::string global_expect;
  absl::Time global_expect_updated;
  std::string placement;               // "leader" or empty.
  std::map<std::string, int> restart;  // Attempts by resource; no entry is none.
  std::string stonith;                 // Node to kill before a takeover; empty: none.
  // local_expect `started` was asked for while the instance was not up; local, told to nobody.
  bool start_requested = false;
  std::string order_id;   // Of the order in global_expect; empty: none, or a peer's.
  std::string restarted;  // Order to restart that was last carried out; see OrderKey().
  bool operator==(const InstanceMonitor&) const = default;
};

// What tells one order from the next, on all nodes alike.
inline const std::string& OrderKey(const InstanceMonitor& monitor) {
  return monitor.order_id.empty() ? monitor.global_expect : monitor.order_id;
}

struct InstanceState {
  // Null until the resource manager has written once. Kept when the file vanishes during an action.
  std::shared_ptr<const InstanceStatus> status;
  std::optional<absl::Time> frozen_since;  // Own flag only; a frozen node does not show here.
  InstanceMonitor monitor;

  bool frozen() const { return frozen_since.has_value(); }
  std::optional<Availability> avail() const {
    if (status == nullptr || !status->has_avail) return std::nullopt;
    return status->avail;
  }
};

// A task of an object, or a sync of its files, and when it runs.
struct TaskSchedule {
  std::string rid;
  std::string schedule;  // As written; see Schedule of server/config.
  bool sync = false;
  bool operator==(const TaskSchedule&) const = default;
};

// How long commands of the resource manager on one instance may take. Zero: the node's default.
struct ActionLimits {
  absl::Duration start, stop, provision, unprovision, run;
  bool operator==(const ActionLimits&) const = default;
};

// The configuration of an object as one node has it. The first block is what nodes tell each other;
// the second is read from the local file and empty for peers.
struct ObjectConfig {
  absl::Time mtime;
  std::string csum;                // Hex MD5 of the text.
  std::vector<std::string> scope;  // nodes + drpnodes, sorted.

  std::string error;                  // Why the file could not be used; empty: it can.
  std::vector<std::string> warnings;  // What is wrong with it all the same.
  std::vector<std::string> nodes;     // In order of preference.
  std::vector<std::string> drpnodes;
  std::string topology = "failover";
  std::string orchestrate = "no";
  std::string placement = "nodes order";
  bool disabled = false;
  bool rollback = true;
  int flex_target = 0;
  int flex_min = 0;
  int flex_max = 0;
  std::vector<std::string> parents, children, slaves, scaler_slaves;
  std::optional<int> scale;
  bool scaler_slave = false;  // A slice of a scaler.
  // Objects that must (hard) or should (soft) run, or not run (anti), where this one does.
  std::vector<std::string> hard_affinity, hard_anti_affinity, soft_affinity, soft_anti_affinity;
  std::string monitor_action;  // "freezestop", "switch", "reboot", "crash"; empty: none.
  bool stonith = false;        // A node that ran it and is gone is killed before a takeover.
  std::string status_schedule = "@10";  // When the status is refreshed.
  std::string monitor_schedule;         // Of monitored resources; empty: the default.
  std::vector<TaskSchedule> tasks;
  ActionLimits limits;
  bool operator==(const ObjectConfig&) const = default;
};

// Over all instances that have data.
struct Aggregate {
  std::optional<Availability> avail;    // Absent for objects of topology `span`: they have none.
  std::optional<Availability> overall;  // The same.
  std::string frozen;                   // "frozen", "thawed", "mixed", "n/a".
  std::string placement;                // "optimal", "non-optimal", "n/a".
  std::string provisioned;              // "true", "false", "mixed", "n/a".
  bool empty() const { return !avail.has_value(); }
  bool operator==(const Aggregate&) const = default;
};

struct ObjectState {
  ObjectPath path;
  std::map<std::string, ObjectConfig> configs;     // By node.
  std::map<std::string, InstanceState> instances;  // By node.
  Aggregate aggregate;

  const ObjectConfig* config(const std::string& node) const;     // Null: that node has none.
  const InstanceState* instance(const std::string& node) const;  // Null: that node has none.
};

// Node monitor data ("nmon").
struct NodeMonitor {
  std::string status = status_word::kInit;
  absl::Time status_updated;
  std::string local_expect;
  std::string global_expect;
  absl::Time global_expect_updated;
  bool operator==(const NodeMonitor&) const = default;
};

struct NodeStats {
  double load_15m = 0;
  int64_t mem_total_mib = 0;
  int mem_avail_percent = 0;
  int64_t swap_total_mib = 0;
  int swap_avail_percent = 0;
  int score = 0;
  bool operator==(const NodeStats&) const = default;
};
// The legacy formula over the other members.
int NodeScore(const NodeStats& stats);

struct NodeState {
  std::string name;
  std::string agent_version;
  int compat = 0;
  int api = 0;
  std::string env;
  std::map<std::string, std::string> labels;
  std::vector<std::string> targets;
  std::optional<absl::Time> frozen_since;
  NodeStats stats;
  int min_avail_mem_percent = 2;
  int min_avail_swap_percent = 10;
  NodeMonitor monitor;
  std::string config_csum;  // Of node.conf.
  bool speaker = false;
  bool alive = true;  // As the transport sees it; always true of the local node.
  absl::Time updated;

  bool frozen() const { return frozen_since.has_value(); }
  // Short of memory or swap, by its own limits.
  bool overloaded() const;
};

enum class ThreadState { kRunning, kStopping, kStopped, kTerminated };
absl::string_view ThreadStateName(ThreadState state);  // "running", "stopping", ...

struct Alert {
  enum class Severity { kWarning, kError };
  Severity severity = Severity::kWarning;
  std::string message;
  bool operator==(const Alert&) const = default;
};

// A supervised component, what the legacy agent calls a thread.
struct ThreadStatus {
  std::string id;  // "listener", "hb#1.tx"
  ThreadState state = ThreadState::kStopped;
  absl::Time created;
  absl::Time configured;  // When it last took its configuration.
  int kernel_tid = 0;     // 0: it has no thread of its own.
  int64_t restart_count = 0;
  std::string last_error;
  std::vector<Alert> alerts;
  bool operator==(const ThreadStatus&) const = default;
};

// Where the packet listener listens, or tries to.
struct ListenerAddress {
  std::string addr;
  int port = 0;
  std::string error;  // Empty: it listens.
  bool operator==(const ListenerAddress&) const = default;
};
struct ListenerState {
  std::string configured_addr;
  int configured_port = 0;
  std::vector<ListenerAddress> addresses;
  bool operator==(const ListenerState&) const = default;
};

// What the scheduler does.
struct DelayedTask {
  std::string action;  // "run"
  ObjectPath path;
  std::string rid;  // Empty: the whole instance.
  absl::Time queued;
  absl::Time expire;  // When it is to begin; not after `queued`: it waits for another to end.
  bool operator==(const DelayedTask&) const = default;
};
struct SchedulerState {
  int running = 0;           // Commands.
  size_t delayed_count = 0;  // Of which `delayed` shows the first, by path.
  std::vector<DelayedTask> delayed;
  bool operator==(const SchedulerState&) const = default;
};

// What happened, told to watchers and logged. `data` carries the keys that are particular to `id`.
struct Event {
  std::string id;      // "instance_start"
  std::string reason;  // "single_node"; may be empty.
  std::optional<ObjectPath> path;
  std::string rid;
  Json data = Json::object();
  absl::Time time;   // Set when it is emitted.
  std::string node;  // Set when it is emitted.
};

}  // namespace om

#endif  // OM_SERVER_STATE_MODEL_H_
