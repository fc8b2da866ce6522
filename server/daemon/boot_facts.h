// How this start of the daemon came about: after a boot of the host, an upgrade, a stop.
#ifndef OM_SERVER_DAEMON_BOOT_FACTS_H_
#define OM_SERVER_DAEMON_BOOT_FACTS_H_

#include <string>

#include "absl/status/status.h"
#include "server/config/paths.h"
#include "server/core/core.h"

namespace om {

struct BootFacts {
  StartFacts start;
  // Of this boot; written by WriteBootIds() once its clean-up is done. Empty: not known.
  std::string legacy_id;  // As a legacy daemon writes it: the time of <proc>/1.
  std::string id;         // The kernel's, and when process 1 was started: containers boot, too.
};

// `proc` is /proc, and `upgrade` whether the environment says that an upgrade starts the daemon. A
// boot is told from the last one by omd's own record; without one, on a node that a legacy daemon
// ran on, by the legacy daemon's. Without either nothing is known of a boot, and none is assumed.
// The time of <proc>/1 alone is not trusted: the kernel makes it anew when it is short of memory.
// Blocks on disk.
BootFacts ReadBootFacts(const Roots& roots, const std::string& proc, bool upgrade);

// Remembers this boot, for omd and for a legacy daemon that may be put back. Blocks on disk.
absl::Status WriteBootIds(const Roots& roots, const BootFacts& facts);

}  // namespace om

#endif  // OM_SERVER_DAEMON_BOOT_FACTS_H_
