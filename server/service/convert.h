// From the state's values to the messages of the API. Pure functions. THREAD: any.
#ifndef OM_SERVER_SERVICE_CONVERT_H_
#define OM_SERVER_SERVICE_CONVERT_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/timestamp.pb.h"
#include "om/control/v1/common.pb.h"
#include "om/control/v1/daemon.pb.h"
#include "om/control/v1/monitor.pb.h"
#include "server/core/order_table.h"
#include "server/state/model.h"
#include "server/state/snapshot.h"

namespace om {

// What the daemon knows of itself.
struct DaemonFacts {
  std::string version;
  int64_t pid = 0;
  std::string node;
  std::string incarnation;
  absl::Time start_time;
};

google::protobuf::Timestamp ToProto(absl::Time time);
control::v1::ResourceState ToProto(Availability availability);
control::v1::FrozenState FrozenToProto(absl::string_view word);
control::v1::ThreadState ToProto(ThreadState state);
control::v1::Event ToProto(const Event& event);
control::v1::DaemonStatus DaemonToProto(const DaemonFacts& facts, const Snapshot& snapshot);
control::v1::ClusterStatus ClusterToProto(const Snapshot& snapshot);
control::v1::ThreadStatus ThreadToProto(const ThreadStatus& thread, const Snapshot& snapshot);
control::v1::NodeStatus ToProto(const NodeState& node);
control::v1::NodeMonitor ToProto(const NodeMonitor& monitor);
control::v1::InstanceMonitor ToProto(const InstanceMonitor& monitor);
control::v1::ObjectStatus ToProto(const ObjectState& object);
control::v1::Order ToProto(const OrderProgress& order);
control::v1::PlannedAction ToProto(const PlannedAction& action);

}  // namespace om

#endif  // OM_SERVER_SERVICE_CONVERT_H_
