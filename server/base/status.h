// Status helpers shared by everything: propagation macros, context, and the machine-readable facts
// (reason, field, retry delay) that both doors turn into their own error forms.
#ifndef OM_SERVER_BASE_STATUS_H_
#define OM_SERVER_BASE_STATUS_H_

#include <chrono>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace om {

// `status` with "<context>: " in front of its message; code and payloads are kept. An OK status is
// returned as it is.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

// Attaches the machine-readable reason, an UPPER_SNAKE_CASE word such as "UNKNOWN_THREAD". Clients
// act on the code and the reason, never on the text.
absl::Status WithReason(absl::Status status, absl::string_view reason);
// The reason attached, or an empty string.
std::string ReasonOf(const absl::Status& status);

// Attaches the name of the request field (or keyword) the error is about.
absl::Status WithField(absl::Status status, absl::string_view field);
std::string FieldOf(const absl::Status& status);

// Attaches how long the caller should wait before it tries again.
absl::Status WithRetryAfter(absl::Status status, std::chrono::milliseconds delay);
std::optional<std::chrono::milliseconds> RetryAfterOf(const absl::Status& status);

// A status of the kind that fits `error_number`, an errno value, with "<what>: <strerror>".
absl::Status ErrnoStatus(int error_number, absl::string_view what);

}  // namespace om

#define OM_CONCAT_INNER(a, b) a##b
#define OM_CONCAT(a, b) OM_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expr)                \
  do {                                       \
    absl::Status om_status_ = (expr);        \
    if (!om_status_.ok()) return om_status_; \
  } while (false)

#define ASSIGN_OR_RETURN(lhs, expr) \
  OM_ASSIGN_OR_RETURN(OM_CONCAT(om_statusor_, __LINE__), lhs, expr)
#define OM_ASSIGN_OR_RETURN(var, lhs, expr) \
  auto var = (expr);                        \
  if (!var.ok()) return var.status();       \
  lhs = *std::move(var)

#endif  // OM_SERVER_BASE_STATUS_H_
