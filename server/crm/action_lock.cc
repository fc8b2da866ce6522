#include "server/crm/action_lock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "server/base/status.h"

namespace om {
namespace {

constexpr size_t kMaxLockBytes = 4096;
constexpr size_t kMaxProcBytes = 256 << 10;

std::string TextOf(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// The texts of a file of /proc/<pid> such as cmdline. Empty once the process is gone.
std::vector<std::string> ProcTexts(pid_t pid, const char* name) {
  const UniqueFd fd(open(absl::StrCat("/proc/", pid, "/", name).c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  char buffer[4096];
  while (fd.valid() && text.size() < kMaxProcBytes) {
    const ssize_t count = read(fd.get(), buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    text.append(buffer, static_cast<size_t>(count));
  }
  std::vector<std::string> texts = absl::StrSplit(text, '\0');
  if (!texts.empty() && texts.back().empty()) texts.pop_back();
  return texts;
}

// What stands behind "-s <paths>" on the command line of a resource manager.
std::vector<std::string> ActionWords(const std::vector<std::string>& arguments) {
  for (size_t i = 0; i + 2 < arguments.size(); ++i) {
    if (arguments[i] != "-s") continue;
    return {arguments.begin() + static_cast<std::ptrdiff_t>(i) + 2, arguments.end()};
  }
  return {};
}

bool IsHeld(const UniqueFd& fd) {
  while (flock(fd.get(), LOCK_SH | LOCK_NB) != 0) {
    if (errno != EINTR) return errno == EWOULDBLOCK;
  }
  return false;
}

}  // namespace

std::string ActionLockFile(const Roots& roots, const ObjectPath& path) {
  return absl::StrCat(path.StateDir(roots), "/lock.generic");
}

std::optional<ActionHolder> FindActionHolder(const std::string& file) {
  const UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid() || !IsHeld(fd)) return std::nullopt;
  ActionHolder holder;
  const absl::StatusOr<FileContent> content = ReadFile(file, kMaxLockBytes);
  if (!content.ok()) return holder;
  const absl::StatusOr<Json> json = ParseJson(content->text, 8);
  if (!json.ok() || !json->is_object()) return holder;  // It is being written.
  holder.intent = TextOf(*json, "intent");
  const auto progress = json->find("progress");
  if (progress != json->end() && progress->is_object()) holder.rid = TextOf(*progress, "rid");
  const auto pid = json->find("pid");
  if (pid == json->end() || !pid->is_number_integer()) return holder;
  const auto number = pid->get<int64_t>();
  if (number <= 1 || number > INT32_MAX) return holder;
  holder.pid = static_cast<pid_t>(number);
  holder.words = ActionWords(ProcTexts(holder.pid, "cmdline"));
  for (const std::string& variable : ProcTexts(holder.pid, "environ")) {
    if (variable == "OSVC_ACTION_ORIGIN=daemon") holder.from_daemon = true;
  }
  return holder;
}

absl::Status SignalActionHolder(const std::string& file, pid_t pid, int signal) {
  const std::optional<ActionHolder> holder = FindActionHolder(file);
  if (!holder.has_value() || holder->pid != pid || pid <= 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("process ", pid, " does not hold \"", file, "\""));
  }
  if (getpgid(pid) != pid) {
    return absl::FailedPreconditionError(
        absl::StrCat("process ", pid, " does not lead a process group"));
  }
  if (kill(-pid, signal) != 0) return ErrnoStatus(errno, absl::StrCat("signalling ", pid));
  return absl::OkStatus();
}

}  // namespace om
