// The program itself against a server of one connection that says what the test wants.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "compat/wire/crypto.h"
#include "compat/wire/envelope.h"
#include "compat/wire/frame.h"
#include "server/base/file.h"
#include "server/base/random.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kSecret[] = "0123456789abcdef0123456789abcdef";
constexpr char kOtherSecret[] = "fedcba9876543210fedcba9876543210";

Key KeyOf(absl::string_view secret) { return *Key::FromSecret(secret); }

std::string Clear(absl::string_view text) { return absl::StrCat(text, absl::string_view("\0", 1)); }

std::string Sealed(absl::string_view text, absl::string_view secret = kSecret,
                   absl::string_view clustername = "demo") {
  SystemRandom random;
  return Seal(KeyOf(secret), &random, clustername, "node1", text);
}

// Accepts one connection, reads one request, sends `reply`, closes. With `hold` it does not close
// before the client does.
class OneShotServer {
 public:
  explicit OneShotServer(std::string reply, bool hold = false)
      : reply_(std::move(reply)), hold_(hold) {}
  ~OneShotServer() {
    if (listener_.valid()) shutdown(listener_.get(), SHUT_RDWR);  // Should nobody have come.
    if (thread_.joinable()) thread_.join();
  }

  // Returns the port.
  int ListenOnTcp() {
    listener_ = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    Start();
    return ntohs(address.sin_port);
  }

  void ListenOnPath(const std::string& path) {
    listener_ = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    ASSERT_LT(path.size(), sizeof(address.sun_path));
    std::memcpy(address.sun_path, path.data(), path.size());
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    Start();
  }

  // Once the client has ended: what it sent.
  RequestReader& Request() {
    if (thread_.joinable()) thread_.join();
    EXPECT_EQ(request_.state(), RequestReader::State::kComplete);
    return request_;
  }

 private:
  void Start() {
    EXPECT_EQ(listen(listener_.get(), 1), 0);
    thread_ = std::thread([this] { Serve(); });
  }

  void Serve() {
    const UniqueFd peer(accept(listener_.get(), nullptr, nullptr));
    if (!peer.valid()) return;
    char buffer[4096];
    while (request_.state() == RequestReader::State::kNeedMore) {
      const ssize_t got = recv(peer.get(), buffer, sizeof(buffer), 0);
      if (got <= 0) {
        request_.Finish();
      } else {
        request_.Feed(absl::string_view(buffer, static_cast<size_t>(got)));
      }
    }
    absl::string_view left = reply_;
    while (!left.empty()) {
      const ssize_t sent = send(peer.get(), left.data(), left.size(), MSG_NOSIGNAL);
      if (sent <= 0) break;
      left.remove_prefix(static_cast<size_t>(sent));
    }
    while (hold_ && recv(peer.get(), buffer, sizeof(buffer), 0) > 0) {
    }
  }

  const std::string reply_;
  const bool hold_;
  UniqueFd listener_;
  RequestReader request_;
  std::thread thread_;
};

class OmPacketTest : public ::testing::Test {
 protected:
  struct Result {
    int code;
    std::string out;
    std::string err;
  };

  // `arguments` are for the shell. Without --timeout among them it has more time than it needs.
  Result Run(const std::string& arguments, const std::string& input = "") {
    dir_.Write("in", input);
    const char* const patience = absl::StrContains(arguments, "--timeout") ? "" : " --timeout 200";
    const std::string command =
        absl::StrCat("env -u OMD_NODENAME " OM_BIN_DIR "/om-packet ", arguments, patience, " < ",
                     dir_.File("in"), " > ", dir_.File("out"), " 2> ", dir_.File("err"));
    const int status = std::system(command.c_str());
    EXPECT_TRUE(WIFEXITED(status));
    return {WEXITSTATUS(status), dir_.Read("out"), dir_.Read("err")};
  }

  // A root folder of cluster demo whose listener is at `port`.
  std::string Configured(int port) {
    dir_.Write("etc/cluster.conf",
               absl::StrCat("[cluster]\nname = DEMO\nsecret = ", kSecret, "\n"));
    dir_.Write("etc/node.conf", absl::StrCat("[listener]\nport = ", port, "\n"));
    return absl::StrCat("--root ", dir_.path(), " --server 127.0.0.1 --nodename node2 ");
  }

  const TempDir dir_;
};

TEST_F(OmPacketTest, AClearRequestGoesToTheSocketAndTheReplyIsPrinted) {
  OneShotServer server(Clear(R"({"status": 0, "data": {"a": "\u00e9"}})"));
  server.ListenOnPath(dir_.File("s"));
  const Result result =
      Run("--socket " + dir_.File("s") +
          " --action set_service_monitor --method POST --option svcpath=svc1 --option n=5"
          " --option 'l=[\"a,b\", null]' --option 'e=' --option 'q=a=b' --node '[\"n1\"]'");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "{\"status\": 0, \"data\": {\"a\": \"\\u00e9\"}}\n");
  EXPECT_EQ(server.Request().TakeText(),
            R"({"action": "set_service_monitor", "method": "POST", "options": {"svcpath": "svc1", )"
            R"("n": 5, "l": ["a,b", null], "e": "", "q": "a=b"}, "node": ["n1"]})");
}

TEST_F(OmPacketTest, TheSocketIsFoundBelowTheRoot) {
  MakeDirectories(dir_.File("var/lsnr")).IgnoreError();
  OneShotServer server(Clear("{}"));
  server.ListenOnPath(dir_.File("var/lsnr/lsnr.sock"));
  EXPECT_EQ(Run("--action daemon_status --root " + dir_.path()).code, 0);
  EXPECT_EQ(server.Request().TakeText(), R"({"action": "daemon_status"})");
}

TEST_F(OmPacketTest, AnEncryptedRequestCarriesTheConfiguredNames) {
  OneShotServer server(Sealed(R"({"status": 0})"));
  const Result result = Run(Configured(server.ListenOnTcp()) + "--action daemon_status");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "{\"status\": 0}\n");
  OM_ASSERT_OK_AND_ASSIGN(const Envelope envelope, ParseEnvelope(server.Request().TakeText()));
  EXPECT_EQ(envelope.clustername, "demo");
  EXPECT_EQ(envelope.nodename, "node2");
  OM_ASSERT_OK_AND_ASSIGN(const OpenedPacket opened, OpenPacket(KeyOf(kSecret), envelope));
  EXPECT_EQ(opened.text, R"({"action": "daemon_status"})");
}

TEST_F(OmPacketTest, NothingButASecretFileIsNeeded) {
  OneShotServer server(Sealed("{}", kOtherSecret, "home"));
  const int port = server.ListenOnTcp();
  dir_.Write("secret", absl::StrCat(kOtherSecret, "\n"));
  const Result result = Run(absl::StrCat("--root ", dir_.path(), " --server 127.0.0.1:", port,
                                         " --secret-file ", dir_.File("secret"),
                                         " --clustername join --request '{\"action\": \"join\"}'"));
  EXPECT_EQ(result.code, 0) << result.err;
  OM_ASSERT_OK_AND_ASSIGN(const Envelope envelope, ParseEnvelope(server.Request().TakeText()));
  EXPECT_EQ(envelope.clustername, "join");
  OM_ASSERT_OK_AND_ASSIGN(const OpenedPacket opened, OpenPacket(KeyOf(kOtherSecret), envelope));
  EXPECT_EQ(opened.text, R"({"action": "join"})");
}

TEST_F(OmPacketTest, TheExitStatusIsThatOfTheReply) {
  for (const auto& [reply, code] : {std::pair{R"({"status": 1, "error": "no"})", 1},
                                    {R"({"status": 401})", 1},
                                    {R"({"status": "1"})", 1},
                                    {R"({"status": "0"})", 0},
                                    {R"({"nodes": {}})", 0},
                                    {"null", 0},
                                    {"[]", 0},
                                    {"not json", 3}}) {
    SCOPED_TRACE(reply);
    OneShotServer server(Clear(reply));
    server.ListenOnPath(dir_.File("s"));
    const Result result = Run("--action a --socket " + dir_.File("s"));
    EXPECT_EQ(result.code, code);
    EXPECT_EQ(result.out, absl::StrCat(reply, "\n"));
    unlink(dir_.File("s").c_str());
  }
}

TEST_F(OmPacketTest, AReplyThatDoesNotOpenOrIsAStrangersIsNone) {
  OneShotServer wrong_key(Sealed("{}", kOtherSecret));
  Result result = Run(Configured(wrong_key.ListenOnTcp()) + "--action a");
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, HasSubstr("does not open"));
  EXPECT_THAT(result.err, Not(HasSubstr(kSecret)));

  OneShotServer stranger(Sealed("{}", kSecret, "other"));
  result = Run(Configured(stranger.ListenOnTcp()) + "--action a");
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.err, HasSubstr("from cluster \"other\": expected \"demo\""));

  OneShotServer clear(Clear("{}"));
  EXPECT_EQ(Run(Configured(clear.ListenOnTcp()) + "--action a").code, 3);
}

TEST_F(OmPacketTest, NoReplyIsAnErrorOfItsOwn) {
  OneShotServer closing("");
  Result result = Run(Configured(closing.ListenOnTcp()) + "--action a");
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.err, HasSubstr("closed the connection without a reply"));

  // A slow machine may need longer than that to send the request.
  const std::string waited_in_vain = "timed out while waiting for the reply";
  for (int limit_ms = 100; limit_ms < 100'000; limit_ms *= 2) {
    OneShotServer silent("", /*hold=*/true);
    result = Run(
        absl::StrCat(Configured(silent.ListenOnTcp()), "--action a --timeout ", limit_ms / 1000.0));
    if (absl::StrContains(result.err, waited_in_vain)) break;
  }
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.err, HasSubstr(waited_in_vain));

  result = Run("--action a --socket " + dir_.File("nobody"));
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.err, HasSubstr("connecting to"));
}

TEST_F(OmPacketTest, RawBytesGoAsTheyAreAndEndTheStream) {
  OneShotServer server("");
  const std::string port = absl::StrCat(server.ListenOnTcp());
  EXPECT_EQ(
      Run("--root " + dir_.path() + " --raw --server 127.0.0.1:" + port, "dequeue_actions").code,
      3);
  EXPECT_EQ(server.Request().kind(), RawRequestKind::kDequeueActions);

  OneShotServer empty("");
  EXPECT_EQ(Run(Configured(empty.ListenOnTcp()) + "--raw").code, 3);
  EXPECT_EQ(empty.Request().kind(), RawRequestKind::kEmpty);
}

TEST_F(OmPacketTest, StreamedRepliesAreCountedWithoutKeepalives) {
  OneShotServer server(absl::StrCat(Clear("[1]"), Clear(""), Clear(""), Clear("[2]"), Clear("[3]")),
                       /*hold=*/true);
  server.ListenOnPath(dir_.File("s"));
  const Result result = Run("--action events --count 2 --socket " + dir_.File("s"));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "[1]\n[2]\n");

  OneShotServer all(absl::StrCat(Clear("[1]"), Clear("{\"status\": 1}"), "[3]"));
  all.ListenOnPath(dir_.File("t"));
  const Result until_end = Run("--action events --count 0 --socket " + dir_.File("t"));
  EXPECT_EQ(until_end.code, 1) << until_end.err;
  EXPECT_EQ(until_end.out, "[1]\n{\"status\": 1}\n[3]\n");
}

TEST_F(OmPacketTest, ALongReplyArrivesWhole) {
  const std::string reply = absl::StrCat("\"", std::string(3'000'000, 'x'), "\"");
  OneShotServer server(Sealed(reply));
  const Result result = Run(Configured(server.ListenOnTcp()) + "--action a --pretty");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(result.out == reply + "\n");
}

TEST_F(OmPacketTest, PrettyIndents) {
  OneShotServer server(Clear(R"({"a": [1]})"));
  server.ListenOnPath(dir_.File("s"));
  EXPECT_EQ(Run("--action a --pretty --socket " + dir_.File("s")).out,
            "{\n    \"a\": [\n        1\n    ]\n}\n");
}

TEST_F(OmPacketTest, WrongUsageIsToldApartAndExplained) {
  const std::string root = "--root " + dir_.path() + " ";
  const auto expect = [&](const std::string& arguments, const std::string& message) {
    const Result result = Run(root + arguments);
    EXPECT_EQ(result.code, 2) << arguments;
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_THAT(result.err, Not(HasSubstr("tooshort")));
  };
  dir_.Write("short", "tooshort");
  expect("", "nothing to send");
  expect("--action a --request '{}'", "excludes");
  expect("--action a --server h --socket s", "excludes");
  expect("--action a --bogus", "--bogus");
  expect("--action a --option novalue", "expected key=value");
  expect("--action a --timeout 0", "--timeout");
  expect("--request '{'", "--request: not JSON");
  expect("--action a --server h", "no cluster secret");
  expect("--action a --server h --secret-file " + dir_.File("short"), "expected at least 32");
  expect("--action a --server h --secret-file " + dir_.File("none"), "No such file");
  dir_.Write("etc/cluster.conf", absl::StrCat("[cluster]\nsecret = ", kSecret, "\n"));
  expect("--action a --server h", "no cluster name");
  for (const char* server : {"h:0", "h:65536", "h:x", "[::1", "[::1]1", ":1214"}) {
    expect(absl::StrCat("--action a --clustername demo --server '", server, "'"), "--server is");
  }
  EXPECT_EQ(Run("--help").code, 0);
}

}  // namespace
}  // namespace om
