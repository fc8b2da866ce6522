// One watcher of one order.
#ifndef OM_SERVER_SERVICE_ORDER_WATCH_H_
#define OM_SERVER_SERVICE_ORDER_WATCH_H_

#include <cstdint>
#include <string>

#include "server/core/order_table.h"
#include "server/service/stream_source.h"
#include "server/service/visibility.h"

namespace om {

// Serialized WatchOrderResponses: the order now, then whenever it has changed, until it has ended
// and that has been told. It keeps no queue, so a slow reader costs no memory: each message is
// whole.
class OrderWatch final : public StreamSource {
 public:
  // `orders` is borrowed. `first` is the order as it is now, which is seen.
  OrderWatch(const OrderTable* orders, OrderPtr first,
             Visibility visibility = Visibility::Everything());

  absl::StatusOr<Bytes> Next() override;
  Bytes HeartbeatMessage() const override;
  bool over() const override { return told_ && order_->end.has_value(); }

 private:
  Bytes Message() const;

  const OrderTable* const orders_;  // Not owned.
  const Visibility visibility_;
  OrderPtr order_;  // The one told last, or to be told first.
  bool told_ = false;
};

}  // namespace om

#endif  // OM_SERVER_SERVICE_ORDER_WATCH_H_
