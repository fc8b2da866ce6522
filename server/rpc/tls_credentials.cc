#include "server/rpc/tls_credentials.h"

#include <functional>

#include "absl/strings/string_view.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_certificate_verifier.h"
#include "grpcpp/security/tls_credentials_options.h"
#include "server/auth/certificate_identity.h"

namespace om {
namespace {

namespace tls = grpc::experimental;

// Looks at a client's certificate once TLS itself has verified its chain. The list of what is
// revoked is asked here, because gRPC reads a folder of lists only with a new certificate.
class ClientCheck final : public tls::ExternalCertificateVerifier {
 public:
  ClientCheck(const TlsFiles* files, Counters* counters)
      : files_(files), refused_(counters->Get("tls.refused_certificates")) {}

  bool Verify(tls::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* status) override {
    const grpc::string_ref pem = request->peer_cert();
    if (pem.empty()) return true;  // Where one is required TLS has refused this already.
    const absl::StatusOr<CertificateIdentity> identity =
        IdentityOfPem(absl::string_view(pem.data(), pem.size()));
    if (identity.ok() && !files_->state()->IsRevoked(identity->serial)) return true;
    refused_->Add();
    *status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "refused");
    return true;
  }
  void Cancel(tls::TlsCustomVerificationCheckRequest*) override {}

 private:
  const TlsFiles* const files_;  // Not owned.
  Counter* const refused_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> MakeTlsCredentials(const TlsFiles* files,
                                                            bool client_certificate_required,
                                                            Counters* counters) {
  tls::TlsServerCredentialsOptions options(std::make_shared<tls::FileWatcherCertificateProvider>(
      files->Published("tls.key"), files->Published("tls.crt"), files->Published("ca.crt"),
      kTlsRefreshSeconds));
  options.watch_identity_key_cert_pairs();
  options.watch_root_certs();
  options.set_cert_request_type(client_certificate_required
                                    ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                    : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  options.set_check_call_host(false);
  options.set_certificate_verifier(
      tls::ExternalCertificateVerifier::Create<ClientCheck>(files, counters));
  return tls::TlsServerCredentials(options);
}

}  // namespace om
