// Actions on this node's instances that this run of the daemon did not begin: a daemon before it
// did, or a person.
#ifndef OM_SERVER_CORE_TAKEN_OVER_H_
#define OM_SERVER_CORE_TAKEN_OVER_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "server/base/clock.h"
#include "server/control/decide.h"
#include "server/core/ports.h"

namespace om {

// Remembers which actions are under way, by what is seen of the instances' locks. Confined to the
// core loop; does nothing by itself.
class TakenOverActions {
 public:
  // An orphan of a daemon that has been told to end gets SIGKILL this much later.
  static constexpr Duration kKillGrace = std::chrono::seconds(5);

  struct Action {
    ActionHolder holder;  // As last seen.
    MonotonicTime since;  // First seen.
    bool told_to_end = false;
    bool ended = false;  // The lock is free; the instance is being evaluated.
  };
  enum class Step {
    kNone,       // Nothing is under way, or what follows the end of it is.
    kBegan,      // Seen for the first time.
    kGoesOn,     // Nothing to do but to look again.
    kTerminate,  // An orphan has passed its limit: SIGTERM.
    kKill,       // And did not heed it: SIGKILL.
    kEnded,      // The lock is free: the instance must be evaluated, and then Finish() be called.
  };
  // What to do about `path`, whose lock `holder` holds. Nobody but a daemon's orphan is ever ended:
  // what a person began is the person's. `limit` 0: none.
  Step Note(const ObjectPath& path, const std::optional<ActionHolder>& holder, Duration limit,
            MonotonicTime now);
  // Null: none is under way. Valid until the next call.
  const Action* Find(const ObjectPath& path) const;
  // Forgets the action and returns it.
  std::optional<Action> Finish(const ObjectPath& path);
  // Those whose lock is still held.
  std::vector<ObjectPath> Running() const;

 private:
  std::map<ObjectPath, Action> actions_;
};

// The limit of a command with that verb. "": the longest of all. Of others zero.
absl::Duration TimeLimit(const ActionLimits& limits, const std::string& verb);

// The monitor status that shows `intent`: "starting". Empty: none does.
std::string ProgressWord(const std::string& intent);

// The command that a holder runs, as the decisions know it, so that they can draw their conclusions
// from its end. nullopt: they know no such command.
std::optional<RunCrm> CommandOf(const ObjectPath& path, const ActionHolder& holder);

}  // namespace om

#endif  // OM_SERVER_CORE_TAKEN_OVER_H_
