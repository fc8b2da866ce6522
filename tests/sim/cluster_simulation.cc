#include "tests/sim/cluster_simulation.h"

#include <algorithm>
#include <iostream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "glog/logging.h"

namespace om {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kReadyPeriod = seconds(3);
// Longer than a message takes, a node's tick included.
constexpr Duration kLag = milliseconds(1500);
constexpr Duration kSettleLimit = seconds(400);

bool IsClaim(const InstanceState& instance) {
  const std::string& status = instance.monitor.status;
  return instance.avail() == Availability::kUp || status == status_word::kStarting ||
         status == status_word::kRestarting;
}

}  // namespace

struct ClusterSimulation::Node {
  Node(const FakeClock* base, FakeLoop* loop, std::string node_name)
      : name(std::move(node_name)), clock(base), world(&clock, loop), journal(loop) {}

  const std::string name;
  NodeClock clock;
  FakeWorld world;
  MemoryJournal journal;
  Counters counters;
  std::unique_ptr<Core> core;                  // Null: no daemon runs.
  int back_in = 0;                             // Steps until the daemon is started again.
  std::map<ObjectPath, MonotonicTime> claims;  // Announced as up or starting, since then.
  std::map<ObjectPath, MonotonicTime> begun;   // The last start of the present daemon.
  std::map<ObjectPath, std::map<std::string, int>> attempts;  // Restarts since last seen up.
};

ClusterSimulation::ClusterSimulation(uint64_t seed) : ClusterSimulation(seed, Scenario()) {}

ClusterSimulation::ClusterSimulation(uint64_t seed, const Scenario& scenario)
    : scenario_(scenario), random_(seed), secure_random_(seed) {
  ownership_ = scenario.ownership.value_or(random_.OneIn(2));
  int node_count = scenario.node_count;
  if (node_count == 0) node_count = random_.OneIn(3) ? 1 + Below(7) : 2 + Below(2);
  const int service_count = scenario.service_count != 0 ? scenario.service_count : 1 + Below(3);
  for (int i = 1; i <= node_count; ++i) names_.push_back(absl::StrCat("n", i));
  if (scenario.troubles) {
    for (int i = 0; i < static_cast<int>(Trouble::kCount); ++i) {
      if (random_.OneIn(3)) troubles_.insert(static_cast<Trouble>(i));
    }
  }
  MemoryCluster::Options options;
  options.ownership = ownership_;
  cluster_ = std::make_unique<MemoryCluster>(&loop_, &clock_, options, &random_);
  cluster_->faults.max_delay = milliseconds(20);
  cluster_->on_publish = [this](const std::string& name, const NodeDataset& dataset) {
    Published(name, dataset);
  };
  cluster_->on_guard = [this](const std::string& name, const std::vector<ObjectPath>& paths) {
    Guarded(name, paths);
  };
  for (const std::string& name : names_) {
    nodes_.push_back(std::make_unique<Node>(&clock_, &loop_, name));
    Node* const node = nodes_.back().get();
    node->world.plan = [this](const CrmCommand&) { return Plan(); };
    node->world.on_command = [this, node](const CrmCommand& command) { Check(node, command); };
    node->world.on_started = [this, node](const ObjectPath& path) { Started(node, path); };
    (void)cluster_->Node(name);
  }
  for (int i = 0; i < service_count; ++i) MakeService(i);
  for (const auto& node : nodes_) Boot(node.get());
}

ClusterSimulation::~ClusterSimulation() {
  for (const auto& node : nodes_) {
    if (node->core != nullptr) cluster_->Kill(node->name);
    node->core.reset();
  }
}

void ClusterSimulation::Say(const std::string& what) {
  if (!verbose) return;
  std::cerr << "[" << absl::ToDoubleSeconds(absl::FromChrono(Now().time_since_epoch())) << "] "
            << what << std::endl;
}

void ClusterSimulation::Fail(const std::string& what) {
  if (!problem_.empty()) return;
  problem_ = what;
  Say(absl::StrCat("WRONG: ", what));
}

ClusterSimulation::Node& ClusterSimulation::At(const std::string& name) {
  return **std::find_if(nodes_.begin(), nodes_.end(),
                        [&](const auto& node) { return node->name == name; });
}

ClusterSimulation::Node* ClusterSimulation::AnyRunning() {
  const size_t first = random_.Below(nodes_.size());
  for (size_t i = 0; i < nodes_.size(); ++i) {
    Node* const node = nodes_[(first + i) % nodes_.size()].get();
    if (node->core != nullptr) return node;
  }
  return nullptr;
}

ClusterSimulation::Node& ClusterSimulation::AnyNodeOf(const Service& service) {
  return At(service.nodes[random_.Below(service.nodes.size())]);
}

const ClusterSimulation::Service* ClusterSimulation::Find(const ObjectPath& path) const {
  for (const Service& service : services_) {
    if (service.path == path) return &service;
  }
  return nullptr;
}

// ---- The cluster ----

void ClusterSimulation::MakeService(int index) {
  Service service;
  service.name = absl::StrCat("s", index);
  service.path = *ObjectPath::Parse(service.name);
  service.nodes = names_;
  if (random_.OneIn(4)) {
    service.nodes.resize(1 + random_.Below(names_.size()));
    std::rotate(service.nodes.begin(),
                service.nodes.begin() + Below(static_cast<int>(service.nodes.size())),
                service.nodes.end());
  }
  static const char* const kOrchestrate[] = {"ha", "ha", "ha", "start", "no"};
  service.orchestrate = kOrchestrate[random_.Below(std::size(kOrchestrate))];
  service.flex = random_.OneIn(4);
  if (service.flex) {
    const int most = static_cast<int>(service.nodes.size());
    service.flex_min = Below(most + 1);
    service.flex_max = service.flex_min + Below(most - service.flex_min + 1);
    service.flex_target = service.flex_min + Below(service.flex_max - service.flex_min + 1);
  }
  static const char* const kPlacements[] = {"nodes order", "nodes order", "shift",
                                            "spread",      "score",       "load avg"};
  service.placement = kPlacements[random_.Below(std::size(kPlacements))];
  if (index > 0 && random_.OneIn(4)) service.parents = {absl::StrCat("s", index - 1)};
  std::vector<FakeResource> resources(1 + random_.Below(2));
  for (size_t r = 0; r < resources.size(); ++r) {
    resources[r].rid = absl::StrCat("app#", r);
    resources[r].restart = Below(3);
    resources[r].monitored = random_.OneIn(4);
    resources[r].standby = r > 0 && random_.OneIn(4);
  }
  for (const std::string& name : service.nodes) {
    Node& node = At(name);
    node.world.Add(service.name, resources, service.orchestrate, service.nodes);
    Configure(service, &node);
  }
  services_.push_back(std::move(service));
}

void ClusterSimulation::Configure(const Service& service, Node* node) {
  ObjectConfig& config = node->world.Get(service.name).config;
  config.csum = absl::StrCat(service.name, " ", service.version);
  config.orchestrate = service.orchestrate;
  config.topology = service.flex ? "flex" : "failover";
  config.placement = service.placement;
  config.flex_min = service.flex_min;
  config.flex_max = service.flex_max;
  config.flex_target = service.flex_target;
  config.parents = service.parents;
  config.disabled = service.disabled;
}

void ClusterSimulation::Boot(Node* node) {
  Say(absl::StrCat(node->name, ": the daemon starts"));
  Core::Options options;
  options.local_node = node->name;
  options.incarnation = secure_random_.Uuid();
  options.settings.cluster = {"c1", "id1", names_};
  options.settings.control.ready_period = absl::FromChrono(kReadyPeriod);
  options.settings.control.rejoin_grace_period = absl::Seconds(20);
  options.journal_compact_bytes = 4000;
  options.inventory_interval = seconds(4);
  node->begun.clear();
  node->core = std::make_unique<Core>(
      options, Core::Ports{&loop_, &node->clock, &secure_random_, &node->world, &node->world,
                           &node->world, &node->world, &node->world, cluster_->Node(node->name),
                           &node->journal, &node->counters});
  node->core->Start(node->journal.synced());
}

// kill -9: what was not synced is gone, commands go on without a parent.
void ClusterSimulation::KillDaemon(Node* node) {
  Say(absl::StrCat(node->name, ": the daemon is killed"));
  cluster_->Kill(node->name);
  node->core.reset();
  node->journal.Crash();
  node->world.Orphan();
  node->claims.clear();
}

void ClusterSimulation::PowerOff(Node* node) {
  Say(absl::StrCat(node->name, ": loses power"));
  if (node->core != nullptr) KillDaemon(node);
  cluster_->PowerOff(node->name);
  node->world.PowerOff();
}

void ClusterSimulation::Guarded(const std::string& name, const std::vector<ObjectPath>& paths) {
  Node& node = At(name);
  Say(absl::StrCat(name, ": the guard stops ", paths.size(), " instances"));
  for (const ObjectPath& path : paths) {
    node.world.KillInstance(path);
    if (node.core != nullptr) node.core->RefreshInstance(path);
  }
}

// ---- Events ----

CrmPlan ClusterSimulation::Plan() {
  CrmPlan plan;
  plan.delay = milliseconds(1 + Below(calm_ ? 500 : 4000));
  if (calm_) return plan;
  if (Has(Trouble::kFailingCommands) && random_.OneIn(4)) {
    plan.exit_code = 1;
    plan.effect = random_.OneIn(2);
  }
  if (Has(Trouble::kLyingCommands) && random_.OneIn(4)) {
    plan.effect = !random_.OneIn(2);
    plan.evaluate = random_.OneIn(2);
  }
  return plan;
}

void ClusterSimulation::Step() {
  for (const auto& node : nodes_) {
    if (node->core == nullptr && --node->back_in <= 0) Boot(node.get());
  }
  Node* const node = AnyRunning();
  if (node != nullptr && random_.OneIn(3)) StepOrders(node, AnyService());
  if (random_.OneIn(2)) StepTroubles();
  // Schedulers refresh what they have, now and then.
  const Service& service = AnyService();
  Node& other = AnyNodeOf(service);
  if (other.core != nullptr) other.core->RefreshInstance(service.path);
}

void ClusterSimulation::StepOrders(Node* node, const Service& service) {
  if (random_.OneIn(8)) {
    NodeMonitorOrder order;
    order.global_expect = random_.OneIn(3) ? "frozen" : "thawed";
    Say(absl::StrCat(node->name, ": all nodes are ordered ", *order.global_expect));
    node->core->SetNodeMonitor(order, {}, [](const absl::StatusOr<NodeMonitorAnswer>&) {});
    return;
  }
  if (random_.OneIn(10)) {
    Say(absl::StrCat(node->name, ": clear ", service.name));
    node->core->ClearInstance(service.path, {},
                              [node, path = service.path](const absl::StatusOr<ClearAnswer>& one) {
                                if (one.ok() && one->cleared) node->attempts[path].clear();
                              });
    return;
  }
  static const char* const kOrders[] = {"started", "started", "started", "stopped", "frozen",
                                        "thawed",  "thawed",  "aborted", "unset",   "shutdown"};
  InstanceMonitorOrder order;
  order.path = service.path;
  order.global_expect = kOrders[random_.Below(std::size(kOrders))];
  Say(absl::StrCat(node->name, ": ", service.name, " is ordered ", *order.global_expect));
  node->core->SetInstanceMonitor(order, {}, [](const absl::StatusOr<OrderAnswer>&) {});
}

void ClusterSimulation::StepTroubles() {
  const auto trouble = static_cast<Trouble>(Below(static_cast<int>(Trouble::kCount)));
  if (!Has(trouble)) return;
  Node& node = *nodes_[random_.Below(nodes_.size())];
  Node& other = *nodes_[random_.Below(nodes_.size())];
  Service& service = AnyService();
  Node& place = AnyNodeOf(service);
  switch (trouble) {
    case Trouble::kKill:
      if (node.core == nullptr) break;
      KillDaemon(&node);
      node.back_in = Below(8);
      break;
    case Trouble::kPowerOff:
      PowerOff(&node);
      node.back_in = 1 + Below(15);
      break;
    case Trouble::kPartition:
      if (random_.OneIn(2)) {
        Say("all links are whole");
        cluster_->JoinAll();
      } else {
        Say(absl::StrCat(node.name, ": is cut off"));
        cluster_->Cut(node.name);
      }
      break;
    case Trouble::kOneWay: {
      const std::string& to = ownership_ && random_.OneIn(2) ? MemoryCluster::kStore : other.name;
      if (random_.OneIn(3)) {
        Say("all links are whole");
        cluster_->JoinAll();
      } else if (random_.OneIn(2)) {
        Say(absl::StrCat(node.name, ": is not heard by ", to));
        cluster_->CutLink(node.name, to);
      } else {
        Say(absl::StrCat(node.name, ": does not hear ", to));
        cluster_->CutLink(to, node.name);
      }
      break;
    }
    case Trouble::kLoss:
      cluster_->faults.lost_percent = random_.OneIn(2) ? 0 : Below(60);
      cluster_->faults.doubled_percent = Below(20);
      Say(absl::StrCat(cluster_->faults.lost_percent, " % of the messages are lost"));
      break;
    case Trouble::kSlow:
      cluster_->faults.max_delay = milliseconds(random_.OneIn(2) ? 20 : 20 + Below(3000));
      Say(absl::StrCat("messages take up to ",
                       absl::FormatDuration(absl::FromChrono(cluster_->faults.max_delay))));
      break;
    case Trouble::kClock: {
      const absl::Duration by = absl::Milliseconds(Below(2'000'000) - 1'000'000);
      Say(absl::StrCat(node.name, ": the clock is set by ", absl::FormatDuration(by)));
      node.clock.JumpWall(by);
      break;
    }
    case Trouble::kJournalFull:
      node.journal.full = random_.OneIn(2);
      Say(absl::StrCat(node.name, ": disk ", node.journal.full ? "full" : "good"));
      break;
    case Trouble::kFlagErrors:
      node.world.flag_error = random_.OneIn(2) ? absl::InternalError("flag") : absl::OkStatus();
      break;
    case Trouble::kConfigChange:
      ChangeConfig(&service);
      break;
    case Trouble::kResourceLoss: {
      std::vector<FakeResource>& resources = place.world.Get(service.name).resources;
      FakeResource& resource = resources[random_.Below(resources.size())];
      if (!resource.up) break;
      Say(absl::StrCat(place.name, ": ", service.name, " loses ", resource.rid));
      resource.up = false;
      place.world.Evaluate(service.name);
      if (place.core != nullptr) place.core->WakeMonitor(service.path);
      break;
    }
    case Trouble::kByHand:
      Say(absl::StrCat(place.name, ": ", service.name, " is frozen or thawed by hand"));
      place.world.Get(service.name).frozen_since =
          random_.OneIn(2) ? std::optional<absl::Time>(place.clock.Now()) : std::nullopt;
      if (place.core != nullptr) place.core->WakeMonitor(service.path);
      break;
    case Trouble::kFailingCommands:
    case Trouble::kLyingCommands:
    case Trouble::kCount:
      break;
  }
}

void ClusterSimulation::ChangeConfig(Service* service) {
  ++service->version;
  static const char* const kOrchestrate[] = {"ha", "start", "no"};
  switch (Below(4)) {
    case 0:
      service->orchestrate = kOrchestrate[random_.Below(std::size(kOrchestrate))];
      break;
    case 1:
      service->disabled = random_.OneIn(3);
      break;
    case 2:
      service->placement = random_.OneIn(2) ? "spread" : "nodes order";
      break;
    default:
      if (service->flex) {
        service->flex_target = service->flex_min + Below(service->flex_max - service->flex_min + 1);
      }
  }
  Say(absl::StrCat(service->name, ": new configuration, orchestrate ", service->orchestrate));
  for (const std::string& name : service->nodes) {
    Node& node = At(name);
    Configure(*service, &node);
    if (node.core != nullptr && random_.OneIn(2)) node.core->ReloadInventory();
  }
}

// ---- What must hold ----

void ClusterSimulation::Published(const std::string& name, const NodeDataset& dataset) {
  Node& node = At(name);
  for (const Service& service : services_) {
    const auto instance = dataset.instances.find(service.path);
    if (instance != dataset.instances.end() && IsClaim(instance->second)) {
      node.claims.emplace(service.path, Now());
    } else {
      node.claims.erase(service.path);
    }
    // Attempts count anew once the monitor has forgotten them, because the resource was seen up.
    if (instance == dataset.instances.end() || instance->second.status == nullptr) continue;
    for (const ResourceStatus& resource : instance->second.status->resources) {
      const bool up =
          resource.status == Availability::kUp || resource.status == Availability::kStdbyUp;
      if (up && instance->second.monitor.restart.count(resource.rid) == 0) {
        node.attempts[service.path].erase(resource.rid);
      }
    }
  }
}

bool ClusterSimulation::See(const Node& a, const Node& b) const {
  if (a.core == nullptr || b.core == nullptr) return false;
  const MonotonicTime limit = Now() - kReadyPeriod - 2 * kLag;
  return cluster_->FreshSince(a.name, b.name, kLag) < limit &&
         cluster_->FreshSince(b.name, a.name, kLag) < limit;
}

bool ClusterSimulation::Claims(const Node& node, const ObjectPath& path) const {
  const auto claim = node.claims.find(path);
  if (claim != node.claims.end() && Now() - claim->second > kLag) return true;
  const auto begun = node.begun.find(path);
  return begun != node.begun.end() && Now() - begun->second <= kLag;
}

void ClusterSimulation::Started(Node* node, const ObjectPath& path) {
  ++start_count_;
  Say(absl::StrCat(node->name, ": ", path.ToString(), " runs"));
  const Service* const service = Find(path);
  if (service == nullptr || service->flex || !ownership_) return;
  for (const auto& other : nodes_) {
    if (other.get() != node && other->world.AnyUp(path)) {
      Fail(absl::StrCat(path.ToString(), " runs on ", node->name, " and ", other->name,
                        "; the owner is ", cluster_->OwnerOf(path)));
    }
  }
}

void ClusterSimulation::Check(Node* node, const CrmCommand& command) {
  const Service* const service = Find(command.paths.front());
  if (service == nullptr || node->core == nullptr) return;
  const std::string what =
      absl::StrCat(node->name, ": ", service->name, " ", absl::StrJoin(command.words, " "));
  Say(what);
  if (node->world.running(service->path) > 1) Fail(absl::StrCat(what, ": two actions at once"));
  const SnapshotPtr snapshot = node->core->snapshot();
  const auto object = snapshot->objects.Find(service->path);
  const InstanceState* instance = object == nullptr ? nullptr : object->instance(node->name);
  if (instance == nullptr) return;
  const std::string& verb = command.words.front();
  const bool frozen = instance->frozen() || snapshot->local()->frozen();
  if ((verb == "start" || verb == "startstandby") && frozen) {
    Fail(absl::StrCat(what, " although it is frozen"));
  }
  const std::string owner = cluster_->OwnerOf(service->path);
  if ((verb == "stop" || verb == "shutdown") && frozen && instance->monitor.global_expect.empty() &&
      (owner.empty() || owner == node->name) &&
      snapshot->local()->monitor.status != status_word::kShutting) {
    Fail(absl::StrCat(what, " although it is frozen and nothing was ordered"));
  }
  if (verb == "start" && command.words.size() == 1) CheckStart(node, *service, command);
  if (verb == "stop") CheckStop(node, *service, *instance);
  if (command.words.size() > 1 && (verb == "start" || verb == "startstandby")) {
    CountRestart(node, *service, command);
  }
}

void ClusterSimulation::CheckStart(Node* node, const Service& service,
                                   const CrmCommand& /*command*/) {
  const ObjectPath& path = service.path;
  node->begun[path] = Now();
  std::vector<const Node*> claimed;
  for (const auto& other : nodes_) {
    if (other.get() == node || !See(*node, *other) || !Claims(*other, path)) continue;
    claimed.push_back(other.get());
    if (!service.flex && !ownership_) {
      Fail(absl::StrCat(node->name, " starts ", service.name, " although it sees that ",
                        other->name, " has it"));
    }
  }
  for (const Node* one : claimed) {
    // Those that do not see each other may be one too many, whoever came last.
    for (const Node* other : claimed) {
      if (one != other && !See(*one, *other)) return;
    }
  }
  const int count = static_cast<int>(claimed.size());
  if (service.flex && count + 1 > service.flex_max && service.version == 0) {
    Fail(absl::StrCat(node->name, " starts ", service.name, " beside ", count,
                      " others, flex_max is ", service.flex_max));
  }
}

void ClusterSimulation::CheckStop(Node* node, const Service& service,
                                  const InstanceState& instance) {
  if (!service.flex || !instance.monitor.global_expect.empty() || service.version > 0) return;
  int claimed = 0;
  for (const auto& other : nodes_) {
    if (other.get() == node) continue;
    if (!See(*node, *other)) return;  // What it cannot know it need not respect.
    const auto claim = other->claims.find(service.path);
    if (claim != other->claims.end()) ++claimed;
  }
  if (claimed < service.flex_min) {
    Fail(absl::StrCat(node->name, " stops ", service.name, " and leaves ", claimed,
                      ", flex_min is ", service.flex_min));
  }
}

void ClusterSimulation::CountRestart(Node* node, const Service& service,
                                     const CrmCommand& command) {
  for (const FakeResource& resource : node->world.Get(service.name).resources) {
    if (!absl::StrContains(absl::StrCat(",", command.words.back(), ","),
                           absl::StrCat(",", resource.rid, ","))) {
      continue;
    }
    const int allowed = resource.standby ? std::max(2, resource.restart) : resource.restart;
    if (++node->attempts[service.path][resource.rid] > allowed) {
      Fail(absl::StrCat(node->name, ": ", service.name, " ", resource.rid,
                        " was restarted more than ", allowed, " times"));
    }
  }
}

// Attempts count anew once the monitor has forgotten them, because the resource was seen up.
void ClusterSimulation::ForgetAttempts() {
  for (const auto& node : nodes_) {
    if (node->core == nullptr || node->attempts.empty()) continue;
    const SnapshotPtr snapshot = node->core->snapshot();
    for (auto& [path, attempts] : node->attempts) {
      const auto object = snapshot->objects.Find(path);
      const InstanceState* instance = object == nullptr ? nullptr : object->instance(node->name);
      if (instance == nullptr || instance->status == nullptr) continue;
      for (const ResourceStatus& resource : instance->status->resources) {
        const bool up =
            resource.status == Availability::kUp || resource.status == Availability::kStdbyUp;
        if (up && instance->monitor.restart.count(resource.rid) == 0) attempts.erase(resource.rid);
      }
    }
  }
}

// ---- A schedule ----

std::string ClusterSimulation::Run() {
  for (int step = 0; step < scenario_.steps && problem_.empty(); ++step) {
    Step();
    loop_.AdvanceBy(milliseconds(random_.OneIn(3) ? 10 + Below(40) : 100 + Below(3000)));
    ForgetAttempts();
  }
  if (problem_.empty()) Settle();
  if (!problem_.empty()) Describe();
  return problem_;
}

void ClusterSimulation::Settle() {
  calm_ = true;
  Say("calm");
  cluster_->JoinAll();
  cluster_->faults = MemoryCluster::Faults();
  cluster_->faults.max_delay = milliseconds(20);
  for (const auto& node : nodes_) {
    node->journal.full = false;
    node->world.flag_error = absl::OkStatus();
    if (node->core == nullptr) Boot(node.get());
  }
  const MonotonicTime end = Now() + kSettleLimit;
  std::string unrest;
  do {
    loop_.AdvanceBy(seconds(10));
    ForgetAttempts();
    for (const Service& service : services_) {
      for (const std::string& name : service.nodes) {
        At(name).core->RefreshInstance(service.path);
      }
    }
    loop_.AdvanceBy(seconds(1));
    unrest = Unrest();
  } while (!unrest.empty() && problem_.empty() && Now() < end);
  if (!unrest.empty()) Fail(unrest);
}

void ClusterSimulation::Describe() {
  if (!verbose) return;
  for (const auto& node : nodes_) {
    if (node->core == nullptr) continue;
    const SnapshotPtr snapshot = node->core->snapshot();
    for (const auto& [name, state] : *snapshot->nodes) {
      Say(absl::StrCat(node->name, " of ", name, ": ", state->monitor.status,
                       state->frozen() ? ", frozen" : ""));
    }
    for (const Service& service : services_) {
      const auto object = snapshot->objects.Find(service.path);
      if (object == nullptr) continue;
      Say(absl::StrCat(node->name, " of ", service.name, ": ",
                       AvailabilityName(object->aggregate.avail.value_or(Availability::kUnknown)),
                       ", ", object->aggregate.frozen, ", ", service.flex ? "flex" : "failover",
                       ", orchestrate ", service.orchestrate, ", ", service.placement, ", parents ",
                       absl::StrJoin(service.parents, " "), service.disabled ? ", disabled" : "",
                       ", owner ", cluster_->OwnerOf(service.path)));
      OrderTable::Filter filter;
      filter.path = service.path;
      for (const OrderPtr& order : node->core->orders()->List(std::nullopt, filter, 2)) {
        Say(absl::StrCat("    order ", order->id, " ", order->global_expect, ": state ",
                         static_cast<int>(order->state()), " ", order->reason()));
      }
      for (const auto& [name, instance] : object->instances) {
        const InstanceMonitor& monitor = instance.monitor;
        Say(absl::StrCat(
            "    ", name, ": ", AvailabilityName(instance.avail().value_or(Availability::kUnknown)),
            ", ", monitor.status, ", expects ", monitor.local_expect, " / ", monitor.global_expect,
            ", ", monitor.placement, instance.frozen() ? ", frozen" : ""));
      }
    }
  }
}

std::string ClusterSimulation::Unrest() {
  for (const auto& node : nodes_) {
    const SnapshotPtr snapshot = node->core->snapshot();
    const std::string& status = snapshot->local()->monitor.status;
    if (status != status_word::kIdle) return absl::StrCat(node->name, " is still in ", status);
    if (snapshot->nodes->size() != nodes_.size()) {
      return absl::StrCat(node->name, " knows ", snapshot->nodes->size(), " nodes");
    }
    for (const Service& service : services_) {
      const auto object = snapshot->objects.Find(service.path);
      if (object == nullptr) continue;
      const InstanceState* instance = object->instance(node->name);
      if (instance == nullptr) continue;
      const InstanceMonitor& monitor = instance->monitor;
      const std::string what = absl::StrCat(node->name, ": ", service.name, " in ", monitor.status);
      if (IsTransition(monitor.status)) return absl::StrCat(what, " does not end");
      if (monitor.global_expect.empty()) continue;
      if (!IsExplained(*node, service)) {
        return absl::StrCat(what, ": the order ", monitor.global_expect, " does not end");
      }
    }
  }
  return "";
}

// Why nothing happens is there to be seen: told by the order's record, or plain in the monitors.
bool ClusterSimulation::IsExplained(const Node& node, const Service& service) {
  OrderTable::Filter filter;
  filter.path = service.path;
  filter.only_in_progress = true;
  const std::vector<OrderPtr> orders = node.core->orders()->List(std::nullopt, filter, 1);
  if (!orders.empty() && orders.front()->state() == OrderState::kBlocked &&
      !orders.front()->reason().empty()) {
    return true;
  }
  if (service.disabled || (service.flex && service.flex_target == 0)) return true;
  const SnapshotPtr snapshot = node.core->snapshot();
  const auto object = snapshot->objects.Find(service.path);
  if (object->aggregate.avail == Availability::kWarn) return true;
  return std::any_of(object->instances.begin(), object->instances.end(), [&](const auto& entry) {
    const std::string& status = entry.second.monitor.status;
    const NodeState* peer = snapshot->node(entry.first);
    return IsFailed(status) || IsWaiting(status) || entry.second.frozen() ||
           (peer != nullptr && peer->frozen());
  });
}

}  // namespace om
