// Where a daemon listens, and a channel to it.
#ifndef OM_CLIENT_CONNECTION_H_
#define OM_CLIENT_CONNECTION_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/client_security.h"
#include "server/base/clock.h"

namespace om {

// Folders of an installation.
struct InstallPaths {
  std::string var;  // State: sockets, lock, pid file.
  std::string log;
};

// Folders below `root`, or those of the packaged installation if it is empty.
InstallPaths PathsBelow(absl::string_view root);

// An address a daemon can be reached at.
struct Endpoint {
  std::string target;       // As gRPC names it.
  std::string socket_path;  // Empty for TCP.
  std::string text;         // For people.
  ClientSecurity security = {};
};

// The Unix socket of the daemon that uses `root` (empty: the packaged installation). The daemon
// sees who we are by the credentials of the socket, or by the token of `security`, if there is one;
// TLS has no place there. INVALID_ARGUMENT if the path is longer than a socket address can be.
absl::StatusOr<Endpoint> UnixEndpoint(absl::string_view root, const ClientSecurity& security = {});

// `host:port`, or `dns:///host:port`: over TLS if `security` has an authority, else in the clear.
// In the clear only loopback addresses are taken, so that neither calls nor tokens go over a
// network: INVALID_ARGUMENT for others.
absl::StatusOr<Endpoint> TcpEndpoint(absl::string_view host_port,
                                     const ClientSecurity& security = {});

// A channel to one daemon. THREAD: any.
class Connection {
 public:
  // Never blocks and never fails: the channel connects with its first use, and again whenever the
  // connection was lost. Pings are slower than what daemons refuse.
  explicit Connection(Endpoint endpoint);

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  const Endpoint& endpoint() const { return endpoint_; }

  enum class Patience {
    kUntilRefused,   // The first attempt that fails ends the wait.
    kUntilDeadline,  // Attempts go on: the daemon may be about to start.
  };

  // Waits for a connection. UNAVAILABLE, with what stands in the way and what to do about it, if
  // there is none by `deadline` or, by `patience`, before. Over TLS a small call is made, because
  // servers refuse a client's certificate only when for the client the handshake is over.
  absl::Status WaitReady(MonotonicTime deadline, Patience patience);

  // Tries to connect now, however long the channel meant to wait after a failure, and waits a
  // moment for what comes of it. For callers with waits of their own between attempts.
  void TryNow();

 private:
  // What the library says of a connection that is not to be had; OK if there is one. A small call.
  grpc::Status Probe(MonotonicTime deadline);

  const Endpoint endpoint_;
  const std::shared_ptr<grpc::Channel> channel_;
};

// gRPC measures deadlines by the wall clock.
std::chrono::system_clock::time_point ToSystemTime(MonotonicTime time);

// How long a daemon that went away in the middle of a call may take to come back.
constexpr std::chrono::seconds kReconnectLimit{5};

// What to do about a changing call whose connection broke. A call is sent twice at most, so the
// request must carry the same `request_id` both times: the daemon then answers the second one with
// what became of the first.
template <class Stub, class Request, class Response>
grpc::Status CallChanging(Connection* connection, Stub* stub,
                          grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                       Response*),
                          const Request& request, Response* response, MonotonicTime deadline) {
  grpc::ClientContext first;
  first.set_deadline(ToSystemTime(deadline));
  grpc::Status status = (stub->*method)(&first, request, response);
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return status;
  const MonotonicTime reconnect_deadline =
      std::min(deadline, std::chrono::steady_clock::now() + kReconnectLimit);
  if (!connection->WaitReady(reconnect_deadline, Connection::Patience::kUntilDeadline).ok()) {
    return status;
  }
  response->Clear();
  grpc::ClientContext second;
  second.set_deadline(ToSystemTime(deadline));
  return (stub->*method)(&second, request, response);
}

}  // namespace om

#endif  // OM_CLIENT_CONNECTION_H_
