#include "client/omctl/render_order.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/errors.h"
#include "client/omctl/table.h"
#include "client/order_watch.h"

namespace om {

using namespace om::control::v1;  // NOLINT: most names here are messages.

namespace {

Cell StateCell(OrderState state) {
  switch (state) {
    case ORDER_STATE_REACHED:
      return {StateText(state), Colour::kGood};
    case ORDER_STATE_FAILED:
      return {StateText(state), Colour::kBad};
    case ORDER_STATE_BLOCKED:
      return {StateText(state), Colour::kWarn};
    default:
      return {StateText(state)};
  }
}

std::string Took(const OrderStep& step) {
  if (!step.has_end_time()) return "in progress";
  const double seconds =
      static_cast<double>(step.end_time().seconds() - step.begin_time().seconds()) +
      (step.end_time().nanos() - step.begin_time().nanos()) / 1e9;
  return absl::StrFormat("%.1f s", seconds < 0 ? 0 : seconds);
}

}  // namespace

std::string StateText(OrderState state) {
  switch (state) {
    case ORDER_STATE_RUNNING:
      return "running";
    case ORDER_STATE_BLOCKED:
      return "blocked";
    case ORDER_STATE_REACHED:
      return "reached";
    case ORDER_STATE_FAILED:
      return "failed";
    case ORDER_STATE_ABORTED:
      return "aborted";
    case ORDER_STATE_SUPERSEDED:
      return "superseded";
    default:
      return "-";
  }
}

std::string OrderLine(const Order& order) {
  std::string text =
      absl::StrCat(order.path(), " ", order.global_expect(), ": ", StateText(order.state()));
  if (!order.reason().empty()) absl::StrAppend(&text, ": ", order.reason());
  for (const OrderNode& node : order.nodes()) {
    absl::StrAppend(&text, "; ", node.node(),
                    node.path() == order.path() ? "" : absl::StrCat(" ", node.path()), " ",
                    node.text());
  }
  return Printable(text);
}

std::string RenderOrders(const google::protobuf::RepeatedPtrField<Order>& orders,
                         const RenderOptions& options) {
  if (orders.empty()) return "No order is known.\n";
  TextTable table;
  table.AddRow({Cell("Order", Colour::kBold), Cell("service", Colour::kDim),
                Cell("to be", Colour::kDim), Cell("state", Colour::kDim),
                Cell("taken", Colour::kDim), Cell("on", Colour::kDim), Cell("why", Colour::kDim)});
  for (const Order& order : orders) {
    table.AddRow({order.order_id(), order.path(), order.global_expect(), StateCell(order.state()),
                  TimeText(order.create_time(), options), order.node(), order.reason()});
  }
  return table.Render(options.colour);
}

std::string RenderOrder(const Order& order, const RenderOptions& options) {
  TextTable table;
  table.AddRow({Cell("Order", Colour::kBold), order.order_id()});
  table.AddRow({" service", order.path()});
  table.AddRow({" to be", order.global_expect()});
  table.AddRow({" state", StateCell(order.state())});
  if (!order.reason().empty()) table.AddRow({" why", order.reason()});
  table.AddRow(
      {" taken", absl::StrCat(TimeText(order.create_time(), options), " on ", order.node())});
  if (!order.requester().empty()) table.AddRow({" asked by", order.requester()});
  if (order.has_end_time()) table.AddRow({" ended", TimeText(order.end_time(), options)});
  if (order.parts_size() > 1) {
    for (const OrderPart& part : order.parts()) {
      table.AddRow({" part", part.path(), StateCell(part.state()), part.reason()});
    }
  }
  for (const OrderNode& node : order.nodes()) {
    table.AddRow(
        {" node", node.node(),
         node.path() == order.path() ? node.text() : absl::StrCat(node.path(), ": ", node.text())});
  }
  std::string text = table.Render(options.colour);
  if (order.steps().empty()) return text;
  TextTable steps;
  steps.AddRow({Cell("Steps", Colour::kBold), Cell("node", Colour::kDim),
                Cell("action", Colour::kDim), Cell("took", Colour::kDim)});
  if (order.dropped_step_count() > 0) {
    steps.AddNote(
        Cell(absl::StrCat(" ", order.dropped_step_count(), " earlier ones are not kept")));
  }
  for (const OrderStep& step : order.steps()) {
    steps.AddRow({absl::StrCat(" ", TimeText(step.begin_time(), options)), step.node(),
                  step.path() == order.path() ? step.action()
                                              : absl::StrCat(step.action(), " ", step.path()),
                  Took(step), Cell(step.error(), Colour::kBad)});
  }
  return absl::StrCat(text, "\n", steps.Render(options.colour));
}

std::string RenderPlan(const SetInstanceMonitorResponse& response, const RenderOptions& options) {
  std::string text = absl::StrCat(Printable(response.message()), "\n");
  TextTable table;
  for (const PlannedAction& action : response.planned_actions()) {
    table.AddRow(
        {absl::StrCat(" ", action.round()), action.node(), action.path(), action.action()});
  }
  if (!response.planned_actions().empty()) absl::StrAppend(&text, table.Render(options.colour));
  if (!response.blocked_reason().empty()) {
    absl::StrAppend(&text, response.planned_actions().empty() ? "because " : "then no more: ",
                    Printable(response.blocked_reason()), "\n");
  }
  return text;
}

std::string RenderNodeMonitor(const std::string& node, const NodeMonitor& monitor,
                              const RenderOptions& options) {
  TextTable table;
  table.AddRow({Cell(node, Colour::kBold), monitor.status()});
  if (monitor.has_status_update_time()) {
    table.AddRow({" since", TimeText(monitor.status_update_time(), options)});
  }
  table.AddRow(
      {" cluster is to be", monitor.global_expect().empty() ? "-" : monitor.global_expect()});
  table.AddRow({" node is to be", monitor.local_expect().empty() ? "-" : monitor.local_expect()});
  return table.Render(options.colour);
}

}  // namespace om
