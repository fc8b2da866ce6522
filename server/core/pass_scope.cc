#include "server/core/pass_scope.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/status/statusor.h"

namespace om {
namespace {

// Adds the objects of a list; one may be followed by "@" and a node.
void AddNames(const ObjectPath& from, const std::vector<std::string>& names,
              std::set<ObjectPath>* paths) {
  for (const std::string& name : names) {
    const absl::StatusOr<ObjectPath> path =
        ObjectPath::ParseRelative(name.substr(0, name.find('@')), from.ns());
    if (path.ok() && *path != from) paths->insert(*path);
  }
}

std::set<ObjectPath> NamesOf(const ObjectState& object) {
  std::set<ObjectPath> paths;
  // "2.web" is a slice of "web".
  const std::string& name = object.path.name();
  const size_t dot = name.find('.');
  if (dot != 0 && dot != std::string::npos && name.find_first_not_of("0123456789") == dot) {
    const std::string text = object.path.ToString();
    const size_t start = text.size() - name.size();
    const absl::StatusOr<ObjectPath> scaler =
        ObjectPath::Parse(text.substr(0, start) + name.substr(dot + 1));
    if (scaler.ok()) paths.insert(*scaler);
  }
  for (const auto& [node, config] : object.configs) {
    for (const auto* names :
         {&config.parents, &config.children, &config.slaves, &config.scaler_slaves,
          &config.hard_affinity, &config.hard_anti_affinity, &config.soft_affinity,
          &config.soft_anti_affinity}) {
      AddNames(object.path, *names, &paths);
    }
  }
  for (const auto& [node, instance] : object.instances) {
    if (instance.status == nullptr) continue;
    for (const auto* names : {&instance.status->parents, &instance.status->children,
                              &instance.status->slaves, &instance.status->scaler_slaves}) {
      AddNames(object.path, *names, &paths);
    }
  }
  return paths;
}

bool IsAtRest(const InstanceState& instance) {
  const InstanceMonitor& monitor = instance.monitor;
  return monitor.global_expect.empty() &&
         (monitor.local_expect.empty() || monitor.local_expect == expect_word::kStarted) &&
         (monitor.status == status_word::kIdle || IsFailed(monitor.status));
}

}  // namespace

void PassScope::Index(const Snapshot& snapshot, const ObjectPath& path) {
  const std::shared_ptr<const ObjectState> object = snapshot.objects.Find(path);
  const InstanceState* instance = object == nullptr ? nullptr : object->instance(node_);
  if (instance != nullptr && !IsAtRest(*instance)) {
    active_.insert(path);
  } else {
    active_.erase(path);
  }
  std::set<ObjectPath> names;
  if (object != nullptr) names = NamesOf(*object);
  const auto known = named_.find(path);
  if (known == named_.end() ? names.empty() : known->second == names) return;
  if (known != named_.end()) {
    for (const ObjectPath& name : known->second) {
      const auto it = named_by_.find(name);
      it->second.erase(path);
      if (it->second.empty()) named_by_.erase(it);
    }
    named_.erase(known);
  }
  for (const ObjectPath& name : names) named_by_[name].insert(path);
  if (!names.empty()) named_.emplace(path, std::move(names));
}

bool PassScope::Take(const Snapshot& snapshot, const std::set<ObjectPath>& busy,
                     std::set<ObjectPath>* only) {
  std::set_symmetric_difference(busy.begin(), busy.end(), busy_.begin(), busy_.end(),
                                std::inserter(touched_, touched_.end()));
  busy_ = busy;
  std::set<ObjectPath> touched;
  touched.swap(touched_);
  // Those that were related before a change are, too.
  std::set<ObjectPath> related;
  const auto relate = [&](const ObjectPath& path) {
    for (const auto* names : {&named_, &named_by_}) {
      if (const auto it = names->find(path); it != names->end()) {
        related.insert(it->second.begin(), it->second.end());
      }
    }
  };
  for (const ObjectPath& path : touched) {
    relate(path);
    Index(snapshot, path);
    relate(path);
  }
  if (std::exchange(all_, false)) return false;
  *only = std::move(touched);
  only->insert(related.begin(), related.end());
  only->insert(active_.begin(), active_.end());
  return true;
}

}  // namespace om
