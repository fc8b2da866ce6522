// Runs what is due: evaluations of instances, checks of monitored resources, tasks.
#ifndef OM_SERVER_CORE_SCHEDULER_H_
#define OM_SERVER_CORE_SCHEDULER_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/base/clock.h"
#include "server/base/counters.h"
#include "server/base/loop.h"
#include "server/base/random.h"
#include "server/core/ports.h"
#include "server/core/schedule_table.h"
#include "server/core/supervisor.h"
#include "server/state/snapshot.h"

namespace om {

struct ScheduleOptions {
  ScheduleTable::Options table;
  int max_parallel = 10;  // Commands at a time.
  // Past these a command is killed, its children with it. Of an evaluation, however many instances;
  // of a task, which may have a shorter one of its own; 0: none.
  Duration evaluation_limit = std::chrono::minutes(5);
  Duration task_limit = std::chrono::nanoseconds(0);
};

// The component `scheduler`. Confined to the loop. Stopped, it begins nothing; what runs goes on
// and is not begun a second time when it is started again. Nothing is begun while the node is in
// `init`, `upgrade` or `shutting`; on an overloaded node kOverloadedParallel commands at most.
class Scheduler final : public Component {
 public:
  static constexpr std::chrono::seconds kPassInterval{10};
  static constexpr int kOverloadedParallel = 2;

  // All borrowed.
  struct Ports {
    Loop* loop = nullptr;
    const Clock* clock = nullptr;
    Random* random = nullptr;
    CrmPort* crm = nullptr;
    StampPort* stamps = nullptr;
    Counters* counters = nullptr;
    std::function<SnapshotPtr()> snapshot;
    // The instance was evaluated: its files may have changed.
    std::function<void(const ObjectPath&)> evaluated;
    std::function<void(SchedulerState)> publish;
  };
  // `zone` is the time zone of schedules.
  Scheduler(const ScheduleOptions& options, absl::TimeZone zone, Ports ports);
  ~Scheduler() override;

  absl::Status Start(std::function<void(absl::Status)> exited) override;
  void Stop(std::function<void()> done) override;
  // From the next pass on.
  void Configure(const ScheduleOptions& options);

 private:
  void Pass();
  void PassAfter(Duration delay);
  void Run(const ScheduledCommand& command);
  void Ask(const ScheduleTable::StampRequest& request);
  int Parallel(const Snapshot& snapshot) const;

  ScheduleOptions options_;
  const Ports ports_;
  Counter* const commands_;
  Counter* const timeouts_;
  ScheduleTable table_;
  std::function<void(absl::Status)> exited_;
  bool started_ = false;
  std::optional<TimerId> timer_;
  SchedulerState published_;
  // Answers of ports hold it weakly, and do nothing once the scheduler is gone.
  std::shared_ptr<Scheduler*> alive_;
};

}  // namespace om

#endif  // OM_SERVER_CORE_SCHEDULER_H_
