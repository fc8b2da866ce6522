// TLS for the gRPC port.
#ifndef OM_SERVER_RPC_TLS_CREDENTIALS_H_
#define OM_SERVER_RPC_TLS_CREDENTIALS_H_

#include <memory>

#include "grpcpp/security/server_credentials.h"
#include "server/base/counters.h"
#include "server/rpc/tls_files.h"

namespace om {

// Credentials that serve what `files` publishes, and take a new pair within seconds for new
// connections, without touching those that are open. Clients' certificates must lead to the
// authority, name a node or a user, and not be revoked; with `client_certificate_required`, there
// must be one. `files` and `counters` are borrowed and must outlive the server.
std::shared_ptr<grpc::ServerCredentials> MakeTlsCredentials(const TlsFiles* files,
                                                            bool client_certificate_required,
                                                            Counters* counters);

// How long after a publication gRPC may still serve what was there before.
constexpr unsigned kTlsRefreshSeconds = 1;

}  // namespace om

#endif  // OM_SERVER_RPC_TLS_CREDENTIALS_H_
