#include "tests/bench/bare_servers.h"

#include <array>
#include <cstdio>
#include <functional>
#include <memory>
#include <utility>

#include "asio/buffer.hpp"
#include "asio/io_context.hpp"
#include "asio/ip/tcp.hpp"
#include "asio/write.hpp"
#include "grpcpp/grpcpp.h"
#include "om/bench/v1/echo.grpc.pb.h"

namespace om {
namespace {

using asio::ip::tcp;
using ErrorCode = std::error_code;

constexpr int kBacklog = 128;  // As omd's.
constexpr size_t kChunkBytes = size_t{64} << 10;
constexpr size_t kMaxRequestBytes = size_t{1} << 20;

// Writes `body` in chunks, one after the other. Confined to its call; deletes itself.
class ChunkWriter final : public grpc::ServerWriteReactor<bench::v1::EchoResponse> {
 public:
  // `body` is borrowed.
  explicit ChunkWriter(const std::string* body) : body_(body) { Write(); }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    Write();
  }
  void OnDone() override { delete this; }

 private:
  void Write() {
    if (offset_ >= body_->size()) return Finish(grpc::Status::OK);
    chunk_.set_body(body_->substr(offset_, kChunkBytes));
    offset_ += chunk_.body().size();
    StartWrite(&chunk_);
  }

  const std::string* const body_;  // Not owned.
  size_t offset_ = 0;
  bench::v1::EchoResponse chunk_;
};

class EchoBinding final : public bench::v1::EchoService::CallbackService {
 public:
  explicit EchoBinding(std::string body) : body_(std::move(body)) {}

  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, std::string body,
                                   bench::v1::EchoResponse* response) {
    response->set_body(std::move(body));
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context,
                                 const bench::v1::EchoRequest* request,
                                 bench::v1::EchoResponse* response) override {
    return Answer(context, request->body(), response);
  }
  grpc::ServerUnaryReactor* Tell(grpc::CallbackServerContext* context,
                                 const bench::v1::EchoRequest* /*request*/,
                                 bench::v1::EchoResponse* response) override {
    return Answer(context, body_, response);
  }
  grpc::ServerWriteReactor<bench::v1::EchoResponse>* Stream(
      grpc::CallbackServerContext* /*context*/,
      const bench::v1::EchoRequest* /*request*/) override {
    return new ChunkWriter(&body_);
  }

 private:
  const std::string body_;
};

class ReplySession : public std::enable_shared_from_this<ReplySession> {
 public:
  // `reply` is borrowed.
  ReplySession(tcp::socket socket, const std::string* reply)
      : socket_(std::move(socket)), reply_(reply) {}

  void Read() {
    socket_.async_read_some(asio::buffer(chunk_),
                            [self = shared_from_this()](const ErrorCode& error, size_t bytes) {
                              if (error) return;
                              self->received_ += bytes;
                              if (self->chunk_[bytes - 1] == '\0') return self->Reply();
                              if (self->received_ < kMaxRequestBytes) self->Read();
                            });
  }

 private:
  void Reply() {
    asio::async_write(socket_, asio::buffer(*reply_),
                      [self = shared_from_this()](const ErrorCode& /*error*/, size_t /*bytes*/) {
                        ErrorCode ignored;
                        self->socket_.close(ignored);
                      });
  }

  tcp::socket socket_;
  const std::string* const reply_;  // Not owned.
  std::array<char, 4096> chunk_;
  size_t received_ = 0;
};

// Listens on a free loopback port, prints it, and gives every connection to `take`.
template <class Take>
int ServeTcp(const Take& take) {
  asio::io_context io(1);
  tcp::acceptor acceptor(io);
  ErrorCode error;
  acceptor.open(tcp::v4(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(tcp::endpoint(asio::ip::address_v4::loopback(), 0), error);
  if (!error) acceptor.listen(kBacklog, error);
  if (error) {
    std::fprintf(stderr, "cannot listen on a loopback port: %s\n", error.message().c_str());
    return 1;
  }
  std::printf("%u\n", acceptor.local_endpoint(error).port());
  std::fflush(stdout);
  std::function<void()> accept = [&] {
    acceptor.async_accept([&](const ErrorCode& failed, tcp::socket socket) {
      if (!failed) take(std::move(socket));
      accept();
    });
  };
  accept();
  io.run();
  return 0;
}

}  // namespace

int ServeEcho(const std::string& path, const std::string& body) {
  EchoBinding service(body);
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + path, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    std::fprintf(stderr, "cannot listen on %s\n", path.c_str());
    return 1;
  }
  std::printf("ready\n");
  std::fflush(stdout);
  server->Wait();
  return 0;
}

int ServeReply(const std::string& reply) {
  return ServeTcp([&reply](tcp::socket socket) {
    std::make_shared<ReplySession>(std::move(socket), &reply)->Read();
  });
}

int ServeClose() {
  return ServeTcp([](tcp::socket socket) {
    ErrorCode ignored;
    socket.close(ignored);
  });
}

}  // namespace om
