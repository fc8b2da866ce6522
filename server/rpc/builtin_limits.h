// Limits on the calls that gRPC's own services answer: health and reflection.
#ifndef OM_SERVER_RPC_BUILTIN_LIMITS_H_
#define OM_SERVER_RPC_BUILTIN_LIMITS_H_

#include "grpcpp/server_builder.h"
#include "server/admission/call_limiter.h"

namespace om {

// Counts calls of grpc.health.v1 and grpc.reflection over TCP against the address they come from,
// where guests' calls count, too: gRPC asks for no caller there. Over the limit a health check is
// answered RESOURCE_EXHAUSTED, reason TOO_MANY_CALLS, with when to try again; streams are cancelled
// before they have told anything, which their clients see as CANCELLED. The local sockets are not
// limited. Other services are left alone. `limiter` is borrowed, outlives the server, and may be
// null: no limits. Call at most once for a builder.
void LimitBuiltinServices(grpc::ServerBuilder* builder, CallLimiter* limiter);

}  // namespace om

#endif  // OM_SERVER_RPC_BUILTIN_LIMITS_H_
