#include "server/core/order_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace om {
namespace {

// Readers look at the orders themselves: the feed only wakes them.
constexpr size_t kMaxChanges = 16;
constexpr size_t kMaxReasonBytes = 512;

// The instance is being worked on. A shutdown has a word of its own.
bool IsActive(const std::string& monitor_status) {
  return IsTransition(monitor_status) || monitor_status == status_word::kShutdown;
}

ChangeFeed::Options FeedOptions() {
  ChangeFeed::Options options;
  options.max_changes = kMaxChanges;
  return options;
}

// Of two ends the one that says more about what went wrong.
bool IsWorse(OrderState a, OrderState b) {
  const auto rank = [](OrderState state) {
    switch (state) {
      case OrderState::kReached:
        return 0;
      case OrderState::kSuperseded:
        return 1;
      case OrderState::kAborted:
        return 2;
      case OrderState::kFailed:
        return 3;
      case OrderState::kBlocked:
        return 4;
      case OrderState::kRunning:
        return 5;
    }
    return 5;
  };
  return rank(a) > rank(b);
}

// Some other node has the order still to carry out. Legacy nodes do not know ids.
bool CarriedByOthers(const OrderProgress& order, const ObjectState& object,
                     const std::string& local) {
  return std::any_of(object.instances.begin(), object.instances.end(), [&](const auto& entry) {
    const InstanceMonitor& monitor = entry.second.monitor;
    return entry.first != local && monitor.global_expect == order.global_expect &&
           (monitor.order_id.empty() || monitor.order_id == order.id);
  });
}

const OrderPart& Deciding(const OrderProgress& order) {
  const OrderPart* worst = &order.parts.front();
  for (const OrderPart& part : order.parts) {
    if (IsWorse(part.state, worst->state)) worst = &part;
  }
  return *worst;
}

}  // namespace

bool IsOver(OrderState state) {
  return state != OrderState::kRunning && state != OrderState::kBlocked;
}

absl::string_view OrderStateName(OrderState state) {
  switch (state) {
    case OrderState::kRunning:
      return "running";
    case OrderState::kBlocked:
      return "blocked";
    case OrderState::kReached:
      return "reached";
    case OrderState::kFailed:
      return "failed";
    case OrderState::kAborted:
      return "aborted";
    case OrderState::kSuperseded:
      return "superseded";
  }
  return "unknown";
}

OrderState OrderProgress::state() const { return Deciding(*this).state; }

std::string OrderProgress::reason() const {
  const OrderPart& decides = Deciding(*this);
  if (decides.reason.empty() || decides.path == path) return decides.reason;
  return absl::StrCat(decides.path.ToString(), ": ", decides.reason);
}

const OrderPart* OrderProgress::part(const ObjectPath& object) const {
  const auto found = std::find_if(parts.begin(), parts.end(),
                                  [&](const OrderPart& one) { return one.path == object; });
  return found == parts.end() ? nullptr : &*found;
}

OrderTable::OrderTable(const Clock* clock, std::string local_node, const Options& options)
    : clock_(clock), local_node_(std::move(local_node)), options_(options), feed_(FeedOptions()) {}

// ---- Reading ----

OrderPtr OrderTable::Get(const std::string& id) const {
  MutexLock lock(&mutex_);
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second;
}

std::vector<OrderPtr> OrderTable::List(const std::optional<Position>& after, const Filter& filter,
                                       size_t limit) const {
  std::vector<OrderPtr> found;
  MutexLock lock(&mutex_);
  auto it = after.has_value() ? by_time_.lower_bound(Key(after->time, after->id)) : by_time_.end();
  while (it != by_time_.begin() && found.size() < limit) {
    --it;
    const OrderProgress& order = *it->second;
    if (filter.only_in_progress && order.end.has_value()) continue;
    if (filter.path.has_value() && order.part(*filter.path) == nullptr) continue;
    found.push_back(it->second);
  }
  return found;
}

// ---- Changing ----

void OrderTable::Edit(const std::string& id, const std::function<void(OrderProgress*)>& edit) {
  ObjectPath path;
  {
    MutexLock lock(&mutex_);
    const auto found = by_id_.find(id);
    if (found == by_id_.end()) return;
    auto edited = std::make_shared<OrderProgress>(*found->second);
    const bool was_over = edited->end.has_value();
    edit(edited.get());
    edited->version = ++version_;
    if (edited->end.has_value() && !was_over) ++ended_count_;
    if (!edited->end.has_value() && was_over) --ended_count_;
    path = edited->path;
    by_time_[Key(edited->time, id)] = edited;
    found->second = std::move(edited);
  }
  auto change = std::make_shared<Change>();
  change->revision = Revision{version_};
  change->time = clock_->Now();
  change->objects = {std::move(path)};
  feed_.Append(std::move(change));
}

void OrderTable::Begin(OrderProgress order, bool saved) {
  CHECK(!order.parts.empty()) << "an order without parts";
  const OrderState end_of_others =
      order.global_expect == expect_word::kAborted ? OrderState::kAborted : OrderState::kSuperseded;
  if (order.parts.size() > options_.max_parts) order.parts.resize(options_.max_parts);
  for (const OrderPart& part : order.parts) {
    const auto other = by_path_.find(part.path);
    if (other == by_path_.end() || other->second.id == order.id) continue;
    End(part.path, end_of_others,
        absl::StrCat("replaced by the order ", order.id, " ", order.global_expect));
  }
  for (const OrderPart& part : order.parts) by_path_[part.path] = {order.id, nullptr, std::nullopt};
  const std::string id = order.id;
  const std::vector<OrderPart> parts = order.parts;
  const Key key(order.time, id);
  {
    MutexLock lock(&mutex_);
    const auto [known, is_new] = by_id_.emplace(id, nullptr);
    if (is_new) {
      known->second = std::make_shared<OrderProgress>(std::move(order));
      by_time_[key] = known->second;
    }
  }
  // Orders of peers come object by object.
  Edit(id, [&](OrderProgress* edited) {
    for (const OrderPart& part : parts) {
      if (edited->part(part.path) == nullptr) edited->parts.push_back(part);
      // Over here and still in progress on a peer, it may be taken up again.
      for (OrderPart& known : edited->parts) {
        if (known.path == part.path && IsOver(known.state)) known = part;
      }
    }
    edited->end.reset();
  });
  if (!saved) unsaved_.insert(id);
}

void OrderTable::EndPart(OrderProgress* order, const ObjectPath& path, OrderState state,
                         const std::string& reason) {
  for (OrderPart& part : order->parts) {
    if (part.path != path || IsOver(part.state)) continue;
    part.state = state;
    part.reason = reason.substr(0, kMaxReasonBytes);
  }
  order->nodes.erase(std::remove_if(order->nodes.begin(), order->nodes.end(),
                                    [&](const NodeProgress& node) { return node.path == path; }),
                     order->nodes.end());
  if (IsOver(order->state()) && !order->end.has_value()) order->end = clock_->Now();
}

void OrderTable::End(const ObjectPath& path, OrderState state, const std::string& reason) {
  const auto found = by_path_.find(path);
  if (found == by_path_.end()) return;
  const std::string id = found->second.id;
  by_path_.erase(found);
  unsaved_.insert(id);
  Edit(id, [&](OrderProgress* order) { EndPart(order, path, state, reason); });
  Trim();
}

void OrderTable::EndHere(const ObjectPath& path, OrderState state, const std::string& reason) {
  const auto found = by_path_.find(path);
  if (found == by_path_.end()) return;
  if (state == OrderState::kFailed) {
    // Observe() ends it, now or when the others have.
    found->second.failure = reason;
    found->second.object = nullptr;
    return;
  }
  End(path, state, reason);
}

void OrderTable::AddStep(OrderProgress* order, OrderStep step) const {
  // Some are noticed later than others that came after them.
  const auto later = std::upper_bound(
      order->steps.begin(), order->steps.end(), step.begin,
      [](absl::Time begin, const OrderStep& other) { return begin < other.begin; });
  order->steps.insert(later, std::move(step));
  while (order->steps.size() > options_.max_steps) {
    order->steps.erase(order->steps.begin());
    ++order->dropped_steps;
  }
}

void OrderTable::CommandBegun(const ObjectPath& path, const std::string& action) {
  const auto found = by_path_.find(path);
  if (found == by_path_.end()) return;
  commands_[path] = found->second.id;
  OrderStep step;
  step.node = local_node_;
  step.path = path;
  step.action = action;
  step.begin = clock_->Now();
  Edit(found->second.id, [&](OrderProgress* order) { AddStep(order, std::move(step)); });
}

void OrderTable::CommandEnded(const ObjectPath& path, std::optional<int> exit_status,
                              const std::string& error) {
  // The order may be over by now; what was done for it is told all the same.
  const auto found = commands_.find(path);
  if (found == commands_.end()) return;
  const std::string id = found->second;
  commands_.erase(found);
  Edit(id, [&](OrderProgress* order) {
    const auto open =
        std::find_if(order->steps.rbegin(), order->steps.rend(), [&](const OrderStep& step) {
          return step.node == local_node_ && step.path == path && !step.end.has_value();
        });
    if (open == order->steps.rend()) return;
    open->end = clock_->Now();
    open->exit_status = exit_status;
    open->error = error.substr(0, kMaxReasonBytes);
    if (order->end.has_value()) unsaved_.insert(id);
  });
}

void OrderTable::Observe(const Snapshot& snapshot, bool settled) {
  std::vector<ObjectPath> paths;
  paths.reserve(by_path_.size());
  for (const auto& [path, seen] : by_path_) paths.push_back(path);
  for (const ObjectPath& path : paths) Observe(snapshot, path, settled);
}

void OrderTable::Observe(const Snapshot& snapshot, const ObjectPath& path, bool settled) {
  const auto seen = by_path_.find(path);
  if (seen == by_path_.end()) return;
  const std::shared_ptr<const ObjectState> now = snapshot.objects.Find(path);
  if (now == seen->second.object && (now != nullptr || !settled)) return;
  const std::shared_ptr<const ObjectState> before = std::exchange(seen->second.object, now);
  ObserveObject(path, before, now);
  const InstanceState* local = now == nullptr ? nullptr : now->instance(local_node_);
  if (local == nullptr) {
    if (!settled) return;
    const OrderPtr order = Get(seen->second.id);
    const bool wanted = order->global_expect == expect_word::kDeleted ||
                        order->global_expect == expect_word::kPurged;
    End(path, wanted ? OrderState::kReached : OrderState::kFailed,
        wanted ? "" : "its configuration is gone from this node");
  } else if (local->monitor.global_expect.empty() && seen->second.failure.has_value()) {
    const OrderPtr order = Get(seen->second.id);
    if (CarriedByOthers(*order, *now, local_node_)) return;
    const bool reached = OrderReached(snapshot, *now, local_node_, order->global_expect);
    End(path, reached ? OrderState::kReached : OrderState::kFailed,
        reached ? "" : std::string(*seen->second.failure));
  } else if (local->monitor.global_expect.empty()) {
    End(path, OrderState::kAborted, "taken back");
  } else if (local->monitor.order_id != seen->second.id) {
    End(path, OrderState::kSuperseded,
        absl::StrCat("replaced by the order ", local->monitor.order_id, " ",
                     local->monitor.global_expect));
  }
}

void OrderTable::ObserveObject(const ObjectPath& path,
                               const std::shared_ptr<const ObjectState>& before,
                               const std::shared_ptr<const ObjectState>& now) {
  const OrderPtr order = Get(by_path_.at(path).id);
  if (before == nullptr || now == nullptr || order == nullptr) return;
  std::vector<OrderStep> begun;
  std::map<std::string, std::string> ended;  // Node to error.
  for (const auto& [node, instance] : now->instances) {
    const InstanceState* old = before->instance(node);
    if (old == nullptr) continue;
    OrderStep step;
    step.node = node;
    step.path = path;
    if (old->frozen() != instance.frozen()) {
      step.action = instance.frozen() ? "freeze" : "thaw";
      step.begin = instance.frozen_since.value_or(clock_->Now());
      step.end = step.begin;
      // Flags from before the order are only now seen, after a start of the daemon.
      if (step.begin >= order->time) begun.push_back(step);
    }
    // What this node runs is told by those who run it.
    if (node == local_node_) continue;
    const std::string& was = old->monitor.status;
    const std::string& is = instance.monitor.status;
    if (was == is) continue;
    if (IsActive(was)) ended[node] = IsFailed(is) ? is : "";
    if (!IsActive(is)) continue;
    step.action = is;
    step.begin = instance.monitor.status_updated;
    step.end.reset();
    begun.push_back(step);
  }
  if (begun.empty() && ended.empty()) return;
  Edit(order->id, [&](OrderProgress* edited) {
    for (const auto& [node, error] : ended) {
      for (OrderStep& step : edited->steps) {
        if (step.node != node || step.path != path || step.end.has_value()) continue;
        step.end = clock_->Now();
        step.error = error;
      }
    }
    for (OrderStep& step : begun) AddStep(edited, std::move(step));
  });
}

std::vector<ObjectPath> OrderTable::NextToExplain(size_t limit) {
  std::vector<ObjectPath> paths;
  auto it = by_path_.upper_bound(explain_position_);
  while (paths.size() < std::min(limit, by_path_.size())) {
    if (it == by_path_.end()) it = by_path_.begin();
    paths.push_back(it->first);
    ++it;
  }
  if (!paths.empty()) explain_position_ = paths.back();
  return paths;
}

void OrderTable::Explained(const ObjectPath& path, const Explanation& explanation) {
  const auto found = by_path_.find(path);
  if (found == by_path_.end()) return;
  const OrderPtr order = Get(found->second.id);
  const OrderPart* known = order->part(path);
  const OrderState state = explanation.blocked ? OrderState::kBlocked : OrderState::kRunning;
  const std::string reason = explanation.reason.substr(0, kMaxReasonBytes);
  std::vector<NodeProgress> nodes;
  for (const NodeProgress& node : order->nodes) {
    if (node.path == path) nodes.push_back(node);
  }
  if (known == nullptr ||
      (known->state == state && known->reason == reason && nodes == explanation.nodes)) {
    return;
  }
  Edit(order->id, [&](OrderProgress* edited) {
    for (OrderPart& part : edited->parts) {
      if (part.path != path) continue;
      part.state = state;
      part.reason = reason;
    }
    auto& all = edited->nodes;
    all.erase(std::remove_if(all.begin(), all.end(),
                             [&](const NodeProgress& node) { return node.path == path; }),
              all.end());
    all.insert(all.end(), explanation.nodes.begin(), explanation.nodes.end());
  });
}

void OrderTable::Expire() { Trim(); }

void OrderTable::Trim() {
  const absl::Time limit = clock_->Now() - options_.keep_ended;
  MutexLock lock(&mutex_);
  if (ended_count_ == 0) return;
  for (auto it = by_time_.begin(); it != by_time_.end();) {
    const OrderProgress& order = *it->second;
    const bool goes =
        order.end.has_value() && (ended_count_ > options_.max_ended || *order.end < limit);
    if (!goes) {
      // The oldest are looked at first; those in progress among them are few.
      if (order.end.has_value()) break;
      ++it;
      continue;
    }
    --ended_count_;
    unsaved_.erase(order.id);
    by_id_.erase(order.id);
    it = by_time_.erase(it);
  }
}

// ---- The journal ----

std::vector<OrderProgress> OrderTable::TakeUnsaved() {
  std::vector<OrderProgress> taken;
  for (const std::string& id : std::exchange(unsaved_, {})) {
    if (const OrderPtr order = Get(id)) taken.push_back(*order);
  }
  return taken;
}

void OrderTable::MarkUnsaved(const std::vector<std::string>& ids) {
  for (const std::string& id : ids) {
    if (Get(id) != nullptr) unsaved_.insert(id);
  }
}

std::vector<OrderProgress> OrderTable::All() const {
  std::vector<OrderProgress> all;
  MutexLock lock(&mutex_);
  for (const auto& [key, order] : by_time_) all.push_back(*order);
  return all;
}

void OrderTable::Restore(OrderProgress order) {
  if (order.parts.empty()) return;
  for (auto it = by_path_.begin(); it != by_path_.end();) {
    it = it->second.id == order.id ? by_path_.erase(it) : std::next(it);
  }
  for (OrderPart& part : order.parts) {
    if (IsOver(part.state)) continue;
    part.state = OrderState::kRunning;
    part.reason.clear();
    by_path_[part.path] = {order.id, nullptr, std::nullopt};
  }
  const Key key(order.time, order.id);
  auto restored = std::make_shared<const OrderProgress>(std::move(order));
  {
    MutexLock lock(&mutex_);
    OrderPtr& known = by_id_[key.second];
    if (known != nullptr) {
      if (known->end.has_value()) --ended_count_;
      by_time_.erase(Key(known->time, known->id));
    }
    if (restored->end.has_value()) ++ended_count_;
    known = restored;
    by_time_[key] = std::move(restored);
  }
  Trim();
}

}  // namespace om
