// The last changes of the state, for watchers: a bounded ring that one thread writes and any number
// read, each at its own pace.
#ifndef OM_SERVER_STATE_CHANGE_FEED_H_
#define OM_SERVER_STATE_CHANGE_FEED_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/base/loop.h"
#include "server/base/mutex.h"
#include "server/state/model.h"

namespace om {

// What became different at one revision. The new values are in the snapshot of that revision or a
// later one.
struct Change {
  Revision revision{0};
  absl::Time time;
  std::vector<ObjectPath> objects;   // Changed, appeared or gone.
  std::vector<std::string> nodes;    // The same.
  std::vector<std::string> threads;  // The same.
  bool cluster = false;              // Name, id or list of nodes.
  bool listener = false;
  bool alerts = false;
  std::vector<std::shared_ptr<const Event>> events;  // What was emitted with it.
};
size_t ApproximateBytes(const Change& change);

class ChangeFeed {
 public:
  struct Options {
    size_t max_changes = 8192;
    size_t max_bytes = 8 << 20;  // The newest change stays even if it alone is larger.
  };
  explicit ChangeFeed(const Options& options) : options_(options) {}

  // Wakes one reader until it is destroyed.
  class Subscription {
   public:
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

   private:
    friend class ChangeFeed;
    Subscription(ChangeFeed* feed, uint64_t id) : feed_(feed), id_(id) {}
    ChangeFeed* const feed_;  // Not owned.
    const uint64_t id_;
  };

  // The changes after `revision`, oldest first, at most `max`; empty if there are none yet.
  // OUT_OF_RANGE, reason REVISION_GONE, if some of them have left the ring: the reader must take a
  // snapshot and go on from its revision. THREAD: any.
  absl::StatusOr<std::vector<std::shared_ptr<const Change>>> ReadAfter(Revision revision,
                                                                       size_t max) const
      EXCLUDES(mutex_);

  // Has `wake` posted to `executor` soon after each change; wakes that have not run yet are not
  // repeated, so that a slow reader costs nothing. With a null executor `wake` is called by the
  // writer itself and must only set something in motion. `wake` may still run once while, or just
  // after, the subscription is destroyed: it must hold what it uses (weakly). The feed must outlive
  // the subscription, and both `executor` and it are borrowed. THREAD: any.
  [[nodiscard]] std::unique_ptr<Subscription> Subscribe(Executor* executor,
                                                        std::function<void()> wake)
      EXCLUDES(mutex_);

  // By the one writer, with revisions that count up by one.
  void Append(std::shared_ptr<const Change> change) EXCLUDES(mutex_);

  // Revision of the oldest change that is kept; 0 if there is none. THREAD: any.
  Revision oldest() const EXCLUDES(mutex_);
  // Revision of the newest change; 0 before the first. THREAD: any.
  Revision last() const EXCLUDES(mutex_);
  size_t subscriber_count() const EXCLUDES(mutex_);

 private:
  struct Subscriber;

  const Options options_;
  mutable Mutex mutex_;
  std::deque<std::shared_ptr<const Change>> ring_ GUARDED_BY(mutex_);
  size_t bytes_ GUARDED_BY(mutex_) = 0;
  Revision last_ GUARDED_BY(mutex_){0};
  uint64_t next_id_ GUARDED_BY(mutex_) = 1;
  std::map<uint64_t, std::shared_ptr<Subscriber>> subscribers_ GUARDED_BY(mutex_);
};

// The opaque text with which a watcher resumes: {incarnation of the daemon, revision}.
std::string EncodeResumeToken(absl::string_view incarnation, Revision revision);
// The revision in `token`. OUT_OF_RANGE, reason FOREIGN_TOKEN, if another run of the daemon gave
// it, or it is ahead of `current`; INVALID_ARGUMENT if it is no token at all.
absl::StatusOr<Revision> DecodeResumeToken(absl::string_view token, absl::string_view incarnation,
                                           Revision current);

}  // namespace om

#endif  // OM_SERVER_STATE_CHANGE_FEED_H_
