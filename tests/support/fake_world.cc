#include "tests/support/fake_world.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "glog/logging.h"
#include "server/base/status.h"
#include "server/state/aggregate.h"
#include "server/state/instance_status.h"

namespace om {
namespace {

ObjectPath Parse(const std::string& text) {
  absl::StatusOr<ObjectPath> path = ObjectPath::Parse(text);
  CHECK(path.ok()) << path.status();
  return *path;
}

bool IsMutating(const CrmCommand& command) {
  return !command.words.empty() && command.words.front() != "status" &&
         command.words.front() != "boot";
}

}  // namespace

FakeWorld::Instance& FakeWorld::Add(const std::string& path, std::vector<FakeResource> resources,
                                    const std::string& orchestrate,
                                    std::vector<std::string> nodes) {
  Instance& instance = instances_[Parse(path)];
  instance.resources = std::move(resources);
  instance.config.mtime = clock_->Now();
  instance.config.csum = absl::StrCat("csum of ", path);
  instance.config.orchestrate = orchestrate;
  instance.config.nodes = nodes;
  std::sort(nodes.begin(), nodes.end());
  instance.config.scope = std::move(nodes);
  return instance;
}

FakeWorld::Instance& FakeWorld::Get(const std::string& path) { return instances_.at(Parse(path)); }

void FakeWorld::Remove(const std::string& path) { instances_.erase(Parse(path)); }

bool FakeWorld::IsUp(const std::string& path) {
  const Instance& instance = Get(path);
  return std::all_of(instance.resources.begin(), instance.resources.end(),
                     [](const FakeResource& resource) { return resource.up; });
}

void FakeWorld::Evaluate(const std::string& path) {
  const auto it = instances_.find(Parse(path));
  if (it == instances_.end()) return;
  Instance& instance = it->second;
  Availability avail = Availability::kNa;
  Json resources = Json::object();
  for (const FakeResource& resource : instance.resources) {
    const Availability status =
        resource.standby ? (resource.up ? Availability::kStdbyUp : Availability::kStdbyDown)
        : resource.up    ? Availability::kUp
                         : Availability::kDown;
    avail = Merge(avail, status);
    resources[resource.rid] = {{"status", std::string(AvailabilityName(status))},
                               {"type", "app.simple"},
                               {"label", resource.rid}};
    Json& json = resources[resource.rid];
    if (resource.restart > 0) json["restart"] = resource.restart;
    if (resource.monitored) json["monitor"] = true;
    if (resource.standby) json["standby"] = true;
  }
  const std::string shown(AvailabilityName(Shown(avail)));
  Json document = {{"updated", om::ToUnixSeconds(clock_->Now())},
                   {"kind", "svc"},
                   {"csum", "0"},
                   {"topology", instance.config.topology},
                   {"orchestrate", instance.config.orchestrate},
                   {"placement", instance.config.placement},
                   {"flex_min", instance.config.flex_min},
                   {"flex_max", instance.config.flex_max},
                   {"flex_target", instance.config.flex_target},
                   {"avail", shown},
                   {"overall", shown},
                   {"optional", "n/a"},
                   {"resources", resources}};
  absl::StatusOr<std::shared_ptr<const InstanceStatus>> status =
      ParseInstanceStatus(std::move(document));
  CHECK(status.ok()) << status.status();
  instance.written = *std::move(status);
}

int FakeWorld::running(const ObjectPath& path) const {
  const auto it = queues_.find(path);
  if (it == queues_.end()) return 0;
  return static_cast<int>(
      std::count_if(it->second.begin(), it->second.end(),
                    [&](const Pending& one) { return one.incarnation == incarnation_; }));
}

void FakeWorld::Run(CrmCommand command, Done<CrmResult> done) {
  const std::string words = absl::StrJoin(command.words, " ");
  if (!IsMutating(command)) {
    if (command.paths.size() > 1) {
      commands.push_back(absl::StrCat(command.paths.size(), " paths ", words));
    } else {
      commands.push_back(absl::StrCat(command.paths.front().ToString(), " ", words));
    }
    (void)loop_->PostAfter(
        std::chrono::milliseconds(50),
        [this, command = std::move(command), done = std::move(done), power_cycles = power_cycles_] {
          if (power_cycles != power_cycles_) return;
          bool hangs = false;
          for (const ObjectPath& path : command.paths) {
            hangs = hangs || path.ToString() == hangs_status;
            if (writes_status && path.ToString() != hangs_status) Evaluate(path.ToString());
          }
          if (!hangs) done(CrmResult{});
        });
    return;
  }
  if (command.paths.empty()) {
    commands.push_back(absl::StrCat("node ", words));
    (void)loop_->PostAfter(std::chrono::milliseconds(50),
                           [done = std::move(done)] { done(CrmResult{}); });
    return;
  }
  CHECK_EQ(command.paths.size(), 1U);
  const ObjectPath path = command.paths.front();
  if (HolderOf(path).has_value()) {
    CrmResult refused;
    refused.error =
        WithReason(absl::FailedPreconditionError("an action is in progress"), "ACTION_IN_PROGRESS");
    (void)loop_->Post([done = std::move(done), refused] { done(refused); });
    return;
  }
  commands.push_back(absl::StrCat(path.ToString(), " ", words));
  std::deque<Pending>& queue = queues_[path];
  queue.push_back({command, std::move(done), incarnation_, next_id_++});
  if (on_command) on_command(command);
  if (queue.size() == 1) Begin(path);
}

void FakeWorld::Begin(const ObjectPath& path) {
  const CrmCommand command = queues_[path].front().command;
  const uint64_t id = queues_[path].front().id;
  const CrmPlan chosen = plan ? plan(command) : CrmPlan{};
  (void)loop_->PostAfter(chosen.delay, [this, path, command, chosen, id] {
    std::deque<Pending>& queue = queues_[path];
    if (queue.empty() || queue.front().id != id) return;  // Killed.
    if (chosen.effect) Effect(command);
    if (chosen.evaluate) Evaluate(path.ToString());
    const Pending ended = std::move(queue.front());
    queue.pop_front();
    if (!queue.empty()) Begin(path);
    CrmResult result;
    result.exit_code = chosen.exit_code;
    if (ended.incarnation == incarnation_) ended.done(result);
  });
}

void FakeWorld::KillInstance(const ObjectPath& path) {
  const auto it = instances_.find(path);
  if (it != instances_.end()) {
    for (FakeResource& resource : it->second.resources) resource.up = false;
  }
  std::deque<Pending> killed;
  killed.swap(queues_[path]);
  CrmResult result;
  result.signal = 9;
  for (const Pending& one : killed) {
    if (one.incarnation == incarnation_) one.done(result);
  }
}

void FakeWorld::PowerOff() {
  ++incarnation_;
  ++power_cycles_;
  queues_.clear();
  for (auto& [path, instance] : instances_) {
    for (FakeResource& resource : instance.resources) resource.up = false;
  }
}

bool FakeWorld::AnyUp(const ObjectPath& path) const {
  const auto it = instances_.find(path);
  return it != instances_.end() &&
         std::any_of(it->second.resources.begin(), it->second.resources.end(),
                     [](const FakeResource& resource) { return resource.up && !resource.standby; });
}

void FakeWorld::Effect(const CrmCommand& command) {
  const auto it = instances_.find(command.paths.front());
  if (it == instances_.end()) return;
  const std::string& verb = command.words.front();
  std::vector<std::string> rids;
  const auto option = std::find(command.words.begin(), command.words.end(), "--rid");
  if (option != command.words.end()) rids = absl::StrSplit(*std::next(option), ',');
  for (FakeResource& resource : it->second.resources) {
    if (!rids.empty() && std::find(rids.begin(), rids.end(), resource.rid) == rids.end()) continue;
    if (verb == "start" || verb == "startstandby") resource.up = true;
    if (verb == "shutdown" || (verb == "stop" && !resource.standby)) resource.up = false;
  }
  if (on_started && AnyUp(it->first)) on_started(it->first);
}

void FakeWorld::Load(const ObjectPath& path, std::optional<absl::Time> known,
                     Done<absl::StatusOr<LoadedInstance>> done) {
  (void)loop_->Post([this, path, known, done = std::move(done)] {
    LoadedInstance loaded;
    const auto it = instances_.find(path);
    if (it == instances_.end() || it->second.written == nullptr) {
      loaded.status_error = absl::NotFoundError("no status.json");
    } else if (known.has_value() && it->second.written->updated == *known) {
      loaded.unchanged = true;
    } else {
      loaded.status = it->second.written;
    }
    if (it != instances_.end()) {
      loaded.frozen_since = it->second.frozen_since;
      loaded.action = HolderOf(path);
    }
    done(std::move(loaded));
  });
}

std::optional<ActionHolder> FakeWorld::HolderOf(const ObjectPath& path) const {
  const auto instance = instances_.find(path);
  if (instance != instances_.end() && instance->second.holder.has_value()) {
    return instance->second.holder;
  }
  const auto queue = queues_.find(path);
  if (queue == queues_.end() || queue->second.empty()) return std::nullopt;
  const Pending& front = queue->second.front();
  if (front.incarnation == incarnation_) return std::nullopt;
  ActionHolder holder;
  holder.pid = 1000 + front.incarnation;
  holder.intent = front.command.words.front();
  holder.from_daemon = true;
  holder.words = front.command.words;
  return holder;
}

void FakeWorld::SignalAction(const ObjectPath& /*path*/, int /*pid*/, int signal) {
  signals.push_back(signal);
}

void FakeWorld::List(Done<absl::StatusOr<Inventory>> done) {
  (void)loop_->Post([this, done = std::move(done)] {
    Inventory inventory;
    inventory.node_frozen_since = node_frozen_since;
    for (const auto& [path, instance] : instances_)
      inventory.items.push_back({path, instance.config});
    done(std::move(inventory));
  });
}

void FakeWorld::SetFrozen(std::optional<ObjectPath> path, bool frozen,
                          Done<absl::StatusOr<std::optional<absl::Time>>> done) {
  (void)loop_->PostAfter(std::chrono::milliseconds(1),
                         [this, path, frozen, done = std::move(done)] {
                           if (!flag_error.ok()) {
                             done(flag_error);
                             return;
                           }
                           std::optional<absl::Time>* flag = &node_frozen_since;
                           if (path.has_value()) {
                             const auto it = instances_.find(*path);
                             if (it == instances_.end()) {
                               done(absl::NotFoundError("no such instance"));
                               return;
                             }
                             flag = &it->second.frozen_since;
                           }
                           *flag = frozen ? std::optional<absl::Time>(clock_->Now()) : std::nullopt;
                           done(*flag);
                         });
}

void FakeWorld::Read(Done<absl::StatusOr<NodeStats>> done) {
  NodeStats stats;
  stats.mem_total_mib = 1024;
  stats.mem_avail_percent = 80;
  stats.swap_avail_percent = 100;
  stats.score = NodeScore(stats);
  done(stats);
}

void MemoryJournal::Later(std::function<void()> effect, Done<absl::Status> done) {
  (void)loop_->PostAfter(sync_delay, [this, incarnation = incarnation_, effect = std::move(effect),
                                      done = std::move(done)] {
    if (incarnation != incarnation_) return;
    if (full) {
      done(absl::ResourceExhaustedError("disk full"));
      return;
    }
    effect();
    done(absl::OkStatus());
  });
}

void MemoryJournal::Append(std::string record, Done<absl::Status> done) {
  Later(
      [this, record = std::move(record)] {
        size_bytes_ += record.size();
        synced_.push_back(record);
      },
      std::move(done));
}

void MemoryJournal::Rewrite(std::vector<std::string> records, Done<absl::Status> done) {
  Later(
      [this, records = std::move(records)] {
        ++rewrite_count;
        synced_ = records;
        size_bytes_ = 0;
        for (const std::string& record : synced_) size_bytes_ += record.size();
      },
      std::move(done));
}

}  // namespace om
