#include "client/omctl/outcome.h"

#include <google/protobuf/util/json_util.h>

#include "absl/strings/str_cat.h"
#include "client/errors.h"
#include "server/base/json.h"

namespace om {
namespace {

int ExitStatusOf(const grpc::Status& status, const ErrorReport& report) {
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) return kExitDeadline;
  const bool broken = status.error_code() == grpc::StatusCode::UNAVAILABLE && !report.from_daemon;
  return broken ? kExitNoConnection : kExitError;
}

}  // namespace

Failure FailureOf(const grpc::Status& status) {
  const ErrorReport report = DescribeError(status);
  return {ExitStatusOf(status, report), FormatError(report), FormatErrorJson(report)};
}

Failure LocalFailure(int exit_status, absl::string_view code, absl::string_view message) {
  ErrorReport report;
  report.code = std::string(code);
  report.message = std::string(message);
  return {exit_status, absl::StrCat(Printable(message, true), "\n"), FormatErrorJson(report)};
}

Failure LocalFailure(int exit_status, const absl::Status& status) {
  return LocalFailure(exit_status, absl::StatusCodeToString(status.code()), status.message());
}

namespace {

bool HasBytes(const google::protobuf::Descriptor& type, int depth = 0) {
  for (int i = 0; i < type.field_count() && depth < 8; ++i) {
    const google::protobuf::FieldDescriptor& field = *type.field(i);
    if (field.type() == google::protobuf::FieldDescriptor::TYPE_BYTES) return true;
    if (field.message_type() != nullptr && HasBytes(*field.message_type(), depth + 1)) return true;
  }
  return false;
}

// Replaces base64 of bytes by the text they are.
void ShowBytesAsText(const google::protobuf::Message& message, Json* json) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const google::protobuf::FieldDescriptor* field = message.GetDescriptor()->field(i);
    const auto shown = json->find(field->json_name());
    if (shown == json->end() || field->is_map()) continue;
    if (field->type() == google::protobuf::FieldDescriptor::TYPE_BYTES) {
      if (!field->is_repeated()) *shown = reflection.GetString(message, field);
      for (int k = 0; field->is_repeated() && k < reflection.FieldSize(message, field); ++k) {
        (*shown)[static_cast<size_t>(k)] = reflection.GetRepeatedString(message, field, k);
      }
    } else if (field->message_type() != nullptr) {
      if (field->is_repeated()) {
        for (int k = 0; k < reflection.FieldSize(message, field); ++k) {
          Json& element = (*shown)[static_cast<size_t>(k)];
          if (element.is_object()) {
            ShowBytesAsText(reflection.GetRepeatedMessage(message, field, k), &element);
          }
        }
      } else if (shown->is_object()) {
        ShowBytesAsText(reflection.GetMessage(message, field), &*shown);
      }
    }
  }
}

}  // namespace

std::string ToJson(const google::protobuf::Message& message, bool pretty) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = pretty;
  options.always_print_primitive_fields = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  if (!status.ok()) text = absl::StrCat("{\"error\": \"", std::string(status.message()), "\"}");
  if (!text.empty() && text.back() == '\n') text.pop_back();
  if (!HasBytes(*message.GetDescriptor())) return text;
  absl::StatusOr<Json> json = ParseJson(text);
  if (!json.ok() || !json->is_object()) return text;
  ShowBytesAsText(message, &*json);
  // Bytes that are no text show as U+FFFD.
  return json->dump(pretty ? 1 : -1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
  return text;
}

}  // namespace om
