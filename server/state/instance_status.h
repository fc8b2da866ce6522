// Reads the instance documents of the resource manager.
#ifndef OM_SERVER_STATE_INSTANCE_STATUS_H_
#define OM_SERVER_STATE_INSTANCE_STATUS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "server/base/json.h"
#include "server/state/model.h"

namespace om {

// `document` as a status; keys that are missing keep their defaults, keys that are unknown stay in
// `document`. INVALID_ARGUMENT names the key whose value is of the wrong type. Pure. THREAD: any.
absl::StatusOr<std::shared_ptr<const InstanceStatus>> ParseInstanceStatus(Json document);

}  // namespace om

#endif  // OM_SERVER_STATE_INSTANCE_STATUS_H_
