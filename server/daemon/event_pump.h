// Carries events from the core's feed to whoever does something about them.
#ifndef OM_SERVER_DAEMON_EVENT_PUMP_H_
#define OM_SERVER_DAEMON_EVENT_PUMP_H_

#include <functional>
#include <memory>

#include "server/base/loop.h"
#include "server/base/mutex.h"
#include "server/state/change_feed.h"
#include "server/state/snapshot.h"

namespace om {

// Calls `take` with each event in its order, on `executor`, one at a time. Events that left the
// feed before they could be carried, which takes thousands of changes at once, are told by the log.
// THREAD: any.
class EventPump {
 public:
  using Take = std::function<void(const Event&, const SnapshotPtr&)>;
  // All borrowed. Starts with the first event of the feed.
  EventPump(ChangeFeed* feed, std::function<SnapshotPtr()> snapshot, Executor* executor, Take take);
  ~EventPump();  // With `executor` at rest.

 private:
  struct State;
  const std::shared_ptr<State> state_;
  std::unique_ptr<ChangeFeed::Subscription> subscription_;
};

}  // namespace om

#endif  // OM_SERVER_DAEMON_EVENT_PUMP_H_
