#include "server/rpc/grpc_acceptors.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/rpc/accept_loop.h"
#include "server/rpc/rpc_limits.h"
#include "tests/server/rpc/echo.h"
#include "tests/server/rpc/raw_client.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

extern char** environ;

namespace om {
namespace {

using ::testing::HasSubstr;

constexpr gid_t kTrustedGroup = 4242;

// The echo service behind the accept loop, on a Unix socket and on loopback.
class GrpcAcceptorsTest : public ::testing::Test {
 protected:
  GrpcAcceptorsTest() {
    options_.owner_uid = geteuid();
    options_.trusted_group = kTrustedGroup;
    // The clients here are honest, however slow the machine makes them.
    limits_.handshake_timeout = std::chrono::minutes(2);
  }
  void Start() {
    ASSERT_THAT(options_.Validate(), IsOk());
    ASSERT_THAT(limits_.Validate(), IsOk());
    // Others than root may pass through to the socket.
    ASSERT_EQ(chmod(dir_.path().c_str(), 0755), 0);
    grpc::ServerBuilder builder;
    ConfigureServerBuilder(&builder, limits_);
    builder.RegisterCallbackGenericService(&echo_);
    acceptors_ = std::make_unique<GrpcAcceptors>(&builder, nullptr);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    loop_ = std::make_unique<AcceptLoop>(
        options_,
        [this](UniqueFd fd, const Peer& peer) { acceptors_->HandOver(std::move(fd), peer); },
        &clock_, &counters_);
    ASSERT_THAT(loop_->ListenUnix(path_), IsOk());
    OM_ASSERT_OK_AND_ASSIGN(const ListenerId tcp, loop_->ListenTcp("127.0.0.1", 0));
    port_ = loop_->Port(tcp);
    ASSERT_THAT(loop_->Start(), IsOk());
  }
  void TearDown() override {
    if (loop_ != nullptr) loop_->Shutdown();
    if (server_ != nullptr) {
      server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
      server_->Wait();
    }
  }
  std::string UnixTarget() const { return absl::StrCat("unix:", path_); }
  std::string TcpTarget() const { return absl::StrCat("ipv4:127.0.0.1:", port_); }
  bool BecomesConnectionCount(int count) {
    return Eventually([&] { return loop_->ConnectionCount() == count; });
  }
  int64_t Count(const char* name) { return counters_.Get(name)->value(); }
  // What a process of another user is answered, or its error.
  std::string EchoAsUser(uid_t uid, gid_t gid, gid_t group) {
    int out[2];
    EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    std::string program = absl::StrCat(OM_BIN_DIR, "/echo_as_user");
    std::vector<std::string> arguments = {program, std::to_string(uid), std::to_string(gid),
                                          std::to_string(group), UnixTarget()};
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_t child = -1;
    EXPECT_EQ(posix_spawn(&child, program.c_str(), &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    std::string text;
    char buffer[256];
    ssize_t count;
    while ((count = read(out[0], buffer, sizeof(buffer))) > 0) {
      text.append(buffer, static_cast<size_t>(count));
    }
    close(out[0]);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return text;
  }

  const TempDir dir_;
  const std::string path_ = dir_.File("grpc.sock");
  SystemClock clock_;
  Counters counters_;
  AcceptLoop::Options options_;
  RpcLimits limits_;
  EchoService echo_;
  std::unique_ptr<GrpcAcceptors> acceptors_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<AcceptLoop> loop_;
  uint16_t port_ = 0;
};

TEST_F(GrpcAcceptorsTest, CallsAreAnsweredOnBothListenersAndKnowTheCaller) {
  Start();
  const auto local = NewChannel(UnixTarget());
  const auto remote = NewChannel(TcpTarget());
  // More than once on one connection: the stamp is put on once.
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(CallEcho(local, "hello").text, "root hello");
    EXPECT_EQ(CallEcho(remote, "hello").text, "guest hello");
  }
  EXPECT_EQ(loop_->ConnectionCount(), 2);
}

TEST_F(GrpcAcceptorsTest, FirstCallsThatComeTogetherAllKnowTheCaller) {
  Start();
  for (int round = 0; round < 5; ++round) {
    const auto channel = NewChannel(UnixTarget());
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] { EXPECT_EQ(CallEcho(channel, "x").text, "root x"); });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

TEST_F(GrpcAcceptorsTest, OtherUsersAreToldApartByTheirCredentials) {
  if (geteuid() != 0) GTEST_SKIP() << "becoming another user needs root";
  Start();
  EXPECT_EQ(EchoAsUser(65534, 65534, 65534), "other hello\n");
  EXPECT_EQ(EchoAsUser(65534, kTrustedGroup, 65534), "group hello\n");
  EXPECT_EQ(EchoAsUser(65534, 65534, kTrustedGroup), "group hello\n");
  EXPECT_EQ(EchoAsUser(0, 65534, 65534), "root hello\n");
  EXPECT_TRUE(BecomesConnectionCount(0));
}

TEST_F(GrpcAcceptorsTest, TheCountFollowsConnectionsThatEndOnEitherSide) {
  limits_.idle_timeout = std::chrono::seconds(1);
  Start();
  {
    const auto local = NewChannel(UnixTarget());
    const auto remote = NewChannel(TcpTarget());
    // A connection may become idle before its first call has got through.
    EXPECT_TRUE(CallEcho(local, "x", /*wait_for_ready=*/true).status.ok());
    EXPECT_TRUE(CallEcho(remote, "x", /*wait_for_ready=*/true).status.ok());
    EXPECT_GE(Count("rpc.accept.accepted"), 2);
    // The server ends idle connections.
    EXPECT_TRUE(BecomesConnectionCount(0));
    EXPECT_TRUE(CallEcho(local, "x", /*wait_for_ready=*/true).status.ok());
  }
  // The client has gone.
  EXPECT_TRUE(BecomesConnectionCount(0));
}

TEST_F(GrpcAcceptorsTest, ConnectionsPastTheCapAreRefusedUntilOneEnds) {
  options_.max_connections_per_address = 2;
  Start();
  auto first = NewChannel(TcpTarget());
  const auto second = NewChannel(TcpTarget());
  const auto third = NewChannel(TcpTarget());
  EXPECT_TRUE(CallEcho(first, "x").status.ok());
  EXPECT_TRUE(CallEcho(second, "x").status.ok());
  EXPECT_EQ(CallEcho(third, "x").status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_GE(Count("rpc.accept.refused_address"), 1);
  EXPECT_TRUE(CallEcho(NewChannel(UnixTarget()), "x").status.ok());
  first.reset();
  EXPECT_TRUE(CallEcho(third, "x", /*wait_for_ready=*/true).status.ok());
}

TEST_F(GrpcAcceptorsTest, SilentConnectionsAreDroppedAtTheHandshakeTimeout) {
  limits_.handshake_timeout = std::chrono::milliseconds(500);
  Start();
  const UniqueFd remote = NewTcpSocket();
  const UniqueFd local = NewUnixSocket();
  ASSERT_TRUE(ConnectTcp(remote, port_));
  ASSERT_TRUE(ConnectUnix(local, path_));
  EXPECT_TRUE(IsClosedByPeer(remote));
  EXPECT_TRUE(IsClosedByPeer(local));
  EXPECT_TRUE(BecomesConnectionCount(0));
  // Others are not, unless they are too slow themselves: then they come again.
  EXPECT_TRUE(CallEcho(NewChannel(TcpTarget()), "x", /*wait_for_ready=*/true).status.ok());
}

TEST_F(GrpcAcceptorsTest, ServiceGoesOnWhenDescriptorsRunOutAndRecoversAfterwards) {
  // A descriptor that another thread frees meanwhile lets one of the silent clients in.
  limits_.handshake_timeout = std::chrono::seconds(1);
  Start();
  const auto before = NewChannel(TcpTarget());
  ASSERT_TRUE(CallEcho(before, "x", /*wait_for_ready=*/true).status.ok());
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(BecomesConnectionCount(1));
    std::vector<UniqueFd> remote;
    std::vector<UniqueFd> local;
    for (int i = 0; i < 60; ++i) {
      remote.push_back(NewTcpSocket());
      local.push_back(NewUnixSocket());
    }
    {
      const DescriptorsExhausted exhausted;
      for (const UniqueFd& fd : remote) ASSERT_TRUE(ConnectTcp(fd, port_));
      for (const UniqueFd& fd : local) ASSERT_TRUE(ConnectUnix(fd, path_));
      // Refused, and told so at once.
      for (const UniqueFd& fd : remote) ASSERT_TRUE(IsClosedByPeer(fd));
      for (const UniqueFd& fd : local) ASSERT_TRUE(IsClosedByPeer(fd));
      // Who is in stays in.
      EXPECT_EQ(CallEcho(before, "y").text, "guest y");
    }
    EXPECT_GE(Count("rpc.accept.descriptors_exhausted"), 2 * (round + 1));
    remote.clear();
    local.clear();
    EXPECT_EQ(CallEcho(NewChannel(TcpTarget()), "z", /*wait_for_ready=*/true).text, "guest z");
    EXPECT_EQ(CallEcho(NewChannel(UnixTarget()), "z", /*wait_for_ready=*/true).text, "root z");
  }
}

TEST_F(GrpcAcceptorsTest, CallsInFlightOutliveTheAcceptLoop) {
  Start();
  const auto channel = NewChannel(UnixTarget());
  EXPECT_TRUE(CallEcho(channel, "x").status.ok());
  loop_->Shutdown();
  EXPECT_TRUE(CallEcho(channel, "x").status.ok());
  EXPECT_EQ(CallEcho(NewChannel(UnixTarget()), "x").status.error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GrpcAcceptorsTest, MessagesOverTheLimitAreRefused) {
  limits_.max_message_bytes = 64 << 10;
  Start();
  const auto channel = NewChannel(UnixTarget());
  EXPECT_EQ(CallEcho(channel, std::string(65 << 10, 'x')).status.error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(CallEcho(channel, std::string(60 << 10, 'x')).status.ok());
}

TEST(RpcLimitsTest, ValuesOutOfRangeAreNamed) {
  EXPECT_THAT(RpcLimits().Validate(), IsOk());
  RpcLimits limits;
  limits.max_message_bytes = 10;
  EXPECT_THAT(limits.Validate(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("max_message_bytes is 10, expected 65536 to 67108864 bytes")));
  limits = RpcLimits();
  limits.handshake_timeout = std::chrono::minutes(3);
  EXPECT_THAT(limits.Validate(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("handshake_timeout")));
}

}  // namespace
}  // namespace om
