// The journal on disk: records that survive kill -9 and power loss.
#ifndef OM_SERVER_CORE_JOURNAL_H_
#define OM_SERVER_CORE_JOURNAL_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/base/clock.h"
#include "server/base/file.h"
#include "server/base/loop.h"
#include "server/base/mutex.h"
#include "server/core/ports.h"

namespace om {

// One append-only file: records of {length, crc32c, bytes}, little endian, after a magic line. What
// is appended while a sync runs is written and synced together by the next. THREAD: any.
class Journal final : public JournalPort {
 public:
  struct Options {
    std::string path;  // "<var>/omd/journal"; its directory is made.
    size_t max_record_bytes = 1 << 20;
    size_t max_queue_bytes = 8 << 20;  // Not yet written; past it appends get RESOURCE_EXHAUSTED.
    size_t max_journal_bytes = 256 << 20;
  };
  struct Opened {
    std::unique_ptr<Journal> journal;
    std::vector<std::string> records;  // Oldest first.
    // What was wrong and what was done about it; empty: nothing. To be logged as an error:
    // acknowledged orders may be lost when a damaged file was put aside.
    std::string damage;
    std::string bad_file;  // Where the damaged file was put; empty: nowhere.
    size_t cut_bytes = 0;  // Of a record cut short at the end.
  };
  // Reads the file, or makes it. A record cut short at the end, which a crash leaves, is cut off.
  // After any other damage the file is kept aside as "<path>.bad.<unix time>" and a new one made of
  // what is good. `executor` does the writing and syncing: one piece at a time, it may block. Both
  // pointers are borrowed and must outlive the journal.
  static absl::StatusOr<Opened> Open(const Options& options, Executor* executor,
                                     const Clock* clock);
  // All that was appended must have been answered.
  ~Journal() override;

  void Append(std::string record, Done<absl::Status> done) override;
  void Rewrite(std::vector<std::string> records, Done<absl::Status> done) override;
  size_t size_bytes() const override { return size_bytes_.load(); }

 private:
  struct Request {
    bool rewrite = false;
    std::vector<std::string> records;
    size_t bytes = 0;
    Done<absl::Status> done;
  };
  Journal(const Options& options, Executor* executor) : options_(options), executor_(executor) {}
  void Enqueue(Request request) EXCLUDES(mutex_);
  void Work() EXCLUDES(mutex_);
  absl::Status WriteAppended(absl::string_view bytes);
  absl::Status Replace(const std::vector<std::string>& records);

  const Options options_;
  Executor* const executor_;  // Not owned.
  std::atomic<size_t> size_bytes_{0};
  // Touched only by the one piece of work that runs, or before there is any.
  UniqueFd file_;
  bool needs_truncation_ = false;  // An append failed part way and could not be undone yet.

  Mutex mutex_;
  std::vector<Request> queue_ GUARDED_BY(mutex_);
  size_t queue_bytes_ GUARDED_BY(mutex_) = 0;
  bool working_ GUARDED_BY(mutex_) = false;
};

// CRC-32C (Castagnoli) of `bytes`.
uint32_t Crc32c(absl::string_view bytes);

}  // namespace om

#endif  // OM_SERVER_CORE_JOURNAL_H_
