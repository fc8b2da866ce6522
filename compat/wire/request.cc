#include "compat/wire/request.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "compat/wire/encoding.h"
#include "compat/wire/reply.h"
#include "server/base/status.h"

namespace om {
namespace {

ParsedRequest Refuse(absl::string_view error) {
  ParsedRequest parsed;
  parsed.outcome = ParsedRequest::Outcome::kRefused;
  parsed.refusal = ErrorReply(error);
  return parsed;
}

std::string Mismatch(absl::string_view thing, const Json& met, absl::string_view expected) {
  return absl::StrCat(thing, " is ", met.type_name(), ": expected ", expected);
}

// What the old agents' `if node:` takes for no node at all.
bool IsEmptySelector(const Json& node) {
  return node.is_null() || ((node.is_string() || node.is_array()) && node.empty()) || node == "";
}

bool IsSelector(const Json& node) {
  if (node.is_string()) return true;
  if (!node.is_array()) return false;
  for (const Json& name : node) {
    if (!name.is_string()) return false;
  }
  return true;
}

}  // namespace

ParsedRequest ParseRequest(absl::string_view text) {
  absl::StatusOr<Json> json = ParseJson(DropInvalidUtf8(std::string(text)));
  if (!json.ok()) return Refuse("invalid data format");
  if (json->is_null()) return ParsedRequest();
  if (!json->is_object()) return Refuse("invalid data format");

  ParsedRequest parsed;
  LegacyRequest& request = parsed.request;
  const auto action = json->find("action");
  if (action == json->end() || action->is_null()) return Refuse("action not specified");
  if (!action->is_string()) return Refuse(Mismatch("action", *action, "a string"));
  request.action = action->get<std::string>();
  request.action.erase(0, request.action.find_first_not_of('/'));

  if (const auto options = json->find("options"); options != json->end()) {
    if (!options->is_object()) return Refuse(Mismatch("options", *options, "an object"));
    request.options = std::move(*options);
  }
  if (const auto node = json->find("node"); node != json->end() && !IsEmptySelector(*node)) {
    if (!IsSelector(*node)) return Refuse(Mismatch("node", *node, "a string or a list of strings"));
    request.node = std::move(*node);
  }
  if (const auto method = json->find("method"); method != json->end() && method->is_string()) {
    request.method = method->get<std::string>();
  }
  if (const auto flag = json->find("multiplexed"); flag != json->end() && flag->is_boolean()) {
    request.multiplexed = flag->get<bool>();
  }
  parsed.outcome = ParsedRequest::Outcome::kRequest;
  return parsed;
}

absl::StatusOr<std::string> ObjectPathOption(const Json& options) {
  for (const char* key : {"svcpath", "svcname", "path"}) {
    const auto it = options.find(key);
    if (it == options.end() || it->is_null() || *it == "") continue;
    if (!it->is_string()) {
      return WithField(absl::InvalidArgumentError(Mismatch(key, *it, "a string")), key);
    }
    return it->get<std::string>();
  }
  return std::string();
}

}  // namespace om
