#include "server/service/log_api.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "server/base/status.h"
#include "server/service/convert.h"

namespace om {
namespace {

namespace pb = control::v1;

constexpr char kOperation[] = "om.control.v1.LogService/ReadLog";

// So many pieces of a log are looked at in one go for lines that a filter lets through.
constexpr int kMaxItemsAtOnce = 4;

absl::Status Invalid(absl::string_view field, absl::string_view message) {
  return WithField(absl::InvalidArgumentError(absl::StrCat(field, ": ", message)),
                   std::string(field));
}

absl::StatusOr<absl::Time> TimeOf(absl::string_view field,
                                  const google::protobuf::Timestamp& time) {
  // What google.protobuf.Timestamp allows: years 1 to 9999.
  if (time.seconds() < -62'135'596'800 || time.seconds() > 253'402'300'799 || time.nanos() < 0 ||
      time.nanos() > 999'999'999) {
    return Invalid(field, absl::StrCat(time.seconds(), " s, ", time.nanos(),
                                       " ns is no timestamp between the years 1 and 9999"));
  }
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

absl::StatusOr<LogFilter> FilterOf(const pb::ReadLogRequest& request) {
  LogFilter filter;
  if (!request.has_filter()) return filter;
  const pb::LogFilter& wanted = request.filter();
  if (!wanted.min_level().empty()) {
    filter.min_level = ParseLogLevel(wanted.min_level());
    if (filter.min_level == LogLevel::kUnknown) {
      return Invalid(
          "filter.min_level",
          absl::StrCat("\"", wanted.min_level(),
                       "\" is no level; expected DEBUG, INFO, WARNING, ERROR or CRITICAL"));
    }
  }
  if (wanted.has_since()) {
    ASSIGN_OR_RETURN(filter.since, TimeOf("filter.since", wanted.since()));
  }
  if (wanted.has_until()) {
    ASSIGN_OR_RETURN(filter.until, TimeOf("filter.until", wanted.until()));
  }
  filter.text = wanted.text();
  filter.rid = wanted.resource_id();
  if (request.raw() && !filter.empty()) {
    return Invalid("filter", "cannot be used with raw: bytes have no level and no time");
  }
  return filter;
}

absl::StatusOr<LogTailRequest> TailRequestOf(const pb::ReadLogRequest& request) {
  LogTailRequest tail;
  tail.follow = request.follow();
  switch (request.start_case()) {
    case pb::ReadLogRequest::kBacklogBytes:
      tail.amount = request.backlog_bytes();
      break;
    case pb::ReadLogRequest::kBacklogLines:
      tail.start = LogTailRequest::Start::kLastLines;
      tail.amount = request.backlog_lines();
      break;
    case pb::ReadLogRequest::kWholeFile:
      if (request.whole_file()) tail.start = LogTailRequest::Start::kWholeFile;
      break;
    case pb::ReadLogRequest::kEnd:
      if (request.end()) tail.start = LogTailRequest::Start::kEnd;
      break;
    case pb::ReadLogRequest::kCursor: {
      tail.start = LogTailRequest::Start::kCursor;
      ASSIGN_OR_RETURN(tail.cursor, LogCursor::Parse(request.cursor()));
      break;
    }
    case pb::ReadLogRequest::START_NOT_SET:
      break;
  }
  return tail;
}

}  // namespace

LogStream::LogStream(std::shared_ptr<LogTail> tail, Options options)
    : tail_(std::move(tail)), options_(std::move(options)), filter_(options_.filter) {}

void LogStream::AddEntries(const LogTailItem& item, pb::ReadLogResponse* message) {
  absl::string_view rest = item.text;
  while (!rest.empty()) {
    const size_t newline = rest.find('\n');
    const absl::string_view line = rest.substr(0, newline);
    rest.remove_prefix(newline == absl::string_view::npos ? rest.size() : newline + 1);
    LogEntry entry;
    if (in_line_) {
      entry.message = std::string(line);
      entry.continuation = true;
    } else {
      entry = ParseLogLine(line, options_.origin, options_.zone);
    }
    in_line_ = newline == absl::string_view::npos;
    if (!filter_.Passes(entry)) continue;
    pb::LogEntry* out = message->add_entries();
    if (entry.time.has_value()) *out->mutable_time() = ToProto(*entry.time);
    out->set_node(entry.node);
    out->set_object(entry.object);
    out->set_component(entry.component);
    out->set_resource_id(entry.rid);
    out->set_level(entry.level_text);
    out->set_message(entry.message);
    out->set_raw(std::string(line));
    out->set_continuation(entry.continuation);
  }
}

absl::StatusOr<std::optional<pb::ReadLogResponse>> LogStream::NextMessage() {
  for (int looked_at = 0; looked_at < kMaxItemsAtOnce; ++looked_at) {
    ASSIGN_OR_RETURN(std::optional<LogTailItem> item, tail_->Next());
    if (!item.has_value()) return std::optional<pb::ReadLogResponse>();
    pb::ReadLogResponse message;
    if (options_.raw) {
      message.set_raw(std::move(item->text));
    } else {
      if (item->gap) in_line_ = false;
      AddEntries(*item, &message);
    }
    cursor_ = std::move(item->cursor);
    // Nothing of it was let through: the next one may have more to say.
    if (message.entries().empty() && message.raw().empty() && !item->gap && !item->caught_up) {
      continue;
    }
    message.set_node(options_.node);
    message.set_cursor(cursor_.ToText());
    message.set_gap(item->gap);
    message.set_caught_up(item->caught_up);
    return std::optional<pb::ReadLogResponse>(std::move(message));
  }
  // Others want this thread, too: a filter may let nothing through of a whole log.
  tail_->WakeLater();
  return std::optional<pb::ReadLogResponse>();
}

absl::StatusOr<Bytes> LogStream::Next() {
  ASSIGN_OR_RETURN(const std::optional<pb::ReadLogResponse> message, NextMessage());
  if (!message.has_value()) return Bytes();
  return std::make_shared<const std::string>(message->SerializeAsString());
}

Bytes LogStream::HeartbeatMessage() const {
  pb::ReadLogResponse message;
  message.set_node(options_.node);
  message.set_cursor(cursor_.ToText());
  return std::make_shared<const std::string>(message.SerializeAsString());
}

absl::StatusOr<std::shared_ptr<LogStream>> LogApi::ReadLog(const Caller& caller,
                                                           const pb::ReadLogRequest& request) {
  RETURN_IF_ERROR(Admit(*context_, caller, kOperation));
  LogStream::Options options;
  options.node = context_->core->local_node();
  options.origin.node = options.node;
  options.raw = request.raw();
  options.zone = absl::LocalTimeZone();
  ASSIGN_OR_RETURN(options.filter, FilterOf(request));
  ASSIGN_OR_RETURN(LogTailRequest tail, TailRequestOf(request));
  tail.path = context_->roots.NodeLog();
  if (request.path().empty()) {
    RETURN_IF_ERROR(Noted(*context_, caller, kOperation,
                          RequireRole(caller, kOperation, Role::kRoot, std::nullopt)));
  } else {
    const absl::StatusOr<ObjectPath> path = ObjectPath::Parse(request.path());
    if (!path.ok()) return WithField(path.status(), "path");
    RETURN_IF_ERROR(
        Noted(*context_, caller, kOperation, Authorize(caller, kOperation, path->ns())));
    const std::shared_ptr<const ObjectState> object =
        context_->core->snapshot()->objects.Find(*path);
    if (object == nullptr) {
      return MakeError("SERVICE_UNKNOWN",
                       absl::StrCat("service ", path->ToString(), " is unknown"));
    }
    options.origin.object = path->name();
    tail.path = path->LogFile(context_->roots);
  }
  ASSIGN_OR_RETURN(std::shared_ptr<LogTail> opened, tailer_->Open(std::move(tail)));
  return std::make_shared<LogStream>(std::move(opened), std::move(options));
}

}  // namespace om
