#include "compat/gateway/packet_server.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "asio/buffer.hpp"
#include "asio/io_context.hpp"
#include "asio/ip/address.hpp"
#include "asio/ip/tcp.hpp"
#include "asio/ip/v6_only.hpp"
#include "asio/local/stream_protocol.hpp"
#include "asio/post.hpp"
#include "asio/steady_timer.hpp"
#include "asio/write.hpp"
#include "compat/wire/frame.h"
#include "compat/wire/reply.h"
#include "glog/logging.h"
#include "server/base/file.h"
#include "server/base/status.h"

namespace om {
namespace {

using asio::ip::tcp;
using LocalProtocol = asio::local::stream_protocol;
using ErrorCode = std::error_code;

constexpr size_t kChunkBytes = 4096;
constexpr int kBacklog = 128;
// After the reply the client's last bytes are read away, so that closing does not reset the
// connection under a reply that is still on its way.
constexpr std::chrono::milliseconds kLingerTimeout{2000};
constexpr size_t kLingerBytes = 64 << 10;
// An accept loop that ran out of descriptors rests this long.
constexpr std::chrono::milliseconds kAcceptRest{50};

// Of refused actions a sender's are logged once in this time; so many senders are remembered.
constexpr std::chrono::minutes kRefusalLogInterval{1};
constexpr size_t kMaxRefusalsLogged = 1000;

struct Resolved {
  std::string configured;  // As it stands in the configuration.
  std::vector<asio::ip::address> addresses;
  std::string error;
};

// Blocks on name servers.
Resolved Resolve(const std::string& configured) {
  Resolved resolved;
  resolved.configured = configured;
  ErrorCode error;
  const asio::ip::address numeric = asio::ip::make_address(configured, error);
  if (!error) {
    resolved.addresses.push_back(numeric);
    return resolved;
  }
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failed = getaddrinfo(configured.c_str(), nullptr, &hints, &found);
  if (failed != 0) {
    resolved.error = absl::StrCat("cannot be resolved: ", gai_strerror(failed));
    return resolved;
  }
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    if (each->ai_family == AF_INET) {
      const auto* v4 = reinterpret_cast<const sockaddr_in*>(each->ai_addr);
      resolved.addresses.emplace_back(asio::ip::address_v4(ntohl(v4->sin_addr.s_addr)));
    } else if (each->ai_family == AF_INET6) {
      const auto* v6 = reinterpret_cast<const sockaddr_in6*>(each->ai_addr);
      asio::ip::address_v6::bytes_type bytes;
      std::copy(std::begin(v6->sin6_addr.s6_addr), std::end(v6->sin6_addr.s6_addr), bytes.begin());
      resolved.addresses.emplace_back(asio::ip::address_v6(bytes, v6->sin6_scope_id));
    }
  }
  freeaddrinfo(found);
  if (resolved.addresses.empty()) resolved.error = "has no address";
  return resolved;
}

PeerAddress AddressOf(const tcp::endpoint& endpoint) {
  absl::StatusOr<PeerAddress> address =
      PeerAddress::FromSockaddr(endpoint.data(), static_cast<socklen_t>(endpoint.size()));
  return address.ok() ? *address : PeerAddress();
}

// A reference that ends on the thread of `io`, whichever thread lets go of it.
template <class T>
std::shared_ptr<T> ReleasedOn(asio::io_context* io, std::shared_ptr<T> object) {
  T* const raw = object.get();
  return std::shared_ptr<T>(raw, [io, object = std::move(object)](T*) mutable {
    asio::post(*io, [object = std::move(object)] {});
  });
}

}  // namespace

class PacketServer::Impl : public std::enable_shared_from_this<PacketServer::Impl> {
 public:
  explicit Impl(const Parts& parts)
      : parts_(parts),
        limiter_(ConnectionLimiter::Limits{}),
        stream_limiter_(ConnectionLimiter::Limits{}),
        retry_(*parts.io),
        local_(*parts.io),
        connections_(parts.counters->Get("packet.connections")),
        refused_(parts.counters->Get("packet.refused")),
        accept_errors_(parts.counters->Get("packet.accept_errors")),
        too_large_(parts.counters->Get("packet.too_large")),
        too_slow_(parts.counters->Get("packet.too_slow")),
        reply_errors_(parts.counters->Get("packet.reply_errors")),
        requests_(parts.counters->Get("packet.requests")),
        dequeues_(parts.counters->Get("packet.dequeue_actions")),
        streams_(parts.counters->Get("packet.streams")),
        streams_refused_(parts.counters->Get("packet.streams_refused")),
        streams_dead_(parts.counters->Get("packet.streams_dead")),
        actions_refused_(parts.counters->Get("packet.actions_refused")) {}

  void Listen(PacketServerSettings settings, const std::function<void()>& done);
  void StopListening();
  absl::Status ListenLocal(const std::string& path);
  void CheckLocal();
  void Shutdown(std::function<void()> done);
  int connection_count() const { return connection_count_.load(); }
  asio::io_context* io() const { return parts_.io; }

 private:
  template <class Protocol>
  class Session;

  // A connection that stays open, as the server sees it.
  class OpenStream {
   public:
    virtual ~OpenStream() = default;
    virtual bool is_local() const = 0;
    virtual void EndStream() = 0;
  };
  // Ends those of the TCP door, or all.
  void EndStreams(bool local_ones_too);

  struct Door {
    explicit Door(asio::io_context* io) : acceptor(*io), rest(*io) {}
    std::string configured;
    tcp::acceptor acceptor;
    asio::steady_timer rest;
    tcp::endpoint wanted;  // Port 0 included.
  };

  void Apply(const std::vector<Resolved>& resolved, const std::function<void()>& done);
  std::string Open(Door* door);
  void Accept(const std::shared_ptr<Door>& door);
  void AcceptLocal();
  void Publish(const std::vector<ListenerAddress>& failed);
  void RetryLater();
  void ConnectionEnded();
  void NoteRefusedAction(const std::string& action, const Caller& caller);

  const Parts parts_;
  PacketServerSettings settings_;
  ConnectionLimiter limiter_;
  ConnectionLimiter stream_limiter_;
  std::set<OpenStream*> open_streams_;
  int local_stream_count_ = 0;
  bool listening_ = false;
  bool shut_down_ = false;
  uint64_t generation_ = 0;  // Of the settings: resolutions of older ones are thrown away.
  asio::steady_timer retry_;
  std::vector<std::shared_ptr<Door>> doors_;
  std::vector<ListenerAddress> failed_;  // At the last try.
  LocalProtocol::acceptor local_;
  std::string local_path_;
  std::atomic<int> connection_count_{0};
  int local_count_ = 0;
  std::function<void()> ended_;
  Counter* const connections_;
  Counter* const refused_;
  Counter* const accept_errors_;
  Counter* const too_large_;
  Counter* const too_slow_;
  Counter* const reply_errors_;
  Counter* const requests_;
  Counter* const dequeues_;
  Counter* const streams_;
  Counter* const streams_refused_;
  Counter* const streams_dead_;
  Counter* const actions_refused_;
  // When the refusal of an action to an address was last logged.
  std::map<std::string, std::chrono::steady_clock::time_point> refusals_logged_;
};

// One connection and its one request. Touched only on the thread of `io`; lives while an operation
// or a reply is pending.
template <class Protocol>
class PacketServer::Impl::Session final : public std::enable_shared_from_this<Session<Protocol>>,
                                          private PacketServer::Impl::OpenStream {
 public:
  Session(std::shared_ptr<Impl> server, typename Protocol::socket socket, std::string client,
          PeerAddress from, ConnectionLimiter::Slot slot)
      : server_(std::move(server)),
        socket_(std::move(socket)),
        deadline_(*server_->parts_.io),
        client_(std::move(client)),
        from_(from),
        slot_(std::move(slot)),
        reader_(server_->settings_.max_request_bytes) {
    server_->connection_count_.fetch_add(1);
    server_->connections_->Set(server_->connection_count_.load());
    if (kIsLocal) ++server_->local_count_;
  }
  ~Session() override {
    if (kIsLocal) --server_->local_count_;
    server_->connection_count_.fetch_sub(1);
    server_->ConnectionEnded();
  }

  void Start() {
    server_->parts_.stats->Accepted(client_);
    SetDeadline(server_->settings_.request_timeout, server_->too_slow_);
    Read();
  }

 private:
  static constexpr bool kIsLocal = std::is_same_v<Protocol, LocalProtocol>;

  void SetDeadline(std::chrono::milliseconds limit, Counter* counter) {
    deadline_.expires_after(limit);
    deadline_.async_wait([self = this->shared_from_this(), counter](const ErrorCode& error) {
      // Moved or cancelled, perhaps when this was on its way already.
      if (error || self->deadline_.expiry() > std::chrono::steady_clock::now()) return;
      if (counter != nullptr) counter->Add();
      self->Close();
    });
  }

  void ClearDeadline() { deadline_.expires_at(asio::steady_timer::time_point::max()); }

  void Close() {
    ErrorCode ignored;
    ClearDeadline();
    LeaveStream();
    socket_.close(ignored);
  }

  void Read() {
    socket_.async_read_some(asio::buffer(chunk_), [self = this->shared_from_this()](
                                                      const ErrorCode& error, size_t bytes) {
      self->OnRead(error, bytes);
    });
  }

  void OnRead(const ErrorCode& error, size_t bytes) {
    if (error && error != asio::error::eof) return Close();
    RequestReader::State state;
    if (error) {
      ended_by_eof_ = true;
      state = reader_.Finish();
    } else {
      server_->parts_.stats->Received(client_, bytes);
      state = reader_.Feed(absl::string_view(chunk_.data(), bytes));
    }
    switch (state) {
      case RequestReader::State::kNeedMore:
        return Read();
      case RequestReader::State::kTooLarge:
        server_->too_large_->Add();
        VLOG(1) << "request of " << client_ << " is larger than "
                << server_->settings_.max_request_bytes << " bytes";
        return Close();
      case RequestReader::State::kComplete:
        break;
    }
    ClearDeadline();
    server_->requests_->Add();
    Dispatch();
  }

  // Anybody may send it, and nothing shows who: not where senders must show that, nor where it is
  // not among the actions that are accepted.
  bool TakesDequeue() {
    const std::shared_ptr<const PacketRules> rules = server_->parts_.validator->rules();
    if (!rules->require_mac && rules->actions->Accepts(kDequeueAction)) return true;
    Caller stranger;
    stranger.address = client_;
    stranger.transport = Transport::kPacket;
    server_->NoteRefusedAction(std::string(kDequeueAction), stranger);
    return false;
  }

  void Dispatch() {
    switch (reader_.kind()) {
      case RawRequestKind::kEmpty:
        // Local tools open and close the socket to see whether it is there.
        if (kIsLocal) return Close();
        [[fallthrough]];
      case RawRequestKind::kDequeueActions:
        if (!kIsLocal && !TakesDequeue()) return Close();
        server_->dequeues_->Add();
        server_->parts_.dequeue_actions();
        return Close();
      case RawRequestKind::kNulsOnly:
        return Close();
      case RawRequestKind::kMessage:
        break;
    }
    std::string text = reader_.TakeText();
    Caller caller;
    std::shared_ptr<const ActionFilter> actions;  // Null on the local door: root needs no list.
    caller.address = client_;
    if (kIsLocal) {
      caller.kind = Caller::Kind::kLocalRoot;
      caller.name = server_->settings_.nodename;
      caller.transport = Transport::kLocalPacket;
    } else {
      PacketVerdict verdict = server_->parts_.validator->Check(text, from_);
      if (verdict.kind != PacketVerdict::Kind::kRequest) {
        // One way out for everything that is not a request: no byte, whatever was wrong.
        VLOG(1) << "packet from " << client_ << " not answered: " << verdict.why;
        if (verdict.kind != PacketVerdict::Kind::kDropped && server_->parts_.refused) {
          server_->parts_.refused(client_, verdict.why);
        }
        return Close();
      }
      key_ = verdict.key;
      mac_ = verdict.mac;
      actions = verdict.rules->actions;
      caller.kind = verdict.joiner ? Caller::Kind::kJoiner : Caller::Kind::kNode;
      caller.name = std::move(verdict.nodename);
      caller.transport = Transport::kPacket;
      text = std::move(verdict.text);
    }
    server_->parts_.stats->Validated(client_);
    ParsedRequest parsed = ParseRequest(text);
    switch (parsed.outcome) {
      case ParsedRequest::Outcome::kNothing:
        return Close();
      case ParsedRequest::Outcome::kRefused:
        return Send({std::move(parsed.refusal), nullptr, nullptr});
      case ParsedRequest::Outcome::kRequest:
        break;
    }
    if (actions != nullptr && !actions->Accepts(parsed.request.action)) {
      server_->NoteRefusedAction(parsed.request.action, caller);
      return Send({ErrorReply(absl::StrCat("action ", parsed.request.action,
                                           " is not accepted by this node (compat.actions)")),
                   nullptr, nullptr});
    }
    server_->parts_.router->Handle(
        parsed.request, caller,
        [self = ReleasedOn(server_->parts_.io, this->shared_from_this())](LegacyReply reply) {
          asio::post(*self->server_->parts_.io, [self, reply = std::move(reply)] {
            if (reply.stream != nullptr) return self->Stream(reply);
            self->Send(reply);
          });
        });
  }

  // Seals, or just ends, one message.
  std::string Encode(const StreamMessage& message) {
    if (key_ == nullptr) return ClearReply(message.text());
    return SealCompressed(*key_, server_->parts_.random,
                          server_->parts_.validator->rules()->cluster_name,
                          server_->settings_.nodename, message.compressed(), mac_);
  }

  void Stream(const LegacyReply& reply) {
    Impl* const server = server_.get();
    bool granted = !server->shut_down_ && (kIsLocal || server->listening_);
    if (granted && kIsLocal) {
      granted = server->local_stream_count_ < kMaxLocalStreams;
    } else if (granted) {
      ConnectionLimiter::Grant grant =
          server->stream_limiter_.Acquire(AdmissionKey(from_, /*is_cluster_node=*/false));
      granted = grant.verdict == ConnectionLimiter::Verdict::kGranted;
      stream_slot_ = std::move(grant.slot);
    }
    if (!granted) {
      server->streams_refused_->Add();
      return Send({ErrorReply("too many streams"), nullptr, nullptr});
    }
    if (kIsLocal) ++server->local_stream_count_;
    server->open_streams_.insert(this);
    server->streams_->Set(static_cast<int64_t>(server->open_streams_.size()));
    typename StreamWriter<typename Protocol::socket>::Parts parts;
    parts.io = server->parts_.io;
    parts.socket = &socket_;
    parts.owner = this->shared_from_this();
    parts.encode = [this](const StreamMessage& message) { return Encode(message); };
    parts.sent = [this](size_t bytes) { server_->parts_.stats->Sent(client_, bytes); };
    parts.ended = [this](StreamEnd end) {
      if (end == StreamEnd::kDead) server_->streams_dead_->Add();
      if (end != StreamEnd::kOver) return Close();
      LeaveStream();
      EndWriting();
    };
    writer_ = std::make_shared<StreamWriter<typename Protocol::socket>>(
        std::move(parts), std::move(*reply.stream), server->settings_.stream_times);
    // A reader that ended its request with its stream says nothing more, and may still listen.
    if (!ended_by_eof_) DiscardPings();
    writer_->Start();
  }

  // Readers send a byte each second of silence; one that sends its end is gone.
  void DiscardPings() {
    socket_.async_read_some(asio::buffer(chunk_),
                            [self = this->shared_from_this()](const ErrorCode& error, size_t) {
                              if (self->writer_ == nullptr)
                                return;  // The end of the stream reads from here on.
                              if (error) return self->Close();
                              self->DiscardPings();
                            });
  }

  void LeaveStream() {
    if (writer_ == nullptr) return;
    writer_->Stop();
    writer_ = nullptr;
    stream_slot_.Release();
    if (kIsLocal) --server_->local_stream_count_;
    server_->open_streams_.erase(this);
    server_->streams_->Set(static_cast<int64_t>(server_->open_streams_.size()));
  }

  bool is_local() const override { return kIsLocal; }
  void EndStream() override { Close(); }

  void EndWriting() {
    ErrorCode ignored;
    socket_.shutdown(asio::socket_base::shutdown_send, ignored);
    SetDeadline(kLingerTimeout, nullptr);
    Linger(0);
  }

  void Send(const LegacyReply& reply) {
    if (key_ != nullptr) {
      const std::shared_ptr<const PacketRules> rules = server_->parts_.validator->rules();
      const std::string compressed =
          reply.rendered != nullptr ? std::string() : Compress(ReplyText(reply.value));
      out_ = SealCompressed(
          *key_, server_->parts_.random, rules->cluster_name, server_->settings_.nodename,
          reply.rendered != nullptr ? absl::string_view(reply.rendered->compressed)
                                    : absl::string_view(compressed),
          mac_);
    } else {
      out_ = ClearReply(reply.rendered != nullptr ? reply.rendered->text : ReplyText(reply.value));
    }
    SetDeadline(kReplyTimeout, server_->reply_errors_);
    asio::async_write(socket_, asio::buffer(out_),
                      [self = this->shared_from_this()](const ErrorCode& error, size_t bytes) {
                        self->server_->parts_.stats->Sent(self->client_, bytes);
                        if (error) {
                          // Local resource managers tell something and do not wait for the answer.
                          const bool told_only =
                              kIsLocal && (error == asio::error::broken_pipe ||
                                           error == asio::error::connection_reset);
                          if (error != asio::error::operation_aborted && !told_only) {
                            self->server_->reply_errors_->Add();
                          }
                          return self->Close();
                        }
                        self->EndWriting();
                      });
  }

  void Linger(size_t discarded) {
    socket_.async_read_some(asio::buffer(chunk_), [self = this->shared_from_this(), discarded](
                                                      const ErrorCode& error, size_t bytes) {
      if (error || discarded + bytes > kLingerBytes) return self->Close();
      self->Linger(discarded + bytes);
    });
  }

  const std::shared_ptr<Impl> server_;
  typename Protocol::socket socket_;
  asio::steady_timer deadline_;
  const std::string client_;  // Address, or "local".
  const PeerAddress from_;
  const ConnectionLimiter::Slot slot_;
  RequestReader reader_;
  std::array<char, kChunkBytes> chunk_;
  std::shared_ptr<const Key> key_;  // Null on the local door.
  PacketMac mac_ = PacketMac::kNone;
  std::string out_;
  bool ended_by_eof_ = false;                                        // The request.
  std::shared_ptr<StreamWriter<typename Protocol::socket>> writer_;  // Null: not a stream.
  ConnectionLimiter::Slot stream_slot_;
};

void PacketServer::Impl::NoteRefusedAction(const std::string& action, const Caller& caller) {
  actions_refused_->Add();
  const auto now = std::chrono::steady_clock::now();
  const auto logged = refusals_logged_.find(caller.address);
  if (logged != refusals_logged_.end() && now - logged->second < kRefusalLogInterval) return;
  // Full, it is begun anew: some senders are then logged once more.
  if (refusals_logged_.size() >= kMaxRefusalsLogged) refusals_logged_.clear();
  refusals_logged_[caller.address] = now;
  LOG(WARNING) << "OM-PACKET-ACTION " << action << " of " << caller.ToString()
               << " is not among compat.actions and was refused; more of this sender are only "
                  "counted for a minute";
}

void PacketServer::Impl::EndStreams(bool local_ones_too) {
  // Each takes itself out of the set.
  const std::vector<OpenStream*> streams(open_streams_.begin(), open_streams_.end());
  for (OpenStream* stream : streams) {
    if (local_ones_too || !stream->is_local()) stream->EndStream();
  }
}

void PacketServer::Impl::ConnectionEnded() {
  connections_->Set(connection_count_.load());
  if (shut_down_ && connection_count_.load() == 0 && ended_) {
    asio::post(*parts_.io, std::exchange(ended_, nullptr));
  }
}

void PacketServer::Impl::Listen(PacketServerSettings settings, const std::function<void()>& done) {
  if (shut_down_) return done();
  settings_ = std::move(settings);
  listening_ = true;
  limiter_.SetLimits({settings_.max_connections, settings_.max_connections_per_address});
  stream_limiter_.SetLimits({settings_.max_streams(), settings_.max_streams_per_address()});
  const uint64_t generation = ++generation_;
  retry_.cancel();
  const bool posted = parts_.workers->Post(
      [self = shared_from_this(), generation, names = settings_.addresses, done]() mutable {
        std::vector<Resolved> resolved;
        resolved.reserve(names.size());
        for (const std::string& name : names) resolved.push_back(Resolve(name));
        asio::io_context* const io = self->parts_.io;
        // Handed on whole: this thread may still be about when `io` is gone.
        asio::post(*io, [self = std::move(self), generation, done = std::move(done),
                         resolved = std::move(resolved)] {
          if (self->generation_ != generation || !self->listening_) return done();
          self->Apply(resolved, done);
        });
      });
  if (!posted) {
    RetryLater();
    done();
  }
}

void PacketServer::Impl::Apply(const std::vector<Resolved>& resolved,
                               const std::function<void()>& done) {
  std::vector<std::shared_ptr<Door>> doors;
  std::vector<std::shared_ptr<Door>> fresh;
  std::vector<ListenerAddress> failed;
  std::set<tcp::endpoint> seen;
  for (const Resolved& name : resolved) {
    if (!name.error.empty()) {
      failed.push_back({name.configured, settings_.port, name.error});
      // A name server's failure closes no door: what the name stood for last goes on.
      for (const std::shared_ptr<Door>& open : doors_) {
        if (open->configured == name.configured && open->wanted.port() == settings_.port &&
            seen.insert(open->wanted).second) {
          doors.push_back(open);
        }
      }
      continue;
    }
    for (const asio::ip::address& address : name.addresses) {
      const tcp::endpoint endpoint(address, static_cast<uint16_t>(settings_.port));
      if (!seen.insert(endpoint).second) continue;
      std::shared_ptr<Door> door;
      for (const std::shared_ptr<Door>& open : doors_) {
        if (open->wanted == endpoint) door = open;
      }
      if (door == nullptr) {
        door = std::make_shared<Door>(parts_.io);
        door->configured = name.configured;
        door->wanted = endpoint;
        fresh.push_back(door);
      }
      doors.push_back(std::move(door));
    }
  }
  // What goes is closed before what comes is opened: 0.0.0.0 and one address cannot both be.
  for (const std::shared_ptr<Door>& open : doors_) {
    if (std::find(doors.begin(), doors.end(), open) != doors.end()) continue;
    ErrorCode ignored;
    open->rest.cancel();
    open->acceptor.close(ignored);
  }
  doors_ = std::move(doors);
  for (const std::shared_ptr<Door>& door : fresh) {
    const std::string error = Open(door.get());
    if (error.empty()) {
      Accept(door);
      continue;
    }
    failed.push_back({door->wanted.address().to_string(), settings_.port, error});
    doors_.erase(std::find(doors_.begin(), doors_.end(), door));
  }
  for (const ListenerAddress& address : failed) {
    parts_.counters->Get("packet.listen_errors")->Add();
    // Once, not at every try.
    if (std::find(failed_.begin(), failed_.end(), address) != failed_.end()) continue;
    LOG(WARNING) << "OM-LSNR-ADDRESS cannot listen on " << address.addr << " port " << address.port
                 << ": " << address.error << "; trying again every 2 s";
  }
  failed_ = failed;
  Publish(failed);
  if (!failed.empty()) RetryLater();
  done();
}

std::string PacketServer::Impl::Open(Door* door) {
  ErrorCode error;
  door->acceptor.open(door->wanted.protocol(), error);
  if (!error) door->acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  // Without this [::] would take 0.0.0.0 as well, and the two could not stand side by side.
  if (!error && door->wanted.address().is_v6()) {
    door->acceptor.set_option(asio::ip::v6_only(true), error);
  }
  if (!error) door->acceptor.non_blocking(true, error);
  if (!error) door->acceptor.bind(door->wanted, error);
  if (!error) door->acceptor.listen(kBacklog, error);
  if (!error) return "";
  ErrorCode ignored;
  door->acceptor.close(ignored);
  return error.message();
}

void PacketServer::Impl::RetryLater() {
  retry_.expires_after(kRetryInterval);
  retry_.async_wait([self = shared_from_this()](const ErrorCode& error) {
    if (error || !self->listening_ || self->shut_down_) return;
    self->Listen(self->settings_, [] {});
  });
}

void PacketServer::Impl::Publish(const std::vector<ListenerAddress>& failed) {
  ListenerState state;
  state.configured_addr = absl::StrJoin(settings_.addresses, " ");
  state.configured_port = settings_.port;
  for (const std::shared_ptr<Door>& door : doors_) {
    ErrorCode error;
    const tcp::endpoint bound = door->acceptor.local_endpoint(error);
    if (error) continue;
    state.addresses.push_back({bound.address().to_string(), bound.port(), ""});
    if (settings_.port == 0) state.configured_port = bound.port();
  }
  state.addresses.insert(state.addresses.end(), failed.begin(), failed.end());
  parts_.publish(std::move(state));
}

void PacketServer::Impl::Accept(const std::shared_ptr<Door>& door) {
  door->acceptor.async_accept(
      [self = shared_from_this(), door](const ErrorCode& error, tcp::socket socket) {
        if (error == asio::error::operation_aborted || !door->acceptor.is_open()) return;
        if (error) {
          self->accept_errors_->Add();
          // Out of descriptors, most likely: connections wait in the queue until some are free.
          door->rest.expires_after(kAcceptRest);
          door->rest.async_wait([self, door](const ErrorCode& cancelled) {
            if (!cancelled && door->acceptor.is_open()) self->Accept(door);
          });
          return;
        }
        ErrorCode unknown;
        const tcp::endpoint peer = socket.remote_endpoint(unknown);
        if (!unknown) {
          const PeerAddress from = AddressOf(peer);
          ConnectionLimiter::Grant grant =
              self->limiter_.Acquire(AdmissionKey(from, /*is_cluster_node=*/false));
          if (grant.verdict == ConnectionLimiter::Verdict::kGranted) {
            std::make_shared<Session<tcp>>(self, std::move(socket), from.ToString(), from,
                                           std::move(grant.slot))
                ->Start();
          } else {
            self->refused_->Add();
          }
        }
        self->Accept(door);
      });
}

absl::Status PacketServer::Impl::ListenLocal(const std::string& path) {
  ErrorCode error;
  // Whoever holds the daemon's lock owns the path: a socket that is there is left over.
  struct stat info = {};
  if (lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) {
      return absl::FailedPreconditionError(absl::StrCat(path, " exists and is no socket"));
    }
    unlink(path.c_str());
  }
  local_.open(LocalProtocol(), error);
  if (!error) local_.bind(LocalProtocol::endpoint(path), error);
  if (!error && chmod(path.c_str(), 0600) != 0) {
    error = ErrorCode(errno, std::generic_category());
  }
  if (!error) local_.listen(kBacklog, error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("listening on ", path));
  local_path_ = path;
  AcceptLocal();
  return absl::OkStatus();
}

void PacketServer::Impl::CheckLocal() {
  struct stat info = {};
  if (shut_down_ || local_path_.empty() || lstat(local_path_.c_str(), &info) == 0) return;
  const std::string path = local_path_;
  ErrorCode ignored;
  local_.close(ignored);
  absl::Status status = MakeDirectories(path.substr(0, path.rfind('/')));
  if (status.ok()) status = ListenLocal(path);
  LOG(WARNING) << "OM-SOCKET-GONE " << path << " was removed"
               << (status.ok() ? "; it is there again" : absl::StrCat(": ", status.ToString()));
}

void PacketServer::Impl::AcceptLocal() {
  local_.async_accept(
      [self = shared_from_this()](const ErrorCode& error, LocalProtocol::socket socket) {
        if (error == asio::error::operation_aborted || !self->local_.is_open()) return;
        if (error) {
          self->accept_errors_->Add();
          auto rest = std::make_shared<asio::steady_timer>(*self->parts_.io, kAcceptRest);
          rest->async_wait([self, rest](const ErrorCode& cancelled) {
            if (!cancelled && self->local_.is_open()) self->AcceptLocal();
          });
          return;
        }
        ucred peer = {};
        socklen_t length = sizeof(peer);
        const bool known =
            getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0;
        if (known && (peer.uid == 0 || peer.uid == geteuid()) &&
            self->local_count_ < kMaxLocalConnections) {
          std::make_shared<Session<LocalProtocol>>(self, std::move(socket), "local", PeerAddress(),
                                                   ConnectionLimiter::Slot())
              ->Start();
        } else {
          self->refused_->Add();
        }
        self->AcceptLocal();
      });
}

void PacketServer::Impl::StopListening() {
  listening_ = false;
  ++generation_;
  retry_.cancel();
  for (const std::shared_ptr<Door>& door : doors_) {
    ErrorCode ignored;
    door->rest.cancel();
    door->acceptor.close(ignored);
  }
  doors_.clear();
  failed_.clear();
  EndStreams(/*local_ones_too=*/false);
  Publish({});
}

void PacketServer::Impl::Shutdown(std::function<void()> done) {
  StopListening();
  shut_down_ = true;
  EndStreams(/*local_ones_too=*/true);
  ErrorCode ignored;
  local_.close(ignored);
  if (!local_path_.empty()) unlink(local_path_.c_str());
  if (connection_count_.load() == 0) return done();
  ended_ = std::move(done);
}

PacketServer::PacketServer(const Parts& parts) : impl_(std::make_shared<Impl>(parts)) {}
PacketServer::~PacketServer() = default;

void PacketServer::Listen(PacketServerSettings settings, std::function<void()> done) {
  asio::post(*impl_->io(),
             [impl = impl_, settings = std::move(settings), done = std::move(done)]() mutable {
               impl->Listen(std::move(settings), done);
             });
}

void PacketServer::StopListening(std::function<void()> done) {
  asio::post(*impl_->io(), [impl = impl_, done = std::move(done)] {
    impl->StopListening();
    done();
  });
}

absl::Status PacketServer::ListenLocal(const std::string& path) { return impl_->ListenLocal(path); }

void PacketServer::CheckLocal() {
  asio::post(*impl_->io(), [impl = impl_] { impl->CheckLocal(); });
}

void PacketServer::Shutdown(std::function<void()> done) {
  asio::post(*impl_->io(),
             [impl = impl_, done = std::move(done)]() mutable { impl->Shutdown(std::move(done)); });
}

int PacketServer::connection_count() const { return impl_->connection_count(); }

}  // namespace om
