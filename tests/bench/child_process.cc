#include "tests/bench/child_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/base/mutex.h"
#include "server/base/status.h"

namespace om {
namespace {

constexpr size_t kMaxStatBytes = 4096;
constexpr size_t kMaxLineBytes = 4096;

// The children that have not been waited for.
struct Living {
  Mutex mutex;
  std::set<pid_t> pids GUARDED_BY(mutex);
};
Living& AllLiving() {
  static auto* const living = new Living;
  return *living;
}

// User and system time in a stat file of /proc, in seconds.
absl::StatusOr<double> CpuOfStat(const std::string& path, std::string* name) {
  ASSIGN_OR_RETURN(const FileContent content, ReadFile(path, kMaxStatBytes));
  // The name is in parentheses and may hold anything.
  const size_t open = content.text.find('(');
  const size_t close = content.text.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open) {
    return absl::InternalError(absl::StrCat(path, " has no name in parentheses"));
  }
  if (name != nullptr) *name = content.text.substr(open + 1, close - open - 1);
  const std::vector<std::string> fields =
      absl::StrSplit(content.text.substr(close + 1), ' ', absl::SkipEmpty());
  int64_t user = 0;
  int64_t system = 0;
  if (fields.size() < 13 || !absl::SimpleAtoi(fields[11], &user) ||
      !absl::SimpleAtoi(fields[12], &system)) {
    return absl::InternalError(absl::StrCat(path, " has no CPU times"));
  }
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

std::string OwnProgram() {
  std::array<char, 4096> buffer;
  const ssize_t length = readlink("/proc/self/exe", buffer.data(), buffer.size());
  return length > 0 ? std::string(buffer.data(), static_cast<size_t>(length)) : std::string();
}

void DieWithParent() {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have gone before that: then this process belongs to somebody else already, and
  // whoever started it finds its output closed.
  if (getppid() == 1) _exit(1);
}

absl::StatusOr<ChildProcess> ChildProcess::Start(const std::vector<std::string>& argv,
                                                 const std::string& log_path) {
  std::vector<std::string> words = {OwnProgram(), "exec"};
  words.insert(words.end(), argv.begin(), argv.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);

  std::array<int, 2> ends;
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe2");
  UniqueFd output(ends[0]);
  const UniqueFd input(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, input.get(), STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log_path.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0600);
  pid_t pid = -1;
  const int failed =
      posix_spawn(&pid, words[0].c_str(), &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return ErrnoStatus(failed, absl::StrCat("starting ", argv[0]));
  MutexLock lock(&AllLiving().mutex);
  AllLiving().pids.insert(pid);
  return ChildProcess(pid, std::move(output));
}

void ChildProcess::KillAll() {
  MutexLock lock(&AllLiving().mutex);
  for (const pid_t pid : AllLiving().pids) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  AllLiving().pids.clear();
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      output_(std::move(other.output_)),
      read_(std::move(other.read_)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  Kill();
  pid_ = std::exchange(other.pid_, -1);
  output_ = std::move(other.output_);
  read_ = std::move(other.read_);
  return *this;
}

absl::StatusOr<std::string> ChildProcess::ReadLine(std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    const size_t end = read_.find('\n');
    if (end != std::string::npos) {
      std::string line = read_.substr(0, end);
      read_.erase(0, end + 1);
      return line;
    }
    if (read_.size() > kMaxLineBytes) return absl::ResourceExhaustedError("a line without end");
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      return absl::DeadlineExceededError(absl::StrCat("no line from process ", pid_));
    }
    pollfd poll_fd = {output_.get(), POLLIN, 0};
    const int ready = poll(&poll_fd, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "poll");
    if (ready <= 0) continue;
    std::array<char, 512> buffer;
    const ssize_t bytes = read(output_.get(), buffer.data(), buffer.size());
    if (bytes < 0) return ErrnoStatus(errno, "read");
    if (bytes == 0) return absl::UnavailableError(absl::StrCat("process ", pid_, " has ended"));
    read_.append(buffer.data(), static_cast<size_t>(bytes));
  }
}

bool ChildProcess::IsRunning() {
  siginfo_t info = {};
  return pid_ > 0 &&
         waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == 0;
}

void ChildProcess::Kill() {
  if (pid_ <= 0) return;
  MutexLock lock(&AllLiving().mutex);
  AllLiving().pids.erase(pid_);
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

absl::StatusOr<double> ChildProcess::CpuSeconds() const {
  return CpuOfStat(absl::StrCat("/proc/", pid_, "/stat"), nullptr);
}

std::vector<std::pair<std::string, double>> ChildProcess::CpuSecondsByThread() const {
  std::map<std::string, double> seconds;
  const std::string directory = absl::StrCat("/proc/", pid_, "/task");
  DIR* stream = opendir(directory.c_str());
  if (stream == nullptr) return {};
  while (const dirent* entry = readdir(stream)) {
    if (entry->d_name[0] == '.') continue;
    std::string name;
    const absl::StatusOr<double> cpu =
        CpuOfStat(absl::StrCat(directory, "/", entry->d_name, "/stat"), &name);
    if (cpu.ok()) seconds[name] += *cpu;
  }
  closedir(stream);
  return {seconds.begin(), seconds.end()};
}

double OwnCpuSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace om
