#include "server/service/monitor_api.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/service/action_roles.h"
#include "server/service/paging.h"
#include "server/service/visibility.h"

namespace om {
namespace {

namespace pb = control::v1;

constexpr PageSizes kOrderPages = {100, 1000};
// Longest word of a status or an order. Words are free: resource managers have their own.
constexpr size_t kMaxWordBytes = 128;
constexpr char kSetInstanceMonitor[] = "om.control.v1.MonitorService/SetInstanceMonitor";

absl::Status UnknownOrder(const std::string& id) {
  return WithField(
      MakeError("ORDER_UNKNOWN",
                absl::StrCat("no order ", absl::CHexEscape(id.substr(0, 64)), " is known")),
      "order_id");
}

// "<nanoseconds>:<id>", escaped.
std::string TokenOf(const OrderProgress& order) {
  return absl::WebSafeBase64Escape(absl::StrCat(absl::ToUnixNanos(order.time), ":", order.id));
}
absl::StatusOr<OrderTable::Position> ParseToken(const std::string& token) {
  std::string text;
  int64_t nanos = 0;
  if (absl::WebSafeBase64Unescape(token, &text)) {
    const size_t colon = text.find(':');
    if (colon != std::string::npos &&
        absl::SimpleAtoi(absl::string_view(text).substr(0, colon), &nanos)) {
      return OrderTable::Position{absl::FromUnixNanos(nanos), text.substr(colon + 1)};
    }
  }
  return WithField(MakeError("INVALID_PAGE_TOKEN", "page_token was not given by this daemon"),
                   "page_token");
}

absl::Status CheckWord(absl::string_view field, absl::string_view word) {
  const auto is_control = [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); };
  if (std::any_of(word.begin(), word.end(), is_control)) {
    return WithField(absl::InvalidArgumentError(absl::StrCat(
                         field, " holds a control character; expected printable words")),
                     field);
  }
  if (word.size() <= kMaxWordBytes) return absl::OkStatus();
  return WithField(absl::InvalidArgumentError(absl::StrCat(
                       field, " has ", word.size(), " bytes; expected at most ", kMaxWordBytes)),
                   field);
}

absl::StatusOr<ObjectPath> ServicePath(const std::string& text) {
  absl::StatusOr<ObjectPath> path = ObjectPath::Parse(text);
  if (!path.ok()) return WithField(path.status(), "path");
  return path;
}

absl::Status UnknownService(const ObjectPath& path) {
  return MakeError("SERVICE_UNKNOWN", absl::StrCat("service ", path.ToString(), " does not exist"));
}

absl::Status ErrorOf(const OrderOutcome& outcome) {
  const std::string text = DescribeOutcome(outcome);
  switch (outcome.kind) {
    case OrderOutcome::Kind::kUnknownService:
      return UnknownService(outcome.path);
    case OrderOutcome::Kind::kInstanceBusy:
      return WithRetryAfter(MakeError("INSTANCE_BUSY", text), std::chrono::seconds(1));
    default:
      return WithField(absl::InvalidArgumentError(text), "global_expect");
  }
}

}  // namespace

std::string DescribeOutcome(const OrderOutcome& outcome) {
  const std::string path = outcome.path.ToString();
  switch (outcome.kind) {
    case OrderOutcome::Kind::kAccepted:
    case OrderOutcome::Kind::kIgnored:
      return absl::StrCat("service ", path, " target state set to ",
                          outcome.value.empty() ? "None" : outcome.value);
    case OrderOutcome::Kind::kAlreadyInState:
      // Legacy daemons say nothing about states that are neither.
      if (outcome.state == "n/a" || outcome.state == "undef") return "";
      return absl::StrCat("service ", path, " is already ", outcome.value);
    case OrderOutcome::Kind::kUnknownService:
      return "service does not exist";
    case OrderOutcome::Kind::kInstanceBusy:
      return absl::StrCat(path, " instance on node ", outcome.node, " in ", outcome.state,
                          " state");
    case OrderOutcome::Kind::kInvalidValue:
      return absl::StrCat("invalid global_expect value: ", outcome.value);
    case OrderOutcome::Kind::kUnsupportedValue:
      return absl::StrCat("global_expect ", outcome.value, " is not supported");
    case OrderOutcome::Kind::kEmptyDestination:
      return "empty destination node";
    case OrderOutcome::Kind::kTooManyDestinations:
      return "only one destination node can be specified for a failover service";
    case OrderOutcome::Kind::kUnknownDestination:
      return absl::StrCat("destination node ", outcome.node, " has no service instance");
    case OrderOutcome::Kind::kAlreadyAtDestination:
      return absl::StrCat("instance on destination node ", outcome.node, " is already up");
    case OrderOutcome::Kind::kNoDestination:
      return "no destination node specified";
    case OrderOutcome::Kind::kNoCandidate:
      return "no candidate destination node";
    case OrderOutcome::Kind::kMixedVersions:
      return absl::StrCat("nodes of different versions do not start services by themselves: order ",
                          path, " to a node by name, with placed@<node>");
  }
  return "";
}

absl::StatusOr<pb::GetInstanceMonitorResponse> MonitorApi::GetInstanceMonitor(
    const Caller& caller, const pb::GetInstanceMonitorRequest& request) {
  RETURN_IF_ERROR(Admit(*context_, caller, "om.control.v1.MonitorService/GetInstanceMonitor"));
  ASSIGN_OR_RETURN(const ObjectPath path, ServicePath(request.path()));
  RETURN_IF_ERROR(
      Noted(*context_, caller, "om.control.v1.MonitorService/GetInstanceMonitor",
            Authorize(caller, "om.control.v1.MonitorService/GetInstanceMonitor", path.ns())));
  const SnapshotPtr snapshot = context_->core->snapshot();
  const std::shared_ptr<const ObjectState> object = snapshot->objects.Find(path);
  const InstanceState* instance =
      object == nullptr ? nullptr : object->instance(snapshot->local_node);
  if (instance == nullptr) return WithField(UnknownService(path), "path");
  pb::GetInstanceMonitorResponse response;
  response.set_node(snapshot->local_node);
  *response.mutable_monitor() = ToProto(instance->monitor);
  return response;
}

absl::StatusOr<InstanceMonitorOrder> MonitorApi::CheckedOrder(
    const Caller& caller, const pb::SetInstanceMonitorRequest& request) const {
  RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  RETURN_IF_ERROR(CheckWord("global_expect", request.global_expect()));
  RETURN_IF_ERROR(CheckWord("local_expect", request.local_expect()));
  RETURN_IF_ERROR(CheckWord("status", request.status()));
  RETURN_IF_ERROR(CheckWord("stonith", request.stonith()));
  InstanceMonitorOrder order;
  ASSIGN_OR_RETURN(order.path, ServicePath(request.path()));
  order.requester = caller.ToString();
  if (request.has_status()) order.status = request.status();
  if (request.has_local_expect()) order.local_expect = request.local_expect();
  if (request.has_global_expect()) order.global_expect = request.global_expect();
  if (request.has_stonith()) order.stonith = request.stonith();
  order.reset_retries = request.reset_retries();
  const Role role = RoleOfOrder(request);
  RETURN_IF_ERROR(Noted(*context_, caller, kSetInstanceMonitor,
                        RequireRole(caller, kSetInstanceMonitor, role, order.path.ns())));
  if (caller.HoldsEverywhere(role)) return order;
  // An order goes on to the slaves, which may be of any namespace.
  for (const OrderOutcome& outcome : CheckOrder(*context_->core->snapshot(), order)) {
    RETURN_IF_ERROR(Noted(*context_, caller, kSetInstanceMonitor,
                          RequireRole(caller, kSetInstanceMonitor, role, outcome.path.ns())));
  }
  return order;
}

namespace {

// For the audit log.
std::vector<std::string> WordsOf(const pb::SetInstanceMonitorRequest& request) {
  std::vector<std::string> words;
  const auto add = [&words](absl::string_view name, const std::string& value) {
    words.push_back(absl::StrCat(name, "=", value));
  };
  if (request.has_global_expect()) add("global_expect", request.global_expect());
  if (request.has_local_expect()) add("local_expect", request.local_expect());
  if (request.has_status()) add("status", request.status());
  if (request.has_stonith()) add("stonith", request.stonith());
  if (request.reset_retries()) words.emplace_back("reset_retries");
  return words;
}

}  // namespace

void MonitorApi::Order(const Caller& caller, const pb::SetInstanceMonitorRequest& request,
                       Reply<OrderAnswer> reply) {
  if (!BeginChange(*context_, caller, kSetInstanceMonitor,
                   {request.path(), request.request_id(), WordsOf(request)}, &reply))
    return;
  absl::StatusOr<InstanceMonitorOrder> order = CheckedOrder(caller, request);
  if (!order.ok()) return reply(order.status());
  context_->core->SetInstanceMonitor(*std::move(order), KeyOf(caller, kSetInstanceMonitor, request),
                                     std::move(reply));
}

void MonitorApi::DryRun(const Caller& caller, const pb::SetInstanceMonitorRequest& request,
                        Reply<pb::SetInstanceMonitorResponse> reply) {
  absl::Status admitted = Admit(*context_, caller, kSetInstanceMonitor);
  if (!admitted.ok()) return reply(std::move(admitted));
  absl::StatusOr<InstanceMonitorOrder> order = CheckedOrder(caller, request);
  if (!order.ok()) return reply(order.status());
  if (!request.has_global_expect() || request.global_expect() == expect_word::kUnset) {
    return reply(
        WithField(absl::InvalidArgumentError("a dry run needs an order to try"), "global_expect"));
  }
  context_->core->PreviewOrder(
      *std::move(order), [this, visibility = Visibility(caller),
                          reply = std::move(reply)](const absl::StatusOr<OrderPreview>& preview) {
        if (!preview.ok()) return reply(preview.status());
        if (preview->outcomes.empty()) {
          return reply(absl::InternalError("an order without outcome"));
        }
        const OrderOutcome& outcome = preview->outcomes.front();
        if (outcome.is_error()) return reply(ErrorOf(outcome));
        pb::SetInstanceMonitorResponse response;
        response.set_outcome(pb::ORDER_OUTCOME_DRY_RUN);
        for (const PlannedAction& action : preview->plan.actions) {
          *response.add_planned_actions() = ToProto(action);
        }
        response.set_blocked_reason(visibility.Shown(preview->plan.reason, outcome.path.ns()));
        if (outcome.kind == OrderOutcome::Kind::kIgnored) {
          response.set_blocked_reason("an instance without resources does not take this order");
        } else if (outcome.kind != OrderOutcome::Kind::kAccepted) {
          response.set_blocked_reason(absl::StrCat(
              "the service is already ", outcome.state.empty() ? outcome.value : outcome.state));
        }
        const int count = response.planned_actions_size();
        response.set_message(count == 0 ? "nothing would be done"
                                        : absl::StrCat(count, count == 1 ? " action" : " actions",
                                                       " would be done"));
        SetMonitorOf(outcome.path, &response);
        reply(std::move(response));
      });
}

void MonitorApi::SetMonitorOf(const ObjectPath& path,
                              pb::SetInstanceMonitorResponse* response) const {
  const SnapshotPtr snapshot = context_->core->snapshot();
  const std::shared_ptr<const ObjectState> object = snapshot->objects.Find(path);
  const InstanceState* instance =
      object == nullptr ? nullptr : object->instance(snapshot->local_node);
  if (instance != nullptr) *response->mutable_monitor() = ToProto(instance->monitor);
}

void MonitorApi::SetInstanceMonitor(const Caller& caller,
                                    const pb::SetInstanceMonitorRequest& request,
                                    Reply<pb::SetInstanceMonitorResponse> reply) {
  if (request.dry_run()) return DryRun(caller, request, std::move(reply));
  Order(caller, request,
        [this, asked = request.has_global_expect(), path = request.path(),
         reply = std::move(reply)](const absl::StatusOr<OrderAnswer>& answer) {
          if (!answer.ok()) return reply(answer.status());
          // The path itself comes first; what its slaves made of the order is in the status.
          if (answer->outcomes.empty())
            return reply(absl::InternalError("an order without outcome"));
          const OrderOutcome& outcome = answer->outcomes.front();
          if (outcome.is_error()) return reply(ErrorOf(outcome));
          pb::SetInstanceMonitorResponse response;
          response.set_order_id(answer->order_id);
          response.set_message(DescribeOutcome(outcome));
          if (!asked) {
            response.set_outcome(pb::ORDER_OUTCOME_NO_ORDER);
          } else if (outcome.kind == OrderOutcome::Kind::kAccepted ||
                     outcome.kind == OrderOutcome::Kind::kIgnored) {
            response.set_outcome(pb::ORDER_OUTCOME_ACCEPTED);
          } else {
            response.set_outcome(pb::ORDER_OUTCOME_ALREADY_REACHED);
          }
          SetMonitorOf(outcome.path, &response);
          reply(std::move(response));
        });
}

void MonitorApi::ClearInstance(const Caller& caller, const pb::ClearInstanceRequest& request,
                               Reply<pb::ClearInstanceResponse> reply) {
  constexpr char operation[] = "om.control.v1.MonitorService/ClearInstance";
  if (!BeginChange(*context_, caller, operation, {request.path(), request.request_id(), {}},
                   &reply))
    return;
  absl::Status valid = CheckRequestId(request.request_id());
  if (!valid.ok()) return reply(std::move(valid));
  absl::StatusOr<ObjectPath> path = ServicePath(request.path());
  if (!path.ok()) return reply(path.status());
  absl::Status allowed =
      Noted(*context_, caller, operation, Authorize(caller, operation, path->ns()));
  if (!allowed.ok()) return reply(std::move(allowed));
  if (context_->core->snapshot()->objects.Find(*path) == nullptr) {
    return reply(WithField(UnknownService(*path), "path"));
  }
  context_->core->ClearInstance(
      *path, KeyOf(caller, operation, request),
      [reply = std::move(reply)](const absl::StatusOr<ClearAnswer>& done) {
        if (!done.ok()) return reply(done.status());
        pb::ClearInstanceResponse response;
        response.set_cleared(done->cleared);
        response.set_previous_status(done->status);
        reply(std::move(response));
      });
}

absl::StatusOr<pb::GetOrderResponse> MonitorApi::GetOrder(const Caller& caller,
                                                          const pb::GetOrderRequest& request) {
  RETURN_IF_ERROR(Admit(*context_, caller, "om.control.v1.MonitorService/GetOrder"));
  const OrderPtr order = context_->core->orders()->Get(request.order_id());
  if (order == nullptr) return UnknownOrder(request.order_id());
  std::optional<pb::Order> shown = Visibility(caller).ShowOrder(*order);
  if (!shown.has_value()) return UnknownOrder(request.order_id());
  pb::GetOrderResponse response;
  *response.mutable_order() = *std::move(shown);
  return response;
}

absl::StatusOr<pb::ListOrdersResponse> MonitorApi::ListOrders(
    const Caller& caller, const pb::ListOrdersRequest& request) {
  RETURN_IF_ERROR(Admit(*context_, caller, "om.control.v1.MonitorService/ListOrders"));
  OrderTable::Filter filter;
  filter.only_in_progress = request.only_in_progress();
  if (!request.path().empty()) {
    ASSIGN_OR_RETURN(filter.path, ServicePath(request.path()));
  }
  std::optional<OrderTable::Position> after;
  if (!request.page_token().empty()) {
    ASSIGN_OR_RETURN(after, ParseToken(request.page_token()));
  }
  ASSIGN_OR_RETURN(const size_t limit, PageSizeOf(request.page_size(), kOrderPages));
  const Visibility visibility(caller);
  pb::ListOrdersResponse response;
  size_t bytes = 0;
  OrderPtr last;  // The last one that is in the answer.
  while (true) {
    const std::vector<OrderPtr> orders = context_->core->orders()->List(after, filter, limit + 1);
    for (const OrderPtr& order : orders) {
      std::optional<pb::Order> shown = visibility.ShowOrder(*order);
      if (!shown.has_value()) continue;
      // Told only of what is seen: there is more to read.
      if (static_cast<size_t>(response.orders_size()) == limit || bytes >= kMaxPageBytes) {
        response.set_next_page_token(TokenOf(*last));
        return response;
      }
      bytes += shown->ByteSizeLong();
      *response.add_orders() = *std::move(shown);
      last = order;
    }
    if (orders.size() <= limit) return response;
    after = OrderTable::Position{orders.back()->time, orders.back()->id};
  }
}

absl::StatusOr<std::shared_ptr<OrderWatch>> MonitorApi::WatchOrder(
    const Caller& caller, const pb::WatchOrderRequest& request) {
  RETURN_IF_ERROR(Admit(*context_, caller, "om.control.v1.MonitorService/WatchOrder"));
  OrderPtr order = context_->core->orders()->Get(request.order_id());
  Visibility visibility(caller);
  if (order == nullptr || !visibility.Sees(order->path)) return UnknownOrder(request.order_id());
  if (watch_count_->fetch_add(1) >= kMaxOrderWatches) {
    watch_count_->fetch_sub(1);
    context_->counters->Get("watch.refused")->Add();
    return WithRetryAfter(absl::ResourceExhaustedError(absl::StrCat(
                              "all ", kMaxOrderWatches, " watches of orders are taken")),
                          std::chrono::seconds(5));
  }
  return std::shared_ptr<OrderWatch>(
      new OrderWatch(context_->core->orders(), std::move(order), std::move(visibility)),
      [count = watch_count_](OrderWatch* ended) {
        delete ended;
        count->fetch_sub(1);
      });
}

absl::Status MonitorApi::WakeMonitor(const Caller& caller, absl::string_view path) {
  RETURN_IF_ERROR(Admit(*context_, caller, "wake_monitor"));
  if (path.empty()) {
    context_->core->WakeMonitor(std::nullopt);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(ObjectPath parsed, ServicePath(std::string(path)));
  RETURN_IF_ERROR(
      Noted(*context_, caller, "wake_monitor", Authorize(caller, "wake_monitor", parsed.ns())));
  context_->core->WakeMonitor(std::move(parsed));
  return absl::OkStatus();
}

}  // namespace om
