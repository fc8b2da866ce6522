#include "server/config/keywords.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "server/base/status.h"
#include "server/config/value.h"

namespace om {
namespace {

using enum KeywordType;
constexpr KeywordFile kNode = KeywordFile::kNode;
constexpr KeywordFile kObject = KeywordFile::kObject;
constexpr Inheritance kLeaf = Inheritance::kLeaf;
constexpr Inheritance kHead = Inheritance::kHead;
constexpr Inheritance kLeafThenHead = Inheritance::kLeafThenHead;
constexpr int64_t kMaxSeconds = int64_t{100} * 366 * 86400;

// A row is as many lines as it needs, which reads better than one field a line.
// clang-format off
constexpr Keyword kKeywords[] = {
    {.file = kNode, .section = "node", .name = "env", .type = kString, .default_text = "TST",
     .allowed = "DEV|DRP|FOR|INT|PRA|PRD|PRJ|PPRD|REC|STG|TMP|TST|UAT",
     .description = "environment of the node"},
    {.file = kNode, .section = "node", .name = "maintenance_grace_period", .type = kDuration,
     .default_text = "60", .min = 0, .max = kMaxSeconds,
     .description = "how long a peer in maintenance may stay silent"},
    {.file = kNode, .section = "node", .name = "rejoin_grace_period", .type = kDuration,
     .default_text = "90", .min = 0, .max = kMaxSeconds,
     .description = "how long to wait for peers after a start"},
    {.file = kNode, .section = "node", .name = "ready_period", .type = kDuration,
     .default_text = "5", .min = 0, .max = kMaxSeconds,
     .description = "how long an instance is ready before it starts"},
    {.file = kNode, .section = "node", .name = "max_parallel", .type = kInteger,
     .default_text = "10", .min = 1, .max = 10000,
     .description = "transitions and scheduled tasks at a time"},
    {.file = kNode, .section = "node", .name = "min_avail_mem", .type = kSizeOrShare,
     .default_text = "2%", .description = "available memory below which the node is overloaded"},
    {.file = kNode, .section = "node", .name = "min_avail_swap", .type = kSizeOrShare,
     .default_text = "10%", .description = "available swap below which the node is overloaded"},
    {.file = kNode, .section = "node", .name = "dequeue_actions_command", .type = kShlex,
     .description = "runs queued actions; unset: crm.node_command with \"dequeue actions\""},
    {.file = kNode, .section = "cluster", .name = "name", .type = kString,
     .default_text = "default", .scopable = true,
     .description = "name of the cluster, in every envelope"},
    {.file = kNode, .section = "cluster", .name = "id", .type = kString, .scopable = true,
     .description = "id of the cluster; generated"},
    {.file = kNode, .section = "cluster", .name = "secret", .type = kString, .scopable = true,
     .secret = true, .description = "its first 32 bytes are the AES key; generated"},
    {.file = kNode, .section = "cluster", .name = "previous_secret", .type = kString,
     .scopable = true, .secret = true,
     .description = "the secret before this one, accepted besides it until this is unset"},
    {.file = kNode, .section = "cluster", .name = "nodes", .type = kListLower,
     .description = "members; the local node at least"},
    {.file = kNode, .section = "cluster", .name = "drpnodes", .type = kListLower,
     .description = "members that take over in a disaster"},
    {.file = kNode, .section = "cluster", .name = "quorum", .type = kBoolean,
     .default_text = "false", .description = "a split without majority stops services"},
    {.file = kNode, .section = "cluster", .name = "vip", .type = kString, .scopable = true,
     .description = "addr/mask@dev of the cluster address"},
    {.file = kNode, .section = "cluster", .name = "dns", .type = kList, .scopable = true,
     .description = "nodes that run the cluster name server"},
    {.file = kNode, .section = "cluster", .name = "ca", .type = kList, .scopable = true,
     .description = "secrets that hold accepted certificate authorities"},
    {.file = kNode, .section = "cluster", .name = "cert", .type = kString, .scopable = true,
     .description = "secret that holds the certificate of the cluster"},
    {.file = kNode, .section = "listener", .name = "addr", .type = kString,
     .default_text = "0.0.0.0", .description = "addresses or names the packet listener binds"},
    {.file = kNode, .section = "listener", .name = "port", .type = kInteger, .default_text = "1214",
     .min = 0, .max = 65535, .description = "port of the packet listener; 0: any free one"},
    {.file = kNode, .section = "listener", .name = "tls_addr", .type = kString,
     .default_text = "0.0.0.0", .description = "address of the TLS listener"},
    {.file = kNode, .section = "listener", .name = "tls_port", .type = kInteger,
     .default_text = "1215", .min = 0, .max = 65535, .description = "port of the TLS listener"},
    {.file = kNode, .section = "listener", .name = "grpc_addr", .type = kString,
     .default_text = "127.0.0.1", .restart = true, .description = "address of the gRPC listener"},
    {.file = kNode, .section = "listener", .name = "grpc_port", .type = kInteger,
     .default_text = "1216", .min = 0, .max = 65535, .restart = true,
     .description = "port of the gRPC listener; 0: any free one"},
    {.file = kNode, .section = "listener", .name = "grpc_group", .type = kString,
     .default_text = "", .restart = true,
     .description = "group whose members hold grpc_group_grants over the Unix socket"},
    {.file = kNode, .section = "listener", .name = "grpc_group_grants", .type = kString,
     .default_text = "operator:* blacklistadmin", .restart = true,
     .description = "what the members of grpc_group hold, as a user's grant says it"},
    {.file = kNode, .section = "listener", .name = "grpc_tls", .type = kString,
     .default_text = "auto", .allowed = "auto|required|off", .restart = true,
     .description = "TLS on the gRPC port; auto: beyond loopback addresses"},
    {.file = kNode, .section = "listener", .name = "grpc_client_cert", .type = kString,
     .default_text = "required", .allowed = "required|optional", .restart = true,
     .description = "whether TLS clients must have a certificate; else a token, or nothing"},
    {.file = kNode, .section = "listener", .name = "grpc_cert", .type = kString,
     .default_text = "", .restart = true,
     .description = "certificate of the gRPC port; unset: what omctl pki made"},
    {.file = kNode, .section = "listener", .name = "grpc_key", .type = kString,
     .default_text = "", .restart = true, .description = "its key; unset: what omctl pki made"},
    {.file = kNode, .section = "listener", .name = "grpc_ca", .type = kString,
     .default_text = "", .restart = true,
     .description = "authority that it and its clients trust; unset: what omctl pki made"},
    {.file = kNode, .section = "listener", .name = "grpc_crl", .type = kString,
     .default_text = "", .restart = true,
     .description = "revocation list of the authority; unset: what omctl pki made"},
    {.file = kNode, .section = "listener", .name = "max_connections", .type = kInteger,
     .default_text = "1024", .min = 1, .max = 1000000, .description = "connections at a time"},
    {.file = kNode, .section = "listener", .name = "max_connections_per_addr", .type = kInteger,
     .default_text = "128", .min = 1, .max = 1000000,
     .description = "connections at a time from one address"},
    {.file = kNode, .section = "listener", .name = "request_timeout", .type = kDuration,
     .default_text = "6", .min = 1, .max = 3600,
     .description = "deadline for a whole request, however slowly it comes"},
    {.file = kNode, .section = "listener", .name = "max_request_size", .type = kSize,
     .default_text = "1m", .min = 1024, .max = 1073741824, .description = "bytes of one request"},
    {.file = kNode, .section = "compat", .name = "enabled", .type = kBoolean,
     .default_text = "true", .description = "serve the legacy packet protocol"},
    {.file = kNode, .section = "compat", .name = "level", .type = kInteger, .default_text = "10",
     .min = 1, .max = 100, .description = "compat level shown to legacy peers and command lines"},
    {.file = kNode, .section = "compat", .name = "check_sender", .type = kBoolean,
     .default_text = "true", .description = "refuse senders that are not in cluster.nodes"},
    {.file = kNode, .section = "compat", .name = "allow_short_secret", .type = kBoolean,
     .default_text = "false",
     .description = "accept the secrets of 16 or 24 bytes that old agents accept"},
    {.file = kNode, .section = "compat", .name = "replay_check", .type = kBoolean,
     .default_text = "true", .description = "refuse a packet that was seen before"},
    {.file = kNode, .section = "compat", .name = "actions", .type = kListLower,
     .default_text = "all",
     .description = "actions accepted in encrypted packets: all, read, or names"},
    {.file = kNode, .section = "compat", .name = "require_mac", .type = kBoolean,
     .default_text = "false",
     .description = "ignore packets without a MAC, which old agents do not send"},
    {.file = kNode, .section = "crm", .name = "command", .type = kShlex, .default_text = "omcrm",
     .description = "prefix of commands on instances"},
    {.file = kNode, .section = "crm", .name = "node_command", .type = kShlex,
     .default_text = "om node", .description = "prefix of commands on the node"},
    {.file = kNode, .section = "crm", .name = "timeout", .type = kDuration, .default_text = "1h",
     .min = 1, .max = kMaxSeconds,
     .description = "limit of an action whose resources declare no timeout"},
    {.file = kNode, .section = "crm", .name = "status_timeout", .type = kDuration,
     .default_text = "5m", .min = 1, .max = kMaxSeconds,
     .description = "limit of an evaluation of instances"},
    {.file = kNode, .section = "audit", .name = "max_size", .type = kSize, .default_text = "16m",
     .min = 65536, .max = int64_t{1} << 40,
     .description = "bytes of audit.log before a new one is begun"},
    {.file = kNode, .section = "audit", .name = "keep", .type = kInteger, .default_text = "10",
     .min = 1, .max = 1000, .description = "older audit logs that are kept"},
    {.file = kNode, .section = "audit", .name = "sync", .type = kBoolean, .default_text = "false",
     .description = "answer a change only once its line survives a power loss"},
    {.file = kNode, .section = "audit", .name = "on_failure", .type = kString,
     .default_text = "continue", .allowed = "continue|refuse",
     .description = "what becomes of changes while the audit log cannot be written"},
    {.file = kNode, .section = "limits", .name = "calls_per_second", .type = kInteger, .default_text = "2000",
     .min = 0, .max = 1000000, .description = "calls a second of one caller; 0: no limit"},
    {.file = kNode, .section = "limits", .name = "call_burst", .type = kInteger, .default_text = "4000",
     .min = 1, .max = 1000000, .description = "calls a caller may make at once"},
    {.file = kNode, .section = "limits", .name = "streams", .type = kInteger, .default_text = "4096",
     .min = 1, .max = 65536, .description = "streams at a time, of gRPC and of packets"},
    {.file = kNode, .section = "limits", .name = "streams_per_caller", .type = kInteger, .default_text = "256",
     .min = 1, .max = 65536, .description = "streams of one caller at a time"},
    {.file = kNode, .section = "limits", .name = "actions", .type = kInteger, .default_text = "64",
     .min = 1, .max = 1000, .description = "commands of clients at a time"},
    {.file = kNode, .section = "limits", .name = "actions_per_caller", .type = kInteger, .default_text = "32",
     .min = 1, .max = 1000, .description = "commands of one caller at a time"},
    {.file = kNode, .section = "limits", .name = "connections_per_user", .type = kInteger, .default_text = "256",
     .min = 1, .max = 65536, .restart = true, .description = "connections of one local user to the gRPC socket"},
    {.file = kNode, .section = "limits", .name = "message_size", .type = kSize, .default_text = "4m",
     .min = 65536, .max = 67108864, .restart = true, .description = "bytes of one gRPC message"},
    {.file = kNode, .section = "limits", .name = "watch_changes", .type = kInteger, .default_text = "8192",
     .min = 16, .max = 1000000, .restart = true, .description = "changes that a watcher may be behind"},
    {.file = kNode, .section = "limits", .name = "watch_size", .type = kSize, .default_text = "8m",
     .min = 65536, .max = 1073741824, .restart = true, .description = "bytes of changes that a watcher may be behind"},
    {.file = kNode, .section = "limits", .name = "work_queue", .type = kInteger, .default_text = "4096",
     .min = 16, .max = 1000000, .restart = true, .description = "pieces of work that may wait for a thread"},
    {.file = kNode, .section = "limits", .name = "journal_queue", .type = kSize, .default_text = "8m",
     .min = 2097152, .max = 1073741824, .restart = true, .description = "bytes of records that may wait for the disk"},
    {.file = kNode, .section = "daemon", .name = "sigterm", .type = kString,
     .allowed = "stop|shutdown",
     .description = "what a SIGTERM does: stop the daemon, or shut services down first; unset: "
                    "as omd was started, with --sigterm"},
    {.file = kNode, .section = "hb#", .name = "type", .type = kString,
     .allowed = "unicast|multicast|disk|relay", .description = "driver of the heartbeat"},
    {.file = kNode, .section = "hb#", .name = "timeout", .type = kDuration, .default_text = "15",
     .scopable = true, .min = 1, .max = kMaxSeconds,
     .description = "silence before a peer is stale"},
    {.file = kNode, .section = "hb#", .name = "nodes", .type = kListLower, .scopable = true,
     .description = "nodes that use it; unset: all of the cluster"},
    {.file = kNode, .section = "hb#", .name = "addr", .type = kString, .scopable = true,
     .description = "address to bind, or of the peer"},
    {.file = kNode, .section = "hb#", .name = "port", .type = kInteger, .default_text = "10000",
     .scopable = true, .min = 0, .max = 65535, .description = "port"},
    {.file = kNode, .section = "hb#", .name = "intf", .type = kString, .scopable = true,
     .description = "interface for multicast"},
    {.file = kNode, .section = "hb#", .name = "dev", .type = kString, .scopable = true,
     .description = "block device of a disk heartbeat"},
    {.file = kNode, .section = "hb#", .name = "relay", .type = kString,
     .description = "host of the relay"},
    {.file = kNode, .section = "hb#", .name = "secret", .type = kString, .secret = true,
     .description = "cluster secret of the relay"},
    {.file = kNode, .section = "arbitrator#", .name = "name", .type = kString,
     .description = "host to ask"},
    {.file = kNode, .section = "arbitrator#", .name = "secret", .type = kString, .secret = true,
     .description = "cluster secret of that host"},
    {.file = kNode, .section = "arbitrator#", .name = "timeout", .type = kDuration,
     .default_text = "5", .scopable = true, .min = 1, .max = kMaxSeconds,
     .description = "how long to wait for its answer"},
    {.file = kNode, .section = "stonith#", .name = "cmd", .type = kShlex, .scopable = true,
     .description = "command that kills the node the section is named after"},
    {.file = kNode, .section = "hook#", .name = "events", .type = kList,
     .description = "events that run the command"},
    {.file = kNode, .section = "hook#", .name = "command", .type = kShlex,
     .description = "command that is given the events"},
    {.file = kObject, .section = "DEFAULT", .name = "id", .type = kString, .inheritance = kHead,
     .description = "id of the object"},
    {.file = kObject, .section = "DEFAULT", .name = "grant", .type = kString,
     .inheritance = kHead, .description = "of a usr: roles, such as admin:ns1 operator:* root"},
    {.file = kObject, .section = "DEFAULT", .name = "cn", .type = kString,
     .inheritance = kHead,
     .description = "of a usr: the name its certificates carry; unset: its own"},
    {.file = kObject, .section = "DEFAULT", .name = "nodes", .type = kNodeSelector,
     .scopable = true, .inheritance = kHead,
     .description = "nodes with instances; their order is the placement order"},
    {.file = kObject, .section = "DEFAULT", .name = "drpnodes", .type = kListLower,
     .scopable = true, .inheritance = kHead, .description = "nodes with instances in a disaster"},
    {.file = kObject, .section = "DEFAULT", .name = "drpnode", .type = kString, .scopable = true,
     .inheritance = kHead, .description = "the same, one node"},
    {.file = kObject, .section = "DEFAULT", .name = "encapnodes", .type = kListLower,
     .inheritance = kHead, .description = "containers that run encapsulated parts"},
    {.file = kObject, .section = "DEFAULT", .name = "topology", .type = kString,
     .default_text = "failover", .scopable = true, .inheritance = kHead,
     .allowed = "failover|flex|span", .description = "how many instances run: one, or several"},
    {.file = kObject, .section = "DEFAULT", .name = "orchestrate", .type = kString,
     .default_text = "no", .scopable = true, .inheritance = kHead, .allowed = "ha|start|no",
     .description = "whether the daemon starts instances by itself"},
    {.file = kObject, .section = "DEFAULT", .name = "placement", .type = kString,
     .default_text = "nodes order", .inheritance = kHead,
     .allowed = "none|nodes order|load avg|shift|spread|score",
     .description = "how instances are given to nodes"},
    {.file = kObject, .section = "DEFAULT", .name = "flex_min", .alias = "flex_min_nodes",
     .type = kInteger, .default_text = "1", .inheritance = kHead, .min = 0,
     .description = "fewest instances"},
    {.file = kObject, .section = "DEFAULT", .name = "flex_max", .alias = "flex_max_nodes",
     .type = kInteger, .inheritance = kHead, .min = 0,
     .description = "most instances; unset: the number of peer nodes"},
    {.file = kObject, .section = "DEFAULT", .name = "flex_target", .type = kInteger,
     .inheritance = kHead, .min = 0, .description = "instances to keep up; unset: flex_min"},
    {.file = kObject, .section = "DEFAULT", .name = "flex_primary", .type = kString,
     .inheritance = kHead,
     .description = "node with a scope of its own; unset: the first of nodes"},
    {.file = kObject, .section = "DEFAULT", .name = "drp_flex_primary", .type = kString,
     .inheritance = kHead, .description = "the same among drpnodes"},
    {.file = kObject, .section = "DEFAULT", .name = "parents", .type = kList, .scopable = true,
     .inheritance = kHead, .description = "objects that must be up before this one starts"},
    {.file = kObject, .section = "DEFAULT", .name = "children", .type = kList, .scopable = true,
     .inheritance = kHead, .description = "objects that must be down before this one stops"},
    {.file = kObject, .section = "DEFAULT", .name = "slaves", .type = kList, .scopable = true,
     .inheritance = kHead, .description = "objects that follow this one"},
    {.file = kObject, .section = "DEFAULT", .name = "scale", .type = kInteger, .scopable = true,
     .inheritance = kHead, .min = 0, .max = 10000,
     .description = "slices to keep; makes the service a scaler"},
    {.file = kObject, .section = "DEFAULT", .name = "scaler_slave", .type = kBoolean,
     .default_text = "false", .inheritance = kHead,
     .description = "the service is a slice of a scaler"},
    {.file = kObject, .section = "DEFAULT", .name = "hard_affinity", .alias = "affinity",
     .type = kList, .scopable = true, .inheritance = kHead,
     .description = "services that must run on the same node"},
    {.file = kObject, .section = "DEFAULT", .name = "hard_anti_affinity", .alias = "anti_affinity",
     .type = kList, .scopable = true, .inheritance = kHead,
     .description = "services that must not run on the same node"},
    {.file = kObject, .section = "DEFAULT", .name = "soft_affinity", .type = kList,
     .scopable = true, .inheritance = kHead,
     .description = "services that better run on the same node"},
    {.file = kObject, .section = "DEFAULT", .name = "soft_anti_affinity", .type = kList,
     .scopable = true, .inheritance = kHead,
     .description = "services that better run on another node"},
    {.file = kObject, .section = "DEFAULT", .name = "constraints", .type = kString,
     .scopable = true, .inheritance = kHead, .description = "expression that a node must fulfil"},
    {.file = kObject, .section = "DEFAULT", .name = "monitor_action", .type = kString,
     .scopable = true, .inheritance = kHead, .allowed = "freezestop|switch|reboot|crash",
     .description = "what the loss of a monitored resource does"},
    {.file = kObject, .section = "DEFAULT", .name = "pre_monitor_action", .type = kString,
     .scopable = true, .inheritance = kHead,
     .description = "command run before the monitor action"},
    {.file = kObject, .section = "DEFAULT", .name = "stonith", .type = kBoolean,
     .default_text = "false", .inheritance = kHead,
     .description = "kill the node that fell silent before a takeover"},
    {.file = kObject, .section = "DEFAULT", .name = "rollback", .type = kBoolean,
     .default_text = "true", .scopable = true, .inheritance = kHead,
     .description = "undo a start that failed"},
    {.file = kObject, .section = "DEFAULT", .name = "disable", .type = kBoolean,
     .default_text = "false", .scopable = true, .inheritance = kHead,
     .description = "no action on the object"},
    {.file = kObject, .section = "DEFAULT", .name = "env", .type = kString, .inheritance = kHead,
     .allowed = "DEV|DRP|FOR|INT|PRA|PRD|PRJ|PPRD|REC|STG|TMP|TST|UAT",
     .description = "environment of the object; unset: the node's"},
    {.file = kObject, .section = "DEFAULT", .name = "app", .type = kString,
     .default_text = "default", .inheritance = kHead, .description = "application code"},
    {.file = kObject, .section = "DEFAULT", .name = "comment", .type = kString,
     .inheritance = kHead, .description = "free text"},
    {.file = kObject, .section = "DEFAULT", .name = "lock_timeout", .type = kDuration,
     .default_text = "60", .inheritance = kHead, .min = 0, .max = kMaxSeconds,
     .description = "how long an action waits for the one before it"},
    {.file = kObject, .section = "DEFAULT", .name = "status_schedule", .type = kString,
     .default_text = "@10", .scopable = true, .inheritance = kHead,
     .description = "when the status is refreshed"},
    {.file = kObject, .section = "DEFAULT", .name = "monitor_schedule", .type = kString,
     .scopable = true, .inheritance = kHead,
     .description = "when monitored resources are refreshed"},
    {.file = kObject, .section = "subset#", .name = "parallel", .type = kBoolean,
     .default_text = "false", .scopable = true,
     .description = "resources of the subset start and stop in parallel"},
    {.file = kObject, .section = "#", .name = "type", .type = kString, .scopable = true,
     .description = "driver"},
    {.file = kObject, .section = "#", .name = "disable", .type = kBoolean, .default_text = "false",
     .scopable = true, .description = "no action; the status is n/a"},
    {.file = kObject, .section = "#", .name = "optional", .type = kBoolean, .default_text = "false",
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "errors do not fail the action"},
    {.file = kObject, .section = "#", .name = "standby", .type = kBoolean, .default_text = "false",
     .scopable = true, .inheritance = kLeafThenHead, .description = "kept up on all nodes"},
    {.file = kObject, .section = "#", .name = "always_on", .type = kList, .scopable = true,
     .inheritance = kLeafThenHead,
     .description = "nodes on which it is kept up; old spelling of standby"},
    {.file = kObject, .section = "#", .name = "monitor", .type = kBoolean, .default_text = "false",
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "its loss triggers the monitor action"},
    {.file = kObject, .section = "#", .name = "restart", .type = kInteger, .default_text = "0",
     .scopable = true, .inheritance = kLeafThenHead, .min = 0, .max = 1000000,
     .description = "restart attempts"},
    {.file = kObject, .section = "#", .name = "subset", .type = kString, .scopable = true,
     .description = "resource set"},
    {.file = kObject, .section = "#", .name = "tags", .type = kList, .scopable = true,
     .inheritance = kLeafThenHead,
     .description = "marks; known ones: encap noaction nostatus zone docker"},
    {.file = kObject, .section = "#", .name = "encap", .type = kBoolean, .default_text = "false",
     .scopable = true, .inheritance = kLeafThenHead, .description = "handled inside the container"},
    {.file = kObject, .section = "#", .name = "shared", .type = kBoolean, .default_text = "false",
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "provisioned by the leader only"},
    {.file = kObject, .section = "#", .name = "provision", .type = kBoolean, .default_text = "true",
     .scopable = true, .inheritance = kLeafThenHead, .description = "provision actions apply"},
    {.file = kObject, .section = "#", .name = "unprovision", .type = kBoolean,
     .default_text = "true", .scopable = true, .inheritance = kLeafThenHead,
     .description = "unprovision actions apply"},
    {.file = kObject, .section = "#", .name = "start_requires", .type = kList, .scopable = true,
     .inheritance = kLeafThenHead, .description = "states of other resources that start needs"},
    {.file = kObject, .section = "#", .name = "stop_requires", .type = kList, .scopable = true,
     .inheritance = kLeafThenHead, .description = "states of other resources that stop needs"},
    {.file = kObject, .section = "#", .name = "provision_requires", .type = kList, .scopable = true,
     .inheritance = kLeafThenHead, .description = "states of other resources that provision needs"},
    {.file = kObject, .section = "#", .name = "unprovision_requires", .type = kList,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "states of other resources that unprovision needs"},
    {.file = kObject, .section = "#", .name = "run_requires", .type = kList, .scopable = true,
     .inheritance = kLeafThenHead, .description = "states of other resources that run needs"},
    {.file = kObject, .section = "#", .name = "pre_start", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "command run before start"},
    {.file = kObject, .section = "#", .name = "pre_stop", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "command run before stop"},
    {.file = kObject, .section = "#", .name = "pre_provision", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "command run before provision"},
    {.file = kObject, .section = "#", .name = "pre_unprovision", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "command run before unprovision"},
    {.file = kObject, .section = "#", .name = "pre_run", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "command run before run"},
    {.file = kObject, .section = "#", .name = "pre_sync_nodes", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "command run before sync_nodes"},
    {.file = kObject, .section = "#", .name = "pre_sync_drpnodes", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run before sync_drpnodes"},
    {.file = kObject, .section = "#", .name = "pre_sync_resync", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "command run before sync_resync"},
    {.file = kObject, .section = "#", .name = "pre_sync_update", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "command run before sync_update"},
    {.file = kObject, .section = "#", .name = "post_start", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "command run after start"},
    {.file = kObject, .section = "#", .name = "post_stop", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "command run after stop"},
    {.file = kObject, .section = "#", .name = "post_provision", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "command run after provision"},
    {.file = kObject, .section = "#", .name = "post_unprovision", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "command run after unprovision"},
    {.file = kObject, .section = "#", .name = "post_run", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "command run after run"},
    {.file = kObject, .section = "#", .name = "post_sync_nodes", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "command run after sync_nodes"},
    {.file = kObject, .section = "#", .name = "post_sync_drpnodes", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run after sync_drpnodes"},
    {.file = kObject, .section = "#", .name = "post_sync_resync", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "command run after sync_resync"},
    {.file = kObject, .section = "#", .name = "post_sync_update", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "command run after sync_update"},
    {.file = kObject, .section = "#", .name = "blocking_pre_start", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run before start, whose failure stops the action"},
    {.file = kObject, .section = "#", .name = "blocking_pre_stop", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run before stop, whose failure stops the action"},
    {.file = kObject, .section = "#", .name = "blocking_pre_provision", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run before provision, whose failure stops the action"},
    {.file = kObject, .section = "#", .name = "blocking_pre_unprovision", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run before unprovision, whose failure stops the action"},
    {.file = kObject, .section = "#", .name = "blocking_pre_run", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead,
     .description = "command run before run, whose failure stops the action"},
    {.file = kObject, .section = "#", .name = "blocking_pre_sync_nodes", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run before sync_nodes, whose failure stops the action"},
    {.file = kObject, .section = "#", .name = "blocking_pre_sync_drpnodes", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run before sync_drpnodes, whose failure stops the action"},
    {.file = kObject, .section = "#", .name = "blocking_pre_sync_resync", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run before sync_resync, whose failure stops the action"},
    {.file = kObject, .section = "#", .name = "blocking_pre_sync_update", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run before sync_update, whose failure stops the action"},
    {.file = kObject, .section = "#", .name = "blocking_post_start", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run after start, whose failure stops the action"},
    {.file = kObject, .section = "#", .name = "blocking_post_stop", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run after stop, whose failure stops the action"},
    {.file = kObject, .section = "#", .name = "blocking_post_provision", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run after provision, whose failure stops the action"},
    {.file = kObject, .section = "#", .name = "blocking_post_unprovision", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run after unprovision, whose failure stops the action"},
    {.file = kObject, .section = "#", .name = "blocking_post_run", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run after run, whose failure stops the action"},
    {.file = kObject, .section = "#", .name = "blocking_post_sync_nodes", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run after sync_nodes, whose failure stops the action"},
    {.file = kObject, .section = "#", .name = "blocking_post_sync_drpnodes", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run after sync_drpnodes, whose failure stops the action"},
    {.file = kObject, .section = "#", .name = "blocking_post_sync_resync", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run after sync_resync, whose failure stops the action"},
    {.file = kObject, .section = "#", .name = "blocking_post_sync_update", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run after sync_update, whose failure stops the action"},
    {.file = kObject, .section = "app#", .name = "type", .type = kString, .default_text = "forking",
     .scopable = true, .allowed = "forking|simple", .description = "driver"},
    {.file = kObject, .section = "app#", .name = "script", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "launcher; a relative name is in <name>.d"},
    {.file = kObject, .section = "app#", .name = "start", .type = kBooleanOrText,
     .default_text = "false", .scopable = true, .inheritance = kLeafThenHead,
     .description = "start with the script (boolean or order), or this command"},
    {.file = kObject, .section = "app#", .name = "stop", .type = kBooleanOrText,
     .default_text = "false", .scopable = true, .inheritance = kLeafThenHead,
     .description = "stop with the script, or this command"},
    {.file = kObject, .section = "app#", .name = "check", .type = kBooleanOrText,
     .default_text = "false", .scopable = true, .inheritance = kLeafThenHead,
     .description = "check with the script, or this command"},
    {.file = kObject, .section = "app#", .name = "info", .type = kBooleanOrText,
     .default_text = "false", .scopable = true, .inheritance = kLeafThenHead,
     .description = "ask the script, or this command, for facts"},
    {.file = kObject, .section = "app#", .name = "timeout", .type = kDuration, .scopable = true,
     .inheritance = kLeafThenHead, .min = 0, .max = kMaxSeconds,
     .description = "SIGTERM when elapsed, SIGKILL at twice"},
    {.file = kObject, .section = "app#", .name = "start_timeout", .type = kDuration,
     .scopable = true, .inheritance = kLeafThenHead, .min = 0, .max = kMaxSeconds,
     .description = "SIGTERM when elapsed, SIGKILL at twice"},
    {.file = kObject, .section = "app#", .name = "stop_timeout", .type = kDuration,
     .scopable = true, .inheritance = kLeafThenHead, .min = 0, .max = kMaxSeconds,
     .description = "SIGTERM when elapsed, SIGKILL at twice"},
    {.file = kObject, .section = "app#", .name = "check_timeout", .type = kDuration,
     .scopable = true, .inheritance = kLeafThenHead, .min = 0, .max = kMaxSeconds,
     .description = "SIGTERM when elapsed, SIGKILL at twice"},
    {.file = kObject, .section = "app#", .name = "info_timeout", .type = kDuration,
     .scopable = true, .inheritance = kLeafThenHead, .min = 0, .max = kMaxSeconds,
     .description = "SIGTERM when elapsed, SIGKILL at twice"},
    {.file = kObject, .section = "app#", .name = "user", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "user to run as"},
    {.file = kObject, .section = "app#", .name = "group", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "group to run as; needs user"},
    {.file = kObject, .section = "app#", .name = "cwd", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "directory to run in"},
    {.file = kObject, .section = "app#", .name = "limit_as", .type = kSize, .scopable = true,
     .inheritance = kLeafThenHead, .description = "setrlimit, soft and hard"},
    {.file = kObject, .section = "app#", .name = "limit_cpu", .type = kDuration, .scopable = true,
     .inheritance = kLeafThenHead, .description = "setrlimit, soft and hard"},
    {.file = kObject, .section = "app#", .name = "limit_core", .type = kSize, .scopable = true,
     .inheritance = kLeafThenHead, .description = "setrlimit, soft and hard"},
    {.file = kObject, .section = "app#", .name = "limit_data", .type = kSize, .scopable = true,
     .inheritance = kLeafThenHead, .description = "setrlimit, soft and hard"},
    {.file = kObject, .section = "app#", .name = "limit_fsize", .type = kSize, .scopable = true,
     .inheritance = kLeafThenHead, .description = "setrlimit, soft and hard"},
    {.file = kObject, .section = "app#", .name = "limit_memlock", .type = kSize, .scopable = true,
     .inheritance = kLeafThenHead, .description = "setrlimit, soft and hard"},
    {.file = kObject, .section = "app#", .name = "limit_nofile", .type = kInteger, .scopable = true,
     .inheritance = kLeafThenHead, .description = "setrlimit, soft and hard"},
    {.file = kObject, .section = "app#", .name = "limit_nproc", .type = kInteger, .scopable = true,
     .inheritance = kLeafThenHead, .description = "setrlimit, soft and hard"},
    {.file = kObject, .section = "app#", .name = "limit_rss", .type = kSize, .scopable = true,
     .inheritance = kLeafThenHead, .description = "setrlimit, soft and hard"},
    {.file = kObject, .section = "app#", .name = "limit_stack", .type = kSize, .scopable = true,
     .inheritance = kLeafThenHead, .description = "setrlimit, soft and hard"},
    {.file = kObject, .section = "app#", .name = "limit_vmem", .type = kSize, .scopable = true,
     .inheritance = kLeafThenHead, .description = "setrlimit, soft and hard"},
    {.file = kObject, .section = "app#", .name = "status_log", .type = kBoolean,
     .default_text = "false", .scopable = true, .inheritance = kLeafThenHead,
     .description = "log what the check writes"},
    {.file = kObject, .section = "app#", .name = "kill", .type = kString, .default_text = "parent",
     .scopable = true, .inheritance = kLeafThenHead, .allowed = "parent|tree",
     .description = "what stop kills: the process, or its children too"},
    {.file = kObject, .section = "app#", .name = "environment", .type = kShlex, .scopable = true,
     .inheritance = kLeafThenHead, .description = "variables for the programs"},
    {.file = kObject, .section = "app#", .name = "configs_environment", .type = kShlex,
     .scopable = true, .inheritance = kLeafThenHead, .description = "variables from cfg objects"},
    {.file = kObject, .section = "app#", .name = "secrets_environment", .type = kShlex,
     .scopable = true, .inheritance = kLeafThenHead, .description = "variables from sec objects"},
    {.file = kObject, .section = "app#", .name = "umask", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "umask of the programs"},
    {.file = kObject, .section = "app#", .name = "retcodes", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "exit codes and the states they mean"},
    {.file = kObject, .section = "ip#", .name = "type", .type = kString, .default_text = "host",
     .scopable = true, .description = "driver"},
    {.file = kObject, .section = "ip#", .name = "ipname", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "address, or name that the host resolves"},
    {.file = kObject, .section = "ip#", .name = "ipdev", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead,
     .description = "interface, or <interface>:<alias> to give the address a label"},
    {.file = kObject, .section = "ip#", .name = "netmask", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead,
     .description = "bits or dotted mask; unset: that of the interface's address in the network"},
    {.file = kObject, .section = "ip#", .name = "check_carrier", .type = kBoolean,
     .default_text = "true", .scopable = true, .inheritance = kLeafThenHead,
     .description = "without a carrier the address counts as down"},
    {.file = kObject, .section = "ip#", .name = "alias", .type = kBoolean, .default_text = "true",
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "label the address where ipdev names an alias"},
    {.file = kObject, .section = "container#", .name = "image", .alias = "run_image",
     .type = kString, .scopable = true, .inheritance = kLeafThenHead,
     .description = "image to pull and run"},
    {.file = kObject, .section = "container#", .name = "image_pull_policy", .type = kString,
     .default_text = "once", .scopable = true, .inheritance = kLeafThenHead,
     .allowed = "once|always",
     .description = "pull before each run of a new container, or only a missing image"},
    {.file = kObject, .section = "container#", .name = "command", .alias = "run_command",
     .type = kShlex, .scopable = true, .inheritance = kLeafThenHead,
     .description = "command run in the container; unset: that of the image"},
    {.file = kObject, .section = "container#", .name = "run_args", .type = kShlex, .scopable = true,
     .inheritance = kLeafThenHead, .description = "more words for the run command"},
    {.file = kObject, .section = "container#", .name = "name", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead,
     .description = "name of the container; unset: made of namespace, service and resource"},
    {.file = kObject, .section = "container#", .name = "hostname", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead, .description = "host name in the container"},
    {.file = kObject, .section = "container#", .name = "entrypoint", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "program that gets the command; unset: that of the image"},
    {.file = kObject, .section = "container#", .name = "detach", .type = kBoolean,
     .default_text = "true", .scopable = true, .inheritance = kLeafThenHead,
     .description = "run in the background; false: run to its end, as part of the start"},
    {.file = kObject, .section = "container#", .name = "rm", .type = kBoolean,
     .default_text = "false", .scopable = true, .inheritance = kLeafThenHead,
     .description = "remove the container when it stops"},
    {.file = kObject, .section = "container#", .name = "privileged", .type = kBoolean,
     .default_text = "false", .scopable = true, .inheritance = kLeafThenHead,
     .description = "extended privileges"},
    {.file = kObject, .section = "container#", .name = "interactive", .type = kBoolean,
     .default_text = "false", .scopable = true, .inheritance = kLeafThenHead,
     .description = "keep standard input open"},
    {.file = kObject, .section = "container#", .name = "tty", .type = kBoolean,
     .default_text = "false", .scopable = true, .inheritance = kLeafThenHead,
     .description = "give it a terminal"},
    {.file = kObject, .section = "container#", .name = "netns", .alias = "net", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "network: none, host, or the resource whose network it shares"},
    {.file = kObject, .section = "container#", .name = "pidns", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead,
     .description = "processes: host, or the resource whose processes it sees"},
    {.file = kObject, .section = "container#", .name = "ipcns", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead,
     .description = "shared memory: host, private, shareable, none, or a resource"},
    {.file = kObject, .section = "container#", .name = "utsns", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "host names: host, or its own"},
    {.file = kObject, .section = "container#", .name = "userns", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "users: host, or its own"},
    {.file = kObject, .section = "container#", .name = "volume_mounts", .type = kShlex,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "words <host directory>:<path in the container>[:<options>]"},
    {.file = kObject, .section = "container#", .name = "devices", .type = kShlex, .scopable = true,
     .inheritance = kLeafThenHead, .description = "words <host device>:<path in the container>"},
    {.file = kObject, .section = "container#", .name = "environment", .type = kShlex,
     .scopable = true, .inheritance = kLeafThenHead, .description = "variables <name>=<value>"},
    {.file = kObject, .section = "container#", .name = "configs_environment", .type = kShlex,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "variables <name>=<cfg object>/<key>"},
    {.file = kObject, .section = "container#", .name = "secrets_environment", .type = kShlex,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "variables <name>=<sec object>/<key>"},
    {.file = kObject, .section = "container#", .name = "registry_creds", .type = kString,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "sec object whose key config.json logs in to the registry"},
    {.file = kObject, .section = "container#", .name = "pull_timeout", .type = kDuration,
     .default_text = "2m", .scopable = true, .inheritance = kLeafThenHead, .min = 1,
     .max = kMaxSeconds, .description = "how long pulling the image may take"},
    {.file = kObject, .section = "container#", .name = "start_timeout", .type = kDuration,
     .default_text = "5", .scopable = true, .inheritance = kLeafThenHead, .min = 1,
     .max = kMaxSeconds, .description = "how long a start may take"},
    {.file = kObject, .section = "container#", .name = "stop_timeout", .type = kDuration,
     .default_text = "2m", .scopable = true, .inheritance = kLeafThenHead, .min = 1,
     .max = kMaxSeconds, .description = "how long it may take to stop before it is killed"},
    {.file = kObject, .section = "fs#", .name = "type", .type = kString, .scopable = true,
     .description = "driver"},
    {.file = kObject, .section = "fs#", .name = "path", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "directory"},
    {.file = kObject, .section = "fs#", .name = "user", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "owner"},
    {.file = kObject, .section = "fs#", .name = "group", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "group of the owner"},
    {.file = kObject, .section = "fs#", .name = "perm", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "mode, octal"},
    {.file = kObject, .section = "task#", .name = "optional", .type = kBoolean,
     .default_text = "true", .scopable = true, .inheritance = kLeafThenHead,
     .description = "errors do not fail the action"},
    {.file = kObject, .section = "task#", .name = "command", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "command of the task"},
    {.file = kObject, .section = "task#", .name = "user", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "user to run as"},
    {.file = kObject, .section = "task#", .name = "group", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "group to run as; needs user"},
    {.file = kObject, .section = "task#", .name = "cwd", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "directory to run in"},
    {.file = kObject, .section = "task#", .name = "umask", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "umask of the command"},
    {.file = kObject, .section = "task#", .name = "environment", .type = kShlex, .scopable = true,
     .inheritance = kLeafThenHead, .description = "variables <name>=<value>"},
    {.file = kObject, .section = "task#", .name = "configs_environment", .type = kShlex,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "variables <name>=<cfg object>/<key>"},
    {.file = kObject, .section = "task#", .name = "secrets_environment", .type = kShlex,
     .scopable = true, .inheritance = kLeafThenHead,
     .description = "variables <name>=<sec object>/<key>"},
    {.file = kObject, .section = "task#", .name = "schedule", .type = kString, .default_text = "@0",
     .scopable = true, .inheritance = kLeafThenHead, .description = "when it runs"},
    {.file = kObject, .section = "task#", .name = "timeout", .type = kDuration, .scopable = true,
     .inheritance = kLeafThenHead, .min = 0, .max = kMaxSeconds,
     .description = "SIGTERM when elapsed"},
    {.file = kObject, .section = "task#", .name = "on_error", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "command run when the task fails"},
    {.file = kObject, .section = "task#", .name = "snooze", .type = kDuration, .default_text = "0",
     .scopable = true, .inheritance = kLeafThenHead, .min = 0, .max = kMaxSeconds,
     .description = "pause of alerts while it runs"},
    {.file = kObject, .section = "task#", .name = "confirmation", .type = kBoolean,
     .default_text = "false", .scopable = true, .inheritance = kLeafThenHead,
     .description = "run only when confirmed"},
    {.file = kObject, .section = "task#", .name = "log", .type = kBoolean, .default_text = "true",
     .scopable = true, .inheritance = kLeafThenHead, .description = "log what the command writes"},
    {.file = kObject, .section = "task#", .name = "check", .type = kString, .scopable = true,
     .inheritance = kLeafThenHead, .description = "state that failed runs give"},
    {.file = kObject, .section = "sync#", .name = "optional", .type = kBoolean,
     .default_text = "true", .scopable = true, .inheritance = kLeafThenHead,
     .description = "errors do not fail the action"},
};
// clang-format on

constexpr std::array<absl::string_view, 13> kResourceGroups = {
    "ip",   "disk",   "fs",     "share", "container", "app",        "sync",
    "task", "volume", "expose", "route", "vhost",     "certificate"};

// Sections in which any key is fine.
bool IsFreeSection(KeywordFile file, absl::string_view section) {
  if (section == "labels" || section == "env") return true;
  return file == kObject && section == "data";
}

bool SectionMatches(absl::string_view pattern, absl::string_view section) {
  if (pattern == "#") return IsResourceSection(section);
  if (absl::EndsWith(pattern, "#")) {
    return absl::StartsWith(section, pattern) && section.size() > pattern.size();
  }
  return pattern == section;
}

bool HasReferences(absl::string_view text) {
  return text.find('{') != absl::string_view::npos || absl::StrContains(text, "$(");
}

std::string Shown(const Keyword& keyword, const absl::Status& status) {
  if (!keyword.secret) return std::string(status.message());
  return "expected another value (which is secret and not shown)";
}

absl::Status OutOfRange(const Keyword& keyword, absl::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("expected ", DescribeExpectation(keyword), ", found \"", text, "\""));
}

absl::Status CheckRange(const Keyword& keyword, int64_t value, absl::string_view text) {
  if (value < keyword.min || value > keyword.max) return OutOfRange(keyword, text);
  return absl::OkStatus();
}

absl::Status CheckType(const Keyword& keyword, absl::string_view text) {
  switch (keyword.type) {
    case kBoolean:
      return ParseBoolean(text).status();
    case kTristate:
      return ParseTristate(text).status();
    case kInteger: {
      ASSIGN_OR_RETURN(const int64_t value, ParseInteger(text));
      return CheckRange(keyword, value, text);
    }
    case kDuration: {
      ASSIGN_OR_RETURN(const Duration value, ParseDuration(text));
      return CheckRange(keyword, std::chrono::duration_cast<std::chrono::seconds>(value).count(),
                        text);
    }
    case kSize: {
      ASSIGN_OR_RETURN(const Size value, ParseSize(text));
      if (value.is_share()) return OutOfRange(keyword, text);
      return CheckRange(keyword, value.bytes, text);
    }
    case kSizeOrShare:
      return ParseSize(text).status();
    case kShlex:
      return ParseShlex(text).status();
    case kString:
    case kList:
    case kListLower:
    case kCommaList:
    case kNodeSelector:
    case kBooleanOrText:
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

}  // namespace

absl::Span<const Keyword> AllKeywords() { return kKeywords; }

bool IsResourceSection(absl::string_view section) {
  const size_t hash = section.find('#');
  if (hash == absl::string_view::npos || hash + 1 == section.size()) return false;
  const absl::string_view group = section.substr(0, hash);
  return group == "hash_policy" ||
         std::find(kResourceGroups.begin(), kResourceGroups.end(), group) != kResourceGroups.end();
}

const Keyword* FindKeyword(KeywordFile file, absl::string_view section, absl::string_view key) {
  const Keyword* general = nullptr;
  for (const Keyword& keyword : kKeywords) {
    if (keyword.file != file) continue;
    if (key != keyword.name && (keyword.alias == nullptr || key != keyword.alias)) continue;
    if (!SectionMatches(keyword.section, section)) continue;
    if (absl::string_view(keyword.section) != "#") return &keyword;
    general = &keyword;
  }
  return general;
}

std::pair<absl::string_view, absl::string_view> SplitScope(absl::string_view key) {
  const size_t at = key.find('@');
  if (at == absl::string_view::npos) return {key, {}};
  return {key.substr(0, at), key.substr(at + 1)};
}

std::string DescribeExpectation(const Keyword& keyword) {
  if (keyword.allowed != nullptr) {
    const std::vector<std::string> values = absl::StrSplit(keyword.allowed, '|');
    return absl::StrCat("one of ", absl::StrJoin(values, ", "));
  }
  const bool low = keyword.min != INT64_MIN;
  const bool high = keyword.max != INT64_MAX;
  const auto ranged = [&](absl::string_view what, absl::string_view unit) {
    std::string text(what);
    if (low && high) {
      absl::StrAppend(&text, " from ", keyword.min, " to ", keyword.max, unit);
    } else if (low) {
      absl::StrAppend(&text, " of at least ", keyword.min, unit);
    } else if (high) {
      absl::StrAppend(&text, " of at most ", keyword.max, unit);
    }
    return text;
  };
  switch (keyword.type) {
    case kString:
      return "a text";
    case kBoolean:
      return "a boolean";
    case kTristate:
      return "a boolean or nothing";
    case kInteger:
      return ranged("an integer", "");
    case kDuration:
      return ranged("a duration", " seconds");
    case kSize:
      return ranged("a size", " bytes");
    case kSizeOrShare:
      return "a size or a percentage";
    case kList:
    case kListLower:
      return "words separated by white space";
    case kCommaList:
      return "words separated by commas";
    case kShlex:
      return "a command line";
    case kNodeSelector:
      return "a node selector";
    case kBooleanOrText:
      return "a boolean or a command line";
  }
  return "a text";
}

absl::Status CheckValue(const Keyword& keyword, absl::string_view text) {
  absl::Status status = CheckType(keyword, text);
  if (status.ok() && keyword.allowed != nullptr && !text.empty()) {
    const std::vector<std::string> values = absl::StrSplit(keyword.allowed, '|');
    if (std::find(values.begin(), values.end(), std::string(text)) == values.end()) {
      status = OutOfRange(keyword, text);
    }
  }
  if (status.ok() || !keyword.secret) return status;
  return absl::InvalidArgumentError(Shown(keyword, status));
}

std::string ConfigProblem::ToString() const {
  return absl::StrCat(file, ":", line, ": ", param, ": ", message);
}

absl::Status ConfigProblem::ToStatus() const {
  return WithField(absl::InvalidArgumentError(ToString()), param);
}

std::vector<ConfigProblem> CheckDocument(KeywordFile file, const Document& document) {
  std::vector<ConfigProblem> problems;
  for (const std::string& section : document.Sections()) {
    if (IsFreeSection(file, section)) continue;
    bool known_section = section == "DEFAULT" || IsResourceSection(section);
    for (const Keyword& keyword : kKeywords) {
      known_section =
          known_section || (keyword.file == file && SectionMatches(keyword.section, section));
    }
    for (const Document::Value& value : document.Entries(section)) {
      const auto [name, scope] = SplitScope(value.key);
      ConfigProblem problem;
      problem.file = document.file_name();
      problem.line = value.line;
      problem.param = absl::StrCat(section, ".", value.key);
      const Keyword* keyword = FindKeyword(file, section, name);
      if (keyword == nullptr && file == kObject && section == "DEFAULT") {
        // Defaults for resources stand in DEFAULT.
        for (const Keyword& candidate : kKeywords) {
          if (candidate.file == kObject && candidate.inheritance != kLeaf &&
              name == candidate.name) {
            keyword = &candidate;
          }
        }
      }
      if (keyword == nullptr) {
        if (!known_section || value.key == "comment") continue;
        problem.warning = true;
        problem.message = "unknown keyword, ignored";
        problems.push_back(std::move(problem));
        continue;
      }
      if (value.key.size() != name.size() && !keyword->scopable) {
        problem.message =
            absl::StrCat("expected \"", name, "\" without a scope, found \"@", scope, "\"");
        problems.push_back(std::move(problem));
        continue;
      }
      if (HasReferences(value.text)) continue;
      const absl::Status status = CheckValue(*keyword, value.text);
      if (status.ok()) continue;
      problem.message = std::string(status.message());
      problems.push_back(std::move(problem));
    }
  }
  std::stable_sort(problems.begin(), problems.end(),
                   [](const ConfigProblem& a, const ConfigProblem& b) { return a.line < b.line; });
  return problems;
}

}  // namespace om
