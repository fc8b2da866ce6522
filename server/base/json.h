// JSON at the edges: parsing with a bound on depth, and text in the form legacy peers write.
#ifndef OM_SERVER_BASE_JSON_H_
#define OM_SERVER_BASE_JSON_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace om {

// Key order is kept: documents are compared and read by people.
using Json = nlohmann::ordered_json;

// Parses one JSON value; white space around it is fine, anything else after it is not. Never
// throws. INVALID_ARGUMENT names the byte where it went wrong, or the nesting deeper than
// `max_depth`. Python's NaN and Infinity words are not accepted.
absl::StatusOr<Json> ParseJson(absl::string_view text, int max_depth = 64);

// The text Python's encoder writes by default: ", " and ": " separators, every non-ASCII character
// escaped. Invalid UTF-8 in strings is replaced by U+FFFD.
std::string DumpJson(const Json& value);

// The same without spaces, for files and logs.
std::string DumpCompactJson(const Json& value);

}  // namespace om

#endif  // OM_SERVER_BASE_JSON_H_
