#include "server/rpc/grpc_acceptors.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "grpcpp/security/auth_metadata_processor.h"
#include "grpcpp/security/server_credentials.h"
#include "server/base/mutex.h"

namespace om {
namespace {

using ExternalType = grpc::ServerBuilder::experimental_type::ExternalConnectionType;

constexpr char kPeerProperty[] = "om-peer";

// Stamps connections with a class of peers. gRPC asks it at each call, but its context belongs to
// the connection: the stamp is put on once, before the first call gets to a handler, so a handler
// never reads while this writes. The mutex keeps first calls that come together apart.
class StampPeerClass final : public grpc::AuthMetadataProcessor {
 public:
  explicit StampPeerClass(std::string name) : name_(std::move(name)) {}
  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata&, grpc::AuthContext* context, OutputMetadata*,
                       OutputMetadata*) override {
    MutexLock lock(&mutex_);
    if (context->FindPropertyValues(kPeerProperty).empty()) {
      context->AddProperty(kPeerProperty, name_);
    }
    return grpc::Status::OK;
  }

 private:
  const std::string name_;
  Mutex mutex_;
};

std::shared_ptr<grpc::ServerCredentials> CredentialsOfLocals(PeerClass peer_class) {
  auto credentials = grpc::experimental::LocalServerCredentials(UDS);
  credentials->SetAuthMetadataProcessor(
      std::make_shared<StampPeerClass>(std::string(PeerClassName(peer_class))));
  return credentials;
}

}  // namespace

GrpcAcceptors::GrpcAcceptors(grpc::ServerBuilder* builder,
                             std::shared_ptr<grpc::ServerCredentials> tcp_credentials) {
  // Insecure credentials take no processor, and who comes over TCP needs no stamp.
  if (tcp_credentials == nullptr) tcp_credentials = grpc::InsecureServerCredentials();
  for (const PeerClass peer_class :
       {PeerClass::kGuest, PeerClass::kOther, PeerClass::kGroup, PeerClass::kRoot}) {
    acceptors_[static_cast<size_t>(peer_class)] =
        builder->experimental().AddExternalConnectionAcceptor(
            ExternalType::FROM_FD,
            peer_class == PeerClass::kGuest ? tcp_credentials : CredentialsOfLocals(peer_class));
  }
}

void GrpcAcceptors::HandOver(UniqueFd fd, const Peer& peer) {
  Acceptor::NewConnectionParameters parameters;
  parameters.fd = fd.Release();
  acceptors_[static_cast<size_t>(peer.peer_class)]->HandleNewConnection(&parameters);
}

PeerClass PeerClassOf(const grpc::CallbackServerContext& context) {
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (auth == nullptr) return PeerClass::kGuest;
  const std::vector<grpc::string_ref> values = auth->FindPropertyValues(kPeerProperty);
  if (values.size() != 1) return PeerClass::kGuest;
  const absl::string_view value(values[0].data(), values[0].size());
  for (const PeerClass peer_class : {PeerClass::kOther, PeerClass::kGroup, PeerClass::kRoot}) {
    if (value == PeerClassName(peer_class)) return peer_class;
  }
  return PeerClass::kGuest;
}

absl::string_view PeerClassName(PeerClass peer_class) {
  switch (peer_class) {
    case PeerClass::kOther:
      return "other";
    case PeerClass::kGroup:
      return "group";
    case PeerClass::kRoot:
      return "root";
    case PeerClass::kGuest:
      break;
  }
  return "guest";
}

}  // namespace om
