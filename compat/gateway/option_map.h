// From the `options` of a legacy action to the words of a command line.
#ifndef OM_COMPAT_GATEWAY_OPTION_MAP_H_
#define OM_COMPAT_GATEWAY_OPTION_MAP_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/base/json.h"

namespace om {

// Whose options they are. Requests of 2.x name a method, those of 1.9 do not.
struct OptionFamily {
  enum class Target { kService, kDataObject, kNode, kDaemon };
  Target target = Target::kService;
  bool is_2x = false;
};

// The words for `options`, the complete option set of the caller, in its order, and `--local` after
// them. Options that are unknown, null or at their default are left out, as are those that chose
// the node and those that legacy daemons declare as integers; lists repeat the option; flags show
// that they differ from the default; the rest is `--opt=value`. INVALID_ARGUMENT, with the name,
// for a value that is no word: an object, or a list where one value is taken. Pure.
absl::StatusOr<std::vector<std::string>> OptionWords(const Json& options,
                                                     const OptionFamily& family);

}  // namespace om

#endif  // OM_COMPAT_GATEWAY_OPTION_MAP_H_
