// The form of a line in node.log, which the command line and its users read.
#ifndef OM_SERVER_LOGS_LOG_LINE_H_
#define OM_SERVER_LOGS_LOG_LINE_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace om {

// Names the component that logs from this thread while it lives: "listener", "monitor". Scopes
// nest; the innermost counts. `name` is borrowed for as long.
class LogComponent {
 public:
  explicit LogComponent(absl::string_view name);
  ~LogComponent();
  LogComponent(const LogComponent&) = delete;
  LogComponent& operator=(const LogComponent&) = delete;

  // Of this thread; empty outside of all scopes.
  static absl::string_view Current();

 private:
  const absl::string_view outer_;
};

// "2026-11-22 18:00:00,123", as all lines of all logs begin.
std::string FormatLogTime(absl::Time time, absl::TimeZone zone);

// A message may make at most this many lines of at most so many bytes of text; what is cut off is
// said at the end.
inline constexpr size_t kMaxLogTextBytes = 16 << 10;
inline constexpr size_t kMaxLinesPerMessage = 256;

// "2026-11-22 18:00:00,123 - node1.osvcd.listener - INFO - text\n", in the time zone `zone`.
// Every line of a message has the whole prefix, and those after the first an indented text, so
// that each line can be read by itself and none can be taken for a message of its own. Other
// control characters are written as \xNN. `component` may be empty.
std::string FormatLogLines(absl::Time time, absl::TimeZone zone, absl::string_view node,
                           absl::string_view component, absl::string_view level,
                           absl::string_view text);

}  // namespace om

#endif  // OM_SERVER_LOGS_LOG_LINE_H_
