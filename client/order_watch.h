// Follows one order until it has ended.
#ifndef OM_CLIENT_ORDER_WATCH_H_
#define OM_CLIENT_ORDER_WATCH_H_

#include <chrono>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "client/connection.h"
#include "om/control/v1/monitor.pb.h"
#include "server/base/random.h"

namespace om {

// Whether the order is over, and so will not change any more.
bool IsOver(control::v1::OrderState state);

// Runs on its caller's thread.
class OrderFollower {
 public:
  struct Options {
    std::chrono::milliseconds first_delay{100};
    std::chrono::milliseconds longest_delay{2000};
    uint64_t jitter_seed = 1;
  };
  // Told of the order as it is, then after each change. False ends the following.
  using OnOrder = std::function<bool(const control::v1::Order&)>;
  // Told of a stream that broke and will be tried again after `delay`.
  using OnReconnect = std::function<void(const absl::Status&, std::chrono::milliseconds delay)>;

  // `connection` is borrowed.
  OrderFollower(Connection* connection, const Options& options)
      : connection_(connection), options_(options), jitter_(options.jitter_seed) {}

  // OK once the order is over or `on_order` said so. A daemon that goes away is waited for: orders
  // outlive it. DEADLINE_EXCEEDED past `deadline`; else what the daemon answered.
  absl::Status Run(const std::string& order_id, MonotonicTime deadline, const OnOrder& on_order,
                   const OnReconnect& on_reconnect);

 private:
  Connection* const connection_;  // Not owned.
  const Options options_;
  Random jitter_;
};

}  // namespace om

#endif  // OM_CLIENT_ORDER_WATCH_H_
