#include "client/omctl/order_words.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/omctl/render.h"

namespace om {

using namespace om::control::v1;  // NOLINT: most names here are messages.

const ObjectStatus* FindObject(const google::protobuf::RepeatedPtrField<ObjectStatus>& objects,
                               const std::string& path) {
  for (const ObjectStatus& object : objects) {
    if (object.path() == path) return &object;
  }
  return nullptr;
}

namespace {

bool IsStopped(ResourceState state) {
  switch (state) {
    case RESOURCE_STATE_DOWN:
    case RESOURCE_STATE_NOT_APPLICABLE:
    case RESOURCE_STATE_STANDBY_UP:
    case RESOURCE_STATE_STANDBY_DOWN:
    case RESOURCE_STATE_UNKNOWN:
      return true;
    default:
      return false;
  }
}

const OrderWord kOrders[] = {
    {"start", "started", "Orders the service to be up", "start failed",
     [](const ObjectStatus& object) {
       return object.avail() == RESOURCE_STATE_UP ||
              object.avail() == RESOURCE_STATE_NOT_APPLICABLE;
     }},
    {"stop", "stopped", "Orders the service to be down, and frozen", "stop failed",
     [](const ObjectStatus& object) { return IsStopped(object.avail()); }},
    {"freeze", "frozen", "Holds automatic actions back", "freeze failed",
     [](const ObjectStatus& object) { return object.frozen() == FROZEN_STATE_FROZEN; }},
    {"thaw", "thawed", "Lets automatic actions happen again", "thaw failed",
     [](const ObjectStatus& object) { return object.frozen() == FROZEN_STATE_THAWED; }},
    {"abort", "aborted", "Ends the order in progress", nullptr,
     [](const ObjectStatus&) { return true; }},
    {"shutdown", "shutdown", "Orders it to be down, standby resources included", "shutdown failed",
     nullptr},
    {"restart", "restarted", "Orders its instances to be restarted, one after the other",
     "restart failed", nullptr},
    {"provision", "provisioned", "Orders its resources to be made", "provision failed", nullptr},
    {"unprovision", "unprovisioned", "Orders it to be down and its resources to be unmade",
     "unprovision failed", nullptr},
    {"delete", "deleted", "Orders its configuration to be removed", "delete failed", nullptr},
    {"purge", "purged", "Orders it to be unprovisioned, then deleted", "purge failed", nullptr},
    {"giveback", "placed", "Orders it to run where its placement policy wants it", "place failed",
     nullptr},
    {"move", "placed@", "Orders it to run on the nodes of --to", "place failed", nullptr},
    {"switch", "placed@<peer>", "Orders it to run on another node, the best one", "place failed",
     nullptr},
};

}  // namespace

const std::vector<OrderWord>& OrderWords() {
  static const auto* words = new std::vector<OrderWord>(std::begin(kOrders), std::end(kOrders));
  return *words;
}

bool OrderListener::OnMessage(const WatchStatusResponse& message) {
  if (message.has_state()) {
    if (const ObjectStatus* found = FindObject(message.state().objects(), path_)) object_ = *found;
    return true;
  }
  if (message.has_state_end()) {
    whole_ = true;
  } else if (message.has_change()) {
    if (const ObjectStatus* found = FindObject(message.change().objects(), path_)) {
      object_ = *found;
    }
    const auto& removed = message.change().removed_object_paths();
    if (std::find(removed.begin(), removed.end(), path_) != removed.end()) object_.reset();
  }
  if (!whole_) return true;
  if (!object_.has_value()) {
    verdict_ = absl::NotFoundError(absl::StrCat("service ", path_, " is not known any more"));
    return false;
  }
  bool ordered = false;
  for (const InstanceStatus& instance : object_->instances()) {
    ordered = ordered || !instance.monitor().global_expect().empty();
  }
  if (ordered) return true;
  // The order has gone: it was fulfilled, or it was given up.
  if (order_.reached != nullptr && !order_.reached(*object_)) {
    verdict_ = absl::AbortedError(absl::StrCat("the order '", order_.word, "' for ", path_,
                                               " ended without being fulfilled", Knowledge()));
  }
  return false;
}

void OrderListener::OnGap(const absl::Status&) {
  whole_ = false;
  object_.reset();
}

std::string OrderListener::Knowledge() const {
  if (!object_.has_value()) return "";
  std::string text = absl::StrCat(": avail ", StateText(object_->avail()));
  for (const InstanceStatus& instance : object_->instances()) {
    absl::StrAppend(&text, "; ", instance.node(), " ", StateText(instance.avail()), ", ",
                    instance.monitor().status());
    for (const ResourceStatus& resource : instance.resources()) {
      for (const std::string& line : resource.log()) {
        absl::StrAppend(&text, "\n  ", resource.id(), ": ", line);
      }
    }
  }
  for (const InstanceStatus& instance : object_->instances()) {
    if (order_.failed_status != nullptr && instance.monitor().status() == order_.failed_status) {
      absl::StrAppend(&text, "\n  hint: the log of the service on ", instance.node(),
                      " tells why; 'omctl ", path_, " clear' ends the failed state");
      break;
    }
  }
  return text;
}

}  // namespace om
