#include "server/core/scheduler.h"

#include <algorithm>
#include <utility>

#include "glog/logging.h"

namespace om {
Scheduler::Scheduler(const ScheduleOptions& options, absl::TimeZone zone, Ports ports)
    : options_(options),
      ports_(std::move(ports)),
      commands_(ports_.counters->Get("scheduler.commands")),
      timeouts_(ports_.counters->Get("scheduler.timeouts")),
      table_(options.table, zone, ports_.random),
      alive_(std::make_shared<Scheduler*>(this)) {}

Scheduler::~Scheduler() = default;

absl::Status Scheduler::Start(std::function<void(absl::Status)> exited) {
  exited_ = std::move(exited);
  started_ = true;
  PassAfter(kPassInterval);
  return absl::OkStatus();
}

void Scheduler::Stop(std::function<void()> done) {
  started_ = false;
  if (timer_.has_value()) ports_.loop->Cancel(*timer_);
  timer_.reset();
  done();
}

void Scheduler::Configure(const ScheduleOptions& options) {
  options_ = options;
  table_.set_options(options.table);
}

void Scheduler::PassAfter(Duration delay) {
  if (!started_) return;
  if (timer_.has_value()) ports_.loop->Cancel(*timer_);
  timer_ = ports_.loop->PostAfter(delay, [weak = std::weak_ptr(alive_)] {
    if (const auto self = weak.lock()) (*self)->Pass();
  });
}

int Scheduler::Parallel(const Snapshot& snapshot) const {
  const int configured = std::max(options_.max_parallel, 1);
  return snapshot.local()->overloaded() ? std::min(configured, kOverloadedParallel) : configured;
}

void Scheduler::Pass() {
  timer_.reset();
  const bool fine = Supervisor::Guard(exited_, [this] {
    const SnapshotPtr snapshot = ports_.snapshot();
    const NodeState* local = snapshot->local();
    if (local == nullptr) return;
    const std::string& status = local->monitor.status;
    if (status == status_word::kInit || status == status_word::kUpgrade ||
        status == status_word::kShutting) {
      return;
    }
    const ScheduleTable::Work work =
        table_.Pass(*snapshot, Parallel(*snapshot), ports_.clock->Now());
    for (const std::string& error : work.errors) LOG(WARNING) << "OM-SCHEDULE-INVALID " << error;
    for (const ScheduleTable::StampRequest& request : work.stamps) Ask(request);
    for (const ScheduledCommand& command : work.commands) Run(command);
    SchedulerState state = table_.state();
    if (state == published_) return;
    published_ = state;
    ports_.publish(std::move(state));
  });
  if (fine) PassAfter(kPassInterval);
}

void Scheduler::Ask(const ScheduleTable::StampRequest& request) {
  ports_.stamps->LastRun(
      request.path, request.rid,
      [weak = std::weak_ptr(alive_), loop = ports_.loop, request](std::optional<absl::Time> last) {
        (void)loop->Post([weak, request, last] {
          const auto self = weak.lock();
          if (self == nullptr) return;
          Scheduler& scheduler = **self;
          scheduler.table_.Stamped(request.path, request.rid, last, scheduler.ports_.clock->Now());
          scheduler.PassAfter(Duration(0));
        });
      });
}

void Scheduler::Run(const ScheduledCommand& scheduled) {
  CrmCommand command;
  command.paths = scheduled.paths;
  command.words = {scheduled.action};
  if (scheduled.evaluates()) {
    command.words.insert(command.words.end(), {"--parallel", "--refresh"});
  } else {
    command.words.insert(command.words.end(), {"--rid", scheduled.rid});
  }
  command.words.insert(command.words.end(), {"--waitlock=5", "--cron"});
  command.local = false;
  command.timeout = scheduled.evaluates() ? options_.evaluation_limit : options_.task_limit;
  commands_->Add();
  ports_.crm->Run(std::move(command), [weak = std::weak_ptr(alive_), loop = ports_.loop,
                                       scheduled](const CrmResult& result) {
    (void)loop->Post([weak, scheduled, result] {
      const auto self = weak.lock();
      if (self == nullptr) return;
      Scheduler& scheduler = **self;
      const bool timed_out = absl::IsDeadlineExceeded(result.error);
      if (timed_out) scheduler.timeouts_->Add();
      const std::string first = scheduled.paths.front().ToString();
      if (!result.error.ok()) {
        LOG(WARNING) << "OM-SCHEDULE-FAILED " << scheduled.action << " of " << first << " and "
                     << scheduled.paths.size() - 1 << " more: " << result.error;
      } else if (!scheduled.evaluates() && !result.succeeded()) {
        LOG(WARNING) << "OM-SCHEDULE-FAILED " << scheduled.action << " of " << first << " "
                     << scheduled.rid << " exited with status " << result.exit_code
                     << (result.signal == 0 ? "" : " by a signal");
      }
      scheduler.table_.Ended(scheduled.id, timed_out, scheduler.ports_.clock->Now());
      if (scheduled.evaluates()) {
        for (const ObjectPath& path : scheduled.paths) scheduler.ports_.evaluated(path);
      }
      if (scheduler.table_.has_waiting()) scheduler.PassAfter(Duration(0));
    });
  });
}

}  // namespace om
