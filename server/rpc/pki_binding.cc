#include "server/rpc/pki_binding.h"

namespace om {

namespace pb = control::v1;

grpc::ServerUnaryReactor* PkiBinding::InitAuthority(grpc::CallbackServerContext* context,
                                                    const pb::InitAuthorityRequest* request,
                                                    pb::InitAuthorityResponse* response) {
  return Ask(api_, &PkiApi::InitAuthority, context, calls_, request, response);
}

grpc::ServerUnaryReactor* PkiBinding::GetAuthority(grpc::CallbackServerContext* context,
                                                   const pb::GetAuthorityRequest* request,
                                                   pb::GetAuthorityResponse* response) {
  return Ask(api_, &PkiApi::GetAuthority, context, calls_, request, response);
}

grpc::ServerUnaryReactor* PkiBinding::IssueCertificate(grpc::CallbackServerContext* context,
                                                       const pb::IssueCertificateRequest* request,
                                                       pb::IssueCertificateResponse* response) {
  return Ask(api_, &PkiApi::IssueCertificate, context, calls_, request, response);
}

grpc::ServerUnaryReactor* PkiBinding::ListCertificates(grpc::CallbackServerContext* context,
                                                       const pb::ListCertificatesRequest* request,
                                                       pb::ListCertificatesResponse* response) {
  return Ask(api_, &PkiApi::ListCertificates, context, calls_, request, response);
}

grpc::ServerUnaryReactor* PkiBinding::RevokeCertificate(grpc::CallbackServerContext* context,
                                                        const pb::RevokeCertificateRequest* request,
                                                        pb::RevokeCertificateResponse* response) {
  return Ask(api_, &PkiApi::RevokeCertificate, context, calls_, request, response);
}

grpc::ServerUnaryReactor* PkiBinding::RenewCertificate(grpc::CallbackServerContext* context,
                                                       const pb::RenewCertificateRequest* request,
                                                       pb::RenewCertificateResponse* response) {
  return Ask(api_, &PkiApi::RenewCertificate, context, calls_, request, response);
}

}  // namespace om
