// Which packet actions the AES door accepts: the keyword compat.actions.
#ifndef OM_COMPAT_GATEWAY_ACTION_FILTER_H_
#define OM_COMPAT_GATEWAY_ACTION_FILTER_H_

#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace om {

// The literal packet that anybody may send, and what an empty one asks for. In `all`, not in
// `read`.
inline constexpr absl::string_view kDequeueAction = "dequeue_actions";

// A value; immutable once made. THREAD: any.
class ActionFilter {
 public:
  // Accepts everything.
  ActionFilter() = default;

  // `words` are `all`, `read` (every action that changes nothing) and names of actions, in any
  // mixture; the names that versions give to one action stand for each other. `known` are all
  // actions there are. Words that are neither are told in `unknown`, if given, and allow nothing.
  // No word at all: nothing is accepted.
  static ActionFilter Of(const std::vector<std::string>& words,
                         const std::vector<std::string>& known,
                         std::vector<std::string>* unknown = nullptr);

  // Whether a request of that action is accepted. Actions that do not exist are: that they do not
  // is the answer to give.
  bool Accepts(absl::string_view action) const;

 private:
  std::set<std::string> refused_;
};

}  // namespace om

#endif  // OM_COMPAT_GATEWAY_ACTION_FILTER_H_
