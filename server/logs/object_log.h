// Lines that the daemon writes into the logs of objects, beside their resource managers.
#ifndef OM_SERVER_LOGS_OBJECT_LOG_H_
#define OM_SERVER_LOGS_OBJECT_LOG_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace om {

// "2026-11-22 18:00:00,123 - node1.svc1.app#1 - INFO - text\n"; `rid` may be empty. Control
// characters of `text` become blanks.
std::string FormatObjectLogLine(absl::Time time, absl::TimeZone zone, absl::string_view node,
                                absl::string_view object, absl::string_view rid,
                                absl::string_view text);

// Adds a line to a log as others do, in one write; makes the file and its folder. Blocks on disk.
absl::Status AppendToLog(const std::string& file, const std::string& line);

}  // namespace om

#endif  // OM_SERVER_LOGS_OBJECT_LOG_H_
