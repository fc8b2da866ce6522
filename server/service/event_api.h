// Events and waiting for states: what EventService of the API means, without any transport.
#ifndef OM_SERVER_SERVICE_EVENT_API_H_
#define OM_SERVER_SERVICE_EVENT_API_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "om/control/v1/event.pb.h"
#include "server/base/mutex.h"
#include "server/service/context.h"
#include "server/service/event_watch.h"

namespace om {

// THREAD: any. Errors are those the proto names.
class EventApi {
 public:
  static constexpr int kMaxWaits = 1024;
  // Both are borrowed. Conditions are looked at on `executor`.
  EventApi(const ServiceContext* context, Executor* executor)
      : context_(context), executor_(executor) {}
  ~EventApi();  // EndWaits(), with `executor` and the loop at rest.

  // The caller of Next() is woken by feed().
  absl::StatusOr<std::shared_ptr<EventWatch>> WatchEvents(
      const Caller& caller, const control::v1::WatchEventsRequest& request);
  ChangeFeed* feed() const { return context_->core->feed(); }

  // Answers once the condition is met, at the deadline (`call_deadline` if that is earlier), or
  // when what is returned is called: then with CANCELLED, unless it has been answered. What is
  // returned is to be kept until the answer, and is what keeps the wait. `reply` may be called
  // inside. A wait holds no thread.
  std::function<void()> WaitFor(const Caller& caller, const control::v1::WaitForRequest& request,
                                std::optional<absl::Time> call_deadline,
                                Reply<control::v1::WaitForResponse> reply);
  // Answers all waits, and those to come, with UNAVAILABLE, reason DAEMON_STOPPING.
  void EndWaits() EXCLUDES(mutex_);

 private:
  class Wait;

  const ServiceContext* const context_;  // Not owned.
  Executor* const executor_;             // Not owned.
  Mutex mutex_;
  bool ended_ GUARDED_BY(mutex_) = false;
  std::map<const Wait*, std::weak_ptr<Wait>> waits_ GUARDED_BY(mutex_);
};

}  // namespace om

#endif  // OM_SERVER_SERVICE_EVENT_API_H_
