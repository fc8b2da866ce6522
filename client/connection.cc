#include "client/connection.h"

#include <arpa/inet.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security_constants.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/client_interceptor.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/errors.h"
#include "om/control/v1/auth.grpc.pb.h"

namespace om {
namespace {

// Daemons allow a ping each 10 s.
constexpr int kKeepaliveTimeMs = 20000;
constexpr int kKeepaliveTimeoutMs = 10000;
// A local daemon that restarts is back soon; waiting long for the next attempt helps nobody.
constexpr int kFirstReconnectMs = 100;
// For one attempt. The library calls it the least backoff; waits between attempts do not obey it.
constexpr int kAttemptLimitMs = 5000;
constexpr int kLongestReconnectMs = 2000;
// A daemon on this machine answers a connection within this.
constexpr std::chrono::milliseconds kConnectMoment{100};
// The state comes in pages and pieces far below this.
constexpr int kMaxMessageBytes = 16 << 20;
// For the small call that tells what is wrong with a connection.
constexpr std::chrono::seconds kProbeLimit{5};

bool IsLoopback(const std::string& host) {
  if (host == "localhost") return true;
  in_addr v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

// Why a Unix socket cannot be used, from what can be seen without connecting.
std::string WhyNot(const std::string& socket_path) {
  if (access(socket_path.c_str(), F_OK) != 0) {
    if (errno == ENOENT) {
      return "there is no such socket: no daemon runs here ('omctl daemon start' starts one)";
    }
    if (errno == EACCES) return "its folder is not accessible to this user: try as root";
    return "it cannot be looked at";
  }
  if (access(socket_path.c_str(), R_OK | W_OK) != 0 && errno == EACCES) {
    return "this user may not use the socket: try as root, or as a member of its group";
  }
  return "nobody answers there: the daemon has ended or is starting ('omctl daemon start' starts "
         "one)";
}

}  // namespace

InstallPaths PathsBelow(absl::string_view root) {
  if (root.empty()) return {"/var/lib/opensvc", "/var/log/opensvc"};
  const absl::string_view trimmed = absl::StripSuffix(root, "/");
  return {absl::StrCat(trimmed, "/var"), absl::StrCat(trimmed, "/log")};
}

absl::StatusOr<Endpoint> UnixEndpoint(absl::string_view root, const ClientSecurity& security) {
  Endpoint endpoint;
  endpoint.security.token = security.token;
  endpoint.socket_path = absl::StrCat(PathsBelow(root).var, "/lsnr/grpc.sock");
  constexpr size_t kMaxPathLength = sizeof(sockaddr_un::sun_path) - 1;
  if (endpoint.socket_path.size() > kMaxPathLength) {
    return absl::InvalidArgumentError(absl::StrCat("socket path '", endpoint.socket_path, "' has ",
                                                   endpoint.socket_path.size(),
                                                   " bytes, expected at most ", kMaxPathLength));
  }
  endpoint.target = absl::StrCat("unix:", endpoint.socket_path);
  endpoint.text = endpoint.socket_path;
  return endpoint;
}

absl::StatusOr<Endpoint> TcpEndpoint(absl::string_view host_port, const ClientSecurity& security) {
  absl::ConsumePrefix(&host_port, "dns:///");
  const size_t colon = host_port.rfind(':');
  int port = 0;
  if (colon == absl::string_view::npos || !absl::SimpleAtoi(host_port.substr(colon + 1), &port) ||
      port < 1 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("server '", host_port, "': expected <host>:<port>, such as 127.0.0.1:1216"));
  }
  std::string host(host_port.substr(0, colon));
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.empty() || bracketed != (host.find(':') != std::string::npos)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "server '", host_port, "': expected <host>:<port>, with brackets around an IPv6 address"));
  }
  if (!security.uses_tls() && !IsLoopback(host)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "server '", host_port, "' is not on this machine, and without TLS calls",
        security.token.empty() ? " go" : " and the token go",
        " in the clear: expected a loopback address (127.0.0.1, [::1], localhost), or --tls-ca"));
  }
  Endpoint endpoint;
  endpoint.security = security;
  endpoint.target = absl::StrCat("dns:///", host_port);
  endpoint.text = std::string(host_port);
  return endpoint;
}

std::chrono::system_clock::time_point ToSystemTime(MonotonicTime time) {
  if (time == MonotonicTime::max()) return std::chrono::system_clock::time_point::max();
  return std::chrono::system_clock::now() +
         std::chrono::duration_cast<std::chrono::system_clock::duration>(
             time - std::chrono::steady_clock::now());
}

namespace {

// Puts the token into every call, of whichever stub.
class TokenInterceptor final : public grpc::experimental::Interceptor {
 public:
  explicit TokenInterceptor(const std::string* header) : header_(header) {}
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    using Point = grpc::experimental::InterceptionHookPoints;
    if (methods->QueryInterceptionHookPoint(Point::PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->emplace("authorization", *header_);
    }
    methods->Proceed();
  }

 private:
  const std::string* const header_;  // Not owned.
};

class TokenInterceptors final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit TokenInterceptors(absl::string_view token) : header_(absl::StrCat("Bearer ", token)) {}
  // The library deletes it with its call, which the channel outlives.
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo* /*info*/) override {
    return new TokenInterceptor(&header_);
  }

 private:
  const std::string header_;
};

std::shared_ptr<grpc::Channel> MakeChannel(const Endpoint& endpoint) {
  const ClientSecurity& security = endpoint.security;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  // A quiet watch still pings.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstReconnectMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kAttemptLimitMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLongestReconnectMs);
  // Only local addresses are spoken to: no proxy of the environment has a say in it.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Channels with equal arguments would share a connection, and with it its failures.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if (security.uses_tls()) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = security.authority_pem;
    options.pem_cert_chain = security.certificate_pem;
    options.pem_private_key = security.key_pem;
    credentials = grpc::SslCredentials(options);
    if (!security.server_name.empty()) {
      arguments.SetSslTargetNameOverride(security.server_name);
    }
  } else {
    credentials = grpc::InsecureChannelCredentials();
  }
  if (security.token.empty()) {
    return grpc::CreateCustomChannel(endpoint.target, credentials, arguments);
  }
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> creators;
  creators.push_back(std::make_unique<TokenInterceptors>(security.token));
  return grpc::experimental::CreateCustomChannelWithInterceptors(endpoint.target, credentials,
                                                                 arguments, std::move(creators));
}

}  // namespace

Connection::Connection(Endpoint endpoint)
    : endpoint_(std::move(endpoint)), channel_(MakeChannel(endpoint_)) {}

void Connection::TryNow() {
  grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/false);
  if (state == GRPC_CHANNEL_READY) return;
  grpc::experimental::ChannelResetConnectionBackoff(channel_.get());
  const auto end = std::chrono::system_clock::now() + kConnectMoment;
  while ((state = channel_->GetState(/*try_to_connect=*/true)) != GRPC_CHANNEL_READY) {
    if (!channel_->WaitForStateChange(state, end)) return;
  }
}

grpc::Status Connection::Probe(MonotonicTime deadline) {
  grpc::ClientContext context;
  context.set_deadline(
      ToSystemTime(std::min(deadline, std::chrono::steady_clock::now() + kProbeLimit)));
  control::v1::WhoAmIResponse response;
  return control::v1::AuthService::NewStub(channel_)->WhoAmI(&context, {}, &response);
}

absl::Status Connection::WaitReady(MonotonicTime deadline, Patience patience) {
  const auto system_deadline = ToSystemTime(deadline);
  const auto is_connection = [](const grpc::Status& status) {
    return status.error_code() != grpc::StatusCode::UNAVAILABLE ||
           DescribeError(status).from_daemon;
  };
  while (true) {
    const grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/true);
    grpc::Status probed;
    bool refused = state == GRPC_CHANNEL_TRANSIENT_FAILURE && patience == Patience::kUntilRefused;
    if (state == GRPC_CHANNEL_READY) {
      if (!endpoint_.security.uses_tls()) return absl::OkStatus();
      probed = Probe(deadline);
      if (is_connection(probed)) return absl::OkStatus();
      refused = patience == Patience::kUntilRefused;
    }
    if (refused || state == GRPC_CHANNEL_SHUTDOWN ||
        !channel_->WaitForStateChange(state, system_deadline)) {
      std::string why;
      if (endpoint_.socket_path.empty()) {
        if (probed.ok()) probed = Probe(deadline);
        why = ExplainHandshake(probed.error_message(), endpoint_.security);
        if (!why.empty()) {
          absl::StrAppend(&why, " (", Printable(probed.error_message()), ")");
        } else {
          why = "nobody answers there; is omd running, and listener.grpc_port set to this port?";
        }
      } else {
        why = WhyNot(endpoint_.socket_path);
      }
      return absl::UnavailableError(absl::StrCat("no connection to ", endpoint_.text, ": ", why));
    }
  }
}

}  // namespace om
