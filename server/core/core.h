// The core loop: owns the cluster's state, takes orders, runs the monitor, keeps the journal.
#ifndef OM_SERVER_CORE_CORE_H_
#define OM_SERVER_CORE_CORE_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/base/clock.h"
#include "server/base/counters.h"
#include "server/base/loop.h"
#include "server/base/random.h"
#include "server/control/decide.h"
#include "server/control/explain.h"
#include "server/core/order_table.h"
#include "server/core/ports.h"
#include "server/core/request_table.h"
#include "server/state/state_store.h"

namespace om {

// What of the configuration the core works with. Applied again, whole, when files change.
struct CoreSettings {
  ClusterInfo cluster;
  std::string agent_version;
  int compat = 10;
  int api = 7;
  std::string env = "TST";
  std::map<std::string, std::string> labels;
  std::vector<std::string> targets;
  int min_avail_mem_percent = 2;
  int min_avail_swap_percent = 10;
  std::string config_csum;  // Of node.conf.
  ControlSettings control;
  // Limit of one command on an instance whose configuration says none; 0: none.
  Duration crm_timeout = std::chrono::nanoseconds(0);
  // Limit of an evaluation of instances; 0: none.
  Duration status_timeout = std::chrono::nanoseconds(0);
};

// How this run of the daemon came about.
struct StartFacts {
  // The host was started since the last run: instances are cleaned up before they are looked at.
  bool rebooted = false;
  bool freeze_node = false;    // The kernel's command line asks for it; heeded after a reboot.
  bool after_upgrade = false;  // The node is frozen until all others are there.
  // Of this node's daemon before this one. Unset: there was none, or it did not end well.
  std::optional<absl::Time> last_shutdown;
};

struct InstanceMonitorOrder {
  ObjectPath path;
  // Unset: leave as it is. "unset": clear.
  std::optional<std::string> status;
  std::optional<std::string> local_expect;
  std::optional<std::string> global_expect;
  bool reset_retries = false;
  std::optional<std::string> stonith;
  std::string requester;  // Who asks, for the order's record.
};

// What came of an order on one path. The doors make the texts.
struct OrderOutcome {
  enum class Kind {
    // Set to `value`, which names a node where placed@<peer> was asked for; empty if the order had
    // no global_expect.
    kAccepted,
    kIgnored,               // Accepted, but an instance without resources does not take it.
    kAlreadyInState,        // Not set: the service is `state` already ("up", "down" ...).
    kUnknownService,        // Error.
    kInstanceBusy,          // Error: on `node`, in `state`.
    kInvalidValue,          // Error: `value` is no global_expect.
    kUnsupportedValue,      // Error: `value` is one that this omd does not carry out yet.
    kEmptyDestination,      // Error, placed@.
    kTooManyDestinations,   // Error, placed@ on a failover service.
    kUnknownDestination,    // Error, placed@: `node` has no instance.
    kAlreadyAtDestination,  // Not set: already up on `node`.
    kNoDestination,  // Error, placed@<peer>: no destination was named, and none can be chosen.
    kNoCandidate,    // Error, placed@<peer>.
    kMixedVersions,  // Error, placed: nothing would be started while nodes' versions differ.
  };
  static constexpr Kind kLastKind = Kind::kMixedVersions;
  Kind kind = Kind::kAccepted;
  ObjectPath path;
  std::string value;
  std::string node;
  std::string state;
  bool is_error() const {
    return kind != Kind::kAccepted && kind != Kind::kIgnored && kind != Kind::kAlreadyInState &&
           kind != Kind::kAlreadyAtDestination;
  }
};
struct OrderAnswer {
  std::string order_id;                // Empty: no order was set.
  bool applied = false;                // On at least one path.
  std::vector<OrderOutcome> outcomes;  // The path first, then its slaves.
  int error_count() const;
};

struct ClearAnswer {
  bool cleared = false;
  std::string status;  // Of the instance monitor before; not cleared: the transition it is in.
};

struct NodeMonitorOrder {
  // Unset: leave as it is. "unset": clear.
  std::optional<std::string> status;
  std::optional<std::string> local_expect;
  std::optional<std::string> global_expect;
};
struct NodeMonitorAnswer {
  NodeMonitor monitor;   // As it is afterwards.
  bool applied = false;  // False: all nodes are as ordered already, or nothing was asked for.
};

// What an order would do.
struct OrderPreview {
  std::vector<OrderOutcome> outcomes;  // As the order itself would be answered.
  Plan plan;                           // Of the paths that would take it; empty if none would.
};

struct ShutdownAnswer {
  std::vector<ObjectPath> failed;  // Instances of this node that could not be shut down.
};

// THREAD: any, for all public methods unless they say otherwise: they post to the loop. Callbacks
// run on the loop and must be quick. Once stopped, callbacks get UNAVAILABLE, reason
// DAEMON_STOPPING.
class Core final : public TransportObserver {
 public:
  struct Options {
    std::string local_node;
    std::string incarnation;  // Random uuid of this run.
    CoreSettings settings;
    StartFacts start;
    // Called on the loop once the clean-up after a reboot has ended. May be null.
    std::function<void()> booted;
    // Called on the loop once the inventory was looked at for the first time, whatever came of it.
    // May be null.
    std::function<void()> listed = {};
    // How long the start waits for the first evaluations. What is not evaluated by then is left
    // alone until it is.
    Duration evaluation_patience = std::chrono::seconds(15);
    ChangeFeed::Options feed;
    RequestTable::Options requests;
    OrderTable::Options orders;
    Duration tick = std::chrono::milliseconds(500);
    Duration max_pass_interval = std::chrono::seconds(15);
    // False: every pass looks at every object, not only at those that something happened to.
    bool partial_passes = true;
    // How often the inventory is listed and instances' files are looked at, when nothing says they
    // changed. At most `sweep_size` instances a pass.
    Duration inventory_interval = std::chrono::seconds(1);
    size_t sweep_size = 200;
    size_t journal_compact_bytes = 4 << 20;
    size_t max_orders_in_progress = 10'000;  // Waiting for the journal; past it RESOURCE_EXHAUSTED.
  };
  // All borrowed; must outlive the core.
  struct Ports {
    Loop* loop = nullptr;
    const Clock* clock = nullptr;
    SecureRandom* secure_random = nullptr;
    CrmPort* crm = nullptr;
    InstanceStatusPort* instances = nullptr;
    InventoryPort* inventory = nullptr;
    FlagPort* flags = nullptr;
    NodeStatsPort* stats = nullptr;
    TransportPort* transport = nullptr;
    JournalPort* journal = nullptr;
    Counters* counters = nullptr;
  };
  Core(Options options, const Ports& ports);
  ~Core() override;  // After Stop(), with the loop at rest or on it.

  // Restores what `journal_records` (oldest first, as read by the journal at its opening) say, then
  // begins: evaluates all instances, joins, becomes idle. Once. Records that make no sense are
  // counted and logged, and do not keep it from starting.
  void Start(std::vector<std::string> journal_records);
  // Ends the monitor and refuses further changes. Commands that run are left to end by themselves.
  // `done` runs on the loop when nothing of the core will run any more but answers of ports.
  void Stop(const std::function<void()>& done);

  // ---- Reading ----
  SnapshotPtr snapshot() const { return store_.snapshot(); }
  ChangeFeed* feed() { return store_.feed(); }
  // Only what it says any thread may call.
  OrderTable* orders() { return &orders_; }
  const std::string& incarnation() const { return store_.incarnation(); }
  const std::string& local_node() const { return store_.local_node(); }
  std::string ResumeToken(Revision revision) const { return store_.ResumeToken(revision); }

  // ---- Changing: answered once journalled ----
  // An error is about the request (reused id, journal full, stopping); what the checks found is in
  // the answer. Applies to slaves, too.
  void SetInstanceMonitor(InstanceMonitorOrder order, RequestKey key,
                          const Done<absl::StatusOr<OrderAnswer>>& done);
  // Changes nothing and says what that order, which must have a `global_expect`, would do.
  void PreviewOrder(InstanceMonitorOrder order, const Done<absl::StatusOr<OrderPreview>>& done);
  void ClearInstance(ObjectPath path, RequestKey key,
                     const Done<absl::StatusOr<ClearAnswer>>& done);
  void SetNodeMonitor(NodeMonitorOrder order, RequestKey key,
                      const Done<absl::StatusOr<NodeMonitorAnswer>>& done);

  // Shuts the instances of this node down, children first, and announces `shutting` to peers;
  // answers when none is left to shut down, or to wait for. What runs is waited for, within the
  // limits of commands. Nothing is begun on the node afterwards; ending the daemon is for the
  // caller. Called again it waits for the first one. ABORTED, reason SHUTDOWN_CANCELLED: an
  // operator gave the node monitor another status meanwhile.
  void Shutdown(const Done<absl::StatusOr<ShutdownAnswer>>& done);

  // For changing calls that are carried out elsewhere. `begun` is told once: nullopt, the caller
  // must do it and then call EndRequest; or the answer (or error) to give again.
  void BeginRequest(RequestKey key,
                    const std::function<void(std::optional<absl::StatusOr<std::string>>)>& begun);
  // Journals the answer, then runs `done`. With an error the answer holds but is not remembered.
  void EndRequest(RequestKey key, absl::StatusOr<std::string> answer,
                  const Done<absl::Status>& done);

  // ---- The monitor as a component ----
  // Paused, it begins nothing: orders are taken and wait, states are still read. Runs after
  // Start().
  void PauseMonitor(const std::function<void()>& done);
  void ResumeMonitor(const std::function<void()>& done);

  // ---- Notices ----
  // That instance's files changed, or (no path) something did: look at it in the next pass.
  void WakeMonitor(std::optional<ObjectPath> path);
  // Runs a status evaluation of the instance.
  void RefreshInstance(ObjectPath path);
  void ReloadInventory();
  void ApplySettings(CoreSettings settings);
  void UpdateThread(ThreadStatus thread);
  void UpdateScheduler(SchedulerState scheduler);
  void UpdateListener(ListenerState listener);
  void SetAlerts(std::vector<Alert> alerts);
  void EmitEvent(Event event);

  // ---- TransportObserver ----
  void OnPeerView(std::shared_ptr<const NodeDataset> view) override;
  void OnLiveness(const std::string& node, bool alive) override;
  void OnOrder(const ClusterOrder& order) override;
  void OnLease(const Lease& lease) override;
  void OnPeerConfig(const std::string& node, const ObjectPath& path,
                    const ObjectConfig& config) override;

 private:
  class Impl;

  StateStore store_;
  OrderTable orders_;
  std::shared_ptr<Impl> impl_;
};

// The checks of an order on one path and, with `global_expect`, its slaves; nothing is changed.
// Pure.
std::vector<OrderOutcome> CheckOrder(const Snapshot& snapshot, const InstanceMonitorOrder& order);

}  // namespace om

#endif  // OM_SERVER_CORE_CORE_H_
