#include "client/omctl/render.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/errors.h"
#include "client/omctl/table.h"

namespace om {
namespace {

using namespace om::control::v1;  // NOLINT: most names here are messages.

constexpr char kNone[] = "-";

double Seconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + duration.nanos() / 1e9;
}

std::string OrNone(absl::string_view text) { return std::string(text.empty() ? kNone : text); }

Colour ColourOf(ResourceState state) {
  switch (state) {
    case RESOURCE_STATE_UP:
    case RESOURCE_STATE_STANDBY_UP:
      return Colour::kGood;
    case RESOURCE_STATE_DOWN:
    case RESOURCE_STATE_STANDBY_DOWN:
      return Colour::kBad;
    case RESOURCE_STATE_WARN:
    case RESOURCE_STATE_UNDEFINED:
      return Colour::kWarn;
    default:
      return Colour::kPlain;
  }
}

Cell StateCell(ResourceState state) { return Cell(StateText(state), ColourOf(state)); }

Cell FrozenCell(FrozenState state) {
  const bool held = state == FROZEN_STATE_FROZEN || state == FROZEN_STATE_MIXED;
  return Cell(StateText(state), held ? Colour::kWarn : Colour::kPlain);
}

Cell PlacementCell(PlacementState state) {
  switch (state) {
    case PLACEMENT_STATE_OPTIMAL:
      return Cell("optimal");
    case PLACEMENT_STATE_NON_OPTIMAL:
      return Cell("non-optimal", Colour::kWarn);
    case PLACEMENT_STATE_NOT_APPLICABLE:
      return Cell("n/a");
    default:
      return Cell(kNone);
  }
}

std::string ProvisionedText(ProvisionedState state) {
  switch (state) {
    case PROVISIONED_STATE_TRUE:
      return "true";
    case PROVISIONED_STATE_FALSE:
      return "false";
    case PROVISIONED_STATE_MIXED:
      return "mixed";
    case PROVISIONED_STATE_NOT_APPLICABLE:
      return "n/a";
    default:
      return kNone;
  }
}

Colour ColourOfMonitor(absl::string_view status) {
  if (status.size() >= 6 && status.substr(status.size() - 6) == "failed") return Colour::kBad;
  return Colour::kPlain;
}

bool IsIdle(absl::string_view status) { return status.empty() || status == "idle"; }

std::string MemoryText(int64_t total_mib, int32_t available_percent, int32_t min_percent) {
  if (total_mib <= 0) return kNone;
  return absl::StrFormat("%d%% of %.1fg%s", available_percent,
                         static_cast<double>(total_mib) / 1024.0,
                         available_percent < min_percent ? " low" : "");
}

std::string BytesText(int64_t bytes) {
  return absl::StrFormat("%.1f MiB", static_cast<double>(bytes) / (1024.0 * 1024.0));
}

std::string NodeStateText(const NodeStatus& node) {
  std::vector<std::string> words;
  words.push_back(OrNone(node.monitor().status()));
  if (node.has_freeze_time()) words.push_back("frozen");
  if (!node.monitor().global_expect().empty()) {
    words.push_back(absl::StrCat(">", node.monitor().global_expect()));
  }
  if (!node.monitor().local_expect().empty()) {
    words.push_back(absl::StrCat(">", node.monitor().local_expect()));
  }
  return absl::StrJoin(words, " ");
}

// Flags of a resource in eight characters: running, monitored, disabled, optional, encapsulated,
// not provisioned, standby, restarts that are left.
std::string ResourceFlags(const ResourceStatus& resource, const InstanceMonitor& monitor) {
  std::string flags(8, '.');
  if (resource.monitored()) flags[1] = 'M';
  if (resource.disabled()) flags[2] = 'D';
  if (resource.optional()) flags[3] = 'O';
  if (resource.encapsulated()) flags[4] = 'E';
  if (resource.provisioned() == PROVISIONED_STATE_FALSE) flags[5] = 'P';
  if (resource.provisioned() == PROVISIONED_STATE_UNSPECIFIED) flags[5] = '/';
  if (resource.standby()) flags[6] = 'S';
  if (resource.max_restart_count() > 0) {
    const auto it = monitor.restart_counts().find(resource.id());
    const int used = it == monitor.restart_counts().end() ? 0 : it->second;
    const int left = std::max(0, resource.max_restart_count() - used);
    flags[7] = left >= 10 ? '+' : static_cast<char>('0' + left);
  }
  return flags;
}

void AppendThreads(const google::protobuf::RepeatedPtrField<ThreadStatus>& threads,
                   TextTable* table) {
  table->AddRow({Cell("Threads", Colour::kBold), Cell("state", Colour::kDim),
                 Cell("endpoints", Colour::kDim)});
  for (const ThreadStatus& thread : threads) {
    Colour colour = Colour::kWarn;
    if (thread.state() == THREAD_STATE_RUNNING) colour = Colour::kGood;
    if (thread.state() == THREAD_STATE_TERMINATED) colour = Colour::kBad;
    table->AddRow({absl::StrCat(" ", thread.id()), Cell(StateText(thread.state()), colour),
                   absl::StrJoin(thread.endpoints(), ", ")});
    if (thread.restart_count() > 0) {
      table->AddNote(Cell(
          absl::StrCat("   ", thread.restart_count(),
                       thread.restart_count() == 1 ? " restart" : " restarts", " after an error",
                       thread.last_error().empty() ? "" : ": ", thread.last_error()),
          Colour::kWarn));
    } else if (!thread.last_error().empty()) {
      table->AddNote(Cell(absl::StrCat("   ended by: ", thread.last_error()), Colour::kBad));
    }
    for (const std::string& alert : thread.alerts()) {
      table->AddNote(Cell(absl::StrCat("   alert: ", alert), Colour::kBad));
    }
  }
}

// One column a node, as operators know it.
void AppendNodes(const google::protobuf::RepeatedPtrField<NodeStatus>& nodes, TextTable* table) {
  std::vector<Cell> header = {Cell("Nodes", Colour::kBold)};
  std::vector<Cell> version = {" version"};
  std::vector<Cell> load = {" load 15m"};
  std::vector<Cell> memory = {" mem free"};
  std::vector<Cell> swap = {" swap free"};
  std::vector<Cell> state = {" state"};
  for (const NodeStatus& node : nodes) {
    header.push_back(Cell(node.name(), Colour::kBold));
    version.emplace_back(OrNone(node.agent_version()));
    load.emplace_back(node.has_load() ? absl::StrFormat("%.1f", node.load().load_15m()) : kNone);
    const auto memory_cell = [](int64_t total, int32_t available, int32_t minimum) {
      return Cell(MemoryText(total, available, minimum),
                  total > 0 && available < minimum ? Colour::kWarn : Colour::kPlain);
    };
    memory.push_back(memory_cell(node.load().memory_total_mib(),
                                 node.load().memory_available_percent(),
                                 node.min_available_memory_percent()));
    swap.push_back(memory_cell(node.load().swap_total_mib(), node.load().swap_available_percent(),
                               node.min_available_swap_percent()));
    const bool calm = node.monitor().status() == "idle" && !node.has_freeze_time();
    state.push_back(Cell(NodeStateText(node), calm ? Colour::kPlain : Colour::kWarn));
  }
  for (std::vector<Cell>* row : {&header, &version, &load, &memory, &swap, &state}) {
    table->AddRow(std::move(*row));
  }
}

Cell InstanceCell(const ObjectStatus& object, const std::string& node) {
  for (const InstanceStatus& instance : object.instances()) {
    if (instance.node() != node) continue;
    const Colour monitor = ColourOfMonitor(instance.monitor().status());
    return Cell(InstanceText(instance),
                monitor == Colour::kPlain ? ColourOf(instance.avail()) : monitor);
  }
  for (const std::string& name : object.scope()) {
    // Configured for that node, and nothing is known; other kinds have no instances that run.
    if (name == node &&
        (object.kind().empty() || object.kind() == "svc" || object.kind() == "vol")) {
      return Cell("?");
    }
  }
  return Cell();
}

void AppendServices(const GetStatusResponse& status, TextTable* table) {
  // Nodes of the cluster first, then any other that has an instance.
  std::vector<std::string> names(status.cluster().nodes().begin(), status.cluster().nodes().end());
  const auto add = [&names](const std::string& name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  for (const NodeStatus& node : status.nodes()) add(node.name());
  for (const ObjectStatus& object : status.objects()) {
    for (const InstanceStatus& instance : object.instances()) add(instance.node());
  }
  std::vector<Cell> header = {Cell("Services", Colour::kBold)};
  for (const char* title : {"avail", "overall", "frozen", "placement", "order", "|"}) {
    header.push_back(Cell(title, Colour::kDim));
  }
  for (const std::string& name : names) header.push_back(Cell(name, Colour::kBold));
  table->AddRow(std::move(header));
  for (const ObjectStatus& object : status.objects()) {
    if (object.kind() == "ccfg") continue;  // The cluster's own configuration: said above.
    std::vector<Cell> row = {absl::StrCat(" ", object.path()),
                             StateCell(object.avail()),
                             StateCell(object.overall()),
                             FrozenCell(object.frozen()),
                             PlacementCell(object.placement()),
                             OrderText(object),
                             Cell("|", Colour::kDim)};
    for (const std::string& name : names) row.push_back(InstanceCell(object, name));
    table->AddRow(std::move(row));
    if (!object.config_error().empty()) {
      table->AddNote(Cell(absl::StrCat("   config: ", object.config_error()), Colour::kBad));
    }
    for (const std::string& warning : object.config_warnings()) {
      table->AddNote(Cell(absl::StrCat("   config: ", warning), Colour::kWarn));
    }
  }
}

std::string ClusterSummary(const ClusterStatus& cluster) {
  return absl::StrCat(cluster.name(), ": ", absl::StrJoin(cluster.nodes(), " "), ", ",
                      StateText(cluster.frozen()));
}

std::string ThreadSummary(const ThreadStatus& thread) {
  std::string text = absl::StrCat(thread.id(), ": ", StateText(thread.state()));
  for (const std::string& alert : thread.alerts()) absl::StrAppend(&text, ", alert: ", alert);
  return text;
}

std::string NodeSummary(const NodeStatus& node) {
  return absl::StrCat(node.name(), ": ", NodeStateText(node));
}

std::string ObjectSummary(const ObjectStatus& object) {
  std::string text = absl::StrCat(object.path(), ": avail ", StateText(object.avail()),
                                  ", overall ", StateText(object.overall()));
  const std::string order = OrderText(object);
  if (order != kNone) absl::StrAppend(&text, ", order ", order);
  for (const InstanceStatus& instance : object.instances()) {
    absl::StrAppend(&text, "; ", instance.node(), " ", InstanceText(instance));
  }
  return text;
}

}  // namespace

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::string TimeText(const google::protobuf::Timestamp& time, const RenderOptions& options) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", ToTime(time), options.zone);
}

std::string EventSummary(const Event& event) {
  std::vector<std::string> words = {event.id()};
  if (!event.node().empty()) words.push_back(absl::StrCat("on ", event.node()));
  if (!event.path().empty()) words.push_back(event.path());
  if (!event.resource_id().empty()) words.push_back(event.resource_id());
  if (!event.reason().empty()) words.push_back(absl::StrCat("(", event.reason(), ")"));
  const std::map<std::string, std::string> attributes(event.attributes().begin(),
                                                      event.attributes().end());
  for (const auto& [name, value] : attributes) words.push_back(absl::StrCat(name, "=", value));
  return absl::StrJoin(words, " ");
}

std::string StateText(ResourceState state) {
  switch (state) {
    case RESOURCE_STATE_UP:
      return "up";
    case RESOURCE_STATE_DOWN:
      return "down";
    case RESOURCE_STATE_WARN:
      return "warn";
    case RESOURCE_STATE_NOT_APPLICABLE:
      return "n/a";
    case RESOURCE_STATE_UNDEFINED:
      return "undef";
    case RESOURCE_STATE_STANDBY_UP:
      return "stdby up";
    case RESOURCE_STATE_STANDBY_DOWN:
      return "stdby down";
    case RESOURCE_STATE_UNKNOWN:
      return "unknown";
    default:
      return kNone;
  }
}

std::string StateText(FrozenState state) {
  switch (state) {
    case FROZEN_STATE_FROZEN:
      return "frozen";
    case FROZEN_STATE_THAWED:
      return "thawed";
    case FROZEN_STATE_MIXED:
      return "mixed";
    case FROZEN_STATE_NOT_APPLICABLE:
      return "n/a";
    default:
      return kNone;
  }
}

std::string StateText(ThreadState state) {
  switch (state) {
    case THREAD_STATE_RUNNING:
      return "running";
    case THREAD_STATE_STOPPING:
      return "stopping";
    case THREAD_STATE_STOPPED:
      return "stopped";
    case THREAD_STATE_TERMINATED:
      return "terminated";
    default:
      return kNone;
  }
}

int StateExitCode(ResourceState state) {
  switch (state) {
    case RESOURCE_STATE_UP:
      return 0;
    case RESOURCE_STATE_DOWN:
      return 1;
    case RESOURCE_STATE_WARN:
      return 2;
    case RESOURCE_STATE_NOT_APPLICABLE:
      return 3;
    case RESOURCE_STATE_STANDBY_UP:
      return 6;
    case RESOURCE_STATE_STANDBY_DOWN:
      return 7;
    default:
      return 5;
  }
}

std::string InstanceText(const InstanceStatus& instance) {
  std::string text;
  switch (instance.avail()) {
    case RESOURCE_STATE_UP:
      text = "O";
      break;
    case RESOURCE_STATE_DOWN:
      text = "X";
      break;
    case RESOURCE_STATE_WARN:
      text = "!";
      break;
    case RESOURCE_STATE_NOT_APPLICABLE:
      text = "/";
      break;
    case RESOURCE_STATE_STANDBY_UP:
      text = "S";
      break;
    case RESOURCE_STATE_STANDBY_DOWN:
      text = "s";
      break;
    default:
      text = "?";
  }
  if (instance.overall() == RESOURCE_STATE_WARN && instance.avail() != RESOURCE_STATE_WARN) {
    text += '!';
  }
  if (instance.monitor().leader()) text += '^';
  if (instance.has_freeze_time()) text += '*';
  if (instance.provisioned() == PROVISIONED_STATE_FALSE) text += 'P';
  if (!IsIdle(instance.monitor().status())) {
    absl::StrAppend(&text, " ", instance.monitor().status());
  }
  return text;
}

std::string OrderText(const ObjectStatus& object) {
  std::set<std::string> orders;
  for (const InstanceStatus& instance : object.instances()) {
    if (!instance.monitor().global_expect().empty()) {
      orders.insert(instance.monitor().global_expect());
    }
  }
  return orders.empty() ? kNone : absl::StrJoin(orders, ",");
}

std::string RenderStatus(const GetStatusResponse& status, const RenderOptions& options) {
  const ClusterStatus& cluster = status.cluster();
  const DaemonStatus& daemon = status.daemon();
  std::string text = absl::StrCat(Paint("Cluster", Colour::kBold, options.colour), " ",
                                  Printable(OrNone(cluster.name())));
  if (!cluster.id().empty()) absl::StrAppend(&text, ", id ", Printable(cluster.id()));
  if (cluster.frozen() == FROZEN_STATE_MIXED) {
    text += ", some nodes frozen";
  } else if (cluster.frozen() != FROZEN_STATE_UNSPECIFIED) {
    absl::StrAppend(&text, ", ", StateText(cluster.frozen()));
  }
  if (!cluster.compatible()) {
    absl::StrAppend(&text, ", ", Paint("nodes not compatible", Colour::kWarn, options.colour));
  }
  if (cluster.transition_count() > 0) {
    absl::StrAppend(&text, ", ", cluster.transition_count(), " in transition");
  }
  absl::StrAppend(&text, "\n", Paint("Daemon", Colour::kBold, options.colour), "  omd ",
                  Printable(OrNone(daemon.version())), " on ", Printable(OrNone(daemon.node())),
                  ", pid ", daemon.pid());
  if (daemon.has_start_time()) {
    absl::StrAppend(&text, ", since ", TimeText(daemon.start_time(), options));
  }
  text += '\n';
  for (const std::string& alert : daemon.alerts()) {
    absl::StrAppend(&text, "  ",
                    Paint(absl::StrCat("alert: ", Printable(alert)), Colour::kBad, options.colour),
                    "\n");
  }
  TextTable threads;
  AppendThreads(status.threads(), &threads);
  TextTable nodes;
  AppendNodes(status.nodes(), &nodes);
  TextTable services;
  AppendServices(status, &services);
  absl::StrAppend(&text, "\n", threads.Render(options.colour), "\n", nodes.Render(options.colour),
                  "\n", services.Render(options.colour));
  if (status.objects().empty()) text += "  none\n";
  return text;
}

std::string RenderObject(const ObjectStatus& object, const RenderOptions& options) {
  TextTable summary;
  const auto line = [&summary](absl::string_view name, Cell value) {
    summary.AddRow({absl::StrCat(" ", name), std::move(value)});
  };
  line("avail", StateCell(object.avail()));
  line("overall", StateCell(object.overall()));
  line("frozen", FrozenCell(object.frozen()));
  line("placement", PlacementCell(object.placement()));
  line("provisioned", ProvisionedText(object.provisioned()));
  line("order", OrderText(object));
  std::string text = absl::StrCat(Paint(Printable(object.path()), Colour::kBold, options.colour),
                                  "\n", summary.Render(options.colour));
  if (!object.config_error().empty()) {
    absl::StrAppend(&text, " ",
                    Paint(absl::StrCat("config: ", Printable(object.config_error())), Colour::kBad,
                          options.colour),
                    "\n");
  }
  for (const std::string& warning : object.config_warnings()) {
    absl::StrAppend(
        &text, " ",
        Paint(absl::StrCat("config: ", Printable(warning)), Colour::kWarn, options.colour), "\n");
  }
  TextTable instances;
  instances.AddRow({Cell("Instances", Colour::kBold), Cell("avail", Colour::kDim),
                    Cell("flags", Colour::kDim), Cell("monitor", Colour::kDim),
                    Cell("about", Colour::kDim)});
  for (const InstanceStatus& instance : object.instances()) {
    std::vector<std::string> about;
    if (instance.monitor().leader()) about.push_back("leader");
    if (instance.has_freeze_time()) about.push_back("frozen");
    if (instance.overall() != instance.avail()) {
      about.push_back(absl::StrCat("overall ", StateText(instance.overall())));
    }
    if (instance.has_update_time()) {
      about.push_back(absl::StrCat("as of ", TimeText(instance.update_time(), options)));
    }
    const std::string& status = instance.monitor().status();
    instances.AddRow({absl::StrCat(" ", instance.node()), StateCell(instance.avail()), Cell(),
                      Cell(OrNone(status), ColourOfMonitor(status)), absl::StrJoin(about, ", ")});
    for (const ResourceStatus& resource : instance.resources()) {
      instances.AddRow({absl::StrCat("  ", resource.id()), StateCell(resource.state()),
                        ResourceFlags(resource, instance.monitor()), OrNone(resource.type()),
                        resource.label()});
      for (const std::string& log : resource.log()) {
        instances.AddNote(Cell(absl::StrCat("     ", log), Colour::kWarn));
      }
    }
  }
  absl::StrAppend(&text, "\n", instances.Render(options.colour));
  if (object.instances().empty()) text += "  none\n";
  return text;
}

std::string RenderThreads(const google::protobuf::RepeatedPtrField<ThreadStatus>& threads,
                          const RenderOptions& options) {
  TextTable table;
  AppendThreads(threads, &table);
  return table.Render(options.colour);
}

std::string RenderStats(const GetStatsResponse& stats, const RenderOptions& options) {
  TextTable use;
  use.AddRow({Cell("Use", Colour::kBold), Cell("cpu time", Colour::kDim),
              Cell("memory", Colour::kDim), Cell("threads", Colour::kDim),
              Cell("open files", Colour::kDim)});
  const auto row = [&use](absl::string_view name, const ProcessStats& process) {
    use.AddRow({absl::StrCat(" ", name), absl::StrFormat("%.2f s", Seconds(process.cpu_time())),
                BytesText(process.memory_bytes()),
                process.thread_count() > 0 ? absl::StrCat(process.thread_count()) : kNone,
                process.open_file_count() > 0 ? absl::StrCat(process.open_file_count()) : kNone});
  };
  row("daemon", stats.daemon());
  const std::map<std::string, ProcessStats> threads(stats.threads().begin(), stats.threads().end());
  for (const auto& [id, process] : threads) row(absl::StrCat(" ", id), process);
  if (stats.has_node_cpu_time()) {
    use.AddRow({" node", absl::StrFormat("%.2f s", Seconds(stats.node_cpu_time()))});
  }
  TextTable counts;
  counts.AddRow({Cell("Counters", Colour::kBold)});
  const std::map<std::string, int64_t> counters(stats.counters().begin(), stats.counters().end());
  for (const auto& [name, value] : counters) {
    counts.AddRow({absl::StrCat(" ", name), absl::StrCat(value)});
  }
  std::string text;
  if (stats.has_time()) text = absl::StrCat("As of ", TimeText(stats.time(), options), "\n\n");
  return absl::StrCat(text, use.Render(options.colour), "\n", counts.Render(options.colour));
}

std::string RenderBlacklist(const google::protobuf::RepeatedPtrField<BlacklistEntry>& entries,
                            const RenderOptions& options) {
  if (entries.empty()) return "No sender of invalid messages is known.\n";
  TextTable table;
  table.AddRow({Cell("Sender", Colour::kBold), Cell("node", Colour::kDim),
                Cell("invalid", Colour::kDim), Cell("state", Colour::kDim)});
  for (const BlacklistEntry& entry : entries) {
    table.AddRow({absl::StrCat(" ", entry.address()), OrNone(entry.node()),
                  absl::StrCat(entry.invalid_count()),
                  entry.blacklisted() ? Cell("blacklisted", Colour::kBad) : Cell("counted")});
  }
  return table.Render(options.colour);
}

std::string WatchText::Render(const WatchStatusResponse& message) {
  if (message.has_state()) {
    const StateChunk& state = message.state();
    if (state.has_cluster()) last_["cluster"] = ClusterSummary(state.cluster());
    for (const ThreadStatus& thread : state.threads()) {
      last_[absl::StrCat("thread ", thread.id())] = ThreadSummary(thread);
    }
    for (const NodeStatus& node : state.nodes()) {
      last_[absl::StrCat("node ", node.name())] = NodeSummary(node);
    }
    for (const ObjectStatus& object : state.objects()) {
      last_[absl::StrCat("object ", object.path())] = ObjectSummary(object);
    }
    return "";
  }
  if (message.has_state_end()) {
    return absl::StrCat("state at revision ", message.state_end().revision(), ": ",
                        message.state_end().object_count(), " objects\n");
  }
  if (!message.has_change()) return "";
  const StateChange& change = message.change();
  const std::string time = TimeText(change.time(), options_);
  std::string text;
  const auto line = [&](absl::string_view what, absl::string_view rest) {
    absl::StrAppend(&text, Paint(time, Colour::kDim, options_.colour), "  ",
                    absl::StrFormat("%-8s", what), Printable(rest), "\n");
  };
  const auto news = [&](absl::string_view what, absl::string_view name, std::string rest) {
    std::string& last = last_[absl::StrCat(what, name)];
    if (last == rest) return;
    line(what, rest);
    last = std::move(rest);
  };
  for (const Event& event : change.events()) line("event", EventSummary(event));
  if (change.has_cluster()) news("cluster", "", ClusterSummary(change.cluster()));
  for (const ThreadStatus& thread : change.threads()) {
    news("thread", absl::StrCat(" ", thread.id()), ThreadSummary(thread));
  }
  for (const NodeStatus& node : change.nodes()) {
    news("node", absl::StrCat(" ", node.name()), NodeSummary(node));
  }
  for (const ObjectStatus& object : change.objects()) {
    news("object", absl::StrCat(" ", object.path()), ObjectSummary(object));
  }
  for (const std::string& path : change.removed_object_paths()) {
    line("object", absl::StrCat(path, ": removed"));
    last_.erase(absl::StrCat("object ", path));
  }
  return text;
}

}  // namespace om
