#include "server/core/schedule_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace om {
namespace {

// Schedules that are written differently are few; past this the cache starts over.
constexpr size_t kMaxSchedules = 4096;
constexpr char kMonitoredSchedule[] = "@1";  // Of instances with monitored resources.
constexpr double kDiceSides = 1 << 20;

bool IsMonitored(const InstanceState& instance) {
  return instance.status != nullptr &&
         std::any_of(instance.status->resources.begin(), instance.status->resources.end(),
                     [](const ResourceStatus& resource) {
                       return resource.monitored || resource.restart > 0;
                     });
}

}  // namespace

const char* ScheduleTable::ActionOf(Kind kind) {
  switch (kind) {
    case Kind::kStatus:
      return "status";
    case Kind::kMonitor:
      return "resource_monitor";
    case Kind::kRun:
      return "run";
    case Kind::kSync:
      return "sync_all";
  }
  return "";
}

std::shared_ptr<const Schedule> ScheduleTable::ScheduleOf(const std::string& text,
                                                          std::string* error) {
  if (const auto found = schedules_.find(text); found != schedules_.end()) return found->second;
  absl::StatusOr<Schedule> schedule = Schedule::Parse(text);
  if (!schedule.ok()) {
    *error = std::string(schedule.status().message());
    return nullptr;
  }
  if (schedules_.size() >= kMaxSchedules) schedules_.clear();
  auto shared = std::make_shared<const Schedule>(*std::move(schedule));
  schedules_[text] = shared;
  return shared;
}

void ScheduleTable::Plan(Job* job, absl::Time now) const {
  job->next = absl::InfiniteFuture();
  if (job->schedule == nullptr || job->schedule->never()) return;
  absl::Time from = now;
  if (job->last.has_value() && *job->last <= now) {
    from = std::max(from, *job->last + options_.min_interval);
  }
  job->next = job->schedule->Next(from, job->last, zone_).value_or(absl::InfiniteFuture());
}

void ScheduleTable::Want(Kind kind, const std::string& rid, const std::string& text,
                         const Entry& entry, absl::Time now, std::vector<Job>* jobs, Work* work) {
  std::string error;
  const std::shared_ptr<const Schedule> schedule = ScheduleOf(text, &error);
  const auto old = std::find_if(entry.jobs.begin(), entry.jobs.end(),
                                [&](const Job& job) { return job.kind == kind && job.rid == rid; });
  if (old != entry.jobs.end() && old->schedule == schedule) {
    jobs->push_back(*old);
    return;
  }
  if (schedule == nullptr) {
    work->errors.push_back(absl::StrCat(entry.object->path.ToString(),
                                        rid.empty() ? "" : absl::StrCat(" ", rid), ", ",
                                        ActionOf(kind), ": ", error));
  }
  Job job;
  if (old != entry.jobs.end()) job = *old;
  job.kind = kind;
  job.rid = rid;
  job.schedule = schedule;
  if (job.state != State::kRunning) job.state = State::kIdle;
  Plan(&job, now);
  jobs->push_back(std::move(job));
}

// Makes the jobs those of the object's configuration; what runs or waits goes on.
void ScheduleTable::Refit(const std::string& node, Entry* entry, absl::Time now, Work* work) {
  const ObjectConfig* config = entry->object->config(node);
  const InstanceState* instance = entry->object->instance(node);
  std::vector<Job> jobs;
  if (config != nullptr && instance != nullptr && entry->object->path.is_service() &&
      config->error.empty()) {
    Want(Kind::kStatus, "", config->status_schedule, *entry, now, &jobs, work);
    if (!config->monitor_schedule.empty() || IsMonitored(*instance)) {
      Want(Kind::kMonitor, "",
           config->monitor_schedule.empty() ? kMonitoredSchedule : config->monitor_schedule, *entry,
           now, &jobs, work);
    }
    for (const TaskSchedule& task : config->tasks) {
      if (task.sync && !options_.sync) continue;
      Want(task.sync ? Kind::kSync : Kind::kRun, task.rid, task.schedule, *entry, now, &jobs, work);
    }
    for (Job& job : jobs) {
      if (!IsEvaluation(job.kind) || instance->status == nullptr) continue;
      const absl::Time updated = instance->status->updated;
      // A clock that was set back leaves times in the future behind: they say nothing.
      if (updated > now || (job.last.has_value() && *job.last >= updated && *job.last <= now)) {
        continue;
      }
      job.last = updated;
      job.timeouts = 0;
      if (job.state == State::kIdle) Plan(&job, now);
    }
  }
  entry->jobs = std::move(jobs);
}

void ScheduleTable::Update(const Snapshot& snapshot, absl::Time now, Work* work) {
  auto it = entries_.begin();
  for (const auto& object : snapshot.objects.After(nullptr, snapshot.objects.size())) {
    while (it != entries_.end() && it->first < object->path) it = entries_.erase(it);
    if (it == entries_.end() || it->first != object->path) {
      it = entries_.emplace_hint(it, object->path, Entry());
    }
    if (it->second.object != object) {
      it->second.object = object;
      Refit(snapshot.local_node, &it->second, now, work);
    }
    ++it;
  }
  entries_.erase(it, entries_.end());
}

bool ScheduleTable::MayRun(const Entry& entry, const Job& job, const std::string& node) {
  if (IsEvaluation(job.kind)) {
    // An action ends with an evaluation of its own.
    const InstanceState* instance = entry.object->instance(node);
    if (entry.evaluating || instance == nullptr || IsTransition(instance->monitor.status)) {
      return false;
    }
    if (job.kind == Kind::kStatus) return true;
  }
  const ObjectConfig* config = entry.object->config(node);
  if (config == nullptr || config->disabled) return false;
  const std::string& provisioned = entry.object->aggregate.provisioned;
  return provisioned != "false" && provisioned != "mixed";
}

void ScheduleTable::Consider(const std::string& node, Entry* entry, Job* job, absl::Time now,
                             Work* work) {
  if (job->state == State::kDelayed && job->expire <= now) {
    job->state = State::kIdle;
    if (job->schedule != nullptr && job->schedule->Allows(now, job->last, zone_)) {
      if (MayRun(*entry, *job, node)) job->state = State::kQueued;
    } else {
      Plan(job, now);
    }
  }
  if (job->state == State::kQueued && !MayRun(*entry, *job, node)) job->state = State::kIdle;
  if (job->state != State::kIdle || job->next > now || !MayRun(*entry, *job, node)) return;
  if (!IsEvaluation(job->kind) && !job->stamped) {
    job->state = State::kAsking;
    work->stamps.push_back({entry->object->path, job->rid});
    return;
  }
  // It may have waited for long for something else. One that did not end has its own rhythm.
  if (job->timeouts == 0 && !job->schedule->Allows(now, job->last, zone_)) {
    Plan(job, now);
    return;
  }
  const double dice = static_cast<double>(random_->Below(uint64_t{1} << 20)) / kDiceSides;
  const absl::Duration delay =
      absl::Trunc(job->schedule->Spread(now, dice, zone_), absl::Seconds(1));
  job->queued = now;
  job->expire = now + delay;
  job->state = delay > absl::ZeroDuration() ? State::kDelayed : State::kQueued;
}

ScheduleTable::Work ScheduleTable::Pass(const Snapshot& snapshot, int max_parallel,
                                        absl::Time now) {
  Work work;
  Update(snapshot, now, &work);
  const bool set_back = now < last_pass_ - absl::Minutes(1);
  last_pass_ = now;
  std::vector<Ready> status, monitor, tasks;
  for (auto& [path, entry] : entries_) {
    for (Job& job : entry.jobs) {
      if (set_back && (job.state == State::kIdle || job.state == State::kDelayed)) {
        job.state = State::kIdle;
        Plan(&job, now);
      }
      if (job.state == State::kIdle && job.next > now) continue;
      Consider(snapshot.local_node, &entry, &job, now, &work);
      if (job.state != State::kQueued) continue;
      std::vector<Ready>& ready = job.kind == Kind::kStatus    ? status
                                  : job.kind == Kind::kMonitor ? monitor
                                                               : tasks;
      ready.push_back({job.queued, &entry, &job});
    }
  }
  for (std::vector<Ready>* ready : {&status, &monitor, &tasks}) {
    std::stable_sort(ready->begin(), ready->end(),
                     [](const Ready& a, const Ready& b) { return a.queued < b.queued; });
  }
  const size_t limit = static_cast<size_t>(std::max(max_parallel, 1));
  BeginTasks(limit, now, &tasks, &work);
  const size_t lanes = limit > running_tasks_ ? limit - running_tasks_ : 1;
  // A full evaluation also checks what is monitored: it goes first.
  BeginEvaluations(Kind::kStatus, lanes, now, &status, &work);
  BeginEvaluations(Kind::kMonitor, lanes, now, &monitor, &work);
  waiting_ = !status.empty() || !monitor.empty() || !tasks.empty();
  return work;
}

void ScheduleTable::BeginTasks(size_t limit, absl::Time now, std::vector<Ready>* ready,
                               Work* work) {
  const size_t task_limit = limit > 2 ? limit - 2 : 1;
  const size_t total_limit = std::max<size_t>(limit, 2);
  size_t begun = 0;
  while (begun < ready->size() && running_tasks_ < task_limit && running_.size() < total_limit) {
    Begin((*ready)[begun].job->kind, false, {(*ready)[begun]}, now, work);
    ++begun;
  }
  ready->erase(ready->begin(), ready->begin() + static_cast<std::ptrdiff_t>(begun));
}

void ScheduleTable::BeginEvaluations(Kind kind, size_t lanes, absl::Time now,
                                     std::vector<Ready>* ready, Work* work) {
  const auto free = [&] { return running_.size() - running_tasks_ < lanes; };
  std::vector<Ready> batch, alone, left;
  size_t bytes = 0;
  for (const Ready& one : *ready) {
    if (one.entry->evaluating) {
      left.push_back(one);  // By the other kind of evaluation, begun a moment ago.
    } else if (one.job->timeouts > 0) {
      alone.push_back(one);
    } else if (!free()) {
      left.push_back(one);
    } else {
      const size_t size_bytes = one.entry->object->path.ToString().size() + 1;
      if (batch.size() == options_.max_batch ||
          (!batch.empty() && bytes + size_bytes > options_.max_batch_bytes)) {
        Begin(kind, false, std::exchange(batch, {}), now, work);
        bytes = 0;
        if (!free()) {
          left.push_back(one);
          continue;
        }
      }
      bytes += size_bytes;
      batch.push_back(one);
    }
  }
  if (!batch.empty()) Begin(kind, false, batch, now, work);
  // Those that hung before never take the last lane from the others.
  const size_t alone_limit = std::max<size_t>(lanes, 2) - 1;
  for (const Ready& one : alone) {
    if (free() && running_alone_ < alone_limit) {
      Begin(kind, true, {one}, now, work);
    } else {
      left.push_back(one);
    }
  }
  *ready = std::move(left);
}

void ScheduleTable::Begin(Kind kind, bool alone, const std::vector<Ready>& jobs, absl::Time now,
                          Work* work) {
  Running running;
  running.kind = kind;
  running.alone = alone;
  running.begun = now;
  running.command.id = next_id_++;
  running.command.action = ActionOf(kind);
  running.command.rid = jobs.front().job->rid;
  for (const Ready& one : jobs) {
    running.command.paths.push_back(one.entry->object->path);
    one.job->state = State::kRunning;
    one.job->last = now;
    if (IsEvaluation(kind)) one.entry->evaluating = true;
  }
  if (!IsEvaluation(kind)) ++running_tasks_;
  if (alone) ++running_alone_;
  work->commands.push_back(running.command);
  const uint64_t id = running.command.id;
  running_.emplace(id, std::move(running));
}

ScheduleTable::Job* ScheduleTable::Find(const ObjectPath& path, Kind kind, const std::string& rid) {
  const auto entry = entries_.find(path);
  if (entry == entries_.end()) return nullptr;
  for (Job& job : entry->second.jobs) {
    if (job.kind == kind && job.rid == rid) return &job;
  }
  return nullptr;
}

void ScheduleTable::Stamped(const ObjectPath& path, const std::string& rid,
                            std::optional<absl::Time> last, absl::Time now) {
  for (const Kind kind : {Kind::kRun, Kind::kSync}) {
    Job* job = Find(path, kind, rid);
    if (job == nullptr || job->state != State::kAsking) continue;
    job->state = State::kIdle;
    job->stamped = true;
    if (last.has_value() && *last <= now && (!job->last.has_value() || *job->last < *last)) {
      job->last = last;
    }
    Plan(job, now);
  }
}

void ScheduleTable::Ended(uint64_t id, bool timed_out, absl::Time now) {
  const auto it = running_.find(id);
  if (it == running_.end()) return;
  const Running running = std::move(it->second);
  running_.erase(it);
  if (!IsEvaluation(running.kind)) --running_tasks_;
  if (running.alone) --running_alone_;
  for (const ObjectPath& path : running.command.paths) {
    if (IsEvaluation(running.kind)) {
      const auto entry = entries_.find(path);
      if (entry != entries_.end()) entry->second.evaluating = false;
    }
    Job* job = Find(path, running.kind, running.command.rid);
    if (job == nullptr || job->state != State::kRunning) continue;
    job->state = State::kIdle;
    job->stamped = false;  // Whoever runs it next time, it is asked for again.
    Plan(job, now);
    if (!timed_out) {
      job->timeouts = 0;
    } else if (IsEvaluation(running.kind)) {
      // Those of a batch that were not the cause show it by being evaluated alone.
      if (job->timeouts < 16) ++job->timeouts;
      if (running.alone) {
        job->next = std::max(job->next, now + std::min(options_.max_backoff,
                                                       absl::Minutes(1) * (1 << job->timeouts)));
      } else {
        job->next = now;
      }
    }
    // A full evaluation was a check, too.
    if (running.kind == Kind::kStatus && !timed_out) {
      Job* monitor = Find(path, Kind::kMonitor, "");
      if (monitor == nullptr || monitor->state == State::kRunning) continue;
      monitor->last = running.begun;
      monitor->state = State::kIdle;
      monitor->timeouts = 0;
      Plan(monitor, now);
    }
  }
}

SchedulerState ScheduleTable::state() const {
  SchedulerState state;
  state.running = static_cast<int>(running_.size());
  for (const auto& [path, entry] : entries_) {
    for (const Job& job : entry.jobs) {
      if (job.state != State::kDelayed && job.state != State::kQueued) continue;
      if (state.delayed.size() < options_.max_shown) {
        state.delayed.push_back({ActionOf(job.kind), path, job.rid, job.queued, job.expire});
      }
      ++state.delayed_count;
    }
  }
  return state;
}

}  // namespace om
