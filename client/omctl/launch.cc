#include "client/omctl/launch.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/base/status.h"

extern char** environ;

namespace om {
namespace {

constexpr size_t kMaxPidFileBytes = 64;
// What fits the argument of poll, with room to spare; longer waits take several.
constexpr int64_t kMaxPollMs = 1000000;

// Owns what posix_spawn is told.
class SpawnPlan {
 public:
  SpawnPlan() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  posix_spawn_file_actions_t* actions() { return &actions_; }
  posix_spawnattr_t* attributes() { return &attributes_; }

  absl::StatusOr<pid_t> Run(const std::vector<std::string>& arguments) {
    // The signals of a fresh process, whatever the library made of ours.
    sigset_t none;
    sigemptyset(&none);
    sigset_t all;
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setflags(
        &attributes_, static_cast<short>(flags_ | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
    std::vector<char*> argv;
    argv.reserve(arguments.size() + 1);
    for (const std::string& argument : arguments)
      argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    pid_t pid = 0;
    const int error = posix_spawnp(&pid, argv[0], &actions_, &attributes_, argv.data(), environ);
    if (error != 0) return ErrnoStatus(error, absl::StrCat("cannot run '", arguments[0], "'"));
    return pid;
  }

  void SetNewSession() { flags_ |= POSIX_SPAWN_SETSID; }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
  int flags_ = 0;
};

std::string DescribeExit(int wait_status) {
  if (WIFSIGNALED(wait_status)) return absl::StrCat("killed by signal ", WTERMSIG(wait_status));
  return absl::StrCat("exited with status ", WEXITSTATUS(wait_status));
}

// Exit status of a short command whose output does not matter, or shows on our terminal.
absl::StatusOr<int> RunCommand(const std::vector<std::string>& arguments, bool quiet) {
  SpawnPlan plan;
  if (quiet) {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
      posix_spawn_file_actions_addopen(plan.actions(), fd, "/dev/null", O_RDWR, 0);
    }
  }
  ASSIGN_OR_RETURN(const pid_t pid, plan.Run(arguments));
  int wait_status = 0;
  while (waitpid(pid, &wait_status, 0) < 0) {
    if (errno != EINTR) return ErrnoStatus(errno, "cannot wait for a command");
  }
  if (!WIFEXITED(wait_status)) {
    return absl::UnavailableError(absl::StrCat(arguments[0], " was ", DescribeExit(wait_status)));
  }
  return WEXITSTATUS(wait_status);
}

bool IsProgram(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && access(path.c_str(), X_OK) == 0;
}

}  // namespace

bool SystemdUnitInstalled() {
  if (access("/run/systemd/system", F_OK) != 0) return false;
  const absl::StatusOr<int> exit_status =
      RunCommand({"systemctl", "cat", "omd.service"}, /*quiet=*/true);
  return exit_status.ok() && *exit_status == 0;
}

absl::Status StartSystemdUnit() {
  ASSIGN_OR_RETURN(const int exit_status, RunCommand({"systemctl", "start", "omd"}, false));
  if (exit_status == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("'systemctl start omd' ended with status ",
                                             exit_status, "; 'journalctl -u omd' may tell why"));
}

absl::StatusOr<std::string> FindDaemonProgram() {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t length = readlink("/proc/self/exe", buffer.data(), buffer.size() - 1);
  std::string beside;
  if (length > 0) {
    const std::string self(buffer.data(), static_cast<size_t>(length));
    beside = absl::StrCat(self.substr(0, self.rfind('/')), "/omd");
    if (IsProgram(beside)) return beside;
  }
  const char* path = std::getenv("PATH");
  const std::string folders = path == nullptr ? "" : path;
  for (const absl::string_view folder : absl::StrSplit(folders, ':', absl::SkipEmpty())) {
    std::string candidate = absl::StrCat(folder, "/omd");
    if (IsProgram(candidate)) return candidate;
  }
  return absl::NotFoundError(
      absl::StrCat("there is no program 'omd': neither ", beside, " nor in PATH (", folders, ")"));
}

absl::StatusOr<pid_t> SpawnDetached(const std::vector<std::string>& arguments,
                                    const std::string& output_path) {
  // Opened here and not by the child, so that an error has a name.
  const UniqueFd output(open(output_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
  if (!output.valid()) return ErrnoStatus(errno, absl::StrCat("cannot open '", output_path, "'"));
  SpawnPlan plan;
  plan.SetNewSession();
  posix_spawn_file_actions_addopen(plan.actions(), STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(plan.actions(), output.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(plan.actions(), output.get(), STDERR_FILENO);
  posix_spawn_file_actions_addclosefrom_np(plan.actions(), STDERR_FILENO + 1);
  return plan.Run(arguments);
}

std::optional<std::string> HowItEnded(pid_t pid) {
  int wait_status = 0;
  if (waitpid(pid, &wait_status, WNOHANG) != pid) return std::nullopt;
  return DescribeExit(wait_status);
}

bool DaemonLockHeld(const std::string& var) {
  const std::string path = absl::StrCat(var, "/lock/osvcd.lock");
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return false;
  if (flock(fd.get(), LOCK_SH | LOCK_NB) == 0) return false;  // Closing gives it back.
  return errno == EWOULDBLOCK;
}

pid_t PidFileOf(const std::string& var) {
  const absl::StatusOr<FileContent> file =
      ReadFile(absl::StrCat(var, "/osvcd.pid"), kMaxPidFileBytes);
  int32_t pid = 0;
  if (!file.ok() || !absl::SimpleAtoi(absl::StripAsciiWhitespace(file->text), &pid)) return 0;
  return pid;
}

ProcessWatch::ProcessWatch(pid_t pid) : fd_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {}

bool ProcessWatch::WaitGone(MonotonicTime deadline) {
  if (!fd_.valid()) return true;
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd entry{fd_.get(), POLLIN, 0};
    const int ready =
        poll(&entry, 1, static_cast<int>(std::clamp<int64_t>(left.count(), 0, kMaxPollMs)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
    if (std::chrono::steady_clock::now() >= deadline) return false;
  }
}

}  // namespace om
