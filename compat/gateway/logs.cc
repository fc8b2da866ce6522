#include "compat/gateway/logs.h"

#include <cmath>
#include <deque>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "compat/wire/encoding.h"
#include "compat/wire/reply.h"
#include "server/base/mutex.h"
#include "server/base/status.h"
#include "server/service/errors.h"

namespace om {
namespace {

namespace pb = control::v1;

Json ErrorOf(const absl::Status& status) {
  return ErrorReply(std::string(status.message()), RuleOf(status).legacy_status);
}

// Turns what a log tells into messages, on a worker: text is cut into lines, written and compressed
// there. Holds at most two messages that are ready and one that is being made.
class LogBatches final : public LegacyStream {
 public:
  LogBatches(std::shared_ptr<LogStream> source, Executor* workers, bool follow, bool parsed)
      : follow_(follow), state_(std::make_shared<State>()) {
    state_->source = std::move(source);
    state_->workers = workers;
    state_->follow = follow;
    state_->parsed = parsed;
  }
  ~LogBatches() override {
    std::shared_ptr<LogStream> source;  // Let go of after the lock: its end waits for its wakes.
    MutexLock lock(&state_->mutex);
    state_->ended = true;
    state_->wake = nullptr;
    if (!state_->working) source.swap(state_->source);
  }

  void Start(std::function<void()> wake) override {
    std::shared_ptr<LogStream> source;
    {
      MutexLock lock(&state_->mutex);
      state_->wake = std::move(wake);
      source = state_->source;
    }
    source->SetWake([weak = std::weak_ptr<State>(state_)] {
      if (const std::shared_ptr<State> state = weak.lock()) Kick(state);
    });
    Kick(state_);
  }
  absl::StatusOr<StreamMessagePtr> Next() override {
    StreamMessagePtr message;
    {
      MutexLock lock(&state_->mutex);
      if (state_->ready.empty()) {
        if (!state_->error.ok()) return state_->error;
        return StreamMessagePtr();
      }
      message = std::move(state_->ready.front());
      state_->ready.pop_front();
    }
    Kick(state_);  // There is room again.
    return message;
  }
  bool over() const override {
    MutexLock lock(&state_->mutex);
    return state_->over && state_->ready.empty();
  }
  bool keeps_alive() const override { return follow_; }

 private:
  static constexpr size_t kMaxReady = 2;

  struct State {
    Mutex mutex;
    std::shared_ptr<LogStream> source;  // By whoever works; else guarded.
    Executor* workers = nullptr;        // Not owned.
    bool follow = false;
    bool parsed = false;
    std::function<void()> wake GUARDED_BY(mutex);
    std::deque<StreamMessagePtr> ready GUARDED_BY(mutex);
    absl::Status error GUARDED_BY(mutex);
    bool over GUARDED_BY(mutex) = false;
    bool ended GUARDED_BY(mutex) = false;  // Nobody asks any more.
    bool working GUARDED_BY(mutex) = false;
    bool again GUARDED_BY(mutex) = false;
    // By whoever works.
    bool told = false;
    Json lines = Json::array();
    size_t line_bytes = 0;
  };

  static void Kick(const std::shared_ptr<State>& state) {
    {
      MutexLock lock(&state->mutex);
      state->again = true;
      if (state->working || state->ended || state->over || !state->error.ok() ||
          state->ready.size() >= kMaxReady) {
        return;
      }
      state->working = true;
    }
    // Too much to do elsewhere: better slow than never.
    if (!state->workers->Post([state] { Work(state.get()); })) Work(state.get());
  }

  static void Work(State* state) {
    while (true) {
      std::shared_ptr<LogStream> source;  // Let go of after the lock.
      {
        MutexLock lock(&state->mutex);
        if (!state->again || state->ended || state->over || !state->error.ok() ||
            state->ready.size() >= kMaxReady) {
          state->working = false;
          if (state->ended) source.swap(state->source);
          return;
        }
        state->again = false;
      }
      bool over = false;
      absl::Status error = Collect(state, &over);
      StreamMessagePtr message;
      if (!error.ok() && !state->told && state->lines.empty()) {
        // Said as a refusal, since nothing else was said yet.
        message = std::make_shared<const StreamMessage>(ReplyText(ErrorOf(error)));
        error = absl::OkStatus();
        over = true;
      } else if (!state->lines.empty() && (over || !error.ok() || state->follow ||
                                           state->line_bytes > LegacyLogs::kBatchBytes)) {
        message = std::make_shared<const StreamMessage>(DumpJson(state->lines));
        state->lines = Json::array();
        state->line_bytes = 0;
      }
      if (message != nullptr) {
        state->told = true;
        (void)message->compressed();  // Here rather than where packets are written.
      }
      std::function<void()> wake;
      {
        MutexLock lock(&state->mutex);
        // A full batch may have left something to read; no wake would tell of it.
        if (message != nullptr) state->again = true;
        if (message != nullptr) state->ready.push_back(std::move(message));
        state->over = state->over || over;
        state->error = error;
        wake = state->wake;
      }
      if (wake) wake();
    }
  }

  // Takes what there is, up to a batch.
  static absl::Status Collect(State* state, bool* over) {
    while (state->line_bytes <= LegacyLogs::kBatchBytes) {
      ASSIGN_OR_RETURN(const std::optional<pb::ReadLogResponse> message,
                       state->source->NextMessage());
      if (!message.has_value()) {
        *over = state->source->over();
        return absl::OkStatus();
      }
      if (state->parsed) {
        for (const pb::LogEntry& entry : message->entries()) {
          AppendLegacyEntry(entry, &state->lines);
          state->line_bytes += entry.raw().size();
        }
        continue;
      }
      const std::string& raw = message->raw();
      for (size_t begin = 0; begin < raw.size();) {
        const size_t newline = raw.find('\n', begin);
        const size_t end = newline == std::string::npos ? raw.size() : newline + 1;
        state->lines.push_back(DropInvalidUtf8(raw.substr(begin, end - begin)));
        begin = end;
      }
      state->line_bytes += raw.size();
    }
    return absl::OkStatus();
  }

  const bool follow_;
  const std::shared_ptr<State> state_;
};

// Gathers a list that is one reply. Kept alive by what wakes it.
struct ListJob {
  Mutex mutex;
  std::shared_ptr<LogStream> source GUARDED_BY(mutex);
  Json list GUARDED_BY(mutex) = Json::array();
  LegacyLogs::Done done GUARDED_BY(mutex);
};

void Gather(const std::shared_ptr<ListJob>& job) {
  LegacyLogs::Done done;
  Json reply;
  std::shared_ptr<LogStream> source;  // Let go of after the lock.
  {
    MutexLock lock(&job->mutex);
    if (!job->done) return;
    while (true) {
      absl::StatusOr<std::optional<pb::ReadLogResponse>> message = job->source->NextMessage();
      if (!message.ok()) {
        reply = ErrorOf(message.status());
        break;
      }
      if (message->has_value()) {
        for (const pb::LogEntry& entry : (*message)->entries()) {
          AppendLegacyEntry(entry, &job->list);
        }
        continue;
      }
      if (!job->source->over()) return;
      reply = std::move(job->list);
      break;
    }
    done = std::exchange(job->done, nullptr);
    source = std::move(job->source);
  }
  done(std::move(reply));
}

}  // namespace

absl::StatusOr<std::optional<int64_t>> BacklogOption(const Json& options) {
  const auto found = options.find("backlog");
  if (found == options.end() || found->is_null()) return std::optional<int64_t>();
  constexpr double kMost = 1e18;
  double amount = 0;
  if (found->is_number()) {
    amount = found->get<double>();
  } else if (found->is_string()) {
    const std::string text = found->get<std::string>();
    const absl::Status refused = WithField(
        absl::InvalidArgumentError(absl::StrCat("convert size error: unsupported unit in ", text)),
        "backlog");
    std::string rest(absl::StripAsciiWhitespace(absl::AsciiStrToLower(text)));
    const size_t unit_at = rest.find_first_not_of("-0123456789.,");
    std::string unit = unit_at == std::string::npos ? "" : rest.substr(unit_at);
    rest = absl::StrReplaceAll(rest.substr(0, unit_at), {{",", "."}});
    unit = std::string(absl::StripAsciiWhitespace(unit));
    if (!absl::SimpleAtod(rest, &amount)) return refused;
    if (!unit.empty()) {
      constexpr absl::string_view kUnits = "kmgtp";
      const size_t power = kUnits.find(unit[0]);
      const std::string more = unit.substr(1);
      if (power == absl::string_view::npos ||
          (!more.empty() && more != "b" && more != "i" && more != "ib")) {
        return refused;
      }
      const double factor = absl::StartsWith(more, "i") ? 1000 : 1024;
      amount *= std::pow(factor, static_cast<double>(power + 1));
    }
  } else {
    return WithField(
        absl::InvalidArgumentError(absl::StrCat("option backlog is of type ", found->type_name(),
                                                "; expected a size or null")),
        "backlog");
  }
  if (!(amount > -kMost && amount < kMost)) {
    return WithField(absl::InvalidArgumentError("option backlog is no size that a file can have"),
                     "backlog");
  }
  return std::optional<int64_t>(static_cast<int64_t>(amount));
}

void AppendLegacyEntry(const pb::LogEntry& entry, Json* list) {
  std::string text = DropInvalidUtf8(entry.message());
  if (entry.continuation() && !list->empty()) {
    list->back()["m"].push_back(std::move(text));
    return;
  }
  Json about = Json::object();
  const auto add = [&about](const char* key, const std::string& value) {
    if (!value.empty()) about[key] = DropInvalidUtf8(value);
  };
  add("n", entry.node());
  add("c", entry.component());
  add("o", entry.object());
  add("r", entry.resource_id());
  const double time = entry.has_time()
                          ? static_cast<double>(entry.time().seconds()) + entry.time().nanos() / 1e9
                          : 0.0;
  list->push_back({{"t", time},
                   {"l", entry.level().empty() ? "INFO" : DropInvalidUtf8(entry.level())},
                   {"m", Json::array({std::move(text)})},
                   {"x", std::move(about)}});
}

absl::StatusOr<std::shared_ptr<LogStream>> LegacyLogs::Open(const Caller& caller,
                                                            const std::string& path,
                                                            std::optional<int64_t> backlog,
                                                            bool raw, bool listed) {
  pb::ReadLogRequest read;
  read.set_path(path);
  read.set_raw(raw);
  if (backlog.has_value() && *backlog == 0) {
    read.set_end(true);
    read.set_follow(true);
  } else if (backlog.has_value() && *backlog < 0 && !listed) {
    read.set_whole_file(true);
  } else if (backlog.has_value()) {
    uint64_t bytes =
        *backlog < 0 ? std::numeric_limits<uint64_t>::max() : static_cast<uint64_t>(*backlog);
    if (listed) bytes = std::min(bytes, kMaxListBytes);
    read.set_backlog_bytes(bytes);
  }
  return logs_->ReadLog(caller, read);
}

LegacyLogs::Answer LegacyLogs::Stream(const LegacyRequest& request, const Caller& caller,
                                      bool of_object) {
  const bool is_2x = !request.method.empty();
  Answer answer;
  std::string path;
  if (of_object) {
    absl::StatusOr<std::string> option = ObjectPathOption(request.options);
    if (!option.ok()) return {ErrorOf(option.status()), nullptr};
    if (option->empty()) {
      answer.refusal =
          is_2x ? ErrorReply("required option path is not set", 400) : Json{{"status", 1}};
      return answer;
    }
    path = *option;
  }
  absl::StatusOr<std::optional<int64_t>> backlog = BacklogOption(request.options);
  if (!backlog.ok()) return {ErrorOf(backlog.status()), nullptr};
  // Clients of 2.x fetch the backlog by its own name, and ask here for what comes.
  const bool parsed = is_2x && !backlog->has_value();
  if (parsed) *backlog = 0;
  absl::StatusOr<std::shared_ptr<LogStream>> source =
      Open(caller, path, *backlog, /*raw=*/!parsed, /*listed=*/false);
  if (!source.ok()) {
    const bool unknown = RuleOf(source.status()).reason == "SERVICE_UNKNOWN";
    if (unknown && is_2x) return {ErrorReply(absl::StrCat(path, " not found"), 404), nullptr};
    return {unknown ? Json{{"status", 1}} : ErrorOf(source.status()), nullptr};
  }
  answer.stream = std::make_unique<LogBatches>(*std::move(source), context_->workers,
                                               *backlog == std::optional<int64_t>(0), parsed);
  return answer;
}

void LegacyLogs::List(const LegacyRequest& request, const Caller& caller, bool of_object,
                      const Done& done) {
  std::string path;
  if (of_object) {
    absl::StatusOr<std::string> option = ObjectPathOption(request.options);
    if (!option.ok()) return done(ErrorOf(option.status()));
    if (option->empty()) return done(ErrorReply("required option path is not set", 400));
    path = *option;
  }
  absl::StatusOr<std::optional<int64_t>> backlog = BacklogOption(request.options);
  if (!backlog.ok()) return done(ErrorOf(backlog.status()));
  // Nothing before the end is a list without entries.
  if (*backlog == std::optional<int64_t>(0)) return done(Json::array());
  absl::StatusOr<std::shared_ptr<LogStream>> source =
      Open(caller, path, *backlog, /*raw=*/false, /*listed=*/true);
  if (!source.ok()) {
    if (RuleOf(source.status()).reason == "SERVICE_UNKNOWN") {
      return done(ErrorReply(absl::StrCat(path, " not found"), 404));
    }
    return done(ErrorOf(source.status()));
  }
  auto job = std::make_shared<ListJob>();
  {
    MutexLock lock(&job->mutex);
    job->source = *source;
    job->done = done;
  }
  // Kept by the source, which is kept by the job: the job lets go of it when it is done.
  (*source)->SetWake([job, workers = context_->workers] {
    if (!workers->Post([job] { Gather(job); })) Gather(job);
  });
  if (!context_->workers->Post([job] { Gather(job); })) Gather(job);
}

}  // namespace om
