// The states of resources, instances and services, with the codes and words of the legacy agent.
#ifndef OM_SERVER_STATE_AVAILABILITY_H_
#define OM_SERVER_STATE_AVAILABILITY_H_

#include <optional>

#include "absl/strings/string_view.h"

namespace om {

// Values are the legacy codes: they are also the exit codes of the `status` command.
enum class Availability {
  kUp = 0,
  kDown = 1,
  kWarn = 2,
  kNa = 3,     // Nothing to tell; disabled.
  kUndef = 5,  // The evaluation failed; neutral in merges.
  kStdbyUp = 6,
  kStdbyDown = 7,
  kUpWithStdbyUp = 8,    // Inside merges only; shown as "up".
  kStdbyUpWithDown = 9,  // Inside merges only; shown as "stdby up".
  kUnknown = 10,         // Of services only: no instance is known.
};

// "up", "n/a", "stdby down" ... The two internal codes give what they are shown as.
absl::string_view AvailabilityName(Availability availability);
// nullopt for a word that is none of them.
std::optional<Availability> ParseAvailability(absl::string_view name);

// Two resource states as one: commutative, kUndef and kUnknown give the other.
Availability Merge(Availability a, Availability b);
// What an internal code is shown as: kUp for kUpWithStdbyUp, kStdbyUp for kStdbyUpWithDown.
Availability Shown(Availability availability);

// The "stopped state" of orders: n/a, down, stdby up, stdby down, unknown; nullopt is stopped, too.
bool IsStopped(std::optional<Availability> availability);
// The "started state" of orders: n/a, up.
bool IsStarted(std::optional<Availability> availability);

}  // namespace om

#endif  // OM_SERVER_STATE_AVAILABILITY_H_
