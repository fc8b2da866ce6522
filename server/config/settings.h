// What the daemon reads from configuration files, typed, defaults filled in.
#ifndef OM_SERVER_CONFIG_SETTINGS_H_
#define OM_SERVER_CONFIG_SETTINGS_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/base/clock.h"
#include "server/config/document.h"
#include "server/config/evaluate.h"
#include "server/config/object_path.h"
#include "server/config/paths.h"

namespace om {

// node.conf and cluster.conf. The effective configuration is cluster.conf overlaid by node.conf.
struct NodeDocuments {
  Document node;
  Document cluster;
};

enum class SigtermAction { kStop, kShutdown };

// A `[hb#n]` section.
struct HeartbeatSettings {
  std::string name;                             // "hb#1"
  std::string type;                             // unicast, multicast, disk, relay
  Duration timeout = std::chrono::seconds(15);  // Silence before a peer is stale.
  std::vector<std::string> nodes;               // Nodes that use it.
  std::string addr;                             // Empty: by type.
  int port = 10000;
  std::string intf;
  std::string dev;
  std::string relay;
  std::string secret;  // SECRET.
};

// An `[arbitrator#n]` section.
struct ArbitratorSettings {
  std::string section;
  std::string name;
  std::string secret;  // SECRET.
  Duration timeout = std::chrono::seconds(5);
};

// A `[hook#n]` section.
struct HookSettings {
  std::string section;
  std::vector<std::string> events;
  std::vector<std::string> command;
};

// Everything the daemon takes from node.conf and cluster.conf, evaluated for the local node. Plain
// data. Restart: only the settings marked so; a change of any other is applied while running.
struct NodeSettings {
  std::string nodename;

  // [node]
  std::string env = "TST";
  Duration maintenance_grace_period = std::chrono::seconds(60);
  Duration rejoin_grace_period = std::chrono::seconds(90);
  Duration ready_period = std::chrono::seconds(5);
  int max_parallel = 10;             // Transitions at a time, at least 1.
  std::string min_avail_mem = "2%";  // Bytes, or a percentage of the total.
  std::string min_avail_swap = "10%";
  std::vector<std::string> dequeue_actions_command = {"om", "node", "dequeue", "actions"};
  std::map<std::string, std::string> labels;

  // [cluster]
  std::string cluster_name = "default";  // Lower-cased.
  std::string cluster_id;                // Empty until generated.
  std::string cluster_secret;  // SECRET. Empty until generated; first 32 bytes are the key.
  std::string cluster_previous_secret;     // SECRET. Accepted besides the other; empty: none.
  std::vector<std::string> cluster_nodes;  // The local node at least, lower-cased.
  std::vector<std::string> cluster_drpnodes;
  bool quorum = false;
  std::string vip;  // addr/mask@dev, or empty.

  // [listener]
  std::vector<std::string> listener_addrs = {"0.0.0.0"};  // Names, IPv4 or IPv6 addresses.
  uint16_t listener_port = 1214;                          // 0 (for tests): any free one.
  std::string tls_addr = "0.0.0.0";
  uint16_t tls_port = 1215;
  std::string grpc_addr = "127.0.0.1";  // Restart.
  uint16_t grpc_port = 1216;            // Restart. 0 (for tests): any free one.
  std::string grpc_group;  // Holds grpc_group_grants over the Unix socket; empty: none. Restart.
  std::string grpc_group_grants = "operator:* blacklistadmin";  // Restart.
  // TLS on the gRPC port: auto (beyond loopback), required or off. Restart, and so are the next.
  std::string grpc_tls = "auto";
  std::string grpc_client_cert = "required";  // Or optional.
  std::string grpc_cert;                      // Empty: what the cluster's authority made.
  std::string grpc_key;
  std::string grpc_ca;
  std::string grpc_crl;
  int max_connections = 1024;
  int max_connections_per_addr = 128;
  Duration request_timeout = std::chrono::seconds(6);  // One deadline for a whole request.
  int64_t max_request_bytes = 1 << 20;

  // [compat]
  bool compat_enabled = true;
  int compat_level = 10;
  bool compat_check_sender = true;
  bool compat_allow_short_secret = false;
  bool compat_replay_check = true;
  std::vector<std::string> compat_actions = {"all"};  // Of encrypted packets. Not checked here.
  bool compat_require_mac = false;

  // [crm]: prefixes of command lines.
  std::vector<std::string> crm_command = {"omcrm"};
  std::vector<std::string> crm_node_command = {"om", "node"};
  Duration crm_timeout = std::chrono::hours(1);           // Of an action without one of its own.
  Duration crm_status_timeout = std::chrono::minutes(5);  // Of an evaluation.

  // [audit]
  int64_t audit_max_bytes = 16 << 20;  // Of one file.
  int audit_keep = 10;                 // Older files.
  bool audit_sync = false;
  std::string audit_on_failure = "continue";  // Or refuse.

  // [limits]
  int64_t calls_per_second = 2000;  // Of one caller; 0: no limit.
  int64_t call_burst = 4000;
  int64_t streams = 4096;
  int64_t streams_per_caller = 256;
  int actions = 64;
  int actions_per_caller = 32;
  int connections_per_user = 256;         // On the gRPC socket. Restart, and so are the next.
  int64_t message_bytes = 4 << 20;        // Of gRPC.
  int64_t watch_changes = 8192;           // That a watcher may be behind.
  int64_t watch_bytes = 8 << 20;          // The same in bytes.
  int64_t work_queue = 4096;              // Pieces of work that wait for a thread.
  int64_t journal_queue_bytes = 8 << 20;  // Records that wait for the disk.

  // [daemon]
  std::optional<SigtermAction> sigterm;  // Unset: as the daemon was started.

  std::vector<HeartbeatSettings> heartbeats;  // In order of the files, cluster.conf first.
  std::vector<ArbitratorSettings> arbitrators;
  std::map<std::string, std::vector<std::string>> stonith;  // Node to the command that kills it.
  std::vector<HookSettings> hooks;

  // What is doubtful but does not stop anything: unknown keywords and the like.
  std::vector<std::string> warnings;

  // INVALID_ARGUMENT naming file, line, keyword, value and what was expected; field = the keyword.
  static absl::StatusOr<NodeSettings> Load(
      const NodeDocuments& documents, absl::string_view nodename, const Roots& roots,
      const std::map<std::string, std::string>& environment = {});

  // For evaluating object files on this node.
  ClusterFacts Cluster() const;
};

// What a start of the daemon or a change of the files gives.
struct LoadedConfig {
  NodeDocuments documents;
  NodeSettings settings;
};

// Reads node.conf and cluster.conf, missing files as empty ones, and loads them. Blocks on disk.
absl::StatusOr<LoadedConfig> LoadNodeConfig(
    const Roots& roots, absl::string_view nodename,
    const std::map<std::string, std::string>& environment = {});

// Reads and parses one file; one that does not exist gives an empty document, but a symbolic link
// to nothing is FAILED_PRECONDITION. Blocks on disk.
absl::StatusOr<Document> ReadDocument(const std::string& path);

enum class Topology { kFailover, kFlex, kSpan };
enum class Orchestrate { kNo, kStart, kHa };
enum class Placement { kNone, kNodesOrder, kLoadAvg, kShift, kSpread, kScore };

// The words of configuration files and status documents: "failover", "no", "nodes order" ...
absl::string_view ToText(Topology topology);
absl::string_view ToText(Orchestrate orchestrate);
absl::string_view ToText(Placement placement);

// A parent, child or slave: an object, maybe on one node only.
struct ObjectRelation {
  ObjectPath path;
  std::string node;  // Empty: anywhere.
};

// A `[group#index]` section.
struct ResourceSettings {
  std::string rid;    // "app#1"
  std::string group;  // "app"
  std::string type;   // Driver: "simple"; the group's default if not given, empty if it has none.
  bool disable = false;
  bool optional = false;
  bool standby = false;
  bool monitor = false;
  bool encap = false;
  bool shared = false;
  bool provision = true;
  bool unprovision = true;
  int restart = 0;     // Attempts.
  std::string subset;  // Without the group; empty: none.
  std::vector<std::string> tags;
};

// An object's configuration as it applies on one node. Holds the document it was loaded from.
// THREAD: any, once loaded.
class ObjectSettings {
 public:
  // `context.path` must be set. INVALID_ARGUMENT naming file, line, keyword, value and what was
  // expected.
  static absl::StatusOr<ObjectSettings> Load(Document document, EvaluationContext context);

  ObjectPath path;
  std::string id;  // Empty if the file has none.
  std::string app = "default";
  std::string env;                 // Empty: the node's.
  std::vector<std::string> nodes;  // In placement order.
  std::vector<std::string> drpnodes;
  std::vector<std::string> encapnodes;
  Topology topology = Topology::kFailover;
  Orchestrate orchestrate = Orchestrate::kNo;
  Placement placement = Placement::kNodesOrder;
  int flex_min = 1;
  int flex_max = 1;
  int flex_target = 1;
  std::string flex_primary;  // First of `nodes` unless set.
  std::string drp_flex_primary;
  std::vector<ObjectRelation> parents;
  std::vector<ObjectRelation> children;
  std::vector<ObjectRelation> slaves;
  std::optional<int> scale;  // Set: a scaler.
  bool scaler_slave = false;
  std::vector<ObjectRelation> hard_affinity;
  std::vector<ObjectRelation> hard_anti_affinity;
  std::vector<ObjectRelation> soft_affinity;
  std::vector<ObjectRelation> soft_anti_affinity;
  std::string constraints;     // Expression text, empty: always true. Not evaluated.
  std::string monitor_action;  // freezestop, switch, reboot, crash, or empty.
  std::string pre_monitor_action;
  bool stonith = false;
  bool rollback = true;
  bool disable = false;
  Duration lock_timeout = std::chrono::seconds(60);
  std::string status_schedule = "@10";
  std::string monitor_schedule;
  std::vector<ResourceSettings> resources;  // In order of the file.
  std::vector<std::string> warnings;

  // Nodes that run instances together with the local one: `nodes` if it is in them, else `drpnodes`
  // if in those, else none.
  std::vector<std::string> PeerNodes() const;
  const ResourceSettings* FindResource(absl::string_view rid) const;  // nullptr if unknown.

  // A keyword evaluated for this node, scoped and inherited as the keyword table says, defaults
  // included; keywords that the table does not know are taken as scopable and from their section
  // only. nullopt: unset and no default, or an unresolvable reference. `section` is "DEFAULT", a
  // rid, "env" ...
  absl::StatusOr<std::optional<std::string>> Get(absl::string_view section,
                                                 absl::string_view keyword) const;
  // The same, converted. `fallback` where Get() gives nullopt.
  absl::StatusOr<bool> GetBoolean(absl::string_view section, absl::string_view keyword,
                                  bool fallback = false) const;
  absl::StatusOr<int64_t> GetInteger(absl::string_view section, absl::string_view keyword,
                                     int64_t fallback = 0) const;
  // nullopt: unset.
  absl::StatusOr<std::optional<Duration>> GetDuration(absl::string_view section,
                                                      absl::string_view keyword) const;
  absl::StatusOr<std::vector<std::string>> GetList(absl::string_view section,
                                                   absl::string_view keyword) const;
  absl::StatusOr<std::vector<std::string>> GetShlex(absl::string_view section,
                                                    absl::string_view keyword) const;

  const Document& document() const { return *document_; }
  const EvaluationContext& context() const { return *context_; }

 private:
  absl::StatusOr<std::optional<EvaluatedValue>> Evaluate(absl::string_view section,
                                                         absl::string_view keyword) const;

  // Shared and immutable: copies of the settings are cheap and stay valid.
  std::shared_ptr<const Document> document_;
  std::shared_ptr<const EvaluationContext> context_;
};

}  // namespace om

#endif  // OM_SERVER_CONFIG_SETTINGS_H_
