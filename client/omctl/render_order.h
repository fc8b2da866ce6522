// Orders as text for people.
#ifndef OM_CLIENT_OMCTL_RENDER_ORDER_H_
#define OM_CLIENT_OMCTL_RENDER_ORDER_H_

#include <string>

#include "client/omctl/render.h"
#include "om/control/v1/monitor.pb.h"
#include "om/control/v1/node.pb.h"

namespace om {

// `running`, `blocked` ...
std::string StateText(control::v1::OrderState state);

// "started of web: blocked: parent vol/x is down"
std::string OrderLine(const control::v1::Order& order);

// A table, newest first.
std::string RenderOrders(const google::protobuf::RepeatedPtrField<control::v1::Order>& orders,
                         const RenderOptions& options);

// One order with its steps and nodes.
std::string RenderOrder(const control::v1::Order& order, const RenderOptions& options);

// What a dry run says.
std::string RenderPlan(const control::v1::SetInstanceMonitorResponse& response,
                       const RenderOptions& options);

std::string RenderNodeMonitor(const std::string& node, const control::v1::NodeMonitor& monitor,
                              const RenderOptions& options);

}  // namespace om

#endif  // OM_CLIENT_OMCTL_RENDER_ORDER_H_
