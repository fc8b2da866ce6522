// Values of options that people write in several ways.
#ifndef OM_CLIENT_OMCTL_ARGUMENTS_H_
#define OM_CLIENT_OMCTL_ARGUMENTS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace om {

// `90` (seconds), `1.5s`, `5m`, `1h30m`, `2d`: above 0 and at most a year. INVALID_ARGUMENT says
// what was expected.
absl::StatusOr<absl::Duration> ParseDurationArgument(absl::string_view text);

// The same with years of 365 days, `10y`, and up to 30 of them: how long certificates last.
absl::StatusOr<absl::Duration> ParseLifetimeArgument(absl::string_view text);

// `2026-11-23T01:02:03Z`, `2026-11-23 01:02:03`, `2026-11-23` and `01:02` (today) in `zone`, or a
// duration, which means so long before `now`. INVALID_ARGUMENT says what was expected.
absl::StatusOr<absl::Time> ParseTimeArgument(absl::string_view text, absl::Time now,
                                             absl::TimeZone zone);

// `info`, `WARNING`, `warn` ... as logs have it. INVALID_ARGUMENT lists the levels.
absl::StatusOr<std::string> ParseLevelArgument(absl::string_view text);

}  // namespace om

#endif  // OM_CLIENT_OMCTL_ARGUMENTS_H_
