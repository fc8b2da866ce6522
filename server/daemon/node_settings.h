// What the configuration means for each part of the daemon. Pure functions.
#ifndef OM_SERVER_DAEMON_NODE_SETTINGS_H_
#define OM_SERVER_DAEMON_NODE_SETTINGS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "compat/gateway/packet_server.h"
#include "compat/gateway/packet_validator.h"
#include "server/admission/call_limiter.h"
#include "server/config/settings.h"
#include "server/core/core.h"
#include "server/core/scheduler.h"
#include "server/service/audit_log.h"

namespace om {

CoreSettings CoreSettingsOf(const LoadedConfig& config, absl::string_view version);
ScheduleOptions ScheduleOptionsOf(const NodeSettings& settings);
// INVALID_ARGUMENT if the secret gives no key.
absl::StatusOr<PacketRules> PacketRulesOf(const NodeSettings& settings);
PacketServerSettings PacketServerSettingsOf(const NodeSettings& settings);
AuditLog::Settings AuditSettingsOf(const NodeSettings& settings);
CallLimiter::Limits CallLimitsOf(const NodeSettings& settings);
// What only the parts that use the settings can tell: warnings besides those of the settings.
std::vector<std::string> DoubtsOf(const NodeSettings& settings);

// A limit such as "2%" or "512m" as a percentage of `total_bytes`, at most `cap`. 0 without total.
int PercentOf(absl::string_view limit, int64_t total_bytes, int cap);

}  // namespace om

#endif  // OM_SERVER_DAEMON_NODE_SETTINGS_H_
