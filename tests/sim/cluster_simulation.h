// A whole cluster in one process, on one fake clock, with troubles chosen by a seed.
#ifndef OM_TESTS_SIM_CLUSTER_SIMULATION_H_
#define OM_TESTS_SIM_CLUSTER_SIMULATION_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server/base/counters.h"
#include "server/base/random.h"
#include "server/core/core.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_loop.h"
#include "tests/support/fake_random.h"
#include "tests/support/fake_world.h"
#include "tests/support/memory_cluster.h"

namespace om {

// One schedule: 1 to 7 nodes with a core each, 1 to 3 services, random orders and troubles, then
// calm. What must hold after each event:
//
// - With ownership: never do resources of a failover service run on two nodes, whatever the nodes
//   know of each other.
// - Without: no node begins a start while another that it *sees* claims the service. Two nodes see
//   each other if each has, for longer than a ready period and two lags, always had the other's
//   newest data but for what was younger than a lag (kLag: longer than a message takes). A node
//   claims a service once it has announced its instance as up, or starting, for longer than a lag;
//   or it has begun to start it itself within the last lag (two that see each other must not start
//   at once).
// - An order-less start of a flex instance does not bring those that are claimed, as above, and see
//   each other, above flex_max; an order-less stop does not bring them below flex_min.
// - While the instance, or its node, is frozen nothing of it is started; it is stopped only by an
//   order, the node's shutdown, or because another node owns it.
// - A resource is restarted no more often than its configuration says, and one command at a time
//   changes an instance.
// - Once all is calm every order ends, or why it does not is to be seen in the monitors.
class ClusterSimulation {
 public:
  // What a seed decides, where a test does not.
  struct Scenario {
    int node_count = 0;     // 0: 1 to 7.
    int service_count = 0;  // 0: 1 to 3.
    std::optional<bool> ownership;
    bool troubles = true;  // Else nothing ever fails.
    int steps = 60;
  };

  ClusterSimulation(uint64_t seed, const Scenario& scenario);
  explicit ClusterSimulation(uint64_t seed);
  ~ClusterSimulation();

  // Returns what was found to be wrong; empty: nothing.
  std::string Run();

  // Prints what happens.
  bool verbose = false;

  // ---- For tests that choose the events themselves ----
  FakeLoop& loop() { return loop_; }
  // Starts that ended with a running service, over all nodes.
  int start_count() const { return start_count_; }

 private:
  struct Node;
  struct Service {
    std::string name;
    ObjectPath path;
    bool flex = false;
    std::vector<std::string> nodes;
    int flex_min = 0, flex_target = 0, flex_max = 0;
    std::string orchestrate;
    std::string placement = "nodes order";
    std::vector<std::string> parents;
    bool disabled = false;
    int version = 0;
  };
  // Kinds of trouble; a seed has some of them.
  enum class Trouble {
    kKill,
    kPowerOff,
    kPartition,
    kOneWay,
    kLoss,
    kSlow,
    kClock,
    kFailingCommands,
    kLyingCommands,
    kJournalFull,
    kFlagErrors,
    kConfigChange,
    kResourceLoss,
    kByHand,
    kCount
  };

  int Below(int bound) { return static_cast<int>(random_.Below(static_cast<uint64_t>(bound))); }
  bool Has(Trouble trouble) const { return troubles_.count(trouble) != 0; }
  void Say(const std::string& what);
  void Fail(const std::string& what);
  MonotonicTime Now() const { return clock_.Monotonic(); }

  void MakeService(int index);
  void Boot(Node* node);
  void KillDaemon(Node* node);
  void PowerOff(Node* node);
  void Guarded(const std::string& name, const std::vector<ObjectPath>& paths);
  Node& At(const std::string& name);
  Node* AnyRunning();
  Service& AnyService() { return services_[random_.Below(services_.size())]; }
  Node& AnyNodeOf(const Service& service);
  void Configure(const Service& service, Node* node);

  void Step();
  void StepOrders(Node* node, const Service& service);
  void StepTroubles();
  void ChangeConfig(Service* service);
  CrmPlan Plan();

  // Checks.
  void Published(const std::string& name, const NodeDataset& dataset);
  void Started(Node* node, const ObjectPath& path);
  void Check(Node* node, const CrmCommand& command);
  void CheckStart(Node* node, const Service& service, const CrmCommand& command);
  void CheckStop(Node* node, const Service& service, const InstanceState& instance);
  void CountRestart(Node* node, const Service& service, const CrmCommand& command);
  void ForgetAttempts();
  bool See(const Node& a, const Node& b) const;
  bool Claims(const Node& node, const ObjectPath& path) const;
  const Service* Find(const ObjectPath& path) const;
  void Settle();
  // What each node thinks, if that is to be printed.
  void Describe();
  // Empty: all orders have ended and nothing is under way.
  std::string Unrest();
  static bool IsExplained(const Node& node, const Service& service);

  Scenario scenario_;
  Random random_;
  FakeClock clock_;
  FakeLoop loop_{&clock_};
  SeededSecureRandom secure_random_;
  bool ownership_ = true;
  std::set<Trouble> troubles_;
  std::unique_ptr<MemoryCluster> cluster_;
  std::vector<std::string> names_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<Service> services_;
  bool calm_ = false;
  int start_count_ = 0;
  std::string problem_;
};

}  // namespace om

#endif  // OM_TESTS_SIM_CLUSTER_SIMULATION_H_
