#include "server/service/node_api.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace om {
namespace {

namespace pb = control::v1;

// Statuses that announce what the daemon itself does (init, rejoin, shutting) are its own to set.
const std::vector<std::string>& Statuses() {
  static const auto* const words = new std::vector<std::string>{
      status_word::kIdle, status_word::kFreezing, status_word::kThawing, status_word::kMaintenance,
      status_word::kUpgrade};
  return *words;
}
const std::vector<std::string>& Expectations() {
  static const auto* const words =
      new std::vector<std::string>{expect_word::kFrozen, expect_word::kThawed, expect_word::kUnset};
  return *words;
}

absl::Status CheckWord(const char* field, const std::string& word,
                       const std::vector<std::string>& words) {
  if (std::find(words.begin(), words.end(), word) != words.end()) return absl::OkStatus();
  return WithField(absl::InvalidArgumentError(absl::StrCat(
                       "invalid ", field, " value: ", absl::CHexEscape(word.substr(0, 64)),
                       "; expected one of ", absl::StrJoin(words, ", "))),
                   field);
}

std::string Describe(const pb::SetNodeMonitorRequest& request, const NodeMonitorAnswer& answer) {
  if (!request.has_global_expect()) {
    return answer.applied ? "the node's monitor was set" : "nothing was asked for";
  }
  if (!answer.applied) return absl::StrCat("cluster is already ", request.global_expect());
  if (request.global_expect() == expect_word::kUnset) return "cluster target state unset";
  return absl::StrCat("cluster target state set to ", request.global_expect());
}

}  // namespace

absl::StatusOr<pb::GetNodeMonitorResponse> NodeApi::GetNodeMonitor(
    const Caller& caller, const pb::GetNodeMonitorRequest& request) {
  RETURN_IF_ERROR(Admit(*context_, caller, "om.control.v1.NodeService/GetNodeMonitor"));
  const SnapshotPtr snapshot = context_->core->snapshot();
  const std::string& name = request.node().empty() ? snapshot->local_node : request.node();
  const NodeState* node = snapshot->node(name);
  if (node == nullptr) {
    return WithField(MakeError("NODE_UNKNOWN", absl::StrCat("nothing is known of a node ",
                                                            absl::CHexEscape(name.substr(0, 64)))),
                     "node");
  }
  pb::GetNodeMonitorResponse response;
  response.set_node(name);
  *response.mutable_monitor() = ToProto(node->monitor);
  return response;
}

void NodeApi::SetNodeMonitor(const Caller& caller, const pb::SetNodeMonitorRequest& request,
                             Reply<pb::SetNodeMonitorResponse> reply) {
  constexpr char operation[] = "om.control.v1.NodeService/SetNodeMonitor";
  AuditedChange change{context_->core->local_node(), request.request_id(), {}};
  if (request.has_global_expect()) {
    change.words.push_back(absl::StrCat("global_expect=", request.global_expect()));
  }
  if (request.has_local_expect()) {
    change.words.push_back(absl::StrCat("local_expect=", request.local_expect()));
  }
  if (request.has_status()) change.words.push_back(absl::StrCat("status=", request.status()));
  if (!BeginChange(*context_, caller, operation, std::move(change), &reply)) return;
  absl::Status valid = CheckRequestId(request.request_id());
  if (valid.ok() && request.has_global_expect()) {
    valid = CheckWord("global_expect", request.global_expect(), Expectations());
  }
  if (valid.ok() && request.has_local_expect()) {
    valid = CheckWord("local_expect", request.local_expect(), Expectations());
  }
  if (valid.ok() && request.has_status()) {
    valid = CheckWord("status", request.status(), Statuses());
  }
  if (!valid.ok()) return reply(std::move(valid));
  NodeMonitorOrder order;
  if (request.has_global_expect()) order.global_expect = request.global_expect();
  if (request.has_local_expect()) order.local_expect = request.local_expect();
  if (request.has_status()) order.status = request.status();
  context_->core->SetNodeMonitor(
      std::move(order), KeyOf(caller, operation, request),
      [node = context_->core->local_node(), request,
       reply = std::move(reply)](const absl::StatusOr<NodeMonitorAnswer>& answer) {
        if (!answer.ok()) return reply(answer.status());
        pb::SetNodeMonitorResponse response;
        response.set_node(node);
        *response.mutable_monitor() = ToProto(answer->monitor);
        response.set_applied(answer->applied);
        response.set_message(Describe(request, *answer));
        reply(std::move(response));
      });
}

}  // namespace om
