// Instances on a node that exists only in memory: the ports of the core, with commands that take
// time, fail and lie on demand.
#ifndef OM_TESTS_SUPPORT_FAKE_WORLD_H_
#define OM_TESTS_SUPPORT_FAKE_WORLD_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/base/clock.h"
#include "server/base/loop.h"
#include "server/core/ports.h"

namespace om {

struct FakeResource {
  std::string rid = "app#1";
  bool up = false;
  int restart = 0;
  bool monitored = false;
  bool standby = false;
};

// What one command does.
struct CrmPlan {
  Duration delay = std::chrono::milliseconds(200);
  bool effect = true;  // It changes what it should.
  int exit_code = 0;
  bool evaluate = true;  // It writes status.json at its end.
};

class FakeWorld final : public CrmPort,
                        public InstanceStatusPort,
                        public InventoryPort,
                        public FlagPort,
                        public NodeStatsPort {
 public:
  struct Instance {
    ObjectConfig config;
    std::vector<FakeResource> resources;
    std::optional<absl::Time> frozen_since;
    std::shared_ptr<const InstanceStatus> written;
    std::optional<ActionHolder> holder;  // Of the action lock, as somebody else's command shows it.
  };
  // Both are borrowed.
  FakeWorld(const Clock* clock, Loop* loop) : clock_(clock), loop_(loop) {}

  // An object on the nodes of `nodes`, in order.
  Instance& Add(const std::string& path, std::vector<FakeResource> resources = {FakeResource{}},
                const std::string& orchestrate = "no", std::vector<std::string> nodes = {"n1"});
  Instance& Get(const std::string& path);
  void Remove(const std::string& path);
  // Writes status.json of now.
  void Evaluate(const std::string& path);
  bool IsUp(const std::string& path);

  // Says what a command that changes something will do; all succeed by default.
  std::function<CrmPlan(const CrmCommand&)> plan;
  // Told of each such command when the core gives it.
  std::function<void(const CrmCommand&)> on_command;
  absl::Status flag_error;
  bool writes_status = true;  // Evaluations that are asked for write what they see.
  std::string hangs_status;   // A command that evaluates this instance never ends.
  // Signals sent to other's actions.
  std::vector<int> signals;
  // Commands given, as "<path> <words>", those on lists as "<n> paths <words>".
  std::vector<std::string> commands;
  // Told when a command has made resources run.
  std::function<void(const ObjectPath&)> on_started;
  // Processes of that instance are killed, commands on it included.
  void KillInstance(const ObjectPath& path);
  // The host loses power: nothing runs any more, nobody is answered. Files stay.
  void PowerOff();
  // A resource that is not a standby one runs.
  bool AnyUp(const ObjectPath& path) const;
  // The daemon was killed: commands go on, their answers reach nobody.
  void Orphan() { ++incarnation_; }
  // Commands of the present daemon that are under way on that instance.
  int running(const ObjectPath& path) const;

  void Run(CrmCommand command, Done<CrmResult> done) override;
  void Load(const ObjectPath& path, std::optional<absl::Time> known,
            Done<absl::StatusOr<LoadedInstance>> done) override;
  void SignalAction(const ObjectPath& path, int pid, int signal) override;
  void List(Done<absl::StatusOr<Inventory>> done) override;
  void SetFrozen(std::optional<ObjectPath> path, bool frozen,
                 Done<absl::StatusOr<std::optional<absl::Time>>> done) override;
  void Read(Done<absl::StatusOr<NodeStats>> done) override;

  std::optional<absl::Time> node_frozen_since;

 private:
  struct Pending {
    CrmCommand command;
    Done<CrmResult> done;
    int incarnation;
    uint64_t id;
  };
  // Who works on the instance: somebody said so, or a daemon that was killed left a command.
  std::optional<ActionHolder> HolderOf(const ObjectPath& path) const;
  void Begin(const ObjectPath& path);
  void Effect(const CrmCommand& command);

  const Clock* const clock_;  // Not owned.
  Loop* const loop_;          // Not owned.
  int incarnation_ = 0;
  uint64_t next_id_ = 1;
  int power_cycles_ = 0;
  std::map<ObjectPath, Instance> instances_;
  // The resource manager's own lock: commands on an instance wait for each other.
  std::map<ObjectPath, std::deque<Pending>> queues_;
};

// A journal in memory. What has not been synced is lost in a crash.
class MemoryJournal final : public JournalPort {
 public:
  explicit MemoryJournal(Loop* loop) : loop_(loop) {}  // Borrowed.

  void Append(std::string record, Done<absl::Status> done) override;
  void Rewrite(std::vector<std::string> records, Done<absl::Status> done) override;
  size_t size_bytes() const override { return size_bytes_; }

  // What a daemon that starts now would find.
  const std::vector<std::string>& synced() const { return synced_; }
  void Crash() { ++incarnation_; }

  Duration sync_delay = std::chrono::milliseconds(2);
  bool full = false;
  int rewrite_count = 0;

 private:
  void Later(std::function<void()> effect, Done<absl::Status> done);

  Loop* const loop_;  // Not owned.
  int incarnation_ = 0;
  size_t size_bytes_ = 0;
  std::vector<std::string> synced_;
};

}  // namespace om

#endif  // OM_TESTS_SUPPORT_FAKE_WORLD_H_
