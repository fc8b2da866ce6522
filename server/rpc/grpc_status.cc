#include "server/rpc/grpc_status.h"

#include <string>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/base/status.h"
#include "server/service/errors.h"

namespace om {
namespace {

// The message travels three times: as the gRPC message, in the details, and in a field violation.
// Twice it may be percent-encoded or base64, so it gets less than its third of 4 KiB.
constexpr size_t kMaxMessageBytes = 700;
constexpr size_t kMaxFieldBytes = 100;

std::string Cut(absl::string_view text, size_t limit) {
  if (text.size() <= limit) return std::string(text);
  size_t end = limit;
  // Not in the middle of a character.
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "...";
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const ErrorRule& rule = RuleOf(status);
  const std::string message = Cut(status.message(), kMaxMessageBytes);
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(rule.reason));
  info.set_domain("om");
  if (!rule.hint.empty()) (*info.mutable_metadata())["hint"] = std::string(rule.hint);
  details.add_details()->PackFrom(info);
  if (const auto delay = RetryAfterOf(status)) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(delay->count() / 1000);
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(delay->count() % 1000 * 1'000'000));
    details.add_details()->PackFrom(retry);
  }
  const std::string field = FieldOf(status);
  if (!field.empty()) {
    google::rpc::BadRequest bad;
    google::rpc::BadRequest::FieldViolation& violation = *bad.add_field_violations();
    violation.set_field(Cut(field, kMaxFieldBytes));
    violation.set_description(message);
    details.add_details()->PackFrom(bad);
  }
  return {static_cast<grpc::StatusCode>(status.code()), message, details.SerializeAsString()};
}

}  // namespace om
