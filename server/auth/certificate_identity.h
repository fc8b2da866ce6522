// Whom a certificate of the cluster's authority names.
#ifndef OM_SERVER_AUTH_CERTIFICATE_IDENTITY_H_
#define OM_SERVER_AUTH_CERTIFICATE_IDENTITY_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

typedef struct x509_st X509;  // NOLINT(modernize-use-using): OpenSSL's own declaration.

namespace om {

enum class CertificateKind { kNode, kUser };

absl::string_view CertificateKindName(CertificateKind kind);  // "node", "user"

struct CertificateIdentity {
  CertificateKind kind = CertificateKind::kUser;
  std::string name;
  absl::Time not_before;
  absl::Time not_after;
  std::string serial;       // Lower-case hexadecimal.
  std::string fingerprint;  // SHA-256 of the DER form, lower-case hexadecimal.
};

// 1 to 63 of [A-Za-z0-9._-], the first a letter or a digit: what a node or user may be called here.
bool IsCertificateName(absl::string_view name);

// Reads the one alternative name `om:node:<name>` or `om:user:<name>`; other URIs are left alone.
// Says nothing of whether the certificate is to be trusted: TLS has verified the chain before.
// UNAUTHENTICATED if there is none or more than one, or if it, or the certificate, is malformed.
// THREAD: any.
absl::StatusOr<CertificateIdentity> IdentityOf(const X509* certificate);
absl::StatusOr<CertificateIdentity> IdentityOfPem(absl::string_view pem);
absl::StatusOr<CertificateIdentity> IdentityOfDer(absl::string_view der);

}  // namespace om

#endif  // OM_SERVER_AUTH_CERTIFICATE_IDENTITY_H_
