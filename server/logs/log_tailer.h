// Reads logs for any number of readers at once, each at its own pace, and follows them as they
// grow.
#ifndef OM_SERVER_LOGS_LOG_TAILER_H_
#define OM_SERVER_LOGS_LOG_TAILER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/counters.h"
#include "server/base/loop.h"
#include "server/logs/log_reader.h"

namespace om {

// What to read, and from where.
struct LogTailRequest {
  enum class Start { kLastBytes, kLastLines, kWholeFile, kEnd, kCursor };
  std::string path;
  Start start = Start::kLastBytes;
  uint64_t amount = 10'240;  // Of kLastBytes and kLastLines.
  LogCursor cursor;          // Of kCursor.
  bool follow = false;       // Else it is over at the end of the log. A log may then appear later.
};

// A piece of a log.
struct LogTailItem {
  std::string text;        // Whole lines, each with its newline; see `mid_line`.
  bool mid_line = false;   // `text` ends within a line that is longer than a chunk.
  bool gap = false;        // Something before `text` was lost: files went before they were read.
  bool caught_up = false;  // What was there at the start has been given. Of followers.
  LogCursor cursor;        // After `text`.
};

// One reader's end. The file is its buffer: while what was read is not taken, nothing more is read.
// THREAD: any, one call at a time. Destroying it ends the reading.
class LogTail {
 public:
  virtual ~LogTail() = default;
  // The next piece; nullopt: none for now. An error ends it.
  virtual absl::StatusOr<std::optional<LogTailItem>> Next() = 0;
  // Everything has been given. Never of a follower.
  virtual bool over() const = 0;
  // Is called on the tailer's loop when there is something new, and must only set something in
  // motion; it may still run once while it is being replaced.
  virtual void SetWake(std::function<void()> wake) = 0;
  // Has the wake called on the loop, for a taker that pauses though there is more.
  virtual void WakeLater() = 0;
};

// The readers of a node. Files are read on one loop, a chunk of one reader at a time, so that none
// waits long for another; files that are followed are looked at once an interval, however many
// follow them.
//
// THREAD: any. Counters: logs.readers, logs.readers_refused, logs.gaps.
class LogTailer {
 public:
  struct Options {
    std::chrono::milliseconds poll_interval{100};
    size_t chunk_bytes = 64 << 10;
    size_t max_waiting_bytes = 256 << 10;  // A reader that has as much to take is not read for.
    int max_readers = 1024;
  };
  // All borrowed. `loop` may block on disk, so it is no loop that others wait for. Readers that are
  // left when the loop ends get nothing any more.
  LogTailer(Loop* loop, const Clock* clock, Counters* counters, const Options& options);
  ~LogTailer();  // With the loop at rest, or on it.

  // RESOURCE_EXHAUSTED, reason TOO_MANY_READERS, at the cap. That the log cannot be opened is told
  // by the first Next(): NOT_FOUND, reason LOG_NOT_FOUND, if it is not there.
  absl::StatusOr<std::shared_ptr<LogTail>> Open(LogTailRequest request);

 private:
  class Impl;
  class End;
  std::shared_ptr<Impl> impl_;
};

}  // namespace om

#endif  // OM_SERVER_LOGS_LOG_TAILER_H_
