// What the gRPC library itself has to say.
#ifndef OM_SERVER_RPC_GRPC_LOG_H_
#define OM_SERVER_RPC_GRPC_LOG_H_

namespace om {

// From now on gRPC's messages come through glog, as OM-RPC-LIBRARY: anybody can make it complain,
// by handshakes that fail, so a line a second at most; the next one tells how many did not get one.
// Of the whole process; idempotent. THREAD: any.
void TakeOverGrpcLog();

}  // namespace om

#endif  // OM_SERVER_RPC_GRPC_LOG_H_
