// How loaded this node is.
#ifndef OM_SERVER_CRM_NODE_STATS_READER_H_
#define OM_SERVER_CRM_NODE_STATS_READER_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/base/loop.h"
#include "server/core/ports.h"

namespace om {

// Reads /proc. THREAD: any; works and answers on the executor, or, when that is full, answers at
// once with RESOURCE_EXHAUSTED.
class NodeStatsReader final : public NodeStatsPort {
 public:
  // `workers` is borrowed and must outlive this object.
  explicit NodeStatsReader(Executor* workers) : workers_(workers) {}
  void Read(Done<absl::StatusOr<NodeStats>> done) override;

 private:
  Executor* const workers_;  // Not owned.
};

// From the texts of /proc/loadavg and /proc/meminfo. A machine without swap has 0 % of it left.
absl::StatusOr<NodeStats> ParseNodeStats(absl::string_view loadavg, absl::string_view meminfo);

}  // namespace om

#endif  // OM_SERVER_CRM_NODE_STATS_READER_H_
