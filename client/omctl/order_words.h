// Orders for services as words of the command line, and following one by the state alone.
#ifndef OM_CLIENT_OMCTL_ORDER_WORDS_H_
#define OM_CLIENT_OMCTL_ORDER_WORDS_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "client/watch.h"
#include "om/control/v1/common.pb.h"

namespace om {

// The object of that path, or nullptr.
const control::v1::ObjectStatus* FindObject(
    const google::protobuf::RepeatedPtrField<control::v1::ObjectStatus>& objects,
    const std::string& path);

// An order that can be waited for.
struct OrderWord {
  const char* word;           // On the command line.
  const char* global_expect;  // In the request; "placed@": followed by where.
  const char* purpose;        // For the help.
  const char* failed_status;  // Of an instance that could not follow it; nullptr: none.
  // Tells from the state alone, for orders that have no record; nullptr: that cannot be told.
  bool (*reached)(const control::v1::ObjectStatus& object);
};

// All of them, in the order of the help.
const std::vector<OrderWord>& OrderWords();

// Follows one service until an order for it has ended. `order` is borrowed.
class OrderListener final : public StatusListener {
 public:
  OrderListener(std::string path, const OrderWord& order) : path_(std::move(path)), order_(order) {}

  bool OnMessage(const control::v1::WatchStatusResponse& message) override;
  void OnGap(const absl::Status& why) override;
  void OnReconnect(const absl::Status&, std::chrono::milliseconds) override {}

  // How the order ended; OK if it was fulfilled.
  const absl::Status& verdict() const { return verdict_; }
  const std::optional<control::v1::ObjectStatus>& object() const { return object_; }

  // What is known of the service, for an error.
  std::string Knowledge() const;

 private:
  const std::string path_;
  const OrderWord& order_;
  bool whole_ = false;
  std::optional<control::v1::ObjectStatus> object_;
  absl::Status verdict_;
};

}  // namespace om

#endif  // OM_CLIENT_OMCTL_ORDER_WORDS_H_
