// Commands of the resource manager over gRPC.
#ifndef OM_SERVER_RPC_ACTION_BINDING_H_
#define OM_SERVER_RPC_ACTION_BINDING_H_

#include "grpcpp/grpcpp.h"
#include "om/control/v1/action.grpc.pb.h"
#include "server/rpc/call.h"
#include "server/service/action_api.h"

namespace om {

using ActionServiceBase = control::v1::ActionService::WithRawCallbackMethod_StreamAction<
    control::v1::ActionService::WithRawCallbackMethod_AttachAction<
        control::v1::ActionService::CallbackService>>;

// THREAD: any; handlers never block.
class ActionBinding final : public ActionServiceBase {
 public:
  // `api` is borrowed. A reader of its own command may take its time: it holds up nothing but that.
  // Other streams are cut off after the write timeout of `parts`.
  ActionBinding(ActionApi* api, const StreamParts& parts) : api_(api), parts_(parts) {}

  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;
  using Stream = grpc::ServerWriteReactor<grpc::ByteBuffer>;

  // The typed forms are never called: the raw ones stand in their place.
  using ActionServiceBase::AttachAction;
  using ActionServiceBase::StreamAction;

  Unary* RunAction(Context* context, const control::v1::RunActionRequest* request,
                   control::v1::RunActionResponse* response) override;
  Stream* StreamAction(Context* context, const grpc::ByteBuffer* buffer) override;
  Stream* AttachAction(Context* context, const grpc::ByteBuffer* buffer) override;
  Unary* GetAction(Context* context, const control::v1::GetActionRequest* request,
                   control::v1::GetActionResponse* response) override;
  Unary* ListActions(Context* context, const control::v1::ListActionsRequest* request,
                     control::v1::ListActionsResponse* response) override;
  Unary* KillAction(Context* context, const control::v1::KillActionRequest* request,
                    control::v1::KillActionResponse* response) override;
  Unary* CreateObjects(Context* context, const control::v1::CreateObjectsRequest* request,
                       control::v1::CreateObjectsResponse* response) override;

 private:
  ActionApi* const api_;  // Not owned.
  const StreamParts parts_;
};

}  // namespace om

#endif  // OM_SERVER_RPC_ACTION_BINDING_H_
