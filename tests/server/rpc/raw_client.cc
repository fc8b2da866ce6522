#include "tests/server/rpc/raw_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "gtest/gtest.h"

namespace om {
namespace {

using SteadyClock = std::chrono::steady_clock;

}  // namespace

UniqueFd NewTcpSocket() { return UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }
UniqueFd NewUnixSocket() { return UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

bool ConnectTcp(const UniqueFd& fd, uint16_t port, const char* from) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  if (from != nullptr) {
    if (inet_pton(AF_INET, from, &address.sin_addr) != 1) return false;
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      return false;
    }
  }
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

bool ConnectUnix(const UniqueFd& fd, const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

bool IsClosedByPeer(const UniqueFd& fd, std::chrono::milliseconds deadline) {
  const SteadyClock::time_point end = SteadyClock::now() + deadline;
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - SteadyClock::now()).count();
    if (left <= 0) return false;
    pollfd poller = {fd.get(), POLLIN, 0};
    if (poll(&poller, 1, static_cast<int>(left)) != 1) continue;
    char buffer[4096];
    const ssize_t count = recv(fd.get(), buffer, sizeof(buffer), 0);
    if (count == 0 || (count < 0 && errno != EINTR)) return true;
  }
}

bool Eventually(const std::function<bool()>& condition, std::chrono::milliseconds deadline) {
  const SteadyClock::time_point end = SteadyClock::now() + deadline;
  while (!condition()) {
    if (SteadyClock::now() >= end) return false;
    poll(nullptr, 0, 1);
  }
  return true;
}

DescriptorsExhausted::DescriptorsExhausted() {
  rlimit limit;
  EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  old_limit_ = limit.rlim_cur;
  UniqueFd highest(open("/dev/null", O_RDONLY | O_CLOEXEC));
  limit.rlim_cur = static_cast<rlim_t>(highest.get()) + 16;
  highest.Reset();
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  while (true) {
    UniqueFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) break;
    taken_.push_back(std::move(fd));
  }
  EXPECT_EQ(errno, EMFILE);
}

DescriptorsExhausted::~DescriptorsExhausted() {
  taken_.clear();
  rlimit limit;
  EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = old_limit_;
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

}  // namespace om
