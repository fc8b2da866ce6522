#include "server/crm/drivers/instance_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/json.h"
#include "server/base/status.h"

namespace om {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Often enough that a short action does not cost its successor a noticeable wait.
constexpr std::chrono::milliseconds kRetry(20);

std::string FieldOf(const Json& json, const char* key) {
  if (!json.is_object()) return "";
  const auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : "";
}

LockHolder ReadHolder(const std::string& file) {
  LockHolder holder;
  const absl::StatusOr<FileContent> content = ReadFile(file, 4096);
  if (!content.ok()) return holder;
  const absl::StatusOr<Json> json = ParseJson(content->text, 8);
  if (!json.ok()) return holder;  // It is being written.
  holder.intent = FieldOf(*json, "intent");
  const auto progress = json->is_object() ? json->find("progress") : json->end();
  if (progress != json->end()) holder.rid = FieldOf(*progress, "rid");
  return holder;
}

}  // namespace

absl::StatusOr<InstanceLock> InstanceLock::Acquire(const std::string& file,
                                                   absl::string_view intent,
                                                   std::chrono::milliseconds timeout,
                                                   Interrupt* interrupt) {
  RETURN_IF_ERROR(MakeDirectories(file.substr(0, file.rfind('/'))));
  UniqueFd fd(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("opening lock \"", file, "\""));
  const SteadyClock::time_point deadline = SteadyClock::now() + std::max(timeout, kLeastWait);
  while (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, absl::StrCat("locking \"", file, "\""));
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - SteadyClock::now());
    if (left.count() <= 0) {
      const LockHolder holder = ReadHolder(file);
      return absl::DeadlineExceededError(
          absl::StrCat("lock \"", file, "\" not got in ", timeout.count(), " ms: held for \"",
                       holder.intent.empty() ? "an unknown action" : holder.intent, "\""));
    }
    if (!interrupt->Sleep(std::min(kRetry, left))) return interrupt->ToStatus();
  }
  InstanceLock lock(std::move(fd), intent);
  lock.SetProgress("");
  return lock;
}

void InstanceLock::SetProgress(absl::string_view rid) {
  Json json = {{"pid", getpid()}, {"intent", intent_}};
  if (!rid.empty()) json["progress"] = {{"rid", std::string(rid)}};
  const std::string text = DumpJson(json);
  // Information only: the lock is the flock, so a failure here changes nothing.
  if (ftruncate(fd_.get(), 0) == 0) {
    [[maybe_unused]] const ssize_t written = pwrite(fd_.get(), text.data(), text.size(), 0);
  }
}

std::optional<LockHolder> FindLockHolder(const std::string& file) {
  const UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return std::nullopt;
  if (flock(fd.get(), LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK) return std::nullopt;
  return ReadHolder(file);
}

}  // namespace om
