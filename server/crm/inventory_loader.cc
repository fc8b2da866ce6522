#include "server/crm/inventory_loader.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/base/file.h"
#include "server/base/mutex.h"
#include "server/base/status.h"
#include "server/config/settings.h"
#include "server/config/store.h"
#include "server/crm/action_limits.h"
#include "server/crm/instance_files.h"

namespace om {
namespace {

constexpr size_t kMaxConfigBytes = size_t{1} << 20;

// Tells whether a file is still the same one.
struct Stamp {
  int64_t seconds = 0;
  int64_t nanoseconds = 0;
  int64_t size_bytes = 0;
  uint64_t inode = 0;
  bool operator==(const Stamp&) const = default;
};

std::optional<Stamp> StampOf(const std::string& file) {
  struct stat st = {};
  if (stat(file.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) return std::nullopt;
  return Stamp{st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_size, st.st_ino};
}

// Names in a directory, hidden ones left out. A missing directory is empty.
absl::StatusOr<std::vector<std::string>> NamesIn(const std::string& directory) {
  std::vector<std::string> names;
  DIR* stream = opendir(directory.c_str());
  if (stream == nullptr) {
    if (errno == ENOENT || errno == ENOTDIR) return names;
    return ErrnoStatus(errno, absl::StrCat("listing \"", directory, "\""));
  }
  while (const dirent* entry = readdir(stream)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  closedir(stream);
  return names;
}

// Adds the objects that have a file in the directory; `prefix` is "" or "<namespace>/<kind>/".
absl::Status AddObjects(const std::string& directory, const std::string& prefix,
                        std::set<ObjectPath>* paths) {
  constexpr absl::string_view kSuffix = ".conf";
  ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(directory));
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, kSuffix)) continue;
    const std::string base = name.substr(0, name.size() - kSuffix.size());
    if (prefix.empty() && base == "node") continue;
    const absl::StatusOr<ObjectPath> path = ObjectPath::Parse(absl::StrCat(prefix, base));
    if (path.ok()) paths->insert(*path);
    if (paths->size() > InventoryLoader::kMaxObjects) {
      return absl::ResourceExhaustedError(absl::StrCat("more than ", InventoryLoader::kMaxObjects,
                                                       " configuration files below \"", directory,
                                                       "\""));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::set<ObjectPath>> FindObjects(const Roots& roots) {
  std::set<ObjectPath> paths;
  RETURN_IF_ERROR(AddObjects(roots.etc, "", &paths));
  for (const char* kind : {"vol", "cfg", "sec", "usr"}) {
    RETURN_IF_ERROR(
        AddObjects(absl::StrCat(roots.etc, "/", kind), absl::StrCat("root/", kind, "/"), &paths));
  }
  const std::string namespaces = absl::StrCat(roots.etc, "/namespaces");
  ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(namespaces));
  for (const std::string& name : names) {
    const std::string below = absl::StrCat(namespaces, "/", name);
    ASSIGN_OR_RETURN(const std::vector<std::string> kinds, NamesIn(below));
    for (const std::string& kind : kinds) {
      RETURN_IF_ERROR(
          AddObjects(absl::StrCat(below, "/", kind), absl::StrCat(name, "/", kind, "/"), &paths));
    }
  }
  return paths;
}

std::vector<std::string> Texts(const std::vector<ObjectRelation>& relations) {
  std::vector<std::string> texts;
  for (const ObjectRelation& relation : relations) {
    texts.push_back(relation.node.empty()
                        ? relation.path.ToString()
                        : absl::StrCat(relation.path.ToString(), "@", relation.node));
  }
  return texts;
}

// A file may be wrong in any number of ways.
constexpr size_t kMaxWarnings = 20;

void SetScope(ObjectConfig* config) {
  std::set<std::string> scope(config->nodes.begin(), config->nodes.end());
  scope.insert(config->drpnodes.begin(), config->drpnodes.end());
  config->scope.assign(scope.begin(), scope.end());
}

void FillSchedules(const ObjectSettings& settings, ObjectConfig* config) {
  config->status_schedule = settings.status_schedule;
  config->monitor_schedule = settings.monitor_schedule;
  for (const ResourceSettings& resource : settings.resources) {
    const bool sync = resource.group == "sync";
    if ((!sync && resource.group != "task") || resource.disable) continue;
    // Errors of keywords have made the object's settings an error before.
    const auto schedule = settings.Get(resource.rid, "schedule");
    if (!schedule.ok() || !schedule->has_value() || (*schedule)->empty()) continue;
    config->tasks.push_back({resource.rid, **schedule, sync});
  }
}

void Fill(const ObjectSettings& settings, ObjectConfig* config) {
  config->nodes = settings.nodes;
  config->drpnodes = settings.drpnodes;
  config->topology = std::string(ToText(settings.topology));
  config->orchestrate = std::string(ToText(settings.orchestrate));
  config->placement = std::string(ToText(settings.placement));
  config->disabled = settings.disable;
  config->rollback = settings.rollback;
  config->flex_target = settings.flex_target;
  config->flex_min = settings.flex_min;
  config->flex_max = settings.flex_max;
  config->parents = Texts(settings.parents);
  config->children = Texts(settings.children);
  config->slaves = Texts(settings.slaves);
  config->scale = settings.scale;
  config->scaler_slave = settings.scaler_slave;
  config->hard_affinity = Texts(settings.hard_affinity);
  config->hard_anti_affinity = Texts(settings.hard_anti_affinity);
  config->soft_affinity = Texts(settings.soft_affinity);
  config->soft_anti_affinity = Texts(settings.soft_anti_affinity);
  config->monitor_action = settings.monitor_action;
  config->stonith = settings.stonith;
  const size_t warnings = std::min(settings.warnings.size(), kMaxWarnings);
  config->warnings.assign(settings.warnings.begin(),
                          settings.warnings.begin() + static_cast<std::ptrdiff_t>(warnings));
  FillSchedules(settings, config);
}

// Tells scalers which slices they have.
void FindSlices(std::vector<InventoryItem>* items) {
  std::map<std::tuple<std::string, std::string, std::string>, ObjectConfig*> scalers;
  for (InventoryItem& item : *items) {
    if (!item.config.scale.has_value()) continue;
    scalers[{item.path.ns(), item.path.kind(), item.path.name()}] = &item.config;
  }
  if (scalers.empty()) return;
  for (const InventoryItem& item : *items) {
    if (!item.config.scaler_slave) continue;
    const auto scaler =
        scalers.find({item.path.ns(), item.path.kind(), std::string(item.path.ScalerName())});
    if (scaler != scalers.end()) scaler->second->scaler_slaves.push_back(item.path.ToString());
  }
}

}  // namespace

struct InventoryLoader::State {
  State(Roots r, std::string n, int in_a_row)
      : roots(std::move(r)), nodename(std::move(n)), unchanged_in_a_row(in_a_row) {}

  struct Cached {
    Stamp stamp;
    ObjectConfig config;
  };

  absl::StatusOr<Inventory> List() EXCLUDES(mutex);
  void RefreshNode() REQUIRES(mutex);
  ObjectConfig Read(const ObjectPath& path, const std::string& file) REQUIRES(mutex);

  const Roots roots;
  const std::string nodename;
  const int unchanged_in_a_row;
  Mutex mutex;  // Held for a whole listing.
  std::map<ObjectPath, Cached> cache GUARDED_BY(mutex);
  std::atomic<bool> everything = true;  // Wanted of the next listing.
  // The node's flag as it was told with everything; not set: as with `everything`.
  std::optional<std::optional<absl::Time>> told GUARDED_BY(mutex);
  int unchanged GUARDED_BY(mutex) = 0;  // Listings since then.
  // Of node.conf and cluster.conf, which every object's evaluation depends on.
  std::optional<std::pair<std::optional<Stamp>, std::optional<Stamp>>> node_stamps
      GUARDED_BY(mutex);
  // The last good ones; null until there are any.
  std::shared_ptr<const LoadedConfig> node GUARDED_BY(mutex);
  std::string node_error GUARDED_BY(mutex);
};

void InventoryLoader::State::RefreshNode() {
  const std::pair stamps = {StampOf(roots.NodeConf()), StampOf(roots.ClusterConf())};
  if (node_stamps == stamps) return;
  node_stamps = stamps;
  absl::StatusOr<LoadedConfig> loaded = LoadNodeConfig(roots, nodename);
  if (!loaded.ok()) {
    node_error = std::string(loaded.status().message());
    return;
  }
  node = std::make_shared<const LoadedConfig>(*std::move(loaded));
  node_error.clear();
  cache.clear();
}

ObjectConfig InventoryLoader::State::Read(const ObjectPath& path, const std::string& file) {
  ObjectConfig config;
  const absl::StatusOr<FileContent> content = ReadFile(file, kMaxConfigBytes);
  if (!content.ok()) {
    config.error = std::string(content.status().message());
    return config;
  }
  config.mtime = content->mtime;
  config.csum = LegacyChecksumOf(content->text);
  if (node == nullptr) {
    config.error = absl::StrCat("the node's configuration cannot be used: ", node_error);
    return config;
  }
  if (path.kind() == "ccfg") {
    config.nodes = node->settings.cluster_nodes;
    config.drpnodes = node->settings.cluster_drpnodes;
    config.topology = "span";
    SetScope(&config);
    return config;
  }
  absl::StatusOr<Document> document = Document::Parse(content->text, file);
  if (!document.ok()) {
    config.error = std::string(document.status().message());
    return config;
  }
  EvaluationContext context;
  context.nodename = nodename;
  context.roots = roots;
  context.path = path;
  context.cluster = node->settings.Cluster();
  for (const Document* source : {&node->documents.cluster, &node->documents.node}) {
    for (const Document::Value& entry : source->Entries("node")) {
      context.node_keywords[entry.key] = entry.text;
    }
  }
  const absl::StatusOr<ObjectSettings> settings =
      ObjectSettings::Load(*std::move(document), std::move(context));
  if (!settings.ok()) {
    config.error = std::string(settings.status().message());
    return config;
  }
  Fill(*settings, &config);
  config.limits = ActionLimitsOf(*settings, node->settings.crm_timeout);
  SetScope(&config);
  return config;
}

absl::StatusOr<Inventory> InventoryLoader::State::List() {
  MutexLock lock(&mutex);
  RefreshNode();
  ASSIGN_OR_RETURN(const std::set<ObjectPath> paths, FindObjects(roots));
  Inventory inventory;
  std::map<ObjectPath, Cached> seen;
  bool changed = false;
  for (const ObjectPath& path : paths) {
    const std::string file = path.ConfigFile(roots);
    const std::optional<Stamp> stamp = StampOf(file);
    ObjectConfig broken;
    if (!stamp.has_value()) {
      struct stat info = {};
      // Gone since it was listed, or no file.
      if (lstat(file.c_str(), &info) != 0 || !S_ISLNK(info.st_mode)) continue;
      broken.error = absl::StrCat("\"", file, "\" is a symbolic link to no file");
    }
    const auto it = cache.find(path);
    // A link to nothing has the stamp of no file.
    const Stamp now = stamp.value_or(Stamp());
    if (it != cache.end() && it->second.stamp == now) {
      seen.insert(cache.extract(it));
    } else {
      // Stamped before it is read: one that changes meanwhile is read again next time.
      changed = true;
      seen.emplace(path, Cached{now, stamp.has_value() ? Read(path, file) : std::move(broken)});
    }
  }
  changed = changed || !cache.empty();  // What is left there is gone.
  cache = std::move(seen);
  const absl::StatusOr<std::optional<absl::Time>> frozen = ReadFrozenFlag(roots.NodeFrozen());
  if (!frozen.ok()) {
    told.reset();
    return frozen.status();
  }
  inventory.node_frozen_since = *frozen;
  const bool wanted = everything.exchange(false);
  const bool same_flag = told.has_value() && *told == *frozen;
  if (!wanted && !changed && same_flag && ++unchanged < unchanged_in_a_row) {
    inventory.unchanged = true;
    return inventory;
  }
  unchanged = 0;
  told = *frozen;
  inventory.items.reserve(cache.size());
  for (const auto& [path, entry] : cache) inventory.items.push_back({path, entry.config});
  FindSlices(&inventory.items);
  return inventory;
}

InventoryLoader::InventoryLoader(Executor* workers, Roots roots, std::string nodename,
                                 int unchanged_in_a_row)
    : workers_(workers),
      state_(std::make_shared<State>(std::move(roots), std::move(nodename), unchanged_in_a_row)) {}

InventoryLoader::~InventoryLoader() = default;

absl::StatusOr<Inventory> InventoryLoader::ListNow() { return state_->List(); }

void InventoryLoader::List(Done<absl::StatusOr<Inventory>> done) {
  const bool posted = workers_->Post([state = state_, done] { done(state->List()); });
  if (!posted) done(absl::ResourceExhaustedError("too much disk work is waiting"));
}

void InventoryLoader::SayEverything() { state_->everything = true; }

}  // namespace om
