// Accepts connections for gRPC. gRPC's own listeners stop accepting for good once descriptors have
// run out; this one sheds load, counts it, and goes on.
#ifndef OM_SERVER_RPC_ACCEPT_LOOP_H_
#define OM_SERVER_RPC_ACCEPT_LOOP_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/admission/address.h"
#include "server/base/clock.h"
#include "server/base/counters.h"
#include "server/base/file.h"
#include "server/base/mutex.h"
#include "server/rpc/peer.h"

namespace om {

enum class ListenerId : uint64_t {};

// Owns listening sockets and one thread that accepts on them. A connection that is within the caps
// and that the policy admits is handed over, with what is known of its peer; any other is closed.
//
// The caps count connections that live, although their descriptors belong to someone else after the
// hand-over: a connection is remembered by descriptor number and socket cookie, and lives as long
// as that number still names the socket of that cookie. That is exact, costs no descriptor and
// needs no cooperation, but it is found out only when asked: when a cap would refuse a connection,
// and in ConnectionCount(). At the cap in total everything is looked through at most once in
// kSweepInterval, so for that long a slot that has come free may still be refused.
//
// When descriptors run out (EMFILE, ENFILE), a reserve descriptor is given up to accept and close
// what is waiting, so that clients hear of it at once; then the listener rests for a while that
// doubles up to a bound. Other passing errors (ENOBUFS, ENOMEM) only rest. It never spins or stops.
class AcceptLoop {
 public:
  struct Options {
    // Connections in all, 1 to 65536. `reserved_for_root` of them only root may take, so that a
    // flood cannot lock the operator out; fewer than `max_connections`. Root takes these first.
    int max_connections = 1024;
    int reserved_for_root = 16;
    // TCP connections from one address (IPv6: from one /64). At least 1.
    int max_connections_per_address = 128;
    // Unix connections of one user other than root. At least 1.
    int max_connections_per_user = 256;
    // Members of this group are PeerClass::kGroup. Unset: there is no such group.
    std::optional<gid_t> trusted_group;
    // A user whose processes count as root's besides user 0: the one the daemon runs as.
    uid_t owner_uid = 0;
    // Length of the queue of connections that wait to be accepted, per listener.
    int backlog = 128;
    // A TCP peer that acknowledges nothing for this long is dropped by the kernel. At least 1 s.
    std::chrono::milliseconds tcp_user_timeout{40'000};
    // Rest after an error that passes: doubles from the first to the second. 1 ms to 1 min.
    std::chrono::milliseconds min_rest{20};
    std::chrono::milliseconds max_rest{1'000};
    // Asked last about each connection, on the accepting thread; must not block. False closes it.
    // Unset admits all.
    std::function<bool(const Peer&)> admit;

    // INVALID_ARGUMENT names the value and its range.
    absl::Status Validate() const;
  };
  // Takes over an accepted descriptor: connected, non-blocking, close-on-exec. Called on the
  // accepting thread, without locks held; must not block.
  using Handler = std::function<void(UniqueFd, const Peer&)>;

  static constexpr std::chrono::milliseconds kSweepInterval{10};

  // `options` must be valid. `clock` and `counters` are borrowed and must outlive this object.
  AcceptLoop(Options options, Handler handler, const Clock* clock, Counters* counters);
  ~AcceptLoop();  // Shutdown().
  AcceptLoop(const AcceptLoop&) = delete;
  AcceptLoop& operator=(const AcceptLoop&) = delete;

  // Listens on a Unix socket. A socket file that nobody listens on is replaced; FAILED_PRECONDITION
  // if somebody does, or if `path` is anything but a socket. The permission to connect may be wide,
  // since what a peer may do hangs on its credentials. The file is removed with the listener.
  // THREAD: any, before and after Start().
  absl::StatusOr<ListenerId> ListenUnix(const std::string& path, mode_t mode = 0666)
      EXCLUDES(mutex_);
  // Listens on a numeric address; port 0 lets the kernel choose. An IPv6 listener takes no IPv4
  // connections. Errors name address and port, for example an address this host does not have.
  absl::StatusOr<ListenerId> ListenTcp(const std::string& address, uint16_t port) EXCLUDES(mutex_);
  // Port of a TCP listener; 0 for others.
  uint16_t Port(ListenerId listener) const EXCLUDES(mutex_);
  // Closes a listener; its connections stay. An unknown id is ignored.
  void StopListening(ListenerId listener) EXCLUDES(mutex_);

  // Starts the thread. Once. The handler must be able to take connections from here on.
  absl::Status Start() EXCLUDES(mutex_);
  // Closes the listeners and ends the thread: after this the handler is not called any more.
  // Idempotent; must not be called by the handler.
  void Shutdown() EXCLUDES(mutex_);

  // Connections that live now. THREAD: any.
  int ConnectionCount() EXCLUDES(mutex_);

 private:
  struct Listener {
    UniqueFd fd;
    std::string name;  // For messages.
    std::string path;  // Of a Unix socket; empty for TCP.
    ino_t inode = 0;   // Of the socket file, so that only our own is removed.
    uint16_t port = 0;
    std::chrono::milliseconds rest{0};           // Of the last error; 0 after a success.
    std::optional<MonotonicTime> resting_until;  // Not polled until then.
  };
  // Who a connection counts against.
  struct Holder {
    bool is_unix = false;
    uid_t uid = 0;
    AdmissionKey key;
    friend bool operator==(const Holder& a, const Holder& b) {
      return a.is_unix == b.is_unix && a.uid == b.uid && a.key == b.key;
    }
    template <class H>
    friend H AbslHashValue(H state, const Holder& holder) {
      return H::combine(std::move(state), holder.is_unix, holder.uid, holder.key);
    }
  };
  struct Connection {
    uint64_t cookie = 0;
    Holder holder;
  };
  struct Counts {
    explicit Counts(Counters* counters);
    Counter* accepted;
    Counter* refused_total;
    Counter* refused_address;
    Counter* refused_user;
    Counter* refused_policy;
    Counter* exhausted;
    Counter* shed;
    Counter* errors;
    Counter* connections;
  };

  absl::StatusOr<ListenerId> Add(Listener listener) EXCLUDES(mutex_);
  void Close(Listener* listener) REQUIRES(mutex_);
  void Run() EXCLUDES(mutex_);
  // Milliseconds until the first resting listener wakes, or -1; wakes those that are due.
  int WakeRested() EXCLUDES(mutex_);
  void AcceptFrom(ListenerId id) EXCLUDES(mutex_);
  void Rest(ListenerId id, Listener* listener) REQUIRES(mutex_);
  // Accepts and closes what waits, on the reserve descriptor. False if even that cannot be done.
  bool Shed(const Listener& listener) REQUIRES(mutex_);
  void RefillReserve() REQUIRES(mutex_);
  // Identifies the peer, or nothing if the socket does not tell.
  std::optional<Peer> Identify(int fd, bool is_unix) const;
  // By what is counted now.
  bool IsFull(bool is_root) const REQUIRES(mutex_);
  bool HasRoom(const Peer& peer, const Holder& holder) REQUIRES(mutex_);
  void Track(int fd, const Holder& holder) REQUIRES(mutex_);
  void Forget(int fd) REQUIRES(mutex_);
  void SweepHolder(const Holder& holder) REQUIRES(mutex_);
  void SweepAll() REQUIRES(mutex_);

  const Options options_;
  const Handler handler_;
  const Clock* const clock_;  // Not owned.
  const Counts counts_;
  UniqueFd epoll_;
  UniqueFd wake_;  // An eventfd: something changed, or it is time to end.
  mutable Mutex mutex_;
  std::map<ListenerId, Listener> listeners_ GUARDED_BY(mutex_);
  uint64_t next_listener_ GUARDED_BY(mutex_) = 1;
  UniqueFd reserve_ GUARDED_BY(mutex_);
  absl::flat_hash_map<int, Connection> connections_ GUARDED_BY(mutex_);  // By descriptor.
  absl::flat_hash_map<Holder, absl::flat_hash_set<int>> by_holder_ GUARDED_BY(mutex_);
  std::optional<MonotonicTime> last_sweep_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace om

#endif  // OM_SERVER_RPC_ACCEPT_LOOP_H_
