// A certificate, its key, the authority and the revocation list, checked together before any port
// uses them. A key replaced before its certificate would break every handshake: what does not fit
// is an error, and the caller goes on with what it had.
#ifndef OM_SERVER_AUTH_KEY_PAIR_LOADER_H_
#define OM_SERVER_AUTH_KEY_PAIR_LOADER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/auth/certificate_identity.h"

namespace om {

struct KeyPairPaths {
  std::string certificate;  // The certificate first, then what is between it and the authority.
  std::string key;
  std::string authority;
  std::string crl;  // Empty: no revocation list.
};

struct KeyPairContents {
  std::string certificate_pem;
  std::string key_pem;  // SECRET.
  std::string authority_pem;
  std::string crl_pem;  // Empty: none.
};

struct CheckedPair {
  KeyPairContents contents;
  CertificateIdentity identity;
  absl::Time expire_time;  // The earliest end of certificate, authority and revocation list.
  std::vector<std::string> revoked;  // Serials of the list, as SerialOf() writes them; sorted.
};

struct RevocationList {
  absl::Time expire_time;
  std::vector<std::string> revoked;  // As in CheckedPair.
};

// FAILED_PRECONDITION says which of these fails: the key is the certificate's; the certificate
// leads to the authority, all of them valid at `now` and none of them revoked; the list is the
// authority's and not out of date; the certificate has an identity. INVALID_ARGUMENT: a part cannot
// be read. Errors call the parts by their paths and never hold the key. Pure. THREAD: any.
absl::StatusOr<CheckedPair> CheckPair(KeyPairContents contents, const KeyPairPaths& names,
                                      absl::Time now);

// Reads the files, then CheckPair. FAILED_PRECONDITION, too, if others may read the key. Blocks.
absl::StatusOr<CheckedPair> LoadCheckedPair(const KeyPairPaths& paths, absl::Time now);

// Of the files of `paths` only the list, which must be there, and the authority that it must be of.
// Errors as CheckPair has them for the list. Blocks.
absl::StatusOr<RevocationList> LoadRevocationList(const KeyPairPaths& paths, absl::Time now);

// Writes the pair into a new generation below `dir` (tls.crt, tls.key, ca.crt, crl/<hash>.r0; modes
// 0600, directories 0700) and turns the link `dir`/current to it in one step, so that a reader of
// `dir`/current/... never sees parts of two. The generation before stays for those that are reading
// it; older ones are removed. On any error the link stays as it was. Not for two at once in one
// `dir`, which is private to the daemon. Blocks.
absl::Status PublishPair(const std::string& dir, const CheckedPair& pair);

}  // namespace om

#endif  // OM_SERVER_AUTH_KEY_PAIR_LOADER_H_
