// EventService over gRPC.
#ifndef OM_SERVER_RPC_EVENT_BINDING_H_
#define OM_SERVER_RPC_EVENT_BINDING_H_

#include "om/control/v1/event.grpc.pb.h"
#include "server/rpc/call.h"
#include "server/service/event_api.h"

namespace om {

using EventServiceBase = control::v1::EventService::WithRawCallbackMethod_WatchEvents<
    control::v1::EventService::CallbackService>;

class EventBinding final : public EventServiceBase {
 public:
  // `api` is borrowed.
  EventBinding(EventApi* api, const StreamParts& parts) : api_(api), parts_(parts) {}

  // The typed form is never called: the raw one stands in its place.
  using EventServiceBase::WatchEvents;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchEvents(grpc::CallbackServerContext* context,
                                                          const grpc::ByteBuffer* buffer) override;
  grpc::ServerUnaryReactor* WaitFor(grpc::CallbackServerContext* context,
                                    const control::v1::WaitForRequest* request,
                                    control::v1::WaitForResponse* response) override;

 private:
  EventApi* const api_;  // Not owned.
  const StreamParts parts_;
};

}  // namespace om

#endif  // OM_SERVER_RPC_EVENT_BINDING_H_
