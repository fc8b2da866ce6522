#include "server/service/order_watch.h"

#include <utility>

#include "om/control/v1/monitor.pb.h"

namespace om {

OrderWatch::OrderWatch(const OrderTable* orders, OrderPtr first, Visibility visibility)
    : orders_(orders), visibility_(std::move(visibility)), order_(std::move(first)) {}

Bytes OrderWatch::Message() const {
  control::v1::WatchOrderResponse message;
  // Whether an order is seen never changes: it is by its path.
  *message.mutable_order() = visibility_.ShowOrder(*order_).value_or(control::v1::Order());
  return std::make_shared<const std::string>(message.SerializeAsString());
}

absl::StatusOr<Bytes> OrderWatch::Next() {
  if (told_) {
    OrderPtr now = orders_->Get(order_->id);
    // Forgotten after its end: the end has been told, or is what is held here.
    if (now == nullptr || now->version == order_->version) return Bytes();
    order_ = std::move(now);
  }
  told_ = true;
  return Message();
}

Bytes OrderWatch::HeartbeatMessage() const { return Message(); }

}  // namespace om
