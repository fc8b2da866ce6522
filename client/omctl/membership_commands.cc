// Which nodes the cluster has.
#include "absl/strings/str_cat.h"
#include "client/errors.h"
#include "client/omctl/commands.h"
#include "om/control/v1/membership.grpc.pb.h"

namespace om {

using namespace om::control::v1;  // NOLINT: most names here are messages.

void Omctl::DefineMembership(CLI::App* cluster) {
  CLI::App* join =
      Define(cluster, "join", "Makes a node a member: adds it to cluster.nodes of this node",
             [this] { return ClusterJoin(); });
  join->footer(
      "The node itself is not told: it has to get cluster.conf. --json shows what it has to know,\n"
      "the cluster's secret included.\n"
      "\n"
      "Example:\n  omctl cluster join node3");
  CLI::App* leave =
      Define(cluster, "leave", "Makes a node no member any more: takes it out of cluster.nodes",
             [this] { return ClusterLeave(); });
  leave->footer(
      "Not for the node that is asked: ask another with --server.\n"
      "\n"
      "Example:\n  omctl cluster leave node3");
  for (CLI::App* app : {join, leave}) {
    app->add_option("node", args_.node, "Its name, without domain")->type_name("NODE")->required();
  }
}

// Both can be repeated: who is a member stays one. So they carry no request id.
Outcome Omctl::ClusterJoin() {
  if (auto failure = Connect()) return *std::move(failure);
  JoinRequest request;
  request.set_node(args_.node);
  JoinResponse response;
  const grpc::Status status =
      Read(NewStub<MembershipService>().get(), &MembershipService::Stub::Join, request, &response);
  if (!status.ok()) return FailureOf(status);
  return Print(response, absl::StrCat(Printable(args_.node), response.already_member()
                                                                 ? " was a member already\n"
                                                                 : " is a member now\n"));
}

Outcome Omctl::ClusterLeave() {
  if (auto failure = Connect()) return *std::move(failure);
  LeaveRequest request;
  request.set_node(args_.node);
  LeaveResponse response;
  const grpc::Status status =
      Read(NewStub<MembershipService>().get(), &MembershipService::Stub::Leave, request, &response);
  if (!status.ok()) return FailureOf(status);
  return Print(response, absl::StrCat(Printable(args_.node), response.was_member()
                                                                 ? " is no member any more\n"
                                                                 : " was no member\n"));
}

}  // namespace om
