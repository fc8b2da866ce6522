#include "server/control/node_view.h"

#include <memory>
#include <utility>

#include "server/control/peer_orders.h"

namespace om {

NodeView::NodeView(const View& view, std::string node, const std::set<ObjectPath>& paths)
    : base_(view),
      node_(std::move(node)),
      is_local_(node_ == view.snapshot->local_node),
      paths_(paths) {
  if (is_local_) return;
  const std::string& asking = view.snapshot->local_node;
  snapshot_ = *view.snapshot;
  snapshot_.local_node = node_;
  for (const ObjectPath& path : paths_) {
    const std::shared_ptr<const ObjectState> object = snapshot_.objects.Find(path);
    if (object == nullptr || object->config(asking) == nullptr) continue;
    auto copy = std::make_shared<ObjectState>(*object);
    copy->configs[node_] = *object->config(asking);
    const InstanceState* ours = object->instance(asking);
    const auto theirs = copy->instances.find(node_);
    if (ours != nullptr && theirs != copy->instances.end() &&
        theirs->second.monitor.global_expect.empty() && !ours->monitor.global_expect.empty() &&
        AdoptsOrder(*copy, node_, ours->monitor.global_expect) &&
        !OrderReached(snapshot_, *copy, node_, ours->monitor.global_expect)) {
      theirs->second.monitor.global_expect = ours->monitor.global_expect;
      theirs->second.monitor.order_id = ours->monitor.order_id;
    }
    snapshot_.objects.Put(std::move(copy));
    if (view.ownership == nullptr) continue;
    const auto owned = view.ownership->find(path);
    Ownership ownership;
    if (owned != view.ownership->end()) {
      ownership.owner = owned->second.held ? asking : owned->second.owner;
    }
    ownership.held = ownership.owner.empty() || ownership.owner == node_;
    ownership_[path] = ownership;
  }
}

View NodeView::MakeView() const {
  View view = base_;
  view.only = &paths_;
  if (is_local_) return view;
  view.snapshot = &snapshot_;
  view.busy = &busy_;
  if (view.ownership != nullptr) view.ownership = &ownership_;
  view.unevaluated = nullptr;
  return view;
}

std::vector<Action> NodeView::Decide(absl::Time now) const {
  return om::Decide(MakeView(), node_, now);
}

std::vector<Action> NodeView::AfterCrm(const RunCrm& action, const CrmOutcome& outcome,
                                       absl::Time now) const {
  return om::AfterCrm(MakeView(), node_, action, outcome, now);
}

}  // namespace om
