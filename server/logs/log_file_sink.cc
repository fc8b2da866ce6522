#include "server/logs/log_file_sink.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/logs/log_line.h"

namespace om {
namespace {

constexpr std::chrono::milliseconds kFatalFlushTimeout{1'000};

// Set by send() for the WaitTillSent() that follows it on the same thread.
thread_local bool sent_fatal = false;

absl::string_view LevelName(google::LogSeverity severity) {
  if (severity <= google::GLOG_INFO) return "INFO";
  if (severity == google::GLOG_WARNING) return "WARNING";
  return "ERROR";
}

}  // namespace

LogFileSink::LogFileSink(Options options, const SecretMask* mask, const Clock* clock,
                         Counters* counters)
    : options_(std::move(options)),
      mask_(mask),
      clock_(clock),
      lines_(counters->Get("log.lines")),
      dropped_(counters->Get("log.dropped")),
      write_errors_(counters->Get("log.write_errors")) {}

LogFileSink::~LogFileSink() { Stop(); }

absl::Status LogFileSink::Start() {
  CHECK(!thread_.joinable()) << "LogFileSink started twice";
  absl::Status status;
  if (!OpenFile()) status = ErrnoStatus(errno, absl::StrCat("opening ", options_.path));
  thread_ = std::thread([this] { Run(); });
  google::AddLogSink(this);
  registered_ = true;
  return status;
}

void LogFileSink::Stop() {
  if (registered_) google::RemoveLogSink(this);  // Waits for calls of send() under way.
  registered_ = false;
  {
    MutexLock lock(&mutex_);
    if (!stopping_) stop_deadline_ = std::chrono::steady_clock::now() + options_.stop_timeout;
    stopping_ = true;
    wake_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void LogFileSink::Reopen() {
  MutexLock lock(&mutex_);
  reopen_ = true;
  wake_.NotifyAll();
}

bool LogFileSink::Flush(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(&mutex_);
  const uint64_t target = taken_count_;
  while (done_count_ < target) {
    if (!written_.WaitUntil(&mutex_, deadline) && done_count_ < target) return false;
  }
  return true;
}

void LogFileSink::send(google::LogSeverity severity, const char* /*full_filename*/,
                       const char* /*base_filename*/, int /*line*/,
                       const google::LogMessageTime& time, const char* message,
                       size_t message_len) {
  sent_fatal = severity == google::GLOG_FATAL;
  Message entry;
  entry.time =
      absl::FromTimeT(static_cast<time_t>(time.timestamp())) + absl::Microseconds(time.usec());
  entry.severity = severity;
  entry.component = std::string(LogComponent::Current());
  entry.text.assign(message, message_len);
  MutexLock lock(&mutex_);
  if (stopping_ || queue_.size() >= options_.max_messages ||
      queued_bytes_ + message_len > options_.max_bytes) {
    dropped_->Add();
    ++dropped_at_end_;
    return;
  }
  entry.dropped_before = std::exchange(dropped_at_end_, 0);
  queued_bytes_ += message_len;
  queue_.push_back(std::move(entry));
  ++taken_count_;
  wake_.NotifyAll();
}

void LogFileSink::WaitTillSent() {
  if (!std::exchange(sent_fatal, false)) return;
  Flush(kFatalFlushTimeout);
}

void LogFileSink::Run() {
  pthread_setname_np(pthread_self(), "om-log");
  // Past a limit on file sizes a write must fail, not end the process.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGXFSZ);
  sigaddset(&signals, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  while (true) {
    std::optional<Message> message;
    int64_t dropped_after = 0;
    {
      MutexLock lock(&mutex_);
      while (queue_.empty() && dropped_at_end_ == 0 && !stopping_ && !reopen_) wake_.Wait(&mutex_);
      if (!queue_.empty()) {
        message = std::move(queue_.front());
        queue_.pop_front();
        queued_bytes_ -= message->text.size();
      } else if (dropped_at_end_ > 0) {
        dropped_after = std::exchange(dropped_at_end_, 0);
      } else if (!reopen_) {
        return;  // Stopping, and nothing is left.
      }
    }
    const int64_t dropped = message ? message->dropped_before : dropped_after;
    if (dropped > 0) {
      Message gap;
      gap.time = clock_->Now();
      gap.severity = google::GLOG_WARNING;
      gap.text = absl::StrCat("log_gap: ", dropped,
                              " messages lost here: they came faster than they could be written");
      Write(gap);
    }
    if (!message) {
      if (dropped == 0) EnsureOpen();  // Asked to open the file again.
      continue;
    }
    Write(*message);
    MutexLock lock(&mutex_);
    ++done_count_;
    written_.NotifyAll();
  }
}

void LogFileSink::Write(const Message& message) {
  const std::string lines =
      FormatLogLines(message.time, options_.time_zone, options_.node_name, message.component,
                     LevelName(message.severity), mask_->Mask(message.text));
  absl::string_view rest = lines;
  while (!rest.empty()) {
    const size_t length = rest.find('\n') + 1;
    WriteLine(rest.substr(0, length));
    rest.remove_prefix(length);
  }
}

void LogFileSink::WriteLine(absl::string_view line) {
  absl::string_view rest = line;
  while (true) {
    const int before = file_.get();
    const bool open = EnsureOpen();
    // What a former file has of the line is of no use to readers of this one.
    if (file_.get() != before) rest = line;
    if (open) {
      const ssize_t count = write(file_.get(), rest.data(), rest.size());
      if (count > 0) rest.remove_prefix(static_cast<size_t>(count));
      if (rest.empty()) {
        lines_->Add();
        return;
      }
      if (count > 0 || errno == EINTR) continue;  // The next one tells why it was short.
    }
    write_errors_->Add();
    if (!WaitToRetry()) {
      dropped_->Add();
      return;
    }
  }
}

bool LogFileSink::EnsureOpen() {
  bool reopen = false;
  {
    MutexLock lock(&mutex_);
    reopen = std::exchange(reopen_, false);
  }
  const MonotonicTime now = clock_->Monotonic();
  if (file_.valid() && !reopen) {
    if (last_check_ != MonotonicTime::min() && now - last_check_ < options_.check_interval) {
      return true;
    }
    last_check_ = now;
    struct stat at_path;
    struct stat opened;
    if (stat(options_.path.c_str(), &at_path) == 0 && fstat(file_.get(), &opened) == 0 &&
        at_path.st_dev == opened.st_dev && at_path.st_ino == opened.st_ino) {
      return true;
    }
  }
  // Where no other file can be had, the one there is takes the line.
  return OpenFile() || file_.valid();
}

bool LogFileSink::OpenFile() {
  const auto open_file = [this] {
    return open(options_.path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, options_.mode);
  };
  UniqueFd file(open_file());
  if (!file.valid() && errno == ENOENT) {
    // Its folder was removed.
    if (!MakeDirectories(options_.path.substr(0, options_.path.rfind('/'))).ok()) return false;
    file.Reset(open_file());
  }
  if (!file.valid()) return false;
  file_ = std::move(file);
  last_check_ = clock_->Monotonic();
  return true;
}

bool LogFileSink::WaitToRetry() {
  const auto next_try = std::chrono::steady_clock::now() + options_.retry_interval;
  MutexLock lock(&mutex_);
  while (!reopen_) {
    const auto now = std::chrono::steady_clock::now();
    if (stopping_ && now >= stop_deadline_) return false;
    if (now >= next_try) return true;
    wake_.WaitUntil(&mutex_, stopping_ ? std::min(next_try, stop_deadline_) : next_try);
  }
  return true;
}

}  // namespace om
