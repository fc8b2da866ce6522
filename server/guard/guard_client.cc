#include "server/guard/guard_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace om {
namespace {

constexpr int kReadyFd = 3;

// Waits until `fd` can be read. DEADLINE_EXCEEDED past `until_ns`, CLOCK_BOOTTIME.
absl::Status AwaitReadable(int fd, int64_t until_ns, absl::string_view what) {
  for (;;) {
    const int64_t left_ns = until_ns - BootNanoseconds();
    if (left_ns <= 0) return absl::DeadlineExceededError(absl::StrCat(what, ": no answer in time"));
    pollfd polled = {.fd = fd, .events = POLLIN, .revents = 0};
    const timespec left = {.tv_sec = left_ns / 1000000000, .tv_nsec = left_ns % 1000000000};
    const int ready = ppoll(&polled, 1, &left, nullptr);
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, what);
  }
}

template <size_t N>
absl::Status CopyText(absl::string_view text, absl::string_view what, char (&to)[N]) {
  if (text.size() >= N || text.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat(
        what, " \"", absl::CHexEscape(text), "\" is not up to ", N - 1, " bytes without a zero"));
  }
  memcpy(to, text.data(), text.size());
  return absl::OkStatus();
}

absl::Status MakeInstance(const GuardedInstance& from, GuardInstance* to) {
  if (from.id.empty()) return absl::InvalidArgumentError("a guarded instance without id");
  RETURN_IF_ERROR(CopyText(from.id, "instance id", to->id));
  RETURN_IF_ERROR(CopyText(from.path, "instance path", to->path));
  RETURN_IF_ERROR(CopyText(from.cgroup, "cgroup", to->cgroup));
  to->group = from.group;
  to->group_start = from.group_start;
  return absl::OkStatus();
}

// Ends with a status of its own for what is known of it: the guard wrote why to standard error.
absl::Status ExitOf(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return ErrnoStatus(errno, "waiting for omd-guard");
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == kGuardExitSecond) {
    return absl::AlreadyExistsError("another omd-guard is running");
  }
  return absl::InternalError(WIFEXITED(status)
                                 ? absl::StrCat("omd-guard: exit code ", WEXITSTATUS(status))
                                 : absl::StrCat("omd-guard: killed by signal ", WTERMSIG(status)));
}

}  // namespace

int64_t BootNanoseconds() {
  timespec time = {};
  clock_gettime(CLOCK_BOOTTIME, &time);
  return int64_t{time.tv_sec} * 1000000000 + time.tv_nsec;
}

absl::Status StartGuard(const GuardOptions& options, absl::Duration timeout) {
  const int64_t until_ns = BootNanoseconds() + absl::ToInt64Nanoseconds(timeout);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "a pipe for omd-guard");
  const UniqueFd ready(ends[0]);
  UniqueFd tell(ends[1]);
  const std::string bound = absl::StrCat(absl::ToInt64Milliseconds(options.kill_bound));
  const std::string fd = absl::StrCat(kReadyFd);
  std::vector<std::string> words = {options.program,
                                    "--folder",
                                    options.folder,
                                    "--split-action",
                                    options.split_action,
                                    "--sysrq-trigger",
                                    options.sysrq_trigger,
                                    "--kill-bound-ms",
                                    bound,
                                    "--ready-fd",
                                    fd};
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  // Nothing of ours: an omd that was itself started by an instance must not make the guard look
  // like a part of that.
  char* const environment[] = {nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  // The same number would keep its close-on-exec flag.
  int from = tell.get();
  if (from == kReadyFd) {
    from = fcntl(from, F_DUPFD_CLOEXEC, kReadyFd + 1);
    tell.Reset(from);
  }
  posix_spawn_file_actions_adddup2(&actions, from, kReadyFd);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  pid_t pid = 0;
  const int error =
      posix_spawn(&pid, options.program.c_str(), &actions, &attributes, argv.data(), environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return ErrnoStatus(error, absl::StrCat("starting ", options.program));
  tell.Reset();
  absl::Status awaited = AwaitReadable(ready.get(), until_ns, "starting omd-guard");
  if (!awaited.ok()) {
    kill(pid, SIGKILL);
    ExitOf(pid).IgnoreError();
    return awaited;
  }
  char byte = 0;
  ssize_t got;
  do {
    got = read(ready.get(), &byte, 1);
  } while (got < 0 && errno == EINTR);
  return got == 1 ? absl::OkStatus() : ExitOf(pid);
}

absl::StatusOr<GuardClient> GuardClient::Attach(const std::string& folder, absl::Duration timeout) {
  const UniqueFd at(open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!at.valid()) return ErrnoStatus(errno, folder);
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "a socket for omd-guard");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  // The folder's own path may be longer than an address has room for.
  const std::string path = absl::StrCat("/proc/self/fd/", at.get(), "/", kGuardSocketName);
  memcpy(address.sun_path, path.data(), path.size());
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    const int error = errno;
    const std::string what = absl::StrCat("omd-guard at ", folder, "/", kGuardSocketName);
    if (error == ECONNREFUSED || error == ENOENT) {
      return absl::NotFoundError(absl::StrCat(what, ": nobody listens"));
    }
    return ErrnoStatus(error, what);
  }
  GuardClient client(std::move(fd), timeout);
  GuardRequest hello;
  hello.op = GuardOp::kHello;
  ASSIGN_OR_RETURN(const GuardReply reply, client.Ask(hello));
  RETURN_IF_ERROR(client.Check(reply, "hello"));
  client.epoch_ = reply.epoch;
  return client;
}

absl::StatusOr<GuardReply> GuardClient::Ask(GuardRequest request) {
  const int64_t until_ns = BootNanoseconds() + absl::ToInt64Nanoseconds(timeout_);
  request.sequence = ++sequence_;
  request.epoch = epoch_;
  if (send(fd_.get(), &request, sizeof(request), MSG_NOSIGNAL) != sizeof(request)) {
    return absl::UnavailableError(absl::StrCat("omd-guard: ", strerror(errno)));
  }
  for (;;) {
    RETURN_IF_ERROR(AwaitReadable(fd_.get(), until_ns, "omd-guard"));
    GuardReply reply;
    const ssize_t got = recv(fd_.get(), &reply, sizeof(reply), MSG_TRUNC);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) return absl::UnavailableError("omd-guard has ended or closed the connection");
    if (got != sizeof(reply) || reply.magic != kGuardMagic) {
      return absl::FailedPreconditionError("omd-guard is of another build");
    }
    // The answer to a request that was given up on.
    if (reply.sequence != sequence_) continue;
    status_ = {.epoch = reply.epoch,
               .until_ns = reply.until_ns,
               .instance_count = reply.instance_count,
               .fired_ns = reply.fired_ns,
               .done_ns = reply.done_ns,
               .killed_count = reply.killed_count,
               .survivor_count = reply.survivor_count};
    return reply;
  }
}

absl::Status GuardClient::Check(const GuardReply& reply, absl::string_view what) const {
  switch (reply.answer) {
    case GuardAnswer::kOk:
      return absl::OkStatus();
    case GuardAnswer::kStaleEpoch:
      return WithReason(absl::FailedPreconditionError(absl::StrCat(
                            what, ": omd-guard has fired and killed ", reply.killed_count,
                            " processes since it was attached to")),
                        "GUARD_FIRED");
    case GuardAnswer::kLate:
      return WithReason(absl::FailedPreconditionError(absl::StrCat(
                            what, ": may_act_until is ", reply.until_ns, " ns, which has passed")),
                        "GUARD_EXPIRED");
    case GuardAnswer::kFull:
      return absl::ResourceExhaustedError(
          absl::StrCat(what, ": omd-guard watches ", kGuardMaxInstances, " instances already"));
    case GuardAnswer::kUnknown:
      return absl::NotFoundError(absl::StrCat(what, ": not watched"));
    case GuardAnswer::kInvalid:
      break;
  }
  return absl::InvalidArgumentError(absl::StrCat(what, ": refused by omd-guard"));
}

absl::Status GuardClient::Renew(int64_t until_ns) {
  GuardRequest request;
  request.op = GuardOp::kRenew;
  request.until_ns = until_ns;
  ASSIGN_OR_RETURN(const GuardReply reply, Ask(request));
  return Check(reply, absl::StrCat("renewing until ", until_ns, " ns"));
}

absl::Status GuardClient::Watch(const GuardedInstance& instance) {
  GuardRequest request;
  request.op = GuardOp::kWatch;
  RETURN_IF_ERROR(MakeInstance(instance, &request.instance));
  ASSIGN_OR_RETURN(const GuardReply reply, Ask(request));
  return Check(reply, absl::StrCat("watching ", instance.path));
}

absl::Status GuardClient::Release(absl::string_view id) {
  GuardRequest request;
  request.op = GuardOp::kRelease;
  RETURN_IF_ERROR(CopyText(id, "instance id", request.instance.id));
  ASSIGN_OR_RETURN(const GuardReply reply, Ask(request));
  return Check(reply, absl::StrCat("releasing ", id));
}

absl::StatusOr<std::vector<GuardedInstance>> GuardClient::List() {
  std::vector<GuardedInstance> instances;
  for (uint32_t index = 0; index < kGuardMaxInstances; ++index) {
    GuardRequest request;
    request.op = GuardOp::kList;
    request.index = index;
    ASSIGN_OR_RETURN(const GuardReply reply, Ask(request));
    if (reply.answer == GuardAnswer::kUnknown) break;
    RETURN_IF_ERROR(Check(reply, "listing"));
    instances.push_back({.id = reply.instance.id,
                         .path = reply.instance.path,
                         .cgroup = reply.instance.cgroup,
                         .group = reply.instance.group,
                         .group_start = reply.instance.group_start});
  }
  return instances;
}

}  // namespace om
