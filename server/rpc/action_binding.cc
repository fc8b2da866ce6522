#include "server/rpc/action_binding.h"

#include <memory>
#include <utility>

#include "server/rpc/grpc_status.h"

namespace om {
namespace {

namespace pb = control::v1;

// How long the owner of a command may leave a message untaken. A dead one is found by keepalive
// long before.
constexpr std::chrono::minutes kOwnerPatience{10};

}  // namespace

ActionBinding::Unary* ActionBinding::RunAction(Context* context,
                                               const pb::RunActionRequest* request,
                                               pb::RunActionResponse* response) {
  return Ask(api_, &ActionApi::RunAction, context, parts_.calls, request, response);
}

ActionBinding::Stream* ActionBinding::StreamAction(Context* context,
                                                   const grpc::ByteBuffer* buffer) {
  return OpenStream<pb::StreamActionRequest>(parts_,
                                             {parts_.options.heartbeat_interval, kOwnerPatience},
                                             api_, &ActionApi::StreamAction, context, buffer);
}

ActionBinding::Stream* ActionBinding::AttachAction(Context* context,
                                                   const grpc::ByteBuffer* buffer) {
  return OpenStream<pb::AttachActionRequest>(parts_, parts_.options, api_, &ActionApi::AttachAction,
                                             context, buffer);
}

ActionBinding::Unary* ActionBinding::GetAction(Context* context,
                                               const pb::GetActionRequest* request,
                                               pb::GetActionResponse* response) {
  return Answer(api_, &ActionApi::GetAction, context, parts_.calls, request, response);
}

ActionBinding::Unary* ActionBinding::ListActions(Context* context,
                                                 const pb::ListActionsRequest* request,
                                                 pb::ListActionsResponse* response) {
  return Answer(api_, &ActionApi::ListActions, context, parts_.calls, request, response);
}

ActionBinding::Unary* ActionBinding::KillAction(Context* context,
                                                const pb::KillActionRequest* request,
                                                pb::KillActionResponse* response) {
  return Ask(api_, &ActionApi::KillAction, context, parts_.calls, request, response);
}

ActionBinding::Unary* ActionBinding::CreateObjects(Context* context,
                                                   const pb::CreateObjectsRequest* request,
                                                   pb::CreateObjectsResponse* response) {
  return Ask(api_, &ActionApi::CreateObjects, context, parts_.calls, request, response);
}

}  // namespace om
