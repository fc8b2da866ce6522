// Every operation of both doors with every kind of caller and every role: what the legacy rules
// say, written down here by hand, against what the table says.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "server/base/status.h"
#include "server/service/action_roles.h"
#include "server/service/caller.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

namespace pb = control::v1;
using Kind = Caller::Kind;

// Who asks. Namespace roles are held on `web`, or on `db`; all is asked about `web`.
struct Asker {
  const char* name;
  Kind kind;
  const char* grants;
};
constexpr Asker kAskers[] = {
    {"stranger", Kind::kGuest, ""},
    {"joiner", Kind::kJoiner, ""},
    {"node", Kind::kNode, ""},
    {"local root", Kind::kLocalRoot, ""},
    {"group", Kind::kGroup, "operator:* blacklistadmin"},
    {"no grants", Kind::kUser, ""},
    {"guest", Kind::kUser, "guest:web"},
    {"operator", Kind::kUser, "operator:web"},
    {"admin", Kind::kUser, "admin:web"},
    {"guest elsewhere", Kind::kUser, "guest:db"},
    {"operator elsewhere", Kind::kUser, "operator:db"},
    {"admin elsewhere", Kind::kUser, "admin:db"},
    {"blacklistadmin", Kind::kUser, "blacklistadmin"},
    {"squatter", Kind::kUser, "squatter"},
    {"prioritizer", Kind::kUser, "prioritizer"},
    {"heartbeat", Kind::kUser, "heartbeat"},
    {"root", Kind::kUser, "root"},
};

// What an operation asks for.
enum class Need {
  kNothing,        // Not even knowing who asks.
  kState,          // guest, anywhere; strangers, too.
  kArbitration,    // The same, and nodes that join.
  kGuestAnywhere,  // Not strangers.
  kStateOfObject,  // guest on it; strangers, too.
  kGuest,          // On the object, not strangers; more, depending on the request.
  kSomebody,       // Whoever is known; all else depends on the request.
  kOperator,
  kAdmin,
  kBlacklistAdmin,
  kRoot,
  kJoin,  // root, and nodes that join.
};

// Those who may. The rows are as the legacy rules read; nothing in them is worked out.
const std::map<Need, std::set<std::string>>& Allowed() {
  static const auto* const allowed = new std::map<Need, std::set<std::string>>{
      {Need::kNothing,
       {"stranger", "node", "local root", "group", "no grants", "guest", "operator", "admin",
        "guest elsewhere", "operator elsewhere", "admin elsewhere", "blacklistadmin", "squatter",
        "prioritizer", "heartbeat", "root"}},
      {Need::kState,
       {"stranger", "node", "local root", "group", "guest", "operator", "admin", "guest elsewhere",
        "operator elsewhere", "admin elsewhere", "root"}},
      {Need::kArbitration,
       {"stranger", "joiner", "node", "local root", "group", "guest", "operator", "admin",
        "guest elsewhere", "operator elsewhere", "admin elsewhere", "root"}},
      {Need::kGuestAnywhere,
       {"node", "local root", "group", "guest", "operator", "admin", "guest elsewhere",
        "operator elsewhere", "admin elsewhere", "root"}},
      {Need::kStateOfObject,
       {"stranger", "node", "local root", "group", "guest", "operator", "admin", "root"}},
      {Need::kGuest, {"node", "local root", "group", "guest", "operator", "admin", "root"}},
      {Need::kSomebody,
       {"node", "local root", "group", "no grants", "guest", "operator", "admin", "guest elsewhere",
        "operator elsewhere", "admin elsewhere", "blacklistadmin", "squatter", "prioritizer",
        "heartbeat", "root"}},
      {Need::kOperator, {"node", "local root", "group", "operator", "admin", "root"}},
      {Need::kAdmin, {"node", "local root", "admin", "root"}},
      {Need::kBlacklistAdmin, {"node", "local root", "group", "blacklistadmin", "root"}},
      {Need::kRoot, {"node", "local root", "root"}},
      {Need::kJoin, {"joiner", "node", "local root", "root"}},
  };
  return *allowed;
}

const std::map<std::string, Need>& Needs() {
  static const auto* const needs = new std::map<std::string, Need>{
      {"grpc.health.v1.Health/Check", Need::kNothing},
      {"grpc.health.v1.Health/Watch", Need::kNothing},
      {"grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Need::kNothing},
      {"om.control.v1.ActionService/AttachAction", Need::kGuest},
      {"om.control.v1.ActionService/CreateObjects", Need::kSomebody},
      {"om.control.v1.ActionService/GetAction", Need::kGuest},
      {"om.control.v1.ActionService/KillAction", Need::kGuest},
      {"om.control.v1.ActionService/ListActions", Need::kGuestAnywhere},
      {"om.control.v1.ActionService/RunAction", Need::kGuest},
      {"om.control.v1.ActionService/StreamAction", Need::kGuest},
      {"om.control.v1.AuthService/CreateToken", Need::kSomebody},
      {"om.control.v1.AuthService/RevokeTokens", Need::kSomebody},
      {"om.control.v1.AuthService/RotateTokenKeys", Need::kRoot},
      {"om.control.v1.AuthService/WhoAmI", Need::kNothing},
      {"om.control.v1.BlacklistService/ClearEntries", Need::kBlacklistAdmin},
      {"om.control.v1.BlacklistService/ListEntries", Need::kArbitration},
      {"om.control.v1.ConfigService/GetConfig", Need::kAdmin},
      {"om.control.v1.ConfigService/GetKeywords", Need::kAdmin},
      {"om.control.v1.ConfigService/UpdateConfig", Need::kAdmin},
      {"om.control.v1.DaemonService/GetStats", Need::kState},
      {"om.control.v1.DaemonService/GetStatus", Need::kState},
      {"om.control.v1.DaemonService/ListNodes", Need::kState},
      {"om.control.v1.DaemonService/ListThreads", Need::kState},
      {"om.control.v1.DaemonService/ShutdownDaemon", Need::kRoot},
      {"om.control.v1.DaemonService/StartDaemon", Need::kRoot},
      {"om.control.v1.DaemonService/StartThread", Need::kRoot},
      {"om.control.v1.DaemonService/StopDaemon", Need::kRoot},
      {"om.control.v1.DaemonService/StopThread", Need::kRoot},
      {"om.control.v1.DaemonService/WatchStatus", Need::kState},
      {"om.control.v1.EventService/WaitFor", Need::kState},
      {"om.control.v1.EventService/WatchEvents", Need::kState},
      {"om.control.v1.LogService/ReadLog", Need::kGuest},
      {"om.control.v1.MembershipService/Join", Need::kJoin},
      {"om.control.v1.MembershipService/Leave", Need::kRoot},
      {"om.control.v1.MonitorService/ClearInstance", Need::kOperator},
      {"om.control.v1.MonitorService/GetInstanceMonitor", Need::kStateOfObject},
      {"om.control.v1.MonitorService/GetOrder", Need::kStateOfObject},
      {"om.control.v1.MonitorService/ListOrders", Need::kState},
      {"om.control.v1.MonitorService/SetInstanceMonitor", Need::kOperator},
      {"om.control.v1.MonitorService/WatchOrder", Need::kStateOfObject},
      {"om.control.v1.NodeService/GetNodeMonitor", Need::kState},
      {"om.control.v1.NodeService/SetNodeMonitor", Need::kRoot},
      {"om.control.v1.PkiService/GetAuthority", Need::kNothing},
      {"om.control.v1.PkiService/InitAuthority", Need::kRoot},
      {"om.control.v1.PkiService/IssueCertificate", Need::kRoot},
      {"om.control.v1.PkiService/ListCertificates", Need::kRoot},
      {"om.control.v1.PkiService/RenewCertificate", Need::kRoot},
      {"om.control.v1.PkiService/RevokeCertificate", Need::kRoot},
      {"blacklist_clear", Need::kBlacklistAdmin},
      {"blacklist_status", Need::kArbitration},
      {"clear", Need::kOperator},
      {"create", Need::kSomebody},
      {"daemon_blacklist_clear", Need::kBlacklistAdmin},
      {"daemon_blacklist_status", Need::kArbitration},
      {"daemon_shutdown", Need::kRoot},
      {"daemon_start", Need::kRoot},
      {"daemon_stats", Need::kState},
      {"daemon_status", Need::kState},
      {"daemon_stop", Need::kRoot},
      {"events", Need::kState},
      {"get_node_config", Need::kRoot},
      {"get_service_config", Need::kAdmin},
      {"get_service_monitor", Need::kStateOfObject},
      {"join", Need::kJoin},
      {"leave", Need::kRoot},
      {"node_action", Need::kRoot},
      {"node_backlogs", Need::kRoot},
      {"node_config", Need::kRoot},
      {"node_logs", Need::kRoot},
      {"node_monitor", Need::kRoot},
      {"nodes_info", Need::kState},
      {"object_action", Need::kGuest},
      {"object_backlogs", Need::kGuest},
      {"object_clear", Need::kOperator},
      {"object_config", Need::kAdmin},
      {"object_create", Need::kSomebody},
      {"object_logs", Need::kGuest},
      {"object_monitor", Need::kOperator},
      {"service_action", Need::kGuest},
      {"service_backlogs", Need::kGuest},
      {"service_logs", Need::kGuest},
      {"set_node_monitor", Need::kRoot},
      {"set_service_monitor", Need::kOperator},
      {"wake_monitor", Need::kOperator},
  };
  return *needs;
}

Caller CallerOf(const Asker& asker) {
  Caller caller;
  caller.kind = asker.kind;
  caller.name = "someone";
  caller.address = "10.0.0.2";
  caller.grants = Grants::Parse(asker.grants).value();
  return caller;
}

TEST(RolesMatrixTest, EveryOperationIsGivenToExactlyThoseWhomTheLegacyRulesName) {
  for (const OperationRule& rule : OperationRules()) {
    const auto need = Needs().find(std::string(rule.operation));
    ASSERT_NE(need, Needs().end()) << rule.operation << " has a row that nobody has thought about";
    const std::set<std::string>& allowed = Allowed().at(need->second);
    for (const Asker& asker : kAskers) {
      const absl::Status verdict = Authorize(CallerOf(asker), rule.operation, "web");
      EXPECT_EQ(verdict.ok(), allowed.count(asker.name) == 1)
          << rule.operation << " for " << asker.name << ": " << verdict;
      if (!verdict.ok()) EXPECT_EQ(ReasonOf(verdict), "ROLE_MISSING");
    }
  }
}

TEST(RolesMatrixTest, ARoleElsewhereIsEnoughToAskAboutAnObjectAndNoMore) {
  const Caller elsewhere = CallerOf({"", Kind::kUser, "operator:db"});
  EXPECT_THAT(Authorize(elsewhere, "wake_monitor"), IsOk());
  EXPECT_THAT(Authorize(elsewhere, "wake_monitor", "db"), IsOk());
  EXPECT_FALSE(Authorize(elsewhere, "wake_monitor", "web").ok());
  EXPECT_FALSE(Authorize(elsewhere, "wake_monitor", "root").ok());
}

// `service_action` by action, as the legacy list has it.
TEST(ActionRolesTest, EveryActionOfTheLegacyListHasItsRole) {
  const std::map<Role, std::vector<std::string>> list = {
      {Role::kGuest, {"eval", "get", "keys", "print_config_mtime"}},
      {Role::kOperator,
       {"clear",
        "disable",
        "enable",
        "freeze",
        "push_status",
        "push_resinfo",
        "push_config",
        "push_encap_config",
        "presync",
        "prstatus",
        "resource_monitor",
        "restart",
        "resync",
        "run",
        "scale",
        "snooze",
        "start",
        "startstandby",
        "status",
        "stop",
        "stopstandby",
        "thaw",
        "unsnooze"}},
      {Role::kAdmin,
       {"add", "boot", "decode", "delete", "gen_cert", "install", "pg_kill", "pg_freeze", "pg_thaw",
        "provision", "set_provisioned", "set_unprovisioned", "shutdown", "unprovision", "unset",
        "set", "create"}},
      {Role::kRoot,
       {"", "abort", "edit_config", "print_config", "switch", "takeover", "toc", "purge", "deploy",
        "collector_tag_attach", "docker", "enter", "Start", "start_now", "validate_config"}},
  };
  for (const auto& [role, actions] : list) {
    for (const std::string& action : actions) EXPECT_EQ(RoleOfAction(action), role) << action;
  }
}

TEST(ActionRolesTest, TheWordsBeforeTheOptionsAreTheAction) {
  EXPECT_EQ(NeedOfAction({"start"}, false).role, Role::kOperator);
  EXPECT_EQ(NeedOfAction({"print", "config", "mtime"}, false).role, Role::kGuest);
  EXPECT_EQ(NeedOfAction({"print", "config"}, false).role, Role::kRoot);
  EXPECT_EQ(NeedOfAction({"start", "other"}, false).role, Role::kRoot);
  EXPECT_EQ(NeedOfAction({}, false).role, Role::kRoot);
  EXPECT_EQ(NeedOfAction({"--force", "start"}, false).role, Role::kRoot);
}

TEST(ActionRolesTest, OptionsThatOnlyChooseDoNotAskForMore) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"start", "--local", "--rid", "app#1,app#2", "--force"},
           {"start", "--rid=app#1", "--tags=a+b", "--disable-rollback"},
           {"status", "--refresh", "--format", "json"},
           {"scale", "--to=3"},
           {"run", "--rid", "task#1", "--confirm", "--cron"}}) {
    const ActionNeed need = NeedOfAction(words, false);
    EXPECT_EQ(need.role, Role::kOperator) << words[1] << ": " << need.why_root;
  }
  EXPECT_EQ(NeedOfAction({"get", "--kw", "DEFAULT.nodes"}, false).role, Role::kGuest);
  EXPECT_EQ(NeedOfAction({"add", "--key", "k", "--value=v"}, true).role, Role::kAdmin);
}

TEST(ActionRolesTest, OptionsThatReachFurtherAreRoots) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"stop", "-s", "db/svc/a"},
                                             {"stop", "--service", "db/svc/a"},
                                             {"stop", "--service=db/svc/a"},
                                             {"stop", "--serv=db/svc/a"},
                                             {"stop", "--local", "other"},
                                             {"stop", "--local=1"},
                                             {"stop", "--rid", "--service=db/svc/a"},
                                             {"stop", "--rid"},
                                             {"stop", "--node", "*"},
                                             {"stop", "--root=/tmp"},
                                             {"stop", "--namespace=db"},
                                             {"stop", "--step", "app#1"},
                                             {"start", "--env", "X=1"},
                                             {"start", "--config=/etc/shadow"},
                                             {"start", "--kw", "DEFAULT.nodes=n1"},
                                             {"add", "--key=k", "--from=/etc/shadow"},
                                             {"set", "--kw", "DEFAULT.comment=x"},
                                             {"unset", "--kw", "DEFAULT.comment"},
                                             {"create", "--kw", "DEFAULT.nodes=n1"}}) {
    const ActionNeed need = NeedOfAction(words, false);
    EXPECT_EQ(need.role, Role::kRoot) << words[0] << " " << words[1];
    EXPECT_NE(need.why_root, "") << words[0] << " " << words[1];
  }
  EXPECT_EQ(NeedOfAction({"start"}, true).role, Role::kRoot);
}

TEST(ActionRolesTest, ActionsThatChangeConfigurationsNameTheRpcForIt) {
  EXPECT_THAT(NeedOfAction({"set", "--kw", "a=b"}, false).why_root,
              ::testing::HasSubstr("ConfigService/UpdateConfig"));
  EXPECT_THAT(NeedOfAction({"create"}, true).why_root,
              ::testing::HasSubstr("ActionService/CreateObjects"));
}

TEST(OrderRolesTest, EverydayOrdersAreOperators) {
  for (const char* order : {"thawed", "frozen", "started", "stopped", "aborted", "placed",
                            "placed@node1", "shutdown"}) {
    pb::SetInstanceMonitorRequest request;
    request.set_global_expect(order);
    EXPECT_EQ(RoleOfOrder(request), Role::kOperator) << order;
    request.set_status("idle");
    EXPECT_EQ(RoleOfOrder(request), Role::kAdmin) << order;
  }
  pb::SetInstanceMonitorRequest reset;
  reset.set_reset_retries(true);
  EXPECT_EQ(RoleOfOrder(reset), Role::kOperator);
  reset.set_global_expect("started");
  EXPECT_EQ(RoleOfOrder(reset), Role::kAdmin);
}

TEST(OrderRolesTest, EverythingElseIsAdmins) {
  for (const char* order : {"provisioned", "unprovisioned", "deleted", "purged", "restarted",
                            "unset", "", "placedX", "Started", "started@node1"}) {
    pb::SetInstanceMonitorRequest request;
    request.set_global_expect(order);
    EXPECT_EQ(RoleOfOrder(request), Role::kAdmin) << order;
  }
  EXPECT_EQ(RoleOfOrder({}), Role::kAdmin);
  pb::SetInstanceMonitorRequest local;
  local.set_local_expect("started");
  EXPECT_EQ(RoleOfOrder(local), Role::kAdmin);
  pb::SetInstanceMonitorRequest stonith;
  stonith.set_stonith("node2");
  EXPECT_EQ(RoleOfOrder(stonith), Role::kAdmin);
}

}  // namespace
}  // namespace om
