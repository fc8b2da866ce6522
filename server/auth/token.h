// Bearer tokens: JSON Web Tokens in the compact form, signed with HS256 and nothing else.
//
// HS256, and not a public-key signature, because the nodes that check tokens are the nodes that
// make them: each is root over the cluster already, so a separate signing key would protect
// nothing, and one shared key leaves no public key that could be taken for a secret. The MAC key is
// derived from the key file's secret for this one purpose.
#ifndef OM_SERVER_AUTH_TOKEN_H_
#define OM_SERVER_AUTH_TOKEN_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/base/clock.h"
#include "server/base/random.h"

namespace om {

constexpr size_t kMaxTokenBytes = 8 << 10;
constexpr absl::Duration kTokenClockSkew = absl::Seconds(30);
constexpr absl::Duration kMaxTokenLifetime = absl::Hours(24 * 366);

struct TokenClaims {
  std::string issuer;    // The cluster's id.
  std::string audience;  // Who may take it: a token for another is refused.
  std::string subject;   // The user.
  std::string user_id;   // The id of the user's object: another user of that name has another one.
  absl::Time issue_time;
  absl::Time not_before;
  absl::Time expire_time;  // At most kMaxTokenLifetime after issue_time.
  std::string id;          // Unique; for the audit log.
  std::string grants;      // Text of server/auth/grants.h; limits what the user holds.
};

// The secrets that tokens are signed with, newest first; the first signs, all are accepted. An
// immutable value. THREAD: any.
class TokenKeys {
 public:
  static constexpr size_t kMaxKeys = 4;

  // Reads a key file. FAILED_PRECONDITION if others than its owner may read it; NOT_FOUND if there
  // is none; INVALID_ARGUMENT if it is not one. Errors never hold what the file says.
  static absl::StatusOr<TokenKeys> Load(const std::string& path);

  // Puts a new secret in front, making the file (mode 0600) if there is none. Tokens of the `keep`
  // secrets before it stay good; older ones are forgotten. `keep` is 0 (revokes every token) to
  // kMaxKeys - 1. Two at once both count. Blocks.
  static absl::StatusOr<TokenKeys> Rotate(const std::string& path, size_t keep,
                                          SecureRandom* random);

  // The ids, newest first: they are no secret.
  std::vector<std::string> Ids() const;

 private:
  friend absl::StatusOr<std::string> SignToken(const TokenKeys& keys, const TokenClaims& claims);
  friend class TokenVerifier;
  struct Key {
    std::string id;
    std::string secret;
  };
  static absl::StatusOr<TokenKeys> Parse(const std::string& path, absl::string_view text);

  std::vector<Key> keys_;
};

// The token. INVALID_ARGUMENT for claims that no verifier would take: empty names, a lifetime that
// is not positive or over the bound, a result over kMaxTokenBytes. THREAD: any.
absl::StatusOr<std::string> SignToken(const TokenKeys& keys, const TokenClaims& claims);

// Checks tokens. THREAD: any.
class TokenVerifier {
 public:
  struct Options {
    std::string issuer;
    std::string audience;
    // Tokens of a user issued before this moment are revoked; nothing: none are. Not called for
    // tokens without a good signature. May be empty.
    std::function<std::optional<absl::Time>(const std::string& user)> valid_from;
  };

  // `clock` is borrowed and must outlive this object.
  TokenVerifier(TokenKeys keys, Options options, const Clock* clock);

  // The claims of a good token. Otherwise UNAUTHENTICATED; the text says what was wrong, for the
  // log of this node only (a stranger is told "refused"), and never holds the token or a part of
  // it. The algorithm is looked at first, then the signature, then everything else.
  absl::StatusOr<TokenClaims> Verify(absl::string_view token) const;

 private:
  const TokenKeys keys_;
  const Options options_;
  const Clock* const clock_;  // Not owned.
};

}  // namespace om

#endif  // OM_SERVER_AUTH_TOKEN_H_
