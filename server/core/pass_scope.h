// Which objects a pass of the monitor must look at.
#ifndef OM_SERVER_CORE_PASS_SCOPE_H_
#define OM_SERVER_CORE_PASS_SCOPE_H_

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/config/object_path.h"
#include "server/state/snapshot.h"

namespace om {

// A pass costs as much as the objects that it looks at, so that one change among thousands must not
// make it look at all. It looks at those that changed since the last one, at those that are related
// to them by configuration (parents, children, slaves, slices, affinities, in both directions), and
// at those that are not at rest: with an order, a wait, or an action. Everything else that matters
// to all (a node's state, settings, a limit that held something up) calls for a pass over all.
// Confined to the core loop.
class PassScope {
 public:
  // `node` is the local one.
  explicit PassScope(std::string node) : node_(std::move(node)) {}

  // The next pass looks at everything.
  void WantAll() { all_ = true; }
  // It looks at that object, and what is related to it.
  void Want(const ObjectPath& path) { touched_.insert(path); }

  // Takes what is wanted, in `busy` (commands in flight now) also what entered or left it since the
  // last call. False: all. True: `only` has the objects. Either way nothing is wanted any more.
  bool Take(const Snapshot& snapshot, const std::set<ObjectPath>& busy, std::set<ObjectPath>* only);

 private:
  void Index(const Snapshot& snapshot, const ObjectPath& path);

  const std::string node_;
  bool all_ = true;
  std::set<ObjectPath> touched_;
  std::set<ObjectPath> busy_;                         // At the last call.
  std::set<ObjectPath> active_;                       // Not at rest, when they were last looked at.
  std::map<ObjectPath, std::set<ObjectPath>> named_;  // By an object; no entry: none.
  std::map<ObjectPath, std::set<ObjectPath>> named_by_;  // The other way round.
};

}  // namespace om

#endif  // OM_SERVER_CORE_PASS_SCOPE_H_
