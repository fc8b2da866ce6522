#include "server/rpc/log_binding.h"

namespace om {

grpc::ServerWriteReactor<grpc::ByteBuffer>* LogBinding::ReadLog(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* buffer) {
  return OpenStream<control::v1::ReadLogRequest>(parts_, parts_.options, api_, &LogApi::ReadLog,
                                                 context, buffer);
}

}  // namespace om
