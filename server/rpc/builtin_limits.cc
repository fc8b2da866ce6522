#include "server/rpc/builtin_limits.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "grpcpp/support/server_interceptor.h"
#include "server/rpc/grpc_status.h"
#include "server/service/caller_limits.h"

namespace om {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

// Of one call.
class BuiltinCall final : public grpc::experimental::Interceptor {
 public:
  BuiltinCall(ServerRpcInfo* info, CallLimiter* limiter) : info_(info), limiter_(limiter) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      grpc::ServerContextBase* const context = info_->server_context();
      const std::string peer = context->peer();
      if (!absl::StartsWith(peer, "unix:")) taken_ = TakeCallOfAddress(limiter_, peer);
      if (!taken_.ok() && info_->type() != ServerRpcInfo::Type::UNARY) context->TryCancel();
    }
    if (!taken_.ok() &&
        methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      methods->ModifySendStatus(ToGrpcStatus(taken_));
    }
    methods->Proceed();
  }

 private:
  ServerRpcInfo* const info_;   // Not owned.
  CallLimiter* const limiter_;  // Not owned.
  absl::Status taken_;          // Set before anything is sent; the hooks of a call follow it.
};

class BuiltinCalls final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit BuiltinCalls(CallLimiter* limiter) : limiter_(limiter) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    const absl::string_view method = info->method();
    // gRPC takes null for "none", and owns what it is given.
    if (!absl::StartsWith(method, "/grpc.")) return nullptr;
    return new BuiltinCall(info, limiter_);
  }

 private:
  CallLimiter* const limiter_;  // Not owned.
};

}  // namespace

void LimitBuiltinServices(grpc::ServerBuilder* builder, CallLimiter* limiter) {
  if (limiter == nullptr) return;
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> creators;
  creators.push_back(std::make_unique<BuiltinCalls>(limiter));
  builder->experimental().SetInterceptorCreators(std::move(creators));
}

}  // namespace om
