// Services that consist of slices: "0.web", "1.web" ... of the scaler "web". One step a pass, each
// seen from what there is, so that a crash in between loses nothing.
#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/control/object_decision.h"

namespace om {
namespace {

// Slices have the indices below this one.
constexpr int kMaxSlices = 1024;

ObjectPath SlicePath(const ObjectPath& scaler, int index) {
  const absl::StatusOr<ObjectPath> path = ObjectPath::Parse(
      absl::StrCat(scaler.ns(), "/", scaler.kind(), "/", index, ".", scaler.name()));
  return path.ok() ? *path : ObjectPath();
}

std::map<std::string, std::string> Widths(int width) {
  const std::string text = absl::StrCat(width);
  return {{"flex_min", text}, {"flex_max", text}, {"flex_target", text}};
}

}  // namespace

void ObjectDecision::Scale() {
  if (config_.disabled || !config_.error.empty() || !snapshot_.compat || local().frozen() ||
      instance_.frozen() || local().monitor.status == status_word::kRejoin ||
      !IsOneOf(monitor_.status, {status_word::kIdle, status_word::kScaling})) {
    return;
  }
  const std::vector<std::string> ranked =
      Candidates(snapshot_, object_, config_, node_, Relaxations::ForScaler());
  if (ranked.empty() || ranked.front() != node_) {
    SetStatus(status_word::kIdle);
    return;
  }
  if (PeerInTransition() || PeerIs([](const InstanceState& peer) {
        return peer.monitor.status == status_word::kScaling;
      })) {
    return;
  }
  const int width = is_flex() ? static_cast<int>(ranked.size()) : 1;
  int slots = 0;
  int last = -1;  // The highest index in use, and how wide that slice is.
  int last_width = 0;
  int free_index = -1;  // The lowest that is not in use.
  for (int index = 0; index < kMaxSlices; ++index) {
    const auto slice = snapshot_.objects.Find(SlicePath(object_.path, index));
    const ObjectConfig* config = slice == nullptr ? nullptr : slice->config(node_);
    if (config == nullptr || !config->scaler_slave) {
      if (slice == nullptr && free_index < 0) free_index = index;
      continue;
    }
    // One that is still being made or removed is waited for.
    if (view_.busy->count(slice->path) != 0 || AnyInstance(*slice, [](const auto& instance) {
          return !instance.monitor.global_expect.empty() || IsTransition(instance.monitor.status);
        })) {
      return;
    }
    last = index;
    last_width = config->topology == "flex" ? std::min(width, config->flex_target) : 1;
    slots += last_width;
  }
  const int delta = *config_.scale - slots;
  if (delta == 0) {
    SetStatus(status_word::kIdle);
    return;
  }
  if (!may_run_ || (delta > 0 && free_index < 0) || (delta < 0 && last < 0)) return;
  if (monitor_.status == status_word::kIdle) {
    Tell(delta > 0 ? "scale_up" : "scale_down", "", "", {{"delta", delta}});
    SetStatus(status_word::kScaling);
  }
  if (delta > 0) {
    std::map<std::string, std::string> keywords;
    if (is_flex()) keywords = Widths(std::min(width, delta));
    keywords["scaler_slave"] = "true";
    began_ = true;
    actions_->push_back(
        CreateSlice{object_.path, SlicePath(object_.path, free_index), std::move(keywords)});
  } else if (last_width <= -delta) {
    actions_->push_back(GiveOrder{SlicePath(object_.path, last), expect_word::kPurged});
  } else {
    actions_->push_back(ResizeSlice{SlicePath(object_.path, last), Widths(last_width + delta)});
  }
}

}  // namespace om
