// Owning pointers and small conversions over OpenSSL, shared by the files of this folder.
#ifndef OM_SERVER_AUTH_X509_H_
#define OM_SERVER_AUTH_X509_H_

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace om {

template <auto Free>
struct OpensslFree {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using BioPtr = std::unique_ptr<BIO, OpensslFree<BIO_free_all>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, OpensslFree<X509_free>>;
using CrlPtr = std::unique_ptr<X509_CRL, OpensslFree<X509_CRL_free>>;

constexpr size_t kMaxPemBytes = 64 << 10;
constexpr size_t kMaxCrlBytes = 8 << 20;

// `what` begins the error's message. Errors never hold what the text says.
absl::StatusOr<CertificatePtr> ParseCertificatePem(absl::string_view pem, absl::string_view what);
// One to eight certificates one after the other.
absl::StatusOr<std::vector<CertificatePtr>> ParseChainPem(absl::string_view pem,
                                                          absl::string_view what);
// Keys under a pass phrase are refused: nobody is there to be asked.
absl::StatusOr<KeyPtr> ParseKeyPem(absl::string_view pem, absl::string_view what);
absl::StatusOr<CrlPtr> ParseCrlPem(absl::string_view pem, absl::string_view what);

std::string ToPem(X509* certificate);
std::string ToPem(X509_CRL* crl);
std::string ToPem(EVP_PKEY* private_key);

// Lower-case hexadecimal: SHA-256 of the DER form; the serial number without leading zeros.
std::string FingerprintOf(const X509* certificate);
std::string SerialOf(const X509* certificate);
std::string SerialText(const ASN1_INTEGER* serial);
// INVALID_ARGUMENT for one that is no time.
absl::StatusOr<absl::Time> TimeOf(const ASN1_TIME* time);

// INTERNAL: OpenSSL failed where only memory or a bug can make it fail. Empties its error queue.
absl::Status OpensslError(absl::string_view what);

}  // namespace om

#endif  // OM_SERVER_AUTH_X509_H_
