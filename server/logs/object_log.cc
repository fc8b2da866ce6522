#include "server/logs/object_log.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/logs/log_line.h"

namespace om {

std::string FormatObjectLogLine(absl::Time time, absl::TimeZone zone, absl::string_view node,
                                absl::string_view object, absl::string_view rid,
                                absl::string_view text) {
  std::string line = absl::StrCat(FormatLogTime(time, zone), " - ", node, ".", object,
                                  rid.empty() ? "" : ".", rid, " - INFO - ");
  for (const char c : text) line += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  line += '\n';
  return line;
}

absl::Status AppendToLog(const std::string& file, const std::string& line) {
  RETURN_IF_ERROR(MakeDirectories(file.substr(0, file.rfind('/'))));
  const UniqueFd fd(open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("opening \"", file, "\""));
  const ssize_t written = write(fd.get(), line.data(), line.size());
  if (written == static_cast<ssize_t>(line.size())) return absl::OkStatus();
  return ErrnoStatus(written < 0 ? errno : ENOSPC, absl::StrCat("writing \"", file, "\""));
}

}  // namespace om
