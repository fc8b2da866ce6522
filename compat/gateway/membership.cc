#include "compat/gateway/membership.h"

#include <map>
#include <string>
#include <utility>

#include "compat/wire/reply.h"
#include "server/base/status.h"
#include "server/config/value.h"

namespace om {
namespace {

namespace pb = control::v1;

// What 2.x answers when the lock of the configuration cannot be had.
constexpr int kLockedStatus = 503;

Json Locked() { return ErrorReply("Lock not acquired", kLockedStatus); }

bool IsLocked(const absl::Status& status) { return ReasonOf(status) == "CONFIG_LOCKED"; }

using Keywords = google::protobuf::Map<std::string, std::string>;

// Sorted: a map of protobuf has an order of its own each time.
std::map<std::string, std::string> Sorted(const Keywords& keywords) {
  return {keywords.begin(), keywords.end()};
}

Json KeywordsOf(const pb::FileSection& section) {
  Json keywords = Json::object();
  for (const auto& [name, value] : Sorted(section.keywords())) keywords[name] = value;
  return keywords;
}

Json JoinReply(const pb::JoinResponse& response) {
  Json own = {{"node", Json::object()}, {"cluster", Json::object()}};
  if (!response.node_env().empty()) own["node"]["env"] = response.node_env();
  for (const auto& [name, value] : Sorted(response.node_cluster_keywords())) {
    own["cluster"][name] = value;
    if (name != "quorum") continue;
    const absl::StatusOr<bool> quorum = ParseBoolean(value);
    if (quorum.ok()) own["cluster"][name] = *quorum;
  }
  for (const pb::FileSection& section : response.node_sections()) {
    own[section.name()] = KeywordsOf(section);
  }
  Json data = {{"node", {{"data", std::move(own)}}}};
  if (response.has_cluster_update_time()) {
    Json cluster = Json::object();
    for (const pb::FileSection& section : response.cluster_sections()) {
      cluster[section.name()] = KeywordsOf(section);
    }
    cluster["metadata"] = {{"name", "cluster"}, {"kind", "ccfg"}, {"namespace", nullptr}};
    const auto& time = response.cluster_update_time();
    data["cluster"] = {{"data", std::move(cluster)},
                       {"mtime", static_cast<double>(time.seconds()) + time.nanos() / 1e9}};
  }
  return {{"status", 0}, {"data", std::move(data)}};
}

}  // namespace

void LegacyJoin(MembershipApi* api, const Caller& caller, const std::function<void(Json)>& done) {
  pb::JoinRequest request;
  request.set_node(caller.name);
  api->Join(caller, request, [done](const absl::StatusOr<pb::JoinResponse>& response) {
    if (response.ok()) return done(JoinReply(*response));
    done(IsLocked(response.status()) ? Locked()
                                     : ErrorReply(std::string(response.status().message()),
                                                  RuleOf(response.status()).legacy_status));
  });
}

void LegacyLeave(MembershipApi* api, const Caller& caller, const std::function<void(Json)>& done) {
  pb::LeaveRequest request;
  request.set_node(caller.name);
  api->Leave(caller, request, [done](const absl::StatusOr<pb::LeaveResponse>& response) {
    if (response.ok()) return done({{"status", 0}});
    if (IsLocked(response.status())) return done(Locked());
    done({{"status", 1}, {"error", Json::array({std::string(response.status().message())})}});
  });
}

}  // namespace om
