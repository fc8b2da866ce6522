#include "server/logs/log_reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "server/base/status.h"

namespace om {
namespace {

constexpr size_t kHeadBytes = 256;
constexpr size_t kBlockBytes = 64 << 10;
constexpr size_t kMaxCursorBytes = 2048;
constexpr size_t kMaxCursorPositions = 16;
constexpr size_t kMaxLeft = 4;

uint64_t Fnv1a(absl::string_view bytes) {
  uint64_t hash = 14695981039346656037ULL;
  for (const char byte : bytes) {
    hash ^= static_cast<unsigned char>(byte);
    hash *= 1099511628211ULL;
  }
  return hash;
}

int64_t MtimeNs(const struct stat& info) {
  return int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

// Up to `size` bytes from `offset`; fewer only at the end of the file.
absl::StatusOr<std::string> ReadAt(int fd, uint64_t offset, size_t size, const std::string& path) {
  std::string text(size, '\0');
  size_t length = 0;
  while (length < size) {
    const ssize_t got =
        pread(fd, text.data() + length, size - length, static_cast<off_t>(offset + length));
    if (got < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, absl::StrCat("reading \"", path, "\""));
    }
    if (got == 0) break;
    length += static_cast<size_t>(got);
  }
  text.resize(length);
  return text;
}

absl::StatusOr<struct stat> Stat(int fd, const std::string& path) {
  struct stat info = {};
  if (fstat(fd, &info) != 0) return ErrnoStatus(errno, absl::StrCat("reading \"", path, "\""));
  return info;
}

// What has been read of the file's first bytes identifies it from now on.
absl::Status StampHead(int fd, const std::string& path, LogPosition* position) {
  const uint64_t wanted = std::min<uint64_t>(position->offset_bytes, kHeadBytes);
  if (position->head_bytes == wanted) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string head, ReadAt(fd, 0, wanted, path));
  position->head_bytes = head.size();
  position->head_hash = Fnv1a(head);
  return absl::OkStatus();
}

absl::StatusOr<bool> HeadMatches(int fd, const std::string& path, const LogPosition& position) {
  if (position.head_bytes == 0) return true;
  ASSIGN_OR_RETURN(const std::string head, ReadAt(fd, 0, position.head_bytes, path));
  return head.size() == position.head_bytes && Fnv1a(head) == position.head_hash;
}

// Offset of the first of the last `lines` lines.
absl::StatusOr<uint64_t> OffsetOfLastLines(int fd, const std::string& path, uint64_t size,
                                           uint64_t lines) {
  if (lines == 0) return size;
  uint64_t end = size;
  uint64_t seen = 0;
  while (end > 0) {
    const size_t block = static_cast<size_t>(std::min<uint64_t>(end, kBlockBytes));
    const uint64_t begin = end - block;
    ASSIGN_OR_RETURN(const std::string text, ReadAt(fd, begin, block, path));
    for (size_t i = text.size(); i > 0; --i) {
      // The newline at the very end ends the last line; it begins none.
      if (text[i - 1] != '\n' || begin + i == size) continue;
      if (++seen == lines) return begin + i;
    }
    end = begin;
  }
  return uint64_t{0};
}

absl::Status BadCursor() {
  return WithField(
      WithReason(absl::InvalidArgumentError("the cursor is not one that was given out"),
                 "BAD_CURSOR"),
      "cursor");
}

}  // namespace

std::string LogCursor::ToText() const {
  std::string text = "1";
  const auto add = [&text](char kind, const LogPosition& one) {
    absl::StrAppend(&text, ";", absl::string_view(&kind, 1), one.device, ",", one.inode, ",",
                    one.offset_bytes, ",", one.head_bytes, ",", one.head_hash, ",", one.mtime_ns);
  };
  for (const LogPosition& one : left) add('l', one);
  for (const LogPosition& one : positions) add('p', one);
  return absl::WebSafeBase64Escape(text);
}

absl::StatusOr<LogCursor> LogCursor::Parse(absl::string_view text) {
  std::string clear;
  if (text.size() > kMaxCursorBytes || !absl::WebSafeBase64Unescape(text, &clear) ||
      (clear != "1" && !absl::StartsWith(clear, "1;"))) {
    return BadCursor();
  }
  LogCursor cursor;
  for (const absl::string_view part :
       absl::StrSplit(absl::string_view(clear).substr(1), ';', absl::SkipEmpty())) {
    const std::vector<absl::string_view> fields = absl::StrSplit(part.substr(1), ',');
    LogPosition one;
    if ((part[0] != 'p' && part[0] != 'l') || fields.size() != 6 ||
        !absl::SimpleAtoi(fields[0], &one.device) || !absl::SimpleAtoi(fields[1], &one.inode) ||
        !absl::SimpleAtoi(fields[2], &one.offset_bytes) ||
        !absl::SimpleAtoi(fields[3], &one.head_bytes) ||
        !absl::SimpleAtoi(fields[4], &one.head_hash) ||
        !absl::SimpleAtoi(fields[5], &one.mtime_ns) || one.head_bytes > kHeadBytes ||
        one.offset_bytes > static_cast<uint64_t>(std::numeric_limits<off_t>::max()) ||
        cursor.positions.size() + cursor.left.size() == kMaxCursorPositions) {
      return BadCursor();
    }
    (part[0] == 'p' ? cursor.positions : cursor.left).push_back(one);
  }
  return cursor;
}

absl::StatusOr<LogReader::Segment> LogReader::OpenSegment(const std::string& path) const {
  Segment segment;
  // A pipe of that name must not hold up the reader.
  segment.fd.Reset(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!segment.fd.valid()) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return WithReason(absl::NotFoundError(absl::StrCat("there is no log \"", path, "\"")),
                        "LOG_NOT_FOUND");
    }
    return ErrnoStatus(errno, absl::StrCat("opening \"", path, "\""));
  }
  ASSIGN_OR_RETURN(const struct stat info, Stat(segment.fd.get(), path));
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat("\"", path, "\" is not a regular file"));
  }
  segment.position.device = info.st_dev;
  segment.position.inode = info.st_ino;
  segment.position.mtime_ns = MtimeNs(info);
  segment.last_growth = clock_->Monotonic();
  return segment;
}

absl::StatusOr<std::unique_ptr<LogReader>> LogReader::Open(Options options, const Clock* clock,
                                                           bool may_appear) {
  std::unique_ptr<LogReader> reader(new LogReader(std::move(options), clock));
  absl::StatusOr<Segment> segment = reader->OpenSegment(reader->options_.path);
  if (segment.ok()) {
    reader->segments_.push_back(*std::move(segment));
  } else if (!absl::IsNotFound(segment.status()) || !may_appear) {
    return segment.status();
  }
  return reader;
}

absl::StatusOr<std::unique_ptr<LogReader>> LogReader::FromStart(Options options, const Clock* clock,
                                                                bool may_appear) {
  return Open(std::move(options), clock, may_appear);
}

absl::StatusOr<std::unique_ptr<LogReader>> LogReader::FromEnd(Options options, const Clock* clock,
                                                              bool may_appear) {
  return FromLastLines(std::move(options), clock, 0, may_appear);
}

absl::StatusOr<std::unique_ptr<LogReader>> LogReader::FromLastBytes(Options options,
                                                                    const Clock* clock,
                                                                    uint64_t bytes,
                                                                    bool may_appear) {
  ASSIGN_OR_RETURN(std::unique_ptr<LogReader> reader, Open(std::move(options), clock, may_appear));
  if (reader->segments_.empty()) return reader;
  Segment& segment = reader->segments_.back();
  const std::string& path = reader->options_.path;
  ASSIGN_OR_RETURN(const struct stat info, Stat(segment.fd.get(), path));
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size <= bytes) return reader;
  // From the byte before: if that ends a line, nothing is cut.
  uint64_t offset = size - bytes - 1;
  while (offset < size) {
    ASSIGN_OR_RETURN(const std::string text, ReadAt(segment.fd.get(), offset, kBlockBytes, path));
    if (text.empty()) break;
    const size_t newline = text.find('\n');
    if (newline != std::string::npos) {
      offset += newline + 1;
      break;
    }
    offset += text.size();
  }
  segment.position.offset_bytes = offset;
  RETURN_IF_ERROR(StampHead(segment.fd.get(), path, &segment.position));
  return reader;
}

absl::StatusOr<std::unique_ptr<LogReader>> LogReader::FromLastLines(Options options,
                                                                    const Clock* clock,
                                                                    uint64_t lines,
                                                                    bool may_appear) {
  ASSIGN_OR_RETURN(std::unique_ptr<LogReader> reader, Open(std::move(options), clock, may_appear));
  if (reader->segments_.empty()) return reader;
  Segment& segment = reader->segments_.back();
  const std::string& path = reader->options_.path;
  ASSIGN_OR_RETURN(const struct stat info, Stat(segment.fd.get(), path));
  ASSIGN_OR_RETURN(
      segment.position.offset_bytes,
      OffsetOfLastLines(segment.fd.get(), path, static_cast<uint64_t>(info.st_size), lines));
  RETURN_IF_ERROR(StampHead(segment.fd.get(), path, &segment.position));
  return reader;
}

absl::StatusOr<std::unique_ptr<LogReader>> LogReader::FromCursor(Options options,
                                                                 const Clock* clock,
                                                                 const LogCursor& cursor) {
  std::unique_ptr<LogReader> reader(new LogReader(std::move(options), clock));
  if (cursor.positions.empty()) {  // Of a reader that waited for the file to appear.
    return Open(reader->options_, clock, /*may_appear=*/true);
  }
  reader->left_ = cursor.left;
  ASSIGN_OR_RETURN(std::vector<Segment> files,
                   reader->NewerFiles(std::numeric_limits<int64_t>::min()));
  int64_t read_until = std::numeric_limits<int64_t>::min();
  for (const LogPosition& position : cursor.positions) {
    read_until = std::max(read_until, position.mtime_ns);
    const auto found = std::find_if(files.begin(), files.end(), [&](const Segment& file) {
      return file.position.device == position.device && file.position.inode == position.inode;
    });
    bool same = false;
    if (found != files.end()) {
      ASSIGN_OR_RETURN(same, HeadMatches(found->fd.get(), reader->options_.path, position));
    }
    if (!same) {
      reader->gap_ = true;
      continue;
    }
    found->position = position;
    reader->segments_.push_back(std::move(*found));
    files.erase(found);
  }
  // Also the present file, however old; and of one that was truncated and written anew, all.
  ASSIGN_OR_RETURN(std::vector<Segment> newer, reader->NewerFiles(read_until));
  for (Segment& file : newer) reader->segments_.push_back(std::move(file));
  return reader;
}

bool LogReader::IsOpen(uint64_t device, uint64_t inode) const {
  return std::any_of(segments_.begin(), segments_.end(), [&](const Segment& segment) {
    return segment.position.device == device && segment.position.inode == inode;
  });
}

bool LogReader::WasLeft(const Segment& segment) const {
  return std::any_of(left_.begin(), left_.end(), [&](const LogPosition& position) {
    if (position.device != segment.position.device || position.inode != segment.position.inode) {
      return false;
    }
    // The inode may be another file's by now.
    return HeadMatches(segment.fd.get(), options_.path, position).value_or(false);
  });
}

absl::StatusOr<std::vector<LogReader::Segment>> LogReader::NewerFiles(int64_t mtime_ns) const {
  const size_t slash = options_.path.rfind('/');
  const std::string directory = slash == std::string::npos ? "."
                                : slash == 0               ? "/"
                                                           : options_.path.substr(0, slash);
  const std::string name =
      slash == std::string::npos ? options_.path : options_.path.substr(slash + 1);
  std::vector<Segment> files;
  DIR* const listing = opendir(directory.c_str());
  if (listing == nullptr) {
    if (errno == ENOENT) return files;
    return ErrnoStatus(errno, absl::StrCat("listing \"", directory, "\""));
  }
  while (const struct dirent* entry = readdir(listing)) {
    const absl::string_view file = entry->d_name;
    if (file != name &&
        (!absl::StartsWith(file, name) || (file[name.size()] != '.' && file[name.size()] != '-'))) {
      continue;
    }
    if (absl::EndsWith(file, ".gz") || absl::EndsWith(file, ".xz") ||
        absl::EndsWith(file, ".zst") || absl::EndsWith(file, ".bz2")) {
      continue;
    }
    absl::StatusOr<Segment> segment = OpenSegment(absl::StrCat(directory, "/", file));
    if (!segment.ok() || IsOpen(segment->position.device, segment->position.inode) ||
        WasLeft(*segment)) {
      continue;
    }
    if (segment->position.mtime_ns > mtime_ns || file == name) files.push_back(*std::move(segment));
  }
  closedir(listing);
  std::sort(files.begin(), files.end(), [](const Segment& a, const Segment& b) {
    return a.position.mtime_ns < b.position.mtime_ns;
  });
  return files;
}

absl::Status LogReader::FollowRotation() {
  struct stat info = {};
  if (stat(options_.path.c_str(), &info) != 0) return absl::OkStatus();  // It may come back.
  if (IsOpen(info.st_dev, info.st_ino)) return absl::OkStatus();
  const int64_t read_until =
      segments_.empty() ? std::numeric_limits<int64_t>::max() : segments_.back().position.mtime_ns;
  ASSIGN_OR_RETURN(std::vector<Segment> files, NewerFiles(read_until));
  // However long it was quiet: its writers have yet to notice.
  if (!segments_.empty()) segments_.back().last_growth = clock_->Monotonic();
  for (Segment& file : files) segments_.push_back(std::move(file));
  while (segments_.size() > options_.max_segments) {
    segments_.erase(segments_.begin());
    gap_ = true;
  }
  return absl::OkStatus();
}

absl::Status LogReader::CheckTruncation(Segment* segment) {
  ASSIGN_OR_RETURN(const struct stat info, Stat(segment->fd.get(), options_.path));
  bool anew = static_cast<uint64_t>(info.st_size) < segment->position.offset_bytes;
  if (!anew && MtimeNs(info) != segment->position.mtime_ns) {
    ASSIGN_OR_RETURN(const bool same,
                     HeadMatches(segment->fd.get(), options_.path, segment->position));
    anew = !same;
  }
  if (anew) {
    segment->position.offset_bytes = 0;
    segment->position.head_bytes = 0;
    segment->position.head_hash = 0;
  }
  segment->position.mtime_ns = MtimeNs(info);
  return absl::OkStatus();
}

absl::StatusOr<LogReader::Chunk> LogReader::ReadSegment(Segment* segment, size_t max_bytes,
                                                        bool to_the_end) {
  Chunk chunk;
  RETURN_IF_ERROR(CheckTruncation(segment));
  LogPosition& position = segment->position;
  ASSIGN_OR_RETURN(chunk.text,
                   ReadAt(segment->fd.get(), position.offset_bytes, max_bytes, options_.path));
  const bool full = chunk.text.size() == max_bytes;
  const size_t newline = chunk.text.rfind('\n');
  size_t taken = newline == std::string::npos ? 0 : newline + 1;
  // A line that does not end within what may be read is given in pieces.
  if (taken == 0 && full) taken = chunk.text.size();
  // One that will never end is given as it is.
  if (taken < chunk.text.size() && !full && to_the_end) taken = chunk.text.size();
  chunk.more = full || taken < chunk.text.size();
  chunk.text.resize(taken);
  if (taken == 0) {
    chunk.more = false;
    return chunk;
  }
  position.offset_bytes += taken;
  segment->last_growth = clock_->Monotonic();
  if (chunk.text.back() != '\n') {
    if (to_the_end && !full) {
      chunk.text.push_back('\n');
    } else {
      chunk.mid_line = true;
    }
  }
  chunk.more = full;
  RETURN_IF_ERROR(StampHead(segment->fd.get(), options_.path, &position));
  return chunk;
}

absl::StatusOr<LogReader::Chunk> LogReader::Next(size_t max_bytes) {
  max_bytes = std::max<size_t>(max_bytes, 1);
  RETURN_IF_ERROR(FollowRotation());
  Chunk chunk;
  for (size_t i = 0; i < segments_.size();) {
    Segment& segment = segments_[i];
    const bool left =
        i + 1 < segments_.size() && clock_->Monotonic() - segment.last_growth >= options_.linger;
    ASSIGN_OR_RETURN(Chunk read, ReadSegment(&segment, max_bytes, /*to_the_end=*/left));
    if (!read.text.empty()) {
      chunk = std::move(read);
      chunk.more = chunk.more || i + 1 < segments_.size();
      break;
    }
    if (left) {
      left_.push_back(segment.position);
      if (left_.size() > kMaxLeft) left_.erase(left_.begin());
      segments_.erase(segments_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  chunk.gap = std::exchange(gap_, false);
  return chunk;
}

absl::StatusOr<LogReader::Chunk> LogReader::Rest(size_t max_bytes) {
  for (Segment& segment : segments_) {
    ASSIGN_OR_RETURN(Chunk chunk, ReadSegment(&segment, std::max<size_t>(max_bytes, 1), true));
    if (!chunk.text.empty()) return chunk;
  }
  return Chunk();
}

LogCursor LogReader::cursor() const {
  LogCursor cursor;
  cursor.left = left_;
  for (const Segment& segment : segments_) cursor.positions.push_back(segment.position);
  return cursor;
}

}  // namespace om
