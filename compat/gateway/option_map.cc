#include "compat/gateway/option_map.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "compat/gateway/option_tables.h"
#include "server/base/status.h"

namespace om {
namespace {

using Target = OptionFamily::Target;

bool IsDropped(const std::string& name, const OptionFamily& family) {
  // They chose where to run, which has been done; `local` is forced on.
  if (name == "node" || name == "daemon" || name == "local") return true;
  if (family.is_2x && name == "server") return true;
  if (family.target != Target::kService && family.target != Target::kDataObject) return false;
  return name == "svcs" || name == "service" || name == "s" || name == "parm_svcs" || name == "id";
}

const OptionShape* Find(const std::string& name, const OptionFamily& family) {
  std::vector<const std::map<absl::string_view, OptionShape>*> tables;
  switch (family.target) {
    case Target::kDataObject:
      if (!family.is_2x) tables.push_back(&DataOptions19());
      [[fallthrough]];
    case Target::kService:
      tables.push_back(family.is_2x ? &ServiceOptions21() : &ServiceOptions19());
      break;
    case Target::kDaemon:
      if (family.is_2x) {
        tables.push_back(&DaemonOptions21());
        break;
      }
      [[fallthrough]];
    case Target::kNode:
      tables.push_back(family.is_2x ? &NodeOptions21() : &NodeOptions19());
      break;
  }
  // The filter of printed values is called by its option.
  const std::string key = name == "filter" ? "jsonpath_filter" : name;
  const std::string as_parameter = absl::StrCat("parm_", key);
  for (const auto* table : tables) {
    for (const std::string& each : {key, as_parameter}) {
      const auto found = table->find(each);
      if (found != table->end()) return &found->second;
    }
  }
  return nullptr;
}

bool IsDefault(const Json& value, const OptionShape& shape) {
  return shape.default_json != nullptr && *ParseJson(shape.default_json) == value;
}

// A value as one word; nullopt for what is none.
absl::StatusOr<std::string> Word(const std::string& name, const Json& value) {
  if (value.is_string()) {
    std::string text = value.get<std::string>();
    if (text.find('\0') == std::string::npos) return text;
  } else if (value.is_number() || value.is_boolean()) {
    return value.dump();
  }
  return WithField(absl::InvalidArgumentError(
                       absl::StrCat("option ", name, " holds a value of type ", value.type_name(),
                                    "; expected a string without NUL, or a number")),
                   name);
}

bool IsTruthy(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value != 0;
  return !value.empty() && value != "";
}

}  // namespace

absl::StatusOr<std::vector<std::string>> OptionWords(const Json& options,
                                                     const OptionFamily& family) {
  std::vector<std::string> words;
  for (const auto& [name, value] : options.items()) {
    if (value.is_null() || IsDropped(name, family)) continue;
    const OptionShape* shape = Find(name, family);
    if (shape == nullptr || shape->is_integer || IsDefault(value, *shape)) continue;
    const std::string option(shape->option);
    switch (shape->action) {
      case OptionShape::Action::kTrue:
        if (IsTruthy(value)) words.push_back(option);
        break;
      case OptionShape::Action::kFalse:
        if (!IsTruthy(value)) words.push_back(option);
        break;
      case OptionShape::Action::kAppend: {
        const Json list = value.is_array() ? value : Json::array({value});
        for (const Json& element : list) {
          ASSIGN_OR_RETURN(const std::string word, Word(name, element));
          words.push_back(absl::StrCat(option, "=", word));
        }
        break;
      }
      case OptionShape::Action::kStore: {
        ASSIGN_OR_RETURN(const std::string word, Word(name, value));
        words.push_back(absl::StrCat(option, "=", word));
        break;
      }
    }
  }
  words.emplace_back("--local");
  return words;
}

}  // namespace om
