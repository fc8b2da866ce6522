// Identities and tokens: what AuthService of the API means, without any transport.
#ifndef OM_SERVER_SERVICE_AUTH_API_H_
#define OM_SERVER_SERVICE_AUTH_API_H_

#include <functional>
#include <string>

#include "om/control/v1/auth.pb.h"
#include "server/service/context.h"
#include "server/service/token_authority.h"
#include "server/service/user_directory.h"

namespace om {

// THREAD: any; files are read and written on the workers. Errors are those the proto names.
class AuthApi {
 public:
  // The user of that name; NOT_FOUND, reason USER_UNKNOWN, if there is none. Called on workers.
  using FindUser = std::function<absl::StatusOr<UserFacts>(const std::string& name)>;

  // `context` and `tokens` are borrowed.
  AuthApi(const ServiceContext* context, TokenAuthority* tokens, FindUser find_user);

  absl::StatusOr<control::v1::WhoAmIResponse> WhoAmI(const Caller& caller,
                                                     const control::v1::WhoAmIRequest& request);
  void CreateToken(const Caller& caller, const control::v1::CreateTokenRequest& request,
                   Reply<control::v1::CreateTokenResponse> reply);
  void RevokeTokens(const Caller& caller, const control::v1::RevokeTokensRequest& request,
                    Reply<control::v1::RevokeTokensResponse> reply);
  void RotateTokenKeys(const Caller& caller, const control::v1::RotateTokenKeysRequest& request,
                       Reply<control::v1::RotateTokenKeysResponse> reply);

 private:
  absl::StatusOr<control::v1::CreateTokenResponse> Create(
      const std::string& user, const control::v1::CreateTokenRequest& request);

  const ServiceContext* const context_;  // Not owned.
  TokenAuthority* const tokens_;         // Not owned.
  const FindUser find_user_;
};

}  // namespace om

#endif  // OM_SERVER_SERVICE_AUTH_API_H_
