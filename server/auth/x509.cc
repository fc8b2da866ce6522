#include "server/auth/x509.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <ctime>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace om {
namespace {

constexpr size_t kMaxChain = 8;

absl::Status NotOne(absl::string_view what, absl::string_view expected) {
  ERR_clear_error();
  return absl::InvalidArgumentError(absl::StrCat(what, " is not ", expected, " in PEM form"));
}

absl::StatusOr<BioPtr> Reader(absl::string_view pem, absl::string_view what, size_t max_bytes) {
  if (pem.size() > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " has ", pem.size(), " bytes; expected at most ", max_bytes));
  }
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (bio == nullptr) return OpensslError("reading from memory");
  return bio;
}

// A pass phrase that is never there.
int NoPassPhrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*context*/) { return -1; }

template <typename Write>
std::string Written(Write write) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr || write(bio.get()) != 1) return "";
  char* data = nullptr;
  const auto size = static_cast<size_t>(BIO_get_mem_data(bio.get(), &data));
  return std::string(data, size);
}

}  // namespace

absl::Status OpensslError(absl::string_view what) {
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  absl::Status status =
      absl::InternalError(absl::StrCat(what, ": ", reason == nullptr ? "no reason given" : reason));
  ERR_clear_error();
  return status;
}

absl::StatusOr<std::vector<CertificatePtr>> ParseChainPem(absl::string_view pem,
                                                          absl::string_view what) {
  ASSIGN_OR_RETURN(const BioPtr bio, Reader(pem, what, kMaxPemBytes));
  std::vector<CertificatePtr> chain;
  while (true) {
    CertificatePtr one(PEM_read_bio_X509(bio.get(), nullptr, NoPassPhrase, nullptr));
    if (one == nullptr) break;
    chain.push_back(std::move(one));
    if (chain.size() > kMaxChain) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, " holds more than ", kMaxChain, " certificates"));
    }
  }
  // The end of the text is an error with a reason of its own; any other is a damaged certificate.
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (chain.empty() || !at_end) return NotOne(what, "a certificate");
  return chain;
}

absl::StatusOr<CertificatePtr> ParseCertificatePem(absl::string_view pem, absl::string_view what) {
  ASSIGN_OR_RETURN(std::vector<CertificatePtr> chain, ParseChainPem(pem, what));
  if (chain.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " holds ", chain.size(), " certificates; expected one"));
  }
  return std::move(chain.front());
}

absl::StatusOr<KeyPtr> ParseKeyPem(absl::string_view pem, absl::string_view what) {
  ASSIGN_OR_RETURN(const BioPtr bio, Reader(pem, what, kMaxPemBytes));
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassPhrase, nullptr));
  if (key == nullptr) return NotOne(what, "a private key without pass phrase");
  return key;
}

absl::StatusOr<CrlPtr> ParseCrlPem(absl::string_view pem, absl::string_view what) {
  ASSIGN_OR_RETURN(const BioPtr bio, Reader(pem, what, kMaxCrlBytes));
  CrlPtr crl(PEM_read_bio_X509_CRL(bio.get(), nullptr, NoPassPhrase, nullptr));
  if (crl == nullptr) return NotOne(what, "a revocation list");
  return crl;
}

std::string ToPem(X509* certificate) {
  return Written([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
}

std::string ToPem(X509_CRL* crl) {
  return Written([&](BIO* bio) { return PEM_write_bio_X509_CRL(bio, crl); });
}

std::string ToPem(EVP_PKEY* private_key) {
  return Written([&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, private_key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

std::string FingerprintOf(const X509* certificate) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int bytes = 0;
  if (X509_digest(certificate, EVP_sha256(), digest, &bytes) != 1) return "";
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<char*>(digest), bytes));
}

std::string SerialOf(const X509* certificate) {
  return SerialText(X509_get0_serialNumber(certificate));
}

std::string SerialText(const ASN1_INTEGER* serial) {
  const std::unique_ptr<BIGNUM, OpensslFree<BN_free>> number(ASN1_INTEGER_to_BN(serial, nullptr));
  if (number == nullptr) return "";
  char* const hex = BN_bn2hex(number.get());
  std::string text = hex == nullptr ? "" : absl::AsciiStrToLower(hex);
  OPENSSL_free(hex);
  return text;
}

absl::StatusOr<absl::Time> TimeOf(const ASN1_TIME* time) {
  std::tm parts = {};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("a certificate's date is no time");
  }
  return absl::FromTimeT(timegm(&parts));
}

}  // namespace om
