// Orders of peers: which are taken over, and when an order of one's own counts as given.
#ifndef OM_SERVER_CONTROL_PEER_ORDERS_H_
#define OM_SERVER_CONTROL_PEER_ORDERS_H_

#include <string>

#include "absl/time/time.h"
#include "server/state/model.h"
#include "server/state/snapshot.h"

namespace om {

// Whether a peer's order `global_expect` is still worth beginning on `node`: an order that is done
// here already, or that the state of the instance forbids, is not taken over. Does not compare
// times. Pure.
bool AdoptsOrder(const ObjectState& object, const std::string& node,
                 const std::string& global_expect);

// The time of an order given on `object` now: later than that of any order that the nodes know of,
// whatever their clocks say, or it would be taken for one that is over.
absl::Time OrderTime(const ObjectState& object, absl::Time now);

// The same for an order on the nodes.
absl::Time NodeOrderTime(const NodeTable& nodes, absl::Time now);

// What stands for the time of an order once it is over: later than the order itself, so that peers
// that still have it do not give it back, but before any other.
absl::Time OrderEndTime(absl::Time order_time);

}  // namespace om

#endif  // OM_SERVER_CONTROL_PEER_ORDERS_H_
