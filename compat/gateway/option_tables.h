// What each option of a legacy command line is called and how it takes its value.
#ifndef OM_COMPAT_GATEWAY_OPTION_TABLES_H_
#define OM_COMPAT_GATEWAY_OPTION_TABLES_H_

#include <map>

#include "absl/strings/string_view.h"

namespace om {

// One option. Static data.
struct OptionShape {
  enum class Action {
    kAppend,  // Once for each element of a list.
    kStore,   // `--opt=value`.
    kTrue,    // `--opt` when the value is true.
    kFalse,   // `--opt` when the value is false.
  };
  absl::string_view option;  // With its dashes.
  Action action = Action::kStore;
  bool is_integer = false;             // Declared so: legacy daemons never forward it.
  const char* default_json = nullptr;  // Text of the default; null: it has none.
};

// By the name under which requests hold the value. THREAD: any.
const std::map<absl::string_view, OptionShape>& ServiceOptions19();
const std::map<absl::string_view, OptionShape>& NodeOptions19();
const std::map<absl::string_view, OptionShape>& DataOptions19();
const std::map<absl::string_view, OptionShape>& ServiceOptions21();
const std::map<absl::string_view, OptionShape>& NodeOptions21();
const std::map<absl::string_view, OptionShape>& DaemonOptions21();

}  // namespace om

#endif  // OM_COMPAT_GATEWAY_OPTION_TABLES_H_
