// LogService over gRPC.
#ifndef OM_SERVER_RPC_LOG_BINDING_H_
#define OM_SERVER_RPC_LOG_BINDING_H_

#include "om/control/v1/log.grpc.pb.h"
#include "server/rpc/call.h"
#include "server/service/log_api.h"

namespace om {

using LogServiceBase = control::v1::LogService::WithRawCallbackMethod_ReadLog<
    control::v1::LogService::CallbackService>;

class LogBinding final : public LogServiceBase {
 public:
  // `api` is borrowed.
  LogBinding(LogApi* api, const StreamParts& parts) : api_(api), parts_(parts) {}

  // The typed form is never called: the raw one stands in its place.
  using LogServiceBase::ReadLog;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* ReadLog(grpc::CallbackServerContext* context,
                                                      const grpc::ByteBuffer* buffer) override;

 private:
  LogApi* const api_;  // Not owned.
  const StreamParts parts_;
};

}  // namespace om

#endif  // OM_SERVER_RPC_LOG_BINDING_H_
