#include "server/daemon/event_pump.h"

#include <utility>
#include <vector>

#include "glog/logging.h"

namespace om {
namespace {

constexpr size_t kChangesARead = 256;

}  // namespace

struct EventPump::State {
  ChangeFeed* feed = nullptr;
  std::function<SnapshotPtr()> snapshot;
  Take take;
  Mutex mutex;
  Revision position GUARDED_BY(mutex){0};
  bool ended GUARDED_BY(mutex) = false;

  // The lock keeps events in their order, should two threads be woken.
  void Pump() EXCLUDES(mutex) {
    MutexLock lock(&mutex);
    while (!ended) {
      const auto changes = feed->ReadAfter(position, kChangesARead);
      if (!changes.ok()) {
        const Revision oldest = feed->oldest();
        LOG(WARNING) << "OM-EVENTS-MISSED hooks and logs of objects are not told of the events "
                        "of some changes: they came too fast";
        position = Revision{static_cast<uint64_t>(oldest) - 1};
        continue;
      }
      if (changes->empty()) return;
      for (const std::shared_ptr<const Change>& change : *changes) {
        for (const std::shared_ptr<const Event>& event : change->events) take(*event, snapshot());
        position = change->revision;
      }
    }
  }
};

EventPump::EventPump(ChangeFeed* feed, std::function<SnapshotPtr()> snapshot, Executor* executor,
                     Take take)
    : state_(std::make_shared<State>()) {
  state_->feed = feed;
  state_->snapshot = std::move(snapshot);
  state_->take = std::move(take);
  const auto pump = [state = std::weak_ptr<State>(state_)] {
    if (const std::shared_ptr<State> self = state.lock()) self->Pump();
  };
  subscription_ = feed->Subscribe(executor, pump);
  (void)executor->Post(pump);  // Full: the next change does it.
}

EventPump::~EventPump() {
  MutexLock lock(&state_->mutex);
  state_->ended = true;
}

}  // namespace om
