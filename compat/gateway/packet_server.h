// The two packet doors: AES packets over TCP and clear ones over the local socket.
#ifndef OM_COMPAT_GATEWAY_PACKET_SERVER_H_
#define OM_COMPAT_GATEWAY_PACKET_SERVER_H_

#include <algorithm>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "compat/gateway/listener_stats.h"
#include "compat/gateway/packet_validator.h"
#include "compat/gateway/router.h"
#include "compat/gateway/stream_writer.h"
#include "server/admission/connection_limiter.h"
#include "server/base/counters.h"
#include "server/base/random.h"
#include "server/state/model.h"

namespace asio {
class io_context;
}  // namespace asio

namespace om {

// Where and how to listen. Replaced whole when the configuration changes.
struct PacketServerSettings {
  std::vector<std::string> addresses;  // Names, IPv4 or IPv6 addresses.
  int port = 0;                        // 0: any free one.
  std::string nodename;                // Ours, in replies.
  int max_connections = 1024;          // Of the TCP door.
  int max_connections_per_address = 128;
  // Of the connections at most these may stay open as streams, so that requests are still heard:
  // seven of eight, on either door.
  int max_streams() const { return std::max(1, max_connections * 7 / 8); }
  int max_streams_per_address() const { return std::max(1, max_connections_per_address * 7 / 8); }
  StreamTimes stream_times;
  // From accepting a connection to the end of its request, however slowly it trickles.
  std::chrono::milliseconds request_timeout{6000};
  size_t max_request_bytes = 1 << 20;
};

// Lives on the thread that runs `io`, except where it says otherwise. A connection carries one
// request, and one reply or a stream; slow ones delay only themselves. An address that cannot be
// listened on is retried every kRetryInterval.
class PacketServer {
 public:
  static constexpr std::chrono::milliseconds kRetryInterval{2000};
  // Replies are taken by then, or not at all.
  static constexpr std::chrono::milliseconds kReplyTimeout{30'000};
  static constexpr int kMaxLocalConnections = 1024;
  static constexpr int kMaxLocalStreams = kMaxLocalConnections * 7 / 8;

  // All borrowed; they outlive the server, and `io` its last handler and all work of `workers`.
  struct Parts {
    asio::io_context* io = nullptr;
    Executor* workers = nullptr;  // Names are resolved there.
    PacketValidator* validator = nullptr;
    Router* router = nullptr;
    ListenerStats* stats = nullptr;
    Counters* counters = nullptr;
    SecureRandom* random = nullptr;
    std::function<void()> dequeue_actions;       // THREAD: any.
    std::function<void(ListenerState)> publish;  // THREAD: any. Told of every change of addresses.
    // Told of each message that is no request, unless its sender is blacklisted: from where, and a
    // phrase that says why. On the thread of `io`; quick. May be empty.
    std::function<void(const std::string& client, absl::string_view why)> refused = {};
  };
  explicit PacketServer(const Parts& parts);
  ~PacketServer();

  // THREAD: any, all of these; `done` runs on the thread of `io`.
  // Opens the TCP door, or moves it: addresses that stay are not touched, connections go on.
  void Listen(PacketServerSettings settings, std::function<void()> done);
  // Closes the TCP door. Requests in flight are answered; streams end.
  void StopListening(std::function<void()> done);
  // Opens the local door, replacing a socket that is left over. Only root and the user the daemon
  // runs as are heard there. Call once, before `io` runs.
  absl::Status ListenLocal(const std::string& path);
  // Opens the local door anew if somebody has removed its socket. Connections go on.
  void CheckLocal();
  // Closes both doors and ends all streams; `done` runs when the last connection has ended, which
  // is within the deadlines of requests and replies.
  void Shutdown(std::function<void()> done);
  // Connections of both doors, streams among them.
  int connection_count() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace om

#endif  // OM_COMPAT_GATEWAY_PACKET_SERVER_H_
