// A service and its client for tests of connections: it answers any method with the class of the
// caller, a space, and the request's bytes. Needs no generated code.
#ifndef OM_TESTS_SERVER_RPC_ECHO_H_
#define OM_TESTS_SERVER_RPC_ECHO_H_

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/support/byte_buffer.h"
#include "server/rpc/grpc_acceptors.h"

namespace om {

inline grpc::ByteBuffer ToByteBuffer(const std::string& text) {
  const grpc::Slice slice(text);
  return grpc::ByteBuffer(&slice, 1);
}

inline std::string ToText(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string text;
  if (!buffer.Valid() || !buffer.Dump(&slices).ok()) return text;
  for (const grpc::Slice& slice : slices) {
    text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return text;
}

class EchoService final : public grpc::CallbackGenericService {
 public:
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* ctx) override {
    return new Reactor(std::string(PeerClassName(PeerClassOf(*ctx))));
  }

 private:
  class Reactor final : public grpc::ServerGenericBidiReactor {
   public:
    explicit Reactor(std::string peer) : peer_(std::move(peer)) { StartRead(&request_); }
    void OnReadDone(bool ok) override {
      if (!ok) return Finish(grpc::Status(grpc::StatusCode::CANCELLED, "no request"));
      reply_ = ToByteBuffer(peer_ + " " + ToText(request_));
      StartWriteAndFinish(&reply_, grpc::WriteOptions(), grpc::Status::OK);
    }
    void OnDone() override { delete this; }

   private:
    const std::string peer_;
    grpc::ByteBuffer request_;
    grpc::ByteBuffer reply_;
  };
};

// A channel with a connection of its own.
inline std::shared_ptr<grpc::Channel> NewChannel(const std::string& target) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

struct EchoReply {
  grpc::Status status;
  std::string text;
};

// Calls once; `wait_for_ready` keeps trying to connect until the deadline.
inline EchoReply CallEcho(const std::shared_ptr<grpc::Channel>& channel, const std::string& text,
                          bool wait_for_ready = false,
                          std::chrono::seconds timeout = std::chrono::minutes(2)) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  context.set_wait_for_ready(wait_for_ready);
  const grpc::ByteBuffer request = ToByteBuffer(text);
  grpc::ByteBuffer reply;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, "/om.test.Echo/Echo", grpc::StubOptions(), &request, &reply,
                 [&done](grpc::Status status) { done.set_value(std::move(status)); });
  EchoReply result;
  result.status = done.get_future().get();
  result.text = ToText(reply);
  return result;
}

}  // namespace om

#endif  // OM_TESTS_SERVER_RPC_ECHO_H_
