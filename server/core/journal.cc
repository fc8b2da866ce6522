#include "server/core/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/base/status.h"

namespace om {
namespace {

constexpr absl::string_view kMagic = "omd journal 1\n";
constexpr size_t kHeaderBytes = 8;  // Length, then CRC-32C of the length and the bytes.
// A group is written in far less, by a disk that works.
constexpr std::chrono::seconds kBusyRetry{1};

std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0U);
    table[i] = crc;
  }
  return table;
}

void PutUint32(uint32_t value, std::string* out) {
  for (int shift = 0; shift < 32; shift += 8) out->push_back(static_cast<char>(value >> shift));
}

uint32_t GetUint32(absl::string_view bytes) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i)
    value = (value << 8) | static_cast<unsigned char>(bytes[static_cast<size_t>(i)]);
  return value;
}

void AppendFramed(absl::string_view record, std::string* out) {
  std::string length;
  PutUint32(static_cast<uint32_t>(record.size()), &length);
  out->append(length);
  PutUint32(Crc32c(absl::StrCat(length, record)), out);
  out->append(record.data(), record.size());
}

struct Scan {
  std::vector<std::string> records;
  size_t good_bytes = 0;  // Up to here all is well.
  bool torn = false;      // What follows is one record cut short.
  bool damaged = false;   // What follows is something else.
};

// Whether a whole record begins at any place after `from`: then what is at `from` was not merely
// cut short by a crash.
bool RecordFollows(absl::string_view bytes, size_t from, size_t max_record_bytes) {
  for (size_t at = from + 1; at + kHeaderBytes <= bytes.size(); ++at) {
    const size_t length = GetUint32(bytes.substr(at));
    if (length == 0 || length > max_record_bytes || length > bytes.size() - at - kHeaderBytes)
      continue;
    const uint32_t crc = GetUint32(bytes.substr(at + 4));
    if (Crc32c(absl::StrCat(bytes.substr(at, 4), bytes.substr(at + kHeaderBytes, length))) == crc) {
      return true;
    }
  }
  return false;
}

Scan ScanRecords(absl::string_view bytes, size_t max_record_bytes) {
  Scan scan;
  if (bytes.substr(0, kMagic.size()) != kMagic) {
    scan.torn = kMagic.substr(0, bytes.size()) == bytes;
    scan.damaged = !scan.torn;
    return scan;
  }
  size_t at = kMagic.size();
  scan.good_bytes = at;
  while (at < bytes.size()) {
    const absl::string_view rest = bytes.substr(at);
    bool good = false;
    size_t length = 0;
    if (rest.size() >= kHeaderBytes) {
      length = GetUint32(rest);
      good = length <= max_record_bytes && length <= rest.size() - kHeaderBytes &&
             Crc32c(absl::StrCat(rest.substr(0, 4), rest.substr(kHeaderBytes, length))) ==
                 GetUint32(rest.substr(4));
    }
    if (good) {
      scan.records.emplace_back(rest.substr(kHeaderBytes, length));
      at += kHeaderBytes + length;
      if (!scan.damaged) scan.good_bytes = at;
      continue;
    }
    // A crash leaves a part of the last group, in any state, at the very end; only what has good
    // records after it was damaged otherwise.
    if (!RecordFollows(bytes, at, max_record_bytes)) {
      scan.torn = true;
      return scan;
    }
    scan.damaged = true;
    do {
      ++at;
    } while (at + kHeaderBytes <= bytes.size() && [&] {
      const size_t size = GetUint32(bytes.substr(at));
      return size == 0 || size > max_record_bytes || size > bytes.size() - at - kHeaderBytes ||
             Crc32c(absl::StrCat(bytes.substr(at, 4), bytes.substr(at + kHeaderBytes, size))) !=
                 GetUint32(bytes.substr(at + 4));
    }());
  }
  return scan;
}

absl::Status WriteAll(int fd, absl::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, absl::StrCat("writing ", path));
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status Sync(int fd, const std::string& path) {
  if (fdatasync(fd) != 0) return ErrnoStatus(errno, absl::StrCat("syncing ", path));
  return absl::OkStatus();
}

absl::Status FullStatus(const absl::Status& status) {
  // Callers act on the code: whatever keeps a record from the disk, it was not kept.
  if (status.code() == absl::StatusCode::kResourceExhausted)
    return WithReason(status, "JOURNAL_FULL");
  return WithReason(absl::UnavailableError(status.message()), "JOURNAL_UNAVAILABLE");
}

}  // namespace

uint32_t Crc32c(absl::string_view bytes) {
  static const std::array<uint32_t, 256> kTable = MakeCrcTable();
  uint32_t crc = 0xffffffffU;
  for (const char c : bytes)
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return crc ^ 0xffffffffU;
}

absl::StatusOr<Journal::Opened> Journal::Open(const Options& options, Executor* executor,
                                              const Clock* clock) {
  Opened opened;
  opened.journal.reset(new Journal(options, executor));
  Journal& journal = *opened.journal;
  const std::string directory = std::filesystem::path(options.path).parent_path().string();
  RETURN_IF_ERROR(MakeDirectories(directory, 0700));

  absl::StatusOr<FileContent> content = ReadFile(options.path, options.max_journal_bytes);
  Scan scan;
  const bool exists = content.ok();
  if (exists) {
    scan = ScanRecords(content->text, options.max_record_bytes);
  } else if (content.status().code() != absl::StatusCode::kNotFound) {
    return Annotate(content.status(), "opening the journal");
  }
  if (scan.damaged) {
    opened.bad_file = absl::StrCat(options.path, ".bad.", absl::ToUnixSeconds(clock->Now()));
    if (rename(options.path.c_str(), opened.bad_file.c_str()) != 0) {
      return ErrnoStatus(errno, absl::StrCat("putting the damaged ", options.path, " aside"));
    }
    opened.damage = absl::StrCat(options.path, " is damaged from byte ", scan.good_bytes, " of ",
                                 content->text.size(), ": ", scan.records.size(),
                                 " records are still good and are used, the file is kept as ",
                                 opened.bad_file, "; orders that were acknowledged may be missing");
  }
  if (!exists || scan.damaged || scan.good_bytes == 0) {
    RETURN_IF_ERROR(Annotate(journal.Replace(scan.records), "making the journal"));
  } else {
    journal.file_.Reset(open(options.path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    if (!journal.file_.valid()) return ErrnoStatus(errno, absl::StrCat("opening ", options.path));
    journal.size_bytes_ = scan.good_bytes;
    if (scan.good_bytes < content->text.size()) {
      opened.cut_bytes = content->text.size() - scan.good_bytes;
      if (ftruncate(journal.file_.get(), static_cast<off_t>(scan.good_bytes)) != 0) {
        return ErrnoStatus(errno, absl::StrCat("cutting ", options.path));
      }
      RETURN_IF_ERROR(Sync(journal.file_.get(), options.path));
    }
  }
  opened.records = std::move(scan.records);
  return opened;
}

Journal::~Journal() = default;

void Journal::Append(std::string record, Done<absl::Status> done) {
  Request request;
  request.bytes = record.size() + kHeaderBytes;
  request.records.push_back(std::move(record));
  request.done = std::move(done);
  Enqueue(std::move(request));
}

void Journal::Rewrite(std::vector<std::string> records, Done<absl::Status> done) {
  Request request;
  request.rewrite = true;
  request.records = std::move(records);
  request.done = std::move(done);
  Enqueue(std::move(request));
}

void Journal::Enqueue(Request request) {
  absl::Status refused;
  for (const std::string& record : request.records) {
    if (record.empty() || record.size() > options_.max_record_bytes) {
      refused = absl::InvalidArgumentError(absl::StrCat("a journal record of ", record.size(),
                                                        " bytes; it must have 1 to ",
                                                        options_.max_record_bytes));
    }
  }
  bool start = false;
  const Done<absl::Status> done = request.done;
  if (refused.ok()) {
    MutexLock lock(&mutex_);
    if (queue_bytes_ + request.bytes > options_.max_queue_bytes) {
      refused = WithRetryAfter(
          WithReason(absl::ResourceExhaustedError(absl::StrCat(
                         "more than ", options_.max_queue_bytes, " bytes wait for the journal")),
                     "JOURNAL_BUSY"),
          kBusyRetry);
    } else {
      queue_bytes_ += request.bytes;
      queue_.push_back(std::move(request));
      start = !working_;
      working_ = true;
    }
  }
  if (!refused.ok()) {
    done(refused);
    return;
  }
  if (start && !executor_->Post([this] { Work(); })) {
    // The executor is full or gone: nothing will be written now, and everybody is told.
    std::vector<Request> dropped;
    {
      MutexLock lock(&mutex_);
      dropped.swap(queue_);
      queue_bytes_ = 0;
      working_ = false;
    }
    for (const Request& one : dropped) {
      one.done(WithReason(absl::UnavailableError("the journal's thread does not take work"),
                          "JOURNAL_UNAVAILABLE"));
    }
  }
}

void Journal::Work() {
  while (true) {
    std::vector<Request> group;
    {
      MutexLock lock(&mutex_);
      if (queue_.empty()) {
        working_ = false;
        return;
      }
      group.swap(queue_);
    }
    size_t done_bytes = 0;
    for (size_t begin = 0; begin < group.size();) {
      size_t end = begin;
      absl::Status status;
      if (group[begin].rewrite) {
        status = Replace(group[begin].records);
        end = begin + 1;
      } else {
        std::string bytes;
        while (end < group.size() && !group[end].rewrite) {
          AppendFramed(group[end].records.front(), &bytes);
          ++end;
        }
        status = WriteAppended(bytes);
      }
      if (!status.ok()) status = FullStatus(status);
      for (; begin < end; ++begin) {
        done_bytes += group[begin].bytes;
        group[begin].done(status);
      }
    }
    MutexLock lock(&mutex_);
    queue_bytes_ -= done_bytes;
  }
}

absl::Status Journal::WriteAppended(absl::string_view bytes) {
  const size_t old_size = size_bytes_.load();
  if (!file_.valid()) {
    return absl::UnavailableError(
        absl::StrCat(options_.path, " is not open after a failed rewrite"));
  }
  if (needs_truncation_) {
    if (ftruncate(file_.get(), static_cast<off_t>(old_size)) != 0) {
      return ErrnoStatus(errno, absl::StrCat("cutting ", options_.path));
    }
    needs_truncation_ = false;
  }
  if (old_size + bytes.size() > options_.max_journal_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(options_.path, " has reached ", options_.max_journal_bytes, " bytes"));
  }
  absl::Status status = WriteAll(file_.get(), bytes, options_.path);
  if (status.ok()) status = Sync(file_.get(), options_.path);
  if (!status.ok()) {
    // What was refused must not come back after a crash.
    needs_truncation_ = ftruncate(file_.get(), static_cast<off_t>(old_size)) != 0;
    return status;
  }
  size_bytes_ = old_size + bytes.size();
  return absl::OkStatus();
}

absl::Status Journal::Replace(const std::vector<std::string>& records) {
  std::string bytes(kMagic);
  for (const std::string& record : records) AppendFramed(record, &bytes);
  WriteOptions write_options;
  RETURN_IF_ERROR(WriteFileAtomically(options_.path, bytes, write_options));
  // The new file has its name: from here on the old one takes no more records, come what may.
  file_.Reset(open(options_.path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  needs_truncation_ = false;
  size_bytes_ = bytes.size();
  if (!file_.valid()) return ErrnoStatus(errno, absl::StrCat("opening ", options_.path));
  return absl::OkStatus();
}

}  // namespace om
