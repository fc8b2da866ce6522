#include "server/daemon/node_settings.h"

#include <sys/sysinfo.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/config/store.h"
#include "server/config/value.h"

namespace om {
namespace {

// Legacy daemons take no absolute limit for more than half of the memory, or all of the swap.
constexpr int kMaxMemPercent = 50;
constexpr int kMaxSwapPercent = 100;
constexpr int kApiLevel = 7;  // Of the 2.1 data that we write.

std::chrono::milliseconds Milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration);
}

}  // namespace

int PercentOf(absl::string_view limit, int64_t total_bytes, int cap) {
  absl::StatusOr<Size> size = ParseSize(limit);
  if (!size.ok()) return 0;  // The keyword table refused it before.
  if (size->is_share()) {
    int percent = 0;
    const absl::string_view digits = absl::string_view(size->share);
    if (!absl::SimpleAtoi(digits.substr(0, digits.find('%')), &percent)) return 0;
    return std::clamp(percent, 0, 100);
  }
  if (total_bytes <= 0) return 0;
  return static_cast<int>(std::min<int64_t>(cap, size->bytes * 100 / total_bytes));
}

CoreSettings CoreSettingsOf(const LoadedConfig& config, absl::string_view version) {
  const NodeSettings& settings = config.settings;
  CoreSettings core;
  core.cluster.name = settings.cluster_name;
  core.cluster.id = settings.cluster_id;
  core.cluster.nodes = settings.cluster_nodes;
  core.agent_version = std::string(version);
  core.compat = settings.compat_level;
  core.api = kApiLevel;
  core.env = settings.env;
  core.labels = settings.labels;
  struct sysinfo memory = {};
  if (sysinfo(&memory) == 0) {
    const auto unit = static_cast<int64_t>(memory.mem_unit);
    core.min_avail_mem_percent = PercentOf(
        settings.min_avail_mem, static_cast<int64_t>(memory.totalram) * unit, kMaxMemPercent);
    // A node without swap cannot be short of it.
    core.min_avail_swap_percent =
        memory.totalswap == 0
            ? 0
            : PercentOf(settings.min_avail_swap, static_cast<int64_t>(memory.totalswap) * unit,
                        kMaxSwapPercent);
  }
  core.config_csum = LegacyChecksumOf(config.documents.node.Text());
  core.crm_timeout = settings.crm_timeout;
  core.status_timeout = settings.crm_status_timeout;
  core.control.max_parallel = settings.max_parallel;
  core.control.ready_period = absl::FromChrono(settings.ready_period);
  core.control.rejoin_grace_period = absl::FromChrono(settings.rejoin_grace_period);
  core.control.maintenance_grace_period = absl::FromChrono(settings.maintenance_grace_period);
  return core;
}

ScheduleOptions ScheduleOptionsOf(const NodeSettings& settings) {
  ScheduleOptions options;
  options.max_parallel = settings.max_parallel;
  options.evaluation_limit = settings.crm_status_timeout;
  options.task_limit = settings.crm_timeout;
  // The built-in resource manager copies nothing to other nodes.
  const std::string& program = settings.crm_command.front();
  options.table.sync = program.substr(program.rfind('/') + 1) != "omcrm";
  return options;
}

namespace {

std::vector<std::string> PacketActions() {
  std::vector<std::string> actions = Router::Actions();
  actions.emplace_back(kDequeueAction);
  return actions;
}

}  // namespace

absl::StatusOr<PacketRules> PacketRulesOf(const NodeSettings& settings) {
  PacketRules rules;
  rules.cluster_name = settings.cluster_name;
  rules.nodes.insert(settings.cluster_nodes.begin(), settings.cluster_nodes.end());
  rules.check_sender = settings.compat_check_sender;
  rules.check_replay = settings.compat_replay_check;
  absl::StatusOr<Key> key =
      Key::FromSecret(settings.cluster_secret, settings.compat_allow_short_secret);
  if (!key.ok()) {
    return absl::InvalidArgumentError("cluster.secret: " + std::string(key.status().message()));
  }
  rules.key = std::make_shared<const Key>(*std::move(key));
  if (!settings.cluster_previous_secret.empty()) {
    absl::StatusOr<Key> previous =
        Key::FromSecret(settings.cluster_previous_secret, settings.compat_allow_short_secret);
    if (!previous.ok()) {
      return absl::InvalidArgumentError("cluster.previous_secret: " +
                                        std::string(previous.status().message()));
    }
    rules.previous_key = std::make_shared<const Key>(*std::move(previous));
  }
  rules.require_mac = settings.compat_require_mac;
  rules.actions = std::make_shared<const ActionFilter>(
      ActionFilter::Of(settings.compat_actions, PacketActions()));
  return rules;
}

std::vector<std::string> DoubtsOf(const NodeSettings& settings) {
  std::vector<std::string> unknown;
  (void)ActionFilter::Of(settings.compat_actions, PacketActions(), &unknown);
  std::vector<std::string> doubts;
  doubts.reserve(unknown.size());
  for (const std::string& word : unknown) {
    doubts.push_back(
        absl::StrCat("compat.actions: expected all, read or names of actions, found \"", word,
                     "\", which is none and allows nothing"));
  }
  return doubts;
}

PacketServerSettings PacketServerSettingsOf(const NodeSettings& settings) {
  PacketServerSettings server;
  if (settings.compat_enabled) server.addresses = settings.listener_addrs;
  server.port = settings.listener_port;
  server.nodename = settings.nodename;
  server.max_connections = settings.max_connections;
  server.max_connections_per_address = settings.max_connections_per_addr;
  server.request_timeout = Milliseconds(settings.request_timeout);
  server.max_request_bytes = static_cast<size_t>(settings.max_request_bytes);
  return server;
}

CallLimiter::Limits CallLimitsOf(const NodeSettings& settings) {
  return {settings.calls_per_second, settings.call_burst, settings.streams,
          settings.streams_per_caller};
}

AuditLog::Settings AuditSettingsOf(const NodeSettings& settings) {
  AuditLog::Settings audit;
  audit.max_bytes = settings.audit_max_bytes;
  audit.keep = settings.audit_keep;
  audit.sync = settings.audit_sync;
  audit.on_failure = settings.audit_on_failure == "refuse" ? AuditLog::OnFailure::kRefuse
                                                           : AuditLog::OnFailure::kContinue;
  return audit;
}

}  // namespace om
