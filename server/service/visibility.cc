#include "server/service/visibility.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"

namespace om {
namespace {

namespace pb = control::v1;

constexpr char kElsewhere[] = "something outside of the caller's namespaces";

}  // namespace

std::string Visibility::Shown(const std::string& text, absl::string_view ns) const {
  if (everything_) return text;
  for (const absl::string_view word :
       absl::StrSplit(text, absl::ByAnyChar(" \t\n\"'(),;:=@"), absl::SkipEmpty())) {
    // An object of another namespace is never named without it.
    if (word.find('/') == absl::string_view::npos) continue;
    const absl::StatusOr<ObjectPath> path = ObjectPath::ParseRelative(word, ns);
    if (path.ok() && !Sees(*path)) return kElsewhere;
  }
  return text;
}

pb::DaemonStatus Visibility::ShowDaemon(const DaemonFacts& facts, const Snapshot& snapshot) const {
  pb::DaemonStatus out = DaemonToProto(facts, snapshot);
  if (!everything_) out.clear_alerts();
  return out;
}

pb::ClusterStatus Visibility::ShowCluster(const Snapshot& snapshot) const {
  pb::ClusterStatus out = ClusterToProto(snapshot);
  if (everything_) return out;
  int transitions = 0;
  snapshot.objects.ForEach([&](const ObjectState& object) {
    if (!Sees(object.path)) return;
    for (const auto& [node, instance] : object.instances) {
      if (IsTransition(instance.monitor.status)) ++transitions;
    }
  });
  out.set_transition_count(transitions);
  return out;
}

pb::ThreadStatus Visibility::ShowThread(const ThreadStatus& thread,
                                        const Snapshot& snapshot) const {
  pb::ThreadStatus out = ThreadToProto(thread, snapshot);
  if (everything_) return out;
  out.clear_alerts();
  out.clear_last_error();
  auto* const tasks = out.mutable_delayed_tasks();
  tasks->erase(std::remove_if(tasks->begin(), tasks->end(),
                              [this](const pb::DelayedTask& task) {
                                const absl::StatusOr<ObjectPath> path =
                                    ObjectPath::Parse(task.path());
                                return !path.ok() || !Sees(*path);
                              }),
               tasks->end());
  out.set_delayed_task_count(tasks->size());
  return out;
}

std::optional<pb::Order> Visibility::ShowOrder(const OrderProgress& order) const {
  if (everything_) return ToProto(order);
  if (!Sees(order.path)) return std::nullopt;
  OrderProgress seen = order;
  const auto drop = [this](auto* list) {
    list->erase(std::remove_if(list->begin(), list->end(),
                               [this](const auto& one) { return !this->Sees(one.path); }),
                list->end());
  };
  drop(&seen.parts);
  drop(&seen.steps);
  drop(&seen.nodes);
  for (OrderPart& part : seen.parts) part.reason = Shown(part.reason, part.path.ns());
  for (OrderStep& step : seen.steps) step.error = Shown(step.error, step.path.ns());
  for (NodeProgress& node : seen.nodes) node.text = Shown(node.text, node.path.ns());
  return ToProto(seen);
}

}  // namespace om
