// Tells the daemon of this node what has happened, over its local socket.
#ifndef OM_SERVER_CRM_DRIVERS_DAEMON_CLIENT_H_
#define OM_SERVER_CRM_DRIVERS_DAEMON_CLIENT_H_

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/base/json.h"

namespace om {

// Each call makes one connection, sends one request and waits for its answer, at most `limit` in
// all. A daemon that is not there is UNAVAILABLE, which callers may ignore: it reads the files when
// it comes back.
class DaemonClient {
 public:
  explicit DaemonClient(std::string socket_path,
                        std::chrono::milliseconds limit = std::chrono::seconds(1))
      : socket_path_(std::move(socket_path)), limit_(limit) {}

  // There is news in the instance's status.json. Does not wait for the answer.
  absl::Status WakeMonitor(absl::string_view path) const;
  // Sets attributes of the instance's monitor: {"status": "starting"}.
  absl::Status SetServiceMonitor(absl::string_view path, const Json& attributes) const;
  // Failed states and restart counts are to be forgotten.
  absl::Status Clear(absl::string_view path) const;
  // A command of the scheduler has ended. `rids` empty: it was about the whole instance.
  absl::Status RunDone(absl::string_view path, absl::string_view action,
                       const std::vector<std::string>& rids) const;

 private:
  absl::Status Send(const Json& request, bool wait_for_answer) const;

  const std::string socket_path_;
  const std::chrono::milliseconds limit_;
};

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_DAEMON_CLIENT_H_
