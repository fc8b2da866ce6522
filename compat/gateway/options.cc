#include "compat/gateway/options.h"

#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace om {
namespace {

absl::Status WrongType(absl::string_view name, const Json& value, absl::string_view expected) {
  return WithField(
      absl::InvalidArgumentError(absl::StrCat("option ", name, " is of type ", value.type_name(),
                                              "; expected ", expected)),
      name);
}

const Json* FindOption(const Json& options, absl::string_view name) {
  const auto found = options.find(std::string(name));
  if (found == options.end() || found->is_null()) return nullptr;
  return &*found;
}

}  // namespace

absl::StatusOr<std::optional<std::string>> StringOption(const Json& options,
                                                        absl::string_view name) {
  const Json* value = FindOption(options, name);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return WrongType(name, *value, "a string or null");
  return std::optional<std::string>(value->get<std::string>());
}

absl::StatusOr<std::optional<bool>> BoolOption(const Json& options, absl::string_view name) {
  const Json* value = FindOption(options, name);
  if (value == nullptr) return std::optional<bool>();
  if (!value->is_boolean()) return WrongType(name, *value, "a boolean or null");
  return std::optional<bool>(value->get<bool>());
}

}  // namespace om
