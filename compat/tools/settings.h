// What a client of the packet protocol needs to know about its node, read from the two
// configuration files without interpreting the rest of them: no references, no scoping.
#ifndef OM_COMPAT_TOOLS_SETTINGS_H_
#define OM_COMPAT_TOOLS_SETTINGS_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace om {

// Values by "section.key"; keys are lower-case, of repeated ones the last holds.
using IniValues = std::map<std::string, std::string>;

// Tolerant: lines that are neither section, value, continuation nor comment are skipped.
IniValues ParseIni(absl::string_view text);

struct ClientSettings {
  std::string clustername;  // Lower-case, as senders write it; empty if not configured.
  std::string secret;       // Empty if not configured. Never print it.
  uint16_t port = 1214;
  std::string socket_path;  // The daemon's clear socket.
};

// Reads <root>/etc/cluster.conf overlaid by <root>/etc/node.conf, or those of /etc/opensvc if
// `root` is empty. A file that is not there counts as empty; one that cannot be read is an error,
// and so is a port that is no port.
absl::StatusOr<ClientSettings> ReadClientSettings(const std::string& root);

}  // namespace om

#endif  // OM_COMPAT_TOOLS_SETTINGS_H_
