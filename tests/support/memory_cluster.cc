#include "tests/support/memory_cluster.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace om {

using HeldRecords = std::map<ObjectPath, uint64_t>;

class MemoryCluster::Transport final : public TransportPort {
 public:
  Transport(MemoryCluster* cluster, std::string name)
      : cluster_(cluster), name_(std::move(name)), held_(std::make_shared<HeldRecords>()) {}

  TransportObserver* observer() const { return observer_; }
  void Kill() {
    observer_ = nullptr;
    ++run_;
    requests_.clear();
  }
  void PowerOff() {
    Kill();
    held_ = std::make_shared<HeldRecords>();
    may_act_until_ = MonotonicTime::min();
  }

  TransportCapabilities capabilities() const override {
    TransportCapabilities all;
    all.publish = all.peer_views = all.liveness = all.locks = all.config_exchange = true;
    all.ownership = cluster_->options_.ownership;
    return all;
  }
  absl::Status Start(TransportObserver* observer) override {
    observer_ = observer;
    ++run_;
    for (auto& [link, flow] : cluster_->flows_) {
      if (link.second == name_) flow.alive = false;
    }
    const MonotonicTime now = Now();
    for (const auto& [node, peer] : cluster_->nodes_) cluster_->flows_[{node, name_}].heard = now;
    Beat(run_);
    if (cluster_->options_.ownership) {
      known_revision_ = 0;
      Renew(run_);
    }
    return absl::OkStatus();
  }
  void Stop() override { Kill(); }

  void Publish(std::shared_ptr<const NodeDataset> dataset) override {
    cluster_->Publish(name_, std::move(dataset));
  }
  std::vector<std::shared_ptr<const NodeDataset>> PeerViews() const override { return {}; }
  bool Liveness(const std::string& node) const override {
    const auto it = cluster_->flows_.find({node, name_});
    return node == name_ || (it != cluster_->flows_.end() && it->second.alive);
  }
  void SubmitOrder(const ClusterOrder& order, Done<absl::Status> done) override {
    for (const auto& [node, peer] : cluster_->nodes_) {
      if (node == name_) continue;
      cluster_->Send(name_, node, [to = peer.get(), order] {
        if (to->observer_ != nullptr) to->observer_->OnOrder(order);
      });
    }
    Answer(std::move(done), absl::OkStatus());
  }

  void AcquireOwnership(const ObjectPath& path, Done<absl::StatusOr<Ownership>> done) override {
    auto owner = std::make_shared<std::string>();
    Ask(
        [cluster = cluster_, name = name_, path, owner] {
          if (cluster->LeaseExpired(name)) return absl::UnavailableError("no lease");
          Record& record = cluster->records_[path];
          const auto owner_data = cluster->published_.find(record.owner);
          const bool away =
              owner_data != cluster->published_.end() &&
              owner_data->second.dataset->node.monitor.status == status_word::kMaintenance;
          if (record.owner.empty() ||
              (record.owner != name && !away && cluster->MayTakeOver(record.owner))) {
            record.owner = name;
            record.token = cluster->next_token_++;
            ++cluster->revision_;
          }
          *owner = record.owner;
          return absl::OkStatus();
        },
        [this, path, owner, done = std::move(done)](const absl::Status& status) {
          if (!status.ok()) return done(status);
          Ownership answer;
          answer.owner = *owner;
          const auto held = held_->find(path);
          answer.held = *owner == name_ && held != held_->end();
          if (answer.held) answer.token = held->second;
          done(answer);
        });
  }
  void ReleaseOwnership(const ObjectPath& path, uint64_t token, Done<absl::Status> done) override {
    Ask(
        [cluster = cluster_, name = name_, path, token]() -> absl::Status {
          const auto it = cluster->records_.find(path);
          if (it == cluster->records_.end() || it->second.token != token) {
            return absl::NotFoundError("not the current token");
          }
          cluster->records_.erase(it);
          ++cluster->revision_;
          return absl::OkStatus();
        },
        std::move(done));
  }

  void Lock(const std::string& name, Duration /*timeout*/,
            Done<absl::StatusOr<std::string>> done) override {
    const std::string id = absl::StrCat(name_, "/", cluster_->next_token_++);
    const bool got = cluster_->locks_.emplace(name, id).second;
    Answer<absl::StatusOr<std::string>>(
        std::move(done),
        got ? absl::StatusOr<std::string>(id) : absl::UnavailableError("lock is taken"));
  }
  void Unlock(const std::string& name, const std::string& id, Done<absl::Status> done) override {
    const auto it = cluster_->locks_.find(name);
    if (it == cluster_->locks_.end() || it->second != id) {
      return Answer(std::move(done), absl::NotFoundError("not held"));
    }
    cluster_->locks_.erase(it);
    Answer(std::move(done), absl::OkStatus());
  }
  void OfferConfig(const ObjectPath& path, ConfigFile file, Done<absl::Status> done) override {
    cluster_->configs_[{name_, path}] = std::move(file);
    Answer(std::move(done), absl::OkStatus());
  }
  void FetchConfig(const std::string& node, const ObjectPath& path,
                   Done<absl::StatusOr<ConfigFile>> done) override {
    const auto it = cluster_->configs_.find({node, path});
    const bool there = it != cluster_->configs_.end() && cluster_->Linked(name_, node);
    Answer<absl::StatusOr<ConfigFile>>(std::move(done),
                                       there ? absl::StatusOr<ConfigFile>(it->second)
                                             : absl::NotFoundError("no such configuration"));
  }

  // A peer was heard.
  void Heard(const std::string& from, Flow* flow) {
    flow->heard = Now();
    if (!flow->alive && observer_ != nullptr) {
      flow->alive = true;
      flow->fresh_since = Now();
      observer_->OnLiveness(from, true);
    }
  }

 private:
  MonotonicTime Now() const { return cluster_->clock_->Monotonic(); }

  template <class T>
  void Answer(Done<T> done, T answer) {
    (void)cluster_->loop_->PostAfter(
        std::chrono::milliseconds(1),
        [done = std::move(done), answer = std::move(answer)] { done(answer); });
  }

  void Beat(uint64_t run) {
    if (run != run_) return;
    for (const auto& [node, peer] : cluster_->nodes_) {
      if (node == name_) continue;
      cluster_->SendData(name_, node);
      Flow& flow = cluster_->flows_[{node, name_}];
      if (flow.alive && Now() - flow.heard > cluster_->options_.heartbeat_timeout) {
        flow.alive = false;
        observer_->OnLiveness(node, false);
      }
    }
    (void)cluster_->loop_->PostAfter(cluster_->options_.heartbeat_interval,
                                     [this, run] { Beat(run); });
  }

  // Asks the store. `at_store` runs there, once for each time that the message arrives; `done` is
  // called once, after the records that the answer brings are known.
  void Ask(std::function<absl::Status()> at_store, Done<absl::Status> done) {
    const uint64_t id = next_request_++;
    const MonotonicTime sent = Now();
    requests_[id] = std::move(done);
    const uint64_t run = run_;
    cluster_->Send(name_, kStore, [this, run, id, sent, at_store = std::move(at_store)] {
      const absl::Status status = at_store();
      auto held = std::make_shared<HeldRecords>();
      for (const auto& [path, record] : cluster_->records_) {
        if (record.owner == name_) held->emplace(path, record.token);
      }
      cluster_->Send(
          kStore, name_,
          [this, run, id, sent, status, held = std::move(held), revision = cluster_->revision_] {
            if (run != run_) return;
            Learn(revision, held, sent, id);
            Finish(id, status);
          });
    });
    (void)cluster_->loop_->PostAfter(cluster_->options_.request_timeout, [this, run, id] {
      if (run == run_) Finish(id, absl::UnavailableError("the store does not answer"));
    });
  }
  void Finish(uint64_t id, const absl::Status& status) {
    const auto it = requests_.find(id);
    if (it == requests_.end()) return;
    const Done<absl::Status> done = std::move(it->second);
    requests_.erase(it);
    done(status);
  }

  void Learn(uint64_t revision, const std::shared_ptr<const HeldRecords>& held, MonotonicTime sent,
             uint64_t id) {
    bool news = false;
    if (renewals_.erase(id) != 0) {
      const MonotonicTime until = sent + cluster_->options_.lease * 2 / 3;
      news = until > may_act_until_;
      may_act_until_ = std::max(may_act_until_, until);
      if (news) WatchOver(until);
    }
    if (revision > known_revision_) {
      known_revision_ = revision;
      held_ = held;
      news = true;
    }
    if (news && observer_ != nullptr) observer_->OnLease({held_, may_act_until_});
  }

  void Renew(uint64_t run) {
    if (run != run_) return;
    renewals_.insert(next_request_);
    Ask(
        [cluster = cluster_, name = name_] {
          cluster->lease_ends_[name] = cluster->clock_->Monotonic() + cluster->options_.lease;
          return absl::OkStatus();
        },
        [](const absl::Status&) {});
    (void)cluster_->loop_->PostAfter(cluster_->options_.renew_interval,
                                     [this, run] { Renew(run); });
  }

  // The guard lives on when the daemon dies.
  void WatchOver(MonotonicTime until) {
    const Duration left = until - Now();
    const Duration late = cluster_->options_.guard_bound / 2;
    (void)cluster_->loop_->PostAfter(std::max(left, Duration(0)) + late, [this, until] {
      if (may_act_until_ > until || held_->empty() || !cluster_->on_guard) return;
      std::vector<ObjectPath> paths;
      for (const auto& [path, token] : *held_) paths.push_back(path);
      cluster_->on_guard(name_, paths);
    });
  }

  MemoryCluster* const cluster_;  // Not owned.
  const std::string name_;
  TransportObserver* observer_ = nullptr;  // Not owned.
  uint64_t run_ = 0;
  uint64_t next_request_ = 1;
  std::map<uint64_t, Done<absl::Status>> requests_;
  std::set<uint64_t> renewals_;
  uint64_t known_revision_ = 0;
  std::shared_ptr<const HeldRecords> held_;
  MonotonicTime may_act_until_ = MonotonicTime::min();
};

MemoryCluster::MemoryCluster(Loop* loop, const FakeClock* clock, Options options, Random* random)
    : loop_(loop), clock_(clock), options_(options), random_(random) {}
MemoryCluster::~MemoryCluster() = default;

TransportPort* MemoryCluster::Node(const std::string& name) {
  std::unique_ptr<Transport>& node = nodes_[name];
  if (node == nullptr) node = std::make_unique<Transport>(this, name);
  return node.get();
}

void MemoryCluster::Kill(const std::string& name) { nodes_.at(name)->Kill(); }
void MemoryCluster::PowerOff(const std::string& name) { nodes_.at(name)->PowerOff(); }

bool MemoryCluster::Linked(const std::string& from, const std::string& to) const {
  return cut_.count(from) == 0 && cut_.count(to) == 0 && cut_links_.count({from, to}) == 0;
}

void MemoryCluster::Cut(const std::string& name) { cut_.insert(name); }
void MemoryCluster::Join(const std::string& name) { cut_.erase(name); }

void MemoryCluster::Send(const std::string& from, const std::string& to,
                         std::function<void()> work) {
  if (!Linked(from, to)) return;
  const auto chance = [&](int percent) {
    return percent > 0 && static_cast<int>(random_->Below(100)) < percent;
  };
  if (chance(faults.lost_percent)) return;
  const auto delay = [&]() -> Duration {
    const Duration range = faults.max_delay - faults.min_delay;
    if (range <= Duration(0)) return faults.min_delay;
    return faults.min_delay + Duration(random_->Below(static_cast<uint64_t>(range.count())));
  };
  if (chance(faults.doubled_percent)) (void)loop_->PostAfter(delay(), work);
  (void)loop_->PostAfter(delay(), std::move(work));
}

void MemoryCluster::Publish(const std::string& from, std::shared_ptr<const NodeDataset> dataset) {
  if (on_publish) on_publish(from, *dataset);
  Published& published = published_[from];
  ++published.sequence;
  published.dataset = std::move(dataset);
  for (const auto& [node, peer] : nodes_) {
    if (node == from) continue;
    flows_[{from, node}].pending.emplace_back(published.sequence, clock_->Monotonic());
    SendData(from, node);
  }
}

void MemoryCluster::SendData(const std::string& from, const std::string& to) {
  const auto it = published_.find(from);
  if (it == published_.end()) return;
  Transport* const peer = nodes_.at(to).get();
  Send(from, to, [this, from, to, peer, published = it->second] {
    if (peer->observer() == nullptr) return;
    Flow& flow = flows_[{from, to}];
    // Of what one run says, late data is for the core to recognise; not of two.
    const bool late = published.sequence < flow.delivered;
    const auto newest = published_.find(from);
    if (late && newest->second.dataset->incarnation != published.dataset->incarnation) return;
    peer->Heard(from, &flow);
    peer->observer()->OnPeerView(published.dataset);
    if (late) return;
    flow.delivered = published.sequence;
    const MonotonicTime now = clock_->Monotonic();
    // The moment that this data closes a gap is when freshness can begin.
    constexpr Duration kGap = std::chrono::seconds(3);
    const bool gap = !flow.pending.empty() && now - flow.pending.front().second > kGap;
    if (gap || flow.fresh_since == MonotonicTime::max()) flow.fresh_since = now;
    while (!flow.pending.empty() && flow.pending.front().first <= published.sequence) {
      flow.pending.pop_front();
    }
  });
}

MonotonicTime MemoryCluster::FreshSince(const std::string& from, const std::string& to,
                                        Duration lag) const {
  const auto it = flows_.find({from, to});
  if (it == flows_.end() || !it->second.alive) return MonotonicTime::max();
  const Flow& flow = it->second;
  if (!flow.pending.empty() && clock_->Monotonic() - flow.pending.front().second > lag) {
    return MonotonicTime::max();
  }
  return flow.fresh_since;
}

std::string MemoryCluster::OwnerOf(const ObjectPath& path) const {
  const auto it = records_.find(path);
  return it == records_.end() ? "" : it->second.owner;
}

bool MemoryCluster::LeaseExpired(const std::string& owner) const {
  const auto it = lease_ends_.find(owner);
  return it == lease_ends_.end() || it->second <= clock_->Monotonic();
}

bool MemoryCluster::MayTakeOver(const std::string& owner) const {
  const auto it = lease_ends_.find(owner);
  return it == lease_ends_.end() || it->second + options_.guard_bound <= clock_->Monotonic();
}

}  // namespace om
