// The command line `omctl`, apart from main(): tests call it with their own streams.
#ifndef OM_CLIENT_OMCTL_OMCTL_H_
#define OM_CLIENT_OMCTL_OMCTL_H_

#include <ostream>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/base/random.h"

namespace om {

// Exit statuses for scripts. `<svc> status` has its own: see its help.
enum OmctlExit : int {
  kExitDone = 0,
  kExitError = 1,
  kExitUsage = 2,
  kExitNoConnection = 3,
  kExitDeadline = 4,
};

// What surrounds a run of the command line. Pointers are borrowed.
struct OmctlEnvironment {
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  SecureRandom* random = nullptr;
  bool colour = false;
  absl::TimeZone zone = absl::UTCTimeZone();
  std::string version;
  // What `daemon start` runs. Empty: `omd` beside this program or in PATH.
  std::string daemon_program;
};

// Runs `arguments` (without the program's name) and returns the exit status.
int RunOmctl(const std::vector<std::string>& arguments, const OmctlEnvironment& environment);

}  // namespace om

#endif  // OM_CLIENT_OMCTL_OMCTL_H_
