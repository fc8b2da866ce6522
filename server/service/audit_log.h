// Who changed what, from where, and what came of it: one JSON object a line in <log>/audit.log.
#ifndef OM_SERVER_SERVICE_AUDIT_LOG_H_
#define OM_SERVER_SERVICE_AUDIT_LOG_H_

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/counters.h"
#include "server/base/file.h"
#include "server/base/mutex.h"
#include "server/logs/secret_mask.h"
#include "server/service/caller.h"

namespace om {

// A change that somebody asked for. Nothing in it may be a secret.
struct AuditEntry {
  Caller caller;
  std::string operation;  // As in OperationRules().
  std::string target;     // A path, a thread, a user; empty: the daemon or the node.
  std::vector<std::string>
      words;  // What is to be done to it, where the operation leaves that open.
  std::string request_id;
};

// Writes lines on a thread of its own, those that came together in one go, and tells each writer
// when its line is in the file. THREAD: any. Callbacks come from that thread, or from inside the
// call, and must be quick.
//
// A line that could not be written is kept, up to `max_backlog_bytes` of them, and tried again;
// what was lost is told by the next line. Whoever waits for it is answered all the same: its change
// is made. Where OnFailure is kRefuse, new changes are refused from then on, and earlier: Reserve()
// gives a place only while the file has room that was taken from the file system ahead of the
// lines. On file systems that cannot do that (fallocate), and after errors of the device, a change
// may be made whose line comes late.
//
// A file that was renamed, removed or cut short by others is noticed before the next lines. What is
// left of a line by a crash is ended when the file is opened, so that no line is joined to it.
class AuditLog {
 public:
  enum class OnFailure { kContinue, kRefuse };
  // May change while it runs.
  struct Settings {
    int64_t max_bytes = 16 << 20;  // Of one file, at least kMaxLineBytes.
    int keep = 10;                 // Older files, "<path>.1" the newest. At least 1.
    bool sync = false;             // fdatasync before a line counts as written.
    OnFailure on_failure = OnFailure::kContinue;
  };
  struct Options {
    std::string path;  // Its directory must exist. New files have mode 0600.
    std::string node;  // As it stands in every line.
    Settings settings = {};
    size_t max_queue_lines = 4096;       // More are lost, and counted.
    size_t max_backlog_bytes = 8 << 20;  // Of lines that could not be written yet.
    int max_places = 1024;               // Changes in progress, where they may be refused.
    std::chrono::milliseconds retry_interval{1'000};
    // Refusals of one user, or of one stranger's address, that get a line, in a minute.
    int max_refusals = 10;
    // Called when problem() has changed, on the writer's thread.
    std::function<void()> changed;
  };
  // A line has at most that many bytes; longer texts in it are cut and end in "...".
  static constexpr size_t kMaxLineBytes = 4096;

  // Room for one line, given back when it is destroyed unused. The log must outlive it.
  class Place {
   public:
    Place() = default;  // Holds nothing.
    Place(Place&& other) noexcept : log_(std::exchange(other.log_, nullptr)) {}
    Place& operator=(Place&& other) noexcept {
      Release();
      log_ = std::exchange(other.log_, nullptr);
      return *this;
    }
    ~Place() { Release(); }

   private:
    friend class AuditLog;
    explicit Place(AuditLog* log) : log_(log) {}
    void Release();

    AuditLog* log_ = nullptr;
  };

  // Borrowed: must outlive it. Counters: audit.lines, .lost, .write_errors,
  // .rotation_errors, .refused, .suppressed.
  AuditLog(Options options, const SecretMask* mask, const Clock* clock, Counters* counters);
  ~AuditLog();  // Stop().

  // Opens the file and starts the thread. Once. If the file cannot be opened problem() says so, and
  // it is tried again.
  void Start();
  // Writes what is queued, if that can be written, and ends. Lines that come later are lost.
  // Idempotent.
  void Stop();
  void SetSettings(const Settings& settings) EXCLUDES(mutex_);

  // Before a change: room for its line. UNAVAILABLE, reason AUDIT_UNAVAILABLE, if it has to be
  // refused. Where changes go on without their lines it always succeeds.
  absl::StatusOr<Place> Reserve() EXCLUDES(mutex_);
  // Writes a line. `result` is "ok" or what else came of it; `code` is empty or that of an error.
  void Write(const AuditEntry& entry, absl::string_view result, absl::string_view code, Place place,
             std::function<void()> written) EXCLUDES(mutex_);
  // The same with what was answered.
  void Write(const AuditEntry& entry, const absl::Status& answer, Place place,
             std::function<void()> written);
  // Writes that a change was refused before anything was looked at. Only the first of a minute, of
  // a user or from a stranger's address, get a line; the next line of it tells how many did not.
  void WriteRefusal(const AuditEntry& entry, const absl::Status& answer,
                    std::function<void()> written) EXCLUDES(mutex_);

  // The same for somebody who could not show who he is, at a door ("rpc", "packet"): why, which
  // must not be taken from what he sent.
  void WriteStranger(absl::string_view door, Caller caller, absl::string_view why) EXCLUDES(mutex_);

  // Why lines cannot be written; empty: they can.
  std::string problem() const EXCLUDES(mutex_);
  // Waits until everything that was asked for before has been tried once; for tests.
  void Flush() EXCLUDES(mutex_);

 private:
  struct Line {
    std::string text;
    std::function<void()> written;  // Empty: it has been told.
  };
  struct Stranger {
    MonotonicTime since;
    int lines = 0;
    int64_t suppressed = 0;
  };

  void Enqueue(std::string text, Place place, std::function<void()> written) EXCLUDES(mutex_);
  std::string Render(const AuditEntry& entry, absl::string_view result, absl::string_view code,
                     int64_t suppressed) const;
  // Whether the refusal of a user or address gets a line; then `*suppressed` is what it has to
  // tell.
  bool CountRefusal(std::string key, int64_t* suppressed) REQUIRES(mutex_);

  // On the writer's thread, or before there is one.
  void Run() EXCLUDES(mutex_);
  // Writes what is in `group` and what could not be written before. `told` gets the callbacks.
  void Pass(std::vector<Line> group, const Settings& settings,
            std::vector<std::function<void()>>* told) EXCLUDES(mutex_);
  absl::Status WriteBacklog(const Settings& settings) EXCLUDES(mutex_);
  absl::Status EnsureOpen(const Settings& settings);
  absl::Status OpenFile();
  absl::Status Append(absl::string_view bytes, bool sync);
  absl::Status Rotate(const Settings& settings);
  // Takes up to `wanted` bytes of the file system from `offset` on; how many, 0: none, errno says
  // why.
  int64_t TakeRoom(int fd, int64_t offset, int64_t wanted);
  // Takes room ahead of the file's end. An error if what there is would not do for one line.
  absl::Status SecureRoom();
  int64_t RoomBytes() const;

  const Options options_;
  const SecretMask* const mask_;  // Not owned.
  const Clock* const clock_;      // Not owned.
  Counter* const lines_;
  Counter* const lost_;
  Counter* const write_errors_;
  Counter* const rotation_errors_;
  Counter* const refused_;
  Counter* const suppressed_;

  // On the writer's thread.
  UniqueFd file_;
  int64_t size_ = 0;
  int64_t secured_end_ = 0;  // The file system has given room up to there.
  bool can_secure_ = true;
  bool rotation_failed_ = false;  // And that was logged.
  std::vector<Line> backlog_;
  size_t backlog_bytes_ = 0;

  mutable Mutex mutex_;
  CondVar wake_;
  CondVar passed_;
  Settings settings_ GUARDED_BY(mutex_);
  std::vector<Line> queue_ GUARDED_BY(mutex_);
  int64_t queued_bytes_ GUARDED_BY(mutex_) = 0;
  int places_ GUARDED_BY(mutex_) = 0;
  int64_t room_bytes_ GUARDED_BY(mutex_) = 0;  // For lines that are not queued yet.
  int64_t untold_losses_ GUARDED_BY(mutex_) = 0;
  std::string problem_ GUARDED_BY(mutex_) = "the audit log is not open";
  bool look_ GUARDED_BY(mutex_) = false;  // There is something to do besides the queue.
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = true;
  uint64_t begun_passes_ GUARDED_BY(mutex_) = 0;
  uint64_t ended_passes_ GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<std::string, Stranger> strangers_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace om

#endif  // OM_SERVER_SERVICE_AUDIT_LOG_H_
