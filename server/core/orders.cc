// Checks of orders: what PROTOCOL's table of set_service_monitor says, as typed outcomes.
#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "server/control/conditions.h"
#include "server/control/placement.h"
#include "server/core/core.h"

namespace om {
namespace {

constexpr size_t kMaxWordBytes = 64;
// Of orders, which may name nodes.
constexpr size_t kMaxOrderBytes = 4096;
constexpr char kAnyPeer[] = "<peer>";

bool IsCarriedOut(absl::string_view value) {
  return IsOneOf(value,
                 {expect_word::kStarted, expect_word::kStopped, expect_word::kShutdown,
                  expect_word::kFrozen, expect_word::kThawed, expect_word::kAborted,
                  expect_word::kProvisioned, expect_word::kUnprovisioned, expect_word::kPurged,
                  expect_word::kDeleted, expect_word::kPlaced, expect_word::kUnset}) ||
         IsPlacedAt(value) || IsRestartOrder(value);
}

bool IsKnown(absl::string_view value) { return IsCarriedOut(value) || value == "scaled"; }

// Slaves, wrappers and scalers have no resources of their own and take only some orders; what is
// configuration only can but be deleted.
bool Ignores(const ObjectState& object, const std::string& node,
             const InstanceMonitorOrder& order) {
  const std::string value = order.global_expect.value_or("");
  if (!object.path.is_service()) {
    return order.global_expect.has_value() &&
           !IsOneOf(value, {expect_word::kDeleted, expect_word::kPurged, expect_word::kAborted,
                            expect_word::kUnset});
  }
  const InstanceState* instance = object.instance(node);
  if (instance == nullptr || instance->status == nullptr || !instance->status->resources.empty()) {
    return false;
  }
  if (order.status.has_value()) return false;
  if (!order.global_expect.has_value()) return order.local_expect.has_value();
  return !IsOneOf(value, {expect_word::kFrozen, expect_word::kThawed, expect_word::kAborted,
                          expect_word::kUnset, expect_word::kDeleted, expect_word::kPurged});
}

// Whether an instance keeps the order from being taken; fills `outcome` if so.
bool IsRefused(const ObjectState& object, OrderOutcome* outcome) {
  const std::string& value = outcome->value;
  if (IsOneOf(value, {expect_word::kFrozen, expect_word::kAborted, expect_word::kProvisioned,
                      expect_word::kUnset})) {
    return false;
  }
  for (const auto& [node, instance] : object.instances) {
    const std::string& status = instance.monitor.status;
    if (status == status_word::kIdle || absl::StrContains(status, "failed") ||
        absl::StrContains(status, "wait")) {
      continue;
    }
    outcome->kind = OrderOutcome::Kind::kInstanceBusy;
    outcome->node = node;
    outcome->state = status;
    return true;
  }
  const Availability avail = object.aggregate.avail.value_or(Availability::kUnknown);
  const bool start = value == expect_word::kStarted;
  const bool stop = value == expect_word::kStopped;
  const bool nothing_to_tell = avail == Availability::kNa || avail == Availability::kUndef;
  if ((start && avail == Availability::kUp) ||
      (stop && (avail == Availability::kDown || avail == Availability::kStdbyDown ||
                avail == Availability::kStdbyUp)) ||
      ((start || stop) && nothing_to_tell)) {
    outcome->kind = OrderOutcome::Kind::kAlreadyInState;
    outcome->state = std::string(AvailabilityName(avail));
    return true;
  }
  return false;
}

// "placed@...": what is wrong with the destinations; turns the literal <peer> into a node.
void CheckDestinations(const Snapshot& snapshot, const ObjectState& object, OrderOutcome* outcome) {
  const ObjectConfig* config = object.config(snapshot.local_node);
  const bool flex = config != nullptr && config->topology == "flex";
  std::vector<std::string> destinations = Destinations(outcome->value);
  if (destinations.empty()) {
    outcome->kind = OrderOutcome::Kind::kEmptyDestination;
    return;
  }
  if (destinations == std::vector<std::string>{kAnyPeer}) {
    if (flex || config == nullptr) {
      outcome->kind = OrderOutcome::Kind::kNoDestination;
      return;
    }
    destinations.clear();
    const std::vector<std::string> peers = PeerNodes(*config, snapshot.local_node);
    for (const std::string& node : Rank(snapshot, object.path, *config, peers)) {
      const InstanceState* instance = object.instance(node);
      if (instance == nullptr || !instance->avail().has_value() ||
          IsOneOf(AvailabilityName(*instance->avail()), {"up", "warn", "n/a"})) {
        continue;
      }
      destinations = {node};
      break;
    }
    if (destinations.empty()) {
      outcome->kind = OrderOutcome::Kind::kNoCandidate;
      return;
    }
    outcome->value = absl::StrCat(expect_word::kPlacedAt, destinations.front());
  }
  if (destinations.size() > 1 && !flex) {
    outcome->kind = OrderOutcome::Kind::kTooManyDestinations;
    return;
  }
  for (const std::string& node : destinations) {
    const InstanceState* instance = object.instance(node);
    outcome->node = node;
    if (instance == nullptr) {
      outcome->kind = OrderOutcome::Kind::kUnknownDestination;
      return;
    }
    // Of several, those that are not up yet remain to be done.
    if (instance->avail() == Availability::kUp && destinations.size() == 1) {
      outcome->kind = OrderOutcome::Kind::kAlreadyAtDestination;
      return;
    }
  }
  outcome->node.clear();
}

OrderOutcome CheckOne(const Snapshot& snapshot, const ObjectPath& path,
                      const InstanceMonitorOrder& order) {
  OrderOutcome outcome;
  outcome.path = path;
  const std::shared_ptr<const ObjectState> object = snapshot.objects.Find(path);
  if (!order.global_expect.has_value()) {
    if (object != nullptr && Ignores(*object, snapshot.local_node, order)) {
      outcome.kind = OrderOutcome::Kind::kIgnored;
    }
    return outcome;
  }
  outcome.value = *order.global_expect;
  if (object == nullptr || object->instances.empty()) {
    outcome.kind = OrderOutcome::Kind::kUnknownService;
    return outcome;
  }
  if (IsRefused(*object, &outcome)) return outcome;
  if (outcome.value == expect_word::kPlaced && !snapshot.compat) {
    outcome.kind = OrderOutcome::Kind::kMixedVersions;
    return outcome;
  }
  if (IsPlacedAt(outcome.value)) CheckDestinations(snapshot, *object, &outcome);
  if (outcome.kind == OrderOutcome::Kind::kAccepted &&
      Ignores(*object, snapshot.local_node, order)) {
    outcome.kind = OrderOutcome::Kind::kIgnored;
  }
  return outcome;
}

void CheckWithSlaves(const Snapshot& snapshot, const ObjectPath& path,
                     const InstanceMonitorOrder& order, std::set<ObjectPath>* seen,
                     std::vector<OrderOutcome>* outcomes) {
  if (!seen->insert(path).second) return;
  outcomes->push_back(CheckOne(snapshot, path, order));
  if (!order.global_expect.has_value()) return;
  const std::shared_ptr<const ObjectState> object = snapshot.objects.Find(path);
  if (object == nullptr) return;
  std::vector<std::string> slaves;
  for (const auto& [node, config] : object->configs) {
    slaves.insert(slaves.end(), config.slaves.begin(), config.slaves.end());
    slaves.insert(slaves.end(), config.scaler_slaves.begin(), config.scaler_slaves.end());
  }
  for (const std::string& slave : slaves) {
    const absl::StatusOr<ObjectPath> slave_path = ObjectPath::ParseRelative(slave, path.ns());
    if (slave_path.ok()) CheckWithSlaves(snapshot, *slave_path, order, seen, outcomes);
  }
}

}  // namespace

std::vector<OrderOutcome> CheckOrder(const Snapshot& snapshot, const InstanceMonitorOrder& order) {
  std::vector<OrderOutcome> outcomes;
  const auto refuse = [&](OrderOutcome::Kind kind, const std::string& value) {
    OrderOutcome outcome;
    outcome.kind = kind;
    outcome.path = order.path;
    outcome.value = value.substr(0, kMaxWordBytes);
    return std::vector<OrderOutcome>{std::move(outcome)};
  };
  if (order.status.has_value() && (order.status->empty() || order.status->size() > kMaxWordBytes)) {
    return refuse(OrderOutcome::Kind::kInvalidValue, *order.status);
  }
  if (order.local_expect.has_value() &&
      !IsOneOf(*order.local_expect,
               {expect_word::kStarted, expect_word::kShutdown, expect_word::kUnset})) {
    return refuse(OrderOutcome::Kind::kInvalidValue, *order.local_expect);
  }
  if (order.stonith.has_value() && order.stonith->size() > kMaxWordBytes) {
    return refuse(OrderOutcome::Kind::kInvalidValue, *order.stonith);
  }
  if (order.global_expect.has_value()) {
    if (!IsKnown(*order.global_expect) || order.global_expect->size() > kMaxOrderBytes) {
      return refuse(OrderOutcome::Kind::kInvalidValue, *order.global_expect);
    }
    if (!IsCarriedOut(*order.global_expect)) {
      return refuse(OrderOutcome::Kind::kUnsupportedValue, *order.global_expect);
    }
  }
  std::set<ObjectPath> seen;
  CheckWithSlaves(snapshot, order.path, order, &seen, &outcomes);
  return outcomes;
}

int OrderAnswer::error_count() const {
  return static_cast<int>(std::count_if(outcomes.begin(), outcomes.end(),
                                        [](const OrderOutcome& one) { return one.is_error(); }));
}

}  // namespace om
