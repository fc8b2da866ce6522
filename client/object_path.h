// Paths of objects as people type them.
#ifndef OM_CLIENT_OBJECT_PATH_H_
#define OM_CLIENT_OBJECT_PATH_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace om {

// The canonical form of `text`, which is `<name>`, `<kind>/<name>` or `<namespace>/<kind>/<name>`:
// services of the root namespace are their bare name, the root namespace is never spelled out.
// INVALID_ARGUMENT says which part is wrong and what was expected. Only the form is checked: the
// object need not exist.
absl::StatusOr<std::string> CanonicalObjectPath(absl::string_view text);

}  // namespace om

#endif  // OM_CLIENT_OBJECT_PATH_H_
