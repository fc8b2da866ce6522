// Logs of instances and of the node: what LogService of the API means, without any transport.
#ifndef OM_SERVER_SERVICE_LOG_API_H_
#define OM_SERVER_SERVICE_LOG_API_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "om/control/v1/log.pb.h"
#include "server/logs/log_entry.h"
#include "server/logs/log_tailer.h"
#include "server/service/context.h"
#include "server/service/stream_source.h"

namespace om {

// One log on its way to one client. Holds a bounded piece of it: while that is not taken nothing
// more is read. Not thread-safe: the stream calls it from one callback at a time.
class LogStream final : public StreamSource {
 public:
  struct Options {
    std::string node;
    LogOrigin origin;
    LogFilter filter;
    bool raw = false;
    absl::TimeZone zone;
  };
  LogStream(std::shared_ptr<LogTail> tail, Options options);

  // The next message; nullopt: none for now, and `wake` follows when there may be. A filter that
  // lets nothing through pauses between pieces of the log. An error ends it, as the proto says.
  absl::StatusOr<std::optional<control::v1::ReadLogResponse>> NextMessage();
  // Has `wake` called when there may be another one; it must only set something in motion.
  void SetWake(std::function<void()> wake) { tail_->SetWake(std::move(wake)); }

  absl::StatusOr<Bytes> Next() override;
  // Where the stream is: filters may have let nothing through for long.
  Bytes HeartbeatMessage() const override;
  bool over() const override { return tail_->over(); }

 private:
  void AddEntries(const LogTailItem& item, control::v1::ReadLogResponse* message);

  const std::shared_ptr<LogTail> tail_;
  const Options options_;
  LogLineFilter filter_;
  LogCursor cursor_;      // After what was taken last.
  bool in_line_ = false;  // The next text goes on the line before.
};

// THREAD: any. Errors are those the proto names.
class LogApi {
 public:
  // Both are borrowed.
  LogApi(const ServiceContext* context, LogTailer* tailer) : context_(context), tailer_(tailer) {}

  absl::StatusOr<std::shared_ptr<LogStream>> ReadLog(const Caller& caller,
                                                     const control::v1::ReadLogRequest& request);

 private:
  const ServiceContext* const context_;  // Not owned.
  LogTailer* const tailer_;              // Not owned.
};

}  // namespace om

#endif  // OM_SERVER_SERVICE_LOG_API_H_
