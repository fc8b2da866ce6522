#include "client/order_watch.h"

#include <algorithm>
#include <thread>

#include "client/errors.h"
#include "om/control/v1/monitor.grpc.pb.h"

namespace om {

using control::v1::MonitorService;
using control::v1::OrderState;
using control::v1::WatchOrderRequest;
using control::v1::WatchOrderResponse;

bool IsOver(OrderState state) {
  return state == control::v1::ORDER_STATE_REACHED || state == control::v1::ORDER_STATE_FAILED ||
         state == control::v1::ORDER_STATE_ABORTED || state == control::v1::ORDER_STATE_SUPERSEDED;
}

absl::Status OrderFollower::Run(const std::string& order_id, MonotonicTime deadline,
                                const OnOrder& on_order, const OnReconnect& on_reconnect) {
  const auto stub = MonitorService::NewStub(connection_->channel());
  std::chrono::milliseconds delay = options_.first_delay;
  WatchOrderRequest request;
  request.set_order_id(order_id);
  while (true) {
    grpc::ClientContext context;
    if (deadline != MonotonicTime::max()) context.set_deadline(ToSystemTime(deadline));
    const auto reader = stub->WatchOrder(&context, request);
    WatchOrderResponse message;
    bool ended = false;
    while (!ended && reader->Read(&message)) {
      delay = options_.first_delay;
      ended = !on_order(message.order()) || IsOver(message.order().state());
    }
    if (ended) context.TryCancel();
    const grpc::Status status = reader->Finish();
    if (ended) return absl::OkStatus();
    absl::Status why =
        status.ok() ? absl::UnavailableError("the daemon ended the stream") : ToAbslStatus(status);
    if (why.code() == absl::StatusCode::kDeadlineExceeded) return why;
    if (why.code() != absl::StatusCode::kUnavailable &&
        why.code() != absl::StatusCode::kResourceExhausted) {
      return why;
    }
    const std::chrono::milliseconds pause =
        delay -
        std::chrono::milliseconds(jitter_.Below(static_cast<uint64_t>(delay.count()) / 2 + 1));
    if (std::chrono::steady_clock::now() + pause >= deadline) {
      return absl::DeadlineExceededError("the deadline has passed");
    }
    on_reconnect(why, pause);
    std::this_thread::sleep_for(pause);
    delay = std::min(delay * 2, options_.longest_delay);
  }
}

}  // namespace om
