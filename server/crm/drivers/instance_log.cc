#include "server/crm/drivers/instance_log.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

namespace om {
namespace {

absl::string_view LevelName(InstanceLog::Level level) {
  switch (level) {
    case InstanceLog::Level::kDebug:
      return "DEBUG";
    case InstanceLog::Level::kInfo:
      return "INFO";
    case InstanceLog::Level::kWarning:
      return "WARNING";
    case InstanceLog::Level::kError:
      return "ERROR";
  }
  return "INFO";
}

void WriteAll(int fd, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = write(fd, text.data() + done, text.size() - done);
    if (count <= 0) return;
    done += static_cast<size_t>(count);
  }
}

}  // namespace

std::string LegacyLogTime(absl::Time time) {
  const int64_t millis = absl::ToUnixMillis(time);
  const time_t seconds = static_cast<time_t>(millis / 1000);
  struct tm local = {};
  localtime_r(&seconds, &local);
  char text[64];
  const size_t size = strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local);
  snprintf(text + size, sizeof text - size, ",%03d", static_cast<int>(millis % 1000));
  return text;
}

InstanceLog::InstanceLog(std::string file, std::string node, std::string name, bool echo)
    : file_(std::move(file)), node_(std::move(node)), name_(std::move(name)), echo_(echo) {}

void InstanceLog::Write(absl::string_view rid, Level level, absl::string_view text) {
  if (!opened_) {
    opened_ = true;
    const absl::Status made = MakeDirectories(file_.substr(0, file_.rfind('/')));
    if (made.ok()) {
      fd_.Reset(open(file_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
    }
  }
  const std::string prefix =
      absl::StrCat(LegacyLogTime(absl::Now()), " - ", node_, ".", name_, rid.empty() ? "" : ".",
                   rid, " - ", LevelName(level), " - ");
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (line.empty()) continue;
    std::string printable(line.substr(0, kMaxLineBytes));
    for (char& c : printable) {
      if (static_cast<unsigned char>(c) < 0x20 && c != '\t') c = ' ';
    }
    if (fd_.valid()) WriteAll(fd_.get(), absl::StrCat(prefix, printable, "\n"));
    if (echo_ && level >= Level::kWarning) {
      WriteAll(STDERR_FILENO,
               absl::StrCat(name_, rid.empty() ? "" : ".", rid, ": ", printable, "\n"));
    }
  }
}

}  // namespace om
