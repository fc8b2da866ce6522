#include "client/errors.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/base/json.h"
#include "server/base/status.h"

namespace om {
namespace {

struct Hint {
  const char* key;  // A reason, or a code for errors without a reason in this list.
  const char* text;
};

// Better than the daemon's own hints where they name commands of ours.
constexpr std::array<Hint, 19> kHints = {{
    {"UNKNOWN_THREAD", "'omctl daemon threads' lists the threads"},
    {"SERVICE_UNKNOWN", "'omctl daemon status' lists the services this node knows"},
    {"ACTION_UNKNOWN", "'omctl actions list' lists the actions that are remembered"},
    {"ACTION_ENDED", "'omctl actions show' tells how it ended"},
    {"TOO_MANY_ACTIONS", "'omctl actions list --running' lists those that run"},
    {"LOG_NOT_FOUND", "nothing has been logged yet; with --follow it is waited for"},
    {"BAD_CURSOR", "leave --cursor out, and choose the start with --lines or --since"},
    {"CONDITION_NOT_MET", "--timeout waits longer"},
    {"OBJECT_EXISTS", "--replace replaces the configuration that is there"},
    {"INSTANCE_BUSY", "wait for the action to end ('omctl daemon watch' shows it), or abort it"},
    {"REVISION_MISMATCH", "the file was changed meanwhile: read it again, then repeat the change"},
    {"ROLE_MISSING",
     "ask as root over the Unix socket, or have the role granted; omctl auth whoami tells what is "
     "held"},
    {"PERMISSION_DENIED",
     "ask as root over the Unix socket, or have the role granted; omctl auth whoami tells what is "
     "held"},
    {"UNAUTHENTICATED", "use the Unix socket (leave --server out)"},
    {"UNAVAILABLE", "the daemon is starting, stopping or cannot write: try again"},
    {"RESOURCE_EXHAUSTED", "a limit of the daemon is reached: try again later"},
    {"UNIMPLEMENTED", "the daemon is older than this command"},
    {"DEADLINE_EXCEEDED", "--timeout gives it more time; what was asked for may still happen"},
    {"ABORTED", "something else was changed at the same time: try again"},
}};

std::string HintFor(absl::string_view key) {
  for (const Hint& hint : kHints) {
    if (key == hint.key) return hint.text;
  }
  return "";
}

std::string CodeName(grpc::StatusCode code) {
  return absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
}

}  // namespace

std::string Printable(absl::string_view text, bool keep_newlines) {
  std::string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    // U+0080 to U+009F are control characters too, C2 80 to C2 9F in UTF-8.
    const bool wide_control = c == 0xC2 && i + 1 < text.size() &&
                              static_cast<unsigned char>(text[i + 1]) >= 0x80 &&
                              static_cast<unsigned char>(text[i + 1]) <= 0x9F;
    if (wide_control) {
      result += '?';
      ++i;
    } else if (c == 0x7F || (c < 0x20 && !(keep_newlines && (c == '\n' || c == '\t')))) {
      result += '?';
    } else {
      result += text[i];
    }
  }
  return result;
}

ErrorReport DescribeError(const grpc::Status& status) {
  ErrorReport report;
  report.code = CodeName(status.error_code());
  report.message = status.error_message();
  google::rpc::Status details;
  if (!status.error_details().empty() && details.ParseFromString(status.error_details())) {
    report.from_daemon = true;
    for (const google::protobuf::Any& any : details.details()) {
      google::rpc::ErrorInfo info;
      google::rpc::RetryInfo retry;
      google::rpc::BadRequest bad;
      if (any.UnpackTo(&info)) {
        report.reason = info.reason();
        for (const auto& [name, value] : info.metadata()) report.facts[name] = value;
      } else if (any.UnpackTo(&retry)) {
        report.retry_delay = std::chrono::milliseconds(retry.retry_delay().seconds() * 1000 +
                                                       retry.retry_delay().nanos() / 1000000);
      } else if (any.UnpackTo(&bad)) {
        for (const auto& violation : bad.field_violations()) {
          report.violations.push_back({violation.field(), violation.description()});
        }
      }
    }
  }
  report.hint = HintFor(report.reason);
  const auto sent = report.facts.find("hint");
  if (sent != report.facts.end()) {
    if (report.hint.empty()) report.hint = sent->second;
    report.facts.erase(sent);
  }
  if (report.hint.empty()) report.hint = HintFor(report.code);
  return report;
}

std::string FormatError(const ErrorReport& report) {
  std::string text =
      absl::StrCat(Printable(report.message.empty() ? "no message" : report.message, true), "\n");
  const auto line = [&text](absl::string_view name, absl::string_view value) {
    absl::StrAppendFormat(&text, "  %-9s%s\n", absl::StrCat(name, ":"), Printable(value));
  };
  // The daemon gives the code again where it has no better reason.
  line("error", report.reason.empty() || report.reason == report.code
                    ? report.code
                    : absl::StrCat(report.code, ", reason ", report.reason));
  for (const ErrorReport::Violation& violation : report.violations) {
    line("field", violation.description.empty() || violation.description == report.message
                      ? violation.field
                      : absl::StrCat(violation.field, ": ", violation.description));
  }
  for (const auto& [name, value] : report.facts) line(name, value);
  if (report.retry_delay.has_value()) {
    line("retry",
         absl::StrFormat("in %.1f s", static_cast<double>(report.retry_delay->count()) / 1000.0));
  }
  if (!report.hint.empty()) line("hint", report.hint);
  return text;
}

std::string FormatErrorJson(const ErrorReport& report) {
  Json error = {{"code", report.code}, {"message", report.message}};
  if (!report.reason.empty()) error["reason"] = report.reason;
  if (!report.facts.empty()) error["metadata"] = report.facts;
  for (const ErrorReport::Violation& violation : report.violations) {
    error["fieldViolations"].push_back(
        {{"field", violation.field}, {"description", violation.description}});
  }
  if (report.retry_delay.has_value()) error["retryDelayMs"] = report.retry_delay->count();
  if (!report.hint.empty()) error["hint"] = report.hint;
  return DumpCompactJson(Json{{"error", std::move(error)}});
}

absl::Status ToAbslStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const ErrorReport report = DescribeError(status);
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), report.message);
  if (!report.reason.empty()) result = WithReason(std::move(result), report.reason);
  if (!report.violations.empty()) {
    result = WithField(std::move(result), report.violations.front().field);
  }
  if (report.retry_delay.has_value()) {
    result = WithRetryAfter(std::move(result), *report.retry_delay);
  }
  return result;
}

}  // namespace om
