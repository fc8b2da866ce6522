#include "server/service/caller.h"

#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace om {

absl::string_view TransportName(Transport transport) {
  switch (transport) {
    case Transport::kGrpcUnix:
      return "gRPC over the local socket";
    case Transport::kGrpcTcp:
      return "gRPC over TCP";
    case Transport::kPacket:
      return "packet";
    case Transport::kLocalPacket:
      return "local packet";
  }
  return "unknown transport";
}

bool Caller::Holds(Role role, absl::string_view ns) const {
  switch (kind) {
    case Kind::kLocalRoot:
    case Kind::kNode:
      return true;
    case Kind::kGroup:
    case Kind::kUser:
      return grants.Allows(role, ns);
    case Kind::kJoiner:
    case Kind::kGuest:
      return role == Role::kAnyone || (role == Role::kGuest && !is_blind);
  }
  return false;
}

bool Caller::HoldsSomewhere(Role role) const {
  if (kind == Kind::kGroup || kind == Kind::kUser) return grants.AllowsSomewhere(role);
  return Holds(role, "");
}

bool Caller::HoldsEverywhere(Role role) const {
  if (kind == Kind::kGroup || kind == Kind::kUser) return grants.AllowsEverywhere(role);
  return Holds(role, "");
}

std::string Caller::ToString() const {
  switch (kind) {
    case Kind::kLocalRoot:
      return absl::StrCat("root (", TransportName(transport), ")");
    case Kind::kNode:
      return absl::StrCat("node ", absl::Utf8SafeCHexEscape(name), " (", address, ", ",
                          TransportName(transport), ")");
    case Kind::kGroup:
      return absl::StrCat("trusted group (", TransportName(transport), ")");
    case Kind::kUser:
      return absl::StrCat("user ", name, " (", address, ", ", TransportName(transport), ")");
    case Kind::kJoiner:
      return absl::StrCat("joining node ", absl::Utf8SafeCHexEscape(name), " (", address, ")");
    case Kind::kGuest:
      break;
  }
  return absl::StrCat("guest (", address, ", ", TransportName(transport), ")");
}

const std::vector<OperationRule>& OperationRules() {
  // The roles of packet actions are the legacy ones. Actions that are not in the table are answered
  // as not supported before anyone asks what role they need.
  static const auto* const rules = new std::vector<OperationRule>{
      // gRPC.
      {"grpc.health.v1.Health/Check", Role::kAnyone, Scope::kCluster, kForStrangers},
      {"grpc.health.v1.Health/Watch", Role::kAnyone, Scope::kCluster, kForStrangers},
      {"grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Role::kAnyone,
       Scope::kCluster, kForStrangers},
      // Which role a command needs is in its words: action_roles.h. Its output, and its end,
      // are for who might have run it.
      {"om.control.v1.ActionService/AttachAction", Role::kGuest, Scope::kObject},
      // Admin on namespaces that exist, squatter for others.
      {"om.control.v1.ActionService/CreateObjects", Role::kAnyone, Scope::kObject, kChanges},
      {"om.control.v1.ActionService/GetAction", Role::kGuest, Scope::kObject},
      {"om.control.v1.ActionService/KillAction", Role::kGuest, Scope::kObject, kChanges},
      {"om.control.v1.ActionService/ListActions", Role::kGuest, Scope::kAny},
      {"om.control.v1.ActionService/RunAction", Role::kGuest, Scope::kObject, kChanges},
      {"om.control.v1.ActionService/StreamAction", Role::kGuest, Scope::kObject, kChanges},
      // Whose tokens they are about is checked there.
      {"om.control.v1.AuthService/CreateToken", Role::kAnyone, Scope::kAny, kChanges},
      {"om.control.v1.AuthService/RevokeTokens", Role::kAnyone, Scope::kAny, kChanges},
      {"om.control.v1.AuthService/RotateTokenKeys", Role::kRoot, Scope::kCluster, kChanges},
      {"om.control.v1.AuthService/WhoAmI", Role::kAnyone, Scope::kAny, kForStrangers},
      {"om.control.v1.BlacklistService/ClearEntries", Role::kBlacklistAdmin, Scope::kCluster,
       kChanges},
      // Arbitrators and relays are asked for it by nodes that are none of the cluster.
      {"om.control.v1.BlacklistService/ListEntries", Role::kGuest, Scope::kAny,
       kForJoiners | kForStrangers},
      // Of node.conf and cluster.conf: root.
      {"om.control.v1.ConfigService/GetConfig", Role::kAdmin, Scope::kObject},
      {"om.control.v1.ConfigService/GetKeywords", Role::kAdmin, Scope::kObject},
      {"om.control.v1.ConfigService/UpdateConfig", Role::kAdmin, Scope::kObject, kChanges},
      {"om.control.v1.DaemonService/GetStats", Role::kGuest, Scope::kAny, kForStrangers},
      {"om.control.v1.DaemonService/GetStatus", Role::kGuest, Scope::kAny, kForStrangers},
      {"om.control.v1.DaemonService/ListNodes", Role::kGuest, Scope::kAny, kForStrangers},
      {"om.control.v1.DaemonService/ListThreads", Role::kGuest, Scope::kAny, kForStrangers},
      {"om.control.v1.DaemonService/ShutdownDaemon", Role::kRoot, Scope::kCluster, kChanges},
      {"om.control.v1.DaemonService/StartDaemon", Role::kRoot, Scope::kCluster, kChanges},
      {"om.control.v1.DaemonService/StartThread", Role::kRoot, Scope::kCluster, kChanges},
      {"om.control.v1.DaemonService/StopDaemon", Role::kRoot, Scope::kCluster, kChanges},
      {"om.control.v1.DaemonService/StopThread", Role::kRoot, Scope::kCluster, kChanges},
      {"om.control.v1.DaemonService/WatchStatus", Role::kGuest, Scope::kAny, kForStrangers},
      {"om.control.v1.EventService/WaitFor", Role::kGuest, Scope::kAny, kForStrangers},
      {"om.control.v1.EventService/WatchEvents", Role::kGuest, Scope::kAny, kForStrangers},
      // The node's log: root.
      {"om.control.v1.LogService/ReadLog", Role::kGuest, Scope::kObject},
      {"om.control.v1.MembershipService/Join", Role::kRoot, Scope::kCluster,
       kChanges | kForJoiners},
      {"om.control.v1.MembershipService/Leave", Role::kRoot, Scope::kCluster, kChanges},
      {"om.control.v1.MonitorService/ClearInstance", Role::kOperator, Scope::kObject, kChanges},
      {"om.control.v1.MonitorService/GetInstanceMonitor", Role::kGuest, Scope::kObject,
       kForStrangers},
      {"om.control.v1.MonitorService/GetOrder", Role::kGuest, Scope::kObject, kForStrangers},
      {"om.control.v1.MonitorService/ListOrders", Role::kGuest, Scope::kAny, kForStrangers},
      // Admin for what is not an everyday order: RoleOfOrder().
      {"om.control.v1.MonitorService/SetInstanceMonitor", Role::kOperator, Scope::kObject,
       kChanges},
      {"om.control.v1.MonitorService/WatchOrder", Role::kGuest, Scope::kObject, kForStrangers},
      {"om.control.v1.NodeService/GetNodeMonitor", Role::kGuest, Scope::kAny, kForStrangers},
      {"om.control.v1.NodeService/SetNodeMonitor", Role::kRoot, Scope::kCluster, kChanges},
      // What clients trust is no secret.
      {"om.control.v1.PkiService/GetAuthority", Role::kAnyone, Scope::kAny, kForStrangers},
      {"om.control.v1.PkiService/InitAuthority", Role::kRoot, Scope::kCluster, kChanges},
      {"om.control.v1.PkiService/IssueCertificate", Role::kRoot, Scope::kCluster, kChanges},
      {"om.control.v1.PkiService/ListCertificates", Role::kRoot, Scope::kCluster},
      {"om.control.v1.PkiService/RenewCertificate", Role::kRoot, Scope::kCluster, kChanges},
      {"om.control.v1.PkiService/RevokeCertificate", Role::kRoot, Scope::kCluster, kChanges},
      // Packets, by the names of all versions.
      {"blacklist_clear", Role::kBlacklistAdmin, Scope::kCluster, kChanges},
      {"blacklist_status", Role::kGuest, Scope::kAny, kForJoiners | kForStrangers},
      {"clear", Role::kOperator, Scope::kObject, kChanges},
      {"daemon_blacklist_clear", Role::kBlacklistAdmin, Scope::kCluster, kChanges},
      {"daemon_blacklist_status", Role::kGuest, Scope::kAny, kForJoiners | kForStrangers},
      {"daemon_shutdown", Role::kRoot, Scope::kCluster, kChanges},
      {"daemon_start", Role::kRoot, Scope::kCluster, kChanges},
      {"daemon_stats", Role::kGuest, Scope::kAny, kForStrangers},
      {"daemon_status", Role::kGuest, Scope::kAny, kForStrangers},
      {"daemon_stop", Role::kRoot, Scope::kCluster, kChanges},
      {"events", Role::kGuest, Scope::kAny, kForStrangers},
      {"create", Role::kAnyone, Scope::kObject, kChanges},
      {"node_action", Role::kRoot, Scope::kCluster, kChanges},
      {"node_backlogs", Role::kRoot, Scope::kCluster},
      {"node_logs", Role::kRoot, Scope::kCluster},
      {"object_action", Role::kGuest, Scope::kObject, kChanges},
      {"object_backlogs", Role::kGuest, Scope::kObject},
      {"object_create", Role::kAnyone, Scope::kObject, kChanges},
      {"object_logs", Role::kGuest, Scope::kObject},
      {"service_action", Role::kGuest, Scope::kObject, kChanges},
      {"service_backlogs", Role::kGuest, Scope::kObject},
      {"service_logs", Role::kGuest, Scope::kObject},
      // The name alone says who joins or leaves; knowing the secret is what makes it root.
      {"join", Role::kRoot, Scope::kCluster, kChanges | kForJoiners},
      {"leave", Role::kRoot, Scope::kCluster, kChanges},
      {"get_node_config", Role::kRoot, Scope::kCluster},
      {"get_service_config", Role::kAdmin, Scope::kObject},
      {"get_service_monitor", Role::kGuest, Scope::kObject, kForStrangers},
      {"node_config", Role::kRoot, Scope::kCluster},
      {"nodes_info", Role::kGuest, Scope::kAny, kForStrangers},
      {"object_clear", Role::kOperator, Scope::kObject, kChanges},
      {"object_config", Role::kAdmin, Scope::kObject},
      {"node_monitor", Role::kRoot, Scope::kCluster, kChanges},
      {"object_monitor", Role::kOperator, Scope::kObject, kChanges},
      {"set_node_monitor", Role::kRoot, Scope::kCluster, kChanges},
      {"set_service_monitor", Role::kOperator, Scope::kObject, kChanges},
      // Not a change: resource managers send it after every action.
      {"wake_monitor", Role::kOperator, Scope::kObject},
  };
  return *rules;
}

const OperationRule* FindOperationRule(absl::string_view operation) {
  // Every request asks, so the table is not searched through.
  static const auto* const by_name = [] {
    auto* made = new absl::flat_hash_map<absl::string_view, const OperationRule*>;
    for (const OperationRule& rule : OperationRules()) made->emplace(rule.operation, &rule);
    return made;
  }();
  const auto found = by_name->find(operation);
  return found == by_name->end() ? nullptr : found->second;
}

namespace {

absl::string_view Who(Caller::Kind kind) {
  switch (kind) {
    case Caller::Kind::kGuest:
      return "a guest";
    case Caller::Kind::kJoiner:
      return "a joining node";
    case Caller::Kind::kGroup:
      return "the trusted group";
    case Caller::Kind::kUser:
      return "the user";
    case Caller::Kind::kLocalRoot:
    case Caller::Kind::kNode:
      break;
  }
  return "the caller";
}

bool InScope(const Caller& caller, const OperationRule& rule, std::optional<absl::string_view> ns) {
  if (rule.scope == Scope::kCluster) return caller.HoldsEverywhere(rule.role);
  if (rule.scope == Scope::kAny || !ns.has_value()) return caller.HoldsSomewhere(rule.role);
  return caller.Holds(rule.role, *ns);
}

absl::Status AuthorizeOn(const Caller& caller, absl::string_view operation,
                         std::optional<absl::string_view> ns) {
  const OperationRule* rule = FindOperationRule(operation);
  std::string why;
  if (rule == nullptr) {
    why = absl::StrCat(operation, " is no operation that anyone may ask for");
  } else if (caller.kind == Caller::Kind::kJoiner && rule->for_joiners()) {
    return absl::OkStatus();  // It knows the secret: what it may is a matter of the list alone.
  } else if (!InScope(caller, *rule, ns) ||
             (caller.kind == Caller::Kind::kGuest && !rule->for_strangers())) {
    why = absl::StrCat(operation, " needs the role ", RoleName(rule->role),
                       ns.has_value() ? absl::StrCat(" on the namespace ", *ns) : "", ", which ",
                       Who(caller.kind), " does not hold");
  } else if (caller.kind == Caller::Kind::kJoiner && !rule->for_joiners()) {
    why = absl::StrCat(operation, " is not among what a joining node may ask for");
  } else {
    return absl::OkStatus();
  }
  return WithReason(absl::PermissionDeniedError(why), "ROLE_MISSING");
}

}  // namespace

absl::Status RequireRole(const Caller& caller, absl::string_view operation, Role role,
                         std::optional<absl::string_view> ns) {
  const bool held = ns.has_value() ? caller.Holds(role, *ns) : caller.HoldsEverywhere(role);
  if (held) return absl::OkStatus();
  return WithReason(
      absl::PermissionDeniedError(absl::StrCat(
          operation, " needs the role ", RoleName(role),
          ns.has_value() && IsNamespaceRole(role) ? absl::StrCat(" on the namespace ", *ns) : "",
          " here, which ", Who(caller.kind), " does not hold")),
      "ROLE_MISSING");
}

absl::Status Authorize(const Caller& caller, absl::string_view operation) {
  return AuthorizeOn(caller, operation, std::nullopt);
}

absl::Status Authorize(const Caller& caller, absl::string_view operation, absl::string_view ns) {
  return AuthorizeOn(caller, operation, ns);
}

}  // namespace om
