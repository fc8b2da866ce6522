// The cluster's certificate authority: what PkiService of the API means, without any transport.
#ifndef OM_SERVER_SERVICE_PKI_API_H_
#define OM_SERVER_SERVICE_PKI_API_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "om/control/v1/pki.pb.h"
#include "server/auth/certificate_authority.h"
#include "server/base/random.h"
#include "server/service/context.h"

namespace om {

// Files below <var>/omd/pki: the authority's own, and node.crt and node.key, this node's pair, each
// replaced by rename, the certificate last. Whoever serves with them notices by himself.
// THREAD: any; everything is done on the workers. Errors are those the proto names.
class PkiApi {
 public:
  // Names and addresses that this node is reached by, for its certificate. Called on workers.
  using LocalAddresses = std::function<std::vector<std::string>()>;

  // `context` and `random` are borrowed.
  PkiApi(const ServiceContext* context, SecureRandom* random, LocalAddresses local_addresses);

  void InitAuthority(const Caller& caller, const control::v1::InitAuthorityRequest& request,
                     Reply<control::v1::InitAuthorityResponse> reply);
  void GetAuthority(const Caller& caller, const control::v1::GetAuthorityRequest& request,
                    Reply<control::v1::GetAuthorityResponse> reply);
  void IssueCertificate(const Caller& caller, const control::v1::IssueCertificateRequest& request,
                        Reply<control::v1::IssueCertificateResponse> reply);
  void ListCertificates(const Caller& caller, const control::v1::ListCertificatesRequest& request,
                        Reply<control::v1::ListCertificatesResponse> reply);
  void RevokeCertificate(const Caller& caller, const control::v1::RevokeCertificateRequest& request,
                         Reply<control::v1::RevokeCertificateResponse> reply);
  void RenewCertificate(const Caller& caller, const control::v1::RenewCertificateRequest& request,
                        Reply<control::v1::RenewCertificateResponse> reply);

  // Makes the revocation list again if half of its time is over; one that is out of date would make
  // every connection fail. OK where there is no authority. Blocks.
  absl::Status RenewCrlIfDue();
  // Does so now and every hour from now on, on the workers; failures are logged and tried again.
  void KeepCrl();

 private:
  absl::StatusOr<control::v1::InitAuthorityResponse> Init(
      const control::v1::InitAuthorityRequest& request);
  absl::StatusOr<control::v1::IssueCertificateResponse> Issue(
      const control::v1::IssueCertificateRequest& request);
  absl::StatusOr<control::v1::ListCertificatesResponse> List(
      const control::v1::ListCertificatesRequest& request);
  absl::StatusOr<control::v1::RevokeCertificateResponse> Revoke(
      const control::v1::RevokeCertificateRequest& request);
  absl::StatusOr<control::v1::RenewCertificateResponse> Renew(
      const control::v1::RenewCertificateRequest& request);

  bool HasAuthority() const;
  // FAILED_PRECONDITION, reason AUTHORITY_MISSING.
  absl::Status CheckAuthority() const;
  std::string NodeFile(absl::string_view extension) const;
  // Puts this node's certificate, and its key unless that stays, in their place.
  absl::Status Install(const IssuedCertificate& issued) const;

  const ServiceContext* const context_;  // Not owned.
  const LocalAddresses local_addresses_;
  const std::string dir_;
  CertificateAuthority authority_;
};

// The addresses of this host's interfaces, but those that are good on one link only; with
// "localhost". At most `limit`. Blocks a moment.
std::vector<std::string> InterfaceAddresses(size_t limit);

}  // namespace om

#endif  // OM_SERVER_SERVICE_PKI_API_H_
