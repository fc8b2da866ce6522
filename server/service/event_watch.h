// One watcher of events: a position in the feed of changes, and what it wants to know.
#ifndef OM_SERVER_SERVICE_EVENT_WATCH_H_
#define OM_SERVER_SERVICE_EVENT_WATCH_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "om/control/v1/event.pb.h"
#include "server/service/stream_source.h"
#include "server/service/visibility.h"
#include "server/state/change_feed.h"

namespace om {

// Which events are wanted. Of each list one entry must match; empty lists match all.
struct EventFilter {
  std::vector<std::string> ids;        // Shell globs.
  std::vector<std::string> selectors;  // Shell globs on paths; events about no object match none.
  std::vector<std::string> nodes;
  // Events about objects that are not seen match nothing.
  Visibility visibility = Visibility::Everything();
  bool Matches(const Event& event) const;
};

// Holds no queue: a slow reader costs no memory, and is told how much left the feed before it came.
// Not thread-safe: the stream calls it from one callback at a time.
class EventWatch final : public StreamSource {
 public:
  // `feed` is borrowed. Starts after `position`.
  EventWatch(ChangeFeed* feed, std::string incarnation, EventFilter filter, Revision position)
      : feed_(feed),
        incarnation_(std::move(incarnation)),
        filter_(std::move(filter)),
        position_(position) {}

  // A serialized WatchEventsResponse; null: nothing for now.
  absl::StatusOr<Bytes> Next() override;
  // The token of now: filters may have let nothing through for long.
  Bytes HeartbeatMessage() const override;

 private:
  static constexpr size_t kChangesARead = 256;
  static constexpr size_t kMaxMessageBytes = 256 << 10;  // About: one change more may be in it.

  ChangeFeed* const feed_;  // Not owned.
  const std::string incarnation_;
  const EventFilter filter_;
  Revision position_;    // Everything up to it has been told.
  uint64_t missed_ = 0;  // Changes that left the feed, to be told with the next message.
};

}  // namespace om

#endif  // OM_SERVER_SERVICE_EVENT_WATCH_H_
