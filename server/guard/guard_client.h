// omd's side of omd-guard: starting it, and telling it what is owned and until when.
#ifndef OM_SERVER_GUARD_GUARD_CLIENT_H_
#define OM_SERVER_GUARD_GUARD_CLIENT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/base/file.h"
#include "server/guard/guard_protocol.h"

namespace om {

// CLOCK_BOOTTIME in nanoseconds, the time that `may_act_until` is told in.
int64_t BootNanoseconds();

struct GuardOptions {
  std::string program = "omd-guard";  // Absolute path.
  std::string folder;                 // <var>/omd, which must exist.
  std::string split_action = "stop";  // stop, reboot or crash.
  std::string sysrq_trigger = "/proc/sysrq-trigger";
  // How long the guard kills before it goes on to the split action; whole milliseconds, 1 ms to 10
  // min. Takeover elsewhere waits the lease and this.
  absl::Duration kill_bound = absl::Seconds(5);
};

// Starts a guard in a session of its own, which outlives this process, and returns once it listens.
// ALREADY_EXISTS if the folder has one: attach to that. The caller is the parent of the guard.
absl::Status StartGuard(const GuardOptions& options, absl::Duration timeout);

// How an owned instance's processes are found; see process_killer.h.
struct GuardedInstance {
  std::string id;      // Value of OPENSVC_SVC_ID: 1 to 63 bytes. The key.
  std::string path;    // Up to 159 bytes.
  std::string cgroup;  // Absolute, up to 191 bytes; empty: none.
  // Group of the command that acts on it now, and the start of its leader (field 22 of
  // /proc/<pid>/stat); 0: none.
  int32_t group = 0;
  uint64_t group_start = 0;
};

struct GuardStatus {
  uint64_t epoch = 0;
  int64_t until_ns = 0;  // CLOCK_BOOTTIME; 0: never set.
  uint32_t instance_count = 0;
  // The last time that it fired; 0: never.
  int64_t fired_ns = 0;
  int64_t done_ns = 0;
  uint32_t killed_count = 0;
  uint32_t survivor_count = 0;
};

// A connection to the guard. What was told stays told when the connection or this process ends.
//
// The order of things: Attach, Renew, and Watch before an instance is started; Release after it was
// seen down. When a call fails with FAILED_PRECONDITION and reason GUARD_FIRED the instances have
// been killed meanwhile: attach again, and only renew with a lease that is held anew. While the
// time is past, whatever appears of the watched instances is killed again.
//
// When a call fails with UNAVAILABLE the guard is gone: start another one and tell it everything,
// or stop the instances; nothing stops them otherwise.
//
// Blocks for at most the timeout. One thread at a time.
class GuardClient {
 public:
  // NOT_FOUND if no guard listens in `folder`; FAILED_PRECONDITION if it is of another build;
  // DEADLINE_EXCEEDED if it does not answer in time, which it does not while it kills.
  static absl::StatusOr<GuardClient> Attach(const std::string& folder, absl::Duration timeout);

  // INVALID_ARGUMENT for a time that is not positive or more than 10 min ahead. A time that has
  // passed makes the guard fire.
  absl::Status Renew(int64_t until_ns);
  // Adds or replaces. FAILED_PRECONDITION with reason GUARD_EXPIRED unless the last renewal lies
  // ahead; RESOURCE_EXHAUSTED if too many are watched.
  absl::Status Watch(const GuardedInstance& instance);
  // One that is not watched is no error.
  absl::Status Release(absl::string_view id);
  absl::StatusOr<std::vector<GuardedInstance>> List();

  // As of the last answer.
  const GuardStatus& status() const { return status_; }

 private:
  GuardClient(UniqueFd fd, absl::Duration timeout) : fd_(std::move(fd)), timeout_(timeout) {}
  absl::StatusOr<GuardReply> Ask(GuardRequest request);
  absl::Status Check(const GuardReply& reply, absl::string_view what) const;

  UniqueFd fd_;
  absl::Duration timeout_;
  uint64_t sequence_ = 0;
  uint64_t epoch_ = 0;  // Of the hello: what has happened since is news.
  GuardStatus status_;
};

}  // namespace om

#endif  // OM_SERVER_GUARD_GUARD_CLIENT_H_
