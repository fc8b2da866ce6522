// Reads a log file that others write, rotate, truncate and make anew: no line lost, none twice.
#ifndef OM_SERVER_LOGS_LOG_READER_H_
#define OM_SERVER_LOGS_LOG_READER_H_

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/base/clock.h"
#include "server/base/file.h"

namespace om {

// How far one file of a log has been read. The first bytes tell a file from another one that got
// its inode later, or that was truncated and written anew.
struct LogPosition {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t offset_bytes = 0;
  uint64_t head_bytes = 0;  // How many of the first bytes `head_hash` covers.
  uint64_t head_hash = 0;   // FNV-1a.
  int64_t mtime_ns = 0;     // Of the file when it was last read: what is newer was not.
  bool operator==(const LogPosition&) const = default;
};

// Where a reader is: usually in one file; in several while writers leave a rotated one. As text it
// is opaque to clients, and holds across restarts of the daemon.
struct LogCursor {
  std::vector<LogPosition> positions;  // Oldest file first.
  std::vector<LogPosition> left;       // Files that were read to their end, the last few.
  bool operator==(const LogCursor&) const = default;

  std::string ToText() const;
  // INVALID_ARGUMENT, reason BAD_CURSOR.
  static absl::StatusOr<LogCursor> Parse(absl::string_view text);
};

// One reader of one log. Blocks on disk, so it belongs on a worker; one call at a time.
//
// Rotated files are looked for beside the log: `<path>.1`, `<path>-20261122` and the like. A file
// that was renamed is read on for `linger` after it last grew, since its writers notice only then.
// Compressed ones are not read: what was only there is a gap.
class LogReader {
 public:
  struct Options {
    std::string path;
    std::chrono::milliseconds linger{10'000};
    size_t max_segments = 8;  // Files read at once; the oldest is left when there are more.
  };
  struct Chunk {
    // Whole lines as they stand in the file, each with its newline (added to a last one that will
    // never get it). Empty: nothing new for now.
    std::string text;
    // The text ends within a line that is longer than was asked for.
    bool mid_line = false;
    // Something between the last chunk and this one is lost: files went away before they were read.
    bool gap = false;
    // More can be read at once.
    bool more = false;
  };

  // `clock` is borrowed. NOT_FOUND, reason LOG_NOT_FOUND, from FromEnd and the backlogs if there is
  // no file and `may_appear` is false; else it is read from its start once it is there.
  static absl::StatusOr<std::unique_ptr<LogReader>> FromStart(Options options, const Clock* clock,
                                                              bool may_appear);
  static absl::StatusOr<std::unique_ptr<LogReader>> FromEnd(Options options, const Clock* clock,
                                                            bool may_appear);
  // The last `bytes` of the file; a line that begins before them is left out.
  static absl::StatusOr<std::unique_ptr<LogReader>> FromLastBytes(Options options,
                                                                  const Clock* clock,
                                                                  uint64_t bytes, bool may_appear);
  // The last `lines` lines of the file.
  static absl::StatusOr<std::unique_ptr<LogReader>> FromLastLines(Options options,
                                                                  const Clock* clock,
                                                                  uint64_t lines, bool may_appear);
  // Goes on where another reader was. What cannot be found any more is a gap in the first chunk.
  static absl::StatusOr<std::unique_ptr<LogReader>> FromCursor(Options options, const Clock* clock,
                                                               const LogCursor& cursor);

  // The next lines, at most `max_bytes` (at least 1) of them.
  absl::StatusOr<Chunk> Next(size_t max_bytes);
  // A last line without newline, for readers that do not follow. Call once Next() gives no more.
  absl::StatusOr<Chunk> Rest(size_t max_bytes);
  // Files that were rotated away are read on: they may grow, or be given up, while the log itself
  // does not change.
  bool lingering() const { return segments_.size() > 1; }
  // After what was returned so far.
  LogCursor cursor() const;

 private:
  struct Segment {
    UniqueFd fd;
    LogPosition position;
    MonotonicTime last_growth;
  };

  LogReader(Options options, const Clock* clock) : options_(std::move(options)), clock_(clock) {}

  absl::StatusOr<Segment> OpenSegment(const std::string& path) const;
  // The present file; NOT_FOUND without one.
  static absl::StatusOr<std::unique_ptr<LogReader>> Open(Options options, const Clock* clock,
                                                         bool may_appear);
  // Notices that the file is another one by now, and opens those that came between.
  absl::Status FollowRotation();
  // Notices that the file was truncated, or truncated and written anew.
  absl::Status CheckTruncation(Segment* segment);
  absl::StatusOr<Chunk> ReadSegment(Segment* segment, size_t max_bytes, bool to_the_end);
  // Files of this log that were written to after `mtime_ns` and are not being read, oldest first.
  absl::StatusOr<std::vector<Segment>> NewerFiles(int64_t mtime_ns) const;
  bool IsOpen(uint64_t device, uint64_t inode) const;
  // It was read to its end, and left.
  bool WasLeft(const Segment& segment) const;

  const Options options_;
  const Clock* const clock_;       // Not owned.
  std::vector<Segment> segments_;  // Oldest first.
  std::vector<LogPosition> left_;  // The last files that were left; a late writer makes them newer.
  bool gap_ = false;               // To be told with the next chunk.
};

}  // namespace om

#endif  // OM_SERVER_LOGS_LOG_READER_H_
