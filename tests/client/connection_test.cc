#include "client/connection.h"

#include "server/base/file.h"
#include "tests/client/fake_daemon.h"
#include "tests/client/soon.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::HasSubstr;

TEST(EndpointTest, SocketIsBelowTheRootOrThePackagedFolder) {
  OM_ASSERT_OK_AND_ASSIGN(const Endpoint packaged, UnixEndpoint(""));
  EXPECT_EQ(packaged.target, "unix:/var/lib/opensvc/lsnr/grpc.sock");
  OM_ASSERT_OK_AND_ASSIGN(const Endpoint rooted, UnixEndpoint("/tmp/n1/"));
  EXPECT_EQ(rooted.target, "unix:/tmp/n1/var/lsnr/grpc.sock");
}

TEST(EndpointTest, SocketPathTooLongForAnAddressIsRefusedWithItsLength) {
  EXPECT_THAT(UnixEndpoint("/" + std::string(87, 'r')), IsOk());
  EXPECT_THAT(UnixEndpoint("/" + std::string(88, 'r')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("108 bytes")));
}

TEST(EndpointTest, OnlyLoopbackServersAreTaken) {
  for (const char* server : {"127.0.0.1:1216", "127.8.8.8:1", "localhost:65535", "[::1]:1216"}) {
    EXPECT_THAT(TcpEndpoint(server), IsOk()) << server;
  }
  for (const char* server :
       {"", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "10.0.0.1:1216", "localhost.evil.org:1",
        "::1:1216", "[127.0.0.1]:1216", "[::2]:1216", "0.0.0.0:1216", ":1216"}) {
    EXPECT_THAT(TcpEndpoint(server), StatusIs(absl::StatusCode::kInvalidArgument)) << server;
  }
}

TEST(ConnectionTest, MissingSocketIsToldAtOnceWithWhatToDo) {
  TempDir root;
  OM_ASSERT_OK_AND_ASSIGN(Endpoint endpoint, UnixEndpoint(root.path()));
  Connection connection(endpoint);
  EXPECT_THAT(connection.WaitReady(Soon(), Connection::Patience::kUntilRefused),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("omctl daemon start")));
}

TEST(ConnectionTest, PatientCallerGetsADaemonThatStartsLater) {
  TempDir root;
  FakeDaemon daemon(root.path());
  OM_ASSERT_OK_AND_ASSIGN(Endpoint endpoint, UnixEndpoint(root.path()));
  Connection connection(endpoint);
  ASSERT_THAT(connection.WaitReady(Soon(), Connection::Patience::kUntilRefused),
              StatusIs(absl::StatusCode::kUnavailable));
  daemon.Start();
  EXPECT_THAT(connection.WaitReady(Soon(), Connection::Patience::kUntilDeadline), IsOk());
}

}  // namespace
}  // namespace om
