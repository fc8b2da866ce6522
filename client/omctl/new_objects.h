// Configurations of new objects, as people write them, as a request.
#ifndef OM_CLIENT_OMCTL_NEW_OBJECTS_H_
#define OM_CLIENT_OMCTL_NEW_OBJECTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "om/control/v1/action.pb.h"

namespace om {

// The objects that `text` describes: JSON `{path: {section: {keyword: value}}}`; or, where `path`
// says which object it is for, `{section: {keyword: value}}` or a file of `[section]` and
// `keyword = value` lines, lines indented deeper going on the value above. Keywords keep the order
// of the text. INVALID_ARGUMENT names `file_name` and the place; values,
// which may be secrets, are not shown. What the keywords mean is for the daemon to check.
absl::StatusOr<std::vector<control::v1::NewObject>> ParseNewObjects(absl::string_view text,
                                                                    absl::string_view path,
                                                                    absl::string_view file_name);

}  // namespace om

#endif  // OM_CLIENT_OMCTL_NEW_OBJECTS_H_
