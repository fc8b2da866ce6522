// The legacy `daemon_status` document, made from a snapshot.
#ifndef OM_COMPAT_GATEWAY_STATUS_DOCUMENT_H_
#define OM_COMPAT_GATEWAY_STATUS_DOCUMENT_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "compat/gateway/listener_stats.h"
#include "compat/gateway/status_parts.h"
#include "server/base/clock.h"
#include "server/base/json.h"
#include "server/base/loop.h"
#include "server/base/mutex.h"
#include "server/state/snapshot.h"

namespace om {

// Builds documents. Keeps the text of each object's part, so that what did not change is not
// written again. Not thread-safe.
//
// The document has the keys of 1.9 and of 2.1. Where the two give one key different types, the
// compatibility level decides: from 10 on the form is that of 2.x.
class StatusDocumentBuilder {
 public:
  // The text. `sessions` is the listener's statistics. `selected` chooses objects; empty: all.
  std::string Build(const Snapshot& snapshot, const DocumentFacts& facts, const Json& sessions,
                    const std::function<bool(const ObjectPath&)>& selected);

 private:
  struct Part {
    std::shared_ptr<const ObjectState> object;  // What the texts were made from.
    int compat_level = 0;
    std::map<std::string, std::string> config;  // By node: `"<path>": {...}`.
    std::map<std::string, std::string> status;  // The same.
    std::string service;
  };
  const Part& PartOf(const std::shared_ptr<const ObjectState>& object, int compat_level);

  std::map<ObjectPath, Part> parts_;
};

// A document ready to be sent: clear, and compressed for packets.
struct RenderedDocument {
  Revision revision{0};
  std::string text;
  std::string compressed;
};

// The document of the newest state, built once a revision on a worker however many ask for it.
// Statistics in it are at most a second old. THREAD: any.
class StatusDocumentCache {
 public:
  using Done = std::function<void(std::shared_ptr<const RenderedDocument>)>;  // Null: overloaded.
  static constexpr size_t kMaxWaiters = 4096;

  // All borrowed. `snapshot` gives the newest state, `facts` what else is told.
  StatusDocumentCache(std::function<SnapshotPtr()> snapshot, std::function<DocumentFacts()> facts,
                      const ListenerStats* stats, Executor* workers, const Clock* clock);

  // `done` gets a document that is at least as new as the state at the time of the call; it runs in
  // the call or on a worker.
  void Get(const Done& done) EXCLUDES(mutex_);

 private:
  struct Waiter {
    Revision revision;
    Done done;
  };
  void Work() EXCLUDES(mutex_);
  bool IsFresh(Revision revision) const REQUIRES(mutex_);

  const std::function<SnapshotPtr()> snapshot_;
  const std::function<DocumentFacts()> facts_;
  const ListenerStats* const stats_;  // Not owned.
  Executor* const workers_;           // Not owned.
  const Clock* const clock_;          // Not owned.
  StatusDocumentBuilder builder_;     // Touched by the one piece of work that runs.
  mutable Mutex mutex_;
  std::shared_ptr<const RenderedDocument> latest_ GUARDED_BY(mutex_);
  MonotonicTime latest_time_ GUARDED_BY(mutex_);
  bool working_ GUARDED_BY(mutex_) = false;
  std::vector<Waiter> waiters_ GUARDED_BY(mutex_);
};

}  // namespace om

#endif  // OM_COMPAT_GATEWAY_STATUS_DOCUMENT_H_
