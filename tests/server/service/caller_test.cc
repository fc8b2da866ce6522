#include "server/service/caller.h"

#include <set>
#include <string>
#include <vector>

#include "google/protobuf/descriptor.h"
#include "om/control/v1/action.pb.h"
#include "om/control/v1/auth.pb.h"
#include "om/control/v1/blacklist.pb.h"
#include "om/control/v1/config.pb.h"
#include "om/control/v1/daemon.pb.h"
#include "om/control/v1/event.pb.h"
#include "om/control/v1/log.pb.h"
#include "om/control/v1/membership.pb.h"
#include "om/control/v1/monitor.pb.h"
#include "om/control/v1/node.pb.h"
#include "om/control/v1/pki.pb.h"
#include "server/base/status.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::HasSubstr;
using Kind = Caller::Kind;

Caller Of(Kind kind, const char* grants = "operator:* blacklistadmin") {
  return {kind, "node2", "10.0.0.2", Transport::kPacket, Grants::Parse(grants).value()};
}

// All RPCs of the public API. A new proto file needs a line here, which the folder's test finds.
std::set<std::string> AllRpcs() {
  std::set<std::string> rpcs;
  for (const google::protobuf::FileDescriptor* file :
       {control::v1::ActionOutput::descriptor()->file(),
        control::v1::WhoAmIRequest::descriptor()->file(),
        control::v1::InitAuthorityRequest::descriptor()->file(),
        control::v1::ListEntriesRequest::descriptor()->file(),
        control::v1::GetConfigRequest::descriptor()->file(),
        control::v1::GetStatusRequest::descriptor()->file(),
        control::v1::JoinRequest::descriptor()->file(),
        control::v1::ReadLogRequest::descriptor()->file(),
        control::v1::WaitForRequest::descriptor()->file(),
        control::v1::SetInstanceMonitorRequest::descriptor()->file(),
        control::v1::GetNodeMonitorRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      const google::protobuf::ServiceDescriptor* service = file->service(s);
      for (int m = 0; m < service->method_count(); ++m) {
        rpcs.insert(service->full_name() + "/" + service->method(m)->name());
      }
    }
  }
  return rpcs;
}

bool IsRpcOfOurs(absl::string_view operation) { return operation.substr(0, 3) == "om."; }

TEST(OperationRulesTest, EveryRpcHasARow) {
  const std::set<std::string> rpcs = AllRpcs();
  EXPECT_GE(rpcs.size(), 17u);
  for (const std::string& rpc : rpcs) EXPECT_NE(FindOperationRule(rpc), nullptr) << rpc;
}

TEST(OperationRulesTest, NoRowIsOfAnRpcThatDoesNotExist) {
  const std::set<std::string> rpcs = AllRpcs();
  for (const OperationRule& rule : OperationRules()) {
    if (!IsRpcOfOurs(rule.operation)) continue;
    EXPECT_EQ(rpcs.count(std::string(rule.operation)), 1u) << rule.operation;
  }
}

TEST(OperationRulesTest, NoOperationHasTwoRows) {
  std::set<std::string> seen;
  for (const OperationRule& rule : OperationRules()) {
    EXPECT_TRUE(seen.insert(std::string(rule.operation)).second) << rule.operation;
  }
}

TEST(OperationRulesTest, GuestsMayChangeNothingAndJoinersOnlyJoin) {
  for (const OperationRule& rule : OperationRules()) {
    if (!rule.changes()) continue;
    if (rule.operation == "join" || rule.operation == "om.control.v1.MembershipService/Join") {
      EXPECT_THAT(Authorize(Of(Kind::kJoiner), rule.operation), IsOk());
      EXPECT_FALSE(Authorize(Of(Kind::kGuest), rule.operation).ok());
      continue;
    }
    for (const Kind kind : {Kind::kGuest, Kind::kJoiner}) {
      EXPECT_THAT(Authorize(Of(kind), rule.operation),
                  StatusIs(absl::StatusCode::kPermissionDenied))
          << rule.operation;
    }
  }
}

TEST(OperationRulesTest, GuestsMayNotReadConfigurations) {
  for (const OperationRule& rule : OperationRules()) {
    const std::string operation(rule.operation);
    if (operation.find("onfig") == std::string::npos) continue;
    EXPECT_FALSE(Authorize(Of(Kind::kGuest), operation).ok()) << operation;
  }
}

TEST(AuthorizeTest, RootAndNodesMayDoEverythingThatHasARow) {
  for (const OperationRule& rule : OperationRules()) {
    for (const Kind kind : {Kind::kLocalRoot, Kind::kNode}) {
      EXPECT_THAT(Authorize(Of(kind), rule.operation), IsOk()) << rule.operation;
    }
  }
}

TEST(AuthorizeTest, GuestsMayReadStates) {
  for (const char* operation :
       {"om.control.v1.DaemonService/GetStatus", "om.control.v1.DaemonService/WatchStatus",
        "om.control.v1.DaemonService/GetStats", "grpc.health.v1.Health/Check"}) {
    EXPECT_THAT(Authorize(Of(Kind::kGuest), operation), IsOk()) << operation;
  }
}

TEST(AuthorizeTest, OperatorsOrderServicesAndReachNeitherConfigurationNorDaemon) {
  EXPECT_THAT(Authorize(Of(Kind::kGroup), "om.control.v1.MonitorService/SetInstanceMonitor"),
              IsOk());
  EXPECT_THAT(Authorize(Of(Kind::kGroup), "om.control.v1.BlacklistService/ClearEntries"), IsOk());
  for (const OperationRule& rule : OperationRules()) {
    if (rule.role != Role::kRoot) continue;
    EXPECT_FALSE(Authorize(Of(Kind::kGroup), rule.operation).ok()) << rule.operation;
  }
}

TEST(AuthorizeTest, JoinersMayOnlyWhatIsSaidToBeForThem) {
  int allowed = 0;
  for (const OperationRule& rule : OperationRules()) {
    EXPECT_EQ(Authorize(Of(Kind::kJoiner), rule.operation).ok(), rule.for_joiners())
        << rule.operation;
    allowed += rule.for_joiners() ? 1 : 0;
  }
  EXPECT_GE(allowed, 1);
  EXPECT_FALSE(Authorize(Of(Kind::kJoiner), "daemon_status").ok());
  EXPECT_TRUE(Authorize(Of(Kind::kJoiner), "daemon_blacklist_status").ok());
}

TEST(AuthorizeTest, AnOperationWithoutRowIsRefusedToEveryone) {
  for (const Kind kind : {Kind::kGuest, Kind::kJoiner, Kind::kNode, Kind::kLocalRoot}) {
    const absl::Status refused = Authorize(Of(kind), "om.control.v1.DaemonService/Nothing");
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kPermissionDenied));
    EXPECT_EQ(ReasonOf(refused), "ROLE_MISSING");
  }
}

TEST(AuthorizeTest, ARefusalNamesOperationRoleAndCaller) {
  const absl::Status refused = Authorize(Of(Kind::kGuest), "set_service_monitor");
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kPermissionDenied,
                                ::testing::AllOf(HasSubstr("set_service_monitor"),
                                                 HasSubstr("operator"), HasSubstr("guest"))));
  EXPECT_EQ(ReasonOf(refused), "ROLE_MISSING");
}

TEST(CallerTest, ReadsWellInALog) {
  EXPECT_THAT(Of(Kind::kNode).ToString(), "node node2 (10.0.0.2, packet)");
  EXPECT_THAT(Of(Kind::kJoiner).ToString(), "joining node node2 (10.0.0.2)");
  EXPECT_THAT(Of(Kind::kGuest).ToString(), "guest (10.0.0.2, packet)");
  Caller root;
  root.kind = Kind::kLocalRoot;
  root.transport = Transport::kGrpcUnix;
  EXPECT_EQ(root.ToString(), "root (gRPC over the local socket)");
}

TEST(CallerTest, TheDefaultIsAGuest) {
  const Caller caller;
  EXPECT_TRUE(caller.Holds(Role::kAnyone, ""));
  EXPECT_TRUE(caller.Holds(Role::kGuest, ""));
  for (const Role role :
       {Role::kOperator, Role::kAdmin, Role::kBlacklistAdmin, Role::kHeartbeat, Role::kRoot}) {
    EXPECT_FALSE(caller.Holds(role, "")) << RoleName(role);
  }
}

}  // namespace
}  // namespace om
