#include "server/crm/process_runner.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <asio/bind_executor.hpp>
#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/base/file.h"
#include "server/base/status.h"

extern char** environ;

namespace om {
namespace {

using std::error_code;

constexpr size_t kReadBytes = size_t{64} << 10;      // What a pipe holds.
constexpr size_t kMaxInputBytes = size_t{60} << 10;  // Less than what an empty pipe takes.

bool IsExecutableFile(const std::string& path) {
  struct stat st = {};
  return stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) && access(path.c_str(), X_OK) == 0;
}

// glibc 2.36 has no wrapper that older kernels' headers agree on.
int PidfdOpen(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

struct SpawnedProcess {
  pid_t pid = -1;
  UniqueFd pidfd;
  UniqueFd output;
  UniqueFd error;
};

std::vector<char*> Pointers(std::vector<std::string>* strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings->size() + 1);
  for (std::string& text : *strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

absl::Status MakePipe(UniqueFd* read_end, UniqueFd* write_end) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "making a pipe");
  read_end->Reset(fds[0]);
  write_end->Reset(fds[1]);
  return absl::OkStatus();
}

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

  void Duplicate(int fd, int target) { posix_spawn_file_actions_adddup2(&actions_, fd, target); }
  void OpenNull(int target, int flags) {
    posix_spawn_file_actions_addopen(&actions_, target, "/dev/null", flags, 0);
  }
  int Spawn(const std::string& path, bool new_session, std::vector<std::string>* argv,
            std::vector<std::string>* environment, pid_t* pid) {
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setpgroup(&attributes_, 0);
    // Ours are close-on-exec, but not all that we inherited or that a library opens.
    posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
    // A session leader is the leader of its group too, and may not be moved to another.
    const int kind = new_session ? POSIX_SPAWN_SETSID : POSIX_SPAWN_SETPGROUP;
    posix_spawnattr_setflags(
        &attributes_, static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | kind));
    return posix_spawn(pid, path.c_str(), &actions_, &attributes_, Pointers(argv).data(),
                       Pointers(environment).data());
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

absl::StatusOr<SpawnedProcess> Spawn(const ProcessSpec& spec,
                                     const std::vector<std::string>& search_directories) {
  if (spec.argv.empty() || spec.argv[0].empty()) {
    return absl::InvalidArgumentError("a command needs at least the name of a program");
  }
  if (spec.input.has_value() && spec.input->size() > kMaxInputBytes) {
    return absl::InvalidArgumentError(absl::StrCat("input of ", spec.input->size(), " bytes for \"",
                                                   spec.argv[0], "\", at most ", kMaxInputBytes,
                                                   " fit"));
  }
  std::vector<std::string> environment =
      MergeEnvironment(spec.environment.has_value() ? *spec.environment : CurrentEnvironment(),
                       spec.extra_environment);
  std::string path_variable = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (const std::string& variable : environment) {
    if (variable.rfind("PATH=", 0) == 0) path_variable = variable.substr(5);
  }
  ASSIGN_OR_RETURN(const std::string path,
                   FindProgram(spec.argv[0], search_directories, path_variable));

  SpawnedProcess process;
  SpawnPlan plan;
  UniqueFd input_read, output_write, error_write;
  if (spec.input.has_value()) {
    UniqueFd input_write;
    RETURN_IF_ERROR(MakePipe(&input_read, &input_write));
    // The pipe is empty and ours: this neither waits nor comes up short.
    if (write(input_write.get(), spec.input->data(), spec.input->size()) !=
        static_cast<ssize_t>(spec.input->size())) {
      return ErrnoStatus(errno, absl::StrCat("writing the input of \"", path, "\""));
    }
    plan.Duplicate(input_read.get(), STDIN_FILENO);
  } else {
    plan.OpenNull(STDIN_FILENO, O_RDONLY);
  }
  switch (spec.output) {
    case ProcessSpec::Output::kNull:
      plan.OpenNull(STDOUT_FILENO, O_WRONLY);
      plan.OpenNull(STDERR_FILENO, O_WRONLY);
      break;
    case ProcessSpec::Output::kCapture:
    case ProcessSpec::Output::kStream:
      RETURN_IF_ERROR(MakePipe(&process.output, &output_write));
      RETURN_IF_ERROR(MakePipe(&process.error, &error_write));
      plan.Duplicate(output_write.get(), STDOUT_FILENO);
      plan.Duplicate(error_write.get(), STDERR_FILENO);
      break;
    case ProcessSpec::Output::kInherit:
      break;
  }
  std::vector<std::string> argv = spec.argv;
  const int error = plan.Spawn(path, spec.new_session, &argv, &environment, &process.pid);
  if (error != 0) return ErrnoStatus(error, absl::StrCat("starting \"", path, "\""));
  // Cannot be another process: the child stays a zombie until we reap it.
  process.pidfd.Reset(PidfdOpen(process.pid));
  if (!process.pidfd.valid()) {
    const int open_error = errno;
    // Out of descriptors: a child whose end cannot be learned of is not left behind.
    kill(-process.pid, SIGKILL);
    siginfo_t info = {};
    while (waitid(P_PID, static_cast<id_t>(process.pid), &info, WEXITED) != 0 && errno == EINTR) {
    }
    return ErrnoStatus(open_error, absl::StrCat("watching \"", path, "\""));
  }
  return process;
}

}  // namespace

std::string ProcessResult::Describe() const {
  if (!status.ok()) return status.ToString();
  if (timed_out) return "stopped at its time limit";
  if (signal != 0) return absl::StrCat("killed by signal ", signal);
  return absl::StrCat("exit code ", exit_code);
}

absl::StatusOr<std::string> FindProgram(const std::string& program,
                                        const std::vector<std::string>& directories,
                                        absl::string_view path) {
  if (program.find('/') != std::string::npos) {
    if (IsExecutableFile(program)) return program;
    return absl::NotFoundError(
        absl::StrCat("program \"", program, "\" does not exist or is not an executable file"));
  }
  for (const std::string& directory : directories) {
    const std::string candidate = absl::StrCat(directory, "/", program);
    if (IsExecutableFile(candidate)) return candidate;
  }
  for (const absl::string_view directory : absl::StrSplit(path, ':')) {
    if (directory.empty()) continue;  // Never the working directory, whatever PATH says.
    const std::string candidate = absl::StrCat(directory, "/", program);
    if (IsExecutableFile(candidate)) return candidate;
  }
  return absl::NotFoundError(absl::StrCat("program \"", program, "\" is not in PATH (", path, ")"));
}

std::vector<std::string> CurrentEnvironment() {
  std::vector<std::string> environment;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    environment.emplace_back(*variable);
  }
  return environment;
}

std::vector<std::string> MergeEnvironment(std::vector<std::string> base,
                                          const std::vector<std::string>& extra) {
  for (const std::string& variable : extra) {
    const std::string prefix = variable.substr(0, variable.find('=') + 1);
    bool replaced = false;
    for (std::string& existing : base) {
      if (existing.compare(0, prefix.size(), prefix) == 0) {
        existing = variable;
        replaced = true;
      }
    }
    if (!replaced) base.push_back(variable);
  }
  return base;
}

// What outlives the runner while handlers are still queued.
struct ProcessRunner::Shared {
  Executor* executor;  // Not owned.
  Options options;
  Counter* started;
  Counter* failed_to_start;
  Counter* finished;
  Counter* timed_out;
  Counter* running_counter;
  Counter* results_lost;

  Mutex mutex;
  uint64_t next_id GUARDED_BY(mutex) = 1;
  bool closed GUARDED_BY(mutex) = false;
  std::map<uint64_t, std::shared_ptr<Child>> children GUARDED_BY(mutex);

  // Posted under the lock, so that nothing is posted once the runner is gone.
  void Deliver(std::function<void()> work) {
    MutexLock lock(&mutex);
    if (closed) return;
    if (!executor->Post(std::move(work))) results_lost->Add();
  }
};

// One program, from its start to its result. Touched only on its strand.
class ProcessRunner::Child : public std::enable_shared_from_this<Child> {
 public:
  Child(asio::io_context* io, std::shared_ptr<Shared> shared, uint64_t id, ProcessSpec spec,
        Callback done)
      : strand_(asio::make_strand(io->get_executor())),
        shared_(std::move(shared)),
        id_(id),
        spec_(std::move(spec)),
        done_(std::move(done)),
        pidfd_(strand_),
        streams_{Stream(strand_), Stream(strand_)},
        deadline_(strand_) {}

  void Start() {
    asio::post(strand_, [self = shared_from_this()] { self->StartHere(); });
  }

  void Kill(int signal) {
    asio::post(strand_, [self = shared_from_this(), signal] { self->SignalGroup(signal); });
  }

  void Terminate() {
    asio::post(strand_, [self = shared_from_this()] { self->EndGroup(); });
  }

  void Resume() {
    asio::post(strand_, [self = shared_from_this()] { self->ResumeHere(); });
  }

  // Lets go of the descriptors. The process is not touched.
  void Abandon() {
    asio::post(strand_, [self = shared_from_this()] { self->Close(); });
  }

 private:
  struct Stream {
    explicit Stream(const asio::strand<asio::io_context::executor_type>& strand)
        : descriptor(strand) {}
    asio::posix::stream_descriptor descriptor;
    std::string captured;
    bool open = false;
    bool awaited = false;   // A wait for output is under way.
    size_t owed_bytes = 0;  // Of what was in the pipe at the program's end, not read yet.
  };

  void StartHere() {
    absl::StatusOr<SpawnedProcess> process = Spawn(spec_, shared_->options.search_directories);
    if (!process.ok()) {
      shared_->failed_to_start->Add();
      result_.status = process.status();
      Finish();
      return;
    }
    shared_->started->Add();
    pid_ = process->pid;
    error_code ec;
    pidfd_.assign(process->pidfd.Release(), ec);
    if (ec) {
      // The reactor cannot take it: without a watch the child must not stay.
      SignalGroup(SIGKILL);
      siginfo_t info = {};
      while (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0 && errno == EINTR) {
      }
      pid_ = -1;
      result_.status = absl::ResourceExhaustedError(
          absl::StrCat("watching \"", spec_.argv[0], "\": ", ec.message()));
      Finish();
      return;
    }
    if (spec_.on_start) spec_.on_start(pid_);
    if (spec_.output == ProcessSpec::Output::kCapture ||
        spec_.output == ProcessSpec::Output::kStream) {
      OpenStream(0, &process->output);
      OpenStream(1, &process->error);
    }
    if (spec_.time_limit.has_value()) {
      deadline_.expires_after(*spec_.time_limit);
      deadline_.async_wait([self = shared_from_this()](error_code wait_ec) {
        if (!wait_ec) self->OnTimeLimit();
      });
    }
    AwaitExit();
  }

  void OpenStream(size_t index, UniqueFd* fd) {
    Stream& stream = streams_[index];
    error_code ec;
    stream.descriptor.assign(fd->get(), ec);
    if (ec) return;  // Closes with `fd`; the program sees a broken pipe, not a hang.
    fd->Release();
    stream.open = true;
    // A descriptor that waits would let a chatty program hold the strand.
    stream.descriptor.native_non_blocking(true, ec);
    AwaitOutput(index);
  }

  void AwaitOutput(size_t index) {
    Stream& stream = streams_[index];
    stream.awaited = true;
    stream.descriptor.async_wait(
        asio::posix::descriptor_base::wait_read,
        [self = shared_from_this(), index](error_code ec) { self->OnReadable(index, ec); });
  }

  void OnReadable(size_t index, error_code ec) {
    Stream& stream = streams_[index];
    stream.awaited = false;
    if (!stream.open) return;
    if (ec) return OnStreamEnd(index);
    if (paused_) return;  // Resume() waits again.
    char buffer[kReadBytes];
    const ssize_t count = read(stream.descriptor.native_handle(), buffer, sizeof(buffer));
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) return OnStreamEnd(index);
    if (count > 0) {
      const auto bytes = static_cast<size_t>(count);
      Take(index, absl::string_view(buffer, bytes));
      stream.owed_bytes -= std::min(stream.owed_bytes, bytes);
      if (exited_) AwaitDrained();
    }
    if (!paused_ && stream.open) AwaitOutput(index);
  }

  void OnStreamEnd(size_t index) {
    CloseStream(index);
    if (!exited_) return;
    if (!AnyStreamOpen()) return Finish();
    AwaitDrained();
  }

  void ResumeHere() {
    if (!paused_) return;
    paused_ = false;
    for (size_t index : {size_t{0}, size_t{1}}) {
      if (streams_[index].open && !streams_[index].awaited) AwaitOutput(index);
    }
  }

  void Take(size_t index, absl::string_view chunk) {
    Stream& stream = streams_[index];
    const int number = static_cast<int>(index) + 1;
    if (spec_.output == ProcessSpec::Output::kStream) {
      if (spec_.on_chunk && !spec_.on_chunk(number, chunk)) paused_ = true;
      return;
    }
    const size_t room = spec_.output_limit_bytes - stream.captured.size();
    if (chunk.size() > room) result_.output_truncated = true;
    stream.captured.append(chunk.data(), std::min(chunk.size(), room));
    if (spec_.on_output) {
      shared_->Deliver([on_output = spec_.on_output, number, text = std::string(chunk)] {
        on_output(number, text);
      });
    }
  }

  bool AnyStreamOpen() const { return streams_[0].open || streams_[1].open; }

  void CloseStream(size_t index) {
    Stream& stream = streams_[index];
    if (!stream.open) return;
    stream.open = false;
    error_code ignored;
    stream.descriptor.close(ignored);
  }

  void AwaitExit() {
    pidfd_.async_wait(asio::posix::descriptor_base::wait_read,
                      [self = shared_from_this()](error_code ec) { self->OnExit(ec); });
  }

  void OnExit(error_code ec) {
    if (ec || pid_ < 0) return;  // Abandoned.
    // A zombie still holds its number, so the group that is to be killed is surely still this one.
    if (ending_) kill(-pid_, SIGKILL);
    siginfo_t info = {};
    if (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG) != 0) {
      if (errno == EINTR) return AwaitExit();
      result_.status = ErrnoStatus(errno, absl::StrCat("waiting for \"", spec_.argv[0], "\""));
    } else if (info.si_pid == 0) {
      return AwaitExit();
    } else if (info.si_code == CLD_EXITED) {
      result_.exit_code = info.si_status;
    } else {
      result_.signal = info.si_status;
    }
    pid_ = -1;
    exited_ = true;
    error_code ignored;
    pidfd_.close(ignored);
    deadline_.cancel();
    shared_->finished->Add();
    if (!AnyStreamOpen()) return Finish();
    // What the program itself wrote is in the pipes already, and will be taken however long that
    // takes the reader.
    for (Stream& stream : streams_) {
      int bytes = 0;
      if (stream.open && ioctl(stream.descriptor.native_handle(), FIONREAD, &bytes) == 0) {
        stream.owed_bytes = static_cast<size_t>(bytes);
      }
    }
    AwaitDrained();
  }

  // What it left behind may hold its pipes open for ever, so their end is waited for only briefly.
  void AwaitDrained() {
    if (draining_ || finished_) return;
    for (const Stream& stream : streams_) {
      if (stream.open && stream.owed_bytes > 0) return;
    }
    draining_ = true;
    deadline_.expires_after(shared_->options.drain_limit);
    deadline_.async_wait([self = shared_from_this()](error_code wait_ec) {
      if (!wait_ec) self->Finish();
    });
  }

  void OnTimeLimit() {
    if (pid_ < 0 || ending_) return;
    result_.timed_out = true;
    shared_->timed_out->Add();
    EndGroup();
  }

  // SIGTERM, and SIGKILL after the grace, or as soon as the program itself has ended.
  void EndGroup() {
    if (pid_ < 0 || ending_) return;
    ending_ = true;
    SignalGroup(SIGTERM);
    deadline_.expires_after(spec_.kill_grace);
    deadline_.async_wait([self = shared_from_this()](error_code wait_ec) {
      if (!wait_ec) self->SignalGroup(SIGKILL);
    });
  }

  void SignalGroup(int signal) {
    if (pid_ > 0) kill(-pid_, signal);
  }

  void Close() {
    pid_ = -1;
    error_code ignored;
    if (pidfd_.is_open()) pidfd_.close(ignored);
    CloseStream(0);
    CloseStream(1);
    deadline_.cancel();
    done_ = nullptr;
    spec_.on_output = nullptr;
    spec_.on_chunk = nullptr;
  }

  void Finish() {
    if (finished_) return;
    finished_ = true;
    CloseStream(0);
    CloseStream(1);
    deadline_.cancel();
    result_.standard_output = std::move(streams_[0].captured);
    result_.standard_error = std::move(streams_[1].captured);
    {
      MutexLock lock(&shared_->mutex);
      shared_->children.erase(id_);
      shared_->running_counter->Set(static_cast<int64_t>(shared_->children.size()));
    }
    if (!done_) return;
    if (spec_.output == ProcessSpec::Output::kStream) {
      // Whoever takes the output here takes the end here, too, without another change of threads.
      return std::exchange(done_, nullptr)(std::move(result_));
    }
    shared_->Deliver([done = std::move(done_), result = std::move(result_)]() mutable {
      done(std::move(result));
    });
  }

  asio::strand<asio::io_context::executor_type> strand_;
  const std::shared_ptr<Shared> shared_;
  const uint64_t id_;
  ProcessSpec spec_;
  Callback done_;
  asio::posix::stream_descriptor pidfd_;
  std::array<Stream, 2> streams_;
  asio::steady_timer deadline_;  // The time limit, then its grace; after the exit, the drain.
  pid_t pid_ = -1;               // -1 before the start and once reaped.
  bool paused_ = false;          // The reader takes nothing for now.
  bool ending_ = false;          // The group has been told to end.
  bool exited_ = false;
  bool draining_ = false;
  bool finished_ = false;
  ProcessResult result_;
};

ProcessRunner::ProcessRunner(asio::io_context* io, Executor* executor, Counters* counters,
                             Options options)
    : io_(io), shared_(std::make_shared<Shared>()) {
  shared_->executor = executor;
  shared_->options = std::move(options);
  shared_->started = counters->Get("process.started");
  shared_->failed_to_start = counters->Get("process.failed_to_start");
  shared_->finished = counters->Get("process.finished");
  shared_->timed_out = counters->Get("process.timed_out");
  shared_->running_counter = counters->Get("process.running");
  shared_->results_lost = counters->Get("process.results_lost");
}

ProcessRunner::~ProcessRunner() {
  std::map<uint64_t, std::shared_ptr<Child>> children;
  {
    MutexLock lock(&shared_->mutex);
    shared_->closed = true;
    children.swap(shared_->children);
  }
  for (auto& [id, child] : children) child->Abandon();
}

ProcessId ProcessRunner::Run(ProcessSpec spec, Callback done) {
  std::shared_ptr<Child> child;
  uint64_t id = 0;
  {
    MutexLock lock(&shared_->mutex);
    id = shared_->next_id++;
    if (shared_->children.size() < shared_->options.max_running) {
      child = std::make_shared<Child>(io_, shared_, id, std::move(spec), std::move(done));
      shared_->children.emplace(id, child);
      shared_->running_counter->Set(static_cast<int64_t>(shared_->children.size()));
    }
  }
  if (child == nullptr) {
    shared_->failed_to_start->Add();
    ProcessResult refused;
    refused.status = absl::ResourceExhaustedError(
        absl::StrCat("\"", spec.argv.empty() ? "" : spec.argv[0],
                     "\" not started: ", shared_->options.max_running, " programs run already"));
    shared_->Deliver([done = std::move(done), refused = std::move(refused)]() mutable {
      done(std::move(refused));
    });
    return ProcessId{id};
  }
  child->Start();
  return ProcessId{id};
}

std::shared_ptr<ProcessRunner::Child> ProcessRunner::Find(ProcessId id) const {
  MutexLock lock(&shared_->mutex);
  const auto it = shared_->children.find(static_cast<uint64_t>(id));
  return it == shared_->children.end() ? nullptr : it->second;
}

void ProcessRunner::Kill(ProcessId id, int signal) {
  if (const std::shared_ptr<Child> child = Find(id)) child->Kill(signal);
}

void ProcessRunner::Terminate(ProcessId id) {
  if (const std::shared_ptr<Child> child = Find(id)) child->Terminate();
}

void ProcessRunner::Resume(ProcessId id) {
  if (const std::shared_ptr<Child> child = Find(id)) child->Resume();
}

size_t ProcessRunner::running() const {
  MutexLock lock(&shared_->mutex);
  return shared_->children.size();
}

}  // namespace om
