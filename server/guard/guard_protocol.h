// What passes between omd and omd-guard: fixed records over a SOCK_SEQPACKET Unix socket, one
// request, one reply. Both ends are programs of one build on one host: no byte order, no versions
// but the magic.
#ifndef OM_SERVER_GUARD_GUARD_PROTOCOL_H_
#define OM_SERVER_GUARD_GUARD_PROTOCOL_H_

#include <cstddef>
#include <cstdint>

namespace om {

// Changes with the layout of the records below: a guard of another build is refused, not misread.
inline constexpr uint32_t kGuardMagic = 0x6f6d6731;
// Owned instances that one guard can watch.
inline constexpr uint32_t kGuardMaxInstances = 16384;
// A `may_act_until` further ahead is a mistake of units or clocks, and refused.
inline constexpr int64_t kGuardMaxAheadNs = int64_t{600} * 1000 * 1000 * 1000;
// Exit status of omd-guard when another one guards the same folder.
inline constexpr int kGuardExitSecond = 3;
// Names inside the guard's folder, <var>/omd.
inline constexpr char kGuardSocketName[] = "guard.sock";
inline constexpr char kGuardLockName[] = "guard.lock";
inline constexpr char kGuardLogName[] = "guard.log";

// An owned instance and how to find its processes. Texts end with a zero.
struct GuardInstance {
  // Value of OPENSVC_SVC_ID in the environment of its processes; the key. Never empty.
  char id[64] = {};
  // The object's path: for messages.
  char path[160] = {};
  // Absolute path of the instance's cgroup folder. Empty: it has none.
  char cgroup[192] = {};
  // Process group of the command that acts on the instance now; 0: none.
  int32_t group = 0;
  uint32_t reserved = 0;
  // Start of the group's leader, field 22 of /proc/<pid>/stat. A leader that started at another
  // time leads another group, which is left alone.
  uint64_t group_start = 0;
};

enum class GuardOp : uint32_t {
  kHello = 1,    // Says what is watched and what happened; the only one that needs no epoch.
  kRenew = 2,    // Sets `until_ns`.
  kWatch = 3,    // Adds `instance`, or replaces that with the same id.
  kRelease = 4,  // Forgets the instance with `instance.id`; one that is not watched is no error.
  kList = 5,     // Answers the instance at `index`, in the order of ids; kUnknown past the last.
};

enum class GuardAnswer : uint32_t {
  kOk = 0,
  kStaleEpoch = 1,  // The guard has fired since the sender's hello.
  kLate = 2,        // Nothing is added once `may_act_until` has passed, or before it was ever set.
  kFull = 3,
  kInvalid = 4,
  kUnknown = 5,
};

struct GuardRequest {
  uint32_t magic = kGuardMagic;
  GuardOp op = GuardOp::kHello;
  uint64_t sequence = 0;  // Comes back in the reply.
  uint64_t epoch = 0;     // Of the last hello.
  int64_t until_ns = 0;   // CLOCK_BOOTTIME.
  uint32_t index = 0;
  uint32_t reserved = 0;
  GuardInstance instance;
};

struct GuardReply {
  uint32_t magic = kGuardMagic;
  GuardAnswer answer = GuardAnswer::kOk;
  uint64_t sequence = 0;
  uint64_t epoch = 0;    // Grows by one each time the guard fires.
  int64_t until_ns = 0;  // 0: never set.
  uint32_t instance_count = 0;
  // About the last time it fired.
  uint32_t killed_count = 0;
  uint32_t survivor_count = 0;  // Processes that were left when the bound passed.
  uint32_t reserved = 0;
  int64_t fired_ns = 0;  // When it began to kill; 0: never.
  int64_t done_ns = 0;   // When the last process was seen dead, or the bound passed.
  GuardInstance instance;
};

}  // namespace om

#endif  // OM_SERVER_GUARD_GUARD_PROTOCOL_H_
