// When a task may run: the schedule dialect of `status_schedule`, `monitor_schedule` and the
// `schedule` of resources.
#ifndef OM_SERVER_CONFIG_SCHEDULE_H_
#define OM_SERVER_CONFIG_SCHEDULE_H_

#include <bitset>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"

namespace om {

// One definition or a JSON list of them:
//
//   [!] <range>[,<range>...] [<days> [<weeks> [<months>]]]
//
//   range   [~][<hh:mm>[-<hh:mm>]][@<interval>], or * for the whole day. The end belongs to it, up
//           to the end of its minute; an end before the begin is on the next day; without an end
//           it lasts ten minutes. The interval is the least time between two runs: a duration, a
//           bare number is minutes. Without one there is one run a range, and no limit for `*`.
//           @0 is never.
//   days    list of days or ranges of days, mon or monday or 0 (Monday) to 6, * for all; each with
//           an optional :<nth>, 1 or 1st or first ..., -1 or last: of that weekday in the month,
//           and with * of the days of the month.
//   weeks   list of ISO weeks or ranges of them, 1 to 53, or %<n>[+<m>]: the rest of week / n is m.
//   months  the same, with 1 to 12 and jan or january.
//
// A task may run when one definition lets it and none that begins with ! covers the moment. Nothing
// at all, or @0: never. A range belongs to the day that it begins on. Days are those of the time
// zone: a time that a clock change leaves out is the moment of the change, of one that comes twice
// the first counts, and so a daily task is never left out, nor run twice.
// A value. THREAD: any.
class Schedule {
 public:
  static constexpr size_t kMaxBytes = 4096;
  static constexpr size_t kMaxDefinitions = 16;
  static constexpr size_t kMaxRanges = 16;  // In one definition.
  // Ranges that are at least so long spread their tasks over what remains of them.
  static constexpr absl::Duration kMinSpread = absl::Minutes(10);

  // INVALID_ARGUMENT "expected ..., found \"<value>\"" for the first piece that is wrong.
  static absl::StatusOr<Schedule> Parse(absl::string_view text);

  // No time is allowed, whatever the clock says.
  bool never() const { return definitions_.empty(); }

  // The first moment, not before `from`, at which a task that began last at `last` (nullopt: never)
  // may run. A `last` after `from` means that the clock was set back, and is ignored. nullopt:
  // there is none within the next kHorizonDays, or exclusions leave so little that it was not
  // found with kMaxSteps looks at a range.
  std::optional<absl::Time> Next(absl::Time from, std::optional<absl::Time> last,
                                 const absl::TimeZone& zone) const;
  static constexpr int kHorizonDays = 366 * 7;  // A week 53 is at most that far away.
  static constexpr int kMaxSteps = 50'000;

  bool Allows(absl::Time now, std::optional<absl::Time> last, const absl::TimeZone& zone) const {
    return Next(now, last, zone) == now;
  }

  // How long a task that may run at `now` should be put off, so that not everything runs when a
  // range begins: a part, `dice` in [0, 1), of what remains of the range. 0 where the range allows
  // several runs, has no end of its own, or less than kMinSpread of it remains.
  absl::Duration Spread(absl::Time now, double dice, const absl::TimeZone& zone) const;

 private:
  struct Range {
    int begin = 0;       // Minutes from the day's midnight.
    int end = 24 * 60;   // The first minute outside; more than a day: it ends on the next.
    bool spread = true;  // Not of a single moment, nor of a whole day.
    std::optional<absl::Duration> interval;  // Unset: one run a range.
  };
  struct Day {
    std::bitset<7> weekdays;
    bool any = false;  // Written as *: then `nth` counts days, not weekdays.
    int nth = 0;       // From the end if negative; 0: all.
  };
  struct Definition {
    std::vector<Range> ranges;
    std::vector<Day> days;
    std::bitset<54> weeks;   // By number.
    std::bitset<13> months;  // By number.

    bool Covers(absl::CivilDay day) const;
  };
  struct Window {
    absl::Time begin;
    absl::Time end;
  };

  static absl::StatusOr<Range> ParseRange(absl::string_view text);
  static absl::StatusOr<std::vector<Day>> ParseDays(absl::string_view text);
  static absl::StatusOr<Definition> ParseDefinition(absl::string_view text);
  absl::Status Add(absl::string_view text);
  static Window WindowOf(absl::CivilDay day, const Range& range, const absl::TimeZone& zone);
  // The end of an exclusion that covers `time`.
  std::optional<absl::Time> ExcludedUntil(absl::Time time, const absl::TimeZone& zone,
                                          int* steps) const;
  std::optional<absl::Time> NextIn(const Window& window, const Range& range, absl::Time from,
                                   std::optional<absl::Time> last, const absl::TimeZone& zone,
                                   int* steps) const;

  std::vector<Definition> definitions_;  // Each with a range.
  std::vector<Definition> exclusions_;
};

}  // namespace om

#endif  // OM_SERVER_CONFIG_SCHEDULE_H_
