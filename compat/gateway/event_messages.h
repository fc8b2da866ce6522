// The texts of event streams: pure functions of two states and what happened between them.
#ifndef OM_COMPAT_GATEWAY_EVENT_MESSAGES_H_
#define OM_COMPAT_GATEWAY_EVENT_MESSAGES_H_

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "compat/gateway/status_parts.h"
#include "server/base/json.h"
#include "server/state/change_feed.h"
#include "server/state/snapshot.h"

namespace om {

using ObjectFilter = std::function<bool(const ObjectPath&)>;

// What several changes touched, and what was emitted with them.
struct ChangeSummary {
  std::set<ObjectPath> objects;
  std::vector<std::shared_ptr<const Event>> events;
  void Add(const Change& change);
};

// The message of an event, with the state of what it is about. `path_key` is `svcpath` or `path`.
Json EventMessage(const Event& event, const Snapshot& now, int compat_level,
                  const std::string& path_key);

// Stanzas that lead from one state to the other, relative to each node's data; nodes whose data did
// not change are not there. Only objects in `objects` that pass `chosen` are compared.
std::map<std::string, Json> NodePatches(const Snapshot& before, const Snapshot& now,
                                        int compat_level, const std::set<ObjectPath>& objects,
                                        const ObjectFilter& chosen);

// The same for the whole document, without the listener's statistics; empty if nothing changed.
Json DocumentStanzas(const Snapshot& before, const Snapshot& now, const DocumentFacts& facts,
                     const std::set<ObjectPath>& objects, const ObjectFilter& chosen);

}  // namespace om

#endif  // OM_COMPAT_GATEWAY_EVENT_MESSAGES_H_
