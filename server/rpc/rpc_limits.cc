#include "server/rpc/rpc_limits.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "grpcpp/resource_quota.h"
#include "server/base/status.h"

namespace om {
namespace {

constexpr int64_t kSecond = 1000;  // Milliseconds.
constexpr int64_t kHour = 3600 * kSecond;

absl::Status CheckRange(absl::string_view name, int64_t value, int64_t low, int64_t high,
                        absl::string_view unit) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("RpcLimits.", name, " is ", value, ", expected ", low, " to ", high, " ", unit));
}

}  // namespace

absl::Status RpcLimits::Validate() const {
  RETURN_IF_ERROR(CheckRange("max_message_bytes", max_message_bytes, 64 << 10, 64 << 20, "bytes"));
  RETURN_IF_ERROR(
      CheckRange("max_streams_per_connection", max_streams_per_connection, 1, 10'000, "streams"));
  RETURN_IF_ERROR(CheckRange("max_metadata_bytes", max_metadata_bytes, 1 << 10, 64 << 10, "bytes"));
  RETURN_IF_ERROR(CheckRange("buffer_bytes", buffer_bytes, 16 << 20, int64_t{1} << 40, "bytes"));
  RETURN_IF_ERROR(
      CheckRange("keepalive_interval", keepalive_interval.count(), kSecond, 2 * kHour, "ms"));
  RETURN_IF_ERROR(
      CheckRange("keepalive_timeout", keepalive_timeout.count(), kSecond, 600 * kSecond, "ms"));
  RETURN_IF_ERROR(CheckRange("min_client_ping_interval", min_client_ping_interval.count(), kSecond,
                             kHour, "ms"));
  RETURN_IF_ERROR(CheckRange("max_ping_strikes", max_ping_strikes, 1, 100, "pings"));
  RETURN_IF_ERROR(
      CheckRange("handshake_timeout", handshake_timeout.count(), 50, 120 * kSecond, "ms"));
  return CheckRange("idle_timeout", idle_timeout.count(), kSecond, 24 * kHour, "ms");
}

void ConfigureServerBuilder(grpc::ServerBuilder* builder, const RpcLimits& limits) {
  DCHECK(limits.Validate().ok()) << limits.Validate();
  const auto set = [builder](const char* name, int64_t value) {
    builder->AddChannelArgument(name, static_cast<int>(value));
  };
  builder->SetMaxReceiveMessageSize(limits.max_message_bytes);
  builder->SetMaxSendMessageSize(limits.max_message_bytes);
  set(GRPC_ARG_MAX_CONCURRENT_STREAMS, limits.max_streams_per_connection);
  set(GRPC_ARG_MAX_METADATA_SIZE, limits.max_metadata_bytes);
  set(GRPC_ARG_KEEPALIVE_TIME_MS, limits.keepalive_interval.count());
  set(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, limits.keepalive_timeout.count());
  set(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Without this gRPC stops asking on a connection whose client only listens, such as a watcher.
  set(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  set(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
      limits.min_client_ping_interval.count());
  set(GRPC_ARG_HTTP2_MAX_PING_STRIKES, limits.max_ping_strikes);
  set(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, limits.handshake_timeout.count());
  set(GRPC_ARG_MAX_CONNECTION_IDLE_MS, limits.idle_timeout.count());
  grpc::ResourceQuota quota("om-rpc");
  quota.Resize(static_cast<size_t>(limits.buffer_bytes));
  builder->SetResourceQuota(quota);
}

}  // namespace om
