#include "server/state/availability.h"

namespace om {
namespace {

constexpr int kCodes = 11;
// Row and column in the order of the legacy table; kUndef and kUnknown never get here.
int TableIndex(Availability availability) {
  switch (availability) {
    case Availability::kUp:
      return 0;
    case Availability::kDown:
      return 1;
    case Availability::kWarn:
      return 2;
    case Availability::kStdbyUp:
      return 4;
    case Availability::kStdbyDown:
      return 5;
    case Availability::kUpWithStdbyUp:
      return 6;
    case Availability::kStdbyUpWithDown:
      return 7;
    case Availability::kNa:
    case Availability::kUndef:
    case Availability::kUnknown:
      break;
  }
  return 3;
}

constexpr Availability kU = Availability::kUp;
constexpr Availability kD = Availability::kDown;
constexpr Availability kW = Availability::kWarn;
constexpr Availability kN = Availability::kNa;
constexpr Availability kSU = Availability::kStdbyUp;
constexpr Availability kSD = Availability::kStdbyDown;
constexpr Availability k8 = Availability::kUpWithStdbyUp;
constexpr Availability k9 = Availability::kStdbyUpWithDown;

constexpr Availability kMergeTable[8][8] = {
    // up    down warn n/a  stdby up, stdby down, 8, 9
    {kU, kW, kW, kU, k8, kW, k8, kW},     // up
    {kW, kD, kW, kD, k9, kSD, kW, k9},    // down
    {kW, kW, kW, kW, kW, kW, kW, kW},     // warn
    {kU, kD, kW, kN, kSU, kSD, k8, k9},   // n/a
    {k8, k9, kW, kSU, kSU, kW, k8, k9},   // stdby up
    {kW, kSD, kW, kSD, kW, kSD, kW, kW},  // stdby down
    {k8, kW, kW, k8, k8, kW, k8, kW},     // up and stdby up
    {kW, k9, kW, k9, k9, kW, kW, k9},     // stdby up and down
};

constexpr absl::string_view kNames[kCodes] = {
    "up", "down", "warn", "n/a", "", "undef", "stdby up", "stdby down", "up", "stdby up", "unknown",
};

bool IsNeutral(Availability availability) {
  return availability == Availability::kUndef || availability == Availability::kUnknown;
}

}  // namespace

absl::string_view AvailabilityName(Availability availability) {
  return kNames[static_cast<int>(availability)];
}

std::optional<Availability> ParseAvailability(absl::string_view name) {
  for (const Availability candidate :
       {Availability::kUp, Availability::kDown, Availability::kWarn, Availability::kNa,
        Availability::kUndef, Availability::kStdbyUp, Availability::kStdbyDown,
        Availability::kUnknown}) {
    if (AvailabilityName(candidate) == name) return candidate;
  }
  return std::nullopt;
}

Availability Merge(Availability a, Availability b) {
  if (IsNeutral(a)) return b;
  if (IsNeutral(b)) return a;
  return kMergeTable[TableIndex(a)][TableIndex(b)];
}

Availability Shown(Availability availability) {
  if (availability == Availability::kUpWithStdbyUp) return Availability::kUp;
  if (availability == Availability::kStdbyUpWithDown) return Availability::kStdbyUp;
  return availability;
}

bool IsStopped(std::optional<Availability> availability) {
  if (!availability.has_value()) return true;
  switch (*availability) {
    case Availability::kNa:
    case Availability::kDown:
    case Availability::kStdbyUp:
    case Availability::kStdbyDown:
    case Availability::kUnknown:
      return true;
    default:
      return false;
  }
}

bool IsStarted(std::optional<Availability> availability) {
  return availability == Availability::kNa || availability == Availability::kUp;
}

}  // namespace om
