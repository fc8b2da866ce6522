// Runs one program and waits for it: what drivers do.
#ifndef OM_SERVER_CRM_DRIVERS_PROGRAM_H_
#define OM_SERVER_CRM_DRIVERS_PROGRAM_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/crm/drivers/interrupt.h"

namespace om {

// As whom a program runs.
struct Credentials {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string user;
  std::string home;
};

// The user of that name or number, with the group if one is given. NOT_FOUND names it.
absl::StatusOr<Credentials> FindCredentials(absl::string_view user, absl::string_view group);
absl::StatusOr<Credentials> FindCredentials(uid_t uid);

struct ProgramSpec {
  std::vector<std::string> argv;         // The program by its path, or to be found in PATH.
  std::vector<std::string> environment;  // Whole.
  std::string working_directory;         // Empty: ours.
  // Unset: as ourselves.
  std::optional<Credentials> credentials;
  // `limit_<name>` keywords without their prefix ("nofile") to value, soft and hard alike.
  std::map<std::string, int64_t> limits;
  std::optional<mode_t> umask;  // Unset: ours.
  // SIGTERM to its group when elapsed, SIGKILL at twice. Unset: no limit.
  std::optional<std::chrono::milliseconds> timeout;
  // Sees each line of output; `stream` is 1 or 2. Unset: output goes to /dev/null.
  std::function<void(int stream, absl::string_view line)> on_line;
};

struct ProgramResult {
  int exit_code = 0;
  int signal = 0;
  bool timed_out = false;

  bool Succeeded() const { return exit_code == 0 && signal == 0 && !timed_out; }
  std::string Describe() const;
};

// At most that much output of one program is passed on; the rest is read and dropped.
inline constexpr size_t kMaxOutputBytes = size_t{256} * 1024;

// Runs it in a session of its own, reads its output, waits for its end. What it leaves behind,
// holding its output open, is not waited for. NOT_FOUND names a missing program,
// FAILED_PRECONDITION says why its user or limits could not be had. When interrupted,
// its group gets SIGTERM, SIGKILL after 5 s, and the answer is CANCELLED.
absl::StatusOr<ProgramResult> RunProgram(const ProgramSpec& spec, Interrupt* interrupt);

// Starts it in a session of its own with null output, and watches it for `settle`. nullopt: it
// still runs, and is left running.
absl::StatusOr<std::optional<ProgramResult>> LaunchProgram(const ProgramSpec& spec,
                                                           std::chrono::milliseconds settle,
                                                           Interrupt* interrupt);

// POSIX shell words: quotes and backslashes, nothing expanded. INVALID_ARGUMENT for an open quote.
absl::StatusOr<std::vector<std::string>> SplitShellWords(absl::string_view text);

// The argument list of a command of a configuration: its shell words, or `/bin/sh -c` where it has
// a word that only a shell understands (|, ||, &&, or one that ends in ;).
absl::StatusOr<std::vector<std::string>> CommandWords(absl::string_view command);

// What omcrm does when it is run as `omcrm --launch ...`: takes on credentials and limits, and
// becomes the program. posix_spawn can do neither, and a fork of our own is not wanted. Returns
// only on failure, an exit code, and has said why on descriptor 3.
int LaunchMain(int argc, char** argv);

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_PROGRAM_H_
