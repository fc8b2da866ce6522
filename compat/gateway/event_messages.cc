#include "compat/gateway/event_messages.h"

#include <utility>

#include "compat/gateway/document_patch.h"

namespace om {
namespace {

// A member that is there on one side only appears, or goes, whole.
void AppendMemberPatch(const Json& path, const Json* from, const Json* to, Json* stanzas) {
  if (from == nullptr && to == nullptr) return;
  if (to == nullptr) {
    stanzas->push_back(Json::array({path}));
  } else if (from == nullptr) {
    stanzas->push_back(Json::array({path, *to}));
  } else {
    AppendPatch(path, *from, *to, stanzas);
  }
}

Json Join(Json path, const std::vector<std::string>& keys) {
  for (const std::string& key : keys) path.push_back(key);
  return path;
}

// The node's own data, without what moves with every change.
Json Compared(const NodeState& node) {
  Json data = StatusOfNode(node, Revision{0});
  data.erase("gen");
  data.erase("updated");
  return data;
}

void AppendInstance(const Json& prefix, const std::string& node, const ObjectPath& path,
                    const ObjectState* from, const ObjectState* to, int compat_level,
                    Json* stanzas) {
  const auto config_of = [&node](const ObjectState* object) -> std::optional<Json> {
    const ObjectConfig* config = object == nullptr ? nullptr : object->config(node);
    if (config == nullptr) return std::nullopt;
    return StatusOfConfig(*config);
  };
  const auto status_of = [&](const ObjectState* object) -> std::optional<Json> {
    if (object == nullptr) return std::nullopt;
    const auto found = object->instances.find(node);
    if (found == object->instances.end()) return std::nullopt;
    return StatusOfInstance(found->second, path, compat_level);
  };
  const auto append = [&](const char* kind, const std::optional<Json>& old_value,
                          const std::optional<Json>& new_value) {
    AppendMemberPatch(Join(prefix, {"services", kind, path.ToString()}),
                      old_value.has_value() ? &*old_value : nullptr,
                      new_value.has_value() ? &*new_value : nullptr, stanzas);
  };
  append("config", config_of(from), config_of(to));
  append("status", status_of(from), status_of(to));
}

// The whole data of a node that was not there before.
Json WholeNode(const std::string& name, const NodeState& node, const Snapshot& now,
               int compat_level, const ObjectFilter& chosen) {
  Json data = StatusOfNode(node, now.revision);
  Json& services = data["services"] = {{"config", Json::object()}, {"status", Json::object()}};
  now.objects.ForEach([&](const ObjectState& object) {
    if (chosen && !chosen(object.path)) return;
    const std::string path = object.path.ToString();
    if (const ObjectConfig* config = object.config(name)) {
      services["config"][path] = StatusOfConfig(*config);
    }
    const auto found = object.instances.find(name);
    if (found != object.instances.end()) {
      services["status"][path] = StatusOfInstance(found->second, object.path, compat_level);
    }
  });
  return data;
}

// What changed of one node, below `prefix`; empty if nothing did.
Json NodeStanzas(const Json& prefix, const std::string& name, const Snapshot& before,
                 const Snapshot& now, int compat_level, const std::set<ObjectPath>& objects,
                 const ObjectFilter& chosen) {
  Json stanzas = Json::array();
  const NodeState* from = before.node(name);
  const NodeState* to = now.node(name);
  if (to == nullptr) return stanzas;
  if (from == nullptr) {
    const Json whole = WholeNode(name, *to, now, compat_level, chosen);
    for (const auto& [key, value] : whole.items()) {
      stanzas.push_back(Json::array({Join(prefix, {key}), value}));
    }
    return stanzas;
  }
  if (from != to) AppendPatch(prefix, Compared(*from), Compared(*to), &stanzas);
  for (const ObjectPath& path : objects) {
    if (chosen && !chosen(path)) continue;
    const auto old_object = before.objects.Find(path);
    const auto new_object = now.objects.Find(path);
    if (old_object == new_object) continue;
    AppendInstance(prefix, name, path, old_object.get(), new_object.get(), compat_level, &stanzas);
  }
  if (!stanzas.empty()) {
    stanzas.push_back(Json::array({Join(prefix, {"updated"}), StatusStamp(now.time)}));
  }
  return stanzas;
}

}  // namespace

void ChangeSummary::Add(const Change& change) {
  objects.insert(change.objects.begin(), change.objects.end());
  events.insert(events.end(), change.events.begin(), change.events.end());
}

Json EventMessage(const Event& event, const Snapshot& now, int compat_level,
                  const std::string& path_key) {
  Json data = Json::object();
  if (!event.reason.empty()) data["reason"] = event.reason;
  if (event.path.has_value()) data[path_key] = event.path->ToString();
  if (!event.rid.empty()) data["rid"] = event.rid;
  if (event.data.is_object()) {
    for (const auto& [key, value] : event.data.items()) data[key] = value;
  }
  data["id"] = event.id;
  const NodeState* node = now.node(event.node);
  data["monitor"] = node == nullptr ? Json::object() : StatusOfNodeMonitor(node->monitor);
  if (event.path.has_value()) {
    const auto object = now.objects.Find(*event.path);
    data["service"] = object == nullptr ? Json::object() : StatusOfAggregate(object->aggregate);
    Json& instance = data["instance"] = Json::object();
    if (object != nullptr) {
      const auto found = object->instances.find(event.node);
      if (found != object->instances.end()) {
        instance = StatusOfInstance(found->second, *event.path, compat_level);
      }
    }
    const auto resources = instance.find("resources");
    if (resources != instance.end()) {
      if (!event.rid.empty() && !data.contains("resource") && resources->is_object() &&
          resources->contains(event.rid)) {
        data["resource"] = (*resources)[event.rid];
      }
      instance.erase("resources");
    }
  }
  return {{"nodename", event.node},
          {"ts", StatusStamp(event.time)},
          {"kind", "event"},
          {"data", std::move(data)}};
}

std::map<std::string, Json> NodePatches(const Snapshot& before, const Snapshot& now,
                                        int compat_level, const std::set<ObjectPath>& objects,
                                        const ObjectFilter& chosen) {
  std::map<std::string, Json> patches;
  for (const auto& [name, node] : *now.nodes) {
    Json stanzas = NodeStanzas(Json::array(), name, before, now, compat_level, objects, chosen);
    if (!stanzas.empty()) patches[name] = std::move(stanzas);
  }
  return patches;
}

Json DocumentStanzas(const Snapshot& before, const Snapshot& now, const DocumentFacts& facts,
                     const std::set<ObjectPath>& objects, const ObjectFilter& chosen) {
  Json stanzas = Json::array();
  const auto head = [&facts](const Snapshot& snapshot) {
    Json out = StatusHead(snapshot, facts, Json::object());
    // Statistics change with every request, those of the reader included.
    if (out.contains("listener")) out["listener"].erase("stats");
    return out;
  };
  AppendPatch(Json::array(), head(before), head(now), &stanzas);
  AppendPatch(Json::array({"monitor"}), StatusMonitorHead(before), StatusMonitorHead(now),
              &stanzas);
  for (const auto& [name, node] : *now.nodes) {
    const Json path = Json::array({"monitor", "nodes", name});
    if (before.node(name) == nullptr) {
      stanzas.push_back(
          Json::array({path, WholeNode(name, *node, now, facts.compat_level, chosen)}));
      continue;
    }
    for (Json& stanza : NodeStanzas(path, name, before, now, facts.compat_level, objects, chosen)) {
      stanzas.push_back(std::move(stanza));
    }
  }
  for (const auto& [name, node] : *before.nodes) {
    if (now.node(name) != nullptr) continue;
    stanzas.push_back(Json::array({Json::array({"monitor", "nodes", name})}));
  }
  for (const ObjectPath& path : objects) {
    if (chosen && !chosen(path)) continue;
    const auto from = before.objects.Find(path);
    const auto to = now.objects.Find(path);
    if (from == to) continue;
    const Json old_value = from == nullptr ? Json() : StatusOfAggregate(from->aggregate);
    const Json new_value = to == nullptr ? Json() : StatusOfAggregate(to->aggregate);
    AppendMemberPatch(Json::array({"monitor", "services", path.ToString()}),
                      from == nullptr ? nullptr : &old_value, to == nullptr ? nullptr : &new_value,
                      &stanzas);
  }
  return stanzas;
}

}  // namespace om
