#include "server/logs/log_tailer.h"

#include <sys/stat.h>

#include <algorithm>
#include <deque>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/mutex.h"
#include "server/base/status.h"

namespace om {
namespace {

// What changes when a file does.
struct Signature {
  bool there = false;
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t size = 0;
  int64_t mtime_ns = 0;
  bool operator==(const Signature&) const = default;
};

Signature SignatureOf(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) return {};
  return {true, info.st_dev, info.st_ino, info.st_size,
          int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec};
}

absl::StatusOr<std::unique_ptr<LogReader>> OpenReader(const LogTailRequest& request,
                                                      const Clock* clock) {
  LogReader::Options options;
  options.path = request.path;
  switch (request.start) {
    case LogTailRequest::Start::kLastBytes:
      return LogReader::FromLastBytes(options, clock, request.amount, request.follow);
    case LogTailRequest::Start::kLastLines:
      return LogReader::FromLastLines(options, clock, request.amount, request.follow);
    case LogTailRequest::Start::kWholeFile:
      return LogReader::FromStart(options, clock, request.follow);
    case LogTailRequest::Start::kEnd:
      return LogReader::FromEnd(options, clock, request.follow);
    case LogTailRequest::Start::kCursor:
      return LogReader::FromCursor(options, clock, request.cursor);
  }
  return absl::InternalError("no such start of a log");
}

// What the loop and the reader's end share.
struct Tail {
  explicit Tail(LogTailRequest what) : request(std::move(what)) {}

  const LogTailRequest request;

  // On the loop.
  std::unique_ptr<LogReader> reader;
  Signature seen;            // Of the file before it was read last.
  bool caught_up = false;    // Told, or about to be.
  bool in_progress = false;  // A read is posted, or the reader is waited for.

  mutable Mutex mutex;
  std::deque<LogTailItem> items GUARDED_BY(mutex);
  size_t waiting_bytes GUARDED_BY(mutex) = 0;
  bool stalled GUARDED_BY(mutex) = false;  // Reading waits until something has been taken.
  bool ended GUARDED_BY(mutex) = false;    // Nothing more will come.
  bool closed GUARDED_BY(mutex) = false;   // Nobody takes anything any more.
  absl::Status error GUARDED_BY(mutex);    // Told after the items.
  std::function<void()> wake GUARDED_BY(mutex);

  bool IsClosed() const EXCLUDES(mutex) {
    MutexLock lock(&mutex);
    return closed;
  }

  void Wake() EXCLUDES(mutex) {
    std::function<void()> call;
    {
      MutexLock lock(&mutex);
      call = wake;
    }
    if (call) call();
  }

  void Add(LogTailItem item) EXCLUDES(mutex) {
    {
      MutexLock lock(&mutex);
      waiting_bytes += item.text.size();
      items.push_back(std::move(item));
    }
    Wake();
  }

  void End(const absl::Status& status) EXCLUDES(mutex) {
    {
      MutexLock lock(&mutex);
      ended = true;
      error = status;
    }
    reader.reset();
    Wake();
  }
};
using TailPtr = std::shared_ptr<Tail>;

}  // namespace

class LogTailer::Impl : public std::enable_shared_from_this<LogTailer::Impl> {
 public:
  Impl(Loop* loop, const Clock* clock, Counters* counters, const Options& options)
      : loop_(loop),
        clock_(clock),
        options_(options),
        readers_(counters->Get("logs.readers")),
        refused_(counters->Get("logs.readers_refused")),
        gaps_(counters->Get("logs.gaps")) {}

  absl::StatusOr<std::shared_ptr<LogTail>> Open(LogTailRequest request);
  // The end of a reader: what it left is dropped on the loop.
  void Close(const TailPtr& tail);
  // Something was taken of a tail whose reading waits.
  void Continue(const TailPtr& tail) { PostRead(tail); }
  void WakeLater(const TailPtr& tail) {
    (void)loop_->Post([tail] { tail->Wake(); });
  }
  size_t low_water_bytes() const { return options_.max_waiting_bytes / 2; }
  // The loop goes: nothing of this object is called any more.
  void Stop() { stopped_ = true; }

 private:
  void PostRead(const TailPtr& tail);
  // Reads a chunk, and has the next one read if there is more.
  void Read(const TailPtr& tail);
  void Follow(const TailPtr& tail);
  void Tick();

  Loop* const loop_;          // Not owned.
  const Clock* const clock_;  // Not owned.
  const Options options_;
  Counter* const readers_;  // Not owned.
  Counter* const refused_;  // Not owned.
  Counter* const gaps_;     // Not owned.

  Mutex mutex_;
  int count_ GUARDED_BY(mutex_) = 0;

  // On the loop.
  std::map<std::string, std::vector<TailPtr>> followed_;  // By file.
  bool ticking_ = false;
  bool stopped_ = false;
};

class LogTailer::End final : public LogTail {
 public:
  End(std::shared_ptr<Impl> tailer, TailPtr tail)
      : tailer_(std::move(tailer)), tail_(std::move(tail)) {}
  ~End() override { tailer_->Close(tail_); }

  absl::StatusOr<std::optional<LogTailItem>> Next() override {
    std::optional<LogTailItem> item;
    bool resume = false;
    {
      MutexLock lock(&tail_->mutex);
      if (tail_->items.empty()) {
        if (!tail_->error.ok()) return tail_->error;
        return item;
      }
      item = std::move(tail_->items.front());
      tail_->items.pop_front();
      tail_->waiting_bytes -= item->text.size();
      if (tail_->stalled && tail_->waiting_bytes <= tailer_->low_water_bytes()) {
        tail_->stalled = false;
        resume = true;
      }
    }
    if (resume) tailer_->Continue(tail_);
    return item;
  }
  bool over() const override {
    MutexLock lock(&tail_->mutex);
    return tail_->ended && tail_->error.ok() && tail_->items.empty();
  }
  void SetWake(std::function<void()> wake) override {
    MutexLock lock(&tail_->mutex);
    tail_->wake = std::move(wake);
  }
  void WakeLater() override { tailer_->WakeLater(tail_); }

 private:
  const std::shared_ptr<Impl> tailer_;
  const TailPtr tail_;
};

absl::StatusOr<std::shared_ptr<LogTail>> LogTailer::Impl::Open(LogTailRequest request) {
  {
    MutexLock lock(&mutex_);
    if (count_ >= options_.max_readers) {
      refused_->Add();
      return WithReason(absl::ResourceExhaustedError(absl::StrCat("all ", options_.max_readers,
                                                                  " readers of logs are taken")),
                        "TOO_MANY_READERS");
    }
    ++count_;
    readers_->Set(count_);
  }
  auto tail = std::make_shared<Tail>(std::move(request));
  auto end = std::make_shared<End>(shared_from_this(), tail);
  const bool posted = loop_->Post([self = shared_from_this(), tail] {
    if (self->stopped_) return;
    absl::StatusOr<std::unique_ptr<LogReader>> reader = OpenReader(tail->request, self->clock_);
    if (!reader.ok()) return tail->End(reader.status());
    tail->reader = *std::move(reader);
    self->Read(tail);
  });
  if (!posted) return absl::UnavailableError("the daemon is stopping");
  return end;
}

void LogTailer::Impl::Close(const TailPtr& tail) {
  {
    MutexLock lock(&tail->mutex);
    tail->closed = true;
    tail->items.clear();
    tail->wake = nullptr;
  }
  {
    MutexLock lock(&mutex_);
    readers_->Set(--count_);
  }
  // Off the loop nobody may touch the reader, and descriptors are to go soon.
  (void)loop_->Post([self = shared_from_this(), tail] {
    tail->reader.reset();
    const auto followers = self->followed_.find(tail->request.path);
    if (followers == self->followed_.end()) return;
    std::erase(followers->second, tail);
    if (followers->second.empty()) self->followed_.erase(followers);
  });
}

void LogTailer::Impl::PostRead(const TailPtr& tail) {
  (void)loop_->Post([self = shared_from_this(), tail] {
    if (!self->stopped_) self->Read(tail);
  });
}

void LogTailer::Impl::Read(const TailPtr& tail) {
  if (tail->reader == nullptr) return;
  {
    MutexLock lock(&tail->mutex);
    tail->in_progress = true;
    if (tail->closed) return;
    if (tail->waiting_bytes >= options_.max_waiting_bytes) {
      tail->stalled = true;
      return;
    }
  }
  absl::StatusOr<LogReader::Chunk> chunk = tail->reader->Next(options_.chunk_bytes);
  if (!chunk.ok()) return tail->End(chunk.status());
  const bool at_end = !chunk->more;
  LogTailItem item;
  item.text = std::move(chunk->text);
  item.mid_line = chunk->mid_line;
  item.gap = chunk->gap;
  item.caught_up = at_end && tail->request.follow && !std::exchange(tail->caught_up, at_end);
  item.cursor = tail->reader->cursor();
  if (item.gap) gaps_->Add();
  if (!item.text.empty() || item.gap || item.caught_up) tail->Add(std::move(item));
  if (!at_end) return PostRead(tail);
  tail->in_progress = false;
  if (tail->request.follow) return Follow(tail);
  absl::StatusOr<LogReader::Chunk> rest = tail->reader->Rest(options_.chunk_bytes);
  if (!rest.ok()) return tail->End(rest.status());
  if (!rest->text.empty()) {
    LogTailItem last;
    last.text = std::move(rest->text);
    last.mid_line = rest->mid_line;
    last.cursor = tail->reader->cursor();
    tail->Add(std::move(last));
    if (rest->more) return PostRead(tail);
  }
  tail->End(absl::OkStatus());
}

void LogTailer::Impl::Follow(const TailPtr& tail) {
  std::vector<TailPtr>& followers = followed_[tail->request.path];
  if (std::find(followers.begin(), followers.end(), tail) == followers.end()) {
    // One that was closed meanwhile is taken out by what Close() has posted.
    if (tail->IsClosed()) {
      if (followers.empty()) followed_.erase(tail->request.path);
      return;
    }
    followers.push_back(tail);
  }
  if (std::exchange(ticking_, true)) return;
  loop_->PostAfter(options_.poll_interval, [self = shared_from_this()] { self->Tick(); });
}

void LogTailer::Impl::Tick() {
  ticking_ = false;
  if (stopped_ || followed_.empty()) return;
  std::vector<TailPtr> changed;
  for (const auto& [path, followers] : followed_) {
    const Signature now = SignatureOf(path);
    for (const TailPtr& tail : followers) {
      // Files that were rotated away and are still read do not show in what the path says.
      if (tail->in_progress || (tail->seen == now && !tail->reader->lingering())) continue;
      tail->seen = now;
      tail->in_progress = true;
      changed.push_back(tail);
    }
  }
  // Posted one by one: others' chunks go between.
  for (const TailPtr& tail : changed) PostRead(tail);
  if (std::exchange(ticking_, true)) return;
  loop_->PostAfter(options_.poll_interval, [self = shared_from_this()] { self->Tick(); });
}

LogTailer::LogTailer(Loop* loop, const Clock* clock, Counters* counters, const Options& options)
    : impl_(std::make_shared<Impl>(loop, clock, counters, options)) {}
LogTailer::~LogTailer() { impl_->Stop(); }

absl::StatusOr<std::shared_ptr<LogTail>> LogTailer::Open(LogTailRequest request) {
  return impl_->Open(std::move(request));
}

}  // namespace om
