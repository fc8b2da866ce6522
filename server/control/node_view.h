// What another node would decide, as far as this one can tell. Pure; internal to server/control.
#ifndef OM_SERVER_CONTROL_NODE_VIEW_H_
#define OM_SERVER_CONTROL_NODE_VIEW_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/control/decide.h"

namespace om {

// The view of `node` on some objects, made out of that of the node that asks. Peers are taken to
// have its configuration, to know its orders, and to be busy with nothing but what they show.
class NodeView {
 public:
  // `view` is borrowed for the life of this object.
  NodeView(const View& view, std::string node, const std::set<ObjectPath>& paths);

  std::vector<Action> Decide(absl::Time now) const;
  std::vector<Action> AfterCrm(const RunCrm& action, const CrmOutcome& outcome,
                               absl::Time now) const;

 private:
  View MakeView() const;

  const View& base_;
  const std::string node_;
  const bool is_local_;
  const std::set<ObjectPath>& paths_;
  // Of other nodes; for the one that asks, `base_` serves as it is.
  Snapshot snapshot_;
  std::set<ObjectPath> busy_;
  std::map<ObjectPath, Ownership> ownership_;
};

}  // namespace om

#endif  // OM_SERVER_CONTROL_NODE_VIEW_H_
