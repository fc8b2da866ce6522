// What is known in the two nodes while a recording is replayed.
#include <utility>

#include "absl/strings/match.h"
#include "glog/logging.h"
#include "server/state/instance_status.h"
#include "tests/server/control/trace_replay.h"

namespace om {

TraceReplay::TraceReplay(const Json& nodes, const Json& facts, const Json& entries)
    : zero_(clock_.Now() + absl::Hours(1)) {
  // Two clusters' worth of time before: whatever has a delay has long been waited for.
  clock_.Advance(absl::ToChronoNanoseconds(absl::Minutes(50)));
  for (const std::string& node : kNodes) {
    stores_[node] = std::make_unique<StateStore>(&clock_, node, "run", ChangeFeed::Options{});
    stores_[node]->SetCluster({"demo", "id", kNodes});
    thread_start_[node] = clock_.Now();
  }
  BuildSteps(entries, facts);
  LoadNodes(nodes);
  LoadFirstWords();
  for (const Json& fact : facts) {
    if (!fact.contains("t")) ApplyFact(fact);
  }
}

void TraceReplay::LoadNodes(const Json& nodes) {
  for (const auto& [observer, store] : stores_) {
    StateStore::Batch batch(store.get());
    for (const auto& [name, document] : nodes.items()) {
      store->EditNode(name, [&document = document, this](NodeState* node) {
        node->monitor.status = status_word::kIdle;
        node->monitor.status_updated = clock_.Now();
        node->stats.load_15m = document["stats"].value("load_15m", 0.0);
        node->stats.score = document["stats"].value("score", 0);
        node->compat = 9;
      });
      for (const auto& [path, status] : document["services"]["status"].items()) {
        if (status.contains("avail")) LoadInstance(store.get(), {name, path}, status);
      }
    }
  }
}

// As the status document has it, its monitor's part but for what is running.
void TraceReplay::LoadInstance(StateStore* store, const Key& key, const Json& document) {
  const auto status = ParseInstanceStatus(document);
  CHECK(status.ok()) << status.status();
  store->EditObject(*ObjectPath::Parse(key.second), [&](ObjectState* object) {
    InstanceState& instance = object->instances[key.first];
    instance.status = *status;
    instance.frozen_since.reset();
    if (document.value("frozen", 0.0) > 0) instance.frozen_since = clock_.Now();
    instance.monitor = InstanceMonitor();
    instance.monitor.local_expect = TraceTextAt(document["monitor"], "local_expect");
    instance.monitor.placement = TraceTextAt(document["monitor"], "placement");
    ObjectConfig& config = object->configs[key.first];
    config.nodes = kNodes;
    config.scope = kNodes;
    config.topology = (*status)->topology;
    config.orchestrate = (*status)->orchestrate;
    config.placement = (*status)->placement;
    config.flex_target = (*status)->flex_target;
    config.flex_min = (*status)->flex_min;
    config.flex_max = (*status)->flex_max;
    config.parents = (*status)->parents;
    config.children = (*status)->children;
    config.slaves = (*status)->slaves;
    config.scaler_slaves = (*status)->scaler_slaves;
    config.scale = (*status)->scale;
    config.scaler_slave = (*status)->scaler_slave;
  });
}

// The first change of each value says what it was before.
void TraceReplay::LoadFirstWords() {
  std::set<std::pair<Key, std::string>> seen;
  std::set<std::string> restarted;
  for (const Step& step : steps_) {
    for (const Json& entry : step.entries) {
      const Key key(step.node, step.object);
      if (TraceTextAt(entry, "daemon") == "started") restarted.insert(step.node);
      if (restarted.count(step.node) > 0) continue;
      for (const char* name : {"monitor.status", "monitor.local_expect", "monitor.global_expect"}) {
        if (!entry.contains(name) || !seen.emplace(key, name).second) continue;
        const std::string before = TraceText(entry[name][0]);
        Edit(key, [&](InstanceState* instance) {
          InstanceMonitor& monitor = instance->monitor;
          if (absl::EndsWith(name, ".status")) monitor.status = before;
          if (absl::EndsWith(name, "local_expect")) monitor.local_expect = before;
          if (absl::EndsWith(name, "global_expect")) monitor.global_expect = before;
        });
      }
      if (entry.contains("node.monitor.status") && seen.emplace(key, "node").second) {
        EditNode(step.node, [&](NodeState* node) {
          node->monitor.status = TraceText(entry["node.monitor.status"][0]);
        });
      }
    }
  }
}

void TraceReplay::Edit(const Key& key, const std::function<void(InstanceState*)>& edit) {
  const ObjectPath path = *ObjectPath::Parse(key.second);
  for (const auto& [observer, store] : stores_) {
    if (lost_[observer].count(key.first) > 0) continue;
    if (store->current().objects.Find(path) == nullptr) continue;
    store->EditObject(path, [&](ObjectState* object) { edit(&object->instances[key.first]); });
  }
}

void TraceReplay::EditNode(const std::string& node, const std::function<void(NodeState*)>& edit) {
  for (const auto& [observer, store] : stores_) {
    if (lost_[observer].count(node) == 0) store->EditNode(node, edit);
  }
}

// All data of `node`, again, for those who had forgotten them.
void TraceReplay::ShowPeers(const std::string& node) {
  for (const std::string& peer : kNodes) {
    if (peer == node || lost_[node].erase(peer) == 0) continue;
    const Snapshot& theirs = stores_[peer]->current();
    StateStore::Batch batch(stores_[node].get());
    stores_[node]->PutNode(*theirs.local());
    theirs.objects.ForEach([&](const ObjectState& object) {
      stores_[node]->EditObject(object.path, [&](ObjectState* mine) {
        if (object.config(peer) != nullptr) mine->configs[peer] = *object.config(peer);
        if (object.instance(peer) != nullptr) mine->instances[peer] = *object.instance(peer);
      });
    });
  }
}

void TraceReplay::SetAvail(const Key& key, const std::string& avail) {
  Edit(key, [&](InstanceState* instance) {
    if (instance->status == nullptr) return;
    Json document = *instance->status->document;
    document["avail"] = avail;
    document["overall"] = avail;
    for (auto& [rid, resource] : document["resources"].items()) {
      const bool counts = absl::StartsWith(rid, "app#") ||
                          (resource["status"] != "n/a" && !absl::StartsWith(rid, "sync#"));
      if (counts) resource["status"] = avail;
    }
    instance->status = *ParseInstanceStatus(std::move(document));
  });
}

void TraceReplay::ApplyFact(const Json& fact) {
  if (fact.contains("settings")) {
    settings_.rejoin_grace_period =
        absl::Seconds(fact["settings"].value("rejoin_grace_period", 90));
    return;
  }
  const Key key(TraceTextAt(fact, "at"), TraceTextAt(fact, "path"));
  if (fact.contains("loses")) {
    lost_[key.first].insert(fact["loses"].get<std::string>());
    stores_[key.first]->EraseNode(fact["loses"].get<std::string>());
    return;
  }
  if (fact.contains("gone")) return ApplyEffect(key, {"delete"}, "");
  if (key.second.empty()) {
    EditNode(key.first, [&](NodeState* node) {
      if (fact.contains("frozen")) {
        node->frozen_since.reset();
        if (fact["frozen"].get<bool>()) node->frozen_since = clock_.Now();
      }
    });
    return;
  }
  if (fact.contains("appears")) {
    for (const auto& [observer, store] : stores_) LoadInstance(store.get(), key, fact["appears"]);
  }
  if (fact.contains("avail")) SetAvail(key, fact["avail"].get<std::string>());
  Edit(key, [&](InstanceState* instance) {
    if (fact.contains("frozen")) {
      instance->frozen_since.reset();
      if (fact["frozen"].get<bool>()) instance->frozen_since = clock_.Now();
    }
    if (fact.contains("local_expect")) {
      instance->monitor.local_expect = fact["local_expect"].get<std::string>();
    }
    Json document = *instance->status->document;
    for (const char* name : {"provisioned", "flex_target", "scale", "scaler_slaves"}) {
      if (fact.contains(name)) document[name] = fact[name];
    }
    instance->status = *ParseInstanceStatus(std::move(document));
  });
  for (const auto& [observer, store] : stores_) {
    store->EditObject(*ObjectPath::Parse(key.second), [&](ObjectState* object) {
      ObjectConfig& config = object->configs[key.first];
      if (fact.contains("flex_target")) config.flex_target = fact["flex_target"].get<int>();
      if (fact.contains("scale")) config.scale = fact["scale"].get<int>();
      if (fact.contains("scaler_slaves")) {
        config.scaler_slaves = fact["scaler_slaves"].get<std::vector<std::string>>();
      }
      if (fact.contains("nodes")) config.nodes = fact["nodes"].get<std::vector<std::string>>();
    });
  }
}

void TraceReplay::ApplyEffect(const Key& key, const std::vector<std::string>& command,
                              const std::string& status) {
  const std::string& verb = command[0];
  const bool failed = IsFailed(status);
  if (verb == "freeze" || verb == "thaw") {
    if (failed) return;
    Edit(key, [&](InstanceState* instance) {
      instance->frozen_since.reset();
      if (verb == "freeze") instance->frozen_since = clock_.Now();
    });
  } else if (verb == "start" && command.size() == 1) {
    SetAvail(key, failed ? "down" : "up");
  } else if ((verb == "stop" || verb == "shutdown") && !failed) {
    SetAvail(key, "down");
  } else if ((verb == "provision" || verb == "unprovision") && !failed) {
    SetAvail(key, "down");
    Edit(key, [&](InstanceState* instance) {
      Json document = *instance->status->document;
      document["provisioned"] = verb == "provision";
      instance->status = *ParseInstanceStatus(std::move(document));
    });
  } else if (verb == "delete" && !failed) {
    for (const auto& [observer, store] : stores_) {
      store->EditObject(*ObjectPath::Parse(key.second), [&](ObjectState* object) {
        object->configs.erase(key.first);
        object->instances.erase(key.first);
      });
    }
  }
}

void TraceReplay::Apply(const Step& step) {
  const Key key(step.node, step.object);
  // First what the command did, then what was said about it.
  if (step.kind == Step::Kind::kOutcome) {
    const std::string status = TraceText(step.entries[0]["monitor.status"][1]);
    ApplyEffect(key, step.command, status);
    running_.erase(key);
  }
  for (const Json& entry : step.entries) ApplyEntry(step, entry);
}

void TraceReplay::ApplyEntry(const Step& step, const Json& entry) {
  const Key key(step.node, step.object);
  const auto edit_monitor = [&](const std::function<void(InstanceMonitor*)>& edit) {
    Edit(key, [&](InstanceState* instance) { edit(&instance->monitor); });
  };
  if (entry.contains("path") || entry.contains("frozen") || entry.contains("loses"))
    return ApplyFact(entry);
  if (entry.contains("command") && entry["command"][0] != "create" &&
      entry["command"][0] != "set") {
    running_[key] = entry["command"].get<std::vector<std::string>>();
  }
  if (entry.contains("monitor.status")) {
    if (TraceTextAt(entry, "thread") == "listener") running_.erase(key);
    edit_monitor([&](InstanceMonitor* monitor) {
      monitor->status = TraceText(entry["monitor.status"][1]);
      monitor->status_updated = clock_.Now();
    });
  }
  if (entry.contains("monitor.local_expect")) {
    edit_monitor([&](InstanceMonitor* monitor) {
      monitor->local_expect = TraceText(entry["monitor.local_expect"][1]);
    });
  }
  if (entry.contains("monitor.global_expect")) {
    edit_monitor([&](InstanceMonitor* monitor) {
      monitor->global_expect = TraceText(entry["monitor.global_expect"][1]);
      monitor->global_expect_updated = clock_.Now();
    });
  }
  const std::string event = TraceTextAt(entry, "event");
  if (event == "resource_restart") {
    edit_monitor([&](InstanceMonitor* monitor) {
      monitor->restart[TraceTextAt(entry, "rid")] = entry.value("try", 1);
    });
  }
  if (entry.contains("node.monitor.status")) {
    EditNode(step.node, [&](NodeState* node) {
      node->monitor.status = TraceText(entry["node.monitor.status"][1]);
      node->monitor.status_updated = clock_.Now();
    });
  }
  if (entry.contains("node.monitor.global_expect")) {
    EditNode(step.node, [&](NodeState* node) {
      node->monitor.global_expect = TraceText(entry["node.monitor.global_expect"][1]);
    });
  }
  if (event == "instance_freeze" && TraceTextAt(entry, "reason") == "install") {
    Edit(key, [&](InstanceState* instance) { instance->frozen_since = clock_.Now(); });
  }
  if (event == "node_freeze" || event == "node_thaw") {
    EditNode(step.node, [&](NodeState* node) {
      node->frozen_since.reset();
      if (event == "node_freeze") node->frozen_since = clock_.Now();
    });
  }
  if (event == "forget_peer") {
    lost_[step.node].insert(TraceTextAt(entry, "peer"));
    stores_[step.node]->EraseNode(TraceTextAt(entry, "peer"));
  }
  if (entry.contains("hb_status") && absl::EndsWith(TraceTextAt(entry, "thread"), ".rx")) {
    const std::string peer = TraceTextAt(entry, "hb_peer");
    const bool beats = TraceText(entry["hb_status"][1]) == "beating";
    if (beats) ShowPeers(step.node);
    if (stores_[step.node]->current().node(peer) != nullptr) {
      stores_[step.node]->EditNode(peer, [&](NodeState* node) { node->alive = beats; });
    }
  }
  if (TraceTextAt(entry, "daemon") == "stopped") stopped_.insert(step.node);
  if (TraceTextAt(entry, "daemon") == "started") {
    stopped_.erase(step.node);
    thread_start_[step.node] = clock_.Now();
    EditNode(step.node, [&](NodeState* node) { node->monitor.status = status_word::kInit; });
    std::vector<ObjectPath> paths;
    stores_[step.node]->current().objects.ForEach(
        [&](const ObjectState& object) { paths.push_back(object.path); });
    for (const ObjectPath& path : paths) {
      Edit({step.node, path.ToString()},
           [](InstanceState* instance) { instance->monitor = InstanceMonitor(); });
    }
  }
}

}  // namespace om
