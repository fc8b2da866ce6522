// Logs asked for by packet: backlogs, followers, and the parsed lists of 2.x.
#ifndef OM_COMPAT_GATEWAY_LOGS_H_
#define OM_COMPAT_GATEWAY_LOGS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "compat/gateway/legacy_stream.h"
#include "compat/wire/request.h"
#include "server/service/log_api.h"

namespace om {

// THREAD: any.
class LegacyLogs {
 public:
  // Text in one message of a backlog, as legacy daemons cut it.
  static constexpr size_t kBatchBytes = size_t{1} << 20;
  // Most that the lists of 2.x, which are one reply, are made from: the end of the log.
  static constexpr uint64_t kMaxListBytes = uint64_t{4} << 20;

  using Done = std::function<void(Json)>;
  // A stream, or the refusal to send instead.
  struct Answer {
    Json refusal;
    std::unique_ptr<LegacyStream> stream;  // Null: `refusal` is the reply.
  };

  // Both are borrowed.
  LegacyLogs(const ServiceContext* context, LogApi* logs) : context_(context), logs_(logs) {}

  // service_logs (`of_object`) and node_logs: a backlog that ends, or, from the end of the log on,
  // what is written. Lines as they are; entries for 2.x, which asks without a backlog.
  Answer Stream(const LegacyRequest& request, const Caller& caller, bool of_object);
  // object_backlogs and node_backlogs: a list of entries.
  void List(const LegacyRequest& request, const Caller& caller, bool of_object, const Done& done);

 private:
  absl::StatusOr<std::shared_ptr<LogStream>> Open(const Caller& caller, const std::string& path,
                                                  std::optional<int64_t> backlog, bool raw,
                                                  bool listed);

  const ServiceContext* const context_;  // Not owned.
  LogApi* const logs_;                   // Not owned.
};

// The option `backlog` in bytes: nullopt if it is not set, 0 to follow, below 0 for the whole file.
// Texts may have a unit of 1024 (`k`, `M` ..., any case), or with an `i` of 1000. INVALID_ARGUMENT
// for what is no size. Pure.
absl::StatusOr<std::optional<int64_t>> BacklogOption(const Json& options);

// The list of 2.x: an object for each entry, with the lines that go on with it. Pure.
void AppendLegacyEntry(const control::v1::LogEntry& entry, Json* list);

}  // namespace om

#endif  // OM_COMPAT_GATEWAY_LOGS_H_
