#include "server/service/audit_log.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "glog/logging.h"
#include "server/base/json.h"
#include "server/base/status.h"
#include "server/service/errors.h"

namespace om {
namespace {

constexpr mode_t kAuditFileMode = 0600;
// Strangers whose refusals are told apart; what comes from others is counted together.
constexpr size_t kMaxStrangers = 1024;
constexpr auto kRefusalWindow = std::chrono::minutes(1);
constexpr char kOtherStrangers[] = "others";
constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max() / 4;

// Taken at once from a disk that is nearly full.
constexpr int64_t kLeastRoom = 8 * int64_t{AuditLog::kMaxLineBytes};

// What each text may take of a line, as JSON. Together with the names less than kMaxLineBytes.
constexpr size_t kShortText = 200;
constexpr size_t kTargetText = 700;
constexpr size_t kWordsText = 1700;

// `text`, cut so that it takes at most `budget` bytes as JSON.
std::string Fit(absl::string_view text, size_t budget) {
  std::string fit(text.substr(0, budget));
  bool cut = fit.size() < text.size();
  while (DumpCompactJson(Json(fit)).size() + 3 > budget) {
    fit.resize(fit.size() * 3 / 4);
    cut = true;
  }
  // Not in the middle of a character.
  while (cut && !fit.empty() && (static_cast<unsigned char>(fit.back()) & 0x80) != 0) {
    const bool first = (static_cast<unsigned char>(fit.back()) & 0x40) != 0;
    fit.pop_back();
    if (first) break;
  }
  if (cut) fit += "...";
  return fit;
}

absl::string_view AuditedKind(Caller::Kind kind) {
  switch (kind) {
    case Caller::Kind::kGuest:
      return "guest";
    case Caller::Kind::kLocalRoot:
      return "root";
    case Caller::Kind::kGroup:
      return "group";
    case Caller::Kind::kUser:
      return "user";
    case Caller::Kind::kNode:
      return "node";
    case Caller::Kind::kJoiner:
      return "joiner";
  }
  return "unknown";
}

absl::string_view AuditTransportName(Transport transport) {
  switch (transport) {
    case Transport::kGrpcUnix:
      return "grpc-unix";
    case Transport::kGrpcTcp:
      return "grpc-tcp";
    case Transport::kPacket:
      return "packet";
    case Transport::kLocalPacket:
      return "packet-unix";
  }
  return "unknown";
}

// The address of a stranger without the port, which is another one each time.
std::string HostOf(const std::string& address) {
  if (!absl::StartsWith(address, "ipv4:") && !absl::StartsWith(address, "ipv6:")) return address;
  return address.substr(0, address.rfind(':'));
}

std::string TimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", time, absl::UTCTimeZone());
}

}  // namespace

void AuditLog::Place::Release() {
  if (log_ == nullptr) return;
  MutexLock lock(&log_->mutex_);
  --log_->places_;
  log_->room_bytes_ += kMaxLineBytes;
  log_ = nullptr;
}

AuditLog::AuditLog(Options options, const SecretMask* mask, const Clock* clock, Counters* counters)
    : options_(std::move(options)),
      mask_(mask),
      clock_(clock),
      lines_(counters->Get("audit.lines")),
      lost_(counters->Get("audit.lost")),
      write_errors_(counters->Get("audit.write_errors")),
      rotation_errors_(counters->Get("audit.rotation_errors")),
      refused_(counters->Get("audit.refused")),
      suppressed_(counters->Get("audit.suppressed")),
      settings_(options_.settings) {}

AuditLog::~AuditLog() { Stop(); }

void AuditLog::Start() {
  CHECK(!thread_.joinable()) << "AuditLog started twice";
  {
    MutexLock lock(&mutex_);
    stopped_ = false;
  }
  std::vector<std::function<void()>> told;
  Pass({}, options_.settings, &told);
  thread_ = std::thread([this] { Run(); });
}

void AuditLog::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void AuditLog::SetSettings(const Settings& settings) {
  MutexLock lock(&mutex_);
  settings_ = settings;
  look_ = true;
  wake_.NotifyAll();
}

absl::StatusOr<AuditLog::Place> AuditLog::Reserve() {
  MutexLock lock(&mutex_);
  if (settings_.on_failure == OnFailure::kContinue) return Place();
  std::string why = problem_;
  if (why.empty() && places_ >= options_.max_places) {
    why = absl::StrCat("more than ", options_.max_places, " changes are in progress");
  }
  if (why.empty() && room_bytes_ < static_cast<int64_t>(kMaxLineBytes)) {
    why = "its file system has no room for more lines";
  }
  if (!why.empty()) {
    refused_->Add();
    // Perhaps there is room by now.
    look_ = true;
    wake_.NotifyAll();
    return WithRetryAfter(
        MakeError("AUDIT_UNAVAILABLE", absl::StrCat("the audit log cannot be written: ", why)),
        options_.retry_interval);
  }
  ++places_;
  room_bytes_ -= kMaxLineBytes;
  return Place(this);
}

std::string AuditLog::Render(const AuditEntry& entry, absl::string_view result,
                             absl::string_view code, int64_t suppressed) const {
  const auto text = [this](absl::string_view value, size_t budget) {
    return Fit(mask_->Mask(value), budget);
  };
  const Caller& caller = entry.caller;
  Json line = {{"time", TimeText(clock_->Now())}, {"node", Fit(options_.node, kShortText)}};
  line["caller"] = std::string(AuditedKind(caller.kind));
  if (!caller.name.empty()) {
    // Whoever has the cluster's secret writes any name into a packet.
    const bool claimed = caller.transport == Transport::kPacket;
    line[claimed ? "claimed_node" : "name"] = text(caller.name, kShortText);
  }
  if (!caller.credential.empty()) line["credential"] = text(caller.credential, kShortText);
  line["address"] = text(caller.address, kShortText);
  line["transport"] = std::string(AuditTransportName(caller.transport));
  if (!caller.forwarder.empty()) line["forwarder"] = text(caller.forwarder, kShortText);
  line["operation"] = Fit(entry.operation, kShortText);
  line["target"] = text(entry.target, kTargetText);
  if (!entry.words.empty()) line["words"] = text(absl::StrJoin(entry.words, " "), kWordsText);
  if (!entry.request_id.empty()) line["request_id"] = text(entry.request_id, kShortText);
  line["result"] = Fit(result, kShortText);
  if (!code.empty()) line["code"] = Fit(code, kShortText);
  if (suppressed > 0) line["suppressed"] = suppressed;
  return absl::StrCat(DumpCompactJson(line), "\n");
}

void AuditLog::Write(const AuditEntry& entry, absl::string_view result, absl::string_view code,
                     Place place, std::function<void()> written) {
  Enqueue(Render(entry, result, code, 0), std::move(place), std::move(written));
}

void AuditLog::Write(const AuditEntry& entry, const absl::Status& answer, Place place,
                     std::function<void()> written) {
  if (answer.ok()) return Write(entry, "ok", "", std::move(place), std::move(written));
  Write(entry, RuleOf(answer).reason, absl::StatusCodeToString(answer.code()), std::move(place),
        std::move(written));
}

bool AuditLog::CountRefusal(std::string key, int64_t* suppressed) {
  const MonotonicTime now = clock_->Monotonic();
  if (strangers_.size() >= kMaxStrangers && !strangers_.contains(key)) {
    int64_t untold = 0;
    for (auto it = strangers_.begin(); it != strangers_.end();) {
      if (it->first == kOtherStrangers || now - it->second.since < kRefusalWindow) {
        ++it;
        continue;
      }
      untold += it->second.suppressed;
      strangers_.erase(it++);
    }
    Stranger& others = strangers_.try_emplace(kOtherStrangers, Stranger{now, 0, 0}).first->second;
    others.suppressed += untold;
    if (strangers_.size() >= kMaxStrangers) key = kOtherStrangers;
  }
  Stranger& stranger = strangers_.try_emplace(key, Stranger{now, 0, 0}).first->second;
  if (now - stranger.since >= kRefusalWindow) {
    stranger.since = now;
    stranger.lines = 0;
  }
  if (stranger.lines >= options_.max_refusals) {
    ++stranger.suppressed;
    return false;
  }
  ++stranger.lines;
  *suppressed = std::exchange(stranger.suppressed, 0);
  return true;
}

void AuditLog::WriteRefusal(const AuditEntry& entry, const absl::Status& answer,
                            std::function<void()> written) {
  int64_t suppressed = 0;
  const Caller& caller = entry.caller;
  bool wanted = true;
  if (caller.kind != Caller::Kind::kLocalRoot && caller.kind != Caller::Kind::kNode) {
    MutexLock lock(&mutex_);
    wanted = CountRefusal(caller.kind == Caller::Kind::kUser ? absl::StrCat("user ", caller.name)
                                                             : HostOf(caller.address),
                          &suppressed);
  }
  if (!wanted) {
    suppressed_->Add();
    if (written) written();
    return;
  }
  Enqueue(Render(entry, RuleOf(answer).reason, absl::StatusCodeToString(answer.code()), suppressed),
          Place(), std::move(written));
}

void AuditLog::WriteStranger(absl::string_view door, Caller caller, absl::string_view why) {
  caller.kind = Caller::Kind::kGuest;  // Whatever was found before what is refused.
  WriteRefusal({std::move(caller), std::string(door), "", {std::string(why)}, ""},
               MakeError("CREDENTIAL_REFUSED", why), nullptr);
}

void AuditLog::Enqueue(std::string text, Place place, std::function<void()> written) {
  bool taken = false;
  std::function<void()> lost;  // To be told that there will be no line.
  const auto bytes = static_cast<int64_t>(text.size());
  // What was promised becomes the line under one lock, or somebody else might take it in between.
  const bool placed = std::exchange(place.log_, nullptr) != nullptr;
  {
    MutexLock lock(&mutex_);
    if (placed) {
      --places_;
      room_bytes_ += kMaxLineBytes;
    }
    // Room that was promised to changes is not for refusals.
    const bool has_room = placed || settings_.on_failure == OnFailure::kContinue ||
                          (problem_.empty() && room_bytes_ >= bytes);
    taken = !stopped_ && has_room && (placed || queue_.size() < options_.max_queue_lines);
    if (taken) {
      room_bytes_ -= bytes;
      queued_bytes_ += bytes;
      queue_.push_back({std::move(text), std::move(written)});
      wake_.NotifyAll();
    } else {
      ++untold_losses_;
      lost = std::move(written);
    }
  }
  if (taken) return;
  lost_->Add();
  if (lost) lost();
}

std::string AuditLog::problem() const {
  MutexLock lock(&mutex_);
  return problem_;
}

void AuditLog::Flush() {
  MutexLock lock(&mutex_);
  if (stopped_) return;
  look_ = true;
  wake_.NotifyAll();
  // The pass that runs may have begun before.
  const uint64_t wanted = begun_passes_ + 1;
  while (ended_passes_ < wanted && !stopped_) passed_.Wait(&mutex_);
}

void AuditLog::Run() {
  pthread_setname_np(pthread_self(), "audit");
  bool last = false;
  auto next_try = std::chrono::steady_clock::now();
  while (!last) {
    std::vector<Line> group;
    Settings settings;
    {
      MutexLock lock(&mutex_);
      while (queue_.empty() && !look_ && !stopping_) {
        if (problem_.empty()) {
          wake_.Wait(&mutex_);
        } else if (!wake_.WaitUntil(&mutex_, next_try)) {
          break;
        }
      }
      look_ = false;
      last = stopping_;
      if (last) stopped_ = true;
      group.swap(queue_);
      queued_bytes_ = 0;
      settings = settings_;
      ++begun_passes_;
    }
    std::vector<std::function<void()>> told;
    Pass(std::move(group), settings, &told);
    next_try = std::chrono::steady_clock::now() + options_.retry_interval;
    for (const std::function<void()>& written : told) written();
    MutexLock lock(&mutex_);
    ended_passes_ = begun_passes_;
    passed_.NotifyAll();
  }
}

void AuditLog::Pass(std::vector<Line> group, const Settings& settings,
                    std::vector<std::function<void()>>* told) {
  for (Line& line : group) {
    // Once the line has been tried, whatever came of it.
    if (line.written) told->push_back(std::move(line.written));
    if (backlog_bytes_ + line.text.size() > options_.max_backlog_bytes && !backlog_.empty()) {
      lost_->Add();
      MutexLock lock(&mutex_);
      ++untold_losses_;
      continue;
    }
    backlog_bytes_ += line.text.size();
    backlog_.push_back(std::move(line));
  }
  absl::Status status = EnsureOpen(settings);
  if (status.ok()) status = WriteBacklog(settings);
  if (!status.ok()) write_errors_->Add();
  if (status.ok() && settings.on_failure == OnFailure::kRefuse) status = SecureRoom();
  const std::string problem(status.message());
  bool changed = false;
  {
    MutexLock lock(&mutex_);
    room_bytes_ =
        RoomBytes() - queued_bytes_ - int64_t{places_} * static_cast<int64_t>(kMaxLineBytes);
    changed = problem != problem_;
    problem_ = problem;
  }
  if (!changed) return;
  if (problem.empty()) {
    LOG(INFO) << "the audit log is written to " << options_.path;
  } else {
    LOG(ERROR) << "OM-AUDIT-FAILED the audit log cannot be written: " << problem;
  }
  if (options_.changed) options_.changed();
}

absl::Status AuditLog::WriteBacklog(const Settings& settings) {
  int64_t lost = 0;
  {
    MutexLock lock(&mutex_);
    lost = untold_losses_;
  }
  std::string bytes;
  if (lost > 0) {
    const Json gap = {{"time", TimeText(clock_->Now())},
                      {"node", Fit(options_.node, kShortText)},
                      {"lost", lost}};
    bytes = absl::StrCat(DumpCompactJson(gap), "\n");
  }
  size_t done = 0;  // Of backlog_: in the file.
  size_t next = 0;  // Of backlog_: in `bytes`, before it.
  absl::Status status;
  const auto flush = [&]() -> absl::Status {
    if (bytes.empty()) return absl::OkStatus();
    RETURN_IF_ERROR(Append(bytes, settings.sync));
    bytes.clear();
    lines_->Add(static_cast<int64_t>(next - done));
    done = next;
    if (lost > 0) {
      MutexLock lock(&mutex_);
      untold_losses_ -= std::exchange(lost, 0);
    }
    return absl::OkStatus();
  };
  while (next < backlog_.size() && status.ok()) {
    const std::string& line = backlog_[next].text;
    const auto grown = size_ + static_cast<int64_t>(bytes.size() + line.size());
    if (grown > settings.max_bytes && size_ + static_cast<int64_t>(bytes.size()) > 0) {
      status = flush();
      // Where there is no room for a new file the old one goes on: it has what was promised.
      if (status.ok() && size_ > 0) {
        const absl::Status rotated = Rotate(settings);
        if (!rotated.ok() && !file_.valid()) status = rotated;
        if (!rotated.ok()) rotation_errors_->Add();
        if (!rotated.ok() && !rotation_failed_) {
          LOG(WARNING) << "OM-AUDIT-ROTATE " << options_.path << " grows past "
                       << settings.max_bytes << " bytes: " << rotated.message();
        }
        rotation_failed_ = !rotated.ok();
      }
      if (!status.ok()) break;
    }
    bytes += line;
    ++next;
  }
  if (status.ok()) status = flush();
  for (size_t i = 0; i < done; ++i) backlog_bytes_ -= backlog_[i].text.size();
  backlog_.erase(backlog_.begin(), backlog_.begin() + static_cast<std::ptrdiff_t>(done));
  return status;
}

absl::Status AuditLog::OpenFile() {
  secured_end_ = 0;
  can_secure_ = true;
  // Not blocking: a pipe in its place must not hold the thread.
  file_.Reset(open(options_.path.c_str(),
                   O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                   kAuditFileMode));
  if (!file_.valid()) return ErrnoStatus(errno, absl::StrCat("opening ", options_.path));
  struct stat info = {};
  if (fstat(file_.get(), &info) != 0) return ErrnoStatus(errno, options_.path);
  if (!S_ISREG(info.st_mode)) {
    file_.Reset();
    return absl::FailedPreconditionError(absl::StrCat(options_.path, " is no regular file"));
  }
  size_ = info.st_size;
  char last = '\n';
  if (size_ > 0 && pread(file_.get(), &last, 1, size_ - 1) != 1) {
    return ErrnoStatus(errno, absl::StrCat("reading ", options_.path));
  }
  // A crash, or a full disk, has left a part of a line.
  if (last != '\n') return Append("\n", /*sync=*/false);
  return absl::OkStatus();
}

absl::Status AuditLog::EnsureOpen(const Settings& settings) {
  struct stat there = {};
  struct stat ours = {};
  if (file_.valid() && stat(options_.path.c_str(), &there) == 0 && fstat(file_.get(), &ours) == 0 &&
      there.st_dev == ours.st_dev && there.st_ino == ours.st_ino) {
    if (ours.st_size < size_) secured_end_ = 0;  // Somebody has emptied it.
    size_ = ours.st_size;
    if (settings.on_failure == OnFailure::kContinue) secured_end_ = 0;
    return absl::OkStatus();
  }
  absl::Status status = OpenFile();
  if (!status.ok()) file_.Reset();
  return status;
}

absl::Status AuditLog::Append(absl::string_view bytes, bool sync) {
  absl::string_view rest = bytes;
  absl::Status status;
  while (!rest.empty() && status.ok()) {
    const ssize_t count = write(file_.get(), rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      status = ErrnoStatus(count < 0 ? errno : EIO, absl::StrCat("writing ", options_.path));
    } else {
      rest.remove_prefix(static_cast<size_t>(count));
    }
  }
  if (status.ok() && sync && fdatasync(file_.get()) != 0) {
    status = ErrnoStatus(errno, absl::StrCat("syncing ", options_.path));
  }
  if (status.ok()) {
    size_ += static_cast<int64_t>(bytes.size());
    return status;
  }
  // All of it is tried again, so nothing of it may stay. Opening it again looks whether that is so.
  (void)!ftruncate(file_.get(), size_);
  file_.Reset();
  return status;
}

absl::Status AuditLog::Rotate(const Settings& settings) {
  // The new file has its room before the old one is let go.
  const std::string next = absl::StrCat(options_.path, ".next");
  UniqueFd fresh(open(next.c_str(), O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                      kAuditFileMode));
  if (!fresh.valid()) return ErrnoStatus(errno, absl::StrCat("making ", next));
  int64_t room = 0;
  if (settings.on_failure == OnFailure::kRefuse) {
    room = TakeRoom(fresh.get(), 0, int64_t{kMaxLineBytes} * (options_.max_places + 256));
    if (can_secure_ && room == 0) {
      const int error = errno;
      unlink(next.c_str());
      return ErrnoStatus(error, absl::StrCat("taking room for ", next));
    }
  }
  const auto name = [this](int number) { return absl::StrCat(options_.path, ".", number); };
  // Those that are too many now, after keep was lowered too.
  for (int number = settings.keep; unlink(name(number).c_str()) == 0; ++number) {
  }
  for (int number = settings.keep - 1; number >= 1; --number) {
    (void)rename(name(number).c_str(), name(number + 1).c_str());
  }
  if (secured_end_ > size_) (void)!ftruncate(file_.get(), size_);  // Gives back what was not used.
  if (rename(options_.path.c_str(), name(1).c_str()) != 0 ||
      rename(next.c_str(), options_.path.c_str()) != 0) {
    const int error = errno;
    file_.Reset();
    return ErrnoStatus(error, absl::StrCat("renaming ", options_.path));
  }
  file_ = std::move(fresh);
  size_ = 0;
  secured_end_ = room;
  return absl::OkStatus();
}

int64_t AuditLog::TakeRoom(int fd, int64_t offset, int64_t wanted) {
  // Where the disk has less, less has to do.
  for (int64_t bytes = wanted; can_secure_ && bytes >= kLeastRoom; bytes /= 2) {
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, bytes) == 0) return bytes;
    if (errno == EOPNOTSUPP || errno == ENOSYS) can_secure_ = false;
    if (errno != ENOSPC && errno != EDQUOT) break;
  }
  return 0;
}

absl::Status AuditLog::SecureRoom() {
  const auto room = static_cast<int64_t>(kMaxLineBytes) * (options_.max_places + 256);
  if (secured_end_ - size_ < room) {
    // A quarter more, so that this is not done for every line.
    if (const int64_t taken = TakeRoom(file_.get(), size_, room + room / 4); taken > 0) {
      secured_end_ = std::max(secured_end_, size_ + taken);
    }
  }
  if (RoomBytes() >= static_cast<int64_t>(kMaxLineBytes)) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(options_.path, " has no room for another line, and none can be had"));
}

int64_t AuditLog::RoomBytes() const {
  if (!file_.valid()) return 0;
  int64_t room = can_secure_ ? std::max<int64_t>(secured_end_ - size_, 0) : kUnlimited;
  // What the file system would give may still be more than this process may write.
  rlimit limit = {};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    room = std::min(room, static_cast<int64_t>(limit.rlim_cur) - size_);
  }
  return room;
}

}  // namespace om
