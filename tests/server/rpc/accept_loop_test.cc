#include "server/rpc/accept_loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/mutex.h"
#include "tests/server/rpc/raw_client.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::HasSubstr;

// Keeps what the loop hands over, as gRPC would, and closes it when told to.
class AcceptLoopTest : public ::testing::Test {
 protected:
  void Start(AcceptLoop::Options options) {
    options.owner_uid = geteuid();
    loop_ = std::make_unique<AcceptLoop>(
        std::move(options),
        [this](UniqueFd fd, const Peer& peer) {
          MutexLock lock(&mutex_);
          held_.push_back({std::move(fd), peer});
        },
        &clock_, &counters_);
    absl::StatusOr<ListenerId> unix_listener = loop_->ListenUnix(path_);
    ASSERT_THAT(unix_listener, IsOk());
    unix_ = *unix_listener;
    absl::StatusOr<ListenerId> tcp_listener = loop_->ListenTcp("127.0.0.1", 0);
    ASSERT_THAT(tcp_listener, IsOk());
    tcp_ = *tcp_listener;
    port_ = loop_->Port(tcp_);
    ASSERT_THAT(loop_->Start(), IsOk());
  }
  size_t HeldCount() {
    MutexLock lock(&mutex_);
    return held_.size();
  }
  Peer HeldPeer(size_t index) {
    MutexLock lock(&mutex_);
    return held_.at(index).second;
  }
  void CloseHeld(size_t index) {
    MutexLock lock(&mutex_);
    held_.erase(held_.begin() + static_cast<ptrdiff_t>(index));
  }
  bool BecomesHeld(size_t count) {
    return Eventually([&] { return HeldCount() == count; });
  }
  // Whether a client gets in, if need be at a later try: one that comes while the loop is still
  // shedding what came before it may be shed too.
  bool GetsIn(const std::function<UniqueFd()>& connect) {
    return Eventually([&] {
      const size_t before = HeldCount();
      const UniqueFd client = connect();
      return Eventually([&] { return HeldCount() > before; }, std::chrono::milliseconds(200));
    });
  }
  UniqueFd TcpClient(const char* from = nullptr) {
    UniqueFd fd = NewTcpSocket();
    EXPECT_TRUE(ConnectTcp(fd, port_, from));
    return fd;
  }
  UniqueFd UnixClient() {
    UniqueFd fd = NewUnixSocket();
    EXPECT_TRUE(ConnectUnix(fd, path_));
    return fd;
  }
  int64_t Count(const char* name) { return counters_.Get(name)->value(); }

  const TempDir dir_;
  const std::string path_ = dir_.File("grpc.sock");
  SystemClock clock_;
  Counters counters_;
  Mutex mutex_;
  std::vector<std::pair<UniqueFd, Peer>> held_;
  ListenerId unix_{};
  ListenerId tcp_{};
  uint16_t port_ = 0;
  std::unique_ptr<AcceptLoop> loop_;
};

TEST_F(AcceptLoopTest, PeersAreIdentified) {
  Start({});
  const UniqueFd local = UnixClient();
  ASSERT_TRUE(BecomesHeld(1));
  const UniqueFd remote = TcpClient("127.0.0.9");
  ASSERT_TRUE(BecomesHeld(2));
  EXPECT_EQ(HeldPeer(0).peer_class, PeerClass::kRoot);
  EXPECT_EQ(HeldPeer(0).uid, geteuid());
  EXPECT_EQ(HeldPeer(0).pid, getpid());
  EXPECT_EQ(HeldPeer(1).peer_class, PeerClass::kGuest);
  EXPECT_EQ(HeldPeer(1).address.ToString(), "127.0.0.9");
}

TEST_F(AcceptLoopTest, AnAddressHasAtMostItsShareAndGetsItBackWhenConnectionsEnd) {
  AcceptLoop::Options options;
  options.max_connections_per_address = 2;
  Start(std::move(options));
  const UniqueFd first = TcpClient();
  const UniqueFd second = TcpClient();
  ASSERT_TRUE(BecomesHeld(2));
  EXPECT_TRUE(IsClosedByPeer(TcpClient()));
  EXPECT_EQ(Count("rpc.accept.refused_address"), 1);

  const UniqueFd other = TcpClient("127.0.0.2");
  ASSERT_TRUE(BecomesHeld(3));

  CloseHeld(0);
  const UniqueFd third = TcpClient();
  ASSERT_TRUE(BecomesHeld(3));
  EXPECT_EQ(loop_->ConnectionCount(), 3);
  EXPECT_EQ(Count("rpc.accept.refused_address"), 1);
}

TEST_F(AcceptLoopTest, ACapHoldsAlthoughDescriptorNumbersAreReusedForOtherFiles) {
  AcceptLoop::Options options;
  options.max_connections_per_address = 1;
  Start(std::move(options));
  const UniqueFd first = TcpClient();
  ASSERT_TRUE(BecomesHeld(1));
  int number = -1;
  {
    MutexLock lock(&mutex_);
    number = held_[0].first.get();
  }
  // The number of the closed connection now names another socket.
  const UniqueFd unrelated = NewTcpSocket();
  ASSERT_EQ(dup3(unrelated.get(), number, O_CLOEXEC), number);
  EXPECT_EQ(loop_->ConnectionCount(), 0);
  const UniqueFd second = TcpClient();
  ASSERT_TRUE(BecomesHeld(2));
  EXPECT_EQ(loop_->ConnectionCount(), 1);
}

TEST_F(AcceptLoopTest, RootStillGetsInWhenOthersHaveTakenAllConnections) {
  AcceptLoop::Options options;
  options.max_connections = 3;
  options.reserved_for_root = 1;
  Start(std::move(options));
  const UniqueFd first = TcpClient("127.0.0.2");
  const UniqueFd second = TcpClient("127.0.0.3");
  ASSERT_TRUE(BecomesHeld(2));
  EXPECT_TRUE(IsClosedByPeer(TcpClient("127.0.0.4")));
  EXPECT_EQ(Count("rpc.accept.refused_total"), 1);
  const UniqueFd operators = UnixClient();
  ASSERT_TRUE(BecomesHeld(3));
  EXPECT_TRUE(IsClosedByPeer(UnixClient()));
  EXPECT_EQ(Count("rpc.accept.refused_total"), 2);
  CloseHeld(0);
  EXPECT_TRUE(GetsIn([this] { return UnixClient(); }));
}

TEST_F(AcceptLoopTest, RootTakesItsReserveFirstAndLocksNobodyOut) {
  AcceptLoop::Options options;
  options.max_connections = 3;
  options.reserved_for_root = 2;
  Start(std::move(options));
  const UniqueFd operators = UnixClient();
  ASSERT_TRUE(BecomesHeld(1));
  const UniqueFd other = TcpClient("127.0.0.2");
  ASSERT_TRUE(BecomesHeld(2));
  EXPECT_TRUE(IsClosedByPeer(TcpClient("127.0.0.3")));
  const UniqueFd more = UnixClient();
  ASSERT_TRUE(BecomesHeld(3));
  EXPECT_EQ(Count("rpc.accept.refused_total"), 1);
}

TEST_F(AcceptLoopTest, ThePolicyHasTheLastWord) {
  AcceptLoop::Options options;
  options.admit = [](const Peer& peer) { return peer.is_unix; };
  Start(std::move(options));
  EXPECT_TRUE(IsClosedByPeer(TcpClient()));
  EXPECT_EQ(Count("rpc.accept.refused_policy"), 1);
  const UniqueFd local = UnixClient();
  EXPECT_TRUE(BecomesHeld(1));
}

TEST_F(AcceptLoopTest, ExhaustedDescriptorsAreSurvivedOnEveryListener) {
  Start({});
  std::vector<UniqueFd> tcp;
  std::vector<UniqueFd> local;
  for (int i = 0; i < 40; ++i) {
    tcp.push_back(NewTcpSocket());
    local.push_back(NewUnixSocket());
  }
  {
    const DescriptorsExhausted exhausted;
    for (int i = 0; i < 40; ++i) {
      ASSERT_TRUE(ConnectTcp(tcp[static_cast<size_t>(i)], port_));
      ASSERT_TRUE(ConnectUnix(local[static_cast<size_t>(i)], path_));
    }
    for (const UniqueFd& fd : tcp) ASSERT_TRUE(IsClosedByPeer(fd));
    for (const UniqueFd& fd : local) ASSERT_TRUE(IsClosedByPeer(fd));
    EXPECT_GE(Count("rpc.accept.descriptors_exhausted"), 2);
    EXPECT_EQ(Count("rpc.accept.shed"), 80);
    EXPECT_EQ(HeldCount(), 0u);
  }
  tcp.clear();
  local.clear();
  EXPECT_TRUE(GetsIn([this] { return TcpClient(); }));
  EXPECT_TRUE(GetsIn([this] { return UnixClient(); }));
}

TEST_F(AcceptLoopTest, AddressesOfBothFamiliesAreListenedOnSideBySide) {
  Start({});
  const absl::StatusOr<ListenerId> listener = loop_->ListenTcp("::1", 0);
  if (!listener.ok()) GTEST_SKIP() << "no IPv6 here: " << listener.status();
  const uint16_t port = loop_->Port(*listener);
  EXPECT_THAT(loop_->ListenTcp("::", port_), IsOk());  // Beside 127.0.0.1 with that port.
  const UniqueFd fd(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 address = {};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  address.sin6_port = htons(port);
  ASSERT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_TRUE(BecomesHeld(1));
  EXPECT_EQ(HeldPeer(0).address.ToString(), "::1");
  EXPECT_EQ(HeldPeer(0).peer_class, PeerClass::kGuest);
}

TEST_F(AcceptLoopTest, AListenerThatRestsIsWokenWithWhatWaits) {
  AcceptLoop::Options options;
  options.min_rest = std::chrono::milliseconds(1);
  options.max_rest = std::chrono::milliseconds(2);
  Start(std::move(options));
  const UniqueFd shed = NewTcpSocket();
  std::vector<UniqueFd> waiting;
  for (int i = 0; i < 3; ++i) waiting.push_back(NewTcpSocket());
  {
    const DescriptorsExhausted exhausted;
    // One after the other: the loop goes on for as long as it lasts.
    ASSERT_TRUE(ConnectTcp(shed, port_));
    ASSERT_TRUE(IsClosedByPeer(shed));
    for (const UniqueFd& fd : waiting) {
      ASSERT_TRUE(ConnectTcp(fd, port_));
      ASSERT_TRUE(IsClosedByPeer(fd));
    }
    EXPECT_EQ(Count("rpc.accept.shed"), 4);
  }
  EXPECT_TRUE(GetsIn([this] { return TcpClient(); }));
}

TEST_F(AcceptLoopTest, AStoppedListenerIsGoneAndItsConnectionsStay) {
  Start({});
  const UniqueFd local = UnixClient();
  ASSERT_TRUE(BecomesHeld(1));
  loop_->StopListening(unix_);
  EXPECT_NE(access(path_.c_str(), F_OK), 0);
  EXPECT_FALSE(ConnectUnix(NewUnixSocket(), path_));
  EXPECT_EQ(loop_->ConnectionCount(), 1);
  loop_->StopListening(unix_);
  loop_->StopListening(tcp_);
  EXPECT_FALSE(ConnectTcp(NewTcpSocket(), port_));
  // A listener may come at any time.
  OM_ASSERT_OK_AND_ASSIGN(unix_, loop_->ListenUnix(path_));
  const UniqueFd again = UnixClient();
  EXPECT_TRUE(BecomesHeld(2));
}

TEST_F(AcceptLoopTest, NothingIsHandedOverAfterShutdown) {
  Start({});
  const UniqueFd local = UnixClient();
  ASSERT_TRUE(BecomesHeld(1));
  loop_->Shutdown();
  loop_->Shutdown();
  EXPECT_FALSE(ConnectUnix(NewUnixSocket(), path_));
  EXPECT_FALSE(ConnectTcp(NewTcpSocket(), port_));
  EXPECT_THAT(loop_->ListenUnix(path_), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_NE(access(path_.c_str(), F_OK), 0);
}

TEST_F(AcceptLoopTest, ASocketFileIsReplacedOnlyWhenNobodyListensOnIt) {
  Start({});
  EXPECT_THAT(loop_->ListenUnix(path_), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                 HasSubstr("another process listens")));
  const std::string plain = dir_.Write("plain", "text");
  EXPECT_THAT(loop_->ListenUnix(plain),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is not one")));
  EXPECT_EQ(dir_.Read("plain"), "text");

  // Left behind: bound once, and its owner is gone.
  const std::string stale = dir_.File("stale");
  {
    AcceptLoop dead(
        {}, [](UniqueFd, const Peer&) {}, &clock_, &counters_);
    ASSERT_THAT(dead.ListenUnix(stale), IsOk());
    ASSERT_EQ(link(stale.c_str(), dir_.File("kept").c_str()), 0);
  }
  ASSERT_EQ(rename(dir_.File("kept").c_str(), stale.c_str()), 0);
  EXPECT_THAT(loop_->ListenUnix(stale, 0600), IsOk());
  struct stat status;
  ASSERT_EQ(stat(stale.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(AcceptLoopTest, BadListenersAreNamedInTheError) {
  Start({});
  EXPECT_THAT(std::string(loop_->ListenTcp("127.0.0.1", port_).status().message()),
              HasSubstr(std::to_string(port_)));
  EXPECT_THAT(std::string(loop_->ListenTcp("192.0.2.77", 0).status().message()),
              HasSubstr("192.0.2.77"));
  EXPECT_THAT(loop_->ListenTcp("localhost", 0),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("localhost")));
  EXPECT_THAT(loop_->ListenUnix(dir_.File(std::string(120, 'x'))),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected 1 to 107")));
  EXPECT_THAT(loop_->ListenUnix(dir_.File("no/such/dir")), ::testing::Not(IsOk()));
}

TEST(AcceptLoopOptionsTest, ValuesOutOfRangeAreNamed) {
  EXPECT_THAT(AcceptLoop::Options().Validate(), IsOk());
  AcceptLoop::Options options;
  options.max_connections = 0;
  EXPECT_THAT(options.Validate(), StatusIs(absl::StatusCode::kInvalidArgument,
                                           HasSubstr("max_connections is 0, expected 1 to 65536")));
  options = AcceptLoop::Options();
  options.reserved_for_root = options.max_connections;
  EXPECT_THAT(options.Validate(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("reserved_for_root")));
  options = AcceptLoop::Options();
  options.min_rest = std::chrono::milliseconds(0);
  EXPECT_THAT(options.Validate(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("min_rest")));
}

}  // namespace
}  // namespace om
