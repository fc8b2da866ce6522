#include "server/rpc/membership_binding.h"

namespace om {

namespace pb = control::v1;

grpc::ServerUnaryReactor* MembershipBinding::Join(grpc::CallbackServerContext* context,
                                                  const pb::JoinRequest* request,
                                                  pb::JoinResponse* response) {
  return Ask(api_, &MembershipApi::Join, context, calls_, request, response);
}

grpc::ServerUnaryReactor* MembershipBinding::Leave(grpc::CallbackServerContext* context,
                                                   const pb::LeaveRequest* request,
                                                   pb::LeaveResponse* response) {
  return Ask(api_, &MembershipApi::Leave, context, calls_, request, response);
}

}  // namespace om
