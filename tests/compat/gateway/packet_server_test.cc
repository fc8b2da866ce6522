// The doors over real sockets on loopback. Whatever is waited for is a condition with a deadline.
#include "compat/gateway/packet_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "asio/executor_work_guard.hpp"
#include "asio/io_context.hpp"
#include "asio/post.hpp"
#include "server/base/file.h"
#include "tests/server/service/service_fixture.h"

namespace om {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr seconds kPatience{120};
constexpr char kSecret[] = "0123456789abcdef0123456789abcdef";
const std::string kNul(1, '\0');

// Runs work at once, or keeps it until it is released. THREAD: any.
class HeldExecutor final : public Executor {
 public:
  bool Post(std::function<void()> work) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (holds_) {
        held_.push_back(std::move(work));
        return true;
      }
    }
    work();
    return true;
  }
  void Hold() {
    const std::lock_guard<std::mutex> lock(mutex_);
    holds_ = true;
  }
  size_t held() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return held_.size();
  }
  void Release() {
    std::deque<std::function<void()>> work;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      holds_ = false;
      work.swap(held_);
    }
    for (const std::function<void()>& each : work) each();
  }

 private:
  std::mutex mutex_;
  bool holds_ = false;
  std::deque<std::function<void()>> held_;
};

// A blocking client with patience.
class Client {
 public:
  // From `source`, so that one machine is several senders.
  static Client Tcp(const std::string& address, int port, const std::string& source = "127.0.0.1") {
    Client client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in from = Address(source, 0);
    EXPECT_EQ(bind(client.fd_.get(), reinterpret_cast<const sockaddr*>(&from), sizeof(from)), 0);
    const sockaddr_in to = Address(address, port);
    client.connected_ =
        connect(client.fd_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0;
    return client;
  }
  static Client Local(const std::string& path) {
    Client client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un to = {};
    to.sun_family = AF_UNIX;
    path.copy(to.sun_path, sizeof(to.sun_path) - 1);
    client.connected_ =
        connect(client.fd_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0;
    return client;
  }

  bool connected() const { return connected_; }
  // False once the other side is gone.
  bool Send(absl::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  void HalfClose() { shutdown(fd_.get(), SHUT_WR); }
  // Whether the other side has closed or sent something within `limit`.
  bool Readable(milliseconds limit) {
    pollfd poll_fd = {fd_.get(), POLLIN, 0};
    return poll(&poll_fd, 1, static_cast<int>(limit.count())) == 1;
  }
  // Everything up to the end of the stream; nullopt if that does not come. A reset is an end.
  std::optional<std::string> ReadAll() {
    std::string all;
    char chunk[4096];
    while (Readable(kPatience)) {
      const ssize_t got = read(fd_.get(), chunk, sizeof(chunk));
      if (got <= 0) return all;
      all.append(chunk, static_cast<size_t>(got));
    }
    return std::nullopt;
  }

  static sockaddr_in Address(const std::string& address, int port) {
    sockaddr_in out = {};
    out.sin_family = AF_INET;
    out.sin_port = htons(static_cast<uint16_t>(port));
    inet_pton(AF_INET, address.c_str(), &out.sin_addr);
    return out;
  }

 private:
  explicit Client(int fd) : fd_(fd) {}
  UniqueFd fd_;
  bool connected_ = false;
};

class PacketServerTest : public ::testing::Test {
 protected:
  PacketServerTest() {
    world_.context.workers = &held_;
    PacketRules rules;
    rules.cluster_name = "demo";
    rules.nodes = {"node1", "node2"};
    rules.key = std::make_shared<const Key>(key_);
    validator_.SetRules(rules);
    settings_.addresses = {"127.0.0.1"};
    settings_.nodename = "node1";
    // No request is late, however slow the machine is, but where a test wants it so.
    settings_.request_timeout = 2 * kPatience;
    thread_ = std::thread([this] { io_.run(); });
  }
  ~PacketServerTest() override {
    held_.Release();
    std::promise<void> ended;
    server_->Shutdown([&] { ended.set_value(); });
    EXPECT_EQ(ended.get_future().wait_for(kPatience), std::future_status::ready);
    resolvers_.Shutdown();
    server_.reset();
    work_.reset();
    thread_.join();
  }

  void Listen() {
    std::promise<void> listens;
    server_->Listen(settings_, [&] { listens.set_value(); });
    ASSERT_EQ(listens.get_future().wait_for(kPatience), std::future_status::ready);
  }
  // What was published last.
  ListenerState State() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return state_;
  }
  // The port that an address is listened on; 0: it is not.
  int Port(const std::string& address = "127.0.0.1") {
    for (const ListenerAddress& each : State().addresses) {
      if (each.addr == address && each.error.empty()) return each.port;
    }
    return 0;
  }
  // Waits, as long as there is patience, for what the thread of the server does.
  bool Eventually(const std::function<bool()>& condition) {
    const auto end = steady_clock::now() + kPatience;
    while (!condition()) {
      if (steady_clock::now() > end) return false;
      std::promise<void> turned;
      asio::post(io_, [&] { turned.set_value(); });
      turned.get_future().wait();
    }
    return true;
  }
  int64_t Counted(const char* name) { return world_.counters.Get(name)->value(); }

  // A packet with a fresh IV, final NUL included.
  std::string Packet(const Json& request, const std::string& cluster = "demo",
                     const std::string& node = "node2") {
    return Seal(key_, &random_, cluster, node, DumpJson(request));
  }
  std::string StatusPacket() { return Packet({{"action", "daemon_blacklist_status"}}); }
  std::string BadPacket() {
    return Seal(*Key::FromSecret("ffffffffffffffffffffffffffffffff"), &random_, "demo", "node2",
                "{}");
  }
  Client Connect(const std::string& source = "127.0.0.1") {
    Client client = Client::Tcp("127.0.0.1", Port(), source);
    EXPECT_TRUE(client.connected());
    return client;
  }
  // The reply in an encrypted answer; null if there is none.
  Json Open(std::optional<std::string> answer) {
    EXPECT_TRUE(answer.has_value()) << "the connection was not closed";
    if (!answer.has_value() || answer->empty()) return Json();
    EXPECT_EQ(answer->back(), '\0');
    answer->pop_back();
    absl::StatusOr<Envelope> envelope = ParseEnvelope(*answer);
    EXPECT_THAT(envelope, IsOk());
    EXPECT_EQ(envelope->clustername, "demo");
    EXPECT_EQ(envelope->nodename, "node1");
    absl::StatusOr<OpenedPacket> opened = OpenPacket(key_, *envelope);
    EXPECT_THAT(opened, IsOk());
    return *ParseJson(opened->text);
  }
  // Sends and reads the reply.
  Json Ask(const std::string& packet, const std::string& source = "127.0.0.1") {
    Client client = Connect(source);
    EXPECT_TRUE(client.Send(packet));
    return Open(client.ReadAll());
  }
  // Sends and expects to be left without a byte.
  void ExpectSilence(const std::string& bytes, bool half_close = false) {
    Client client = Connect();
    client.Send(bytes);
    if (half_close) client.HalfClose();
    EXPECT_EQ(client.ReadAll(), std::optional<std::string>(""));
  }

  const Key key_ = *Key::FromSecret(kSecret);
  SystemRandom random_;
  HeldExecutor held_;
  ServiceFixture world_{{"node1", "node2"}};
  ReplayWindow replays_;
  PacketValidator validator_{&world_.blacklist, &replays_, &world_.node_names, &world_.counters,
                             [](const AdmissionKey&, int) {}};
  DaemonApi daemon_{&world_.context, DaemonApi::Options{}};
  BlacklistApi blacklist_{&world_.context};
  ConfigApi config_{&world_.context};
  MonitorApi monitor_{&world_.context};
  NodeApi node_{&world_.context};
  ListenerStats stats_;
  StatusDocumentCache documents_{[this] { return world_.core.snapshot(); },
                                 [] {
                                   return DocumentFacts{4711, 10};
                                 },
                                 &stats_, &held_, &world_.clock};
  Router router_{{&world_.context, &daemon_, &blacklist_, &config_, &monitor_, &node_, &documents_,
                  &stats_, [] {
                    return DocumentFacts{4711, 10};
                  }}};
  std::atomic<int> dequeues_{0};
  std::mutex mutex_;
  ListenerState state_;
  WorkerPool resolvers_{"resolve", 1, 64};
  asio::io_context io_;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_{
      io_.get_executor()};
  std::unique_ptr<PacketServer> server_ = std::make_unique<PacketServer>(
      PacketServer::Parts{&io_, &resolvers_, &validator_, &router_, &stats_, &world_.counters,
                          &random_, [this] { ++dequeues_; },
                          [this](ListenerState state) {
                            const std::lock_guard<std::mutex> lock(mutex_);
                            state_ = std::move(state);
                          }});
  PacketServerSettings settings_;
  std::thread thread_;
};

const Json kEmptyBlacklist = {{"data", Json::object()}, {"status", 0}};

TEST_F(PacketServerTest, APacketIsAnsweredByOneAndTheConnectionClosed) {
  Listen();
  EXPECT_EQ(Ask(StatusPacket()), kEmptyBlacklist);
  EXPECT_EQ(Counted("packet.requests"), 1);
  EXPECT_TRUE(Eventually([&] { return server_->connection_count() == 0; }));
  EXPECT_TRUE(Eventually([&] { return Counted("packet.connections") == 0; }));
  const Json sessions = stats_.Sessions();
  EXPECT_EQ(sessions["accepted"], 1);
  EXPECT_EQ(sessions["auth_validated"], 1);
  EXPECT_GT(sessions["clients"]["127.0.0.1"]["rx"], 0);
  EXPECT_GT(sessions["clients"]["127.0.0.1"]["tx"], 0);
}

TEST_F(PacketServerTest, ARequestMayEndWithTheStreamInsteadOfANul) {
  Listen();
  std::string packet = StatusPacket();
  packet.pop_back();
  Client client = Connect();
  ASSERT_TRUE(client.Send(packet));
  client.HalfClose();
  EXPECT_EQ(Open(client.ReadAll()), kEmptyBlacklist);
}

TEST_F(PacketServerTest, SeveralNulsEndOneRequest) {
  Listen();
  EXPECT_EQ(Ask(StatusPacket() + std::string(3, '\0')), kEmptyBlacklist);
}

TEST_F(PacketServerTest, ARequestInPiecesIsOneRequest) {
  Listen();
  const std::string packet = StatusPacket();
  Client client = Connect();
  for (const char byte : packet) ASSERT_TRUE(client.Send(std::string(1, byte)));
  EXPECT_EQ(Open(client.ReadAll()), kEmptyBlacklist);
}

TEST_F(PacketServerTest, WhatIsNoRequestIsLeftWithoutAByte) {
  Listen();
  ExpectSilence(kNul);
  ExpectSilence("not json" + kNul);
  ExpectSilence("null" + kNul);
  ExpectSilence(StatusPacket() + StatusPacket());  // Two at once are one that is malformed.
  ExpectSilence(DumpJson({{"action", "daemon_status"}}) + kNul);  // In the clear.
  ExpectSilence(Packet({{"action", "daemon_blacklist_status"}}, "other"));
  ExpectSilence(Packet({{"action", "daemon_blacklist_status"}}, "demo", "stranger"));
  ExpectSilence(BadPacket());
  ExpectSilence(Packet(nullptr));
  EXPECT_EQ(dequeues_, 0);
  EXPECT_EQ(Counted("packet.invalid"), 1);
}

TEST_F(PacketServerTest, ATextThatIsNoRequestIsRefusedUnderTheKey) {
  Listen();
  EXPECT_EQ(Ask(Packet(Json::array())), Json({{"error", "invalid data format"}, {"status", 1}}));
  EXPECT_EQ(Ask(Packet(Json::object())), Json({{"error", "action not specified"}, {"status", 1}}));
}

TEST_F(PacketServerTest, JoinersAreHeardUnderTheNameJoinForWhatTheyMay) {
  Listen();
  EXPECT_EQ(Ask(Packet({{"action", "daemon_blacklist_status"}}, "join", "stranger")),
            kEmptyBlacklist);
  EXPECT_EQ(Ask(Packet({{"action", "daemon_status"}}, "join", "stranger"))["status"], 1);
}

TEST_F(PacketServerTest, ActionsThatAreNotAcceptedAreRefusedAndCounted) {
  PacketRules rules = *validator_.rules();
  rules.actions = std::make_shared<const ActionFilter>(
      ActionFilter::Of({"blacklist_status"}, Router::Actions()));
  validator_.SetRules(rules);
  Listen();
  EXPECT_EQ(Ask(StatusPacket()), kEmptyBlacklist);
  EXPECT_EQ(Ask(Packet({{"action", "daemon_status"}})),
            Json({{"error", "action daemon_status is not accepted by this node (compat.actions)"},
                  {"status", 1}}));
  EXPECT_EQ(Ask(Packet({{"action", "bogus"}}))["error"], "action not supported");
  EXPECT_EQ(Counted("packet.actions_refused"), 1);
}

TEST_F(PacketServerTest, AReplyHasAMacIfTheRequestHadOne) {
  Listen();
  for (const PacketMac mac : {PacketMac::kAttached, PacketMac::kNone}) {
    Client client = Connect();
    client.Send(Seal(key_, &random_, "demo", "node2", R"({"action": "daemon_status"})",
                     kDefaultZlibLevel, mac));
    std::optional<std::string> answer = client.ReadAll();
    ASSERT_TRUE(answer.has_value() && !answer->empty());
    answer->pop_back();
    const absl::StatusOr<Envelope> envelope = ParseEnvelope(*answer);
    ASSERT_THAT(envelope, IsOk());
    EXPECT_EQ(CheckMac(key_, *envelope), mac == PacketMac::kAttached);
    EXPECT_EQ(envelope->hmac.has_value(), mac == PacketMac::kAttached);
  }
}

TEST_F(PacketServerTest, TheStatusDocumentComesCompressedOnce) {
  Listen();
  EXPECT_TRUE(Ask(Packet({{"action", "daemon_status"}})).contains("monitor"));
}

TEST_F(PacketServerTest, FiveInvalidPacketsShutTheSenderOutAndNoOneElse) {
  Listen();
  for (int i = 0; i < 5; ++i) ExpectSilence(BadPacket());
  ExpectSilence(StatusPacket());
  EXPECT_EQ(Counted("packet.dropped"), 1);
  EXPECT_EQ(Ask(StatusPacket(), "127.0.0.7")["data"]["127.0.0.1"], 5);
  world_.blacklist.Clear();
  EXPECT_EQ(Ask(StatusPacket()), kEmptyBlacklist);
}

TEST_F(PacketServerTest, AReplayIsLeftWithoutAByte) {
  Listen();
  const std::string packet = StatusPacket();
  EXPECT_EQ(Ask(packet), kEmptyBlacklist);
  ExpectSilence(packet);
  EXPECT_EQ(Counted("packet.replayed"), 1);
}

TEST_F(PacketServerTest, AnEmptyPacketAndTheLiteralOneRunTheQueuedActions) {
  Listen();
  ExpectSilence("", /*half_close=*/true);
  EXPECT_TRUE(Eventually([&] { return dequeues_ == 1; }));
  ExpectSilence("dequeue_actions", /*half_close=*/true);
  EXPECT_TRUE(Eventually([&] { return dequeues_ == 2; }));
  // With a NUL it is a packet like others, and no envelope.
  ExpectSilence("dequeue_actions" + kNul);
  ExpectSilence("dequeue_actions ", /*half_close=*/true);
  EXPECT_EQ(dequeues_, 2);
  EXPECT_EQ(Counted("packet.dequeue_actions"), 2);
}

TEST_F(PacketServerTest, AnOversizedRequestIsClosedAndCounted) {
  settings_.max_request_bytes = 1000;
  Listen();
  ExpectSilence(std::string(1001, 'x'));
  EXPECT_TRUE(Eventually([&] { return Counted("packet.too_large") == 1; }));
  EXPECT_EQ(Ask(StatusPacket()), kEmptyBlacklist);
}

TEST_F(PacketServerTest, ATricklingSenderHasOneDeadlineForAllOfItsRequest) {
  settings_.request_timeout = milliseconds(300);
  Listen();
  Client client = Connect();
  // It never pauses for long, and never ends.
  const auto end = steady_clock::now() + kPatience;
  while (!client.Readable(milliseconds(10)) && steady_clock::now() < end) {
    if (!client.Send("x")) break;
  }
  EXPECT_EQ(client.ReadAll(), std::optional<std::string>(""));
  EXPECT_TRUE(Eventually([&] { return Counted("packet.too_slow") == 1; }));
  EXPECT_TRUE(Eventually([&] { return server_->connection_count() == 0; }));
}

TEST_F(PacketServerTest, SendersThatSayNothingDelayNobodyAndAreClosed) {
  Listen();
  std::vector<Client> silent;
  silent.reserve(20);
  for (int i = 0; i < 20; ++i) silent.push_back(Connect());
  EXPECT_EQ(Ask(StatusPacket()), kEmptyBlacklist);
  EXPECT_EQ(Counted("packet.too_slow"), 0);
  silent.clear();
  // The same with less patience, which would be too little for an answer on a slow machine.
  settings_.request_timeout = milliseconds(500);
  Listen();
  for (int i = 0; i < 20; ++i) silent.push_back(Connect());
  for (Client& client : silent) EXPECT_EQ(client.ReadAll(), std::optional<std::string>(""));
  EXPECT_TRUE(Eventually([&] { return Counted("packet.too_slow") == 20; }));
}

TEST_F(PacketServerTest, AnAddressHasSoManyConnectionsAndOthersHaveTheirs) {
  settings_.max_connections_per_address = 2;
  Listen();
  std::vector<Client> idle;
  idle.reserve(2);
  for (int i = 0; i < 2; ++i) idle.push_back(Connect());
  ASSERT_TRUE(Eventually([&] { return server_->connection_count() == 2; }));
  EXPECT_EQ(Connect().ReadAll(), std::optional<std::string>(""));
  EXPECT_EQ(Counted("packet.refused"), 1);
  EXPECT_EQ(Ask(StatusPacket(), "127.0.0.2"), kEmptyBlacklist);
  idle.pop_back();
  ASSERT_TRUE(Eventually([&] { return server_->connection_count() == 1; }));
  EXPECT_EQ(Ask(StatusPacket()), kEmptyBlacklist);
}

TEST_F(PacketServerTest, InAllThereAreSoManyConnections) {
  settings_.max_connections = 3;
  Listen();
  std::vector<Client> idle;
  for (const char* source : {"127.0.0.1", "127.0.0.2", "127.0.0.3"}) {
    idle.push_back(Connect(source));
  }
  ASSERT_TRUE(Eventually([&] { return server_->connection_count() == 3; }));
  EXPECT_EQ(Connect("127.0.0.4").ReadAll(), std::optional<std::string>(""));
  idle.clear();
  ASSERT_TRUE(Eventually([&] { return server_->connection_count() == 0; }));
  EXPECT_EQ(Ask(StatusPacket(), "127.0.0.4"), kEmptyBlacklist);
}

TEST_F(PacketServerTest, AClientThatGoesBeforeItsReplyHarmsNobody) {
  Listen();
  held_.Hold();
  {
    Client client = Connect();
    client.Send(Packet({{"action", "daemon_stats"}}));
    ASSERT_TRUE(Eventually([&] { return held_.held() == 1; }));
  }
  held_.Release();
  EXPECT_TRUE(Eventually([&] { return server_->connection_count() == 0; }));
  EXPECT_EQ(Ask(StatusPacket()), kEmptyBlacklist);
}

TEST_F(PacketServerTest, MovingTheDoorFinishesRepliesInFlight) {
  Listen();
  const int old_port = Port();
  held_.Hold();
  Client in_flight = Connect();
  in_flight.Send(Packet({{"action", "daemon_stats"}}));
  ASSERT_TRUE(Eventually([&] { return held_.held() == 1; }));
  settings_.addresses = {"127.0.0.2"};
  Listen();
  EXPECT_EQ(Port("127.0.0.1"), 0);
  // From another address: from its own, a free port may happen to be connected to itself.
  EXPECT_FALSE(Client::Tcp("127.0.0.1", old_port, "127.0.0.3").connected());
  ASSERT_NE(Port("127.0.0.2"), 0);
  Client moved = Client::Tcp("127.0.0.2", Port("127.0.0.2"));
  ASSERT_TRUE(moved.connected());
  ASSERT_TRUE(moved.Send(StatusPacket()));
  EXPECT_EQ(Open(moved.ReadAll()), kEmptyBlacklist);
  held_.Release();
  EXPECT_EQ(Open(in_flight.ReadAll())["status"], 0);
}

TEST_F(PacketServerTest, AnAddressThatStaysIsNotTouched) {
  Listen();
  const int port = Port();
  settings_.addresses = {"127.0.0.1", "127.0.0.2"};
  Listen();
  EXPECT_EQ(Port(), port);
  EXPECT_NE(Port("127.0.0.2"), 0);
  EXPECT_EQ(State().configured_addr, "127.0.0.1 127.0.0.2");
}

TEST_F(PacketServerTest, NamesAreResolvedAndIpv6IsHeard) {
  settings_.addresses = {"localhost", "::1"};
  Listen();
  // Not every machine has all of them: those it has are listened on.
  bool any = Port("127.0.0.1") != 0 || Port("::1") != 0;
  EXPECT_TRUE(any);
  if (Port("127.0.0.1") != 0) EXPECT_EQ(Ask(StatusPacket()), kEmptyBlacklist);
}

TEST_F(PacketServerTest, AnAddressThatIsNotHereIsAnErrorAndOthersAreHeard) {
  settings_.addresses = {"192.0.2.1", "127.0.0.1"};
  Listen();
  EXPECT_EQ(Ask(StatusPacket()), kEmptyBlacklist);
  bool told = false;
  for (const ListenerAddress& address : State().addresses) {
    if (address.addr != "192.0.2.1") continue;
    told = true;
    EXPECT_NE(address.error, "");
  }
  EXPECT_TRUE(told);
  EXPECT_GE(Counted("packet.listen_errors"), 1);
}

TEST_F(PacketServerTest, AnAddressThatIsTakenIsTriedAgainUntilItIsFree) {
  UniqueFd taker(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = Client::Address("127.0.0.1", 0);
  ASSERT_EQ(bind(taker.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(taker.get(), 1), 0);
  socklen_t length = sizeof(address);
  ASSERT_EQ(getsockname(taker.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  settings_.port = ntohs(address.sin_port);
  Listen();
  ASSERT_EQ(State().addresses.size(), 1u);
  EXPECT_NE(State().addresses[0].error, "");
  EXPECT_EQ(Port(), 0);
  taker.Reset();
  ASSERT_TRUE(Eventually([&] { return Port() == settings_.port; }));
  EXPECT_EQ(Ask(StatusPacket()), kEmptyBlacklist);
}

TEST_F(PacketServerTest, StoppedItIsClosedAndOpensAgain) {
  Listen();
  const int port = Port();
  std::promise<void> stopped;
  server_->StopListening([&] { stopped.set_value(); });
  ASSERT_EQ(stopped.get_future().wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(State().addresses.empty());
  EXPECT_FALSE(Client::Tcp("127.0.0.1", port, "127.0.0.3").connected());
  Listen();
  EXPECT_EQ(Ask(StatusPacket()), kEmptyBlacklist);
}

TEST_F(PacketServerTest, ShutdownEndsWithTheLastConnection) {
  Listen();
  held_.Hold();
  Client in_flight = Connect();
  in_flight.Send(Packet({{"action", "daemon_stats"}}));
  ASSERT_TRUE(Eventually([&] { return held_.held() == 1; }));
  // Its deadline ends the other one, before the shutdown or after it.
  settings_.request_timeout = milliseconds(500);
  Listen();
  Client silent = Connect();
  ASSERT_TRUE(Eventually([&] { return stats_.Sessions()["accepted"] == 2; }));
  std::promise<void> ended;
  std::future<void> end = ended.get_future();
  server_->Shutdown([&] { ended.set_value(); });
  EXPECT_EQ(silent.ReadAll(), std::optional<std::string>(""));
  EXPECT_TRUE(Eventually([&] { return Counted("packet.too_slow") == 1; }));
  ASSERT_TRUE(Eventually([&] { return server_->connection_count() == 1; }));
  EXPECT_EQ(end.wait_for(seconds(0)), std::future_status::timeout);
  held_.Release();
  EXPECT_EQ(Open(in_flight.ReadAll())["status"], 0);
  EXPECT_EQ(end.wait_for(kPatience), std::future_status::ready);
  // A late wish to listen is not heard.
  Listen();
  EXPECT_EQ(Port(), 0);
}

TEST_F(PacketServerTest, MutatedPacketsLeaveItServing) {
  Listen();
  Random random(7);
  for (int i = 0; i < 300; ++i) {
    std::string packet = StatusPacket();
    const uint64_t flips = 1 + random.Below(8);
    for (uint64_t flip = 0; flip < flips; ++flip) {
      packet[random.Below(packet.size())] = static_cast<char>(random.Below(256));
    }
    Client client = Connect();
    client.Send(packet);
    client.HalfClose();
    ASSERT_TRUE(client.ReadAll().has_value()) << i;
    if (i % 4 == 0) world_.blacklist.Clear();
  }
  world_.blacklist.Clear();
  EXPECT_EQ(Ask(StatusPacket()), kEmptyBlacklist);
}

class LocalDoorTest : public PacketServerTest {
 protected:
  // The socket's acceptor belongs to the server's thread.
  absl::Status ListenLocal() {
    // How long a request may take comes with the addresses of the other door: for now, none.
    const std::vector<std::string> addresses = std::exchange(settings_.addresses, {});
    Listen();
    settings_.addresses = addresses;
    std::promise<absl::Status> listens;
    asio::post(io_, [&] { listens.set_value(server_->ListenLocal(path_)); });
    return listens.get_future().get();
  }
  std::optional<std::string> AskLocal(const std::string& bytes, bool half_close = false) {
    Client client = Client::Local(path_);
    EXPECT_TRUE(client.connected());
    client.Send(bytes);
    if (half_close) client.HalfClose();
    return client.ReadAll();
  }
  const std::string path_ = world_.dir.File("lsnr.sock");
};

TEST_F(LocalDoorTest, RequestsAndRepliesAreClear) {
  ASSERT_THAT(ListenLocal(), IsOk());
  const std::string expected = DumpJson(kEmptyBlacklist) + kNul;
  EXPECT_EQ(AskLocal(R"({"action": "daemon_blacklist_status"})" + kNul), expected);
  EXPECT_EQ(AskLocal(R"({"action": "daemon_blacklist_status"})", /*half_close=*/true), expected);
  EXPECT_EQ(stats_.Sessions()["clients"]["local"]["auth_validated"], 2);
}

TEST_F(LocalDoorTest, OnlyItsOwnerGetsAtIt) {
  ASSERT_THAT(ListenLocal(), IsOk());
  struct stat info = {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(LocalDoorTest, WhatIsNoRequestIsRefusedInTheClearOrClosed) {
  ASSERT_THAT(ListenLocal(), IsOk());
  const std::string refusal = DumpJson({{"error", "invalid data format"}, {"status", 1}}) + kNul;
  EXPECT_EQ(AskLocal("not json" + kNul), refusal);
  EXPECT_EQ(AskLocal("[1]" + kNul), refusal);
  EXPECT_EQ(AskLocal("dequeue_actions" + kNul), refusal);
  EXPECT_EQ(AskLocal("null" + kNul), "");
  EXPECT_EQ(AskLocal(kNul), "");
  EXPECT_EQ(AskLocal("", /*half_close=*/true), "");
  EXPECT_EQ(dequeues_, 0);
  EXPECT_EQ(AskLocal("dequeue_actions", /*half_close=*/true), "");
  EXPECT_TRUE(Eventually([&] { return dequeues_ == 1; }));
}

TEST_F(LocalDoorTest, NothingInvalidIsCountedAgainstLocalCallers) {
  ASSERT_THAT(ListenLocal(), IsOk());
  for (int i = 0; i < 20; ++i) AskLocal("garbage" + kNul);
  EXPECT_EQ(world_.blacklist.size(), 0u);
  EXPECT_EQ(AskLocal(R"({"action": "daemon_blacklist_status"})" + kNul),
            DumpJson(kEmptyBlacklist) + kNul);
}

TEST_F(LocalDoorTest, ItStaysOpenWhenTheOtherIsStopped) {
  ASSERT_THAT(ListenLocal(), IsOk());
  Listen();
  std::promise<void> stopped;
  server_->StopListening([&] { stopped.set_value(); });
  stopped.get_future().wait();
  EXPECT_EQ(AskLocal(R"({"action": "daemon_blacklist_status"})" + kNul),
            DumpJson(kEmptyBlacklist) + kNul);
}

TEST_F(LocalDoorTest, ASocketThatIsLeftOverIsReplacedButNothingElse) {
  UniqueFd left(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(left.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  left.Reset();
  ASSERT_THAT(ListenLocal(), IsOk());
  EXPECT_EQ(AskLocal("null" + kNul), "");
}

TEST_F(LocalDoorTest, AFileInItsPlaceIsLeftAlone) {
  world_.dir.Write("lsnr.sock", "precious");
  EXPECT_THAT(ListenLocal(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(world_.dir.Read("lsnr.sock"), "precious");
}

TEST_F(LocalDoorTest, ShutdownTakesItsSocketAway) {
  ASSERT_THAT(ListenLocal(), IsOk());
  std::promise<void> ended;
  server_->Shutdown([&] { ended.set_value(); });
  ASSERT_EQ(ended.get_future().wait_for(kPatience), std::future_status::ready);
  EXPECT_FALSE(Client::Local(path_).connected());
  EXPECT_NE(access(path_.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace om
