// What is due on the instances of this node, and which commands come of it.
#ifndef OM_SERVER_CORE_SCHEDULE_TABLE_H_
#define OM_SERVER_CORE_SCHEDULE_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/base/random.h"
#include "server/config/schedule.h"
#include "server/state/snapshot.h"

namespace om {

// A command that is to be run now; ScheduleTable::Ended() wants to hear of its end.
struct ScheduledCommand {
  uint64_t id = 0;
  std::string action;             // "status", "resource_monitor", "run", "sync_all"
  std::vector<ObjectPath> paths;  // One, unless it is an evaluation.
  std::string rid;                // Of tasks.
  bool evaluates() const { return action == "status" || action == "resource_monitor"; }
};

// The jobs of all instances: evaluations of their status, checks of monitored resources, tasks. Due
// evaluations are merged, many instances a command. An instance whose evaluation did not end in
// time is evaluated on its own from then on, and ever more rarely, so that it holds up no other.
// Pure but for the dice: does no I/O and is told the time. Confined to the loop.
class ScheduleTable {
 public:
  struct Options {
    size_t max_batch = 250;                          // Instances in one command,
    size_t max_batch_bytes = 32 << 10;               // and bytes of their paths.
    bool sync = false;                               // The resource manager has sync_all.
    size_t max_shown = 100;                          // Delayed tasks told of in state().
    absl::Duration min_interval = absl::Minutes(1);  // Between runs, whatever a schedule says.
    absl::Duration max_backoff = absl::Hours(1);     // Of evaluations that do not end.
  };
  // `random` is borrowed.
  ScheduleTable(const Options& options, absl::TimeZone zone, Random* random)
      : options_(options), zone_(zone), random_(random) {}

  // Of a task that is due it must first be known when it last ran, maybe by another hand.
  struct StampRequest {
    ObjectPath path;
    std::string rid;
  };
  struct Work {
    std::vector<ScheduledCommand> commands;
    std::vector<StampRequest> stamps;  // Each to be answered by Stamped().
    std::vector<std::string> errors;   // Schedules that make no sense, told once.
  };
  // Takes what has changed of the objects and says what is to be done now. At most `max_parallel`
  // commands run at a time; tasks leave two of them to evaluations, if there are more than two,
  // and one evaluation may always run.
  Work Pass(const Snapshot& snapshot, int max_parallel, absl::Time now);
  void Stamped(const ObjectPath& path, const std::string& rid, std::optional<absl::Time> last,
               absl::Time now);
  void Ended(uint64_t id, bool timed_out, absl::Time now);
  // From the next pass on.
  void set_options(const Options& options) { options_ = options; }

  // Something waits only for another command to end.
  bool has_waiting() const { return waiting_; }
  SchedulerState state() const;

 private:
  enum class Kind : uint8_t { kStatus, kMonitor, kRun, kSync };
  enum class State : uint8_t { kIdle, kAsking, kDelayed, kQueued, kRunning };
  struct Job {
    Kind kind = Kind::kStatus;
    State state = State::kIdle;
    bool stamped = false;  // `last` is known as well as it can be.
    uint8_t timeouts = 0;  // In a row.
    std::string rid;
    std::shared_ptr<const Schedule> schedule;  // Null: it makes no sense.
    std::optional<absl::Time> last;
    absl::Time next;  // Infinite future: never.
    absl::Time queued, expire;
  };
  struct Entry {
    std::shared_ptr<const ObjectState> object;
    std::vector<Job> jobs;
    bool evaluating = false;
  };
  struct Running {
    ScheduledCommand command;
    Kind kind = Kind::kStatus;
    bool alone = false;  // Because it timed out before.
    absl::Time begun;
  };
  struct Ready {
    absl::Time queued;
    Entry* entry = nullptr;
    Job* job = nullptr;
  };

  static const char* ActionOf(Kind kind);
  static bool IsEvaluation(Kind kind) { return kind == Kind::kStatus || kind == Kind::kMonitor; }
  void Update(const Snapshot& snapshot, absl::Time now, Work* work);
  void Refit(const std::string& node, Entry* entry, absl::Time now, Work* work);
  void Want(Kind kind, const std::string& rid, const std::string& text, const Entry& entry,
            absl::Time now, std::vector<Job>* jobs, Work* work);
  std::shared_ptr<const Schedule> ScheduleOf(const std::string& text, std::string* error);
  void Plan(Job* job, absl::Time now) const;
  static bool MayRun(const Entry& entry, const Job& job, const std::string& node);
  void Consider(const std::string& node, Entry* entry, Job* job, absl::Time now, Work* work);
  void BeginTasks(size_t limit, absl::Time now, std::vector<Ready>* ready, Work* work);
  void BeginEvaluations(Kind kind, size_t lanes, absl::Time now, std::vector<Ready>* ready,
                        Work* work);
  void Begin(Kind kind, bool alone, const std::vector<Ready>& jobs, absl::Time now, Work* work);
  Job* Find(const ObjectPath& path, Kind kind, const std::string& rid);

  Options options_;
  const absl::TimeZone zone_;
  Random* const random_;  // Not owned.
  std::map<ObjectPath, Entry> entries_;
  std::map<std::string, std::shared_ptr<const Schedule>> schedules_;  // By text.
  std::map<uint64_t, Running> running_;
  size_t running_tasks_ = 0;
  size_t running_alone_ = 0;
  uint64_t next_id_ = 1;
  absl::Time last_pass_ = absl::InfinitePast();
  bool waiting_ = false;
};

}  // namespace om

#endif  // OM_SERVER_CORE_SCHEDULE_TABLE_H_
