// Which cluster node an address belongs to, from memory: asking never waits for a name server.
#ifndef OM_SERVER_ADMISSION_NODE_NAMES_H_
#define OM_SERVER_ADMISSION_NODE_NAMES_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "server/admission/address.h"
#include "server/base/clock.h"
#include "server/base/loop.h"
#include "server/base/mutex.h"

namespace om {

// Addresses of a host name, from the system's resolver. Blocks, for seconds at worst.
absl::StatusOr<std::vector<PeerAddress>> ResolveHost(const std::string& name);

// Knows the addresses of the nodes it was told about. They are resolved on an executor: at once
// when the nodes change, and again by the first question asked `refresh_interval` later, which
// itself is still answered from memory. Until a node is resolved its addresses are unknown; one
// that cannot be resolved any more keeps the addresses it had. Of two nodes with one address the
// first in the list has it. THREAD: any.
class NodeNames {
 public:
  using Resolver = std::function<absl::StatusOr<std::vector<PeerAddress>>(const std::string&)>;

  static constexpr std::chrono::seconds kDefaultRefreshInterval{60};
  // After an executor that took no work.
  static constexpr std::chrono::seconds kRetryInterval{1};
  // More addresses than these of one node are ignored.
  static constexpr size_t kMaxAddressesPerNode = 64;

  // `executor` and `clock` are borrowed; both, and `resolver`, must be good for as long as the
  // executor runs what this object has posted, which may be after its own end.
  NodeNames(Resolver resolver, Executor* executor, const Clock* clock,
            std::chrono::seconds refresh_interval = kDefaultRefreshInterval);

  // Replaces the nodes. Names that stay keep their addresses until they are resolved again.
  void SetNodes(std::vector<std::string> nodes);

  // The node with this address, if it is known to be one's.
  std::optional<std::string> NodeOf(const PeerAddress& address);
  // What this address is counted as.
  AdmissionKey KeyOf(const PeerAddress& address);
  // For people and the status document: the node's name, or the text of the key.
  std::string DisplayName(const AdmissionKey& key);

 private:
  struct State;

  // Posts a resolution if one is due and none is under way.
  void RefreshIfDue();
  static void Resolve(const std::shared_ptr<State>& state);

  Executor* const executor_;  // Not owned.
  const std::shared_ptr<State> state_;
};

}  // namespace om

#endif  // OM_SERVER_ADMISSION_NODE_NAMES_H_
