// The event streams of the packet doors: what happens, and how the status document changes.
#ifndef OM_COMPAT_GATEWAY_EVENT_HUB_H_
#define OM_COMPAT_GATEWAY_EVENT_HUB_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "compat/gateway/legacy_stream.h"
#include "compat/gateway/status_parts.h"
#include "server/base/counters.h"
#include "server/base/loop.h"
#include "server/state/change_feed.h"
#include "server/state/snapshot.h"

namespace om {

// What a subscriber wants.
struct EventChoice {
  // As 2.x has it: patches of the whole document, numbered, `path` for the path of an object, and
  // the two filters below. Else as 1.9: patches of one node's data, unfiltered.
  bool whole_document = false;
  // Globs on object paths, any of them; empty: all. What is about no object always goes.
  std::string selector;
  std::string name_space;
};

// Whether an object is chosen.
bool IsChosen(const EventChoice& choice, const ObjectPath& path);

// Makes the messages of a revision once for all who want the same, on a worker, from the state
// before and the state now: changes that come faster than they are written are told as one. Keeps a
// bounded ring of them for each kind of choice; who falls further behind than that is dropped, as
// legacy daemons do, and finds out by a closed connection. Costs nothing while nobody listens.
// THREAD: any. The streams may outlive the hub.
class EventHub {
 public:
  // All borrowed; they outlive the last stream.
  struct Parts {
    std::function<SnapshotPtr()> snapshot;
    ChangeFeed* feed = nullptr;
    std::function<DocumentFacts()> facts;
    Executor* workers = nullptr;
    Counters* counters = nullptr;
    size_t max_messages = 1024;          // Of one ring.
    size_t max_bytes = size_t{8} << 20;  // Of one ring; the newest message stays in any case.
  };
  explicit EventHub(Parts parts);
  ~EventHub();

  // A stream of what happens from its start on.
  std::unique_ptr<LegacyStream> Subscribe(const EventChoice& choice);
  int subscriber_count() const;

 private:
  class Impl;
  const std::shared_ptr<Impl> impl_;
};

// Puts one message, made later, in front of those of another stream: `full` gets it and hands it
// over, once, from any thread; null ends the stream.
std::unique_ptr<LegacyStream> StartingWith(
    const std::function<void(std::function<void(StreamMessagePtr)>)>& full,
    std::unique_ptr<LegacyStream> rest);

}  // namespace om

#endif  // OM_COMPAT_GATEWAY_EVENT_HUB_H_
