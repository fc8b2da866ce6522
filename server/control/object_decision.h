// The monitor pass of one object. Internal to control: Decide() makes one for each object.
#ifndef OM_SERVER_CONTROL_OBJECT_DECISION_H_
#define OM_SERVER_CONTROL_OBJECT_DECISION_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/control/conditions.h"
#include "server/control/decide.h"
#include "server/control/placement.h"

namespace om {

// Appends actions to `actions`; works on a copy of the instance's monitor that follows them. All
// arguments are borrowed for its lifetime. The object has a configuration and an instance on
// `node`.
class ObjectDecision {
 public:
  ObjectDecision(const View& view, const ObjectState& object, const std::string& node,
                 absl::Time now, bool may_run, std::vector<Action>* actions);

  // Both return whether a command was begun.
  bool Run();
  // On a node that shuts down: order or not, frozen or not. `children_too_long`: children are not
  // waited for any more.
  bool RunShutdown(bool children_too_long);

 private:
  // ---- Acting (object_decision.cc) ----
  const NodeState& local() const { return *snapshot_.local(); }
  const InstanceStatus& status() const { return *instance_.status; }
  bool ordered(const char* word) const { return monitor_.global_expect == word; }
  bool is_flex() const { return config_.topology == "flex"; }
  void Set(MonitorPatch patch);
  void SetStatus(const char* word);
  void SetLocalExpect(const char* word);
  void EndOrder(OrderEnd end, std::string why);
  void Tell(const char* id, const char* reason, const std::string& rid = "",
            Json data = Json::object());
  void Freeze(bool frozen);
  void Begin(RunCrm run);
  void DropRequestedStart();
  // Starts, if ownership allows it.
  void Start(const char* reason, Json data);
  void Stop(const char* reason, Json data, bool force);
  // What is being waited for no longer is.
  void StopWaiting();

  // ---- Ownership (object_decision.cc) ----
  bool NeedsOwnership() const;
  // Asks for it if need be; false: nothing may be started now.
  bool MayStart();
  // Returns true if the instance is being stopped because it is another node's.
  bool KeepOwnership();
  void ReleaseIfUnused();

  // ---- Resources (restarts.cc) ----
  void ArmRestarts();
  // Returns true if something was done that the rest of the decision must wait for.
  bool RestartResources();
  bool CountRestart(const ResourceStatus& resource, int* attempt, bool* toc);
  bool CountStandbyRestart(const ResourceStatus& resource, int* attempt);
  void BeginRestart(CrmVerb verb, const char* word, std::vector<std::string> rids);

  // ---- Orders (order_steps.cc) ----
  void Orchestrate();
  void CarryOut();
  void OrderStopped();
  void OrderStarted();
  void OrderProvisioned();
  // What is removed is down first, children and peers included. False: not yet; what brings it on
  // was begun, or is waited for.
  bool StoppedEverywhere();
  void OrderUnprovisioned();
  void OrderPurged();
  void OrderDeleted();
  void OrderPlaced();
  void OrderPlacedAt();
  void OrderRestarted();
  void Delete(const char* failed_status);
  // The last node goes after the others. True: it is not yet this node's turn.
  bool WaitsForOthers(const char* failed,
                      const std::function<bool(const InstanceState&)>& others_done);
  // Ends the order if a peer has failed to do its part and given up. True if it has.
  bool PeerGaveUp(const char* failed, const std::function<bool(const InstanceState&)>& done);
  bool ChildrenDown() const;
  std::string FirstNode() const;  // Provisions before the others; empty: nobody need wait.
  std::string LastNode() const;   // Unprovisions after the others; empty: nobody need wait.

  // ---- Without an order, or as an order to start goes (automatic.cc) ----
  void Automatic();
  void AutomaticFailover();
  void AutomaticFlex();
  void RequestedStart();
  bool ExpectationIsVain() const;
  bool IsNaturalLeader() const;
  bool IsExcess(int excess) const;
  int UpCount() const;
  bool LeaveWaitParents();
  void GetReady();
  void StartFromReady();
  void StandDown();  // From `ready` and `wait parents`.
  void NoteStonith();
  bool PeerIs(const std::function<bool(const InstanceState&)>& test) const;
  bool PeerInTransition() const;
  bool MayStartUnderOrder() const;

  // ---- Scalers (scaler.cc) ----
  void Scale();

  const View& view_;
  const Snapshot& snapshot_;
  const ObjectState& object_;
  const std::string& node_;
  const absl::Time now_;
  const bool may_run_;
  std::vector<Action>* const actions_;
  const ObjectConfig& config_;
  const InstanceState& instance_;
  InstanceMonitor monitor_;
  const std::vector<std::string> peers_;
  std::vector<std::string> candidates_;
  bool leader_ = false;
  bool began_ = false;
  bool wants_ownership_ = false;
};

}  // namespace om

#endif  // OM_SERVER_CONTROL_OBJECT_DECISION_H_
