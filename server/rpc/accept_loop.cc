#include "server/rpc/accept_loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "server/base/status.h"

namespace om {
namespace {

constexpr int kMaxEvents = 16;
// Connections taken from one listener before the others get their turn.
constexpr int kAcceptBatch = 64;
constexpr int kShedBatch = 256;
constexpr uint64_t kWakeTag = 0;  // Listener ids start at 1.

// The kernel's name of a socket, never given twice; 0 if `fd` is no socket.
uint64_t SocketCookie(int fd) {
  uint64_t cookie = 0;
  socklen_t length = sizeof(cookie);
  if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) != 0) return 0;
  return cookie;
}

void SetIntOption(int fd, int level, int option, int value) {
  // Best effort: these only tune a connection, and it works without.
  (void)setsockopt(fd, level, option, &value, sizeof(value));
}

bool InGroup(int fd, gid_t primary, gid_t group) {
  if (primary == group) return true;
  std::vector<gid_t> groups(64);
  for (int attempt = 0; attempt < 2; ++attempt) {
    socklen_t length = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length) == 0) {
      groups.resize(length / sizeof(gid_t));
      return std::find(groups.begin(), groups.end(), group) != groups.end();
    }
    if (errno != ERANGE) return false;
    groups.resize(length / sizeof(gid_t));
  }
  return false;
}

// Errors of accept() that concern only the one connection, which is gone.
bool IsOfOneConnection(int error) {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPERM:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ETIMEDOUT:
      return true;
    default:
      return false;
  }
}

// Makes room for a socket file at `path`, which a daemon that was killed may have left behind.
absl::Status RemoveStaleSocket(const sockaddr_un& address, const std::string& path) {
  struct stat status;
  if (lstat(path.c_str(), &status) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, path);
  }
  if (!S_ISSOCK(status.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is in the way of a socket and is not one: move it"));
  }
  const UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.valid()) return ErrnoStatus(errno, "socket");
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
      errno == EAGAIN) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": another process listens on it"));
  }
  if (errno != ECONNREFUSED) return ErrnoStatus(errno, absl::StrCat("trying ", path));
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

absl::Status OutOfRange(absl::string_view name, int64_t value, absl::string_view range) {
  return absl::InvalidArgumentError(
      absl::StrCat("AcceptLoop::Options.", name, " is ", value, ", expected ", range));
}

}  // namespace

absl::Status AcceptLoop::Options::Validate() const {
  if (max_connections < 1 || max_connections > 65536) {
    return OutOfRange("max_connections", max_connections, "1 to 65536");
  }
  if (reserved_for_root < 0 || reserved_for_root >= max_connections) {
    return OutOfRange("reserved_for_root", reserved_for_root, "0 to below max_connections");
  }
  if (max_connections_per_address < 1) {
    return OutOfRange("max_connections_per_address", max_connections_per_address, "at least 1");
  }
  if (max_connections_per_user < 1) {
    return OutOfRange("max_connections_per_user", max_connections_per_user, "at least 1");
  }
  if (backlog < 1 || backlog > 65535) return OutOfRange("backlog", backlog, "1 to 65535");
  if (tcp_user_timeout < std::chrono::seconds(1) || tcp_user_timeout > std::chrono::hours(1)) {
    return OutOfRange("tcp_user_timeout", tcp_user_timeout.count(), "1000 ms to 1 h");
  }
  if (min_rest < std::chrono::milliseconds(1) || min_rest > max_rest) {
    return OutOfRange("min_rest", min_rest.count(), "1 ms to max_rest");
  }
  if (max_rest > std::chrono::minutes(1)) {
    return OutOfRange("max_rest", max_rest.count(), "at most 1 min");
  }
  return absl::OkStatus();
}

AcceptLoop::Counts::Counts(Counters* counters)
    : accepted(counters->Get("rpc.accept.accepted")),
      refused_total(counters->Get("rpc.accept.refused_total")),
      refused_address(counters->Get("rpc.accept.refused_address")),
      refused_user(counters->Get("rpc.accept.refused_user")),
      refused_policy(counters->Get("rpc.accept.refused_policy")),
      exhausted(counters->Get("rpc.accept.descriptors_exhausted")),
      shed(counters->Get("rpc.accept.shed")),
      errors(counters->Get("rpc.accept.errors")),
      connections(counters->Get("rpc.accept.connections")) {}

AcceptLoop::AcceptLoop(Options options, Handler handler, const Clock* clock, Counters* counters)
    : options_(std::move(options)),
      handler_(std::move(handler)),
      clock_(clock),
      counts_(counters),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  DCHECK(options_.Validate().ok()) << options_.Validate();
  if (epoll_.valid() && wake_.valid()) {
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.u64 = kWakeTag;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) wake_.Reset();
  }
  MutexLock lock(&mutex_);
  RefillReserve();
}

AcceptLoop::~AcceptLoop() { Shutdown(); }

absl::StatusOr<ListenerId> AcceptLoop::ListenUnix(const std::string& path, mode_t mode) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("socket path \"", path, "\" has ", path.size(),
                                                   " bytes, expected 1 to ",
                                                   sizeof(address.sun_path) - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  RETURN_IF_ERROR(RemoveStaleSocket(address, path));

  Listener listener;
  listener.name = absl::StrCat("unix:", path);
  listener.path = path;
  listener.fd.Reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.fd.valid()) return ErrnoStatus(errno, "socket");
  if (bind(listener.fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoStatus(errno, absl::StrCat("binding ", listener.name));
  }
  // Until listen() nobody can connect, so the mode is in force before it matters.
  struct stat status;
  if (chmod(path.c_str(), mode) != 0 || lstat(path.c_str(), &status) != 0 ||
      listen(listener.fd.get(), options_.backlog) != 0) {
    const absl::Status error = ErrnoStatus(errno, absl::StrCat("listening on ", listener.name));
    unlink(path.c_str());
    return error;
  }
  listener.inode = status.st_ino;
  return Add(std::move(listener));
}

absl::StatusOr<ListenerId> AcceptLoop::ListenTcp(const std::string& address, uint16_t port) {
  sockaddr_storage storage = {};
  socklen_t length = 0;
  Listener listener;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    length = sizeof(*v4);
    listener.name = absl::StrCat(address, ":", port);
  } else if (inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    length = sizeof(*v6);
    listener.name = absl::StrCat("[", address, "]:", port);
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", address, "\" is not a numeric IPv4 or IPv6 address"));
  }
  listener.fd.Reset(
      socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
  if (!listener.fd.valid()) return ErrnoStatus(errno, absl::StrCat("socket for ", listener.name));
  SetIntOption(listener.fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (storage.ss_family == AF_INET6) SetIntOption(listener.fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (bind(listener.fd.get(), reinterpret_cast<const sockaddr*>(&storage), length) != 0 ||
      listen(listener.fd.get(), options_.backlog) != 0) {
    return ErrnoStatus(errno, absl::StrCat("listening on ", listener.name));
  }
  length = sizeof(storage);
  if (getsockname(listener.fd.get(), reinterpret_cast<sockaddr*>(&storage), &length) != 0) {
    return ErrnoStatus(errno, absl::StrCat("listening on ", listener.name));
  }
  listener.port = ntohs(storage.ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
  return Add(std::move(listener));
}

absl::StatusOr<ListenerId> AcceptLoop::Add(Listener listener) {
  MutexLock lock(&mutex_);
  if (stopping_) {
    Close(&listener);
    return absl::FailedPreconditionError(absl::StrCat(listener.name, ": shutting down"));
  }
  const ListenerId id{next_listener_++};
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u64 = static_cast<uint64_t>(id);
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener.fd.get(), &event) != 0) {
    const absl::Status error = ErrnoStatus(errno, absl::StrCat("polling ", listener.name));
    Close(&listener);
    return error;
  }
  listeners_.emplace(id, std::move(listener));
  return id;
}

void AcceptLoop::Close(Listener* listener) {
  if (!listener->path.empty()) {
    struct stat status;
    if (lstat(listener->path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode) &&
        status.st_ino == listener->inode) {
      unlink(listener->path.c_str());
    }
  }
  listener->fd.Reset();  // Leaves the epoll set with its last descriptor.
}

uint16_t AcceptLoop::Port(ListenerId listener) const {
  MutexLock lock(&mutex_);
  const auto it = listeners_.find(listener);
  return it == listeners_.end() ? uint16_t{0} : it->second.port;
}

void AcceptLoop::StopListening(ListenerId listener) {
  MutexLock lock(&mutex_);
  const auto it = listeners_.find(listener);
  if (it == listeners_.end()) return;
  Close(&it->second);
  listeners_.erase(it);
}

absl::Status AcceptLoop::Start() {
  if (!epoll_.valid() || !wake_.valid()) {
    return absl::ResourceExhaustedError("no descriptors left for the accept loop");
  }
  CHECK(!thread_.joinable()) << "AcceptLoop started twice";
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void AcceptLoop::Shutdown() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    for (auto& [id, listener] : listeners_) Close(&listener);
    listeners_.clear();
  }
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof(one));
  thread_.join();
}

int AcceptLoop::ConnectionCount() {
  MutexLock lock(&mutex_);
  SweepAll();
  return static_cast<int>(connections_.size());
}

void AcceptLoop::Run() {
  pthread_setname_np(pthread_self(), "om-accept");
  std::array<epoll_event, kMaxEvents> events;
  while (true) {
    const int timeout_ms = WakeRested();
    const int count = epoll_wait(epoll_.get(), events.data(), kMaxEvents, timeout_ms);
    {
      MutexLock lock(&mutex_);
      if (stopping_) return;
    }
    for (int i = 0; i < count; ++i) {
      const uint64_t tag = events[static_cast<size_t>(i)].data.u64;
      if (tag != kWakeTag) {
        AcceptFrom(ListenerId{tag});
        continue;
      }
      uint64_t ignored;
      (void)!read(wake_.get(), &ignored, sizeof(ignored));
    }
  }
}

int AcceptLoop::WakeRested() {
  MutexLock lock(&mutex_);
  const MonotonicTime now = clock_->Monotonic();
  std::optional<MonotonicTime> next;
  for (auto& [id, listener] : listeners_) {
    if (!listener.resting_until) continue;
    if (*listener.resting_until > now) {
      next = next ? std::min(*next, *listener.resting_until) : *listener.resting_until;
      continue;
    }
    listener.resting_until.reset();
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.u64 = static_cast<uint64_t>(id);
    PCHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener.fd.get(), &event) == 0);
  }
  if (!next) return -1;
  // Rounded up: waking a moment early would only find nothing to do.
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(*next - now).count());
}

void AcceptLoop::AcceptFrom(ListenerId id) {
  for (int i = 0; i < kAcceptBatch; ++i) {
    UniqueFd fd;
    Peer peer;
    {
      MutexLock lock(&mutex_);
      const auto it = listeners_.find(id);
      if (it == listeners_.end() || it->second.resting_until) return;
      Listener& listener = it->second;
      if (!reserve_.valid()) RefillReserve();
      sockaddr_storage address = {};
      socklen_t length = sizeof(address);
      fd.Reset(accept4(listener.fd.get(), reinterpret_cast<sockaddr*>(&address), &length,
                       SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd.valid()) {
        const int error = errno;
        if (error == EAGAIN || error == EWOULDBLOCK) return;
        if (IsOfOneConnection(error)) {
          counts_.errors->Add();
          continue;
        }
        if (error == EMFILE || error == ENFILE) {
          counts_.exhausted->Add();
          if (listener.rest.count() == 0) {
            LOG(WARNING) << "OM-RPC-DESCRIPTORS " << listener.name << ": " << std::strerror(error)
                         << "; refusing connections until some are free";
          }
          if (!Shed(listener)) counts_.errors->Add();
        } else {
          counts_.errors->Add();
          if (listener.rest.count() == 0) {
            LOG(WARNING) << "OM-RPC-ACCEPT " << listener.name << ": " << std::strerror(error)
                         << "; trying again";
          }
        }
        Rest(id, &listener);
        return;
      }
      listener.rest = std::chrono::milliseconds(0);
      Forget(fd.get());  // Whatever had this number is closed.
      const bool is_unix = !listener.path.empty();
      std::optional<Peer> identified = Identify(fd.get(), is_unix);
      if (identified && !is_unix) {
        absl::StatusOr<PeerAddress> from =
            PeerAddress::FromSockaddr(reinterpret_cast<const sockaddr*>(&address), length);
        if (from.ok()) {
          identified->address = *from;
        } else {
          identified.reset();
        }
      }
      if (!identified) {
        counts_.errors->Add();
        continue;
      }
      peer = *identified;
      Holder holder;
      holder.is_unix = is_unix;
      if (is_unix) {
        holder.uid = peer.uid;
      } else {
        holder.key = AdmissionKey(peer.address, /*is_cluster_node=*/false);
        SetIntOption(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
        SetIntOption(fd.get(), IPPROTO_TCP, TCP_USER_TIMEOUT,
                     static_cast<int>(options_.tcp_user_timeout.count()));
      }
      if (!HasRoom(peer, holder)) continue;
      if (options_.admit && !options_.admit(peer)) {
        counts_.refused_policy->Add();
        continue;
      }
      Track(fd.get(), holder);
      counts_.accepted->Add();
    }
    handler_(std::move(fd), peer);
  }
}

void AcceptLoop::Rest(ListenerId id, Listener* listener) {
  listener->rest = listener->rest.count() == 0 ? options_.min_rest
                                               : std::min(listener->rest * 2, options_.max_rest);
  listener->resting_until = clock_->Monotonic() + listener->rest;
  epoll_event event = {};
  event.events = 0;
  event.data.u64 = static_cast<uint64_t>(id);
  PCHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener->fd.get(), &event) == 0);
}

bool AcceptLoop::Shed(const Listener& listener) {
  for (int i = 0; i < kShedBatch; ++i) {
    if (!reserve_.valid()) return false;
    // Another thread may take the number first; then the accept fails and the rest is a longer one.
    reserve_.Reset();
    UniqueFd fd(accept4(listener.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    const int error = fd.valid() ? 0 : errno;
    if (fd.valid()) {
      Forget(fd.get());
      counts_.shed->Add();  // Before the client can see it.
    }
    fd.Reset();
    RefillReserve();
    if (error == EAGAIN || error == EWOULDBLOCK) return true;
    if (error != 0 && !IsOfOneConnection(error)) return false;
  }
  return true;
}

void AcceptLoop::RefillReserve() { reserve_.Reset(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

std::optional<Peer> AcceptLoop::Identify(int fd, bool is_unix) const {
  Peer peer;
  peer.is_unix = is_unix;
  if (!is_unix) return peer;
  ucred credentials = {};
  socklen_t length = sizeof(credentials);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return std::nullopt;
  peer.uid = credentials.uid;
  peer.gid = credentials.gid;
  peer.pid = credentials.pid;
  if (peer.uid == 0 || peer.uid == options_.owner_uid) {
    peer.peer_class = PeerClass::kRoot;
  } else if (options_.trusted_group && InGroup(fd, peer.gid, *options_.trusted_group)) {
    peer.peer_class = PeerClass::kGroup;
  } else {
    peer.peer_class = PeerClass::kOther;
  }
  return peer;
}

bool AcceptLoop::IsFull(bool is_root) const {
  const auto most = static_cast<size_t>(options_.max_connections);
  if (is_root || connections_.size() >= most) return connections_.size() >= most;
  size_t of_root = 0;
  const std::set<uid_t> users = {0, options_.owner_uid};
  for (const uid_t uid : users) {
    Holder holder;
    holder.is_unix = true;
    holder.uid = uid;
    const auto held = by_holder_.find(holder);
    if (held != by_holder_.end()) of_root += held->second.size();
  }
  // What root holds is of the reserve first: its own connections do not lock others out of few.
  return connections_.size() - of_root >= most - static_cast<size_t>(options_.reserved_for_root);
}

bool AcceptLoop::HasRoom(const Peer& peer, const Holder& holder) {
  const bool is_root = peer.peer_class == PeerClass::kRoot;
  if (IsFull(is_root)) {
    const MonotonicTime now = clock_->Monotonic();
    if (!last_sweep_ || now - *last_sweep_ >= kSweepInterval) {
      SweepAll();
      last_sweep_ = now;
    }
    if (IsFull(is_root)) {
      counts_.refused_total->Add();
      return false;
    }
  }
  if (is_root) return true;
  const auto cap = static_cast<size_t>(holder.is_unix ? options_.max_connections_per_user
                                                      : options_.max_connections_per_address);
  const auto held = by_holder_.find(holder);
  if (held == by_holder_.end() || held->second.size() < cap) return true;
  SweepHolder(holder);
  const auto still = by_holder_.find(holder);
  if (still == by_holder_.end() || still->second.size() < cap) return true;
  (holder.is_unix ? counts_.refused_user : counts_.refused_address)->Add();
  return false;
}

void AcceptLoop::Track(int fd, const Holder& holder) {
  connections_.emplace(fd, Connection{SocketCookie(fd), holder});
  by_holder_[holder].insert(fd);
  counts_.connections->Set(static_cast<int64_t>(connections_.size()));
}

void AcceptLoop::Forget(int fd) {
  const auto it = connections_.find(fd);
  if (it == connections_.end()) return;
  const auto held = by_holder_.find(it->second.holder);
  held->second.erase(fd);
  if (held->second.empty()) by_holder_.erase(held);
  connections_.erase(it);
  counts_.connections->Set(static_cast<int64_t>(connections_.size()));
}

void AcceptLoop::SweepHolder(const Holder& holder) {
  std::vector<int> gone;
  for (const int fd : by_holder_[holder]) {
    if (SocketCookie(fd) != connections_.at(fd).cookie) gone.push_back(fd);
  }
  for (const int fd : gone) Forget(fd);
}

void AcceptLoop::SweepAll() {
  std::vector<int> gone;
  for (const auto& [fd, connection] : connections_) {
    if (SocketCookie(fd) != connection.cookie) gone.push_back(fd);
  }
  for (const int fd : gone) Forget(fd);
}

}  // namespace om
