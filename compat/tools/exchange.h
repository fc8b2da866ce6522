// One connection of a packet client: connect, write, read messages, all before one deadline.
// Blocking; for command lines.
#ifndef OM_COMPAT_TOOLS_EXCHANGE_H_
#define OM_COMPAT_TOOLS_EXCHANGE_H_

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/base/file.h"

namespace om {

class Connection {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  // Everything that follows ends by `deadline`, name resolution excepted: DEADLINE_EXCEEDED says
  // during what. Tries each address of `host` in turn; `port` is decimal.
  static absl::StatusOr<Connection> ToHost(const std::string& host, const std::string& port,
                                           Deadline deadline);
  static absl::StatusOr<Connection> ToUnixSocket(const std::string& path, Deadline deadline);

  absl::Status Write(absl::string_view bytes);
  // Ends our side of the stream; the server's stays open.
  absl::Status FinishWriting();

  // The next message: bytes up to a NUL or the end of the stream, without the NUL. Lone NULs are
  // keepalives and are skipped. Nothing at the end of the stream. RESOURCE_EXHAUSTED if the message
  // is longer than `max_bytes`.
  absl::StatusOr<std::optional<std::string>> ReadMessage(size_t max_bytes);

 private:
  Connection(UniqueFd fd, Deadline deadline) : fd_(std::move(fd)), deadline_(deadline) {}

  // Waits until `events`, poll(2)'s, or the deadline; `doing` is for the message.
  absl::Status WaitFor(short events, absl::string_view doing) const;
  absl::Status Connect(const void* address, size_t address_bytes, const std::string& name);

  UniqueFd fd_;
  Deadline deadline_;
  std::string received_;  // Read but not yet given out.
};

}  // namespace om

#endif  // OM_COMPAT_TOOLS_EXCHANGE_H_
