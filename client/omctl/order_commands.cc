// Orders: giving them, following them, looking at them.
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/errors.h"
#include "client/object_path.h"
#include "client/omctl/commands.h"
#include "client/omctl/render_order.h"
#include "client/order_watch.h"
#include "om/control/v1/monitor.grpc.pb.h"

namespace om {

using namespace om::control::v1;  // NOLINT: most names here are messages.
using std::chrono::milliseconds;

void Omctl::DefineOrder() {
  CLI::App* order = Group(&app_, "order", "Orders for services: in progress, and those that ended",
                          "Examples:\n"
                          "  omctl order list --running\n"
                          "  omctl order show 0b8f9c6e-5a3f-4a53-a63d-0a5ad8a4b6a5");
  CLI::App* list =
      Define(order, "list", "Lists orders, newest first", [this] { return OrderList(); });
  list->add_option("--path", args_.order_path, "Only those for this service")->type_name("PATH");
  list->add_flag("--running", args_.running, "Only those that are not over");
  list->footer(
      "Orders are remembered for an hour after their end.\n"
      "\n"
      "Example:\n  omctl order list --path web -o json");
  const auto named = [this](CLI::App* app) {
    app->add_option("id", args_.order_id, "Identifier of the order")->required();
  };
  CLI::App* show = Define(order, "show", "Shows an order: what was done where, and why it waits",
                          [this] { return OrderShow(); });
  named(show);
  show->footer("Example:\n  omctl order show 0b8f9c6e-5a3f-4a53-a63d-0a5ad8a4b6a5");
  CLI::App* watch =
      Define(order, "watch", "Follows an order until it is over", [this] { return OrderWatch(); });
  named(watch);
  watch->footer(
      "Ends as --wait does: 0 once fulfilled, 1 if it was given up, 4 when --timeout passes.\n"
      "\n"
      "Example:\n  omctl order watch 0b8f9c6e-5a3f-4a53-a63d-0a5ad8a4b6a5 --timeout 60");
}

void Omctl::DefineOrderWords(CLI::App* service) {
  for (const OrderWord& order : OrderWords()) {
    CLI::App* app =
        Define(service, order.word, order.purpose, [this, &order] { return ServiceOrder(order); });
    app->add_flag("--wait", args_.wait, "End when the order has been fulfilled (or has failed)");
    app->add_flag("--dry-run", args_.dry_run, "Show what would be done where, and do nothing");
    const std::string word = order.word;
    if (word == "start") {
      app->add_flag("--local", args_.local, "Only the instance on the node that answers");
    }
    if (word == "move") {
      app->add_option("--to", args_.to, "Node, or nodes with commas for a flex service")
          ->type_name("NODE")
          ->required();
    }
    app->footer(absl::StrCat(
        "With --wait the exit status is 0 once fulfilled, 1 if it was given up, 4 if it is still\n"
        "in progress when --timeout passes; why it is blocked is told as it happens.\n"
        "\n"
        "Example:\n  omctl web ",
        word, word == "move" ? " --to node2" : "", " --wait --timeout 60"));
  }
}

// Follows an order, telling what it does, and ends as it does.
Outcome Omctl::AwaitOrder(const std::string& order_id) {
  OrderFollower::Options options;
  env_.random->Fill(&options.jitter_seed, sizeof(options.jitter_seed));
  OrderFollower follower(connection_.get(), options);
  control::v1::Order last;
  std::string told;
  const absl::Status end = follower.Run(
      order_id, deadline_,
      [&](const control::v1::Order& now) {
        last = now;
        const std::string line = OrderLine(now);
        if (!IsOver(now.state()) && line != std::exchange(told, line) && !json()) {
          *env_.err << "omctl: " << line << "\n";
        }
        return true;
      },
      [this](const absl::Status& why, milliseconds delay) {
        *env_.err << absl::StrFormat("omctl: the stream ended (%s), trying again in %.1f s\n",
                                     Printable(why.message()),
                                     static_cast<double>(delay.count()) / 1000.0);
      });
  const std::string about = last.order_id().empty() ? order_id : OrderLine(last);
  if (end.code() == absl::StatusCode::kDeadlineExceeded) {
    return LocalFailure(kExitDeadline, "DEADLINE_EXCEEDED",
                        absl::StrCat("the order is still in progress: ", about));
  }
  if (!end.ok()) return LocalFailure(kExitError, end);
  if (last.state() != ORDER_STATE_REACHED) {
    return LocalFailure(kExitError, "ABORTED",
                        absl::StrCat("the order ended without being fulfilled: ", about, "\n",
                                     RenderOrder(last, {false, env_.zone})));
  }
  return Print(last, absl::StrCat(Printable(about), "\n"));
}

Outcome Omctl::OrderList() {
  ListOrdersRequest request;
  if (!args_.order_path.empty()) {
    const absl::StatusOr<std::string> path = CanonicalObjectPath(args_.order_path);
    if (!path.ok()) return LocalFailure(kExitUsage, path.status());
    request.set_path(*path);
  }
  request.set_only_in_progress(args_.running);
  if (auto failure = Connect()) return *std::move(failure);
  const auto stub = NewStub<MonitorService>();
  ListOrdersResponse whole;
  do {
    ListOrdersResponse page;
    const grpc::Status status = Read(stub.get(), &MonitorService::Stub::ListOrders, request, &page);
    if (!status.ok()) return FailureOf(status);
    whole.mutable_orders()->MergeFrom(page.orders());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return Print(whole, RenderOrders(whole.orders(), render()));
}

Outcome Omctl::OrderShow() {
  if (auto failure = Connect()) return *std::move(failure);
  GetOrderRequest request;
  request.set_order_id(args_.order_id);
  GetOrderResponse response;
  const grpc::Status status =
      Read(NewStub<MonitorService>().get(), &MonitorService::Stub::GetOrder, request, &response);
  if (!status.ok()) return FailureOf(status);
  return Print(response.order(), RenderOrder(response.order(), render()));
}

Outcome Omctl::OrderWatch() {
  UseLimit(kOrderLimit);
  if (auto failure = Connect()) return *std::move(failure);
  return AwaitOrder(args_.order_id);
}

Outcome Omctl::ServiceOrder(const OrderWord& order) {
  UseLimit(args_.wait ? kOrderLimit : kCallLimit);
  if (auto failure = Connect()) return *std::move(failure);
  SetInstanceMonitorRequest request;
  request.set_path(args_.path);
  if (args_.local) {
    request.set_local_expect(order.global_expect);
  } else {
    request.set_global_expect(absl::StrCat(order.global_expect, args_.to));
  }
  request.set_dry_run(args_.dry_run);
  SetInstanceMonitorResponse response;
  const grpc::Status status = Change(NewStub<MonitorService>().get(),
                                     &MonitorService::Stub::SetInstanceMonitor, request, &response);
  if (!status.ok()) return FailureOf(status);
  if (args_.dry_run) return Print(response, RenderPlan(response, render()));
  std::string text = response.message();
  if (args_.local) text = absl::StrCat("the instance of ", args_.path, " is to be started");
  if (text.empty()) {
    text = response.outcome() == ORDER_OUTCOME_ALREADY_REACHED
               ? absl::StrCat("nothing to do: ", args_.path, " needs no '", order.word, "'")
               : absl::StrCat(args_.path, " is ordered to be ", order.global_expect);
  }
  if (!args_.wait || response.outcome() == ORDER_OUTCOME_ALREADY_REACHED) {
    if (!response.order_id().empty()) {
      absl::StrAppend(&text, " (order ", response.order_id(), ")");
    }
    return Print(response, Printable(text) + "\n");
  }
  if (!response.order_id().empty()) return AwaitOrder(response.order_id());

  OrderListener listener(args_.path, order);
  WatchOptions options;
  env_.random->Fill(&options.jitter_seed, sizeof(options.jitter_seed));
  StatusWatcher watcher(connection_.get(), &listener, options);
  const absl::Status end = watcher.Run(deadline_);
  if (end.code() == absl::StatusCode::kDeadlineExceeded) {
    return LocalFailure(kExitDeadline, "DEADLINE_EXCEEDED",
                        absl::StrCat("the order '", order.word, "' for ", args_.path,
                                     " is still in progress", listener.Knowledge()));
  }
  if (!end.ok()) return LocalFailure(kExitError, end);
  if (!listener.verdict().ok()) return LocalFailure(kExitError, listener.verdict());
  return Print(*listener.object(), absl::StrCat(args_.path, ": ", order.word, " done, avail ",
                                                StateText(listener.object()->avail()), ", ",
                                                StateText(listener.object()->frozen()), "\n"));
}

}  // namespace om
