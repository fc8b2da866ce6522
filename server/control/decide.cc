#include "server/control/decide.h"

#include <algorithm>
#include <cstddef>

#include "server/control/conditions.h"
#include "server/control/node.h"
#include "server/control/object_decision.h"

namespace om {
namespace {

// Calls `visit` for the objects that are to be decided about and can be: known to the node, and
// with nothing in flight.
void ForEachIdle(const View& view, const std::string& node,
                 const std::function<void(const ObjectState&)>& visit) {
  const auto consider = [&](const ObjectState& object) {
    if (view.unevaluated != nullptr && view.unevaluated->count(object.path) != 0) return;
    if (view.busy->count(object.path) == 0 && object.config(node) != nullptr &&
        object.instance(node) != nullptr) {
      visit(object);
    }
  };
  if (view.only == nullptr) {
    view.snapshot->objects.ForEach(consider);
    return;
  }
  for (const ObjectPath& path : *view.only) {
    if (const auto object = view.snapshot->objects.Find(path)) consider(*object);
  }
}

size_t MaxParallel(const View& view) {
  return static_cast<size_t>(std::max(view.settings->max_parallel, 1));
}

void Shutdown(const View& view, const std::string& node, absl::Time now,
              std::vector<Action>* actions) {
  size_t running = view.busy->size();
  const auto shut_down = [&](bool children_too_long) {
    ForEachIdle(view, node, [&](const ObjectState& object) {
      if (!object.path.is_service()) return;
      ObjectDecision decision(view, object, node, now, running < MaxParallel(view), actions);
      if (decision.RunShutdown(children_too_long)) ++running;
    });
  };
  shut_down(false);
  if (running > 0 || ShutdownFinished(view, node)) return;
  bool working = false;  // Something that this node did not begin.
  view.snapshot->objects.ForEach([&](const ObjectState& object) {
    const InstanceState* instance = object.instance(node);
    working = working || (instance != nullptr && IsTransition(instance->monitor.status));
  });
  // Else everything left waits for something left, in a circle.
  if (!working) shut_down(true);
}

}  // namespace

std::vector<Action> Decide(const View& view, const std::string& node, absl::Time now) {
  std::vector<Action> actions;
  const NodeState* local = view.snapshot->node(node);
  if (local == nullptr || local->monitor.status == status_word::kInit) return actions;
  DecideNode(view, *local, now, &actions);
  if (local->monitor.status == status_word::kShutting) {
    Shutdown(view, node, now, &actions);
    return actions;
  }
  // On its way out a node begins nothing.
  if (IsOneOf(local->monitor.status, {status_word::kMaintenance, status_word::kUpgrade})) {
    return actions;
  }
  size_t running = view.busy->size();
  ForEachIdle(view, node, [&](const ObjectState& object) {
    ObjectDecision decision(view, object, node, now, running < MaxParallel(view), &actions);
    if (decision.Run()) ++running;
  });
  return actions;
}

bool ShutdownFinished(const View& view, const std::string& node) {
  const NodeState* local = view.snapshot->node(node);
  if (local == nullptr || !view.busy->empty()) return false;
  bool finished = true;
  view.snapshot->objects.ForEach([&](const ObjectState& object) {
    const InstanceState* instance = object.instance(node);
    if (!object.path.is_service() || object.config(node) == nullptr || instance == nullptr) return;
    finished = finished && (IsShutDown(*instance) || GaveUpShutdown(*local, *instance));
  });
  return finished;
}

const char* CrmVerbName(CrmVerb verb) {
  switch (verb) {
    case CrmVerb::kStart:
      return "start";
    case CrmVerb::kStop:
      return "stop";
    case CrmVerb::kShutdown:
      return "shutdown";
    case CrmVerb::kRestart:
      return "restart";
    case CrmVerb::kRestartResources:
      return "restart resources";
    case CrmVerb::kRestartStandby:
      return "restart standby resources";
    case CrmVerb::kToc:
      return "toc";
    case CrmVerb::kProvision:
      return "provision";
    case CrmVerb::kUnprovision:
      return "unprovision";
    case CrmVerb::kPurge:
      return "purge";
    case CrmVerb::kDelete:
      return "delete";
  }
  return "";
}

}  // namespace om
