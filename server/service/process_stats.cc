#include "server/service/process_stats.h"

#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/base/file.h"

namespace om {
namespace {

constexpr size_t kMaxProcBytes = 1 << 20;

std::string ReadProc(const std::string& path) {
  absl::StatusOr<FileContent> content = ReadFile(path, kMaxProcBytes);
  return content.ok() ? content->text : std::string();
}

double Seconds(absl::string_view ticks) {
  int64_t count = 0;
  if (!absl::SimpleAtoi(ticks, &count)) return 0;
  return static_cast<double>(count) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

// Fields of a stat file after the command name, which may itself hold blanks and parentheses.
std::vector<std::string> StatFields(const std::string& text) {
  const size_t end = text.rfind(')');
  if (end == std::string::npos) return {};
  return absl::StrSplit(absl::string_view(text).substr(end + 1), ' ', absl::SkipEmpty());
}

// utime is the 14th field of the file (proc(5)), the 12th after the name.
double UserSeconds(const std::string& stat) {
  const std::vector<std::string> fields = StatFields(stat);
  return fields.size() > 11 ? Seconds(fields[11]) : 0;
}

ProcessSample ReadSample(absl::Time now) {
  ProcessSample sample;
  sample.time = now;
  sample.cpu_seconds = UserSeconds(ReadProc("/proc/self/stat"));
  const std::vector<std::string> pages =
      absl::StrSplit(ReadProc("/proc/self/statm"), ' ', absl::SkipEmpty());
  for (size_t i = 0; i < pages.size(); ++i) {
    int64_t count = 0;
    if (!absl::SimpleAtoi(pages[i], &count)) continue;
    if (i == 1) sample.memory_bytes = count * sysconf(_SC_PAGESIZE);
    if (i >= 2 && i <= 4) sample.memory_pages += count;
  }
  const std::string machine = ReadProc("/proc/stat");
  const std::vector<std::string> times = absl::StrSplit(
      absl::string_view(machine).substr(0, machine.find('\n')), ' ', absl::SkipEmpty());
  for (size_t i = 1; i < times.size(); ++i) sample.node_cpu_seconds += Seconds(times[i]);
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc/self/task", error), end;
       !error && entry != end; entry.increment(error)) {
    int tid = 0;
    if (!absl::SimpleAtoi(entry->path().filename().string(), &tid)) continue;
    ++sample.thread_count;
    sample.cpu_seconds_by_tid[tid] = UserSeconds(ReadProc(entry->path().string() + "/stat"));
  }
  for (std::filesystem::directory_iterator entry("/proc/self/fd", error), end;
       !error && entry != end; entry.increment(error)) {
    ++sample.open_file_count;
  }
  return sample;
}

}  // namespace

ProcessSample ProcessSampler::Sample() {
  MutexLock lock(&mutex_);
  const MonotonicTime now = clock_->Monotonic();
  if (!read_at_.has_value() || now - *read_at_ >= std::chrono::seconds(1)) {
    last_ = ReadSample(clock_->Now());
    read_at_ = now;
  }
  return last_;
}

}  // namespace om
