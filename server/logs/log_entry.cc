#include "server/logs/log_entry.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace om {
namespace {

constexpr absl::string_view kSeparator = " - ";
constexpr size_t kTimeBytes = sizeof("2026-11-22 18:00:00,123") - 1;

// The field in front of the next separator; false if there is none.
bool TakeField(absl::string_view* rest, absl::string_view* field) {
  const size_t end = rest->find(kSeparator);
  if (end == absl::string_view::npos) return false;
  *field = rest->substr(0, end);
  rest->remove_prefix(end + kSeparator.size());
  return true;
}

std::optional<absl::Time> ParseTime(absl::string_view text, absl::TimeZone zone) {
  if (text.size() != kTimeBytes || text[kTimeBytes - 4] != ',') return std::nullopt;
  // absl's %S takes a fraction only after a dot.
  std::string dotted(text);
  dotted[kTimeBytes - 4] = '.';
  absl::Time time;
  std::string error;
  if (!absl::ParseTime("%Y-%m-%d %H:%M:%E3S", dotted, zone, &time, &error)) return std::nullopt;
  return time;
}

bool ConsumeName(absl::string_view* text, absl::string_view name) {
  if (name.empty() || !absl::StartsWith(*text, name)) return false;
  if (text->size() > name.size() && (*text)[name.size()] != '.') return false;
  text->remove_prefix(name.size());
  absl::ConsumePrefix(text, ".");
  return true;
}

void SplitOrigin(absl::string_view text, const LogOrigin& origin, LogEntry* entry) {
  // The log of another node's time, after a rename: its node is taken up to the first dot.
  if (!ConsumeName(&text, origin.node)) {
    const size_t dot = text.find('.');
    entry->node = std::string(text.substr(0, dot));
    text = dot == absl::string_view::npos ? "" : text.substr(dot + 1);
  } else {
    entry->node = origin.node;
  }
  if (text.empty()) return;
  if (ConsumeName(&text, "osvcd")) {
    entry->component = std::string(text);
    return;
  }
  if (ConsumeName(&text, origin.object)) {
    entry->object = origin.object;
    entry->rid = std::string(text);
    return;
  }
  // In the node's log; a resource id has a '#' in its last part, a name has none.
  const size_t mark = text.find('#');
  const size_t dot = mark == absl::string_view::npos ? mark : text.rfind('.', mark);
  if (dot == absl::string_view::npos) {
    entry->object = std::string(text);
  } else {
    entry->object = std::string(text.substr(0, dot));
    entry->rid = std::string(text.substr(dot + 1));
  }
}

}  // namespace

LogLevel ParseLogLevel(absl::string_view text) {
  const std::string word = absl::AsciiStrToUpper(text);
  if (word == "DEBUG") return LogLevel::kDebug;
  if (word == "INFO") return LogLevel::kInfo;
  if (word == "WARNING" || word == "WARN") return LogLevel::kWarning;
  if (word == "ERROR") return LogLevel::kError;
  if (word == "CRITICAL" || word == "FATAL") return LogLevel::kCritical;
  return LogLevel::kUnknown;
}

LogEntry ParseLogLine(absl::string_view line, const LogOrigin& origin, absl::TimeZone zone) {
  LogEntry entry;
  absl::string_view rest = line;
  absl::string_view time, source, level;
  if (TakeField(&rest, &time) && TakeField(&rest, &source)) {
    // The text may be empty, and its separator then without the last blank.
    if (!TakeField(&rest, &level)) {
      level = absl::StripSuffix(rest, " -");
      rest = "";
    }
    entry.time = ParseTime(time, zone);
    entry.level = ParseLogLevel(level);
    if (entry.time.has_value() && entry.level != LogLevel::kUnknown) {
      entry.level_text = std::string(level);
      entry.message = std::string(rest);
      SplitOrigin(source, origin, &entry);
      return entry;
    }
  }
  entry = LogEntry();
  entry.continuation = true;
  entry.message = std::string(line);
  return entry;
}

bool LogLineFilter::Passes(const LogEntry& entry) {
  if (filter_.empty()) return true;
  if (entry.continuation) return last_passed_;
  last_passed_ = entry.level >= filter_.min_level &&
                 (!filter_.since.has_value() || *entry.time >= *filter_.since) &&
                 (!filter_.until.has_value() || *entry.time < *filter_.until) &&
                 (filter_.rid.empty() || entry.rid == filter_.rid) &&
                 (filter_.text.empty() || absl::StrContains(entry.message, filter_.text));
  return last_passed_;
}

}  // namespace om
