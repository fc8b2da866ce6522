// Which nodes may run a service, and which comes first. Pure. THREAD: any.
#ifndef OM_SERVER_CONTROL_PLACEMENT_H_
#define OM_SERVER_CONTROL_PLACEMENT_H_

#include <string>
#include <vector>

#include "server/state/model.h"
#include "server/state/snapshot.h"

namespace om {

// The nodes that share the service with `node`: `nodes` if it is in them, else `drpnodes`, else
// none.
std::vector<std::string> PeerNodes(const ObjectConfig& config, const std::string& node);

// What does not keep a node from being a candidate.
struct Relaxations {
  bool node_status = false;  // The node is in maintenance, say.
  bool frozen = false;       // The node or the instance.
  bool failed = false;       // `start failed`, `place failed`.
  bool unprovisioned = false;
  bool constraints = false;
  bool overload = false;
  bool affinity = false;

  static Relaxations ForPlacedAt();
  static Relaxations ForFirstNode();
  static Relaxations ForLastNode();
  static Relaxations ForOptionCheck();
  static Relaxations ForScaler();
};

// Peer nodes that could start it now, best ranked first by the service's placement policy. Equal
// scores and loads are broken by the order of the nodes, so that all nodes agree.
std::vector<std::string> Candidates(const Snapshot& snapshot, const ObjectState& object,
                                    const ObjectConfig& config, const std::string& node,
                                    const Relaxations& relax = {});

// `nodes` by the policy of `config`.
std::vector<std::string> Rank(const Snapshot& snapshot, const ObjectPath& path,
                              const ObjectConfig& config, std::vector<std::string> nodes);

// Whether `node` is the one (failover), or among those (flex), that should run it.
bool IsLeader(const std::vector<std::string>& candidates, const ObjectConfig& config,
              const std::string& node);

// Under the order `placed`: a node could still start it, or one has still to stop it.
bool PlacementOptionLeft(const Snapshot& snapshot, const ObjectState& object,
                         const ObjectConfig& config, const std::string& node);

}  // namespace om

#endif  // OM_SERVER_CONTROL_PLACEMENT_H_
