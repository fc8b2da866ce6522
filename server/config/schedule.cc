#include "server/config/schedule.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "server/base/json.h"
#include "server/base/status.h"
#include "server/config/value.h"

namespace om {
namespace {

constexpr int kDayMinutes = 24 * 60;
constexpr int kMomentMinutes = 10;  // Length of a range without an end.
constexpr int kMaxIntervalMinutes = 100 * 366 * kDayMinutes;

constexpr absl::string_view kWeekdays[] = {"monday", "tuesday",  "wednesday", "thursday",
                                           "friday", "saturday", "sunday"};
constexpr absl::string_view kMonths[] = {"january",   "february", "march",    "april",
                                         "may",       "june",     "july",     "august",
                                         "september", "october",  "november", "december"};
constexpr absl::string_view kNth[][2] = {
    {"first", "1st"}, {"second", "2nd"}, {"third", "3rd"}, {"fourth", "4th"}, {"fifth", "5th"}};

absl::Status Expected(absl::string_view what, absl::string_view found) {
  return absl::InvalidArgumentError(
      absl::StrCat("expected ", what, ", found \"", absl::CHexEscape(found.substr(0, 80)), "\""));
}

// Digits only, no sign.
std::optional<int> ParseNumber(absl::string_view text, int max) {
  int number = 0;
  if (text.empty() || text.size() > 9 ||
      !std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }) ||
      !absl::SimpleAtoi(text, &number) || number > max) {
    return std::nullopt;
  }
  return number;
}

std::string Lower(absl::string_view text) { return absl::AsciiStrToLower(text); }

// A number, or the first letters (3 at least) of a name; the first name has number `first`.
template <size_t kSize>
std::optional<int> ParseNamed(absl::string_view text, const absl::string_view (&names)[kSize],
                              int first) {
  const int last = first + static_cast<int>(kSize) - 1;
  if (const std::optional<int> number = ParseNumber(text, last)) {
    return *number >= first ? number : std::nullopt;
  }
  if (text.size() < 3) return std::nullopt;
  const std::string word = Lower(text);
  for (size_t i = 0; i < kSize; ++i) {
    if (absl::StartsWith(names[i], word)) return first + static_cast<int>(i);
  }
  return std::nullopt;
}

// Calls `add` for each number of a range that may go around the end.
template <class Add>
void ForRange(int begin, int end, int first, int last, Add add) {
  for (int i = begin;; i = i == last ? first : i + 1) {
    add(i);
    if (i == end) return;
  }
}

// Lists of numbers, ranges and %n+m: weeks and months.
template <size_t kBits, class Parse>
absl::Status ParseNumbers(absl::string_view text, absl::string_view what, int last, Parse parse,
                          std::bitset<kBits>* out) {
  for (const absl::string_view item : absl::StrSplit(text, ',')) {
    if (item == "*") {
      out->set();
    } else if (absl::StartsWith(item, "%")) {
      const std::pair<absl::string_view, absl::string_view> parts =
          absl::StrSplit(item.substr(1), absl::MaxSplits('+', 1));
      const std::optional<int> modulo = ParseNumber(parts.first, last);
      const std::optional<int> shift =
          absl::StrContains(item, '+') ? ParseNumber(parts.second, last) : 0;
      if (!modulo.has_value() || *modulo == 0 || !shift.has_value()) {
        return Expected(absl::StrCat("%<n> or %<n>+<m> of ", what), item);
      }
      for (int i = 1; i <= last; ++i) {
        if (i % *modulo == *shift % *modulo) out->set(static_cast<size_t>(i));
      }
    } else {
      const std::pair<absl::string_view, absl::string_view> parts =
          absl::StrSplit(item, absl::MaxSplits('-', 1));
      const std::optional<int> begin = parse(parts.first);
      const std::optional<int> end = absl::StrContains(item, '-') ? parse(parts.second) : begin;
      if (!begin.has_value() || !end.has_value()) {
        return Expected(absl::StrCat(what, ", a range of them, %<n>[+<m>] or *"), item);
      }
      ForRange(*begin, *end, 1, last, [out](int i) { out->set(static_cast<size_t>(i)); });
    }
  }
  return absl::OkStatus();
}

// Minutes from midnight.
std::optional<int> ParseClock(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  if (parts.size() != 2) return std::nullopt;
  const std::optional<int> hour = ParseNumber(parts[0], 23);
  const std::optional<int> minute = ParseNumber(parts[1], 59);
  if (!hour.has_value() || !minute.has_value()) return std::nullopt;
  return *hour * 60 + *minute;
}

std::optional<int> ParseNth(absl::string_view text) {
  const std::string word = Lower(text);
  if (word == "last") return -1;
  for (size_t i = 0; i < std::size(kNth); ++i) {
    if (word == kNth[i][0] || word == kNth[i][1]) return static_cast<int>(i) + 1;
  }
  const bool negative = absl::StartsWith(text, "-");
  if (negative || absl::StartsWith(text, "+")) text.remove_prefix(1);
  const std::optional<int> number = ParseNumber(text, 31);
  if (!number.has_value() || *number == 0) return std::nullopt;
  return negative ? -*number : *number;
}

int MondayBased(absl::CivilDay day) {
  return static_cast<int>(absl::GetWeekday(day));  // absl::Weekday::monday is 0.
}
static_assert(static_cast<int>(absl::Weekday::monday) == 0);

int IsoWeek(absl::CivilDay day) {
  // The week of a day is that of its Thursday, counted in the Thursday's year.
  const absl::CivilDay thursday = day - MondayBased(day) + 3;
  return (absl::GetYearDay(thursday) - 1) / 7 + 1;
}

int DaysInMonth(absl::CivilDay day) {
  return static_cast<int>(absl::CivilDay(absl::CivilMonth(day) + 1) -
                          absl::CivilDay(absl::CivilMonth(day)));
}

// Of a time that comes twice the first; where it is left out, the moment of the change.
absl::Time InstantOf(absl::CivilMinute minute, const absl::TimeZone& zone) {
  const absl::TimeZone::TimeInfo info = zone.At(absl::CivilSecond(minute));
  return info.kind == absl::TimeZone::TimeInfo::SKIPPED ? info.trans : info.pre;
}

}  // namespace

absl::StatusOr<Schedule::Range> Schedule::ParseRange(absl::string_view text) {
  constexpr absl::string_view kWhat = "<hh:mm>[-<hh:mm>][@<interval>], @<interval> or *";
  Range range;
  absl::string_view rest = text;
  const bool spread = absl::ConsumePrefix(&rest, "~");
  const size_t at = rest.find('@');
  const absl::string_view clock = rest.substr(0, at);
  const bool whole = clock.empty() || clock == "*";
  if (at != absl::string_view::npos) {
    const absl::string_view interval = rest.substr(at + 1);
    if (const std::optional<int> minutes = ParseNumber(interval, kMaxIntervalMinutes)) {
      range.interval = absl::Minutes(*minutes);
    } else {
      const auto duration = ParseDuration(interval);
      // "" and " 5" would be fine for a duration, but not here.
      if (!duration.ok() || interval.empty() || interval[0] == ' ') {
        return Expected("an interval such as 10, 30s, 1h30m (minutes without a unit)", interval);
      }
      range.interval = absl::FromChrono(*duration);
    }
  } else if (whole) {
    if (clock.empty()) return Expected(kWhat, text);
    range.interval = absl::ZeroDuration();
  }
  if (whole) {
    range.spread = false;
    return range;
  }
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(clock, absl::MaxSplits('-', 1));
  const std::optional<int> begin = ParseClock(parts.first);
  const bool has_end = absl::StrContains(clock, '-');
  std::optional<int> end = begin;
  if (has_end) end = parts.second == "24:00" ? kDayMinutes - 1 : ParseClock(parts.second);
  if (!begin.has_value() || !end.has_value()) return Expected(kWhat, text);
  range.begin = *begin;
  if (*begin == *end) {
    range.end = *begin + kMomentMinutes;
    range.spread = spread;  // "at nine" means at nine, unless it says otherwise.
  } else {
    range.end = *end + 1 + (*end < *begin ? kDayMinutes : 0);
  }
  return range;
}

absl::StatusOr<std::vector<Schedule::Day>> Schedule::ParseDays(absl::string_view text) {
  std::vector<Day> days;
  for (const absl::string_view item : absl::StrSplit(text, ',')) {
    Day day;
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(item, absl::MaxSplits(':', 1));
    if (absl::StrContains(item, ':')) {
      const std::optional<int> nth = ParseNth(parts.second);
      if (!nth.has_value()) {
        return Expected("a number of a day such as 1, 2nd, third, -1 or last", parts.second);
      }
      day.nth = *nth;
    }
    if (parts.first == "*" || (parts.first.empty() && day.nth != 0)) {
      day.any = true;
      day.weekdays.set();
    } else {
      const std::pair<absl::string_view, absl::string_view> range =
          absl::StrSplit(parts.first, absl::MaxSplits('-', 1));
      const std::optional<int> begin = ParseNamed(range.first, kWeekdays, 0);
      const std::optional<int> end =
          absl::StrContains(parts.first, '-') ? ParseNamed(range.second, kWeekdays, 0) : begin;
      if (!begin.has_value() || !end.has_value()) {
        return Expected("a day such as mon, tuesday or 0 (Monday) to 6, a range of them, or *",
                        parts.first);
      }
      ForRange(*begin, *end, 0, 6, [&](int i) { day.weekdays.set(static_cast<size_t>(i)); });
    }
    days.push_back(day);
  }
  return days;
}

absl::StatusOr<Schedule::Definition> Schedule::ParseDefinition(absl::string_view text) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(text, absl::ByAnyChar(" \t\r\n\v\f"), absl::SkipEmpty());
  if (words.empty() || words.size() > 4) {
    return Expected("\"<range> [<days> [<weeks> [<months>]]]\"", text);
  }
  Definition definition;
  const std::vector<absl::string_view> ranges = absl::StrSplit(words[0], ',');
  if (ranges.size() > kMaxRanges) {
    return Expected(absl::StrCat("at most ", kMaxRanges, " ranges"), words[0]);
  }
  for (const absl::string_view item : ranges) {
    ASSIGN_OR_RETURN(const Range range, ParseRange(item));
    definition.ranges.push_back(range);
  }
  ASSIGN_OR_RETURN(definition.days, ParseDays(words.size() > 1 ? words[1] : "*"));
  RETURN_IF_ERROR(ParseNumbers(
      words.size() > 2 ? words[2] : "*", "a week from 1 to 53", 53,
      [](absl::string_view word) {
        const std::optional<int> week = ParseNumber(word, 53);
        return week == 0 ? std::nullopt : week;
      },
      &definition.weeks));
  RETURN_IF_ERROR(ParseNumbers(
      words.size() > 3 ? words[3] : "*", "a month such as jan, february or 1 to 12", 12,
      [](absl::string_view word) { return ParseNamed(word, kMonths, 1); }, &definition.months));
  return definition;
}

absl::Status Schedule::Add(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (text.empty()) return absl::OkStatus();
  const bool excludes = absl::ConsumePrefix(&text, "!");
  ASSIGN_OR_RETURN(Definition definition, ParseDefinition(text));
  if (excludes) {
    exclusions_.push_back(std::move(definition));
    return absl::OkStatus();
  }
  // "@0" on its own is never; "*" is the whole day without an interval, not with one of 0.
  const std::string first(text.substr(0, text.find_first_of(" \t\r\n\v\f")));
  const std::vector<absl::string_view> texts = absl::StrSplit(first, ',');
  std::vector<Range> kept;
  for (size_t i = 0; i < definition.ranges.size(); ++i) {
    const Range& range = definition.ranges[i];
    const bool never = range.interval == absl::ZeroDuration() && absl::StrContains(texts[i], '@');
    if (!never) kept.push_back(range);
  }
  definition.ranges = std::move(kept);
  if (!definition.ranges.empty()) definitions_.push_back(std::move(definition));
  return absl::OkStatus();
}

absl::StatusOr<Schedule> Schedule::Parse(absl::string_view text) {
  if (text.size() > kMaxBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected at most ", kMaxBytes, " bytes of schedule, found ", text.size()));
  }
  Schedule schedule;
  text = absl::StripAsciiWhitespace(text);
  if (!absl::StartsWith(text, "[")) {
    RETURN_IF_ERROR(schedule.Add(text));
    return schedule;
  }
  const absl::StatusOr<Json> list = ParseJson(text, 2);
  if (!list.ok() || !list->is_array() || list->size() > kMaxDefinitions) {
    return Expected(absl::StrCat("a JSON list of at most ", kMaxDefinitions, " texts"), text);
  }
  for (const Json& item : *list) {
    if (!item.is_string()) return Expected("a JSON list of texts", text);
    RETURN_IF_ERROR(schedule.Add(item.get_ref<const std::string&>()));
  }
  return schedule;
}

bool Schedule::Definition::Covers(absl::CivilDay day) const {
  if (!months.test(static_cast<size_t>(day.month()))) return false;
  if (!weeks.test(static_cast<size_t>(IsoWeek(day)))) return false;
  const size_t weekday = static_cast<size_t>(MondayBased(day));
  return std::any_of(days.begin(), days.end(), [&](const Day& one) {
    if (!one.weekdays.test(weekday)) return false;
    if (one.nth == 0) return true;
    const int from_end = DaysInMonth(day) - day.day() + 1;
    const int position = one.nth > 0 ? day.day() : from_end;
    const int wanted = one.nth > 0 ? one.nth : -one.nth;
    return one.any ? position == wanted : (position - 1) / 7 + 1 == wanted;
  });
}

Schedule::Window Schedule::WindowOf(absl::CivilDay day, const Range& range,
                                    const absl::TimeZone& zone) {
  const absl::CivilMinute midnight(day);
  Window window{InstantOf(midnight + range.begin, zone), InstantOf(midnight + range.end, zone)};
  // Left out as a whole by a change of the clock: it follows the change.
  if (window.end <= window.begin) {
    window.end = window.begin + absl::Minutes(range.end - range.begin);
  }
  return window;
}

std::optional<absl::Time> Schedule::ExcludedUntil(absl::Time time, const absl::TimeZone& zone,
                                                  int* steps) const {
  const absl::CivilDay today(absl::ToCivilDay(time, zone));
  for (const Definition& definition : exclusions_) {
    for (const absl::CivilDay day : {today - 1, today}) {
      if (!definition.Covers(day)) continue;
      for (const Range& range : definition.ranges) {
        ++*steps;
        const Window window = WindowOf(day, range, zone);
        if (time >= window.begin && time < window.end) return window.end;
      }
    }
  }
  return std::nullopt;
}

std::optional<absl::Time> Schedule::NextIn(const Window& window, const Range& range,
                                           absl::Time from, std::optional<absl::Time> last,
                                           const absl::TimeZone& zone, int* steps) const {
  absl::Time time = std::max(from, window.begin);
  if (last.has_value()) {
    if (range.interval.has_value()) {
      time = std::max(time, *last + *range.interval);
    } else if (*last >= window.begin) {
      return std::nullopt;  // It had its run.
    }
  }
  while (time < window.end) {
    const std::optional<absl::Time> end = ExcludedUntil(time, zone, steps);
    if (!end.has_value()) return time;
    time = *end;  // Later than `time`: this ends.
  }
  return std::nullopt;
}

std::optional<absl::Time> Schedule::Next(absl::Time from, std::optional<absl::Time> last,
                                         const absl::TimeZone& zone) const {
  if (last.has_value() && *last > from) last.reset();
  std::optional<absl::Time> best;
  int steps = 0;
  const absl::CivilDay today(absl::ToCivilDay(from, zone));
  for (const Definition& definition : definitions_) {
    // From yesterday: its ranges may go past midnight.
    for (absl::CivilDay day = today - 1; day <= today + kHorizonDays; ++day) {
      if (best.has_value() && InstantOf(absl::CivilMinute(day), zone) >= *best) break;
      if (!definition.Covers(day)) continue;
      for (const Range& range : definition.ranges) {
        if (++steps > kMaxSteps) return best;
        const std::optional<absl::Time> time =
            NextIn(WindowOf(day, range, zone), range, from, last, zone, &steps);
        if (time.has_value() && (!best.has_value() || *time < *best)) best = time;
      }
    }
  }
  return best;
}

absl::Duration Schedule::Spread(absl::Time now, double dice, const absl::TimeZone& zone) const {
  const absl::CivilDay today(absl::ToCivilDay(now, zone));
  absl::Duration delay = absl::ZeroDuration();
  for (const Definition& definition : definitions_) {
    for (const absl::CivilDay day : {today - 1, today}) {
      if (!definition.Covers(day)) continue;
      for (const Range& range : definition.ranges) {
        const Window window = WindowOf(day, range, zone);
        if (now < window.begin || now >= window.end) continue;
        const absl::Duration length = absl::Minutes(range.end - range.begin - 1);
        // Another definition allows it now, however often: nothing to put off.
        if (!range.spread || (range.interval.has_value() && *range.interval < length)) {
          return absl::ZeroDuration();
        }
        const absl::Duration remains = window.end - now;
        if (remains < kMinSpread) return absl::ZeroDuration();
        // The last minute is left to begin in.
        delay = std::max(delay, (remains - absl::Minutes(1)) * std::clamp(dice, 0.0, 1.0));
      }
    }
  }
  return delay;
}

}  // namespace om
