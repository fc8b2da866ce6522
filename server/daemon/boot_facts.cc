#include "server/daemon/boot_facts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "server/base/file.h"
#include "server/base/status.h"

namespace om {
namespace {

constexpr size_t kMaxBytes = 64 << 10;
constexpr char kFreezeWord[] = "osvc.freeze";

// Files of /proc have no size, so they are read to their end.
std::string ReadProc(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  char buffer[4096];
  while (fd.valid() && text.size() < kMaxBytes) {
    const ssize_t count = read(fd.get(), buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    text.append(buffer, static_cast<size_t>(count));
  }
  return text;
}

std::string ReadText(const std::string& path) {
  const absl::StatusOr<FileContent> content = ReadFile(path, kMaxBytes);
  return content.ok() ? std::string(absl::StripAsciiWhitespace(content->text)) : std::string();
}

// When the process was started, in ticks since the boot; empty if that cannot be told.
std::string StartTicks(const std::string& stat) {
  // The name of the program, in parentheses, may hold anything.
  const size_t end = stat.rfind(')');
  if (end == std::string::npos) return "";
  const std::vector<absl::string_view> fields =
      absl::StrSplit(absl::string_view(stat).substr(end + 1), ' ', absl::SkipEmpty());
  constexpr size_t kStartTime = 19;  // Field 22 of proc(5); the state, field 3, is the first here.
  return fields.size() > kStartTime ? std::string(fields[kStartTime]) : "";
}

bool SameTime(const std::string& a, const std::string& b) {
  double x = 0;
  double y = 0;
  if (!absl::SimpleAtod(a, &x) || !absl::SimpleAtod(b, &y)) return a == b;
  return std::round(x * 100) == std::round(y * 100);
}

std::string OwnRecord(const Roots& roots) { return absl::StrCat(roots.OmdDir(), "/boot_id"); }

}  // namespace

BootFacts ReadBootFacts(const Roots& roots, const std::string& proc, bool upgrade) {
  BootFacts facts;
  facts.start.after_upgrade = upgrade;
  struct stat first = {};
  if (stat(absl::StrCat(proc, "/1").c_str(), &first) == 0) {
    facts.legacy_id =
        absl::StrFormat("%d.%06d", first.st_mtim.tv_sec, first.st_mtim.tv_nsec / 1000);
  }
  const std::string kernel_id = ReadProc(absl::StrCat(proc, "/sys/kernel/random/boot_id"));
  const std::string ticks = StartTicks(ReadProc(absl::StrCat(proc, "/1/stat")));
  if (!kernel_id.empty() && !ticks.empty()) {
    facts.id = absl::StrCat(absl::StripAsciiWhitespace(kernel_id), " ", ticks);
  }
  const std::string last_id = ReadText(OwnRecord(roots));
  const std::string last_legacy_id = ReadText(roots.LastBootId());
  if (!last_id.empty() && !facts.id.empty()) {
    facts.start.rebooted = last_id != facts.id;
  } else if (!last_legacy_id.empty() && !facts.legacy_id.empty()) {
    facts.start.rebooted = !SameTime(last_legacy_id, facts.legacy_id);
  }
  const std::string command_line = ReadProc(absl::StrCat(proc, "/cmdline"));
  for (const absl::string_view word :
       absl::StrSplit(command_line, absl::ByAnyChar(" \t\n"), absl::SkipEmpty())) {
    if (word == kFreezeWord) facts.start.freeze_node = true;
  }
  const absl::StatusOr<absl::Time> last_shutdown = ModificationTime(roots.LastShutdown());
  if (last_shutdown.ok()) facts.start.last_shutdown = *last_shutdown;
  return facts;
}

absl::Status WriteBootIds(const Roots& roots, const BootFacts& facts) {
  WriteOptions options;
  options.mode = 0644;
  if (!facts.legacy_id.empty()) {
    RETURN_IF_ERROR(WriteFileAtomically(roots.LastBootId(), facts.legacy_id, options));
  }
  if (facts.id.empty()) return absl::OkStatus();
  return WriteFileAtomically(OwnRecord(roots), absl::StrCat(facts.id, "\n"), options);
}

}  // namespace om
