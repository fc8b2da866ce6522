// AuthService over gRPC.
#ifndef OM_SERVER_RPC_AUTH_BINDING_H_
#define OM_SERVER_RPC_AUTH_BINDING_H_

#include "om/control/v1/auth.grpc.pb.h"
#include "server/rpc/call.h"
#include "server/service/auth_api.h"

namespace om {

class AuthBinding final : public control::v1::AuthService::CallbackService {
 public:
  // Both borrowed.
  AuthBinding(AuthApi* api, CallCount* calls) : api_(api), calls_(calls) {}

  grpc::ServerUnaryReactor* WhoAmI(grpc::CallbackServerContext* context,
                                   const control::v1::WhoAmIRequest* request,
                                   control::v1::WhoAmIResponse* response) override;
  grpc::ServerUnaryReactor* CreateToken(grpc::CallbackServerContext* context,
                                        const control::v1::CreateTokenRequest* request,
                                        control::v1::CreateTokenResponse* response) override;
  grpc::ServerUnaryReactor* RevokeTokens(grpc::CallbackServerContext* context,
                                         const control::v1::RevokeTokensRequest* request,
                                         control::v1::RevokeTokensResponse* response) override;
  grpc::ServerUnaryReactor* RotateTokenKeys(
      grpc::CallbackServerContext* context, const control::v1::RotateTokenKeysRequest* request,
      control::v1::RotateTokenKeysResponse* response) override;

 private:
  AuthApi* const api_;      // Not owned.
  CallCount* const calls_;  // Not owned.
};

}  // namespace om

#endif  // OM_SERVER_RPC_AUTH_BINDING_H_
