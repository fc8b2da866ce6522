// Orders for nodes: what NodeService of the API means, without any transport.
#ifndef OM_SERVER_SERVICE_NODE_API_H_
#define OM_SERVER_SERVICE_NODE_API_H_

#include "om/control/v1/node.pb.h"
#include "server/service/context.h"

namespace om {

// THREAD: any. Errors are those the proto names.
class NodeApi {
 public:
  // `context` is borrowed.
  explicit NodeApi(const ServiceContext* context) : context_(context) {}

  absl::StatusOr<control::v1::GetNodeMonitorResponse> GetNodeMonitor(
      const Caller& caller, const control::v1::GetNodeMonitorRequest& request);
  void SetNodeMonitor(const Caller& caller, const control::v1::SetNodeMonitorRequest& request,
                      Reply<control::v1::SetNodeMonitorResponse> reply);

 private:
  const ServiceContext* const context_;  // Not owned.
};

}  // namespace om

#endif  // OM_SERVER_SERVICE_NODE_API_H_
