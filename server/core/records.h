// The journal's records as values, and back. Pure. THREAD: any.
#ifndef OM_SERVER_CORE_RECORDS_H_
#define OM_SERVER_CORE_RECORDS_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/core/core.h"
#include "server/core/order_table.h"
#include "server/core/request_table.h"

namespace om {

struct OrderRecord {
  ObjectPath path;
  std::string global_expect;  // Empty: the order is over.
  std::string order_id;
  absl::Time time;
};
struct RestartRecord {
  ObjectPath path;
  std::map<std::string, int> counts;
};
struct NodeOrderRecord {
  std::string global_expect;
  absl::Time time;
  std::string local_expect;
};
struct Record {
  absl::Time time;
  std::vector<OrderRecord> orders;
  std::vector<RestartRecord> restarts;
  std::optional<RequestTable::Finished> request;
  std::optional<NodeOrderRecord> node_order;
  std::vector<OrderProgress> progress;  // Without what nodes are doing, which is found anew.
};

std::string EncodeRecord(const Record& record);
// INVALID_ARGUMENT says what makes no sense.
absl::StatusOr<Record> DecodeRecord(absl::string_view bytes);

std::string EncodeAnswer(const OrderAnswer& answer);
std::string EncodeAnswer(const ClearAnswer& answer);
std::string EncodeAnswer(const NodeMonitorAnswer& answer);
absl::StatusOr<OrderAnswer> DecodeOrderAnswer(absl::string_view bytes);
absl::StatusOr<ClearAnswer> DecodeClearAnswer(absl::string_view bytes);
absl::StatusOr<NodeMonitorAnswer> DecodeNodeMonitorAnswer(absl::string_view bytes);

}  // namespace om

#endif  // OM_SERVER_CORE_RECORDS_H_
