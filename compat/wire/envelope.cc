#include "compat/wire/envelope.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/json.h"
#include "server/base/status.h"

namespace om {
namespace {

// An envelope is flat; the rest is room for keys we do not know.
constexpr int kMaxEnvelopeDepth = 16;

absl::Status TakeString(Json* object, const char* field, std::string* out) {
  const auto it = object->find(field);
  const char* met = it == object->end() ? "missing" : it->type_name();
  if (it == object->end() || !it->is_string()) {
    return WithField(WithReason(absl::InvalidArgumentError(absl::StrCat(
                                    "envelope: ", field, " is ", met, ": expected a string")),
                                "ENVELOPE_FIELD"),
                     field);
  }
  *out = std::move(it->get_ref<std::string&>());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Envelope> ParseEnvelope(absl::string_view text) {
  absl::StatusOr<Json> json = ParseJson(text, kMaxEnvelopeDepth);
  if (!json.ok()) return WithReason(Annotate(json.status(), "envelope"), "ENVELOPE_NOT_JSON");
  if (!json->is_object()) {
    return WithReason(absl::InvalidArgumentError(
                          absl::StrCat("envelope: is ", json->type_name(), ": expected an object")),
                      "ENVELOPE_NOT_AN_OBJECT");
  }
  Envelope envelope;
  RETURN_IF_ERROR(TakeString(&*json, "clustername", &envelope.clustername));
  RETURN_IF_ERROR(TakeString(&*json, "nodename", &envelope.nodename));
  RETURN_IF_ERROR(TakeString(&*json, "iv", &envelope.iv));
  RETURN_IF_ERROR(TakeString(&*json, "data", &envelope.data));
  if (const auto hmac = json->find("hmac"); hmac != json->end()) {
    envelope.hmac = hmac->is_string() ? std::move(hmac->get_ref<std::string&>()) : std::string();
  }
  return envelope;
}

}  // namespace om
