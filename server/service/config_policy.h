// What others than root may put into the configuration of an object.
#ifndef OM_SERVER_SERVICE_CONFIG_POLICY_H_
#define OM_SERVER_SERVICE_CONFIG_POLICY_H_

#include <string>

#include "absl/status/status.h"
#include "server/config/document.h"
#include "server/config/evaluate.h"
#include "server/config/object_path.h"
#include "server/service/caller.h"

namespace om {

// A configuration as it is to be.
struct ConfigProposal {
  ObjectPath path;
  // Nothing of its namespace exists yet. `root` always does.
  bool new_namespace = false;
  const Document* before = nullptr;  // Null: there is none. Not owned.
  const Document* after = nullptr;   // Not owned.
  // A creation, which gives ids itself; an edit leaves the object's id alone.
  bool is_creation = false;
  // What is evaluated in it: of the local node, and its view of the cluster.
  std::string local_node;
  Roots roots;
  ClusterFacts cluster;
};

// OK, or PERMISSION_DENIED: reason ROLE_MISSING without admin on the namespace (squatter for a new
// one), CONFIG_NOT_ALLOWED with field = the param for content that is root's alone, naming keyword
// and expectation. Judges the whole of `after`, not what has changed: what root has put there stays
// root's to edit around. Only `cn`, `id` and `priority` are compared with `before`.
//
// Values are judged as evaluated for every node that the object or the cluster has, in every scoped
// spelling, whether or not a scope applies; a value with a reference that is not known here is
// refused, and so are sections and keywords of containers, tasks and addresses that this has no
// opinion on. Pure; the work is bounded. THREAD: any.
absl::Status CheckConfigPolicy(const Caller& caller, const ConfigProposal& proposal);

}  // namespace om

#endif  // OM_SERVER_SERVICE_CONFIG_POLICY_H_
