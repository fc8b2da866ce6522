#include "client/omctl/arguments.h"

#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/errors.h"

namespace om {
namespace {

// For ever, as far as waiting goes, and far below what durations can hold.
constexpr int kLongestDays = 366;
constexpr int kLongestYears = 30;

absl::StatusOr<absl::Duration> ReadDuration(absl::string_view text) {
  double number = 0;
  absl::Duration result;
  const absl::Status unreadable = absl::InvalidArgumentError("no duration");
  const char first = text.empty() ? ' ' : text.front();
  if (!absl::ascii_isdigit(static_cast<unsigned char>(first)) && first != '.') return unreadable;
  absl::string_view days = text;
  if (absl::SimpleAtod(text, &number)) {
    result = absl::Seconds(number);
  } else if (absl::ConsumeSuffix(&days, "d") && absl::SimpleAtod(days, &number)) {
    result = absl::Hours(24) * number;
  } else if (!absl::ParseDuration(text, &result)) {
    return unreadable;
  }
  return result;
}

}  // namespace

absl::StatusOr<absl::Duration> ParseDurationArgument(absl::string_view text) {
  const absl::StatusOr<absl::Duration> result = ReadDuration(text);
  if (!result.ok() || *result <= absl::ZeroDuration() || *result > absl::Hours(24) * kLongestDays) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", Printable(text),
                     "' is no duration: expected seconds, or a number with a "
                     "unit, such as 30, 1.5s, 5m, 1h30m, 2d; above 0 and at most ",
                     kLongestDays, "d"));
  }
  return *result;
}

absl::StatusOr<absl::Duration> ParseLifetimeArgument(absl::string_view text) {
  double years = 0;
  absl::string_view number = text;
  absl::StatusOr<absl::Duration> result = ReadDuration(text);
  if (absl::ConsumeSuffix(&number, "y") && !absl::StartsWith(number, "-") &&
      absl::SimpleAtod(number, &years)) {
    result = absl::Hours(24 * 365) * years;
  }
  if (!result.ok() || *result <= absl::ZeroDuration() ||
      *result > absl::Hours(24 * 365) * kLongestYears) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", Printable(text),
        "' is no lifetime: expected seconds, or a number with a unit, such as 1h, 30d, "
        "1y; above 0 and at most ",
        kLongestYears, "y"));
  }
  return *result;
}

absl::StatusOr<absl::Time> ParseTimeArgument(absl::string_view text, absl::Time now,
                                             absl::TimeZone zone) {
  if (const absl::StatusOr<absl::Duration> ago = ReadDuration(text); ago.ok()) return now - *ago;
  absl::Time time;
  std::string error;
  for (const char* format : {absl::RFC3339_full, "%Y-%m-%d%ET%H:%M:%E*S", "%Y-%m-%d%ET%H:%M",
                             "%Y-%m-%d %H:%M:%E*S", "%Y-%m-%d %H:%M", "%Y-%m-%d"}) {
    if (absl::ParseTime(format, text, zone, &time, &error)) return time;
  }
  const std::string today = absl::FormatTime("%Y-%m-%d", now, zone);
  for (const char* format : {"%Y-%m-%d %H:%M:%E*S", "%Y-%m-%d %H:%M"}) {
    if (absl::ParseTime(format, absl::StrCat(today, " ", text), zone, &time, &error)) return time;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "'", Printable(text),
      "' is no time: expected such as '2026-11-23 01:02:03', "
      "2026-11-23T01:02:03Z, 2026-11-23, 01:02 (today), or how long ago: 10m, 2h, 1d"));
}

absl::StatusOr<std::string> ParseLevelArgument(absl::string_view text) {
  const std::string level = absl::AsciiStrToUpper(text);
  constexpr std::array<const char*, 5> kLevels = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"};
  for (const char* known : kLevels) {
    if (level == known || (level == "WARN" && absl::string_view(known) == "WARNING")) return known;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "'", Printable(text), "' is no level: expected debug, info, warning, error or critical"));
}

}  // namespace om
