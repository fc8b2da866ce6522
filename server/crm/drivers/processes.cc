#include "server/crm/drivers/processes.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/base/file.h"

namespace om {
namespace {

// Files of /proc have no size to ask for. Empty for a process that is gone or not ours to read;
// `error` gets the errno of an open that failed.
std::string ReadProc(pid_t pid, const char* name, size_t max_bytes, int* error = nullptr) {
  std::string text;
  const UniqueFd fd(open(absl::StrCat("/proc/", pid, "/", name).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    if (error != nullptr) *error = errno;
    return text;
  }
  char buffer[4096];
  ssize_t count = 0;
  while (text.size() < max_bytes && (count = read(fd.get(), buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<size_t>(count));
  }
  return text;
}

std::vector<pid_t> AllProcesses() {
  std::vector<pid_t> pids;
  DIR* directory = opendir("/proc");
  if (directory == nullptr) return pids;
  while (const dirent* entry = readdir(directory)) {
    pid_t pid = 0;
    if (absl::SimpleAtoi(entry->d_name, &pid)) pids.push_back(pid);
  }
  closedir(directory);
  std::sort(pids.begin(), pids.end());
  return pids;
}

// What stands after the name in /proc/<pid>/stat: state, parent ... Empty for a process that is
// gone.
std::vector<std::string> StatFields(pid_t pid) {
  // The name in parentheses may hold anything; what follows the last one is numbers.
  const std::string stat = ReadProc(pid, "stat", 4096);
  const size_t end = stat.rfind(')');
  if (end == std::string::npos) return {};
  return absl::StrSplit(stat.substr(end + 1), ' ', absl::SkipEmpty());
}

pid_t ParentOf(pid_t pid) {
  const std::vector<std::string> fields = StatFields(pid);
  pid_t parent = 0;
  return fields.size() > 1 && absl::SimpleAtoi(fields[1], &parent) ? parent : 0;
}

}  // namespace

absl::StatusOr<std::vector<pid_t>> FindProcesses(absl::string_view command,
                                                 const std::vector<std::string>& variables) {
  std::set<pid_t> matches;
  for (const pid_t pid : AllProcesses()) {
    if (pid == getpid()) continue;
    std::string line = ReadProc(pid, "cmdline", size_t{64} * 1024);
    while (!line.empty() && line.back() == '\0') line.pop_back();
    std::replace(line.begin(), line.end(), '\0', ' ');
    if (!absl::StrContains(line, command)) continue;
    int error = 0;
    const std::string environment = absl::StrCat(
        absl::string_view("\0", 1), ReadProc(pid, "environ", size_t{1024} * 1024, &error));
    if (!command.empty() && (error == EACCES || error == EPERM)) {
      return absl::PermissionDeniedError(absl::StrCat(
          "whose process ", pid, " is cannot be told: /proc/", pid, "/environ: ", strerror(error),
          "; omd lacks CAP_SYS_PTRACE or CAP_DAC_READ_SEARCH"));
    }
    bool all = true;
    for (const std::string& variable : variables) {
      const std::string wanted =
          absl::StrCat(absl::string_view("\0", 1), variable, absl::string_view("\0", 1));
      all = all && absl::StrContains(environment, wanted);
    }
    if (all) matches.insert(pid);
  }
  std::vector<pid_t> heads;
  for (const pid_t pid : matches) {
    if (matches.count(ParentOf(pid)) == 0) heads.push_back(pid);
  }
  return heads;
}

bool IsRunning(pid_t pid) {
  const std::vector<std::string> fields = StatFields(pid);
  return !fields.empty() && fields[0] != "Z" && fields[0] != "X";
}

std::vector<pid_t> DescendantsOf(pid_t pid) {
  std::multimap<pid_t, pid_t> children;
  for (const pid_t other : AllProcesses()) children.emplace(ParentOf(other), other);
  std::vector<pid_t> found;
  std::vector<pid_t> open = {pid};
  while (!open.empty()) {
    const pid_t parent = open.back();
    open.pop_back();
    const auto [begin, end] = children.equal_range(parent);
    for (auto it = begin; it != end; ++it) {
      found.push_back(it->second);
      open.push_back(it->second);
    }
  }
  return found;
}

}  // namespace om
