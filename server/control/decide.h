// What a node should do next: a pure function of what is known. Leaderless: every node runs it over
// the same merged data, and acts on its own part.
#ifndef OM_SERVER_CONTROL_DECIDE_H_
#define OM_SERVER_CONTROL_DECIDE_H_

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "server/state/model.h"
#include "server/state/snapshot.h"

namespace om {

// The right to run a failover service, as the transport gives it. Known to be another node's (not
// held, `owner` set), an instance that is up is stopped; not known at all, it is asked for.
struct Ownership {
  bool held = false;   // By the node that decides.
  std::string owner;   // Empty: nobody, or not known.
  uint64_t token = 0;  // Fencing token; grows with each acquisition.
  absl::Time may_act_until = absl::InfiniteFuture();
};

struct ControlSettings {
  int max_parallel = 10;  // Transitions at once on a node.
  absl::Duration ready_period = absl::Seconds(5);
  absl::Duration rejoin_grace_period = absl::Seconds(90);
  // How long a silent node that announced its absence is kept, from when it was noticed.
  absl::Duration maintenance_grace_period = absl::Seconds(60);
};

// Everything a decision may depend on. All pointers are borrowed for the time of the call.
struct View {
  const Snapshot* snapshot = nullptr;
  const ControlSettings* settings = nullptr;
  // Objects with a mutating action of this node in flight: nothing more is begun on them.
  const std::set<ObjectPath>* busy = nullptr;
  // Objects of which this node's state is not known yet: nothing is begun on them. Null: none.
  const std::set<ObjectPath>* unevaluated = nullptr;
  // Null: the transport has no ownership, or does not need it (a single node).
  const std::map<ObjectPath, Ownership>* ownership = nullptr;
  absl::Time thread_start;  // Of the monitor, for the rejoin period.
  // The last clean exit of this node, the epoch if never: what peers froze since is frozen here
  // when the rejoin period ends. Unset: it is not (a start after an upgrade).
  std::optional<absl::Time> last_shutdown;
  // Objects to decide about; null: all. What a change of one can matter to is for the caller to
  // know.
  const std::set<ObjectPath>* only = nullptr;
};

enum class CrmVerb {
  kStart,
  kStop,
  kShutdown,
  kRestart,  // Of the whole instance.
  kRestartResources,
  kRestartStandby,
  kToc,
  kProvision,
  kUnprovision,
  kPurge,   // Unprovision; kDelete follows its success.
  kDelete,  // The instance and its configuration; what follows finds neither.
};
const char* CrmVerbName(CrmVerb verb);  // "start", "restart resources" ...

// Run the resource manager on the local instance. While it runs, the monitor status is `status`, if
// that is not empty. At its end AfterCrm() says what comes of it.
struct RunCrm {
  ObjectPath path;
  CrmVerb verb = CrmVerb::kStart;
  std::vector<std::string> words;  // The action and its options, without "--local".
  std::string status;
  std::vector<std::string> rids;  // Of restarts: what is restarted.
  // Monitor status if it fails; empty: that of the verb.
  std::string failed_status = {};
};
// Kill that node with the command configured for it, wait a little for its end, whatever it is, and
// forget the node in the instance's `stonith`. Nothing else is begun on the object meanwhile.
struct FenceNode {
  ObjectPath path;
  std::string node;
};
// Make a new object out of the configuration of `scaler`, without its `scale` and `id`, with these
// keywords of DEFAULT on top, then order it `provisioned`.
struct CreateSlice {
  ObjectPath scaler;
  ObjectPath slice;
  std::map<std::string, std::string> keywords;
};
// Set keywords of DEFAULT of a slice.
struct ResizeSlice {
  ObjectPath slice;
  std::map<std::string, std::string> keywords;
};
// Give a cluster-wide order as an operator would.
struct GiveOrder {
  ObjectPath path;
  std::string global_expect;
};
// The order on the local instance goes on as another one, under the same id.
struct ChangeOrder {
  ObjectPath path;
  std::string global_expect;
};
// Create or remove the flag of the local instance.
struct SetFrozen {
  ObjectPath path;
  bool frozen = false;
};
struct SetNodeFrozen {
  bool frozen = false;
};
// Unset members stay as they are; an empty text clears.
struct MonitorPatch {
  std::optional<std::string> status;
  std::optional<std::string> local_expect;
  std::optional<std::map<std::string, int>> restart;  // Journalled before what follows is run.
  std::optional<std::string> placement;
  std::optional<std::string> stonith;
  std::optional<std::string> restarted;
  std::optional<bool> start_requested;
};
struct SetMonitor {
  ObjectPath path;
  MonitorPatch patch;
};
struct SetNodeStatus {
  std::string status;
};
struct ClearNodeOrder {};        // global_expect
struct ClearNodeLocalExpect {};  // local_expect: carried out.
// A peer stayed away for longer than it may: nothing of it is known any more.
struct ForgetNode {
  std::string node;
};
enum class OrderEnd { kReached, kFailed, kCancelled };
// The order on the local instance is over.
struct ClearOrder {
  ObjectPath path;
  OrderEnd end = OrderEnd::kReached;
  std::string why;  // "stop failed"; empty when it was reached.
};
struct EmitEvent {
  Event event;
};
struct AcquireOwnership {
  ObjectPath path;
};
struct ReleaseOwnership {
  ObjectPath path;
};
// Look again at that moment at the latest.
struct WakeAt {
  absl::Time time;
};

using Action =
    std::variant<RunCrm, FenceNode, CreateSlice, ResizeSlice, GiveOrder, ChangeOrder, SetFrozen,
                 SetNodeFrozen, SetMonitor, SetNodeStatus, ClearNodeOrder, ClearNodeLocalExpect,
                 ForgetNode, ClearOrder, EmitEvent, AcquireOwnership, ReleaseOwnership, WakeAt>;

// What `node`, which must be the local node of the view, should do now, in order. An action on an
// object assumes those on it that came before.
std::vector<Action> Decide(const View& view, const std::string& node, absl::Time now);

// The end of a command.
struct CrmOutcome {
  bool succeeded = false;  // Exit status 0.
  // The instance as evaluated after it; null: no evaluation could be read.
  const InstanceStatus* status = nullptr;
};

// What follows from the end of `action`. A stop that exits 0 and leaves the instance up has failed:
// it is never simply tried again.
std::vector<Action> AfterCrm(const View& view, const std::string& node, const RunCrm& action,
                             const CrmOutcome& outcome, absl::Time now);

// The service does what the order `global_expect` asks for, and the order is over for `node`. False
// for `deleted` and `purged`, which end with the instance, and which AfterCrm() ends.
bool OrderReached(const Snapshot& snapshot, const ObjectState& object, const std::string& node,
                  const std::string& global_expect);

// On a node whose status is `shutting`: its instances of services and volumes are shut down, or
// have failed to since the shutdown began, and nothing is in flight.
bool ShutdownFinished(const View& view, const std::string& node);

}  // namespace om

#endif  // OM_SERVER_CONTROL_DECIDE_H_
