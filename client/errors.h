// Errors of the daemon, with their typed details, as text for people and as absl::Status.
#ifndef OM_CLIENT_ERRORS_H_
#define OM_CLIENT_ERRORS_H_

#include <grpcpp/support/status.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace om {

// What a failed call says.
struct ErrorReport {
  // A field of the request that is wrong.
  struct Violation {
    std::string field;
    std::string description;
  };

  std::string code;     // `NOT_FOUND`.
  std::string message;  // One line.
  std::string reason;   // `UNKNOWN_THREAD`, or empty.
  std::map<std::string, std::string> facts;
  std::vector<Violation> violations;
  std::optional<std::chrono::milliseconds> retry_delay;
  std::string hint;  // What to do about it, or empty.
  // The daemon sent this answer. False: gRPC made it up, as when the connection broke.
  bool from_daemon = false;
};

// Details that are missing, damaged or of unknown types are left out.
ErrorReport DescribeError(const grpc::Status& status);

// Several lines: the message, then what else is known, indented. Ends with a newline.
std::string FormatError(const ErrorReport& report);

// The report as one JSON object, `{"error": {...}}`, without newline.
std::string FormatErrorJson(const ErrorReport& report);

// Code and message, with reason, first wrong field and retry delay attached as in
// server/base/status.h.
absl::Status ToAbslStatus(const grpc::Status& status);

// `text` with everything that a terminal might act upon replaced by '?'; newlines too unless
// `keep_newlines`. For what comes from elsewhere: labels, names, messages.
std::string Printable(absl::string_view text, bool keep_newlines = false);

}  // namespace om

#endif  // OM_CLIENT_ERRORS_H_
