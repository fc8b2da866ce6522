#include "server/auth/certificate_identity.h"

#include <openssl/err.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/auth/x509.h"
#include "server/base/status.h"

namespace om {
namespace {

constexpr size_t kMaxUriShown = 80;

absl::Status Refused(absl::string_view why) {
  ERR_clear_error();
  return absl::UnauthenticatedError(absl::StrCat("certificate refused: ", why));
}

}  // namespace

absl::string_view CertificateKindName(CertificateKind kind) {
  return kind == CertificateKind::kNode ? "node" : "user";
}

bool IsCertificateName(absl::string_view name) {
  return !name.empty() && name.size() <= 63 &&
         absl::ascii_isalnum(static_cast<unsigned char>(name[0])) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' ||
                  c == '-';
         });
}

absl::StatusOr<CertificateIdentity> IdentityOf(const X509* certificate) {
  int critical = 0;
  const std::unique_ptr<GENERAL_NAMES, OpensslFree<GENERAL_NAMES_free>> names(
      static_cast<GENERAL_NAMES*>(
          X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, nullptr)));
  if (names == nullptr) {
    return Refused(critical == -1   ? "it has no alternative names"
                   : critical == -2 ? "it has more than one list of alternative names"
                                    : "its alternative names are malformed");
  }
  std::optional<std::string> uri;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_STRING* const text = name->d.uniformResourceIdentifier;
    std::string value(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                      static_cast<size_t>(ASN1_STRING_length(text)));
    if (!absl::StartsWith(value, "om:")) continue;
    if (uri.has_value()) return Refused("it has more than one om: name");
    uri = std::move(value);
  }
  if (!uri.has_value()) return Refused("it has no om: name");
  CertificateIdentity identity;
  absl::string_view rest = *uri;
  if (absl::ConsumePrefix(&rest, "om:node:")) {
    identity.kind = CertificateKind::kNode;
  } else if (absl::ConsumePrefix(&rest, "om:user:")) {
    identity.kind = CertificateKind::kUser;
  } else {
    rest = "";
  }
  if (!IsCertificateName(rest)) {
    return Refused(absl::StrCat("its name \"", absl::CHexEscape(uri->substr(0, kMaxUriShown)),
                                "\" is not om:node:<name> or om:user:<name>"));
  }
  identity.name = std::string(rest);
  const absl::StatusOr<absl::Time> not_before = TimeOf(X509_get0_notBefore(certificate));
  const absl::StatusOr<absl::Time> not_after = TimeOf(X509_get0_notAfter(certificate));
  if (!not_before.ok() || !not_after.ok()) return Refused("its dates are malformed");
  identity.not_before = *not_before;
  identity.not_after = *not_after;
  identity.serial = SerialOf(certificate);
  identity.fingerprint = FingerprintOf(certificate);
  return identity;
}

absl::StatusOr<CertificateIdentity> IdentityOfPem(absl::string_view pem) {
  const absl::StatusOr<std::vector<CertificatePtr>> chain = ParseChainPem(pem, "it");
  if (!chain.ok()) return Refused(std::string(chain.status().message()));
  return IdentityOf(chain->front().get());
}

absl::StatusOr<CertificateIdentity> IdentityOfDer(absl::string_view der) {
  if (der.size() > kMaxPemBytes) return Refused("it is too long");
  const auto* data = reinterpret_cast<const unsigned char*>(der.data());
  const CertificatePtr certificate(d2i_X509(nullptr, &data, static_cast<long>(der.size())));
  if (certificate == nullptr ||
      data != reinterpret_cast<const unsigned char*>(der.data()) + der.size()) {
    return Refused("it is not one certificate in DER form");
  }
  return IdentityOf(certificate.get());
}

}  // namespace om
