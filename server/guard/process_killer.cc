#include "server/guard/process_killer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace om {
namespace {

constexpr char kIdName[] = "OPENSVC_SVC_ID=";
constexpr size_t kIdNameSize = sizeof(kIdName) - 1;
// More than the kernel lets a program start with.
constexpr size_t kMaxEnvironmentBytes = size_t{8} << 20;
// Looks that only stop before what was found is killed anyway: something keeps forking, or does not
// stop because it hangs in the kernel.
constexpr int kMaxStoppingLooks = 6;
constexpr int kMaxCgroupDepth = 8;
constexpr unsigned kKernelThread = 0x00200000;  // PF_KTHREAD, in the flags of /proc/<pid>/stat.

struct DirectoryEntry {  // linux_dirent64
  uint64_t inode;
  int64_t offset;
  uint16_t size;
  uint8_t type;
  char name[1];
};

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  const int fd_;
};

int OpenFolder(int at, const char* name) {
  return openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

ssize_t ReadOnce(int fd, char* to, size_t size) {
  ssize_t got;
  do {
    got = read(fd, to, size);
  } while (got < 0 && errno == EINTR);
  return got;
}

// The number that `text` starts with; -1 if it is none or too large. `end` points behind it.
int64_t Number(const char* text, const char** end = nullptr) {
  int64_t value = 0;
  const char* at = text;
  for (; *at >= '0' && *at <= '9'; ++at) {
    if (value > (INT64_MAX - 9) / 10) return -1;
    value = value * 10 + (*at - '0');
  }
  if (end != nullptr) *end = at;
  return at == text ? -1 : value;
}

// Decimal digits of a pid and a zero; no allocation, no locale.
void FormatPid(pid_t pid, char (&text)[16]) {
  char reversed[16];
  size_t size = 0;
  do {
    reversed[size++] = static_cast<char>('0' + pid % 10);
    pid /= 10;
  } while (pid > 0);
  for (size_t i = 0; i < size; ++i) text[i] = reversed[size - 1 - i];
  text[size] = 0;
}

// Calls `visit(name, type)` for each entry, with the DT_ constant of its type. `buffer` is used up.
template <size_t N, typename Visit>
void ForEachEntry(int folder, std::array<char, N>* buffer, const Visit& visit) {
  for (;;) {
    const int64_t got = syscall(SYS_getdents64, folder, buffer->data(), buffer->size());
    if (got <= 0) return;
    for (int64_t at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const DirectoryEntry*>(buffer->data() + at);
      visit(entry->name, entry->type);
      at += entry->size;
    }
  }
}

void Pause(int64_t nanoseconds) {
  timespec time = {.tv_sec = 0, .tv_nsec = nanoseconds};
  nanosleep(&time, nullptr);
}

}  // namespace

ProcessKiller::~ProcessKiller() {
  if (proc_ >= 0) close(proc_);
}

int64_t ProcessKiller::Now() {
  timespec time = {};
  clock_gettime(CLOCK_BOOTTIME, &time);
  return int64_t{time.tv_sec} * 1000 * 1000 * 1000 + time.tv_nsec;
}

bool ProcessKiller::Open() {
  self_ = getpid();
  proc_ = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return proc_ >= 0;
}

void ProcessKiller::Spare(pid_t pid) {
  spared_ = Process();
  if (pid <= 0) return;
  char name[16];
  FormatPid(pid, name);
  const Descriptor folder(OpenFolder(proc_, name));
  if (!folder.valid()) return;
  Process process;
  bool ended = false;
  bool threads = false;
  if (!ReadProcess(folder.get(), &process, &ended, &threads)) return;
  process.pid = pid;
  spared_ = process;
}

ProcessKiller::Result ProcessKiller::KillAll(int64_t bound_ns) {
  const int64_t end = Now() + bound_ns;
  Result result;
  int quiet = 0;
  int stopping = 0;
  while (quiet < 2) {
    // The last look before giving up kills, whatever has stopped.
    const bool late = Now() >= end;
    const bool kill = late || stopping >= kMaxStoppingLooks;
    Look look = LookAtAll(kill);
    // Nothing new since all were told to stop: the table is complete, the next signal is the last.
    if (!kill && look.found > 0 && look.fresh == 0) {
      stopping = kMaxStoppingLooks;
      continue;
    }
    stopping = kill ? 0 : stopping + 1;
    result.killed_count += look.killed;
    result.survivor_count = look.found;
    quiet = look.found == 0 ? quiet + 1 : 0;
    if (late) break;
    // What was signalled needs the processor to act on it.
    Pause(1000000);
  }
  return result;
}

ProcessKiller::Look ProcessKiller::LookAtAll(bool kill) {
  Look look;
  CollectGroups();
  process_count_ = 0;
  // The kernel lists processes by ascending pid, so those that fork ahead of us are still met.
  lseek(proc_, 0, SEEK_SET);
  ForEachEntry(proc_, &entries_, [&](const char* name, uint8_t /*type*/) {
    const int64_t pid = Number(name);
    if (pid <= 1 || pid > INT32_MAX) return;
    if (process_count_ == processes_.size()) Judge(kill, &look);
    Add(static_cast<pid_t>(pid));
  });
  Judge(kill, &look);
  KillCgroups(&look);
  return look;
}

void ProcessKiller::Add(pid_t pid) {
  if (pid == self_) return;
  char name[16];
  FormatPid(pid, name);
  // Everything below is about the process that this descriptor stands for, even if its pid goes to
  // another one meanwhile.
  const Descriptor folder(OpenFolder(proc_, name));
  if (!folder.valid()) return;
  Process process;
  bool ended = false;
  bool has_threads = false;
  if (!ReadProcess(folder.get(), &process, &ended, &has_threads)) return;
  process.pid = pid;
  if (ended && !has_threads) return;
  if (pid == spared_.pid && process.start == spared_.start) return;
  const Belongs belongs =
      ended ? ReadThreads(folder.get()) : ReadEnvironment(folder.get(), "environ");
  process.other = belongs == Belongs::kOther;
  process.doomed = belongs == Belongs::kWatched;
  // At once: by the end of this look it might have forked and gone.
  if (process.doomed && !process.stopped) {
    syscall(SYS_pidfd_send_signal, folder.get(), SIGSTOP, nullptr, 0);
  }
  processes_[process_count_++] = process;
}

bool ProcessKiller::ReadProcess(int folder, Process* process, bool* has_ended, bool* has_threads) {
  const Descriptor file(openat(folder, "stat", O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return false;
  char text[1024];
  const ssize_t got = ReadOnce(file.get(), text, sizeof(text) - 1);
  if (got <= 0) return false;
  text[got] = 0;
  // The name in brackets may hold anything, brackets too.
  const char* at = strrchr(text, ')');
  if (at == nullptr || at[1] != ' ') return false;
  at += 2;
  const char state = *at;
  // Fields are numbered from 1; the state is the third. What is negative is of no interest here.
  int64_t fields[23] = {};
  for (int number = 4; number <= 22; ++number) {
    at = strchr(at, ' ');
    if (at == nullptr) return false;
    ++at;
    fields[number] = Number(at);
  }
  if ((static_cast<unsigned>(fields[9]) & kKernelThread) != 0) return false;
  process->parent = static_cast<pid_t>(fields[4]);
  process->group = static_cast<pid_t>(fields[5]);
  process->session = static_cast<pid_t>(fields[6]);
  process->start = static_cast<uint64_t>(fields[22]);
  process->stopped = state == 'T' || state == 't';
  *has_ended = state == 'Z' || state == 'X' || state == 'x';
  *has_threads = fields[20] > 1;
  return true;
}

// The first occurrence of the name counts, as for getenv().
ProcessKiller::Belongs ProcessKiller::ReadEnvironment(int folder, const char* name) {
  const Descriptor file(openat(folder, name, O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return Belongs::kNoInstance;
  enum class Part { kName, kValue, kRest };
  Part part = Part::kName;
  size_t matched = 0;
  char value[sizeof(GuardInstance::id)];
  size_t value_size = 0;
  bool value_fits = true;
  const auto judge = [&] {
    if (value_size == 0) return Belongs::kNoInstance;
    return value_fits && state_->Watches(value, value_size) ? Belongs::kWatched : Belongs::kOther;
  };
  for (size_t total = 0; total < kMaxEnvironmentBytes;) {
    const ssize_t got = ReadOnce(file.get(), text_.data(), text_.size());
    if (got <= 0) break;
    total += static_cast<size_t>(got);
    const char* const end = text_.data() + got;
    for (const char* at = text_.data(); at < end; ++at) {
      if (part == Part::kRest) {
        at = static_cast<const char*>(memchr(at, 0, static_cast<size_t>(end - at)));
        if (at == nullptr) break;
      }
      if (*at == 0) {
        if (part == Part::kValue) return judge();
        part = Part::kName;
        matched = 0;
      } else if (part == Part::kValue) {
        value_fits = value_fits && value_size < sizeof(value);
        if (value_fits) value[value_size++] = *at;
      } else if (*at != kIdName[matched]) {
        part = Part::kRest;
      } else if (++matched == kIdNameSize) {
        part = Part::kValue;
      }
    }
  }
  return part == Part::kValue ? judge() : Belongs::kNoInstance;
}

// The first thread has ended and took its view of the environment with it; the others have theirs.
ProcessKiller::Belongs ProcessKiller::ReadThreads(int folder) {
  const Descriptor tasks(OpenFolder(folder, "task"));
  if (!tasks.valid()) return Belongs::kNoInstance;
  Belongs belongs = Belongs::kNoInstance;
  alignas(8) std::array<char, 4096> buffer;
  ForEachEntry(tasks.get(), &buffer, [&](const char* name, uint8_t /*type*/) {
    if (belongs != Belongs::kNoInstance || Number(name) <= 0) return;
    const Descriptor task(OpenFolder(tasks.get(), name));
    if (task.valid()) belongs = ReadEnvironment(task.get(), "environ");
  });
  return belongs;
}

const ProcessKiller::Process* ProcessKiller::Find(pid_t pid) const {
  const auto end = processes_.begin() + static_cast<ptrdiff_t>(process_count_);
  const auto found = std::lower_bound(processes_.begin(), end, pid,
                                      [](const Process& p, pid_t value) { return p.pid < value; });
  return found != end && found->pid == pid ? &*found : nullptr;
}

bool ProcessKiller::Follows(const Process& process) const {
  for (const pid_t pid : {process.parent, process.group, process.session}) {
    if (pid == process.pid) continue;
    const Process* leader = Find(pid);
    if (leader != nullptr && leader->doomed) return true;
  }
  const auto end = groups_.begin() + static_cast<ptrdiff_t>(group_count_);
  const auto group = std::lower_bound(groups_.begin(), end, process.group,
                                      [](const Group& g, pid_t value) { return g.group < value; });
  if (group == end || group->group != process.group) return false;
  // A pid is not given out again while a group goes by it: only a leader that started at another
  // time says that the registered group is gone.
  const Process* leader = Find(process.group);
  return leader == nullptr || leader->start == group->start;
}

void ProcessKiller::Judge(bool kill, Look* look) {
  // Descent may run against the order of pids, once these have wrapped around.
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < process_count_; ++i) {
      Process& process = processes_[i];
      if (process.doomed || process.other || !Follows(process)) continue;
      process.doomed = true;
      changed = true;
    }
  }
  for (size_t i = 0; i < process_count_; ++i) {
    const Process& process = processes_[i];
    if (!process.doomed) continue;
    ++look->found;
    if (!process.stopped) ++look->fresh;
    if (kill) {
      if (Signal(process, SIGKILL)) ++look->killed;
    } else if (!process.stopped) {
      Signal(process, SIGSTOP);
    }
  }
  process_count_ = 0;
}

bool ProcessKiller::Signal(const Process& process, int signal) {
  char name[16];
  FormatPid(process.pid, name);
  const Descriptor folder(OpenFolder(proc_, name));
  if (!folder.valid()) return false;
  Process now;
  bool ended = false;
  bool has_threads = false;
  if (!ReadProcess(folder.get(), &now, &ended, &has_threads) || now.start != process.start) {
    return false;
  }
  return syscall(SYS_pidfd_send_signal, folder.get(), signal, nullptr, 0) == 0;
}

void ProcessKiller::CollectGroups() {
  group_count_ = 0;
  for (uint32_t i = 0; i < state_->count() && group_count_ < groups_.size(); ++i) {
    const GuardInstance& instance = state_->at(i);
    if (instance.group == 0) continue;
    groups_[group_count_++] = {.group = instance.group, .start = instance.group_start};
  }
  std::sort(groups_.begin(), groups_.begin() + static_cast<ptrdiff_t>(group_count_),
            [](const Group& a, const Group& b) { return a.group < b.group; });
}

void ProcessKiller::KillCgroups(Look* look) {
  for (uint32_t i = 0; i < state_->count(); ++i) {
    const GuardInstance& instance = state_->at(i);
    if (instance.cgroup[0] != 0) KillCgroup(AT_FDCWD, instance.cgroup, 0, look);
  }
}

// Kills what is in the folder and below it. `cgroup.kill` would do it in one stroke, but there is
// no such file in the first hierarchies, and it would not spare anybody.
void ProcessKiller::KillCgroup(int parent, const char* name, int depth, Look* look) {
  const Descriptor folder(OpenFolder(parent, name));
  if (!folder.valid()) return;
  bool spared = false;
  const Descriptor procs(openat(folder.get(), "cgroup.procs", O_RDONLY | O_CLOEXEC));
  if (procs.valid()) {
    // A number that the end of the buffer cuts in two is put together again.
    size_t kept = 0;
    for (;;) {
      const ssize_t got = ReadOnce(procs.get(), text_.data() + kept, text_.size() - 1 - kept);
      if (got <= 0) break;
      size_t size = kept + static_cast<size_t>(got);
      text_[size] = 0;
      const char* at = text_.data();
      for (;;) {
        const char* line = static_cast<const char*>(
            memchr(at, '\n', static_cast<size_t>(text_.data() + size - at)));
        if (line == nullptr) break;
        const int64_t pid = Number(at);
        at = line + 1;
        if (pid == self_ || pid == spared_.pid) spared = true;
        if (pid <= 1 || pid > INT32_MAX || pid == self_ || pid == spared_.pid) continue;
        char pid_name[16];
        FormatPid(static_cast<pid_t>(pid), pid_name);
        const Descriptor process(OpenFolder(proc_, pid_name));
        Process seen;
        bool ended = false;
        bool has_threads = false;
        if (!process.valid() || !ReadProcess(process.get(), &seen, &ended, &has_threads) ||
            (ended && !has_threads)) {
          continue;
        }
        ++look->found;
        ++look->fresh;
        if (syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0) == 0) ++look->killed;
      }
      kept = static_cast<size_t>(text_.data() + size - at);
      memmove(text_.data(), at, kept);
    }
  }
  if (depth == 0 && !spared) {
    const Descriptor all(openat(folder.get(), "cgroup.kill", O_WRONLY | O_CLOEXEC));
    if (all.valid()) {
      (void)!write(all.get(), "1", 1);
    }
  }
  if (depth == kMaxCgroupDepth) return;
  alignas(8) std::array<char, 4096> buffer;
  lseek(folder.get(), 0, SEEK_SET);
  ForEachEntry(folder.get(), &buffer, [&](const char* entry, uint8_t type) {
    if (type != DT_DIR || strcmp(entry, ".") == 0 || strcmp(entry, "..") == 0) return;
    KillCgroup(folder.get(), entry, depth + 1, look);
  });
}

}  // namespace om
