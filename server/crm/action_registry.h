// The commands that clients asked for: those that run, and those that ended lately.
#ifndef OM_SERVER_CRM_ACTION_REGISTRY_H_
#define OM_SERVER_CRM_ACTION_REGISTRY_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/base/clock.h"
#include "server/base/counters.h"
#include "server/base/random.h"
#include "server/config/object_path.h"
#include "server/crm/process_runner.h"

namespace om {

// A command to run.
struct ActionRequest {
  std::optional<ObjectPath> path;  // Unset: on the node.
  // After the program and the path, as CheckActionWords() accepts them.
  std::vector<std::string> words;
  std::optional<std::string> input;
  std::optional<std::chrono::milliseconds> time_limit;
  std::string requester;  // Who asks, in words.
  // Whom the command is counted against; empty: nobody.
  std::string limit_key = {};
};

struct ActionInfo {
  enum class State { kRunning, kExited, kKilled, kTimedOut, kNotRun };

  std::string id;                  // A UUID.
  std::optional<ObjectPath> path;  // Unset: on the node.
  std::vector<std::string> words;  // Secrets masked.
  std::string requester;
  int64_t pid = 0;  // 0: it does not run yet, or was not run.
  State state = State::kRunning;
  int exit_code = 0;   // Of kExited.
  int signal = 0;      // Of kKilled and kTimedOut.
  absl::Status error;  // Of kNotRun.
  absl::Time start_time;
  std::optional<absl::Time> end_time;  // Unset: it runs.
  uint64_t stdout_bytes = 0;
  uint64_t stderr_bytes = 0;
  int reader_count = 0;
  bool detached = false;  // It goes on without readers.
};

// A command that has ended, with what was captured of its output.
struct ActionEnd {
  ActionInfo info;
  std::string standard_output;
  std::string standard_error;
  bool output_truncated = false;
};

// What a reader of a command is told next.
struct ActionStep {
  enum class Kind {
    kNothing,  // For now.
    kBegun,    // It runs, or has run: `info`. Told first.
    kOutput,   // `stream` (1 or 2), `data`, `offset`, `missed_bytes`.
    kEnd,      // `info`. Told last, and once; for what could not be run with kNotRun.
  };
  Kind kind = Kind::kNothing;
  ActionInfo info;
  int stream = 0;
  std::string data;           // At most 64 KiB; empty only to tell of missed bytes.
  uint64_t offset = 0;        // Bytes of this stream before `data`.
  uint64_t missed_bytes = 0;  // Bytes of this stream right before `data` that are not kept.
};

// Runs commands of clients and keeps what they print, within bounds, for whoever looks.
//
// An owner reads what it has begun: the command waits in its writes while the owner is more than
// `owner_lag_bytes` behind, and ends (SIGTERM, then SIGKILL) when the owner leaves, unless it is
// detached. Other readers slow nobody and are told what they missed.
//
// The output that is kept of a command is its last `output_bytes`; of all together `total_bytes`,
// for which the oldest of those that have ended lose theirs first, then the one that writes loses
// its oldest. What owners have yet to read is kept beyond that: `max_running` times
// `owner_lag_bytes` and a read at most.
//
// THREAD: any. Callbacks come from any thread, without a lock held, and must be quick. Counters:
// action.started, .refused, .abandoned, .missed_bytes, .running.
class ActionRegistry {
 public:
  struct Options {
    // Prefixes of commands, from `crm.command` and `crm.node_command`.
    std::vector<std::string> command = {"omcrm"};
    std::vector<std::string> node_command = {"om", "node"};
    // Over the daemon's environment, "NAME=value".
    std::vector<std::string> environment;
    // Takes known secrets out of a text that will be shown. Unset: nothing is known.
    std::function<std::string(absl::string_view)> mask;
    // A command on that object has ended: its state may have changed.
    std::function<void(const ObjectPath&)> ended;
    // More are refused, RESOURCE_EXHAUSTED, reason TOO_MANY_ACTIONS, with when to ask again.
    size_t max_running = 64;
    // Of one `limit_key`; the same error.
    size_t max_running_of_one = 64;
    // Readers of one command. More are refused, RESOURCE_EXHAUSTED, reason TOO_MANY_ACTION_READERS.
    size_t max_readers = 64;
    // Ended ones that are remembered, and for how long.
    size_t max_ended = 1000;
    Duration remember = std::chrono::hours(1);
    size_t output_bytes = size_t{1} << 20;
    size_t total_bytes = size_t{32} << 20;
    size_t owner_lag_bytes = size_t{256} << 10;
    // Kept of each stream for Run() with capture, from its beginning.
    size_t capture_bytes = size_t{1} << 20;
  };

 private:
  struct Record;
  struct ReaderState;
  struct State;

 public:
  // Reads one command. Next() by one thread at a time.
  class Reader {
   public:
    ~Reader();  // Leaves.
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    ActionStep Next();
    // Called when there is something to tell after Next() said kNothing, or earlier. Replaces the
    // one before; a call of that may still be under way.
    void SetWake(std::function<void()> wake);

   private:
    friend class ActionRegistry;
    Reader(std::shared_ptr<State> state, std::shared_ptr<ReaderState> reader)
        : state_(std::move(state)), reader_(std::move(reader)) {}
    const std::shared_ptr<State> state_;
    const std::shared_ptr<ReaderState> reader_;
  };

  using Started = std::function<void(absl::StatusOr<ActionInfo>)>;
  using Ended = std::function<void(absl::StatusOr<ActionEnd>)>;

  // All are borrowed and must outlive this object.
  ActionRegistry(ProcessLauncher* launcher, const Clock* clock, SecureRandom* random,
                 Counters* counters, Options options);
  // Commands that run are left running, and nothing is called any more.
  ~ActionRegistry();

  // Runs a command that needs nobody. Either callback may be null; exactly one of them is told of
  // an error: `started` if the command could not be run, with the code that says why (NOT_FOUND,
  // reason PROGRAM_NOT_FOUND), else `ended`. Without `started` all errors are for `ended`. The
  // output is captured for `ended`.
  void Run(ActionRequest request, const Started& started, const Ended& ended);
  // Runs a command for an owner.
  absl::StatusOr<std::unique_ptr<Reader>> Own(ActionRequest request, bool detached);
  // NOT_FOUND, reason ACTION_UNKNOWN.
  absl::StatusOr<std::unique_ptr<Reader>> Attach(const std::string& id, bool only_new);
  absl::StatusOr<ActionInfo> Get(const std::string& id);
  // To its process group. NOT_FOUND, reason ACTION_UNKNOWN; FAILED_PRECONDITION, reason
  // ACTION_ENDED.
  absl::StatusOr<ActionInfo> Kill(const std::string& id, int signal);

  struct Filter {
    std::optional<std::string> path;  // Canonical; "" is the node.
    bool only_running = false;
  };
  struct Page {
    std::vector<ActionInfo> actions;  // Newest first.
    uint64_t next = 0;                // `before` of the next page; 0: this is the last one.
  };
  // Those that began before the one numbered `before`, or all (0).
  Page List(const Filter& filter, uint64_t before, size_t limit);

  // The prefixes from the next command on.
  void SetCommands(std::vector<std::string> command, std::vector<std::string> node_command);
  // Lower limits end no command.
  void SetLimits(size_t max_running, size_t max_running_of_one);
  // The daemon goes: no command is begun or ended any more, and who waits for one is told so,
  // UNAVAILABLE, reason DAEMON_STOPPING. Commands that run are left running.
  void Stop();

 private:
  const std::shared_ptr<State> state_;
};

}  // namespace om

#endif  // OM_SERVER_CRM_ACTION_REGISTRY_H_
