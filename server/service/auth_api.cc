#include "server/service/auth_api.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/auth/certificate_identity.h"
#include "server/base/status.h"

namespace om {
namespace {

namespace pb = control::v1;

constexpr absl::Duration kDefaultLifetime = absl::Hours(1);
constexpr absl::Duration kMinLifetime = absl::Minutes(1);
constexpr int kMaxKeepCount = static_cast<int>(TokenKeys::kMaxKeys) - 1;

absl::string_view KindName(Caller::Kind kind) {
  switch (kind) {
    case Caller::Kind::kLocalRoot:
      return "root";
    case Caller::Kind::kGroup:
      return "group";
    case Caller::Kind::kUser:
      return "user";
    case Caller::Kind::kNode:
    case Caller::Kind::kJoiner:
      return "node";
    case Caller::Kind::kGuest:
      break;
  }
  return "guest";
}

bool CameWithToken(const Caller& caller) { return absl::StartsWith(caller.credential, "token "); }

absl::Status Refused(absl::string_view why) {
  return WithReason(absl::PermissionDeniedError(why), "ROLE_MISSING");
}

// The user that a request is about: the one it names, or the caller. PERMISSION_DENIED unless the
// caller is that user or root.
absl::StatusOr<std::string> UserOf(const Caller& caller, const std::string& named,
                                   absl::string_view what) {
  const bool is_user = caller.kind == Caller::Kind::kUser;
  std::string user = named;
  if (user.empty() && is_user) user = caller.name;
  if (user.empty()) {
    return WithField(absl::InvalidArgumentError("user is not set; expected the name of a user"),
                     "user");
  }
  // Before anything is said of whether there is such a user.
  if (!caller.HoldsEverywhere(Role::kRoot) && !(is_user && caller.name == user)) {
    return Refused(absl::StrCat(what, " of another user needs the role root"));
  }
  if (!IsCertificateName(user)) {
    return WithField(absl::InvalidArgumentError(
                         "user is not 1 to 63 of [A-Za-z0-9._-], the first a letter or a digit"),
                     "user");
  }
  return user;
}

absl::StatusOr<absl::Duration> LifetimeOf(const pb::CreateTokenRequest& request) {
  if (!request.has_lifetime()) return kDefaultLifetime;
  const absl::Duration lifetime =
      absl::Seconds(request.lifetime().seconds()) + absl::Nanoseconds(request.lifetime().nanos());
  if (lifetime < kMinLifetime || lifetime > kMaxTokenLifetime) {
    return WithField(
        absl::InvalidArgumentError(absl::StrCat("lifetime is ", absl::FormatDuration(lifetime),
                                                "; expected ", absl::FormatDuration(kMinLifetime),
                                                " to ", absl::FormatDuration(kMaxTokenLifetime))),
        "lifetime");
  }
  return lifetime;
}

template <class T>
void OnAuthWorker(const ServiceContext& context, const Reply<T>& reply,
                  std::function<absl::StatusOr<T>()> work) {
  const bool posted = context.workers->Post([reply, work = std::move(work)] { reply(work()); });
  if (posted) return;
  reply(WithRetryAfter(absl::ResourceExhaustedError("too many requests wait for a disk"),
                       std::chrono::seconds(1)));
}

}  // namespace

AuthApi::AuthApi(const ServiceContext* context, TokenAuthority* tokens, FindUser find_user)
    : context_(context), tokens_(tokens), find_user_(std::move(find_user)) {}

absl::StatusOr<pb::WhoAmIResponse> AuthApi::WhoAmI(const Caller& caller,
                                                   const pb::WhoAmIRequest& /*request*/) {
  RETURN_IF_ERROR(Admit(*context_, caller, "om.control.v1.AuthService/WhoAmI"));
  pb::WhoAmIResponse response;
  response.set_kind(std::string(KindName(caller.kind)));
  response.set_name(caller.name);
  const bool is_root =
      caller.kind == Caller::Kind::kLocalRoot || caller.kind == Caller::Kind::kNode;
  response.set_grants(is_root ? "root" : caller.grants.ToString());
  response.set_credential(caller.credential);
  response.set_address(caller.address);
  response.set_node(context_->facts.node);
  if (caller.expire_time.has_value()) {
    *response.mutable_expire_time() = ToProto(*caller.expire_time);
  }
  return response;
}

absl::StatusOr<pb::CreateTokenResponse> AuthApi::Create(const std::string& user,
                                                        const pb::CreateTokenRequest& request) {
  ASSIGN_OR_RETURN(const absl::Duration lifetime, LifetimeOf(request));
  ASSIGN_OR_RETURN(const UserFacts facts, find_user_(user));
  std::string limit;
  if (!request.grants().empty()) {
    const absl::StatusOr<Grants> asked = Grants::Parse(request.grants());
    if (!asked.ok()) {
      return WithField(Annotate(asked.status(), "grants"), "grants");
    }
    if (asked->empty()) {
      return WithField(
          absl::InvalidArgumentError("grants give nothing; expected such as operator:ns1"),
          "grants");
    }
    if (!facts.grants.Covers(*asked)) {
      return WithField(
          absl::InvalidArgumentError(absl::StrCat("grants are \"", asked->ToString(),
                                                  "\", of which the user does not hold all")),
          "grants");
    }
    limit = asked->ToString();
  }
  ASSIGN_OR_RETURN(const TokenAuthority::Made made, tokens_->Make(user, facts.id, lifetime, limit));
  pb::CreateTokenResponse response;
  response.set_token(made.token);
  response.set_id(made.claims.id);
  response.set_user(user);
  *response.mutable_expire_time() = ToProto(made.claims.expire_time);
  return response;
}

void AuthApi::CreateToken(const Caller& caller, const pb::CreateTokenRequest& request,
                          Reply<pb::CreateTokenResponse> reply) {
  constexpr char operation[] = "om.control.v1.AuthService/CreateToken";
  const std::string target = request.user().empty() ? caller.name : request.user();
  if (!BeginChange(*context_, caller, operation, {target, "", {}}, &reply)) return;
  // What was stolen must not live on in tokens made with it.
  if (CameWithToken(caller)) return reply(Refused("tokens are not made with a token"));
  absl::StatusOr<std::string> user = UserOf(caller, request.user(), "a token");
  if (!user.ok()) return reply(user.status());
  OnAuthWorker<pb::CreateTokenResponse>(
      *context_, reply, [this, user = *std::move(user), request] { return Create(user, request); });
}

void AuthApi::RevokeTokens(const Caller& caller, const pb::RevokeTokensRequest& request,
                           Reply<pb::RevokeTokensResponse> reply) {
  constexpr char operation[] = "om.control.v1.AuthService/RevokeTokens";
  const std::string target = request.user().empty() ? caller.name : request.user();
  if (!BeginChange(*context_, caller, operation, {target, request.request_id(), {}}, &reply))
    return;
  absl::StatusOr<std::string> user = UserOf(caller, request.user(), "revoking the tokens");
  if (!user.ok()) return reply(user.status());
  DoOnce<pb::RevokeTokensResponse>(
      *context_, KeyOf(caller, operation, request),
      [this, user = *std::move(user)](const Reply<pb::RevokeTokensResponse>& done) {
        OnAuthWorker<pb::RevokeTokensResponse>(
            *context_, done, [this, user]() -> absl::StatusOr<pb::RevokeTokensResponse> {
              ASSIGN_OR_RETURN(const absl::Time valid_from, tokens_->Revoke(user));
              pb::RevokeTokensResponse response;
              *response.mutable_valid_from() = ToProto(valid_from);
              return response;
            });
      },
      std::move(reply));
}

void AuthApi::RotateTokenKeys(const Caller& caller, const pb::RotateTokenKeysRequest& request,
                              Reply<pb::RotateTokenKeysResponse> reply) {
  constexpr char operation[] = "om.control.v1.AuthService/RotateTokenKeys";
  if (!BeginChange(*context_, caller, operation, {"", request.request_id(), {}}, &reply)) return;
  const int keep = request.keep_count();
  if (keep < 0 || keep > kMaxKeepCount) {
    return reply(WithField(absl::InvalidArgumentError(absl::StrCat(
                               "keep_count is ", keep, "; expected 0 to ", kMaxKeepCount)),
                           "keep_count"));
  }
  DoOnce<pb::RotateTokenKeysResponse>(
      *context_, KeyOf(caller, operation, request),
      [this, keep](const Reply<pb::RotateTokenKeysResponse>& done) {
        OnAuthWorker<pb::RotateTokenKeysResponse>(
            *context_, done, [this, keep]() -> absl::StatusOr<pb::RotateTokenKeysResponse> {
              ASSIGN_OR_RETURN(const std::vector<std::string> ids,
                               tokens_->Rotate(static_cast<size_t>(keep)));
              pb::RotateTokenKeysResponse response;
              for (const std::string& id : ids) response.add_key_ids(id);
              return response;
            });
      },
      std::move(reply));
}

}  // namespace om
