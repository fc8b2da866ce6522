// The parts of the legacy `daemon_status` document, each made from one thing of the state. Pure.
#ifndef OM_COMPAT_GATEWAY_STATUS_PARTS_H_
#define OM_COMPAT_GATEWAY_STATUS_PARTS_H_

#include <cstdint>

#include "server/base/json.h"
#include "server/state/snapshot.h"

namespace om {

// What the document tells beyond the snapshot.
struct DocumentFacts {
  int64_t pid = 0;
  int compat_level = 10;
};

// Seconds since 1970, with fractions; 0 for a time that is not set.
double StatusStamp(absl::Time time);

// Everything but `monitor`. `sessions` is the listener's statistics.
Json StatusHead(const Snapshot& snapshot, const DocumentFacts& facts, const Json& sessions);
// `monitor` without `nodes` and `services`.
Json StatusMonitorHead(const Snapshot& snapshot);
// `monitor.nodes.<node>` without `services`.
Json StatusOfNode(const NodeState& node, Revision revision);
Json StatusOfNodeMonitor(const NodeMonitor& monitor);
// `monitor.nodes.<node>.services.status.<path>`.
Json StatusOfInstance(const InstanceState& instance, const ObjectPath& path, int compat_level);
// `monitor.nodes.<node>.services.config.<path>`.
Json StatusOfConfig(const ObjectConfig& config);
// `monitor.services.<path>`.
Json StatusOfAggregate(const Aggregate& aggregate);

}  // namespace om

#endif  // OM_COMPAT_GATEWAY_STATUS_PARTS_H_
