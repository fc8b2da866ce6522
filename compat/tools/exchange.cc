#include "compat/tools/exchange.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace om {

absl::Status Connection::WaitFor(short events, absl::string_view doing) const {
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline_ - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      return absl::DeadlineExceededError(absl::StrCat("timed out while ", doing));
    }
    pollfd entry = {fd_.get(), events, 0};
    // Rounded up, else the last fraction of a millisecond is spent spinning.
    const int ready =
        poll(&entry, 1, static_cast<int>(std::min<int64_t>(left.count() + 1, 3'600'000)));
    if (ready > 0) return absl::OkStatus();  // Errors show in the call that follows.
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, doing);
  }
}

absl::Status Connection::Connect(const void* address, size_t address_bytes,
                                 const std::string& name) {
  const std::string doing = absl::StrCat("connecting to ", name);
  while (connect(fd_.get(), static_cast<const sockaddr*>(address),
                 static_cast<socklen_t>(address_bytes)) != 0) {
    if (errno == EINTR) continue;
    // A Unix socket with a full backlog says EAGAIN and has nothing to wait for but time.
    if (errno == EAGAIN) {
      if (std::chrono::steady_clock::now() >= deadline_) {
        return absl::DeadlineExceededError(absl::StrCat("timed out while ", doing));
      }
      poll(nullptr, 0, 20);
      continue;
    }
    if (errno == EISCONN) break;
    if (errno != EINPROGRESS && errno != EALREADY) return ErrnoStatus(errno, doing);
    RETURN_IF_ERROR(WaitFor(POLLOUT, doing));
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error != 0) return ErrnoStatus(error, doing);
    break;
  }
  return absl::OkStatus();
}

absl::StatusOr<Connection> Connection::ToHost(const std::string& host, const std::string& port,
                                              Deadline deadline) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int code = getaddrinfo(host.c_str(), port.c_str(), &hints, &list);
  if (code != 0) {
    return absl::UnavailableError(absl::StrCat("resolving \"", host, "\": ", gai_strerror(code)));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, &freeaddrinfo);
  absl::Status status = absl::UnavailableError(absl::StrCat("\"", host, "\" has no address"));
  for (const addrinfo* info = list; info != nullptr; info = info->ai_next) {
    UniqueFd fd(socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid()) {
      status = ErrnoStatus(errno, "making a socket");
      continue;
    }
    Connection connection(std::move(fd), deadline);
    status = connection.Connect(info->ai_addr, info->ai_addrlen, absl::StrCat(host, ":", port));
    if (status.ok()) return connection;
    if (absl::IsDeadlineExceeded(status)) break;
  }
  return status;
}

absl::StatusOr<Connection> Connection::ToUnixSocket(const std::string& path, Deadline deadline) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("socket path \"", path, "\" has ", path.size(),
                                                   " bytes: expected 1 to ",
                                                   sizeof(address.sun_path) - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "making a socket");
  Connection connection(std::move(fd), deadline);
  RETURN_IF_ERROR(connection.Connect(&address, sizeof(address), path));
  return connection;
}

absl::Status Connection::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (wrote >= 0) {
      bytes.remove_prefix(static_cast<size_t>(wrote));
    } else if (errno == EAGAIN) {
      RETURN_IF_ERROR(WaitFor(POLLOUT, "sending the request"));
    } else if (errno != EINTR) {
      return ErrnoStatus(errno, "sending the request");
    }
  }
  return absl::OkStatus();
}

absl::Status Connection::FinishWriting() {
  if (shutdown(fd_.get(), SHUT_WR) != 0) return ErrnoStatus(errno, "ending the request");
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::string>> Connection::ReadMessage(size_t max_bytes) {
  size_t searched = 0;
  while (true) {
    size_t end = received_.find('\0', searched);
    if (end == 0) {
      received_.erase(0, received_.find_first_not_of('\0'));
      continue;
    }
    if (end != std::string::npos) {
      std::string message = received_.substr(0, end);
      received_.erase(0, end + 1);
      return message;
    }
    searched = received_.size();
    if (received_.size() > max_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the reply is longer than the limit of ", max_bytes, " bytes"));
    }
    char buffer[1 << 16];
    const ssize_t got = recv(fd_.get(), buffer, sizeof(buffer), 0);
    if (got > 0) {
      received_.append(buffer, static_cast<size_t>(got));
    } else if (got == 0) {
      if (received_.empty()) return std::nullopt;
      return std::exchange(received_, std::string());
    } else if (errno == EAGAIN) {
      RETURN_IF_ERROR(WaitFor(POLLIN, "waiting for the reply"));
    } else if (errno != EINTR) {
      return ErrnoStatus(errno, "reading the reply");
    }
  }
}

}  // namespace om
