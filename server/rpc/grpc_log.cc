#include "server/rpc/grpc_log.h"

#include <grpc/support/log.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace om {
namespace {

std::atomic<int64_t> last_second{std::numeric_limits<int64_t>::min()};
std::atomic<int64_t> unsaid_messages{0};

void OnGrpcMessage(gpr_log_func_args* args) {
  if (args->severity != GPR_LOG_SEVERITY_ERROR) {
    // Somebody has asked for them, with GRPC_VERBOSITY.
    LOG(INFO) << "gRPC: " << args->message;
    return;
  }
  const int64_t second = std::chrono::duration_cast<std::chrono::seconds>(
                             std::chrono::steady_clock::now().time_since_epoch())
                             .count();
  if (last_second.exchange(second) == second) {
    ++unsaid_messages;
    return;
  }
  const int64_t unsaid = unsaid_messages.exchange(0);
  LOG(WARNING) << "OM-RPC-LIBRARY " << args->message
               << (unsaid > 0 ? absl::StrCat(" (and ", unsaid, " more not told)") : "");
}

}  // namespace

void TakeOverGrpcLog() { gpr_set_log_function(OnGrpcMessage); }

}  // namespace om
