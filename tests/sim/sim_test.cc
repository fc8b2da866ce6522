// A node that lives on a fake clock: random orders, lost resources, failing commands, full disks
// and kills, repeatable by seed.
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "server/base/random.h"
#include "server/cluster/embedded_transport.h"
#include "server/control/decide.h"
#include "server/core/core.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_loop.h"
#include "tests/support/fake_random.h"
#include "tests/support/fake_world.h"

namespace om {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kSteps = 100;
const char kNode[] = "n1";

class Simulation {
 public:
  explicit Simulation(uint64_t seed) : random_(seed) {
    const int count = 1 + Below(4);
    for (int i = 0; i < count; ++i) {
      std::vector<FakeResource> resources(1 + random_.Below(3));
      for (size_t r = 0; r < resources.size(); ++r) {
        resources[r].rid = absl::StrCat("app#", r);
        resources[r].restart = Below(4);
        resources[r].monitored = random_.OneIn(4);
        resources[r].standby = r > 0 && random_.OneIn(4);
      }
      const std::string name = absl::StrCat("s", i);
      world_.Add(name, std::move(resources), random_.OneIn(2) ? "ha" : "no");
      names_.push_back(name);
    }
    world_.plan = [this](const CrmCommand&) { return Plan(); };
    world_.on_command = [this](const CrmCommand& command) { Check(command); };
    Boot();
  }

  // Returns what was found to be wrong; empty: nothing.
  std::string Run() {
    for (int step = 0; step < kSteps && problem_.empty(); ++step) {
      Step();
      loop_.AdvanceBy(milliseconds(random_.OneIn(3) ? 10 + Below(20) : 100 + Below(4000)));
      CheckState();
    }
    if (problem_.empty()) Settle();
    return problem_;
  }

 private:
  int Below(int bound) { return static_cast<int>(random_.Below(static_cast<uint64_t>(bound))); }
  const std::string& AnyName() { return names_[random_.Below(names_.size())]; }
  static ObjectPath Path(const std::string& name) { return *ObjectPath::Parse(name); }
  void Fail(const std::string& what) {
    if (problem_.empty()) problem_ = what;
  }

  CrmPlan Plan() {
    CrmPlan plan;
    plan.delay = milliseconds(1 + Below(calm_ ? 500 : 5000));
    if (calm_) return plan;
    plan.effect = !random_.OneIn(5);
    plan.exit_code = random_.OneIn(5) ? 1 : 0;
    plan.evaluate = !random_.OneIn(10);
    return plan;
  }

  void Boot() {
    Core::Options options;
    options.local_node = kNode;
    options.incarnation = secure_random_.Uuid();
    options.settings.cluster = {"c1", "id1", {kNode}};
    options.settings.control.max_parallel = 1 + Below(3);
    options.journal_compact_bytes = 2000;
    max_parallel_ = options.settings.control.max_parallel;
    core_ = std::make_unique<Core>(
        options, Core::Ports{&loop_, &clock_, &secure_random_, &world_, &world_, &world_, &world_,
                             &world_, &transport_, &journal_, &counters_});
    core_->Start(journal_.synced());
  }

  // kill -9: what was not synced is gone, commands go on without a parent.
  void Kill() {
    std::map<std::string, std::string> pending;
    const SnapshotPtr before = core_->snapshot();
    for (const std::string& name : names_) {
      if (const InstanceState* instance = Instance(*before, name)) {
        if (!instance->monitor.order_id.empty()) pending[name] = instance->monitor.order_id;
      }
    }
    core_.reset();
    journal_.Crash();
    world_.Orphan();
    Boot();
    // The objects are found before anything is decided about them.
    loop_.AdvanceBy(milliseconds(1));
    const SnapshotPtr after = core_->snapshot();
    for (const auto& [name, order_id] : pending) {
      const InstanceState* instance = Instance(*after, name);
      if (instance == nullptr) {
        Fail(absl::StrCat(name, " was not found after a kill"));
      } else if (instance->monitor.order_id != order_id) {
        Fail(absl::StrCat("order ", order_id, " on ", name, " was lost in a kill"));
      }
    }
    for (const auto& [name, ids] : remembered_) {
      if (random_.OneIn(2)) Repeat(name);
    }
  }

  const InstanceState* Instance(const Snapshot& snapshot, const std::string& name) {
    const auto object = snapshot.objects.Find(Path(name));
    if (object == nullptr) return nullptr;
    held_ = object;
    return held_->instance(kNode);
  }

  void Step() {
    const std::string name = AnyName();
    switch (random_.Below(12)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        static const char* const kOrders[] = {"started", "stopped", "frozen",
                                              "thawed",  "aborted", "unset"};
        Order(name, kOrders[random_.Below(std::size(kOrders))]);
        break;
      }
      case 4:
      case 5: {  // A resource dies.
        std::vector<FakeResource>& resources = world_.Get(name).resources;
        resources[random_.Below(resources.size())].up = false;
        world_.Evaluate(name);
        core_->WakeMonitor(Path(name));
        break;
      }
      case 6:
        core_->ClearInstance(Path(name), {},
                             [this, name](const absl::StatusOr<ClearAnswer>& answer) {
                               if (answer.ok() && answer->cleared) attempts_[name].clear();
                             });
        break;
      case 7:
        Kill();
        break;
      case 8:
        journal_.full = random_.OneIn(2);
        break;
      case 9:
        world_.flag_error = random_.OneIn(3) ? absl::InternalError("flag") : absl::OkStatus();
        break;
      case 10:  // By hand.
        world_.Get(name).frozen_since =
            random_.OneIn(2) ? std::optional<absl::Time>(clock_.Now()) : std::nullopt;
        core_->WakeMonitor(Path(name));
        break;
      default:
        break;
    }
  }

  void Order(const std::string& name, const std::string& word) {
    InstanceMonitorOrder order;
    order.path = Path(name);
    order.global_expect = word;
    const RequestKey key = {absl::StrCat("r", ++request_count_), "sim", "Set", word};
    core_->SetInstanceMonitor(order, key,
                              [this, order, key, name](const absl::StatusOr<OrderAnswer>& answer) {
                                if (!answer.ok() || !answer->applied) return;
                                remembered_[name] = {order, key, answer->order_id};
                              });
  }

  // A request that was acknowledged gets the same answer again.
  void Repeat(const std::string& name) {
    const Remembered& remembered = remembered_.at(name);
    core_->SetInstanceMonitor(
        remembered.order, remembered.key,
        [this, name, expected = remembered.order_id](const absl::StatusOr<OrderAnswer>& answer) {
          if (answer.ok() && answer->order_id != expected) {
            Fail(absl::StrCat("the repeated request of ", name, " was answered with ",
                              answer->order_id, " instead of ", expected));
          }
        });
  }

  // What must hold when a command is given.
  void Check(const CrmCommand& command) {
    const ObjectPath& path = command.paths.front();
    const std::string name = path.ToString();
    if (world_.running(path) > 1) Fail(absl::StrCat(name, " has two actions at once"));
    int running = 0;
    for (const std::string& one : names_) running += world_.running(Path(one));
    if (running > max_parallel_) Fail(absl::StrCat(running, " actions at once"));
    const SnapshotPtr snapshot = core_->snapshot();
    const InstanceState* instance = Instance(*snapshot, name);
    const bool starts = command.words.front() == "start" || command.words.front() == "startstandby";
    if (starts && instance != nullptr && instance->frozen()) {
      Fail(absl::StrCat(name, " is frozen and was started"));
    }
    if (starts && command.words.size() > 1) CountRestart(name, command);
  }

  void CountRestart(const std::string& name, const CrmCommand& command) {
    for (const FakeResource& resource : world_.Get(name).resources) {
      if (!absl::StrContains(absl::StrCat(",", command.words.back(), ","),
                             absl::StrCat(",", resource.rid, ","))) {
        continue;
      }
      const int allowed = resource.standby ? std::max(2, resource.restart) : resource.restart;
      if (++attempts_[name][resource.rid] > allowed) {
        Fail(absl::StrCat(name, " ", resource.rid, " was restarted more than ", allowed, " times"));
      }
    }
  }

  void CheckState() {
    const SnapshotPtr snapshot = core_->snapshot();
    for (const std::string& name : names_) {
      const InstanceState* instance = Instance(*snapshot, name);
      if (instance == nullptr || instance->status == nullptr) continue;
      // Attempts count anew once the monitor has forgotten them.
      for (auto it = attempts_[name].begin(); it != attempts_[name].end();) {
        it = instance->monitor.restart.count(it->first) == 0 && Forgivable(*instance, it->first)
                 ? attempts_[name].erase(it)
                 : std::next(it);
      }
    }
  }
  static bool Forgivable(const InstanceState& instance, const std::string& rid) {
    return std::any_of(instance.status->resources.begin(), instance.status->resources.end(),
                       [&](const ResourceStatus& resource) {
                         return resource.rid == rid && (resource.status == Availability::kUp ||
                                                        resource.status == Availability::kStdbyUp);
                       });
  }

  // Once nothing fails any more, every order comes to its end.
  void Settle() {
    calm_ = true;
    journal_.full = false;
    world_.flag_error = absl::OkStatus();
    loop_.AdvanceBy(seconds(120));
    const SnapshotPtr snapshot = core_->snapshot();
    if (snapshot->local()->monitor.status != status_word::kIdle) Fail("the node is not idle");
    if (snapshot->transition_count != 0) Fail("an instance is still in a transition");
    for (const std::string& name : names_) {
      const InstanceState* instance = Instance(*snapshot, name);
      if (instance == nullptr) {
        Fail(absl::StrCat(name, " is gone"));
      } else if (!instance->monitor.global_expect.empty()) {
        Fail(absl::StrCat("order ", instance->monitor.global_expect, " on ", name,
                          " did not end; status ", instance->monitor.status));
      }
    }
  }

  struct Remembered {
    InstanceMonitorOrder order;
    RequestKey key;
    std::string order_id;
  };

  Random random_;
  FakeClock clock_;
  FakeLoop loop_{&clock_};
  FakeWorld world_{&clock_, &loop_};
  MemoryJournal journal_{&loop_};
  FakeSecureRandom secure_random_;
  EmbeddedTransport transport_{kNode, &secure_random_};
  Counters counters_;
  std::vector<std::string> names_;
  std::map<std::string, std::map<std::string, int>> attempts_;  // Since last seen up.
  std::map<std::string, Remembered> remembered_;                // Acknowledged, by object.
  int request_count_ = 0;
  int max_parallel_ = 0;
  bool calm_ = false;
  std::string problem_;
  std::shared_ptr<const ObjectState> held_;
  std::unique_ptr<Core> core_;
};

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  uint64_t value = otherwise;
  if (text != nullptr && !absl::SimpleAtoi(text, &value)) {
    ADD_FAILURE() << name << "=" << text << " is not a number";
  }
  return value;
}

// OM_SIM_SEEDS: how many; OM_SIM_SEED: only that one, with the daemon's log.
TEST(SimTest, ANodeKeepsItsPromisesThroughRandomTroubles) {
  const bool single = std::getenv("OM_SIM_SEED") != nullptr;
  const uint64_t first = FromEnvironment("OM_SIM_SEED", 1);
  const uint64_t count = single ? 1 : FromEnvironment("OM_SIM_SEEDS", 200);
  FLAGS_minloglevel = single ? google::GLOG_INFO : google::GLOG_FATAL;
  FLAGS_logtostderr = true;
  std::cout << "seeds " << first << " to " << first + count - 1 << std::endl;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    EXPECT_EQ(Simulation(seed).Run(), "") << "OM_SIM_SEED=" << seed << " repeats this";
    if (::testing::Test::HasFailure()) break;
  }
}

// Frozen by hand while the counters of a restart were being journalled.
TEST(SimTest, AnInstanceFrozenJustBeforeItsRestartIsLeftAlone) {
  EXPECT_EQ(Simulation(2480).Run(), "");
}

// A start order beside a monitored resource that was given up and a standby one that is up.
TEST(SimTest, AStartOrderEndsAlthoughRestartsWereGivenUp) { EXPECT_EQ(Simulation(56).Run(), ""); }

}  // namespace
}  // namespace om
