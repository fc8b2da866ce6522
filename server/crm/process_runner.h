// Starts programs and says how they ended, without blocking anyone.
#ifndef OM_SERVER_CRM_PROCESS_RUNNER_H_
#define OM_SERVER_CRM_PROCESS_RUNNER_H_

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/base/counters.h"
#include "server/base/loop.h"
#include "server/base/mutex.h"

// Asio's own name, so that this header needs none of its headers.
namespace asio {
class io_context;
}  // namespace asio

namespace om {

// One program to run.
struct ProcessSpec {
  enum class Output {
    kNull,     // Goes nowhere.
    kCapture,  // Kept in the result, up to `output_limit_bytes` a stream.
    kStream,   // Goes to `on_chunk`.
    kInherit,  // Goes where the daemon's goes.
  };

  // Program and arguments. A program without a slash is looked up in the runner's
  // `search_directories`, then in PATH.
  std::vector<std::string> argv;
  // The whole environment, "NAME=value". Unset: the daemon's own.
  std::optional<std::vector<std::string>> environment;
  // Put over `environment`, or over the daemon's own.
  std::vector<std::string> extra_environment;
  // Given to the program as its standard input; /dev/null when unset. At most 60 KiB, so that the
  // write never waits for the program.
  std::optional<std::string> input;
  Output output = Output::kNull;
  size_t output_limit_bytes = size_t{64} << 10;
  // Sees the output as it comes, in addition to what `output` says, when that is kCapture; `stream`
  // is 1 or 2. Runs on the executor.
  std::function<void(int stream, std::string chunk)> on_output;
  // Takes the output when that is kStream, as it comes: at most 64 KiB a call. False stops the
  // reading of both streams, so that the program waits in its next write, until
  // ProcessLauncher::Resume(); the chunk itself has been taken. Runs on a thread of the runner's,
  // one call at a time for a program, and must be quick.
  std::function<bool(int stream, absl::string_view chunk)> on_chunk;
  // The program runs, as that process. On a thread of the runner's, before any output; not called
  // for what could not be started.
  std::function<void(pid_t pid)> on_start;
  // The program leads a session of its own instead of only a process group.
  bool new_session = false;
  // SIGTERM to the whole group when it has passed. Unset: no limit.
  std::optional<std::chrono::milliseconds> time_limit;
  // SIGKILL to the group this long after the SIGTERM of the limit.
  std::chrono::milliseconds kill_grace = std::chrono::seconds(5);
};

struct ProcessResult {
  // Not OK when the program never ran: NOT_FOUND names a missing one, RESOURCE_EXHAUSTED means too
  // many run already, INVALID_ARGUMENT a bad spec, CANCELLED that the runner was shut down first.
  absl::Status status;
  int exit_code = 0;  // Meaningful when `signal` is 0.
  int signal = 0;     // The signal that ended it.
  bool timed_out = false;
  bool output_truncated = false;
  std::string standard_output;
  std::string standard_error;

  bool Succeeded() const { return status.ok() && exit_code == 0 && signal == 0 && !timed_out; }
  // "exit code 3", "killed by signal 9", "time limit" or the status: for logs.
  std::string Describe() const;
};

enum class ProcessId : uint64_t {};

// What CrmRunner and the others need of a runner, so that tests can do without processes.
class ProcessLauncher {
 public:
  using Callback = std::function<void(ProcessResult)>;
  virtual ~ProcessLauncher() = default;
  // Starts `spec`; `done` is called exactly once, never inside this call: on the executor, or where
  // on_chunk is called if there is a stream.
  virtual ProcessId Run(ProcessSpec spec, Callback done) = 0;
  // Sends `signal` to the process group. One that has ended, or never was, is ignored.
  virtual void Kill(ProcessId id, int signal) = 0;
  // SIGTERM to the process group, then SIGKILL to what is left of it: at the end of the program, or
  // after `ProcessSpec::kill_grace`.
  virtual void Terminate(ProcessId id) = 0;
  // Reads the output on after on_chunk stopped it.
  virtual void Resume(ProcessId id) = 0;
};

// Runs programs with posix_spawn and learns of their end from a pidfd on the io_context.
//
// Every program is a process group of its own, gets default signal handling, an empty signal mask
// and no descriptor but the standard ones. Its end is the end of the program itself, told once all
// that was in its pipes by then has been taken: what it left behind holding its output open is
// waited for only briefly. After a time limit, and by Terminate(), the whole group is killed. Each
// child is reaped exactly once; the process must not ignore SIGCHLD.
//
// THREAD: any. Results are posted to the executor given, except those of streams; one that refuses
// loses the result, which is counted. Counters: process.started, .failed_to_start, .finished,
// .timed_out, .running, .results_lost.
class ProcessRunner final : public ProcessLauncher {
 public:
  struct Options {
    // Looked in before PATH for a program without a slash, such as the directory of the running
    // daemon, where omcrm is.
    std::vector<std::string> search_directories;
    // More are refused with RESOURCE_EXHAUSTED.
    size_t max_running = 256;
    // How long after a program's end its output may still come from what it left behind.
    std::chrono::milliseconds drain_limit = std::chrono::milliseconds(100);
  };

  // All are borrowed and must outlive this object; `io` must be run by someone.
  ProcessRunner(asio::io_context* io, Executor* executor, Counters* counters, Options options);
  // Programs that still run are left running and their callbacks are not called. Call it when `io`
  // no longer runs, or on its thread.
  ~ProcessRunner() override;

  ProcessId Run(ProcessSpec spec, Callback done) override;
  void Kill(ProcessId id, int signal) override;
  void Terminate(ProcessId id) override;
  void Resume(ProcessId id) override;

  size_t running() const;

 private:
  class Child;
  struct Shared;

  std::shared_ptr<Child> Find(ProcessId id) const;

  asio::io_context* const io_;  // Not owned.
  const std::shared_ptr<Shared> shared_;
};

// The path of `program`: itself when it has a slash, else the first executable file of that name in
// `directories`, then in `path`, a PATH value. NOT_FOUND names it.
absl::StatusOr<std::string> FindProgram(const std::string& program,
                                        const std::vector<std::string>& directories,
                                        absl::string_view path);

// `base` with the "NAME=value" texts of `extra` put over it.
std::vector<std::string> MergeEnvironment(std::vector<std::string> base,
                                          const std::vector<std::string>& extra);
// This process's environment.
std::vector<std::string> CurrentEnvironment();

}  // namespace om

#endif  // OM_SERVER_CRM_PROCESS_RUNNER_H_
