#include "server/crm/drivers/daemon_client.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "server/base/file.h"
#include "server/base/status.h"

namespace om {

absl::Status DaemonClient::WakeMonitor(absl::string_view path) const {
  return Send({{"action", "wake_monitor"}, {"options", {{"svcpath", std::string(path)}}}}, false);
}

absl::Status DaemonClient::SetServiceMonitor(absl::string_view path, const Json& attributes) const {
  Json options = {{"svcpath", std::string(path)}};
  options.update(attributes);
  return Send({{"action", "set_service_monitor"}, {"options", std::move(options)}}, true);
}

absl::Status DaemonClient::Clear(absl::string_view path) const {
  return Send({{"action", "clear"}, {"options", {{"svcpath", std::string(path)}}}}, true);
}

absl::Status DaemonClient::RunDone(absl::string_view path, absl::string_view action,
                                   const std::vector<std::string>& rids) const {
  Json options = {{"action", std::string(action)}, {"svcpath", std::string(path)}};
  options["rids"] = rids.empty() ? Json() : Json(rids);
  return Send({{"action", "run_done"}, {"options", std::move(options)}}, true);
}

absl::Status DaemonClient::Send(const Json& request, bool wait_for_answer) const {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (socket_path_.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(
        absl::StrCat("socket path \"", socket_path_, "\" is longer than a socket's name may be"));
  }
  memcpy(address.sun_path, socket_path_.data(), socket_path_.size());
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "making a socket");
  // On a Unix socket this either succeeds at once or fails: EAGAIN means a full backlog.
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return absl::UnavailableError(
        absl::StrCat("daemon at \"", socket_path_, "\" not reached: ", strerror(errno)));
  }
  using SteadyClock = std::chrono::steady_clock;
  const SteadyClock::time_point deadline = SteadyClock::now() + limit_;
  const auto wait = [&](int16_t events) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
    pollfd waited = {fd.get(), events, 0};
    return left > 0 && poll(&waited, 1, static_cast<int>(left)) > 0;
  };
  std::string text = DumpJson(request);
  text.push_back('\0');
  size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t count = send(fd.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (count > 0) {
      sent += static_cast<size_t>(count);
    } else if (errno != EINTR && (errno != EAGAIN || !wait(POLLOUT))) {
      return absl::UnavailableError("the daemon does not take the request");
    }
  }
  if (!wait_for_answer) return absl::OkStatus();
  char buffer[4096];
  while (wait(POLLIN)) {
    const ssize_t count = recv(fd.get(), buffer, sizeof buffer, 0);
    // The answer ends in a NUL, or with the connection.
    if (count == 0 || (count > 0 && memchr(buffer, 0, static_cast<size_t>(count)) != nullptr)) {
      return absl::OkStatus();
    }
    if (count < 0 && errno != EAGAIN && errno != EINTR) break;
  }
  return absl::DeadlineExceededError("the daemon does not answer");
}

}  // namespace om
