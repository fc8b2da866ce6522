// Finds the processes of watched instances and kills them, with nothing but system calls.
#ifndef OM_SERVER_GUARD_PROCESS_KILLER_H_
#define OM_SERVER_GUARD_PROCESS_KILLER_H_

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "server/guard/guard_state.h"

namespace om {

// One look at the process table after the other, until nothing is left.
//
// A process belongs to a watched instance if its environment has the instance's OPENSVC_SVC_ID (an
// environment is that of the last exec: what a process changes later does not show); if it is in
// the instance's cgroup or in its registered process group; or if it descends from, or is in the
// group or session led by, one that belongs, unless its own environment names another instance.
//
// What belongs is stopped first, as it is found, so that it neither forks nor loses its children to
// init; once a look finds nothing new, all of it is killed.
//
// Large and of fixed size; allocates nothing after Open(). One thread.
class ProcessKiller {
 public:
  // `state` is borrowed and must outlive this object.
  explicit ProcessKiller(const GuardState* state) : state_(state) {}
  ~ProcessKiller();
  ProcessKiller(const ProcessKiller&) = delete;
  ProcessKiller& operator=(const ProcessKiller&) = delete;

  // False, with errno, if there is no /proc.
  bool Open();

  // The process that feeds the guard is never killed, even if it was itself started by an instance.
  // 0: there is none.
  void Spare(pid_t pid);

  struct Result {
    uint32_t killed_count = 0;    // SIGKILLs sent. What hangs in the kernel gets several.
    uint32_t survivor_count = 0;  // Alive in the last look: in a system call that does not end.
  };
  // Kills until two looks in a row found nothing, or `bound_ns` have passed.
  Result KillAll(int64_t bound_ns);

  // CLOCK_BOOTTIME in nanoseconds: it counts the time a suspended machine sleeps, and nobody sets
  // it.
  static int64_t Now();

 private:
  struct Process {
    uint64_t start = 0;  // Ticks since boot: with the pid it names a process for good.
    pid_t pid = 0;
    pid_t parent = 0;
    pid_t group = 0;
    pid_t session = 0;
    bool doomed = false;
    bool other = false;    // Its environment names an instance that is not watched.
    bool stopped = false;  // As seen, before this look's signals.
  };
  enum class Belongs { kNoInstance, kWatched, kOther };
  struct Look {
    uint32_t found = 0;  // Doomed and alive.
    uint32_t fresh = 0;  // Of these, not stopped yet.
    uint32_t killed = 0;
  };

  // Looks at everything once. Stops what is doomed, or kills it.
  Look LookAtAll(bool kill);
  void Add(pid_t pid);
  // Follows descent, groups and sessions, and signals. Empties the table.
  void Judge(bool kill, Look* look);
  bool ReadProcess(int folder, Process* process, bool* has_ended, bool* has_threads);
  Belongs ReadEnvironment(int folder, const char* name);
  Belongs ReadThreads(int folder);
  const Process* Find(pid_t pid) const;
  bool Follows(const Process& process) const;
  bool Signal(const Process& process, int signal);
  void CollectGroups();
  void KillCgroups(Look* look);
  void KillCgroup(int parent, const char* name, int depth, Look* look);

  static constexpr size_t kMaxProcesses = 32768;  // In one go; more are taken in several.
  static constexpr size_t kMaxGroups = 1024;

  struct Group {
    pid_t group = 0;
    uint64_t start = 0;
  };

  const GuardState* const state_;
  int proc_ = -1;
  pid_t self_ = 0;
  Process spared_;
  std::array<Process, kMaxProcesses> processes_;
  size_t process_count_ = 0;
  std::array<Group, kMaxGroups> groups_;
  size_t group_count_ = 0;
  alignas(8) std::array<char, 32768> entries_;
  std::array<char, 65536> text_;
};

}  // namespace om

#endif  // OM_SERVER_GUARD_PROCESS_KILLER_H_
