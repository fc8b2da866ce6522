// Questions that several decisions ask. Pure. THREAD: any.
#ifndef OM_SERVER_CONTROL_CONDITIONS_H_
#define OM_SERVER_CONTROL_CONDITIONS_H_

#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/state/model.h"
#include "server/state/snapshot.h"

namespace om {

bool IsOneOf(absl::string_view word, std::initializer_list<absl::string_view> words);
bool IsListed(const std::string& word, const std::vector<std::string>& list);

bool AnyInstance(const ObjectState& object, const std::function<bool(const InstanceState&)>& test);
bool HasData(const InstanceState& instance);
// Nothing runs any more, standby resources included.
bool IsShutDown(std::optional<Availability> avail);
bool IsShutDown(const InstanceState& instance);
bool IsUp(const InstanceState& instance);
// Nothing is over while an instance works: what it reports is about to change.
bool IsWarnAtRest(const InstanceState& instance);
// Nothing is ordered of it but, at most, to give up what was.
bool IsAborted(const InstanceMonitor& monitor);
// Less memory or swap is left than the node wants to keep.
bool IsOverloaded(const NodeState& node);
// It runs the service, or a part of it that is not also kept up on other nodes.
bool RunsService(const InstanceState& instance);

// A monitor status that ends an order without anything being run. `leader`: the instance is where
// the service should run.
bool FailureCancels(absl::string_view status, absl::string_view order, bool leader);

// "placed@n1,n2" -> n1, n2; of another order, or with nothing after the sign, empty.
std::vector<std::string> Destinations(absl::string_view order);
bool IsPlacedAt(absl::string_view order);
bool IsRestartOrder(absl::string_view order);  // "restarted", "restarted@<time>"

// "<path>" or "<path>@<node>", as configurations name other objects.
struct Relation {
  std::shared_ptr<const ObjectState> object;  // Null: unknown.
  std::string node;                           // Empty: any.
};
Relation FindRelation(const Snapshot& snapshot, const ObjectPath& from, const std::string& text);
// Unknown parents cannot be waited for and count as available.
bool ParentsAvailable(const Snapshot& snapshot, const ObjectPath& path, const ObjectConfig& config);
bool ParentInTransition(const Snapshot& snapshot, const ObjectPath& path,
                        const ObjectConfig& config);
// Of children, slaves and slices, those that are known: whether all pass.
bool AllChildren(const Snapshot& snapshot, const ObjectPath& path, const ObjectConfig& config,
                 const std::function<bool(const ObjectState&)>& test);

// `shutdown failed`, since the node began to shut down.
bool GaveUpShutdown(const NodeState& node, const InstanceState& instance);

}  // namespace om

#endif  // OM_SERVER_CONTROL_CONDITIONS_H_
