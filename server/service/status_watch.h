// The state as serialized messages: built once a revision, shared by everyone who asks.
#ifndef OM_SERVER_SERVICE_STATUS_WATCH_H_
#define OM_SERVER_SERVICE_STATUS_WATCH_H_

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "om/control/v1/daemon.pb.h"
#include "server/base/mutex.h"
#include "server/service/convert.h"
#include "server/service/stream_source.h"
#include "server/service/visibility.h"
#include "server/state/change_feed.h"
#include "server/state/snapshot.h"

namespace om {

// Serialized answers and changes of the last revisions. THREAD: any; who comes while a message is
// being built waits for it instead of building another.
class StatusCache {
 public:
  explicit StatusCache(DaemonFacts facts) : facts_(std::move(facts)) {}

  // A serialized GetStatusResponse. The plain request, first page and no selector, of who sees
  // everything is cached.
  // INVALID_ARGUMENT, with the field, for a bad page size or token.
  absl::StatusOr<Bytes> Page(const SnapshotPtr& snapshot,
                             const control::v1::GetStatusRequest& request,
                             const Visibility& visibility) EXCLUDES(mutex_);

  // Serialized WatchStatusResponses with the changes after `from` up to `to`, one unless it would
  // grow past kMaxMessageBytes; values are those of `snapshot`, which is at `to` or later. Who
  // resumes between two of them gets all of them again. Watchers that keep up and see everything
  // share them; for others they are built, and there are none if nothing is seen of the changes.
  using Messages = std::shared_ptr<const std::vector<Bytes>>;  // Never null.
  Messages ChangeMessages(Revision from, Revision to,
                          const std::vector<std::shared_ptr<const Change>>& changes,
                          const SnapshotPtr& snapshot, const Visibility& visibility)
      EXCLUDES(mutex_);

  const DaemonFacts& facts() const { return facts_; }

 private:
  struct CachedChange {
    Revision from;
    Revision to;
    Messages messages;
  };
  static constexpr size_t kMaxCachedChanges = 64;
  // About: one object or event more may be in it.
  static constexpr size_t kMaxMessageBytes = 256 << 10;

  absl::StatusOr<std::string> BuildPage(const Snapshot& snapshot,
                                        const control::v1::GetStatusRequest& request,
                                        const Visibility& visibility) const;
  Messages BuildChangeMessages(Revision from, Revision to,
                               const std::vector<std::shared_ptr<const Change>>& changes,
                               const Snapshot& snapshot, const Visibility& visibility) const;

  const DaemonFacts facts_;
  Mutex mutex_;
  Revision page_revision_ GUARDED_BY(mutex_){0};
  Bytes page_ GUARDED_BY(mutex_);
  std::deque<CachedChange> changes_ GUARDED_BY(mutex_);
};

// One watcher: tells what to send next. It holds no queue of its own, only a position in the feed,
// so a slow reader costs no memory; when the feed has moved on past its position it is told so.
// Not thread-safe: the stream calls it from one callback at a time.
class StatusWatch final : public StreamSource {
 public:
  // All borrowed. `snapshot` gives the newest state. Use Open(). Revisions are those of the whole
  // state, whatever is seen of it: a token is worth the same to everyone.
  StatusWatch(StatusCache* cache, ChangeFeed* feed, std::function<SnapshotPtr()> snapshot,
              Visibility visibility = Visibility::Everything());

  // Checks the token. OUT_OF_RANGE or INVALID_ARGUMENT as DecodeResumeToken() and ReadAfter().
  absl::Status Open(const control::v1::WatchStatusRequest& request);

  // The next serialized WatchStatusResponse; null if there is nothing to tell now.
  // OUT_OF_RANGE, reason REVISION_GONE, if the feed no longer has the next change.
  absl::StatusOr<Bytes> Next() override;
  // What to send when nothing has been told for a while.
  Bytes HeartbeatMessage() const override;

 private:
  static constexpr size_t kObjectsAChunk = 200;
  static constexpr size_t kChangesAMessage = 256;
  static constexpr size_t kMaxChunkBytes = 256 << 10;

  Bytes NextChunk();

  StatusCache* const cache_;  // Not owned.
  ChangeFeed* const feed_;    // Not owned.
  const std::function<SnapshotPtr()> snapshot_;
  const Visibility visibility_;
  Revision position_{0};  // Everything up to it has been told.
  // While the state is being sent: the moment it is of, and the last path that was sent.
  SnapshotPtr sending_;
  bool first_chunk_ = true;
  ObjectPath last_sent_;
  int sent_count_ = 0;
  // Messages on the way from `position_` to `messages_end_`. Null: none are left.
  StatusCache::Messages messages_;
  size_t next_message_ = 0;
  Revision messages_end_{0};
};

}  // namespace om

#endif  // OM_SERVER_SERVICE_STATUS_WATCH_H_
