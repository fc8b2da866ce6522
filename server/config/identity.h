// What a node must have before it can talk to anyone: a cluster name, id and secret, and itself
// among the members.
#ifndef OM_SERVER_CONFIG_IDENTITY_H_
#define OM_SERVER_CONFIG_IDENTITY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/base/random.h"
#include "server/config/paths.h"

namespace om {

struct Identity {
  // Params that were missing and have been written, "cluster.secret" ...; never a value.
  std::vector<std::string> generated;
};

// Writes what is missing to section [cluster] of cluster.conf, where the legacy daemon has it,
// atomically and with mode 0600: name "default", a random uuid as id, a secret of 32 characters
// drawn uniformly from [A-Za-z0-9], and the local node in `nodes` (in node.conf, if that is where
// `nodes` is set). Of two first starts at once, one generates and the other finds. Idempotent.
//
// Writes nothing if a file cannot be read or parsed, or if a value is there but refers to what is
// not known. What is configured is not checked here: NodeSettings::Load does that. Blocks on disk.
absl::StatusOr<Identity> EnsureIdentity(const Roots& roots, absl::string_view nodename,
                                        SecureRandom* random);

}  // namespace om

#endif  // OM_SERVER_CONFIG_IDENTITY_H_
