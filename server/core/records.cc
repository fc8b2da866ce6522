#include "server/core/records.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "om/internal/v1/journal.pb.h"
#include "server/base/status.h"

namespace om {
namespace {

namespace pb = ::om::internal::v1;

void ToProto(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t nanos = absl::ToUnixNanos(time);
  constexpr int64_t kBillion = 1'000'000'000;
  int64_t seconds = nanos / kBillion;
  int64_t rest = nanos % kBillion;
  if (rest < 0) {
    rest += kBillion;
    --seconds;
  }
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(rest));
}
absl::Time FromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

template <class Message>
absl::StatusOr<Message> Parse(absl::string_view bytes, const char* what) {
  Message message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError(absl::StrCat(what, " of ", bytes.size(), " bytes is broken"));
  }
  return message;
}

absl::StatusOr<RequestTable::Finished> FromProto(const pb::RequestAnswer& message) {
  RequestTable::Finished request;
  request.key = {message.request_id(), message.caller(), message.method(), message.fingerprint()};
  if (request.key.request_id.empty())
    return absl::InvalidArgumentError("answer without request id");
  request.time = FromProto(message.answer_time());
  if (message.status_code() == 0) {
    request.answer = message.answer();
  } else {
    absl::Status error(static_cast<absl::StatusCode>(message.status_code()),
                       message.error_message());
    if (!message.error_reason().empty()) {
      error = WithReason(std::move(error), message.error_reason());
    }
    if (!message.error_field().empty()) error = WithField(std::move(error), message.error_field());
    request.answer = std::move(error);
  }
  return request;
}

void ToProto(const OrderProgress& order, pb::OrderEntry* out) {
  out->set_order_id(order.id);
  out->set_path(order.path.ToString());
  out->set_global_expect(order.global_expect);
  out->set_requester(order.requester);
  out->set_node(order.node);
  ToProto(order.time, out->mutable_create_time());
  if (order.end.has_value()) ToProto(*order.end, out->mutable_end_time());
  for (const OrderPart& part : order.parts) {
    pb::OrderEntryPart* entry = out->add_parts();
    entry->set_path(part.path.ToString());
    entry->set_state(static_cast<int>(part.state));
    entry->set_reason(part.reason);
  }
  for (const OrderStep& step : order.steps) {
    pb::OrderEntryStep* entry = out->add_steps();
    entry->set_node(step.node);
    if (step.path != order.path) entry->set_path(step.path.ToString());
    entry->set_action(step.action);
    ToProto(step.begin, entry->mutable_begin_time());
    if (step.end.has_value()) ToProto(*step.end, entry->mutable_end_time());
    if (step.exit_status.has_value()) entry->set_exit_status(*step.exit_status);
    entry->set_error(step.error);
  }
  out->set_dropped_step_count(order.dropped_steps);
}

absl::StatusOr<OrderProgress> FromProto(const pb::OrderEntry& entry) {
  OrderProgress order;
  order.id = entry.order_id();
  if (order.id.empty()) return absl::InvalidArgumentError("an order without id");
  ASSIGN_OR_RETURN(order.path, ObjectPath::Parse(entry.path()));
  order.global_expect = entry.global_expect();
  order.requester = entry.requester();
  order.node = entry.node();
  order.time = FromProto(entry.create_time());
  if (entry.has_end_time()) order.end = FromProto(entry.end_time());
  for (const pb::OrderEntryPart& one : entry.parts()) {
    OrderPart part;
    ASSIGN_OR_RETURN(part.path, ObjectPath::Parse(one.path()));
    if (one.state() < static_cast<int>(OrderState::kRunning) ||
        one.state() > static_cast<int>(OrderState::kSuperseded)) {
      return absl::InvalidArgumentError(
          absl::StrCat("order ", order.id, " is in the unknown state ", one.state()));
    }
    part.state = static_cast<OrderState>(one.state());
    part.reason = one.reason();
    order.parts.push_back(std::move(part));
  }
  if (order.parts.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("order ", order.id, " is for no object"));
  }
  for (const pb::OrderEntryStep& one : entry.steps()) {
    OrderStep step;
    step.node = one.node();
    step.path = order.path;
    if (!one.path().empty()) {
      ASSIGN_OR_RETURN(step.path, ObjectPath::Parse(one.path()));
    }
    step.action = one.action();
    step.begin = FromProto(one.begin_time());
    if (one.has_end_time()) step.end = FromProto(one.end_time());
    if (one.has_exit_status()) step.exit_status = one.exit_status();
    step.error = one.error();
    order.steps.push_back(std::move(step));
  }
  order.dropped_steps = entry.dropped_step_count();
  return order;
}

}  // namespace

std::string EncodeRecord(const Record& record) {
  pb::JournalRecord message;
  ToProto(record.time, message.mutable_write_time());
  for (const OrderRecord& order : record.orders) {
    pb::InstanceOrder* out = message.add_instance_orders();
    out->set_path(order.path.ToString());
    out->set_global_expect(order.global_expect);
    out->set_order_id(order.order_id);
    ToProto(order.time, out->mutable_order_time());
  }
  for (const RestartRecord& restart : record.restarts) {
    pb::RestartCounters* out = message.add_restart_counters();
    out->set_path(restart.path.ToString());
    for (const auto& [rid, count] : restart.counts) (*out->mutable_attempt_counts())[rid] = count;
  }
  if (record.request.has_value()) {
    const RequestTable::Finished& request = *record.request;
    pb::RequestAnswer* out = message.mutable_request_answer();
    out->set_request_id(request.key.request_id);
    out->set_caller(request.key.caller);
    out->set_method(request.key.method);
    out->set_fingerprint(request.key.fingerprint);
    ToProto(request.time, out->mutable_answer_time());
    out->set_status_code(static_cast<int>(request.answer.status().code()));
    if (request.answer.ok()) {
      out->set_answer(*request.answer);
    } else {
      out->set_error_message(std::string(request.answer.status().message()));
      out->set_error_reason(ReasonOf(request.answer.status()));
      out->set_error_field(FieldOf(request.answer.status()));
    }
  }
  if (record.node_order.has_value()) {
    message.mutable_node_order()->set_global_expect(record.node_order->global_expect);
    ToProto(record.node_order->time, message.mutable_node_order()->mutable_order_time());
    message.mutable_node_order()->set_local_expect(record.node_order->local_expect);
  }
  for (const OrderProgress& order : record.progress) ToProto(order, message.add_order_entries());
  return message.SerializeAsString();
}

absl::StatusOr<Record> DecodeRecord(absl::string_view bytes) {
  ASSIGN_OR_RETURN(const pb::JournalRecord message,
                   Parse<pb::JournalRecord>(bytes, "a journal record"));
  Record record;
  record.time = FromProto(message.write_time());
  for (const pb::InstanceOrder& order : message.instance_orders()) {
    ASSIGN_OR_RETURN(ObjectPath path, ObjectPath::Parse(order.path()));
    record.orders.push_back(
        {std::move(path), order.global_expect(), order.order_id(), FromProto(order.order_time())});
  }
  for (const pb::RestartCounters& restart : message.restart_counters()) {
    ASSIGN_OR_RETURN(ObjectPath path, ObjectPath::Parse(restart.path()));
    RestartRecord out{std::move(path), {}};
    for (const auto& [rid, count] : restart.attempt_counts()) out.counts[rid] = count;
    record.restarts.push_back(std::move(out));
  }
  if (message.has_request_answer()) {
    ASSIGN_OR_RETURN(record.request, FromProto(message.request_answer()));
  }
  if (message.has_node_order()) {
    record.node_order = NodeOrderRecord{message.node_order().global_expect(),
                                        FromProto(message.node_order().order_time()),
                                        message.node_order().local_expect()};
  }
  for (const pb::OrderEntry& entry : message.order_entries()) {
    ASSIGN_OR_RETURN(OrderProgress order, FromProto(entry));
    record.progress.push_back(std::move(order));
  }
  return record;
}

std::string EncodeAnswer(const OrderAnswer& answer) {
  pb::StoredOrderAnswer message;
  message.set_order_id(answer.order_id);
  message.set_applied(answer.applied);
  for (const OrderOutcome& outcome : answer.outcomes) {
    pb::StoredOrderOutcome* out = message.add_outcomes();
    out->set_kind(static_cast<int>(outcome.kind));
    out->set_path(outcome.path.ToString());
    out->set_value(outcome.value);
    out->set_node(outcome.node);
    out->set_state(outcome.state);
  }
  return message.SerializeAsString();
}

absl::StatusOr<OrderAnswer> DecodeOrderAnswer(absl::string_view bytes) {
  ASSIGN_OR_RETURN(const pb::StoredOrderAnswer message,
                   Parse<pb::StoredOrderAnswer>(bytes, "a stored answer"));
  OrderAnswer answer;
  answer.order_id = message.order_id();
  answer.applied = message.applied();
  for (const pb::StoredOrderOutcome& outcome : message.outcomes()) {
    if (outcome.kind() < 0 || outcome.kind() > static_cast<int>(OrderOutcome::kLastKind)) {
      return absl::InvalidArgumentError(
          absl::StrCat("outcome kind ", outcome.kind(), " is unknown"));
    }
    ASSIGN_OR_RETURN(ObjectPath path, ObjectPath::Parse(outcome.path()));
    answer.outcomes.push_back({static_cast<OrderOutcome::Kind>(outcome.kind()), std::move(path),
                               outcome.value(), outcome.node(), outcome.state()});
  }
  return answer;
}

std::string EncodeAnswer(const ClearAnswer& answer) {
  pb::StoredClearAnswer message;
  message.set_cleared(answer.cleared);
  message.set_status(answer.status);
  return message.SerializeAsString();
}

absl::StatusOr<ClearAnswer> DecodeClearAnswer(absl::string_view bytes) {
  ASSIGN_OR_RETURN(const pb::StoredClearAnswer message,
                   Parse<pb::StoredClearAnswer>(bytes, "a stored answer"));
  return ClearAnswer{message.cleared(), message.status()};
}

std::string EncodeAnswer(const NodeMonitorAnswer& answer) {
  pb::StoredNodeMonitorAnswer message;
  message.set_status(answer.monitor.status);
  ToProto(answer.monitor.status_updated, message.mutable_status_time());
  message.set_local_expect(answer.monitor.local_expect);
  message.set_global_expect(answer.monitor.global_expect);
  ToProto(answer.monitor.global_expect_updated, message.mutable_global_expect_time());
  message.set_applied(answer.applied);
  return message.SerializeAsString();
}

absl::StatusOr<NodeMonitorAnswer> DecodeNodeMonitorAnswer(absl::string_view bytes) {
  ASSIGN_OR_RETURN(const pb::StoredNodeMonitorAnswer message,
                   Parse<pb::StoredNodeMonitorAnswer>(bytes, "a stored answer"));
  NodeMonitorAnswer answer;
  answer.monitor.status = message.status();
  answer.monitor.status_updated = FromProto(message.status_time());
  answer.monitor.local_expect = message.local_expect();
  answer.monitor.global_expect = message.global_expect();
  answer.monitor.global_expect_updated = FromProto(message.global_expect_time());
  answer.applied = message.applied();
  return answer;
}

}  // namespace om
