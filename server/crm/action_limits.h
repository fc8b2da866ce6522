// How long the resource manager may take over an action on one instance.
#ifndef OM_SERVER_CRM_ACTION_LIMITS_H_
#define OM_SERVER_CRM_ACTION_LIMITS_H_

#include "server/base/clock.h"
#include "server/config/settings.h"
#include "server/state/model.h"

namespace om {

// Sums up what the resources' `<action>_timeout`, or else `timeout`, allow: each twice, as a
// program is told to end at its limit and killed at twice that, plus `lock_timeout` and a moment
// for the evaluation. Resources work one after the other, so their limits add up even where subsets
// are parallel. For all resources without a limit together, `otherwise` is added once; an object
// without any limit has just `otherwise`.
ActionLimits ActionLimitsOf(const ObjectSettings& settings, Duration otherwise);

}  // namespace om

#endif  // OM_SERVER_CRM_ACTION_LIMITS_H_
