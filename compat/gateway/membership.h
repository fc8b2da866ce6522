// The packet actions of joining and leaving nodes.
#ifndef OM_COMPAT_GATEWAY_MEMBERSHIP_H_
#define OM_COMPAT_GATEWAY_MEMBERSHIP_H_

#include <functional>

#include "server/base/json.h"
#include "server/service/membership_api.h"

namespace om {

// Turns `join` and `leave` into requests of MembershipApi, and its answers into the replies that
// old agents read. The sender's name is the node: neither action has options. THREAD: any; `done`
// is called once, from any thread.
void LegacyJoin(MembershipApi* api, const Caller& caller, const std::function<void(Json)>& done);
void LegacyLeave(MembershipApi* api, const Caller& caller, const std::function<void(Json)>& done);

}  // namespace om

#endif  // OM_COMPAT_GATEWAY_MEMBERSHIP_H_
