#include "server/rpc/auth_binding.h"

namespace om {

namespace pb = control::v1;

grpc::ServerUnaryReactor* AuthBinding::WhoAmI(grpc::CallbackServerContext* context,
                                              const pb::WhoAmIRequest* request,
                                              pb::WhoAmIResponse* response) {
  return Answer(api_, &AuthApi::WhoAmI, context, calls_, request, response);
}

grpc::ServerUnaryReactor* AuthBinding::CreateToken(grpc::CallbackServerContext* context,
                                                   const pb::CreateTokenRequest* request,
                                                   pb::CreateTokenResponse* response) {
  return Ask(api_, &AuthApi::CreateToken, context, calls_, request, response);
}

grpc::ServerUnaryReactor* AuthBinding::RevokeTokens(grpc::CallbackServerContext* context,
                                                    const pb::RevokeTokensRequest* request,
                                                    pb::RevokeTokensResponse* response) {
  return Ask(api_, &AuthApi::RevokeTokens, context, calls_, request, response);
}

grpc::ServerUnaryReactor* AuthBinding::RotateTokenKeys(grpc::CallbackServerContext* context,
                                                       const pb::RotateTokenKeysRequest* request,
                                                       pb::RotateTokenKeysResponse* response) {
  return Ask(api_, &AuthApi::RotateTokenKeys, context, calls_, request, response);
}

}  // namespace om
