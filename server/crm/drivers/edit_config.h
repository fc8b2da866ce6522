// Changes of an object's configuration that are more than setting keywords.
#ifndef OM_SERVER_CRM_DRIVERS_EDIT_CONFIG_H_
#define OM_SERVER_CRM_DRIVERS_EDIT_CONFIG_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/base/json.h"
#include "server/config/document.h"
#include "server/config/object_path.h"
#include "server/config/paths.h"

namespace om {

// Has `edit` change the object's document under the lock that all editors of this installation
// take, and writes it atomically, if it changed. INVALID_ARGUMENT, and no change, if the result has
// faults that were not there before or cannot be loaded on this node. Blocks on disk.
absl::Status EditDocument(const Roots& roots, const std::string& node, const ObjectPath& path,
                          const std::function<absl::Status(Document*)>& edit);

// Writes the first configuration of an object. ALREADY_EXISTS if it has one, unless `replace`.
// INVALID_ARGUMENT for one that has faults or cannot be loaded on this node. Blocks on disk.
absl::Status WriteNewDocument(const Roots& roots, const std::string& node, const ObjectPath& path,
                              const Document& document, bool replace);

// A configuration from text in the legacy dialect, or from JSON: {section: {keyword: value}}, or
// the same as the value of the object's path. Values that are lists become words.
absl::StatusOr<Document> ParseConfiguration(absl::string_view text, const ObjectPath& path);

// {section: {keyword: text}}, in the order of the file.
Json ToJson(const Document& document);

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_EDIT_CONFIG_H_
