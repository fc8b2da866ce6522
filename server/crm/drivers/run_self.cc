#include "server/crm/drivers/run_self.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/file.h"
#include "server/base/status.h"

namespace om {
namespace {

struct Running {
  size_t index = 0;
  pid_t pid = -1;
  UniqueFd pidfd;
};

std::vector<char*> Pointers(std::vector<std::string>* strings) {
  std::vector<char*> pointers;
  for (std::string& text : *strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

absl::StatusOr<Running> Start(const SelfRuns& runs, size_t index) {
  std::vector<std::string> argv = {"omcrm", absl::StrCat("--child=", getpid())};
  argv.insert(argv.end(), runs.arguments[index].begin(), runs.arguments[index].end());
  std::vector<std::string> environment = runs.environment;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  int first_closed = STDERR_FILENO + 1;
  if (runs.held_fd >= 0) {
    posix_spawn_file_actions_adddup2(&actions, runs.held_fd, first_closed);
    ++first_closed;
  }
  posix_spawn_file_actions_addclosefrom_np(&actions, first_closed);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes,
                           static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
  Running running;
  running.index = index;
  const int error = posix_spawn(&running.pid, "/proc/self/exe", &actions, &attributes,
                                Pointers(&argv).data(), Pointers(&environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return ErrnoStatus(error, "starting omcrm");
  running.pidfd.Reset(static_cast<int>(syscall(SYS_pidfd_open, running.pid, 0)));
  if (!running.pidfd.valid()) {
    const int pidfd_error = errno;
    kill(running.pid, SIGKILL);
    waitpid(running.pid, nullptr, 0);
    return ErrnoStatus(pidfd_error, "watching omcrm");
  }
  return running;
}

}  // namespace

absl::StatusOr<std::vector<int>> RunSelf(const SelfRuns& runs, Interrupt* interrupt) {
  std::vector<int> codes(runs.arguments.size(), kNotStarted);
  std::vector<Running> running;
  size_t next = 0;
  bool stopping = interrupt->Requested();
  absl::Status failure;
  while (true) {
    while (!stopping && next < codes.size() && running.size() < std::max<size_t>(runs.at_once, 1)) {
      absl::StatusOr<Running> started = Start(runs, next);
      if (!started.ok()) {
        failure = started.status();
        stopping = true;  // Those that run are let end.
        break;
      }
      running.push_back(*std::move(started));
      ++next;
    }
    if (running.empty()) break;
    std::vector<pollfd> waited;
    waited.reserve(running.size() + 1);
    for (const Running& one : running) waited.push_back({one.pidfd.get(), POLLIN, 0});
    if (!stopping) waited.push_back({interrupt->fd(), POLLIN, 0});
    if (poll(waited.data(), waited.size(), -1) < 0 && errno != EINTR) {
      return ErrnoStatus(errno, "waiting for omcrm");
    }
    if (!stopping && interrupt->Requested()) {
      stopping = true;
      for (const Running& one : running) kill(one.pid, SIGTERM);
    }
    for (size_t i = running.size(); i-- > 0;) {
      if ((waited[i].revents & POLLIN) == 0) continue;
      int status = 0;
      if (waitpid(running[i].pid, &status, 0) == running[i].pid) {
        codes[running[i].index] = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  RETURN_IF_ERROR(failure);
  return codes;
}

bool FollowParent(int parent_pid) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  return getppid() == parent_pid;
}

}  // namespace om
