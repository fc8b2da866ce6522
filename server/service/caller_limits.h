// The limits on what one caller may ask for, as both doors apply them.
#ifndef OM_SERVER_SERVICE_CALLER_LIMITS_H_
#define OM_SERVER_SERVICE_CALLER_LIMITS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/admission/call_limiter.h"
#include "server/service/caller.h"

namespace om {

// Whom a request is counted against. Empty for root on the local sockets, who is never refused; a
// user, a node with a certificate, the node that passed a call on; and the address of everybody
// else, of packets too, since the name in them is only a claim (IPv6: its /64).
std::string LimitKeyOf(const Caller& caller);

// OK if `caller` may make a call now; else RESOURCE_EXHAUSTED, reason TOO_MANY_CALLS, with when to
// try again. `limiter` may be null. THREAD: any.
absl::Status TakeCall(CallLimiter* limiter, const Caller& caller);
// The same for who is only known by his address, as gRPC or the packet door writes it: he shares
// what guests from there have. The local socket counts as one address.
absl::Status TakeCallOfAddress(CallLimiter* limiter, const std::string& address);
// The place of one more stream; RESOURCE_EXHAUSTED, reason TOO_MANY_STREAMS.
absl::StatusOr<CallLimiter::Slot> TakeStream(CallLimiter* limiter, const Caller& caller);

}  // namespace om

#endif  // OM_SERVER_SERVICE_CALLER_LIMITS_H_
