// The gRPC door: binds the services to the service layer.
#ifndef OM_SERVER_RPC_GRPC_SERVER_H_
#define OM_SERVER_RPC_GRPC_SERVER_H_

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "grpcpp/security/server_credentials.h"
#include "server/base/loop.h"
#include "server/rpc/accept_loop.h"
#include "server/rpc/caller_resolver.h"
#include "server/rpc/rpc_limits.h"
#include "server/service/action_api.h"
#include "server/service/auth_api.h"
#include "server/service/blacklist_api.h"
#include "server/service/config_api.h"
#include "server/service/daemon_api.h"
#include "server/service/event_api.h"
#include "server/service/log_api.h"
#include "server/service/membership_api.h"
#include "server/service/monitor_api.h"
#include "server/service/node_api.h"
#include "server/service/pki_api.h"

namespace om {

// All services, health checking with a name a thread, and reflection; over a Unix socket for
// whoever the kernel vouches for, and over TCP for certificates, tokens and guests. Handlers never
// block: they ask the service layer and finish when it answers.
class GrpcServer {
 public:
  struct Options {
    std::string unix_path;
    std::string tcp_address;  // Empty: no TCP.
    uint16_t tcp_port = 0;    // 0: any free one.
    // For TCP. With them the port is not opened by Start(), but by OpenTcp(), once there is
    // something to serve. Null: TCP is plain.
    std::shared_ptr<grpc::ServerCredentials> tls_credentials;
    RpcLimits limits;
    AcceptLoop::Options accept;
    std::chrono::milliseconds heartbeat_interval{10'000};  // Of a watch with nothing to tell.
    std::chrono::milliseconds write_timeout{
        60'000};  // A watcher that takes nothing for longer is cut off.
  };
  // All borrowed; they outlive the server.
  struct Parts {
    ActionApi* action = nullptr;
    DaemonApi* daemon = nullptr;
    BlacklistApi* blacklist = nullptr;
    ConfigApi* config = nullptr;
    MonitorApi* monitor = nullptr;
    NodeApi* node = nullptr;
    LogApi* logs = nullptr;
    MembershipApi* membership = nullptr;
    EventApi* events = nullptr;
    AuthApi* auth = nullptr;
    PkiApi* pki = nullptr;
    Core* core = nullptr;
    Executor* streams = nullptr;  // Where watches are served.
    const Clock* clock = nullptr;
    Counters* counters = nullptr;
    CallLimiter* limiter = nullptr;  // May be null.
    CallerResolver::Parts callers;
  };
  GrpcServer(const Options& options, const Parts& parts);
  ~GrpcServer();

  // Opens both. Without the Unix socket there is no server; a TCP address that cannot be listened
  // on is an alert, `tcp_error()`, because the daemon must be controllable without it.
  absl::Status Start();
  std::string tcp_error() const;
  // Tries to listen on TCP: with TLS, and again after an error. THREAD: any, one call at a time,
  // after Start() and before Shutdown().
  void OpenTcp();
  // Listens anew if somebody has removed the Unix socket. Connections go on. One call at a time.
  void CheckUnixSocket();
  uint16_t tcp_port() const;

  // Stops accepting, tells streams that the daemon is going, waits for calls in flight, and cuts
  // off what is left at `deadline` from now. Idempotent. Blocks: not for callbacks.
  void Shutdown(std::chrono::milliseconds deadline);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace om

#endif  // OM_SERVER_RPC_GRPC_SERVER_H_
