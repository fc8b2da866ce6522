#include "server/guard/guard_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

namespace om {
namespace {

constexpr int kRequestsAtOnce = 64;
// How often the instances are looked for after they were killed, until omd is back.
constexpr int64_t kLookAgainNs = int64_t{1000} * 1000 * 1000;
constexpr off_t kMaxLogBytes = off_t{1} << 20;
constexpr int kPriority = 10;
// Places of the listening socket, the signals and the timer before those of connections.
constexpr size_t kFixed = 3;

// A line put together without allocation or locale; what does not fit is cut off.
class Line {
 public:
  Line& operator<<(const char* text) {
    for (; *text != 0; ++text) Put(*text);
    return *this;
  }
  Line& operator<<(int64_t number) {
    char digits[24];
    size_t size = 0;
    uint64_t rest = number < 0 ? 0 - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
    do {
      digits[size++] = static_cast<char>('0' + rest % 10);
      rest /= 10;
    } while (rest > 0);
    if (number < 0) Put('-');
    while (size > 0) Put(digits[--size]);
    return *this;
  }
  void WriteTo(int fd) {
    text_[size_++] = '\n';
    if (fd >= 0) {
      (void)!write(fd, text_, size_);
    }
  }

 private:
  void Put(char c) {
    if (size_ + 1 < sizeof(text_)) text_[size_++] = c;
  }
  char text_[512];
  size_t size_ = 0;
};

// While nothing has to be quick yet.
bool Complain(const char* what) {
  fprintf(stderr, "omd-guard: %s: %s\n", what, strerror(errno));
  return false;
}

void WriteSmallFile(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  (void)!write(fd, text, strlen(text));
  close(fd);
}

void SetTimer(int fd, int64_t at_ns) {
  itimerspec spec = {};
  spec.it_value.tv_sec = at_ns / 1000000000;
  spec.it_value.tv_nsec = at_ns % 1000000000;
  timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, nullptr);
}

}  // namespace

int GuardServer::Run() {
  int exit_status = 1;
  if (!Prepare(&exit_status)) return exit_status;
  std::array<pollfd, kFixed + kMaxConnections> polled;
  for (;;) {
    if (ending_ && state_.count() == 0) return 0;
    ArmTimer(ProcessKiller::Now());
    polled[0] = {.fd = listen_fd_, .events = POLLIN, .revents = 0};
    polled[1] = {.fd = signal_fd_, .events = POLLIN, .revents = 0};
    polled[2] = {.fd = timer_fd_, .events = POLLIN, .revents = 0};
    for (size_t i = 0; i < kMaxConnections; ++i) {
      polled[kFixed + i] = {.fd = connections_[i].fd, .events = POLLIN, .revents = 0};
    }
    if (poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) {
      // Nothing is left to wait with; better too often than never.
      const timespec pause = {.tv_sec = 0, .tv_nsec = 10000000};
      nanosleep(&pause, nullptr);
    }
    // What was sent in time is read before the time is looked at, however late we were woken.
    for (size_t i = 0; i < kMaxConnections; ++i) {
      if (connections_[i].fd >= 0 && polled[kFixed + i].revents != 0) Serve(&connections_[i]);
    }
    if (polled[0].revents != 0) Accept();
    if (polled[1].revents != 0) {
      signalfd_siginfo info;
      if (read(signal_fd_, &info, sizeof(info)) > 0) {
        ending_ = true;
        if (state_.count() > 0) {
          (Line() << "told to end; stays while " << int64_t{state_.count()}
                  << " instances are watched")
              .WriteTo(log_fd_);
        }
      }
    }
    if (polled[2].revents != 0) {
      uint64_t times;
      (void)!read(timer_fd_, &times, sizeof(times));
    }
    const int64_t now_ns = ProcessKiller::Now();
    if (!state_.Expired(now_ns)) continue;
    if (state_.Fire(now_ns)) {
      Fire(now_ns);
    } else if (now_ns >= next_look_ns_) {
      // Somebody, such as an omd that was stopped in the middle of it, may have started one again.
      const ProcessKiller::Result result = killer_.KillAll(options_.kill_bound_ns);
      if (result.killed_count > 0) {
        (Line() << "killed again: " << int64_t{result.killed_count} << " processes")
            .WriteTo(log_fd_);
      }
      next_look_ns_ = ProcessKiller::Now() + kLookAgainNs;
    }
  }
}

bool GuardServer::Prepare(int* exit_status) {
  if (getsid(0) != getpid()) setsid();
  umask(077);
  if (chdir(options_.folder) != 0) return Complain(options_.folder);
  lock_fd_ = open(kGuardLockName, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_fd_ < 0) return Complain(kGuardLockName);
  if (flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) *exit_status = kGuardExitSecond;
    return Complain("another omd-guard has the lock");
  }
  log_fd_ = open(kGuardLogName, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  struct stat about = {};
  if (fstat(log_fd_, &about) == 0 && about.st_size > kMaxLogBytes) {
    (void)!ftruncate(log_fd_, 0);
  }
  if (options_.split_action != SplitAction::kStop) {
    sysrq_fd_ = open(options_.sysrq_trigger, O_WRONLY | O_CLOEXEC);
    if (sysrq_fd_ < 0) return Complain(options_.sysrq_trigger);
  }
  if (!killer_.Open()) return Complain("/proc");
  timer_fd_ = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
  if (timer_fd_ < 0) return Complain("timerfd_create");
  sigset_t signals;
  sigfillset(&signals);
  sigprocmask(SIG_SETMASK, &signals, nullptr);
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  signal_fd_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signal_fd_ < 0) return Complain("signalfd");
  if (!Listen()) return Complain(kGuardSocketName);
  Harden();
  // After that, so that it is scheduled as we are.
  if (options_.split_action != SplitAction::kStop && !StartSplitThread()) {
    return Complain("a second thread");
  }
  // No mount stays busy because of us.
  (void)!chdir("/");
  (Line() << "guards, as process " << int64_t{getpid()}).WriteTo(log_fd_);
  if (options_.ready_fd >= 0) {
    (void)!write(options_.ready_fd, "1", 1);
    close(options_.ready_fd);
  }
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd <= 2 && null >= 0; ++fd) dup2(null, fd);
  return true;
}

bool GuardServer::Listen() {
  listen_fd_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  // Relative to the folder, whose own path may be longer than an address has room for.
  memcpy(address.sun_path, kGuardSocketName, sizeof(kGuardSocketName));
  // Whoever left it is gone: we have the lock.
  unlink(kGuardSocketName);
  return listen_fd_ >= 0 &&
         bind(listen_fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
         listen(listen_fd_, kMaxConnections) == 0;
}

// Each of these helps, and none is a condition: containers do not allow them all.
void GuardServer::Harden() {
  const bool locked = mlockall(MCL_CURRENT | MCL_FUTURE) == 0;
  sched_param priority = {};
  priority.sched_priority = kPriority;
  const bool realtime = sched_setscheduler(0, SCHED_RR, &priority) == 0;
  if (!realtime) setpriority(PRIO_PROCESS, 0, -20);
  WriteSmallFile("/proc/self/oom_score_adj", "-1000");
  (Line() << "memory " << (locked ? "locked" : "not locked") << ", scheduled "
          << (realtime ? "in real time" : "as others are"))
      .WriteTo(log_fd_);
}

bool GuardServer::StartSplitThread() {
  split_timer_fd_ = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC);
  if (split_timer_fd_ < 0) return false;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  // All of it will be locked into memory.
  pthread_attr_setstacksize(&attributes, size_t{256} << 10);
  pthread_t thread;
  errno = pthread_create(&thread, &attributes, &GuardServer::SplitThread, this);
  pthread_attr_destroy(&attributes);
  return errno == 0;
}

// Killing should be over before this timer is. If it hangs, which reading of a process that hangs
// in the kernel can do, the host must not wait.
void* GuardServer::SplitThread(void* server) {
  auto* self = static_cast<GuardServer*>(server);
  for (;;) {
    uint64_t times;
    if (read(self->split_timer_fd_, &times, sizeof(times)) > 0) self->Split();
  }
}

void GuardServer::Split() {
  if (options_.split_action == SplitAction::kStop || split_.exchange(true)) return;
  (void)!write(sysrq_fd_, options_.split_action == SplitAction::kReboot ? "b" : "c", 1);
}

void GuardServer::ArmTimer(int64_t now_ns) {
  int64_t at_ns = 0;  // Never.
  if (state_.count() > 0) {
    at_ns = state_.Expired(now_ns) && state_.fired() ? next_look_ns_ : state_.until_ns();
    // A time of 0 would disarm it.
    if (at_ns <= 0) at_ns = 1;
  }
  SetTimer(timer_fd_, at_ns);
}

void GuardServer::Accept() {
  const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
      (peer.uid != 0 && peer.uid != geteuid())) {
    close(fd);
    return;
  }
  // With all places taken the oldest goes: an omd that hangs does not keep its successor out.
  Connection* place = &connections_[0];
  for (Connection& connection : connections_) {
    if (connection.fd < 0) {
      place = &connection;
      break;
    }
    if (connection.number < place->number) place = &connection;
  }
  Close(place);
  *place = {.fd = fd, .pid = peer.pid, .number = ++accepted_count_};
}

void GuardServer::Close(Connection* connection) {
  if (connection->fd >= 0) close(connection->fd);
  *connection = Connection();
}

void GuardServer::Serve(Connection* connection) {
  for (int i = 0; i < kRequestsAtOnce; ++i) {
    GuardRequest request;
    const ssize_t got = recv(connection->fd, &request, sizeof(request), MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got != sizeof(request)) return Close(connection);
    if (request.op == GuardOp::kHello) killer_.Spare(connection->pid);
    const GuardReply reply = state_.Apply(request, ProcessKiller::Now());
    // Who does not read its replies does not know what is watched either.
    if (send(connection->fd, &reply, sizeof(reply), MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(reply)) {
      return Close(connection);
    }
  }
}

void GuardServer::Fire(int64_t now_ns) {
  split_ = false;
  if (split_timer_fd_ >= 0) SetTimer(split_timer_fd_, now_ns + options_.kill_bound_ns);
  const ProcessKiller::Result result = killer_.KillAll(options_.kill_bound_ns);
  const int64_t done_ns = ProcessKiller::Now();
  state_.Fired(result.killed_count, result.survivor_count, done_ns);
  Split();
  next_look_ns_ = done_ns + kLookAgainNs;
  // Only now: a disk may hang.
  (Line() << "fired " << (now_ns - state_.until_ns()) / 1000
          << " us after may_act_until: " << int64_t{state_.count()} << " instances, "
          << int64_t{result.killed_count} << " processes killed, " << int64_t{result.survivor_count}
          << " left, took " << (done_ns - now_ns) / 1000 << " us")
      .WriteTo(log_fd_);
}

}  // namespace om
