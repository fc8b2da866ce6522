// From the states of instances to the state of their service. Pure functions. THREAD: any.
#ifndef OM_SERVER_STATE_AGGREGATE_H_
#define OM_SERVER_STATE_AGGREGATE_H_

#include <map>
#include <string>
#include <vector>

#include "server/state/model.h"
#include "server/state/snapshot.h"

namespace om {

// One instance as aggregation sees it.
struct InstanceFacts {
  Availability avail = Availability::kUndef;
  Availability overall = Availability::kUndef;
  std::optional<bool> provisioned;
  bool frozen = false;
  bool leader = false;
  std::string monitor_status = status_word::kIdle;
};

// What the service itself says, which is the same on all nodes.
struct ServiceFacts {
  std::string topology = "failover";
  std::string placement;
  int flex_min = 0;
  int flex_max = 0;
  bool scaler_slice = false;
  std::optional<int> scale;  // Set: a scaler.
  int slice_up_count = 0;    // Of a scaler: instances of its slices that count as up.
  bool has_slaves = false;   // Slaves or scaler slaves.
  std::vector<Availability> slaves_avail;
  std::vector<Availability> slaves_overall;
};

Availability AggregateAvail(const ServiceFacts& service,
                            const std::vector<InstanceFacts>& instances);
Availability AggregateOverall(const ServiceFacts& service,
                              const std::vector<InstanceFacts>& instances);
std::string AggregateFrozen(const std::vector<InstanceFacts>& instances);
std::string AggregateProvisioned(const std::vector<InstanceFacts>& instances);
std::string AggregatePlacement(const ServiceFacts& service,
                               const std::vector<InstanceFacts>& instances);

// All of them over the instances of `object` that have data. Slaves are looked up in `table`.
Aggregate AggregateObject(const ObjectState& object, const ObjectTable& table);

// "frozen", "thawed", "mixed", or "n/a" without nodes.
std::string AggregateNodesFrozen(const NodeTable& nodes);
// Instances of that object in a transition.
int TransitionCount(const ObjectState& object);

}  // namespace om

#endif  // OM_SERVER_STATE_AGGREGATE_H_
