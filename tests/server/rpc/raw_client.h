// Plain sockets for tests: clients that say nothing, and descriptors that run out.
#ifndef OM_TESTS_SERVER_RPC_RAW_CLIENT_H_
#define OM_TESTS_SERVER_RPC_RAW_CLIENT_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "server/base/file.h"

namespace om {

// Sockets that are not connected yet: made beforehand where descriptors are about to run out.
UniqueFd NewTcpSocket();
UniqueFd NewUnixSocket();
// Connects to 127.0.0.1, optionally from another loopback address. False on error.
bool ConnectTcp(const UniqueFd& fd, uint16_t port, const char* from = nullptr);
bool ConnectUnix(const UniqueFd& fd, const std::string& path);

// Reads until the peer has closed. False if it has not within the deadline.
bool IsClosedByPeer(const UniqueFd& fd,
                    std::chrono::milliseconds deadline = std::chrono::minutes(2));

// Looks at `condition` again and again until it holds. False if it does not within the deadline.
bool Eventually(const std::function<bool()>& condition,
                std::chrono::milliseconds deadline = std::chrono::minutes(2));

// Takes all descriptors of the process, under a lowered limit, until it is destroyed.
class DescriptorsExhausted {
 public:
  DescriptorsExhausted();
  ~DescriptorsExhausted();
  DescriptorsExhausted(const DescriptorsExhausted&) = delete;
  DescriptorsExhausted& operator=(const DescriptorsExhausted&) = delete;

 private:
  uint64_t old_limit_ = 0;
  std::vector<UniqueFd> taken_;
};

}  // namespace om

#endif  // OM_TESTS_SERVER_RPC_RAW_CLIENT_H_
