// PkiService over gRPC.
#ifndef OM_SERVER_RPC_PKI_BINDING_H_
#define OM_SERVER_RPC_PKI_BINDING_H_

#include "om/control/v1/pki.grpc.pb.h"
#include "server/rpc/call.h"
#include "server/service/pki_api.h"

namespace om {

class PkiBinding final : public control::v1::PkiService::CallbackService {
 public:
  // Both borrowed.
  PkiBinding(PkiApi* api, CallCount* calls) : api_(api), calls_(calls) {}

  grpc::ServerUnaryReactor* InitAuthority(grpc::CallbackServerContext* context,
                                          const control::v1::InitAuthorityRequest* request,
                                          control::v1::InitAuthorityResponse* response) override;
  grpc::ServerUnaryReactor* GetAuthority(grpc::CallbackServerContext* context,
                                         const control::v1::GetAuthorityRequest* request,
                                         control::v1::GetAuthorityResponse* response) override;
  grpc::ServerUnaryReactor* IssueCertificate(
      grpc::CallbackServerContext* context, const control::v1::IssueCertificateRequest* request,
      control::v1::IssueCertificateResponse* response) override;
  grpc::ServerUnaryReactor* ListCertificates(
      grpc::CallbackServerContext* context, const control::v1::ListCertificatesRequest* request,
      control::v1::ListCertificatesResponse* response) override;
  grpc::ServerUnaryReactor* RevokeCertificate(
      grpc::CallbackServerContext* context, const control::v1::RevokeCertificateRequest* request,
      control::v1::RevokeCertificateResponse* response) override;
  grpc::ServerUnaryReactor* RenewCertificate(
      grpc::CallbackServerContext* context, const control::v1::RenewCertificateRequest* request,
      control::v1::RenewCertificateResponse* response) override;

 private:
  PkiApi* const api_;       // Not owned.
  CallCount* const calls_;  // Not owned.
};

}  // namespace om

#endif  // OM_SERVER_RPC_PKI_BINDING_H_
