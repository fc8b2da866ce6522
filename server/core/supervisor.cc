#include "server/core/supervisor.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "glog/logging.h"
#include "server/base/status.h"

namespace om {

struct Supervisor::Entry {
  std::string id;
  Component* component = nullptr;  // Not owned.
  ThreadStatus status;
  bool wanted = false;  // The operator's, or the daemon's, will.
  uint64_t run = 0;     // Counts starts: what comes late from an earlier run is ignored.
  bool active = false;  // Started and neither exited nor stopped.
  bool restart_planned = false;
  TimerId restart_timer{0};
  Duration backoff{0};  // Of the last restart; 0: none since it was healthy.
  MonotonicTime started;
  bool removing = false;
  std::vector<std::function<void()>> on_stopped;
};

Supervisor::Supervisor(const Options& options, Loop* loop, const Clock* clock, Random* random,
                       Counters* counters, std::function<void(const ThreadStatus&)> publish)
    : options_(options),
      loop_(loop),
      clock_(clock),
      random_(random),
      restarts_(counters->Get("thread.restarts")),
      publish_(std::move(publish)),
      alive_(std::make_shared<Supervisor*>(this)) {}

Supervisor::~Supervisor() {
  for (const auto& [id, entry] : entries_) {
    if (entry->restart_planned) loop_->Cancel(entry->restart_timer);
  }
}

void Supervisor::Add(const std::string& id, Component* component) {
  auto entry = std::make_unique<Entry>();
  entry->id = id;
  entry->component = component;
  entry->status.id = id;
  Entry* const added = entry.get();
  CHECK(entries_.emplace(id, std::move(entry)).second) << "component " << id << " is there twice";
  Publish(added, ThreadState::kStopped);
}

void Supervisor::Remove(const std::string& id, std::function<void()> done) {
  const auto it = entries_.find(id);
  if (it == entries_.end()) {
    done();
    return;
  }
  it->second->removing = true;
  (void)Stop(id, [this, id, done = std::move(done)] {
    entries_.erase(id);
    done();
  });
}

absl::Status Supervisor::Unknown(const std::string& id) const {
  return WithField(
      WithReason(absl::NotFoundError(absl::StrCat("thread \"", id, "\" is unknown; there are ",
                                                  absl::StrJoin(ids(), ", "))),
                 "UNKNOWN_THREAD"),
      "thread_id");
}

absl::Status Supervisor::Start(const std::string& id) {
  const auto it = entries_.find(id);
  if (it == entries_.end() || it->second->removing) return Unknown(id);
  Entry* const entry = it->second.get();
  if (entry->wanted && (entry->active || entry->restart_planned)) return absl::OkStatus();
  entry->wanted = true;
  entry->backoff = Duration(0);
  // One that is still stopping is started once it has stopped.
  if (entry->status.state != ThreadState::kStopping) Launch(entry);
  return absl::OkStatus();
}

absl::Status Supervisor::Stop(const std::string& id, std::function<void()> done) {
  const auto it = entries_.find(id);
  if (it == entries_.end()) return Unknown(id);
  Entry* const entry = it->second.get();
  entry->wanted = false;
  if (entry->restart_planned) {
    loop_->Cancel(entry->restart_timer);
    entry->restart_planned = false;
  }
  if (entry->status.state == ThreadState::kStopping) {
    entry->on_stopped.push_back(std::move(done));
  } else if (entry->active) {
    entry->on_stopped.push_back(std::move(done));
    Halt(entry);
  } else {
    Publish(entry, ThreadState::kStopped);
    done();
  }
  return absl::OkStatus();
}

void Supervisor::StartAll() {
  for (const std::string& id : ids()) (void)Start(id);
}

void Supervisor::StopAll(std::function<void()> done) {
  auto remaining = std::make_shared<size_t>(entries_.size() + 1);
  auto one = [remaining, done = std::move(done)] {
    if (--*remaining == 0) done();
  };
  for (const std::string& id : ids()) (void)Stop(id, one);
  one();
}

void Supervisor::Launch(Entry* entry) {
  ++entry->run;
  entry->active = true;
  entry->started = clock_->Monotonic();
  entry->status.created = clock_->Now();
  entry->status.configured = entry->status.created;
  const auto exited = [loop = loop_, weak = std::weak_ptr<Supervisor*>(alive_), id = entry->id,
                       run = entry->run](const absl::Status& status) {
    (void)loop->Post([weak, id, run, status] {
      if (const auto self = weak.lock()) (*self)->Exited(id, run, status);
    });
  };
  absl::Status status;
  try {
    status = entry->component->Start(exited);
  } catch (const std::exception& error) {
    status = absl::InternalError(absl::StrCat("threw: ", error.what()));
  } catch (...) {
    status = absl::InternalError("threw something that is no exception");
  }
  if (!status.ok()) {
    Exited(entry->id, entry->run, status);
    return;
  }
  entry->status.kernel_tid = entry->component->kernel_tid();
  Publish(entry, ThreadState::kRunning);
}

void Supervisor::Exited(const std::string& id, uint64_t run, const absl::Status& status) {
  const auto it = entries_.find(id);
  if (it == entries_.end() || it->second->run != run || !it->second->active) return;
  Entry* const entry = it->second.get();
  if (entry->status.state == ThreadState::kStopping) {
    // It was being told to stop and ended by itself: that is as good. Its own answer is ignored.
    HasStopped(id, run);
    return;
  }
  entry->active = false;
  entry->status.kernel_tid = 0;
  entry->status.last_error = status.ok() ? "ended without being told to" : status.ToString();
  LOG(ERROR) << "OM-THREAD-EXITED " << id << " " << entry->status.last_error;
  ScheduleRestart(entry);
  Publish(entry, ThreadState::kTerminated);
}

void Supervisor::ScheduleRestart(Entry* entry) {
  if (clock_->Monotonic() - entry->started >= options_.healthy_after) entry->backoff = Duration(0);
  entry->backoff = entry->backoff == Duration(0)
                       ? options_.min_backoff
                       : std::min(entry->backoff * 2, options_.max_backoff);
  // Up to a quarter more, so that components that fell together do not rise together.
  const auto spread = static_cast<uint64_t>(entry->backoff.count() / 4);
  const Duration delay = entry->backoff + Duration(spread == 0 ? 0 : random_->Below(spread));
  entry->restart_planned = true;
  entry->restart_timer =
      loop_->PostAfter(delay, [weak = std::weak_ptr<Supervisor*>(alive_), id = entry->id] {
        const auto self = weak.lock();
        if (self == nullptr) return;
        const auto it = (*self)->entries_.find(id);
        if (it == (*self)->entries_.end() || !it->second->restart_planned) return;
        it->second->restart_planned = false;
        ++it->second->status.restart_count;
        (*self)->restarts_->Add();
        (*self)->Launch(it->second.get());
      });
}

void Supervisor::Halt(Entry* entry) {
  Publish(entry, ThreadState::kStopping);
  const auto stopped = [loop = loop_, weak = std::weak_ptr<Supervisor*>(alive_), id = entry->id,
                        run = entry->run] {
    (void)loop->Post([weak, id, run] {
      if (const auto self = weak.lock()) (*self)->HasStopped(id, run);
    });
  };
  try {
    entry->component->Stop(stopped);
  } catch (...) {
    LOG(ERROR) << "OM-THREAD-STOP-THREW " << entry->id << " counts as stopped";
    stopped();
  }
}

void Supervisor::HasStopped(const std::string& id, uint64_t run) {
  const auto it = entries_.find(id);
  if (it == entries_.end() || it->second->run != run || !it->second->active) return;
  Entry* const entry = it->second.get();
  entry->active = false;
  entry->status.kernel_tid = 0;
  Publish(entry, ThreadState::kStopped);
  std::vector<std::function<void()>> waiting;
  waiting.swap(entry->on_stopped);
  if (entry->wanted) Launch(entry);
  // `entry` may be gone after one of these.
  for (const std::function<void()>& done : waiting) done();
}

void Supervisor::Configured(const std::string& id) {
  const auto it = entries_.find(id);
  if (it == entries_.end()) return;
  it->second->status.configured = clock_->Now();
  publish_(it->second->status);
}

void Supervisor::SetAlerts(const std::string& id, std::vector<Alert> alerts) {
  const auto it = entries_.find(id);
  if (it == entries_.end() || it->second->status.alerts == alerts) return;
  it->second->status.alerts = std::move(alerts);
  publish_(it->second->status);
}

bool Supervisor::Guard(const std::function<void(absl::Status)>& exited,
                       const std::function<void()>& work) {
  try {
    work();
    return true;
  } catch (const std::exception& error) {
    exited(absl::InternalError(absl::StrCat("threw: ", error.what())));
  } catch (...) {
    exited(absl::InternalError("threw something that is no exception"));
  }
  return false;
}

void Supervisor::Publish(Entry* entry, ThreadState state) {
  entry->status.state = state;
  publish_(entry->status);
}

std::vector<std::string> Supervisor::ids() const {
  std::vector<std::string> ids;
  for (const auto& [id, entry] : entries_) {
    if (!entry->removing) ids.push_back(id);
  }
  return ids;
}

std::vector<ThreadStatus> Supervisor::statuses() const {
  std::vector<ThreadStatus> statuses;
  for (const auto& [id, entry] : entries_) statuses.push_back(entry->status);
  return statuses;
}

const ThreadStatus* Supervisor::status(const std::string& id) const {
  const auto it = entries_.find(id);
  return it == entries_.end() ? nullptr : &it->second->status;
}

}  // namespace om
