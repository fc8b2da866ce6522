#include "server/service/errors.h"

#include <algorithm>

#include "glog/logging.h"
#include "server/base/status.h"

namespace om {
namespace {

using absl::StatusCode;

const ErrorRule* Find(absl::string_view reason) {
  const std::vector<ErrorRule>& rules = ErrorRules();
  const auto found = std::find_if(rules.begin(), rules.end(), [reason](const ErrorRule& rule) {
    return rule.reason == reason;
  });
  return found == rules.end() ? nullptr : &*found;
}

// For a status that nobody gave a reason: the reason is the code.
absl::string_view ReasonOfCode(StatusCode code) {
  switch (code) {
    case StatusCode::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case StatusCode::kNotFound:
      return "NOT_FOUND";
    case StatusCode::kAlreadyExists:
      return "ALREADY_EXISTS";
    case StatusCode::kPermissionDenied:
      return "PERMISSION_DENIED";
    case StatusCode::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case StatusCode::kAborted:
      return "ABORTED";
    case StatusCode::kOutOfRange:
      return "OUT_OF_RANGE";
    case StatusCode::kResourceExhausted:
      return "LIMIT_REACHED";
    case StatusCode::kUnavailable:
      return "UNAVAILABLE";
    case StatusCode::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case StatusCode::kUnimplemented:
      return "UNIMPLEMENTED";
    case StatusCode::kCancelled:
      return "CANCELLED";
    case StatusCode::kUnauthenticated:
      return "UNAUTHENTICATED";
    default:
      return "INTERNAL";
  }
}

}  // namespace

const std::vector<ErrorRule>& ErrorRules() {
  static const auto* const rules = new std::vector<ErrorRule>{
      {"ACTION_ENDED", StatusCode::kFailedPrecondition, 1, "There is nothing left to do."},
      {"ACTION_IN_PROGRESS", StatusCode::kFailedPrecondition, 1,
       "Wait until the action in progress has ended."},
      {"ACTION_UNKNOWN", StatusCode::kNotFound, 1,
       "Check the id. Ended actions are remembered for an hour, the last 1 000 of them."},
      {"AUDIT_UNAVAILABLE", StatusCode::kUnavailable, 1,
       "Nothing was changed. Look at the disk of the daemon's log directory."},
      {"AUTHORITY_MISSING", StatusCode::kFailedPrecondition, 1,
       "Ask the node that has it, or make one: omctl pki init."},
      {"BAD_CURSOR", StatusCode::kInvalidArgument, 1, "Read the log without a cursor."},
      {"CERTIFICATE_UNKNOWN", StatusCode::kNotFound, 1, "Check the serial: omctl pki list."},
      {"CONFIG_FILE_MISSING", StatusCode::kNotFound, 3, "Check the path of the object."},
      {"CONFIG_LOCKED", StatusCode::kUnavailable, 1, "Try again when the other editor is done."},
      {"CONFIG_NOT_ALLOWED", StatusCode::kPermissionDenied, 1,
       "Leave it out of the configuration, or have root put it there."},
      {"CONDITION_NOT_MET", StatusCode::kDeadlineExceeded, 1, "Wait longer, or find out why."},
      {"CREDENTIAL_ENDED", StatusCode::kUnauthenticated, 1, "Connect again with a good one."},
      {"CREDENTIAL_REFUSED", StatusCode::kUnauthenticated, 1,
       "Check certificate or token. The log of the node that was asked says more."},
      {"DAEMON_STOPPING", StatusCode::kUnavailable, 1, "Try again once the daemon has restarted."},
      {"FOREIGN_TOKEN", StatusCode::kOutOfRange, 1, "Watch again without resume token."},
      {"INSTANCE_BUSY", StatusCode::kFailedPrecondition, 1,
       "Wait until the action in progress has ended."},
      {"INVALID_PAGE_TOKEN", StatusCode::kInvalidArgument, 1, "Start with the first page."},
      {"JOURNAL_BUSY", StatusCode::kResourceExhausted, 1, "Nothing was changed. Try again later."},
      {"JOURNAL_FULL", StatusCode::kResourceExhausted, 1,
       "Nothing was changed. Look at the free space of the daemon's state directory."},
      {"JOURNAL_UNAVAILABLE", StatusCode::kUnavailable, 1,
       "Nothing was changed. Look at the disk of the daemon's state directory."},
      {"LOG_NOT_FOUND", StatusCode::kNotFound, 1,
       "Nothing has been logged yet; following the log waits for it."},
      {"NODE_UNKNOWN", StatusCode::kNotFound, 1, "Check the name of the node."},
      {"OBJECT_EXISTS", StatusCode::kAlreadyExists, 1,
       "Nothing was written. Ask to replace it, or choose another path."},
      {"ORDER_UNKNOWN", StatusCode::kNotFound, 1,
       "Check the id. Ended orders are remembered for an hour."},
      {"PROGRAM_NOT_FOUND", StatusCode::kNotFound, 1,
       "Check crm.command and crm.node_command of node.conf."},
      {"REQUEST_ID_REUSED", StatusCode::kInvalidArgument, 1,
       "Choose a new request_id for a different request."},
      {"REVISION_GONE", StatusCode::kOutOfRange, 1, "Watch again without resume token."},
      {"REVISION_MISMATCH", StatusCode::kAborted, 1, "Read the configuration again."},
      {"ROLE_MISSING", StatusCode::kPermissionDenied, 1,
       "Ask over the local socket as root, or have the role granted."},
      {"SERVICE_UNKNOWN", StatusCode::kNotFound, 1, "Check the path of the service."},
      {"SHUTDOWN_CANCELLED", StatusCode::kAborted, 1,
       "Somebody gave the node another status: find out why, then ask again."},
      {"TOO_MANY_ACTIONS", StatusCode::kResourceExhausted, 1,
       "Nothing was run. Wait until one of the actions has ended, or kill one."},
      {"TOO_MANY_ACTION_READERS", StatusCode::kResourceExhausted, 1, "Try again later."},
      {"TOO_MANY_CALLS", StatusCode::kResourceExhausted, 1, "Ask less often."},
      {"TOO_MANY_ORDERS", StatusCode::kResourceExhausted, 1, "Try again later."},
      {"TOO_MANY_READERS", StatusCode::kResourceExhausted, 1, "Try again later."},
      {"TOO_MANY_REQUESTS", StatusCode::kResourceExhausted, 1, "Try again later."},
      {"TOO_MANY_STREAMS", StatusCode::kResourceExhausted, 1, "Close one, or try again later."},
      {"TOO_MANY_WAITERS", StatusCode::kResourceExhausted, 1,
       "The same request is in progress: wait for its first answer."},
      {"TOO_MANY_WAITS", StatusCode::kResourceExhausted, 1, "Try again later."},
      {"UNKNOWN_ACTION", StatusCode::kUnimplemented, 1, "Check the name of the action."},
      {"UNKNOWN_KEYWORD", StatusCode::kNotFound, 1, "Check section and name of the keyword."},
      {"UNKNOWN_THREAD", StatusCode::kNotFound, 1, "Use one of the ids that the message lists."},
      {"USER_UNKNOWN", StatusCode::kNotFound, 1, "Check the name: users are system/usr/<name>."},
      // Without a reason of their own.
      {"ABORTED", StatusCode::kAborted, 1, ""},
      {"ALREADY_EXISTS", StatusCode::kAlreadyExists, 1, ""},
      {"CANCELLED", StatusCode::kCancelled, 1, ""},
      {"DEADLINE_EXCEEDED", StatusCode::kDeadlineExceeded, 1, ""},
      {"FAILED_PRECONDITION", StatusCode::kFailedPrecondition, 1, ""},
      {"INTERNAL", StatusCode::kInternal, 1, "This is a fault of the daemon; its log has more."},
      {"INVALID_ARGUMENT", StatusCode::kInvalidArgument, 1, ""},
      {"LIMIT_REACHED", StatusCode::kResourceExhausted, 1, "Try again later."},
      {"NOT_FOUND", StatusCode::kNotFound, 1, ""},
      {"OUT_OF_RANGE", StatusCode::kOutOfRange, 1, ""},
      {"PERMISSION_DENIED", StatusCode::kPermissionDenied, 1, ""},
      {"UNAUTHENTICATED", StatusCode::kUnauthenticated, 1, ""},
      {"UNAVAILABLE", StatusCode::kUnavailable, 1, "Try again later."},
      {"UNIMPLEMENTED", StatusCode::kUnimplemented, 1, ""},
  };
  return *rules;
}

absl::Status MakeError(absl::string_view reason, absl::string_view message) {
  const ErrorRule* rule = Find(reason);
  CHECK(rule != nullptr) << "no error rule " << reason;
  return WithReason(absl::Status(rule->code, message), reason);
}

const ErrorRule& RuleOf(const absl::Status& status) {
  const ErrorRule* rule = Find(ReasonOf(status));
  if (rule == nullptr) rule = Find(ReasonOfCode(status.code()));
  CHECK(rule != nullptr);
  return *rule;
}

}  // namespace om
