// What concerns the node itself. Internal to control.
#ifndef OM_SERVER_CONTROL_NODE_H_
#define OM_SERVER_CONTROL_NODE_H_

#include <string>
#include <vector>

#include "server/control/decide.h"

namespace om {

// Joining, orders on the node, peers that stayed away. Appends to `actions`.
void DecideNode(const View& view, const NodeState& local, absl::Time now,
                std::vector<Action>* actions);

}  // namespace om

#endif  // OM_SERVER_CONTROL_NODE_H_
