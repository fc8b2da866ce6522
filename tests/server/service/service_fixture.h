// The service layer of node1 in the cluster `demo`, over a real core on a fake loop with fake
// instances, for tests of it and of the doors in front of it.
#ifndef OM_TESTS_SERVER_SERVICE_SERVICE_FIXTURE_H_
#define OM_TESTS_SERVER_SERVICE_SERVICE_FIXTURE_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/cluster/embedded_transport.h"
#include "server/service/blacklist_api.h"
#include "server/service/config_api.h"
#include "server/service/context.h"
#include "server/service/daemon_api.h"
#include "server/service/monitor_api.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_loop.h"
#include "tests/support/fake_random.h"
#include "tests/support/fake_world.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {

// Runs until it is stopped; told to, it stops late.
class FakeComponent final : public Component {
 public:
  absl::Status Start(std::function<void(absl::Status)> /*exited*/) override {
    ++starts;
    return absl::OkStatus();
  }
  void Stop(std::function<void()> done) override {
    if (!holds_stop) return done();
    held = std::move(done);
  }
  int starts = 0;
  bool holds_stop = false;
  std::function<void()> held;
};

// Passes work on to whichever executor it is given, or refuses it.
class SwitchExecutor final : public Executor {
 public:
  bool Post(std::function<void()> work) override { return !refuses && to->Post(std::move(work)); }
  bool refuses = false;
  Executor* to = nullptr;  // Not owned.
};

class ServiceFixture {
 public:
  static constexpr char kIncarnation[] = "11111111-2222-4333-8444-555555555555";

  explicit ServiceFixture(std::vector<std::string> nodes = {"node1"}) : nodes_(std::move(nodes)) {
    workers.to = &inline_executor_;
    NodeSettings node_settings;
    node_settings.nodename = "node1";
    node_settings.cluster_name = "demo";
    node_settings.cluster_nodes = nodes_;
    settings.Set(node_settings);
    context.core = &core;
    context.loop = &loop;
    context.supervisor = &supervisor;
    context.blacklist = &blacklist;
    context.node_names = &node_names;
    context.config_store = &config_store;
    context.settings = &settings;
    context.workers = &workers;
    context.counters = &counters;
    context.clock = &clock;
    context.roots = roots;
    context.facts = facts();
    context.end_daemon = [this] { ++ended; };
    supervisor.Add("monitor", &monitor_component);
    supervisor.Add("scheduler", &scheduler_component);
    supervisor.StartAll();
    node_names.SetNodes(nodes_);
  }
  ~ServiceFixture() {
    core.Stop([] {});
    Settle();
  }

  static DaemonFacts facts() {
    DaemonFacts facts;
    facts.version = "0.1.0";
    facts.pid = 4711;
    facts.node = "node1";
    facts.incarnation = kIncarnation;
    return facts;
  }

  // Adds a service to the node, before or after Start().
  void AddService(const std::string& path, bool up) {
    FakeResource resource;
    resource.up = up;
    world.Add(path, {resource}, "no", {"node1"});
    world.Evaluate(path);
  }
  // Starts the core and lets it become idle.
  void Start() {
    core.Start({});
    loop.AdvanceBy(std::chrono::seconds(10));
  }
  // Everything that is in progress and does not wait for much time comes to its end.
  void Settle() { loop.AdvanceBy(std::chrono::milliseconds(100)); }

  // The answer of a call that answers by callback. A call must answer, and once.
  template <class T>
  absl::StatusOr<T> Await(const std::function<void(Reply<T>)>& call) {
    auto got = std::make_shared<std::vector<absl::StatusOr<T>>>();
    call([got](absl::StatusOr<T> answer) { got->push_back(std::move(answer)); });
    Settle();
    EXPECT_EQ(got->size(), 1u);
    if (got->empty()) return absl::UnknownError("no answer");
    return got->front();
  }

  static Caller Root() { return {Caller::Kind::kLocalRoot, "", "local", Transport::kGrpcUnix}; }
  static Caller Node(const std::string& name = "node2") {
    return {Caller::Kind::kNode, name, "10.0.0.2", Transport::kPacket};
  }
  static Caller Joiner() {
    return {Caller::Kind::kJoiner, "node9", "10.0.0.9", Transport::kPacket};
  }
  static Caller Guest() { return {Caller::Kind::kGuest, "", "10.0.0.5", Transport::kGrpcTcp}; }

  TempDir dir;
  Roots roots = Roots::Under(dir.path());
  FakeClock clock;
  FakeLoop loop{&clock};
  FakeSecureRandom secure_random;
  Random random{1};
  Counters counters;
  SwitchExecutor workers;
  FakeWorld world{&clock, &loop};
  MemoryJournal journal{&loop};
  EmbeddedTransport transport{"node1", &secure_random};

 private:
  Core::Options CoreOptions() {
    Core::Options options;
    options.local_node = "node1";
    options.incarnation = kIncarnation;
    options.settings.cluster = {"demo", "5b3c3e6e-0000-11ee-9c4c-0242ac120002", nodes_};
    options.settings.agent_version = "omd";
    options.feed.max_changes = 512;
    return options;
  }
  Core::Ports CorePorts() {
    Core::Ports ports;
    ports.loop = &loop;
    ports.clock = &clock;
    ports.secure_random = &secure_random;
    ports.crm = &world;
    ports.instances = &world;
    ports.inventory = &world;
    ports.flags = &world;
    ports.stats = &world;
    ports.transport = &transport;
    ports.journal = &journal;
    ports.counters = &counters;
    return ports;
  }

  const std::vector<std::string> nodes_;
  InlineExecutor inline_executor_;

 public:
  Core core{CoreOptions(), CorePorts()};
  FakeComponent monitor_component;
  FakeComponent scheduler_component;
  Supervisor supervisor{
      Supervisor::Options{}, &loop, &clock, &random, &counters, [this](const ThreadStatus& thread) {
        core.UpdateThread(thread);
      }};
  Blacklist blacklist{Blacklist::Options{}};
  // Addresses of nodes: node1 is 10.0.0.1, node2 is 10.0.0.2 ...
  NodeNames node_names{[](const std::string& name) -> absl::StatusOr<std::vector<PeerAddress>> {
                         return std::vector<PeerAddress>{
                             *PeerAddress::Parse("10.0.0." + name.substr(name.size() - 1))};
                       },
                       &workers, &clock};
  ConfigStore config_store{roots};
  SettingsHolder settings{NodeSettings{}};
  int ended = 0;
  ServiceContext context;
};

}  // namespace om

#endif  // OM_TESTS_SERVER_SERVICE_SERVICE_FIXTURE_H_
