#include "server/crm/action_limits.h"

#include <optional>

#include "absl/strings/str_cat.h"

namespace om {
namespace {

// For what surrounds the programs of resources: triggers, the evaluation afterwards.
constexpr Duration kAround = std::chrono::seconds(10);

// Of one resource. nullopt: it says nothing, or nothing that can be understood.
std::optional<Duration> LimitOf(const ObjectSettings& settings, const std::string& rid,
                                absl::string_view action) {
  for (const std::string& keyword : {absl::StrCat(action, "_timeout"), std::string("timeout")}) {
    const absl::StatusOr<std::optional<Duration>> limit = settings.GetDuration(rid, keyword);
    if (limit.ok() && limit->has_value() && **limit > Duration::zero()) return **limit;
  }
  return std::nullopt;
}

}  // namespace

ActionLimits ActionLimitsOf(const ObjectSettings& settings, Duration otherwise) {
  const auto sum = [&](absl::string_view action) {
    Duration declared = Duration::zero();
    bool unlimited = false;
    for (const ResourceSettings& resource : settings.resources) {
      if (resource.disable) continue;
      const std::optional<Duration> limit = LimitOf(settings, resource.rid, action);
      if (limit.has_value()) {
        declared += 2 * *limit;
      } else {
        unlimited = true;
      }
    }
    if (declared == Duration::zero()) return absl::FromChrono(otherwise);
    return absl::FromChrono(declared + settings.lock_timeout + kAround +
                            (unlimited ? otherwise : Duration::zero()));
  };
  ActionLimits limits;
  limits.start = sum("start");
  limits.stop = sum("stop");
  limits.provision = sum("provision");
  limits.unprovision = sum("unprovision");
  limits.run = sum("run");
  return limits;
}

}  // namespace om
