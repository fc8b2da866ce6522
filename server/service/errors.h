// The one table of error reasons. Both doors use it: gRPC for the canonical code and the typed
// details, the packet door for the number in `status`.
#ifndef OM_SERVER_SERVICE_ERRORS_H_
#define OM_SERVER_SERVICE_ERRORS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace om {

struct ErrorRule {
  absl::string_view reason;  // "UNKNOWN_THREAD"
  absl::StatusCode code;
  // `status` of a legacy reply. 1 unless legacy clients look at the number.
  int legacy_status;
  // What the caller can do about it, one sentence; travels in ErrorInfo's metadata.
  absl::string_view hint;
};

// All reasons, each once.
const std::vector<ErrorRule>& ErrorRules();

// An error with the code and the reason of its row. `reason` must be in the table.
absl::Status MakeError(absl::string_view reason, absl::string_view message);

// The row for `status`: by its reason, else the row that stands for its code. Never null.
const ErrorRule& RuleOf(const absl::Status& status);

}  // namespace om

#endif  // OM_SERVER_SERVICE_ERRORS_H_
