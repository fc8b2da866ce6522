// The cluster's certificate authority: a directory that makes, lists, revokes and renews the
// certificates of nodes and users.
#ifndef OM_SERVER_AUTH_CERTIFICATE_AUTHORITY_H_
#define OM_SERVER_AUTH_CERTIFICATE_AUTHORITY_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/auth/certificate_identity.h"
#include "server/base/clock.h"
#include "server/base/json.h"
#include "server/base/random.h"

namespace om {

// Why a certificate no longer counts, as revocation lists say it.
enum class RevocationReason { kUnspecified, kKeyCompromise, kSuperseded, kCessationOfOperation };

// A row of the index of what was issued.
struct CertificateRecord {
  CertificateKind kind = CertificateKind::kUser;
  std::string name;
  std::string serial;  // Lower-case hexadecimal.
  std::string fingerprint;
  absl::Time not_before;
  absl::Time not_after;
  std::optional<absl::Time> revoke_time;
  RevocationReason reason = RevocationReason::kUnspecified;
};

struct IssueRequest {
  CertificateKind kind = CertificateKind::kUser;
  std::string name;  // IsCertificateName.
  // Of a node: IP addresses and host names that it is also reached by, at most 32.
  std::vector<std::string> addresses;
  absl::Duration lifetime =
      absl::Hours(24 * 365);  // 1 minute to 10 years, and the authority's end.
};

struct IssuedCertificate {
  CertificateRecord record;
  std::string certificate_pem;
  std::string key_pem;  // SECRET, and not kept by the authority. Empty if the old key is used on.
};

// Keys are ECDSA P-256, which everything that speaks TLS here takes. Files: ca.key (0600), ca.crt,
// crl.pem, index.json, issued/<serial>.crt, lock. Each is replaced atomically and synced; the index
// is written before a certificate is given out and before a list revokes it, so what is interrupted
// can be repeated. Methods read the directory anew under its lock: several processes may use it at
// once. They block. THREAD: any.
class CertificateAuthority {
 public:
  static constexpr size_t kMaxRecords = 20'000;
  static constexpr absl::Duration kCrlLifetime = absl::Hours(24 * 30);
  static constexpr absl::Duration kBackdate =
      absl::Minutes(5);  // For nodes whose clocks are behind.

  // `clock` and `random` (serials) are borrowed and must outlive this object.
  CertificateAuthority(std::string dir, const Clock* clock, SecureRandom* random);

  // Makes the authority of `cluster`. ALREADY_EXISTS if there is one; what an interrupted attempt
  // left is replaced.
  absl::Status Init(absl::string_view cluster, absl::Duration lifetime = absl::Hours(24 * 3650));

  // Makes a key and a certificate. INVALID_ARGUMENT names what is wrong with the request.
  absl::StatusOr<IssuedCertificate> Issue(const IssueRequest& request);

  // A new certificate for the names of `serial`, from now and as long as the old one was; with a
  // new key, or for the same one. The old one stays good until it ends or is revoked.
  // FAILED_PRECONDITION if it was revoked; NOT_FOUND for an unknown serial.
  enum class RenewalKey { kNew, kSame };
  absl::StatusOr<IssuedCertificate> Renew(absl::string_view serial, RenewalKey key);

  // Revokes and makes the list again. Revoking twice keeps the first date and is no error.
  absl::Status Revoke(absl::string_view serial, RevocationReason reason);

  // Makes the list again with a new number, good for kCrlLifetime.
  absl::Status RenewCrl();

  // When the list goes out of date.
  absl::StatusOr<absl::Time> CrlExpireTime() const;

  // In the order of issue.
  absl::StatusOr<std::vector<CertificateRecord>> List() const;
  // Those not revoked that end before `time`, the expired included, soonest first.
  absl::StatusOr<std::vector<CertificateRecord>> ExpiringBefore(absl::Time time) const;

  std::string CertificateFile() const;
  std::string CrlFile() const;

 private:
  struct Opened;
  std::string File(absl::string_view name) const;
  absl::StatusOr<Opened> Open() const;
  absl::Status WriteIndex(const Opened& opened) const;
  absl::Status WriteCrl(Opened* opened) const;
  std::string NewSerial() const;

  const std::string dir_;
  const Clock* const clock_;    // Not owned.
  SecureRandom* const random_;  // Not owned.
};

}  // namespace om

#endif  // OM_SERVER_AUTH_CERTIFICATE_AUTHORITY_H_
