// The schedule dialect under any bytes: what parses must give times that keep its own rules.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>

#include "absl/time/time.h"
#include "server/config/schedule.h"

namespace {

// Survives NDEBUG, which a corpus replay in a release build has.
void Require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<om::Schedule> schedule = om::Schedule::Parse(text);
  if (!schedule.ok()) return 0;
  static const absl::TimeZone zone = [] {
    absl::TimeZone loaded;
    (void)absl::LoadTimeZone("Europe/Paris", &loaded);
    return loaded;
  }();
  absl::Time now = absl::FromUnixSeconds(1'774'700'000);  // Half a day before a change of clocks.
  std::optional<absl::Time> last;
  for (int i = 0; i < 3; ++i) {
    const std::optional<absl::Time> next = schedule->Next(now, last, zone);
    Require(!schedule->never() || !next.has_value());
    if (!next.has_value()) break;
    Require(*next >= now);
    Require(schedule->Allows(*next, last, zone));
    const absl::Duration spread = schedule->Spread(*next, 0.99, zone);
    Require(spread >= absl::ZeroDuration() && spread < absl::Hours(26));
    last = next;
    now = *next + absl::Seconds(1);
  }
  return 0;
}
