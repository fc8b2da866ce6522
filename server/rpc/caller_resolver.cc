#include "server/rpc/caller_resolver.h"

#include <chrono>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "glog/logging.h"
#include "om/internal/v1/originator.pb.h"
#include "server/rpc/grpc_acceptors.h"
#include "server/service/errors.h"

namespace om {
namespace {

using internal::v1::Originator;

constexpr char kOriginatorKey[] = "om-originator-bin";
constexpr size_t kMaxOriginatorBytes = 4 << 10;
constexpr std::chrono::seconds kLookInterval{1};

// The value of a property or header that may be there once at most.
template <class Values>
absl::string_view ViewOf(const Values& value) {
  return {value.data(), value.size()};
}

bool IsTls(const grpc::AuthContext& auth) {
  const std::vector<grpc::string_ref> types = auth.FindPropertyValues("transport_security_type");
  return types.size() == 1 && ViewOf(types[0]) == "tls";
}

bool IsLoopback(absl::string_view peer) {
  return absl::StartsWith(peer, "ipv4:127.") || absl::StartsWith(peer, "ipv6:[::1]") ||
         absl::StartsWith(peer, "ipv6:%5B::1%5D");
}

// Asks `look` now and then, and remembers what it said.
std::function<absl::Status()> NowAndThen(const Clock* clock, std::function<absl::Status()> look) {
  return [clock, look = std::move(look), looked = clock->Monotonic(),
          last = absl::OkStatus()]() mutable {
    const MonotonicTime now = clock->Monotonic();
    if (last.ok() && now - looked >= kLookInterval) {
      looked = now;
      last = look();
      if (!last.ok()) {
        last = MakeError("CREDENTIAL_ENDED",
                         "the certificate, token or grants of the call's "
                         "beginning are no longer good");
      }
    }
    return last;
  };
}

// What two say, either of which may have nothing to say.
std::function<absl::Status()> Both(std::function<absl::Status()> first,
                                   std::function<absl::Status()> second) {
  if (!first) return second;
  if (!second) return first;
  return [first = std::move(first), second = std::move(second)] {
    absl::Status status = first();
    return status.ok() ? second() : status;
  };
}

absl::Status Unauthenticated(absl::string_view why) { return absl::UnauthenticatedError(why); }

}  // namespace

CallerResolver::CallerResolver(Parts parts)
    : parts_(std::move(parts)), refused_(parts_.counters->Get("rpc.refused_credentials")) {}

absl::Status CallerResolver::Refused(const Caller& caller, const absl::Status& why) const {
  refused_->Add();
  if (parts_.refused) parts_.refused(caller, why.message());
  int unsaid = 0;
  {
    MutexLock lock(&mutex_);
    const MonotonicTime now = parts_.clock->Monotonic();
    if (now - last_complaint_ < kLookInterval && last_complaint_ != MonotonicTime()) {
      ++unsaid_;
      return MakeError("CREDENTIAL_REFUSED", "refused");
    }
    last_complaint_ = now;
    unsaid = std::exchange(unsaid_, 0);
  }
  LOG(WARNING) << "OM-RPC-REFUSED a caller from " << caller.address << ": " << why.message()
               << (unsaid > 0 ? absl::StrCat(" (and ", unsaid, " more not told)") : "");
  return MakeError("CREDENTIAL_REFUSED", "refused");
}

absl::StatusOr<CertificateIdentity> CallerResolver::IdentityOfCached(absl::string_view pem) const {
  {
    MutexLock lock(&mutex_);
    const auto found = identities_.find(pem);
    if (found != identities_.end()) return found->second;
  }
  absl::StatusOr<CertificateIdentity> identity = IdentityOfPem(pem);
  if (identity.ok()) {
    MutexLock lock(&mutex_);
    if (identities_.size() >= kMaxCached) identities_.clear();
    identities_.emplace(pem, *identity);
  }
  return identity;
}

absl::Status CallerResolver::Usable(const CertificateIdentity& identity) const {
  if (parts_.tls == nullptr || parts_.tls->state()->IsRevoked(identity.serial)) {
    return Unauthenticated(absl::StrCat("certificate ", identity.serial, " is revoked"));
  }
  if (parts_.clock->Now() >= identity.not_after) {
    return Unauthenticated(absl::StrCat("certificate ", identity.serial, " has expired"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Identified> CallerResolver::ByUser(const UserFacts& user, const std::string& limit,
                                                  Caller caller) const {
  caller.kind = Caller::Kind::kUser;
  caller.name = user.name;
  caller.grants = user.grants;
  if (!limit.empty()) {
    absl::StatusOr<Grants> limited = Grants::Parse(limit);
    if (!limited.ok()) return limited.status();
    if (!user.grants.Covers(*limited)) {
      return Unauthenticated(
          absl::StrCat("a token of ", user.name, " for more than the user still holds"));
    }
    caller.grants = *std::move(limited);
  }
  return Identified{std::move(caller),
                    [this, name = user.name, id = user.id, grants = user.grants.ToString()] {
                      const absl::StatusOr<UserFacts> now = parts_.users->Find(name);
                      if (!now.ok()) return now.status();
                      if (now->id != id) return Unauthenticated("another user of this name now");
                      return now->grants.ToString() == grants ? absl::OkStatus()
                                                              : Unauthenticated("other grants now");
                    }};
}

absl::StatusOr<Identified> CallerResolver::ByToken(absl::string_view header, Caller caller,
                                                   bool confidential) const {
  if (!confidential) return Unauthenticated("a token over a connection that others can read");
  if (!absl::ConsumePrefix(&header, "Bearer ") && !absl::ConsumePrefix(&header, "bearer ")) {
    return Unauthenticated("an authorization header that is no bearer token");
  }
  if (!parts_.verify_token || parts_.users == nullptr) {
    return Unauthenticated("a token, and none are taken here");
  }
  absl::StatusOr<TokenClaims> claims = parts_.verify_token(header);
  if (!claims.ok()) return claims.status();
  const absl::StatusOr<UserFacts> user = parts_.users->Find(claims->subject);
  if (!user.ok()) return user.status();
  if (user->id != claims->user_id) {
    return Unauthenticated(
        absl::StrCat("token refused: of another user, who was called ", user->name));
  }
  caller.credential = absl::StrCat("token ", claims->id);
  caller.expire_time = claims->expire_time;
  absl::StatusOr<Identified> identified = ByUser(*user, claims->grants, std::move(caller));
  if (!identified.ok()) return identified;
  identified->still_good =
      Both([this, token = std::string(header)] { return parts_.verify_token(token).status(); },
           std::move(identified->still_good));
  return identified;
}

absl::StatusOr<Identified> CallerResolver::ByCertificate(const CertificateIdentity& identity,
                                                         Caller caller) const {
  caller.credential = absl::StrCat("certificate ", identity.serial);
  caller.expire_time = identity.not_after;
  if (identity.kind == CertificateKind::kNode) {
    const auto member = [this, name = identity.name] {
      return parts_.is_member && parts_.is_member(name)
                 ? absl::OkStatus()
                 : Unauthenticated(absl::StrCat("a certificate of ", name,
                                                ", which is no node of the cluster"));
    };
    absl::Status status = member();
    if (!status.ok()) return status;
    caller.kind = Caller::Kind::kNode;
    caller.name = identity.name;
    return Identified{std::move(caller), member};
  }
  if (parts_.users == nullptr) return Unauthenticated("a user's certificate, and there are none");
  const absl::StatusOr<UserFacts> user = parts_.users->FindByCertificateName(identity.name);
  if (!user.ok()) return user.status();
  absl::StatusOr<Identified> identified = ByUser(*user, "", std::move(caller));
  if (!identified.ok()) return identified;
  // The name may pass to another user.
  identified->still_good = Both(
      [this, cn = identity.name, name = user->name] {
        const absl::StatusOr<UserFacts> now = parts_.users->FindByCertificateName(cn);
        if (!now.ok()) return now.status();
        return now->name == name ? absl::OkStatus() : Unauthenticated("another user's name now");
      },
      std::move(identified->still_good));
  return identified;
}

absl::StatusOr<Identified> CallerResolver::ForOriginator(absl::string_view bytes,
                                                         const Caller& node) const {
  if (node.kind != Caller::Kind::kNode) {
    return Unauthenticated("a call passed on by somebody who is no node");
  }
  Originator from;
  if (bytes.size() > kMaxOriginatorBytes ||
      !from.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Unauthenticated("a call passed on for nobody who can be made out");
  }
  Identified identified;
  Caller& caller = identified.caller;
  caller.transport = node.transport;
  caller.name = from.name();
  caller.address = from.address();
  caller.credential = from.credential();
  caller.forwarder = node.name;
  switch (from.kind()) {
    case Originator::KIND_ROOT:
      caller.kind = Caller::Kind::kLocalRoot;
      return identified;
    case Originator::KIND_NODE:
      caller.kind = Caller::Kind::kNode;
      if (!parts_.is_member || !parts_.is_member(caller.name)) {
        return Unauthenticated("passed on for no node");
      }
      return identified;
    case Originator::KIND_GROUP: {
      absl::StatusOr<Grants> grants = Grants::Parse(from.grants());
      if (!grants.ok()) return grants.status();
      caller.kind = Caller::Kind::kGroup;
      caller.grants = *std::move(grants);
      return identified;
    }
    case Originator::KIND_USER: {
      if (parts_.users == nullptr) return Unauthenticated("passed on for no user");
      const absl::StatusOr<UserFacts> user = parts_.users->Find(caller.name);
      if (!user.ok()) return user.status();
      return ByUser(*user, from.grants(), std::move(caller));
    }
    case Originator::KIND_GUEST:
      caller.kind = Caller::Kind::kGuest;
      return identified;
    default:
      return Unauthenticated("a call passed on for a kind of caller that is not known here");
  }
}

absl::StatusOr<Identified> CallerResolver::Established(
    const grpc::CallbackServerContext& context) const {
  Identified identified;
  Caller& caller = identified.caller;
  caller.transport = Transport::kGrpcUnix;
  caller.address = "local";
  const PeerClass peer_class = PeerClassOf(context);
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  const bool is_tls = peer_class == PeerClass::kGuest && auth != nullptr && IsTls(*auth);
  // Other classes come over the Unix socket only; asking gRPC for the address costs a string.
  if (peer_class == PeerClass::kGuest) {
    std::string peer = context.peer();
    if (!absl::StartsWith(peer, "unix:")) {
      caller.transport = Transport::kGrpcTcp;
      caller.address = std::move(peer);
    }
  }
  std::optional<CertificateIdentity> certificate;
  if (is_tls) {
    const std::vector<grpc::string_ref> pem = auth->FindPropertyValues("x509_pem_cert");
    if (pem.size() == 1 && !pem[0].empty()) {
      absl::StatusOr<CertificateIdentity> identity = IdentityOfCached(ViewOf(pem[0]));
      if (!identity.ok()) return identity.status();
      const absl::Status usable = Usable(*identity);
      if (!usable.ok()) return usable;
      certificate = *std::move(identity);
    }
  }
  const std::multimap<grpc::string_ref, grpc::string_ref>& metadata = context.client_metadata();
  const auto header = metadata.find("authorization");
  const auto originator = metadata.find(kOriginatorKey);
  absl::StatusOr<Identified> by = Identified();
  if (header != metadata.end()) {
    if (originator != metadata.end()) {
      return Unauthenticated("a call passed on with somebody's token");
    }
    const bool confidential =
        is_tls || caller.transport == Transport::kGrpcUnix || IsLoopback(caller.address);
    by = ByToken(ViewOf(header->second), std::move(caller), confidential);
  } else if (certificate.has_value()) {
    by = ByCertificate(*certificate, std::move(caller));
  } else {
    caller.is_blind = is_tls;
    if (peer_class == PeerClass::kRoot) {
      caller.kind = Caller::Kind::kLocalRoot;
    } else if (peer_class == PeerClass::kGroup) {
      caller.kind = Caller::Kind::kGroup;
      caller.grants = parts_.group_grants;
    }
    by = std::move(identified);
  }
  if (by.ok() && originator != metadata.end()) {
    std::function<absl::Status()> forwarder_good = std::move(by->still_good);
    by = ForOriginator(ViewOf(originator->second), by->caller);
    if (by.ok()) by->still_good = Both(std::move(forwarder_good), std::move(by->still_good));
  }
  if (by.ok() && certificate.has_value()) {
    by->still_good = Both([this, identity = *std::move(certificate)] { return Usable(identity); },
                          std::move(by->still_good));
  }
  return by;
}

absl::StatusOr<Identified> CallerResolver::Resolve(
    const grpc::CallbackServerContext& context) const {
  absl::StatusOr<Identified> identified = Established(context);
  if (identified.ok()) {
    if (identified->still_good) {
      identified->still_good = NowAndThen(parts_.clock, std::move(identified->still_good));
    }
    return identified;
  }
  Caller caller;
  caller.address = context.peer();
  return Refused(caller, identified.status());
}

}  // namespace om
