// The limits a gRPC server is built with.
#ifndef OM_SERVER_RPC_RPC_LIMITS_H_
#define OM_SERVER_RPC_RPC_LIMITS_H_

#include <chrono>

#include "absl/status/status.h"
#include "grpcpp/server_builder.h"

namespace om {

// A change takes effect with the next start of the server. How many connections there may be is the
// accept loop's business.
struct RpcLimits {
  // A message to or from a client. What can outgrow 1 MiB is paged or streamed; 4 MiB is what
  // clients of every language accept. 64 KiB to 64 MiB.
  int max_message_bytes = 4 << 20;
  // Calls a connection may have open at a time; more wait in the client. 1 to 10 000.
  int max_streams_per_connection = 128;
  // All metadata of a call. 1 KiB to 64 KiB.
  int max_metadata_bytes = 8 << 10;
  // How much gRPC may keep in buffers, roughly, in all connections. At least 16 MiB.
  int64_t buffer_bytes = int64_t{192} << 20;
  // A connection that is silent for longer is asked whether it lives, and dropped if it does not
  // answer in time. 1 s to 2 h, and 1 s to 10 min.
  std::chrono::milliseconds keepalive_interval{30'000};
  std::chrono::milliseconds keepalive_timeout{10'000};
  // Clients may ask the same no more often than this; a connection with more than
  // `max_ping_strikes` pings too early is closed. 1 s to 1 h; 1 to 100.
  std::chrono::milliseconds min_client_ping_interval{10'000};
  int max_ping_strikes = 2;
  // From accepting a connection to its first HTTP/2 settings. Silent ones are closed then.
  // 50 ms to 2 min.
  std::chrono::milliseconds handshake_timeout{5'000};
  // A connection without calls is closed politely after this. 1 s to 24 h.
  std::chrono::milliseconds idle_timeout{900'000};

  // INVALID_ARGUMENT names the value and its range.
  absl::Status Validate() const;
};

// Sets the limits, which must be valid.
void ConfigureServerBuilder(grpc::ServerBuilder* builder, const RpcLimits& limits);

}  // namespace om

#endif  // OM_SERVER_RPC_RPC_LIMITS_H_
