#include "compat/gateway/status_parts.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/clock.h"

namespace om {
namespace {

// 0 or the time since when: the legacy way of telling that something is frozen.
Json FrozenSince(const std::optional<absl::Time>& since) {
  if (!since.has_value()) return 0;
  return StatusStamp(*since);
}

Json ThreadToJson(const ThreadStatus* thread) {
  Json out = Json::object();
  if (thread == nullptr) {
    out["state"] = "stopped";
    return out;
  }
  out["state"] = std::string(ThreadStateName(thread->state));
  out["created"] = StatusStamp(thread->created);
  out["configured"] = StatusStamp(thread->configured);
  out["tid"] = thread->kernel_tid;
  out["ident"] = thread->kernel_tid;
  Json alerts = Json::array();
  for (const Alert& alert : thread->alerts) {
    alerts.push_back({{"severity", alert.severity == Alert::Severity::kError ? "error" : "warning"},
                      {"message", alert.message}});
  }
  out["alerts"] = std::move(alerts);
  return out;
}

const ThreadStatus* FindThread(const Snapshot& snapshot, const std::string& id) {
  const auto found = snapshot.threads->find(id);
  return found == snapshot.threads->end() ? nullptr : &found->second;
}

Json InstanceMonitorToJson(const InstanceMonitor& monitor, int compat_level) {
  Json out = {{"status", monitor.status},
              {"status_updated", StatusStamp(monitor.status_updated)},
              {"global_expect_updated", StatusStamp(monitor.global_expect_updated)},
              {"placement", monitor.placement}};
  if (!monitor.local_expect.empty()) {
    out["local_expect"] = monitor.local_expect;
    out["local_expect_updated"] = StatusStamp(monitor.local_expect_updated);
  }
  if (!monitor.global_expect.empty()) out["global_expect"] = monitor.global_expect;
  if (!monitor.restart.empty()) {
    Json restart = Json::object();
    for (const auto& [rid, count] : monitor.restart) {
      if (compat_level >= 10) {
        restart[rid] = {{"retries", count}, {"updated", StatusStamp(monitor.status_updated)}};
      } else {
        restart[rid] = count;
      }
    }
    out["restart"] = std::move(restart);
  }
  if (!monitor.stonith.empty()) out["stonith"] = monitor.stonith;
  return out;
}

Json ListenerToJson(const Snapshot& snapshot, const Json& sessions) {
  Json out = ThreadToJson(FindThread(snapshot, "listener"));
  out["stats"] = {{"sessions", sessions}};
  out["config"] = {{"port", snapshot.listener->configured_port},
                   {"addr", snapshot.listener->configured_addr}};
  // Addresses that cannot be bound are alerts of their own.
  for (const ListenerAddress& address : snapshot.listener->addresses) {
    if (address.error.empty()) continue;
    out["alerts"].push_back(
        {{"severity", "error"},
         {"message", absl::StrCat(address.addr, " port ", address.port, ": ", address.error)}});
  }
  return out;
}

}  // namespace

double StatusStamp(absl::Time time) { return time == absl::Time() ? 0 : om::ToUnixSeconds(time); }

Json StatusOfNodeMonitor(const NodeMonitor& monitor) {
  Json out = {{"status", monitor.status}, {"status_updated", StatusStamp(monitor.status_updated)}};
  if (!monitor.local_expect.empty()) out["local_expect"] = monitor.local_expect;
  if (!monitor.global_expect.empty()) out["global_expect"] = monitor.global_expect;
  if (monitor.global_expect_updated != absl::Time()) {
    out["global_expect_updated"] = StatusStamp(monitor.global_expect_updated);
  }
  return out;
}

Json StatusOfInstance(const InstanceState& instance, const ObjectPath& path, int compat_level) {
  Json out = Json::object();
  if (instance.status != nullptr && instance.status->document != nullptr) {
    out = *instance.status->document;
  } else {
    out["kind"] = path.kind();
    if (path.is_service()) out["resources"] = Json::object();
  }
  out["frozen"] = FrozenSince(instance.frozen_since);
  out["monitor"] = InstanceMonitorToJson(instance.monitor, compat_level);
  return out;
}

Json StatusOfAggregate(const Aggregate& aggregate) {
  Json out = Json::object();
  if (aggregate.empty()) return out;
  out["avail"] = std::string(AvailabilityName(*aggregate.avail));
  out["frozen"] = aggregate.frozen;
  out["overall"] = std::string(AvailabilityName(aggregate.overall.value_or(Availability::kUndef)));
  out["placement"] = aggregate.placement;
  if (aggregate.provisioned == "true" || aggregate.provisioned == "false") {
    out["provisioned"] = aggregate.provisioned == "true";
  } else {
    out["provisioned"] = aggregate.provisioned;
  }
  return out;
}

Json StatusOfNode(const NodeState& node, Revision revision) {
  Json out = Json::object();
  out["compat"] = node.compat;
  out["api"] = node.api;
  out["agent"] = node.agent_version;
  out["monitor"] = StatusOfNodeMonitor(node.monitor);
  Json labels = Json::object();
  for (const auto& [name, value] : node.labels) labels[name] = value;
  out["labels"] = std::move(labels);
  out["targets"] = node.targets;
  out["gen"] = {{node.name, ToNumber(revision)}};
  out["config"] = {{"csum", node.config_csum}};
  out["stats"] = {{"load_15m", std::round(node.stats.load_15m * 10) / 10},
                  {"mem_total", node.stats.mem_total_mib},
                  {"mem_avail", node.stats.mem_avail_percent},
                  {"swap_total", node.stats.swap_total_mib},
                  {"swap_avail", node.stats.swap_avail_percent},
                  {"score", node.stats.score}};
  out["frozen"] = FrozenSince(node.frozen_since);
  out["env"] = node.env;
  out["locks"] = Json::object();
  out["speaker"] = node.speaker;
  out["min_avail_mem"] = node.min_avail_mem_percent;
  out["min_avail_swap"] = node.min_avail_swap_percent;
  out["updated"] = StatusStamp(node.updated);
  return out;
}

Json StatusOfConfig(const ObjectConfig& config) {
  return {{"updated", StatusStamp(config.mtime)}, {"csum", config.csum}, {"scope", config.scope}};
}

Json StatusHead(const Snapshot& snapshot, const DocumentFacts& facts, const Json& sessions) {
  Json head = Json::object();
  head["pid"] = facts.pid;
  head["cluster"] = {{"name", snapshot.cluster->name},
                     {"id", snapshot.cluster->id},
                     {"nodes", snapshot.cluster->nodes}};
  head["daemon"] = {{"ident", facts.pid}, {"state", "running"}};
  Json daemon_alerts = Json::array();
  for (const Alert& alert : *snapshot.alerts) {
    daemon_alerts.push_back(
        {{"severity", alert.severity == Alert::Severity::kError ? "error" : "warning"},
         {"message", alert.message}});
  }
  head["daemon"]["alerts"] = std::move(daemon_alerts);
  head["listener"] = ListenerToJson(snapshot, sessions);
  head["scheduler"] = ThreadToJson(FindThread(snapshot, "scheduler"));
  Json delayed = Json::array();
  if (snapshot.scheduler != nullptr) {
    for (const DelayedTask& task : snapshot.scheduler->delayed) {
      const std::string path = task.path.ToString();
      // 1.9 knows the path by its older name; a task of a whole instance has no resource.
      Json entry = {{"action", task.action},
                    {"svcname", path},
                    {"path", path},
                    {"rid", nullptr},
                    {"queued", om::ToUnixSeconds(task.queued)},
                    {"expire", om::ToUnixSeconds(task.expire)}};
      if (!task.rid.empty()) entry["rid"] = task.rid;
      delayed.push_back(std::move(entry));
    }
  }
  head["scheduler"]["running"] = snapshot.scheduler == nullptr ? 0 : snapshot.scheduler->running;
  head["scheduler"]["delayed"] = std::move(delayed);
  for (const auto& [id, thread] : *snapshot.threads) {
    if (id != "listener" && id != "scheduler" && id != "monitor") head[id] = ThreadToJson(&thread);
  }
  return head;
}

Json StatusMonitorHead(const Snapshot& snapshot) {
  Json monitor = ThreadToJson(FindThread(snapshot, "monitor"));
  monitor["compat"] = snapshot.compat;
  monitor["transitions"] = snapshot.transition_count;
  monitor["frozen"] = snapshot.frozen;
  return monitor;
}

}  // namespace om
