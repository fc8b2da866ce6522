// What a line of a log says, and which lines are asked for.
#ifndef OM_SERVER_LOGS_LOG_ENTRY_H_
#define OM_SERVER_LOGS_LOG_ENTRY_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace om {

enum class LogLevel { kUnknown, kDebug, kInfo, kWarning, kError, kCritical };
// "DEBUG", "INFO", ...; any case. kUnknown for other words.
LogLevel ParseLogLevel(absl::string_view text);

// One line. What a line does not say is empty; `message` of a line in no known form is all of it.
struct LogEntry {
  std::optional<absl::Time> time;
  std::string node;
  std::string object;     // Name as the line has it, without namespace and kind.
  std::string component;  // "listener", of the daemon's own lines.
  std::string rid;        // "app#1"
  LogLevel level = LogLevel::kUnknown;
  std::string level_text;
  std::string message;
  // The line goes on what the one before said; it has no time and level of its own.
  bool continuation = false;
};

// Whose log it is: names may hold dots, so an origin cannot be split without them.
struct LogOrigin {
  std::string node;
  std::string object;  // Name; empty: the node's log.
};

// `line` is without its newline. The form is
//   2026-11-22 18:00:00,123 - <node>[.osvcd[.<component>] | .<object>[.<rid>]] - INFO - text
// with the time in `zone`. Never fails. Pure.
LogEntry ParseLogLine(absl::string_view line, const LogOrigin& origin, absl::TimeZone zone);

// Unset members let everything through.
struct LogFilter {
  LogLevel min_level = LogLevel::kUnknown;
  std::optional<absl::Time> since;  // Inclusive.
  std::optional<absl::Time> until;  // Exclusive.
  std::string text;                 // Occurs in the message, in that case.
  std::string rid;
  bool empty() const {
    return min_level == LogLevel::kUnknown && !since.has_value() && !until.has_value() &&
           text.empty() && rid.empty();
  }
};

// Applies a filter to the lines of one log in their order. A line that continues another one goes
// the way of that one, so that a message stays whole. Not for several threads at once.
class LogLineFilter {
 public:
  explicit LogLineFilter(LogFilter filter) : filter_(std::move(filter)) {}
  bool Passes(const LogEntry& entry);

 private:
  const LogFilter filter_;
  bool last_passed_ = false;
};

}  // namespace om

#endif  // OM_SERVER_LOGS_LOG_ENTRY_H_
