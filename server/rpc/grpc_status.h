// From our errors to what gRPC clients get.
#ifndef OM_SERVER_RPC_GRPC_STATUS_H_
#define OM_SERVER_RPC_GRPC_STATUS_H_

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace om {

// Canonical code, message, and a google.rpc.Status in `grpc-status-details-bin` with ErrorInfo (the
// reason, domain `om`, a hint), RetryInfo and BadRequest as far as `status` tells. Message and
// details together stay below 4 KiB: clients take 8 KiB of metadata, and a status that does not fit
// would arrive as another error. Pure.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace om

#endif  // OM_SERVER_RPC_GRPC_STATUS_H_
