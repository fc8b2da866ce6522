// Why an order is where it is, in words, and what one would do. Pure. THREAD: any.
#ifndef OM_SERVER_CONTROL_EXPLAIN_H_
#define OM_SERVER_CONTROL_EXPLAIN_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/config/object_path.h"
#include "server/control/decide.h"

namespace om {

// What a node is doing about an order on one object.
struct NodeProgress {
  std::string node;
  ObjectPath path;
  std::string text;  // "starting", "waits: ...", "blocked: frozen", "done".
  bool operator==(const NodeProgress&) const = default;
};

struct Explanation {
  std::vector<NodeProgress> nodes;  // In the order of the service's nodes.
  // Nothing is being done, and nothing will be until what `reason` names changes by itself.
  bool blocked = false;
  std::string reason;
};

// Explains the order on the local instance of `path`. `paused`: the monitor of this node is
// stopped. An object without order, or unknown, has an empty explanation.
Explanation Explain(const View& view, const ObjectPath& path, absl::Time now, bool paused);

// Something that a node would do.
struct PlannedAction {
  std::string node;
  ObjectPath path;
  std::string action;  // "freeze", "start" ...
  int round = 0;       // Actions of one round happen at the same time; from 1.
  bool operator==(const PlannedAction&) const = default;
};

struct Plan {
  std::vector<PlannedAction> actions;  // In order.
  bool reached = false;                // Where it ends.
  std::string reason;                  // Not reached: why nothing (more) would be done.
};

// What the order `global_expect` on `paths` (an object and its slaves) would have all nodes do if
// every action succeeded at once: it is played through on copies, round by round, at most
// kMaxPlanRounds of them. Peers are taken to have the configuration that this node has.
inline constexpr int kMaxPlanRounds = 40;
Plan PlanOrder(const View& view, const std::vector<ObjectPath>& paths,
               const std::string& global_expect, absl::Time now, bool paused);

}  // namespace om

#endif  // OM_SERVER_CONTROL_EXPLAIN_H_
