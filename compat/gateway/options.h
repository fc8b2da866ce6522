// Typed access to the options of a legacy request.
#ifndef OM_COMPAT_GATEWAY_OPTIONS_H_
#define OM_COMPAT_GATEWAY_OPTIONS_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/base/json.h"

namespace om {

// Missing and null options are nullopt. INVALID_ARGUMENT names the option, the type that was met
// and the one that was expected; values are not shown. Pure.
absl::StatusOr<std::optional<std::string>> StringOption(const Json& options,
                                                        absl::string_view name);
absl::StatusOr<std::optional<bool>> BoolOption(const Json& options, absl::string_view name);

}  // namespace om

#endif  // OM_COMPAT_GATEWAY_OPTIONS_H_
