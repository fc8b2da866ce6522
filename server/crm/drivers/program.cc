#include "server/crm/drivers/program.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/base/file.h"
#include "server/base/status.h"

namespace om {
namespace {

using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kInterruptGrace(5000);
// A program's own output is in the pipe when it ends; this is for what its last children add.
constexpr milliseconds kDrain(50);
constexpr size_t kMaxLineBytes = 4096;
constexpr int kLaunchFailed = 126;
// On this descriptor `omcrm --launch` says why it could not become the program; it closes when it
// does. Whoever looks users up may make it wait; past the limit the program counts as started.
constexpr int kComplaintFd = 3;
constexpr milliseconds kLaunchLimit(10'000);
constexpr size_t kMaxComplaint = 512;

constexpr struct {
  const char* name;
  __rlimit_resource_t resource;
} kLimits[] = {
    {"as", RLIMIT_AS},         {"core", RLIMIT_CORE},   {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},     {"fsize", RLIMIT_FSIZE}, {"memlock", RLIMIT_MEMLOCK},
    {"nofile", RLIMIT_NOFILE}, {"nproc", RLIMIT_NPROC}, {"rss", RLIMIT_RSS},
    {"stack", RLIMIT_STACK},   {"vmem", RLIMIT_AS},
};

absl::StatusOr<std::string> FindInPath(const std::string& program,
                                       const std::vector<std::string>& environment) {
  if (absl::StrContains(program, '/')) {
    if (access(program.c_str(), F_OK) == 0) return program;
    return absl::NotFoundError(absl::StrCat("program \"", program, "\" does not exist"));
  }
  std::string path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (const std::string& variable : environment) {
    if (absl::StartsWith(variable, "PATH=")) path = variable.substr(5);
  }
  for (absl::string_view directory : absl::StrSplit(path, ':', absl::SkipEmpty())) {
    const std::string candidate = absl::StrCat(directory, "/", program);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return absl::NotFoundError(absl::StrCat("program \"", program, "\" is not in PATH (", path, ")"));
}

std::vector<char*> Pointers(std::vector<std::string>* strings) {
  std::vector<char*> pointers;
  for (std::string& text : *strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

struct Running {
  pid_t pid = -1;
  UniqueFd pidfd;
  std::array<UniqueFd, 2> outputs;
};

ProgramResult Reap(const Running& running) {
  ProgramResult result;
  siginfo_t info = {};
  while (waitid(P_PID, static_cast<id_t>(running.pid), &info, WEXITED) != 0 && errno == EINTR) {
  }
  if (info.si_code == CLD_EXITED) {
    result.exit_code = info.si_status;
  } else {
    result.signal = info.si_status;
  }
  return result;
}

int PollTimeout(std::optional<SteadyClock::time_point> deadline) {
  if (!deadline.has_value()) return -1;
  const auto left = std::chrono::ceil<milliseconds>(*deadline - SteadyClock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1'000'000));
}

// What the launcher complained of; empty once it has become the program.
std::string ReadComplaint(int fd) {
  std::string text;
  const SteadyClock::time_point deadline = SteadyClock::now() + kLaunchLimit;
  while (text.size() < kMaxComplaint) {
    pollfd readable = {fd, POLLIN, 0};
    const int ready = poll(&readable, 1, PollTimeout(deadline));
    if (ready == 0) break;
    if (ready < 0) continue;
    char buffer[kMaxComplaint];
    const ssize_t count = read(fd, buffer, sizeof buffer);
    if (count <= 0) break;
    text.append(buffer, static_cast<size_t>(count));
  }
  return text;
}

absl::StatusOr<Running> Spawn(const ProgramSpec& spec, bool with_output) {
  if (spec.argv.empty()) return absl::InvalidArgumentError("empty command");
  ASSIGN_OR_RETURN(std::string path, FindInPath(spec.argv[0], spec.environment));
  std::vector<std::string> argv = spec.argv;
  const bool with_launcher =
      spec.credentials.has_value() || !spec.limits.empty() || spec.umask.has_value();
  if (with_launcher) {
    std::vector<std::string> launch = {"omcrm", "--launch"};
    if (spec.credentials.has_value()) {
      launch.push_back(absl::StrCat("uid=", spec.credentials->uid));
      launch.push_back(absl::StrCat("gid=", spec.credentials->gid));
      launch.push_back(absl::StrCat("user=", spec.credentials->user));
    }
    for (const auto& [name, value] : spec.limits) {
      launch.push_back(absl::StrCat("limit_", name, "=", value));
    }
    if (spec.umask.has_value()) launch.push_back(absl::StrCat("umask=", *spec.umask));
    launch.push_back("--");
    launch.push_back(path);
    launch.insert(launch.end(), argv.begin(), argv.end());
    argv = std::move(launch);
    path = "/proc/self/exe";
  }
  std::vector<std::string> environment = spec.environment;
  if (!spec.working_directory.empty()) {
    struct stat st = {};
    if (stat(spec.working_directory.c_str(), &st) != 0 || !S_ISDIR(st.st_mode)) {
      return absl::NotFoundError(
          absl::StrCat("working directory \"", spec.working_directory, "\" does not exist"));
    }
  }

  Running running;
  std::array<UniqueFd, 2> write_ends;
  UniqueFd complaint;
  UniqueFd complaint_end;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  absl::Status status;
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  for (size_t i = 0; i < 2 && status.ok(); ++i) {
    const int target = i == 0 ? STDOUT_FILENO : STDERR_FILENO;
    if (!with_output) {
      posix_spawn_file_actions_addopen(&actions, target, "/dev/null", O_WRONLY, 0);
      continue;
    }
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
      status = ErrnoStatus(errno, "making a pipe");
      break;
    }
    running.outputs[i].Reset(fds[0]);
    write_ends[i].Reset(fds[1]);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    posix_spawn_file_actions_adddup2(&actions, fds[1], target);
  }
  if (status.ok() && with_launcher) {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) == 0) {
      complaint.Reset(fds[0]);
      complaint_end.Reset(fds[1]);
      // The last one: the descriptors above have been taken from what it replaces.
      posix_spawn_file_actions_adddup2(&actions, fds[1], kComplaintFd);
    } else {
      status = ErrnoStatus(errno, "making a pipe");
    }
  }
  if (status.ok()) {
    posix_spawn_file_actions_addclosefrom_np(&actions,
                                             with_launcher ? kComplaintFd + 1 : STDERR_FILENO + 1);
    if (!spec.working_directory.empty()) {
      posix_spawn_file_actions_addchdir_np(&actions, spec.working_directory.c_str());
    }
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(
        &attributes,
        static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID));
    const int error = posix_spawn(&running.pid, path.c_str(), &actions, &attributes,
                                  Pointers(&argv).data(), Pointers(&environment).data());
    if (error != 0) status = ErrnoStatus(error, absl::StrCat("starting \"", spec.argv[0], "\""));
  }
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  RETURN_IF_ERROR(status);
  running.pidfd.Reset(static_cast<int>(syscall(SYS_pidfd_open, running.pid, 0)));
  if (!running.pidfd.valid()) {
    const int error = errno;
    kill(-running.pid, SIGKILL);
    waitpid(running.pid, nullptr, 0);
    return ErrnoStatus(error, absl::StrCat("watching \"", spec.argv[0], "\""));
  }
  if (with_launcher) {
    complaint_end.Reset();
    if (const std::string why = ReadComplaint(complaint.get()); !why.empty()) {
      Reap(running);
      return absl::FailedPreconditionError(absl::StrCat("starting \"", spec.argv[0], "\": ", why));
    }
  }
  return running;
}

// Cuts output into lines, up to the limit on the whole of it.
class LineReader {
 public:
  LineReader(int stream, const std::function<void(int, absl::string_view)>* on_line)
      : stream_(stream), on_line_(on_line) {}

  // False once the other side has closed.
  bool ReadAvailable(int fd, size_t* budget) {
    char buffer[8192];
    for (int rounds = 0; rounds < 64; ++rounds) {  // Then the caller looks at its deadlines.
      const ssize_t count = read(fd, buffer, sizeof buffer);
      if (count < 0) return errno == EAGAIN || errno == EINTR;
      if (count == 0) return false;
      Take(absl::string_view(buffer, std::min(static_cast<size_t>(count), *budget)));
      if (*budget > 0 && static_cast<size_t>(count) >= *budget) truncated_ = true;
      *budget -= std::min(static_cast<size_t>(count), *budget);
    }
    return true;
  }
  void Finish() {
    if (!partial_.empty()) (*on_line_)(stream_, partial_);
    if (truncated_) (*on_line_)(stream_, "... the rest of the output is not logged");
  }

 private:
  void Take(absl::string_view text) {
    for (const char c : text) {
      if (c == '\n' || partial_.size() >= kMaxLineBytes) {
        (*on_line_)(stream_, partial_);
        partial_.clear();
      }
      if (c != '\n') partial_.push_back(c);
    }
  }
  const int stream_;
  const std::function<void(int, absl::string_view)>* const on_line_;  // Not owned.
  std::string partial_;
  bool truncated_ = false;
};

}  // namespace

std::string ProgramResult::Describe() const {
  if (timed_out) return "stopped at its timeout";
  if (signal != 0) return absl::StrCat("killed by signal ", signal);
  return absl::StrCat("exit code ", exit_code);
}

absl::StatusOr<Credentials> FindCredentials(absl::string_view user, absl::string_view group) {
  uid_t number = 0;
  const std::string name(user);
  const struct passwd* entry = getpwnam(name.c_str());
  if (entry == nullptr && absl::SimpleAtoi(user, &number)) entry = getpwuid(number);
  if (entry == nullptr) return absl::NotFoundError(absl::StrCat("user \"", user, "\" is unknown"));
  Credentials credentials{entry->pw_uid, entry->pw_gid, entry->pw_name, entry->pw_dir};
  if (!group.empty()) {
    gid_t gid = 0;
    const struct group* found = getgrnam(std::string(group).c_str());
    if (found != nullptr) {
      gid = found->gr_gid;
    } else if (!absl::SimpleAtoi(group, &gid)) {
      return absl::NotFoundError(absl::StrCat("group \"", group, "\" is unknown"));
    }
    credentials.gid = gid;
  }
  return credentials;
}

absl::StatusOr<Credentials> FindCredentials(uid_t uid) {
  const struct passwd* entry = getpwuid(uid);
  if (entry == nullptr) return absl::NotFoundError(absl::StrCat("user ", uid, " is unknown"));
  return Credentials{entry->pw_uid, entry->pw_gid, entry->pw_name, entry->pw_dir};
}

absl::StatusOr<ProgramResult> RunProgram(const ProgramSpec& spec, Interrupt* interrupt) {
  ASSIGN_OR_RETURN(Running running, Spawn(spec, static_cast<bool>(spec.on_line)));
  std::optional<SteadyClock::time_point> deadline;
  const SteadyClock::time_point start = SteadyClock::now();
  if (spec.timeout.has_value()) deadline = start + *spec.timeout;
  bool timed_out = false;
  bool interrupted = false;
  bool ended = false;
  size_t budget = kMaxOutputBytes;
  std::array<LineReader, 2> readers{LineReader(1, &spec.on_line), LineReader(2, &spec.on_line)};
  ProgramResult result;
  while (true) {
    // Negative descriptors are ignored by poll.
    pollfd fds[4] = {{ended ? -1 : running.pidfd.get(), POLLIN, 0},
                     {running.outputs[0].get(), POLLIN, 0},
                     {running.outputs[1].get(), POLLIN, 0},
                     {interrupted ? -1 : interrupt->fd(), POLLIN, 0}};
    if (poll(fds, 4, PollTimeout(deadline)) < 0 && errno != EINTR) {
      return ErrnoStatus(errno, "waiting for a program");
    }
    for (size_t i = 0; i < 2; ++i) {
      if (fds[i + 1].revents == 0) continue;
      if (!readers[i].ReadAvailable(running.outputs[i].get(), &budget)) running.outputs[i].Reset();
    }
    if (!ended && fds[0].revents != 0) {
      // Not reaped yet, so its group is surely still this one.
      if (timed_out || interrupted) kill(-running.pid, SIGKILL);
      result = Reap(running);
      ended = true;
      deadline = SteadyClock::now() + kDrain;
    }
    const bool open = running.outputs[0].valid() || running.outputs[1].valid();
    if (ended && (!open || SteadyClock::now() >= *deadline)) break;
    if (ended) continue;
    if (!interrupted && interrupt->Requested()) {
      interrupted = true;
      kill(-running.pid, SIGTERM);
      deadline = SteadyClock::now() + kInterruptGrace;
    }
    if (deadline.has_value() && SteadyClock::now() >= *deadline) {
      if (interrupted || timed_out) {
        kill(-running.pid, SIGKILL);
        deadline.reset();
      } else {
        timed_out = true;
        kill(-running.pid, SIGTERM);
        deadline = start + 2 * *spec.timeout;
      }
    }
  }
  if (spec.on_line) {
    for (LineReader& reader : readers) reader.Finish();
  }
  result.timed_out = timed_out;
  if (interrupted) return interrupt->ToStatus();
  return result;
}

absl::StatusOr<std::optional<ProgramResult>> LaunchProgram(const ProgramSpec& spec,
                                                           milliseconds settle,
                                                           Interrupt* interrupt) {
  ASSIGN_OR_RETURN(const Running running, Spawn(spec, /*with_output=*/false));
  const SteadyClock::time_point deadline = SteadyClock::now() + settle;
  while (true) {
    pollfd fds[2] = {{running.pidfd.get(), POLLIN, 0}, {interrupt->fd(), POLLIN, 0}};
    poll(fds, 2, PollTimeout(deadline));
    if (fds[0].revents != 0) return std::optional<ProgramResult>(Reap(running));
    if (interrupt->Requested()) {
      kill(-running.pid, SIGTERM);
      return interrupt->ToStatus();
    }
    if (SteadyClock::now() >= deadline) return std::optional<ProgramResult>();
  }
}

absl::StatusOr<std::vector<std::string>> SplitShellWords(absl::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote == '\'') {
      if (c == quote) {
        quote = 0;
      } else {
        word.push_back(c);
      }
    } else if (c == '\\') {
      if (i + 1 == text.size()) {
        return absl::InvalidArgumentError("a command line must not end in a backslash");
      }
      const char next = text[++i];
      // Inside double quotes a backslash only escapes what means something there.
      if (quote == '"' && next != '"' && next != '\\') word.push_back('\\');
      word.push_back(next);
      in_word = true;
    } else if (quote == '"') {
      if (c == quote) {
        quote = 0;
      } else {
        word.push_back(c);
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (absl::ascii_isspace(static_cast<unsigned char>(c))) {
      if (in_word) words.push_back(std::move(word));
      word.clear();
      in_word = false;
    } else {
      word.push_back(c);
      in_word = true;
    }
  }
  if (quote != 0) return absl::InvalidArgumentError("a quote in a command line is not closed");
  if (in_word) words.push_back(std::move(word));
  return words;
}

absl::StatusOr<std::vector<std::string>> CommandWords(absl::string_view command) {
  for (absl::string_view word :
       absl::StrSplit(command, absl::ByAnyChar(" \t\r\n"), absl::SkipEmpty())) {
    if (word == "|" || word == "||" || word == "&&" || absl::EndsWith(word, ";")) {
      return std::vector<std::string>{"/bin/sh", "-c", std::string(command)};
    }
  }
  ASSIGN_OR_RETURN(std::vector<std::string> words, SplitShellWords(command));
  if (words.empty()) return absl::InvalidArgumentError("empty command");
  return words;
}

int LaunchMain(int argc, char** argv) {
  (void)fcntl(kComplaintFd, F_SETFD, FD_CLOEXEC);
  const auto fail = [](const std::string& what, const char* capability = nullptr) {
    const int error = errno;
    std::string text = absl::StrCat(what, ": ", strerror(error));
    if (error == EPERM && capability != nullptr) absl::StrAppend(&text, "; omd lacks ", capability);
    (void)!write(kComplaintFd, text.data(), text.size());
    return kLaunchFailed;
  };
  std::optional<uid_t> uid;
  gid_t gid = 0;
  std::string user;
  int i = 2;
  for (; i < argc && absl::string_view(argv[i]) != "--"; ++i) {
    const std::pair<absl::string_view, absl::string_view> option =
        absl::StrSplit(argv[i], absl::MaxSplits('=', 1));
    int64_t value = 0;
    if (option.first == "user") {
      user = std::string(option.second);
      continue;
    }
    if (!absl::SimpleAtoi(option.second, &value)) return kLaunchFailed;
    if (option.first == "uid") uid = static_cast<uid_t>(value);
    if (option.first == "gid") gid = static_cast<gid_t>(value);
    if (option.first == "umask") umask(static_cast<mode_t>(value));
    for (const auto& limit : kLimits) {
      if (option.first != absl::StrCat("limit_", limit.name)) continue;
      const rlim_t bound = value < 0 ? RLIM_INFINITY : static_cast<rlim_t>(value);
      const struct rlimit both = {bound, bound};
      if (setrlimit(limit.resource, &both) != 0) return fail(argv[i], "CAP_SYS_RESOURCE");
    }
  }
  if (argc - i < 3) return kLaunchFailed;
  if (uid.has_value()) {
    const std::string become = absl::StrCat("becoming user ", user);
    if (initgroups(user.c_str(), gid) != 0 || setgid(gid) != 0) return fail(become, "CAP_SETGID");
    if (setuid(*uid) != 0) return fail(become, "CAP_SETUID");
  }
  execv(argv[i + 1], argv + i + 2);
  return fail(argv[i + 1]);
}

}  // namespace om
