// Hands accepted connections to a gRPC server and lets handlers learn who is at the other end.
#ifndef OM_SERVER_RPC_GRPC_ACCEPTORS_H_
#define OM_SERVER_RPC_GRPC_ACCEPTORS_H_

#include <array>
#include <memory>

#include "absl/strings/string_view.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/server_builder.h"
#include "server/base/file.h"
#include "server/rpc/peer.h"

namespace om {

// One way into a gRPC server for each class of peers. gRPC cannot be told about a single
// connection, but each way in has credentials of its own, and those of the local classes stamp
// every connection with its class, where PeerClassOf() reads it.
class GrpcAcceptors {
 public:
  // Adds the ways in to `builder`. The object must live until the server made by it is shut down.
  // `tcp_credentials` are for TCP; null: it is plain.
  GrpcAcceptors(grpc::ServerBuilder* builder,
                std::shared_ptr<grpc::ServerCredentials> tcp_credentials);

  // Gives a connection to the server: non-blocking, connected. The server must have been started
  // and must not be shut down while this runs: stop accepting first. Does not block. THREAD: any.
  void HandOver(UniqueFd fd, const Peer& peer);

 private:
  using Acceptor = grpc::experimental::ExternalConnectionAcceptor;
  std::array<std::unique_ptr<Acceptor>, 4> acceptors_;  // By PeerClass.
};

// The class of the peer that made a call; kGuest if the connection carries no stamp.
PeerClass PeerClassOf(const grpc::CallbackServerContext& context);

// "root", "group", "other", "guest": in logs and audit records.
absl::string_view PeerClassName(PeerClass peer_class);

}  // namespace om

#endif  // OM_SERVER_RPC_GRPC_ACCEPTORS_H_
