// From a connection and what came with a call to who is calling.
#ifndef OM_SERVER_RPC_CALLER_RESOLVER_H_
#define OM_SERVER_RPC_CALLER_RESOLVER_H_

#include <functional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "grpcpp/grpcpp.h"
#include "server/auth/certificate_identity.h"
#include "server/auth/grants.h"
#include "server/auth/token.h"
#include "server/base/clock.h"
#include "server/base/counters.h"
#include "server/base/mutex.h"
#include "server/rpc/tls_files.h"
#include "server/service/caller.h"
#include "server/service/user_directory.h"

namespace om {

// A caller, and how long he counts as such.
struct Identified {
  Caller caller;
  // Whether what he showed is still good: the certificate not revoked, the token not expired, the
  // user's grants those that he came with. UNAUTHENTICATED, reason CREDENTIAL_ENDED, if not. Asked
  // by one thread at a time; looks at most once a second. Empty: it cannot end.
  std::function<absl::Status()> still_good;
};

// In this order: a bearer token, a certificate, the local user. A certificate that is shown must be
// good even if a token says who calls. A stranger whose credential is not good hears "refused" and
// nothing else; what was wrong is in the log, a line a second at most.
// THREAD: any; never blocks.
class CallerResolver {
 public:
  // All borrowed.
  struct Parts {
    const TlsFiles* tls = nullptr;         // Null: there is no TLS.
    const UserDirectory* users = nullptr;  // Null: there are none.
    // UNAUTHENTICATED for any token that is not good. Empty: none is.
    std::function<absl::StatusOr<TokenClaims>(absl::string_view)> verify_token;
    // Whether a node is a member of the cluster. Empty: none is.
    std::function<bool(const std::string&)> is_member;
    Grants group_grants;
    // Told of each credential that is refused, and why. THREAD: any; quick. May be empty.
    std::function<void(const Caller& caller, absl::string_view why)> refused;
    const Clock* clock = nullptr;
    Counters* counters = nullptr;
  };
  explicit CallerResolver(Parts parts);

  // UNAUTHENTICATED, reason CREDENTIAL_REFUSED, or who it is.
  absl::StatusOr<Identified> Resolve(const grpc::CallbackServerContext& context) const
      EXCLUDES(mutex_);

 private:
  static constexpr size_t kMaxCached = 1024;

  absl::StatusOr<Identified> Established(const grpc::CallbackServerContext& context) const;
  // Whether a certificate that TLS has verified, maybe long ago, still counts.
  absl::Status Usable(const CertificateIdentity& identity) const;
  // A user with what he holds now, or with `limit` of it if that is not empty.
  absl::StatusOr<Identified> ByUser(const UserFacts& user, const std::string& limit,
                                    Caller caller) const;
  absl::StatusOr<Identified> ByToken(absl::string_view header, Caller caller,
                                     bool confidential) const;
  absl::StatusOr<Identified> ByCertificate(const CertificateIdentity& identity,
                                           Caller caller) const;
  absl::StatusOr<Identified> ForOriginator(absl::string_view bytes, const Caller& node) const;
  absl::StatusOr<CertificateIdentity> IdentityOfCached(absl::string_view pem) const
      EXCLUDES(mutex_);
  absl::Status Refused(const Caller& caller, const absl::Status& why) const EXCLUDES(mutex_);

  const Parts parts_;
  Counter* const refused_;
  mutable Mutex mutex_;
  // By PEM text. Emptied when it is full: what is in use comes back at once.
  mutable absl::flat_hash_map<std::string, CertificateIdentity> identities_ GUARDED_BY(mutex_);
  mutable MonotonicTime last_complaint_ GUARDED_BY(mutex_);
  mutable int unsaid_ GUARDED_BY(mutex_) = 0;
};

}  // namespace om

#endif  // OM_SERVER_RPC_CALLER_RESOLVER_H_
