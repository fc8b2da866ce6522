// Joining and leaving over gRPC.
#ifndef OM_SERVER_RPC_MEMBERSHIP_BINDING_H_
#define OM_SERVER_RPC_MEMBERSHIP_BINDING_H_

#include "grpcpp/grpcpp.h"
#include "om/control/v1/membership.grpc.pb.h"
#include "server/rpc/call.h"
#include "server/service/membership_api.h"

namespace om {

// THREAD: any; handlers never block.
class MembershipBinding final : public control::v1::MembershipService::CallbackService {
 public:
  // Both borrowed.
  MembershipBinding(MembershipApi* api, CallCount* calls) : api_(api), calls_(calls) {}

  grpc::ServerUnaryReactor* Join(grpc::CallbackServerContext* context,
                                 const control::v1::JoinRequest* request,
                                 control::v1::JoinResponse* response) override;
  grpc::ServerUnaryReactor* Leave(grpc::CallbackServerContext* context,
                                  const control::v1::LeaveRequest* request,
                                  control::v1::LeaveResponse* response) override;

 private:
  MembershipApi* const api_;  // Not owned.
  CallCount* const calls_;    // Not owned.
};

}  // namespace om

#endif  // OM_SERVER_RPC_MEMBERSHIP_BINDING_H_
