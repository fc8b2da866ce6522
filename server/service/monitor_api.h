// Orders for services: what MonitorService of the API means, without any transport.
#ifndef OM_SERVER_SERVICE_MONITOR_API_H_
#define OM_SERVER_SERVICE_MONITOR_API_H_

#include <atomic>
#include <memory>
#include <string>

#include "om/control/v1/monitor.pb.h"
#include "server/service/context.h"
#include "server/service/order_watch.h"

namespace om {

// THREAD: any. Errors are those the proto names.
class MonitorApi {
 public:
  // `context` is borrowed.
  explicit MonitorApi(const ServiceContext* context) : context_(context) {}

  absl::StatusOr<control::v1::GetInstanceMonitorResponse> GetInstanceMonitor(
      const Caller& caller, const control::v1::GetInstanceMonitorRequest& request);
  void SetInstanceMonitor(const Caller& caller,
                          const control::v1::SetInstanceMonitorRequest& request,
                          Reply<control::v1::SetInstanceMonitorResponse> reply);
  void ClearInstance(const Caller& caller, const control::v1::ClearInstanceRequest& request,
                     Reply<control::v1::ClearInstanceResponse> reply);

  absl::StatusOr<control::v1::GetOrderResponse> GetOrder(
      const Caller& caller, const control::v1::GetOrderRequest& request);
  absl::StatusOr<control::v1::ListOrdersResponse> ListOrders(
      const Caller& caller, const control::v1::ListOrdersRequest& request);
  // The caller of Next() must keep the watch only as long as its stream lives, and is woken by
  // order_feed(). RESOURCE_EXHAUSTED past kMaxOrderWatches.
  absl::StatusOr<std::shared_ptr<OrderWatch>> WatchOrder(
      const Caller& caller, const control::v1::WatchOrderRequest& request);
  ChangeFeed* order_feed() const { return context_->core->orders()->feed(); }
  static constexpr int kMaxOrderWatches = 1024;

  // The same as SetInstanceMonitor with what was found on each path, for who words answers
  // otherwise. An error is about the request; refused orders are in the answer.
  void Order(const Caller& caller, const control::v1::SetInstanceMonitorRequest& request,
             Reply<OrderAnswer> reply);
  // Makes the monitor look at an instance, or at everything (empty path), soon.
  absl::Status WakeMonitor(const Caller& caller, absl::string_view path);

 private:
  absl::StatusOr<InstanceMonitorOrder> CheckedOrder(
      const Caller& caller, const control::v1::SetInstanceMonitorRequest& request) const;
  void DryRun(const Caller& caller, const control::v1::SetInstanceMonitorRequest& request,
              Reply<control::v1::SetInstanceMonitorResponse> reply);
  // Puts the monitor of the local instance into the answer.
  void SetMonitorOf(const ObjectPath& path,
                    control::v1::SetInstanceMonitorResponse* response) const;

  const ServiceContext* const context_;  // Not owned.
  std::shared_ptr<std::atomic<int>> watch_count_ = std::make_shared<std::atomic<int>>(0);
};

// One line about an outcome, for people: "service svc1 target state set to started".
std::string DescribeOutcome(const OrderOutcome& outcome);

}  // namespace om

#endif  // OM_SERVER_SERVICE_MONITOR_API_H_
