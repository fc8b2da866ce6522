#include "server/state/aggregate.h"

#include <algorithm>
#include <optional>
#include <set>

namespace om {
namespace {

using AvailabilitySet = std::set<Availability>;

// What a single value is, or warn for several, nothing for none.
std::optional<Availability> OnlyValue(const AvailabilitySet& values) {
  if (values.empty()) return std::nullopt;
  return values.size() == 1 ? *values.begin() : Availability::kWarn;
}

Availability AvailOfSelf(const ServiceFacts& service, const std::vector<InstanceFacts>& instances) {
  int up_count = 0;
  int working_count = 0;  // Not up yet, but counted as up in slices.
  bool any_warn = false;
  bool all_na = true;
  for (const InstanceFacts& instance : instances) {
    static const std::set<std::string> kWorking = {"restarting", "starting", "wait children",
                                                   "provisioning", "placing"};
    if (instance.avail == Availability::kUp) {
      ++up_count;
    } else if (kWorking.count(instance.monitor_status) != 0) {
      ++working_count;
    }
    any_warn = any_warn || instance.avail == Availability::kWarn;
    all_na = all_na && instance.avail == Availability::kNa;
  }
  if (service.scale.has_value()) {
    if (service.slice_up_count == 0) return Availability::kNa;
    return service.slice_up_count < *service.scale ? Availability::kWarn : Availability::kUp;
  }
  if (service.topology != "flex" && service.topology != "failover") return Availability::kUnknown;
  if (service.scaler_slice) up_count += working_count;
  if (service.topology == "flex") {
    if (all_na) return Availability::kNa;
    if (up_count == 0) return any_warn ? Availability::kWarn : Availability::kDown;
    if (up_count > service.flex_max) return Availability::kWarn;
    if (up_count < service.flex_min && !service.scaler_slice) return Availability::kWarn;
    return Availability::kUp;
  }
  // An instance in `warn` beside one that is up does not spoil a failover service.
  if (up_count == 1) return Availability::kUp;
  if (all_na) return Availability::kNa;
  return up_count > 1 || any_warn ? Availability::kWarn : Availability::kDown;
}

Availability OverallOfSelf(const std::vector<InstanceFacts>& instances) {
  if (instances.empty()) return Availability::kNa;
  AvailabilitySet values;
  for (const InstanceFacts& instance : instances) values.insert(Shown(instance.overall));
  if (values.count(Availability::kWarn) != 0 || values.count(Availability::kStdbyDown) != 0) {
    return Availability::kWarn;
  }
  constexpr Availability kUp = Availability::kUp;
  constexpr Availability kDown = Availability::kDown;
  constexpr Availability kStdbyUp = Availability::kStdbyUp;
  constexpr Availability kNa = Availability::kNa;
  Availability result = Availability::kUndef;
  if (values.size() == 1) {
    result = *values.begin();
  } else if (values == AvailabilitySet{kUp, kDown} || values == AvailabilitySet{kUp, kStdbyUp} ||
             values == AvailabilitySet{kUp, kDown, kStdbyUp} ||
             values == AvailabilitySet{kUp, kDown, kStdbyUp, kNa}) {
    result = kUp;
  } else if (values == AvailabilitySet{kDown, kStdbyUp} ||
             values == AvailabilitySet{kDown, kStdbyUp, kNa}) {
    result = kDown;
  }
  return result == kStdbyUp ? kDown : result;  // Nothing serves: to the outside it is down.
}

// "all", "none", "mixed" or "n/a" as the words given.
std::string Share(size_t yes, size_t all, const char* every, const char* none) {
  if (all == 0) return "n/a";
  if (yes == all) return every;
  return yes == 0 ? none : "mixed";
}

}  // namespace

Availability AggregateAvail(const ServiceFacts& service,
                            const std::vector<InstanceFacts>& instances) {
  const Availability self = AvailOfSelf(service, instances);
  if (!service.has_slaves) return self;
  AvailabilitySet values(service.slaves_avail.begin(), service.slaves_avail.end());
  values.insert(self);
  values.erase(Availability::kNa);
  values.erase(Availability::kUndef);
  values.erase(Availability::kUnknown);
  return OnlyValue(values).value_or(Availability::kNa);
}

Availability AggregateOverall(const ServiceFacts& service,
                              const std::vector<InstanceFacts>& instances) {
  const Availability self = OverallOfSelf(instances);
  if (!service.has_slaves) return self;
  AvailabilitySet values(service.slaves_overall.begin(), service.slaves_overall.end());
  values.insert(self);
  values.erase(Availability::kNa);
  return OnlyValue(values).value_or(Availability::kNa);
}

std::string AggregateFrozen(const std::vector<InstanceFacts>& instances) {
  const auto frozen = std::count_if(instances.begin(), instances.end(),
                                    [](const InstanceFacts& instance) { return instance.frozen; });
  return Share(static_cast<size_t>(frozen), instances.size(), "frozen", "thawed");
}

std::string AggregateProvisioned(const std::vector<InstanceFacts>& instances) {
  size_t known = 0;
  size_t provisioned = 0;
  for (const InstanceFacts& instance : instances) {
    if (!instance.provisioned.has_value()) continue;
    ++known;
    if (*instance.provisioned) ++provisioned;
  }
  return Share(provisioned, known, "true", "false");
}

std::string AggregatePlacement(const ServiceFacts& service,
                               const std::vector<InstanceFacts>& instances) {
  if (service.placement == "none") return "n/a";
  if (service.topology == "flex" && service.flex_min == 0) return "n/a";
  size_t thawed = 0;
  bool any_running = false;
  bool misplaced = false;
  for (const InstanceFacts& instance : instances) {
    if (instance.frozen) continue;
    ++thawed;
    const bool running =
        instance.avail == Availability::kUp || instance.avail == Availability::kWarn;
    any_running = any_running || running;
    misplaced = misplaced || running != instance.leader;
  }
  if (thawed < 2) return "optimal";
  if (!any_running) return "n/a";
  return misplaced ? "non-optimal" : "optimal";
}

Aggregate AggregateObject(const ObjectState& object, const ObjectTable& table) {
  Aggregate aggregate;
  ServiceFacts service;
  std::vector<InstanceFacts> instances;
  std::vector<std::string> slaves;
  std::set<std::string> slices;  // The resource manager need not know them.
  for (const auto& [node, config] : object.configs) {
    // Peers tell less of their configurations than the local file does.
    if (config.nodes.empty() && config.drpnodes.empty()) continue;
    service.topology = config.topology;
    service.placement = config.placement;
    service.flex_min = config.flex_min;
    service.flex_max = config.flex_max;
    service.scale = config.scale;
    slaves = config.slaves;
    slices.insert(config.scaler_slaves.begin(), config.scaler_slaves.end());
  }
  for (const auto& [node, instance] : object.instances) {
    if (instance.status == nullptr) continue;
    const InstanceStatus& status = *instance.status;
    if (!status.topology.empty()) {
      service.topology = status.topology;
      service.placement = status.placement;
      service.flex_min = status.flex_min;
      service.flex_max = status.flex_max;
      service.scale = status.scale;
      service.scaler_slice = status.scaler_slave;
      slaves = status.slaves;
      slices.insert(status.scaler_slaves.begin(), status.scaler_slaves.end());
    }
    InstanceFacts facts;
    facts.avail = status.has_avail ? status.avail : Availability::kUndef;
    facts.overall = status.has_avail ? status.overall : Availability::kUndef;
    facts.provisioned = status.provisioned;
    facts.frozen = instance.frozen();
    facts.leader = instance.monitor.placement == "leader";
    facts.monitor_status = instance.monitor.status;
    instances.push_back(std::move(facts));
  }
  if (service.topology == "span") return aggregate;
  slaves.insert(slaves.end(), slices.begin(), slices.end());
  service.has_slaves = !slaves.empty();
  for (const std::string& slave : slaves) {
    const absl::StatusOr<ObjectPath> path = ObjectPath::ParseRelative(slave, object.path.ns());
    if (!path.ok() || *path == object.path) continue;
    const std::shared_ptr<const ObjectState> found = table.Find(*path);
    if (found == nullptr) continue;
    service.slaves_avail.push_back(found->aggregate.avail.value_or(Availability::kUndef));
    service.slaves_overall.push_back(found->aggregate.overall.value_or(Availability::kNa));
    if (!service.scale.has_value()) continue;
    for (const auto& [node, instance] : found->instances) {
      if (instance.avail() == Availability::kUp) ++service.slice_up_count;
    }
  }
  if (instances.empty() && !service.has_slaves) {
    aggregate.avail = Availability::kUnknown;
    aggregate.overall = Availability::kUnknown;
  } else {
    aggregate.avail = AggregateAvail(service, instances);
    aggregate.overall = AggregateOverall(service, instances);
  }
  aggregate.frozen = AggregateFrozen(instances);
  aggregate.placement = AggregatePlacement(service, instances);
  aggregate.provisioned = AggregateProvisioned(instances);
  return aggregate;
}

std::string AggregateNodesFrozen(const NodeTable& nodes) {
  const auto frozen = std::count_if(nodes.begin(), nodes.end(),
                                    [](const auto& entry) { return entry.second->frozen(); });
  return Share(static_cast<size_t>(frozen), nodes.size(), "frozen", "thawed");
}

int TransitionCount(const ObjectState& object) {
  return static_cast<int>(
      std::count_if(object.instances.begin(), object.instances.end(),
                    [](const auto& entry) { return IsTransition(entry.second.monitor.status); }));
}

}  // namespace om
