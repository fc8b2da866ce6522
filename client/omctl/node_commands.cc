// Nodes.
#include "absl/strings/str_cat.h"
#include "client/errors.h"
#include "client/omctl/commands.h"
#include "client/omctl/render_order.h"
#include "om/control/v1/node.grpc.pb.h"

namespace om {

using namespace om::control::v1;  // NOLINT: most names here are messages.

void Omctl::DefineNode() {
  CLI::App* node = Group(&app_, "node", "Reads and changes node.conf; freezes nodes",
                         "Examples:\n"
                         "  omctl node freeze --local\n"
                         "  omctl node get --param listener.port\n"
                         "  omctl node set --param listener.port --value 1215\n"
                         "  omctl node unset --param listener.port");
  DefineKeywords(node, "node", "omctl node");
  DefineNodeMonitor(node);
  DefineAction(node, "omctl node");
  DefineLogs(node, "omctl node");
}

void Omctl::DefineNodeMonitor(CLI::App* node) {
  const auto define = [&](const char* word, const char* purpose, const char* expectation) {
    CLI::App* app =
        Define(node, word, purpose, [this, expectation] { return NodeFreeze(expectation); });
    app->add_flag("--local", args_.local, "Only the node that answers");
    app->footer(absl::StrCat("Example:\n  omctl node ", word, " --local"));
  };
  define("freeze", "Holds automatic actions back on all nodes", "frozen");
  define("thaw", "Lets automatic actions happen again on all nodes", "thawed");
  CLI::App* monitor = Define(node, "monitor", "Shows what a node is about",
                             [this] { return NodeMonitorCommand(); });
  monitor->add_option("--node", args_.node, "Name (default: the node that answers)")
      ->type_name("NAME");
  monitor->footer("Example:\n  omctl node monitor --node node2");
}

Outcome Omctl::NodeMonitorCommand() {
  if (auto failure = Connect()) return *std::move(failure);
  GetNodeMonitorRequest request;
  request.set_node(args_.node);
  GetNodeMonitorResponse response;
  const grpc::Status status =
      Read(NewStub<NodeService>().get(), &NodeService::Stub::GetNodeMonitor, request, &response);
  if (!status.ok()) return FailureOf(status);
  return Print(response, RenderNodeMonitor(response.node(), response.monitor(), render()));
}

Outcome Omctl::NodeFreeze(const char* expectation) {
  if (auto failure = Connect()) return *std::move(failure);
  SetNodeMonitorRequest request;
  if (args_.local) {
    request.set_local_expect(expectation);
  } else {
    request.set_global_expect(expectation);
  }
  SetNodeMonitorResponse response;
  const grpc::Status status =
      Change(NewStub<NodeService>().get(), &NodeService::Stub::SetNodeMonitor, request, &response);
  if (!status.ok()) return FailureOf(status);
  return Print(response, absl::StrCat(Printable(response.message()), "\n"));
}

}  // namespace om
