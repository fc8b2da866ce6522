// Writes the daemon's log messages to <log>/node.log.
#ifndef OM_SERVER_LOGS_LOG_FILE_SINK_H_
#define OM_SERVER_LOGS_LOG_FILE_SINK_H_

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <deque>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "glog/logging.h"
#include "server/base/clock.h"
#include "server/base/counters.h"
#include "server/base/file.h"
#include "server/base/mutex.h"
#include "server/logs/secret_mask.h"

namespace om {

// Takes every message logged through glog, and writes it on a thread of its own, so that nobody
// waits for the disk. The queue is bounded in messages and bytes: past that messages are dropped,
// counted, and the gap is told in the log, at its place, once there is room again.
//
// A file that was renamed or removed is noticed before the next line, at most once in
// `check_interval`, and made anew. A line that cannot be written (disk full, no directory) is
// counted and tried again until it can.
//
// Time in lines and the age of a check come from the injected clock; waits are real ones, since
// condition variables know no other. THREAD: any, unless said otherwise.
class LogFileSink final : public google::LogSink {
 public:
  struct Options {
    std::string path;       // <log>/node.log. Its directory must exist.
    std::string node_name;  // As it stands in every line.
    mode_t mode = 0640;     // Of a file that is made.
    size_t max_messages = 4096;
    size_t max_bytes = 8 << 20;
    std::chrono::milliseconds check_interval{1'000};
    std::chrono::milliseconds retry_interval{1'000};  // After a write that failed.
    std::chrono::milliseconds stop_timeout{2'000};    // For what is queued when it stops.
    absl::TimeZone time_zone = absl::LocalTimeZone();
  };

  // `mask`, `clock` and `counters` are borrowed and must outlive this object. Counters: log.lines,
  // log.dropped, log.write_errors.
  LogFileSink(Options options, const SecretMask* mask, const Clock* clock, Counters* counters);
  ~LogFileSink() override;  // Stop().

  // Opens the file, starts the thread and registers with glog. Once. If the file cannot be opened
  // that is returned, for the operator to see at once, but the sink works and goes on trying.
  absl::Status Start();
  // Takes no more messages, writes what is queued, within `stop_timeout`, and ends. Idempotent.
  void Stop();

  // Opens the file again before the next line: what SIGHUP asks for. Makes it if it is not there.
  void Reopen() EXCLUDES(mutex_);
  // Waits until all that was logged before is written; false if it is not within `timeout`.
  bool Flush(std::chrono::milliseconds timeout) EXCLUDES(mutex_);

  // Of google::LogSink; must not be called by others.
  using google::LogSink::send;
  void send(google::LogSeverity severity, const char* full_filename, const char* base_filename,
            int line, const google::LogMessageTime& time, const char* message,
            size_t message_len) override EXCLUDES(mutex_);
  // A message that ends the process is waited for, for a second.
  void WaitTillSent() override;

 private:
  struct Message {
    absl::Time time;
    google::LogSeverity severity = google::GLOG_INFO;
    std::string component;
    std::string text;
    int64_t dropped_before = 0;  // Messages lost just before this one.
  };

  void Run() EXCLUDES(mutex_);
  // Writes the lines of one message, trying until it works or the sink has to end.
  void Write(const Message& message) EXCLUDES(mutex_);
  void WriteLine(absl::string_view line) EXCLUDES(mutex_);
  // Opens the file if there is none open, or it is not the one at `path` any more.
  bool EnsureOpen() EXCLUDES(mutex_);
  bool OpenFile();
  // Waits before another try. False if the sink has to end.
  bool WaitToRetry() EXCLUDES(mutex_);

  const Options options_;
  const SecretMask* const mask_;  // Not owned.
  const Clock* const clock_;      // Not owned.
  Counter* const lines_;
  Counter* const dropped_;
  Counter* const write_errors_;

  // On the writer's thread only (and in Start(), before there is one).
  UniqueFd file_;
  MonotonicTime last_check_ = MonotonicTime::min();

  mutable Mutex mutex_;
  CondVar wake_;     // For the writer: work, or the end.
  CondVar written_;  // For Flush().
  std::deque<Message> queue_ GUARDED_BY(mutex_);
  size_t queued_bytes_ GUARDED_BY(mutex_) = 0;
  int64_t dropped_at_end_ GUARDED_BY(mutex_) = 0;  // Messages lost since the last in the queue.
  uint64_t taken_count_ GUARDED_BY(mutex_) = 0;    // Messages ever queued.
  uint64_t done_count_ GUARDED_BY(mutex_) = 0;     // Of these, written.
  bool reopen_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::chrono::steady_clock::time_point stop_deadline_ GUARDED_BY(mutex_);
  bool registered_ = false;
  std::thread thread_;
};

}  // namespace om

#endif  // OM_SERVER_LOGS_LOG_FILE_SINK_H_
