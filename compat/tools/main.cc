// om-packet: sends one legacy packet and prints the reply.
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "compat/tools/exchange.h"
#include "compat/tools/settings.h"
#include "compat/wire/crypto.h"
#include "compat/wire/envelope.h"
#include "compat/wire/reply.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "server/base/random.h"
#include "server/base/status.h"

namespace om {
namespace {

enum ExitCode { kOk = 0, kRefused = 1, kUsage = 2, kNoReply = 3 };

constexpr size_t kMaxReplyBytes = size_t{256} << 20;
constexpr size_t kMaxSecretFileBytes = 4096;
constexpr int kMaxReplyDepth = 256;

constexpr char kDescription[] =
    "Sends one packet of the legacy protocol to a daemon and prints the reply, a JSON document.\n"
    "\n"
    "Without --server the request goes in clear to the daemon's local socket, which is open to "
    "root only.\n"
    "With --server it is encrypted with the cluster's secret, which is read from the configuration "
    "or from a\n"
    "file, never from the command line, where everyone could see it.";

constexpr char kExamples[] =
    "Examples:\n"
    "  om-packet --action daemon_status --pretty\n"
    "      the status of the local daemon, over its socket\n"
    "  om-packet --root /srv/demo --action daemon_blacklist_status\n"
    "      the same daemon's blacklist, for a daemon started with --root /srv/demo\n"
    "  om-packet --root /srv/demo --server 127.0.0.1 --action daemon_status --nodename node1\n"
    "      encrypted, to listener.port of /srv/demo/etc/node.conf, as node1\n"
    "  om-packet --server node2:1214 --secret-file s --clustername demo --action nodes_info\n"
    "      to another node, without any configuration here\n"
    "  om-packet --action set_service_monitor --option svcpath=svc1 --option "
    "global_expect=started\n"
    "      start a service\n"
    "  om-packet --action service_action --node '*' --option svcpath=svc1 --option "
    "'cmd=[\"start\"]'\n"
    "      option values that read as JSON are sent as JSON\n"
    "  om-packet --request '{\"action\": \"events\"}' --count 3 --timeout 60\n"
    "      the first three events\n"
    "  printf dequeue_actions | om-packet --server 127.0.0.1 --raw\n"
    "      bytes as they are, then end of stream\n"
    "\n"
    "Exit status: 0 the reply's status is 0, or it has none; 1 its status is not 0; 2 wrong usage "
    "or\n"
    "configuration; 3 no connection, no reply in time, or one that does not open with the secret.";

struct Arguments {
  std::string server;
  std::string socket;
  std::string root;
  std::string secret_file;
  std::string clustername;
  std::string nodename;
  std::string action;
  std::vector<std::string> options;
  std::string request;
  std::string method;
  std::string node;
  bool raw = false;
  bool pretty = false;
  bool mac = false;
  double timeout_s = 10;
  int count = 1;
};

int Fail(ExitCode code, absl::string_view message) {
  std::cerr << "om-packet: " << message << "\n";
  return code;
}

int Fail(ExitCode code, const absl::Status& status) {
  return Fail(code, absl::string_view(status.message()));
}

Json JsonOrString(const std::string& text) {
  absl::StatusOr<Json> json = ParseJson(text);
  return json.ok() ? *std::move(json) : Json(text);
}

// The text of the request that the arguments describe.
absl::StatusOr<std::string> RequestText(const Arguments& arguments) {
  Json request = Json::object();
  if (!arguments.request.empty()) {
    // Checked so far only that a typing error shows here and not as the daemon's answer.
    RETURN_IF_ERROR(Annotate(ParseJson(arguments.request).status(), "--request"));
    return arguments.request;
  }
  request["action"] = arguments.action;
  if (!arguments.method.empty()) request["method"] = arguments.method;
  if (!arguments.options.empty()) {
    Json& options = request["options"] = Json::object();
    for (const std::string& option : arguments.options) {
      const size_t equals = option.find('=');
      if (equals == 0 || equals == std::string::npos) {
        return absl::InvalidArgumentError(
            absl::StrCat("--option is \"", option, "\": expected key=value"));
      }
      options[option.substr(0, equals)] = JsonOrString(option.substr(equals + 1));
    }
  }
  if (!arguments.node.empty()) request["node"] = JsonOrString(arguments.node);
  return ReplyText(request);
}

struct HostAndPort {
  std::string host;
  std::string port;
};

// "host", "host:port", "[v6]", "[v6]:port", or a bare IPv6 address.
absl::StatusOr<HostAndPort> ParseServer(const std::string& server, uint16_t default_port) {
  HostAndPort result{server, absl::StrCat(default_port)};
  absl::string_view port;
  if (server.front() == '[') {
    const size_t close = server.find(']');
    if (close == std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat("--server is \"", server, "\": missing ]"));
    }
    result.host = server.substr(1, close - 1);
    port = absl::string_view(server).substr(close + 1);
  } else if (const size_t colon = server.find(':');
             colon != std::string::npos && server.find(':', colon + 1) == std::string::npos) {
    result.host = server.substr(0, colon);
    port = absl::string_view(server).substr(colon);
  }
  if (!port.empty()) {
    int number = 0;
    if (port.front() != ':' || !absl::SimpleAtoi(port.substr(1), &number) || number < 1 ||
        number > 65535) {
      return absl::InvalidArgumentError(
          absl::StrCat("--server is \"", server, "\": expected host:port, port 1 to 65535"));
    }
    result.port = absl::StrCat(number);
  }
  if (result.host.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--server is \"", server, "\": no host in it"));
  }
  return result;
}

absl::StatusOr<std::string> ReadSecretFile(const std::string& path) {
  // A shell's <(command) is a pipe.
  ASSIGN_OR_RETURN(FileContent file, ReadFile(path, kMaxSecretFileBytes, AcceptedFiles::kAny));
  // Spaces are part of a secret; the end of the line is the editor's.
  if (!file.text.empty() && file.text.back() == '\n') file.text.pop_back();
  if (!file.text.empty() && file.text.back() == '\r') file.text.pop_back();
  return std::move(file.text);
}

std::string HostName() {
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) != 0) return "localhost";
  return absl::AsciiStrToLower(name);
}

// 0 if the reply says success or nothing about it.
ExitCode CodeOfReply(const Json& reply) {
  if (!reply.is_object()) return kOk;
  const auto status = reply.find("status");
  if (status == reply.end() || *status == 0 || *status == "0") return kOk;
  return kRefused;
}

// How packets to and from the server are encrypted.
struct Encryption {
  Key key;
  std::string clustername;
  std::string nodename;
  bool any_reply_name;  // A name given by hand is not expected back: `join` is answered by another.
};

absl::StatusOr<Encryption> MakeEncryption(const Arguments& arguments,
                                          const ClientSettings& settings) {
  std::string secret = settings.secret;
  if (!arguments.secret_file.empty()) {
    ASSIGN_OR_RETURN(secret, ReadSecretFile(arguments.secret_file));
  }
  if (secret.empty()) {
    return absl::InvalidArgumentError(
        "no cluster secret: give --secret-file, or --root with a configured cluster.secret");
  }
  ASSIGN_OR_RETURN(Key key, Key::FromSecret(secret, /*allow_short_secret=*/true));
  const std::string& name =
      arguments.clustername.empty() ? settings.clustername : arguments.clustername;
  if (name.empty()) {
    return absl::InvalidArgumentError(
        "no cluster name: give --clustername, or --root with a configured cluster.name");
  }
  return Encryption{key, name, arguments.nodename.empty() ? HostName() : arguments.nodename,
                    !arguments.clustername.empty()};
}

absl::StatusOr<std::string> OpenReply(const Encryption& encryption, bool expect_mac,
                                      const std::string& message) {
  ASSIGN_OR_RETURN(const Envelope envelope, ParseEnvelope(message));
  if (envelope.hmac.has_value() ? !CheckMac(encryption.key, envelope) : expect_mac) {
    return absl::UnauthenticatedError(envelope.hmac.has_value()
                                          ? "its MAC is not one of the cluster's secret"
                                          : "it has no MAC, though the request had one");
  }
  if (!encryption.any_reply_name && envelope.clustername != encryption.clustername) {
    return absl::FailedPreconditionError(absl::StrCat("the reply is from cluster \"",
                                                      envelope.clustername, "\": expected \"",
                                                      encryption.clustername, "\""));
  }
  ASSIGN_OR_RETURN(OpenedPacket opened, OpenPacket(encryption.key, envelope, kMaxReplyBytes));
  return std::move(opened.text);
}

int Run(const Arguments& arguments) {
  const absl::StatusOr<ClientSettings> settings = ReadClientSettings(arguments.root);
  if (!settings.ok()) return Fail(kUsage, settings.status());

  std::optional<Encryption> encryption;
  if (!arguments.server.empty()) {
    absl::StatusOr<Encryption> made = MakeEncryption(arguments, *settings);
    // Raw bytes need no secret to be sent; the reply is then printed as it comes.
    if (made.ok()) {
      encryption = *std::move(made);
    } else if (!arguments.raw) {
      return Fail(kUsage, made.status());
    }
  }

  std::string bytes;
  if (arguments.raw) {
    bytes.assign(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  } else {
    absl::StatusOr<std::string> text = RequestText(arguments);
    if (!text.ok()) return Fail(kUsage, text.status());
    SystemRandom random;
    bytes = encryption.has_value() ? Seal(encryption->key, &random, encryption->clustername,
                                          encryption->nodename, *text, kDefaultZlibLevel,
                                          arguments.mac ? PacketMac::kAttached : PacketMac::kNone)
                                   : ClearReply(*std::move(text));
  }

  const auto deadline =
      std::chrono::steady_clock::now() +
      std::chrono::milliseconds(static_cast<int64_t>(std::ceil(arguments.timeout_s * 1000)));
  absl::StatusOr<Connection> connection = absl::UnknownError("");
  if (arguments.server.empty()) {
    connection = Connection::ToUnixSocket(
        arguments.socket.empty() ? settings->socket_path : arguments.socket, deadline);
  } else {
    const absl::StatusOr<HostAndPort> server = ParseServer(arguments.server, settings->port);
    if (!server.ok()) return Fail(kUsage, server.status());
    connection = Connection::ToHost(server->host, server->port, deadline);
  }
  if (!connection.ok()) return Fail(kNoReply, connection.status());
  if (const absl::Status sent = connection->Write(bytes); !sent.ok()) return Fail(kNoReply, sent);
  if (arguments.raw) {
    // The end of the stream completes a request that does not end with NUL.
    if (const absl::Status ended = connection->FinishWriting(); !ended.ok()) {
      return Fail(kNoReply, ended);
    }
  }

  int code = kOk;
  for (int message_count = 0; arguments.count == 0 || message_count < arguments.count;
       ++message_count) {
    absl::StatusOr<std::optional<std::string>> message = connection->ReadMessage(kMaxReplyBytes);
    if (!message.ok()) return Fail(kNoReply, message.status());
    if (!message->has_value()) {
      if (message_count > 0) return code;
      return Fail(kNoReply, "the daemon closed the connection without a reply");
    }
    std::string text = **std::move(message);
    if (encryption.has_value()) {
      absl::StatusOr<std::string> opened = OpenReply(*encryption, arguments.mac, text);
      if (!opened.ok()) return Fail(kNoReply, Annotate(opened.status(), "the reply"));
      text = *std::move(opened);
    }
    const absl::StatusOr<Json> reply = ParseJson(text, kMaxReplyDepth);
    std::cout << (arguments.pretty && reply.ok()
                      ? reply->dump(4, ' ', false, Json::error_handler_t::replace)
                      : text)
              << std::endl;
    if (!reply.ok()) return Fail(kNoReply, Annotate(reply.status(), "the reply"));
    if (const ExitCode this_code = CodeOfReply(*reply); this_code != kOk) code = this_code;
  }
  return code;
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(kDescription, "om-packet");
  app.footer(kExamples);
  auto* server =
      app.add_option("--server", arguments.server,
                     "Where to send an encrypted packet: host, host:port, [v6]:port. The port is "
                     "that of the configuration, or 1214");
  auto* socket =
      app.add_option("--socket", arguments.socket, "Unix socket to send a clear request to");
  app.add_option(
      "--root", arguments.root,
      "Folder whose etc/cluster.conf and etc/node.conf give cluster name, secret and port, and "
      "whose var/lsnr/lsnr.sock is the local socket. Unset: /etc/opensvc, /var/lib/opensvc");
  app.add_option("--secret-file", arguments.secret_file,
                 "File with the cluster's secret instead of the configured one");
  app.add_option("--clustername", arguments.clustername,
                 "Cluster name instead of the configured one; `join` for a node that is no member");
  app.add_option("--nodename", arguments.nodename, "Name of the sender instead of the host's")
      ->envname("OMD_NODENAME");
  auto* action = app.add_option("--action", arguments.action, "Action to request");
  auto* option =
      app.add_option("--option", arguments.options,
                     "Option of the action, key=value, repeatable. A value that is JSON is sent as "
                     "JSON, any other as a string")
          ->expected(1)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
          ->delimiter('\0');
  auto* method = app.add_option("--method", arguments.method, "GET or POST, for names of 2.x");
  auto* node =
      app.add_option("--node", arguments.node, "Node selector: the reply then has a `nodes` key");
  auto* request = app.add_option("--request", arguments.request, "The whole request as JSON");
  auto* raw =
      app.add_flag("--raw", arguments.raw, "Send standard input as it is and end the stream");
  app.add_option("--timeout", arguments.timeout_s, "Seconds for everything")
      ->check(CLI::Range(0.001, 1e6))
      ->capture_default_str();
  app.add_option("--count", arguments.count,
                 "Replies to wait for, for requests that stream; 0: until the daemon closes")
      ->check(CLI::Range(0, 1'000'000'000))
      ->capture_default_str();
  app.add_flag("--pretty", arguments.pretty, "Indent the reply");
  app.add_flag(
         "--mac", arguments.mac,
         "Send a MAC with the encrypted packet, and expect one with the reply: for omd, which "
         "answers so; old agents do not")
      ->needs(server)
      ->excludes(raw);
  server->excludes(socket);
  for (auto* other : {action, option, method, node}) {
    request->excludes(other);
    raw->excludes(other);
  }
  raw->excludes(request);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  if (arguments.action.empty() && arguments.request.empty() && !arguments.raw) {
    return Fail(kUsage, "nothing to send: give --action, --request or --raw (see --help)");
  }
  return Run(arguments);
}

}  // namespace
}  // namespace om

int main(int argc, char** argv) { return om::Main(argc, argv); }
