#include "server/crm/action_registry.h"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "glog/logging.h"
#include "server/base/mutex.h"
#include "server/base/status.h"
#include "server/crm/action_words.h"

namespace om {
namespace {

// A piece of output as a reader gets it.
constexpr size_t kMaxPieceBytes = size_t{64} << 10;
// What a piece costs beside its text.
constexpr size_t kPieceOverheadBytes = 128;

// When to ask again for the place of a command: nobody knows when one ends, and asking is cheap.
constexpr std::chrono::seconds kPlaceRetry{1};

using Wake = std::function<void()>;

size_t Index(int stream) { return stream == 1 ? 0 : 1; }

absl::Status Unknown(const std::string& id) {
  return WithReason(absl::NotFoundError(absl::StrCat(
                        "no action \"", absl::Utf8SafeCHexEscape(id.substr(0, 64)), "\"")),
                    "ACTION_UNKNOWN");
}

absl::Status Stopping() {
  return WithReason(
      absl::UnavailableError("the daemon is stopping; a command that runs is left running"),
      "DAEMON_STOPPING");
}

absl::Status TooManyActions(const std::string& what) {
  return WithRetryAfter(WithReason(absl::ResourceExhaustedError(what), "TOO_MANY_ACTIONS"),
                        kPlaceRetry);
}

}  // namespace

struct ActionRegistry::ReaderState {
  std::shared_ptr<Record> record;
  uint64_t next = 0;          // Position in all output, both streams together.
  uint64_t told[2] = {0, 0};  // Bytes of each stream that were told, or told to be missed.
  bool begun_told = false;
  bool end_told = false;
  bool hungry = false;  // Was told that there is nothing.
  Wake wake;
};

struct ActionRegistry::Record {
  // Of one stream, as it was read. `begin` counts the output of both.
  struct Piece {
    uint64_t begin = 0;
    int stream = 0;
    uint64_t offset = 0;
    std::string data;
    size_t cost() const { return data.capacity() + kPieceOverheadBytes; }
  };

  uint64_t sequence = 0;
  std::string limit_key;
  ActionInfo info;
  std::optional<ProcessId> process;  // Unset until the launcher has said it.
  bool begun = false;                // It runs, or has ended.
  bool ended = false;
  MonotonicTime end_time;
  bool paused = false;
  bool abandoned = false;  // Its owner has left.
  int early_signal = 0;    // To be sent once `process` is known.
  std::deque<Piece> pieces;
  size_t cost = 0;       // Of the pieces.
  uint64_t written = 0;  // Bytes of both streams.
  uint64_t bytes[2] = {0, 0};
  std::vector<std::shared_ptr<ReaderState>> readers;
  std::shared_ptr<ReaderState> owner;
  bool captures = false;
  std::string captured[2];
  bool truncated = false;
  Started on_started;
  Ended on_ended;

  ActionInfo Info() const {
    ActionInfo copy = info;
    copy.stdout_bytes = bytes[0];
    copy.stderr_bytes = bytes[1];
    copy.reader_count = static_cast<int>(readers.size());
    return copy;
  }
  void DropOldest() {
    cost -= pieces.front().cost();
    pieces.pop_front();
  }
  void Add(int stream, absl::string_view data) {
    const size_t index = Index(stream);
    // A program that writes by the byte does not cost a piece a byte.
    if (!pieces.empty() && pieces.back().stream == stream &&
        pieces.back().data.size() + data.size() <= kMaxPieceBytes) {
      cost -= pieces.back().cost();
      pieces.back().data.append(data.data(), data.size());
      cost += pieces.back().cost();
    } else {
      pieces.push_back({written, stream, bytes[index], std::string(data)});
      cost += pieces.back().cost();
    }
    written += data.size();
    bytes[index] += data.size();
  }
  // Takes the wakes of readers that wait.
  void CollectWakes(std::vector<Wake>* wakes) {
    for (const std::shared_ptr<ReaderState>& reader : readers) {
      if (!reader->hungry || !reader->wake) continue;
      reader->hungry = false;
      wakes->push_back(reader->wake);
    }
  }
};

struct ActionRegistry::State : std::enable_shared_from_this<ActionRegistry::State> {
  ProcessLauncher* launcher;  // Not owned.
  const Clock* clock;         // Not owned.
  SecureRandom* random;       // Not owned.
  Counter* started;
  Counter* refused;
  Counter* abandoned;
  Counter* missed_bytes;
  Counter* running_counter;

  Mutex mutex;
  Options options GUARDED_BY(mutex);
  bool stopping GUARDED_BY(mutex) = false;
  bool closed GUARDED_BY(mutex) = false;
  uint64_t next_sequence GUARDED_BY(mutex) = 1;
  size_t running GUARDED_BY(mutex) = 0;
  // By limit_key, of those that have one and a command that runs.
  std::map<std::string, size_t> running_of GUARDED_BY(mutex);
  size_t total_cost GUARDED_BY(mutex) = 0;  // Of all pieces, and what is captured.
  std::map<uint64_t, std::shared_ptr<Record>> records GUARDED_BY(mutex);
  std::map<std::string, std::shared_ptr<Record>> by_id GUARDED_BY(mutex);
  std::deque<std::shared_ptr<Record>> ended_records GUARDED_BY(mutex);  // Oldest first.

  absl::StatusOr<std::shared_ptr<Record>> Begin(ActionRequest request, bool detached,
                                                ProcessSpec* spec) REQUIRES(mutex);
  void Launch(const std::shared_ptr<Record>& record, ProcessSpec spec) EXCLUDES(mutex);
  void OnStart(const std::shared_ptr<Record>& record, pid_t pid) EXCLUDES(mutex);
  bool OnChunk(const std::shared_ptr<Record>& record, int stream, absl::string_view chunk)
      EXCLUDES(mutex);
  void OnEnd(const std::shared_ptr<Record>& record, const ProcessResult& result) EXCLUDES(mutex);

  absl::StatusOr<std::shared_ptr<Record>> Find(const std::string& id) REQUIRES(mutex);
  std::shared_ptr<ReaderState> AddReader(const std::shared_ptr<Record>& record) REQUIRES(mutex);
  bool ShouldPause(const Record& record) const REQUIRES(mutex);
  // The process to read on, if there is room again. The launcher is never asked under the lock, as
  // it may answer there.
  std::optional<ProcessId> TakeResume(Record* record) REQUIRES(mutex);
  void DropOutput(Record* record) REQUIRES(mutex);
  // After `record` has grown.
  void KeepBounds(Record* record) REQUIRES(mutex);
  void Forget() REQUIRES(mutex);
  ActionStep NextOutput(ReaderState* reader) REQUIRES(mutex);
};

absl::StatusOr<std::shared_ptr<ActionRegistry::Record>> ActionRegistry::State::Begin(
    ActionRequest request, bool detached, ProcessSpec* spec) {
  Forget();
  if (stopping || closed) return Stopping();
  RETURN_IF_ERROR(CheckActionWords(request.words));
  if (request.input.has_value() && request.input->size() > kMaxActionInputBytes) {
    return WithField(
        absl::InvalidArgumentError(absl::StrCat("standard input of ", request.input->size(),
                                                " bytes; expected at most ", kMaxActionInputBytes)),
        "command.standard_input");
  }
  if (running >= options.max_running) {
    refused->Add();
    return TooManyActions(absl::StrCat(running, " actions run already, which is as many as may"));
  }
  if (!request.limit_key.empty()) {
    const auto found = running_of.find(request.limit_key);
    if (found != running_of.end() && found->second >= options.max_running_of_one) {
      refused->Add();
      return TooManyActions(absl::StrCat(
          found->second, " actions of this caller run already, which is as many as may"));
    }
  }
  auto record = std::make_shared<Record>();
  record->sequence = next_sequence++;
  record->limit_key = std::move(request.limit_key);
  record->info.id = random->Uuid();
  record->info.words = MaskedActionWords(request.words, request.path);
  if (options.mask) {
    for (std::string& word : record->info.words) word = options.mask(word);
  }
  record->info.requester = std::move(request.requester);
  record->info.start_time = clock->Now();
  record->info.detached = detached;
  spec->argv = request.path.has_value() ? options.command : options.node_command;
  if (request.path.has_value()) {
    spec->argv.emplace_back("-s");
    spec->argv.push_back(request.path->ToString());
  }
  const bool add_local =
      request.path.has_value() &&
      std::find(request.words.begin(), request.words.end(), "--local") == request.words.end();
  spec->argv.insert(spec->argv.end(), std::make_move_iterator(request.words.begin()),
                    std::make_move_iterator(request.words.end()));
  if (add_local) spec->argv.emplace_back("--local");
  record->info.path = std::move(request.path);
  spec->extra_environment = options.environment;
  // What a person asks for is that person's action, as from a shell.
  spec->extra_environment.emplace_back("OSVC_ACTION_ORIGIN=user");
  spec->input = std::move(request.input);
  spec->output = ProcessSpec::Output::kStream;
  spec->time_limit = request.time_limit;
  ++running;
  if (!record->limit_key.empty()) ++running_of[record->limit_key];
  running_counter->Set(static_cast<int64_t>(running));
  records.emplace(record->sequence, record);
  by_id.emplace(record->info.id, record);
  return record;
}

void ActionRegistry::State::Launch(const std::shared_ptr<Record>& record, ProcessSpec spec) {
  std::shared_ptr<State> self = shared_from_this();
  spec.on_start = [self, record](pid_t pid) { self->OnStart(record, pid); };
  spec.on_chunk = [self, record](int stream, absl::string_view chunk) {
    return self->OnChunk(record, stream, chunk);
  };
  LOG(INFO) << "action " << record->info.id << " for " << record->info.requester << ": "
            << (record->info.path.has_value() ? record->info.path->ToString() : "node") << " "
            << absl::Utf8SafeCHexEscape(absl::StrJoin(record->info.words, " "));
  const ProcessId process =
      launcher->Run(std::move(spec),
                    [self, record](const ProcessResult& result) { self->OnEnd(record, result); });
  // What happened before the process had a name.
  bool terminate = false;
  int signal = 0;
  std::optional<ProcessId> resume;
  {
    MutexLock lock(&mutex);
    record->process = process;
    terminate = record->abandoned && !record->ended;
    signal = record->ended ? 0 : record->early_signal;
    resume = TakeResume(record.get());
  }
  if (terminate) launcher->Terminate(process);
  if (signal != 0) launcher->Kill(process, signal);
  if (resume.has_value()) launcher->Resume(*resume);
}

void ActionRegistry::State::OnStart(const std::shared_ptr<Record>& record, pid_t pid) {
  Started on_started;
  ActionInfo info;
  std::vector<Wake> wakes;
  {
    MutexLock lock(&mutex);
    if (closed) return;
    record->info.pid = pid;
    record->begun = true;
    started->Add();
    on_started = std::exchange(record->on_started, nullptr);
    if (on_started) info = record->Info();
    record->CollectWakes(&wakes);
  }
  if (on_started) on_started(std::move(info));
  for (const Wake& wake : wakes) wake();
}

bool ActionRegistry::State::OnChunk(const std::shared_ptr<Record>& record, int stream,
                                    absl::string_view chunk) {
  std::vector<Wake> wakes;
  bool go_on = true;
  {
    MutexLock lock(&mutex);
    if (closed) return true;
    if (record->captures) {
      std::string* captured = &record->captured[Index(stream)];
      const size_t limit = total_cost < options.total_bytes ? options.capture_bytes : 0;
      const size_t room = limit - std::min(limit, captured->size());
      const size_t count = std::min(room, chunk.size());
      record->truncated = record->truncated || count < chunk.size();
      captured->append(chunk.data(), count);
      total_cost += count;
    }
    const size_t before = record->cost;
    record->Add(stream, chunk);
    total_cost += record->cost - before;
    KeepBounds(record.get());
    go_on = !ShouldPause(*record);
    record->paused = !go_on;
    record->CollectWakes(&wakes);
  }
  for (const Wake& wake : wakes) wake();
  return go_on;
}

void ActionRegistry::State::OnEnd(const std::shared_ptr<Record>& record,
                                  const ProcessResult& result) {
  Started on_started;
  Ended on_ended;
  ActionEnd end;
  std::vector<Wake> wakes;
  std::function<void(const ObjectPath&)> tell_ended;
  {
    MutexLock lock(&mutex);
    if (closed) return;
    ActionInfo& info = record->info;
    if (!result.status.ok()) {
      info.state = ActionInfo::State::kNotRun;
      info.error = absl::IsNotFound(result.status) ? WithReason(result.status, "PROGRAM_NOT_FOUND")
                                                   : result.status;
    } else if (result.timed_out) {
      info.state = ActionInfo::State::kTimedOut;
      info.signal = result.signal;
    } else if (result.signal != 0) {
      info.state = ActionInfo::State::kKilled;
      info.signal = result.signal;
    } else {
      info.state = ActionInfo::State::kExited;
      info.exit_code = result.exit_code;
    }
    info.end_time = clock->Now();
    record->begun = true;
    record->ended = true;
    record->end_time = clock->Monotonic();
    --running;
    const auto of_one = running_of.find(record->limit_key);
    if (of_one != running_of.end() && --of_one->second == 0) running_of.erase(of_one);
    running_counter->Set(static_cast<int64_t>(running));
    ended_records.push_back(record);
    if (info.path.has_value() && result.status.ok()) tell_ended = options.ended;
    on_started = std::exchange(record->on_started, nullptr);
    on_ended = std::exchange(record->on_ended, nullptr);
    end.info = record->Info();
    total_cost -= record->captured[0].size() + record->captured[1].size();
    end.standard_output = std::exchange(record->captured[0], {});
    end.standard_error = std::exchange(record->captured[1], {});
    end.output_truncated = record->truncated;
    record->CollectWakes(&wakes);
    Forget();
  }
  if (!result.Succeeded()) LOG(INFO) << "action " << end.info.id << ": " << result.Describe();
  if (tell_ended) tell_ended(*end.info.path);
  if (end.info.state == ActionInfo::State::kNotRun) {
    if (on_started) {
      on_started(end.info.error);
    } else if (on_ended) {
      on_ended(end.info.error);
    }
  } else if (on_ended) {
    on_ended(std::move(end));
  }
  for (const Wake& wake : wakes) wake();
}

absl::StatusOr<std::shared_ptr<ActionRegistry::Record>> ActionRegistry::State::Find(
    const std::string& id) {
  Forget();
  const auto found = by_id.find(id);
  if (found == by_id.end()) return Unknown(id);
  return found->second;
}

std::shared_ptr<ActionRegistry::ReaderState> ActionRegistry::State::AddReader(
    const std::shared_ptr<Record>& record) {
  auto reader = std::make_shared<ReaderState>();
  reader->record = record;
  record->readers.push_back(reader);
  return reader;
}

bool ActionRegistry::State::ShouldPause(const Record& record) const {
  return record.owner != nullptr && !stopping &&
         record.written - record.owner->next > options.owner_lag_bytes;
}

std::optional<ProcessId> ActionRegistry::State::TakeResume(Record* record) {
  if (!record->paused || !record->process.has_value() || closed) return std::nullopt;
  // Half way down, so that not every piece costs a stop and a start.
  const bool room = record->owner == nullptr || stopping ||
                    record->written - record->owner->next <= options.owner_lag_bytes / 2;
  if (!room) return std::nullopt;
  record->paused = false;
  return record->process;
}

void ActionRegistry::State::DropOutput(Record* record) {
  total_cost -= record->cost;
  record->cost = 0;
  record->pieces.clear();
}

void ActionRegistry::State::KeepBounds(Record* record) {
  for (const std::shared_ptr<Record>& ended : ended_records) {
    if (total_cost <= options.total_bytes) break;
    DropOutput(ended.get());
  }
  while (!record->pieces.empty() &&
         (record->cost > options.output_bytes || total_cost > options.total_bytes)) {
    const Record::Piece& oldest = record->pieces.front();
    const bool unread =
        record->owner != nullptr && oldest.begin + oldest.data.size() > record->owner->next;
    if (unread) break;
    const size_t before = record->cost;
    record->DropOldest();
    total_cost -= before - record->cost;
  }
}

void ActionRegistry::State::Forget() {
  const MonotonicTime now = clock->Monotonic();
  while (!ended_records.empty() && (ended_records.size() > options.max_ended ||
                                    now - ended_records.front()->end_time > options.remember)) {
    const std::shared_ptr<Record> record = std::move(ended_records.front());
    ended_records.pop_front();
    DropOutput(record.get());  // Readers that still look are told what they missed.
    records.erase(record->sequence);
    by_id.erase(record->info.id);
  }
}

ActionStep ActionRegistry::State::NextOutput(ReaderState* reader) {
  Record& record = *reader->record;
  ActionStep step;
  // The first piece that goes beyond what has been told.
  const auto piece = std::upper_bound(
      record.pieces.begin(), record.pieces.end(), reader->next,
      [](uint64_t position, const Record::Piece& p) { return position < p.begin + p.data.size(); });
  if (piece != record.pieces.end()) {
    const size_t index = Index(piece->stream);
    const uint64_t skip = reader->next > piece->begin ? reader->next - piece->begin : 0;
    step.kind = ActionStep::Kind::kOutput;
    step.stream = piece->stream;
    step.offset = piece->offset + skip;
    step.data = piece->data.substr(skip, kMaxPieceBytes);
    step.missed_bytes = step.offset - reader->told[index];
    reader->told[index] = step.offset + step.data.size();
    reader->next = piece->begin + skip + step.data.size();
  } else if (record.written > reader->next || record.ended) {
    // Nothing more of it is kept. What was missed of a stream is told at the end, if not before.
    reader->next = record.written;
    for (const int stream : {1, 2}) {
      const size_t index = Index(stream);
      if (!record.ended || reader->told[index] == record.bytes[index]) continue;
      step.kind = ActionStep::Kind::kOutput;
      step.stream = stream;
      step.offset = record.bytes[index];
      step.missed_bytes = record.bytes[index] - reader->told[index];
      reader->told[index] = record.bytes[index];
      break;
    }
  }
  missed_bytes->Add(static_cast<int64_t>(step.missed_bytes));
  return step;
}

ActionRegistry::ActionRegistry(ProcessLauncher* launcher, const Clock* clock, SecureRandom* random,
                               Counters* counters, Options options)
    : state_(std::make_shared<State>()) {
  state_->launcher = launcher;
  state_->clock = clock;
  state_->random = random;
  state_->started = counters->Get("action.started");
  state_->refused = counters->Get("action.refused");
  state_->abandoned = counters->Get("action.abandoned");
  state_->missed_bytes = counters->Get("action.missed_bytes");
  state_->running_counter = counters->Get("action.running");
  MutexLock lock(&state_->mutex);
  state_->options = std::move(options);
}

ActionRegistry::~ActionRegistry() {
  MutexLock lock(&state_->mutex);
  state_->stopping = true;
  state_->closed = true;
}

void ActionRegistry::Run(ActionRequest request, const Started& started, const Ended& ended) {
  ProcessSpec spec;
  absl::StatusOr<std::shared_ptr<Record>> record;
  {
    MutexLock lock(&state_->mutex);
    record = state_->Begin(std::move(request), /*detached=*/true, &spec);
    if (record.ok()) {
      (*record)->captures = ended != nullptr;
      (*record)->on_started = started;
      (*record)->on_ended = ended;
    }
  }
  if (record.ok()) return state_->Launch(*record, std::move(spec));
  if (started) return started(record.status());
  if (ended) ended(record.status());
}

absl::StatusOr<std::unique_ptr<ActionRegistry::Reader>> ActionRegistry::Own(ActionRequest request,
                                                                            bool detached) {
  ProcessSpec spec;
  absl::StatusOr<std::shared_ptr<Record>> record;
  std::unique_ptr<Reader> reader;
  {
    MutexLock lock(&state_->mutex);
    record = state_->Begin(std::move(request), detached, &spec);
    RETURN_IF_ERROR(record.status());
    (*record)->owner = state_->AddReader(*record);
    reader.reset(new Reader(state_, (*record)->owner));
  }
  state_->Launch(*record, std::move(spec));
  return reader;
}

absl::StatusOr<std::unique_ptr<ActionRegistry::Reader>> ActionRegistry::Attach(
    const std::string& id, bool only_new) {
  MutexLock lock(&state_->mutex);
  ASSIGN_OR_RETURN(const std::shared_ptr<Record> record, state_->Find(id));
  if (record->readers.size() >= state_->options.max_readers) {
    return WithReason(
        absl::ResourceExhaustedError(absl::StrCat("action ", id, " has ", record->readers.size(),
                                                  " readers, which is as many as it may have")),
        "TOO_MANY_ACTION_READERS");
  }
  std::shared_ptr<ReaderState> reader = state_->AddReader(record);
  if (only_new) {
    reader->next = record->written;
    reader->told[0] = record->bytes[0];
    reader->told[1] = record->bytes[1];
  }
  return std::unique_ptr<Reader>(new Reader(state_, std::move(reader)));
}

absl::StatusOr<ActionInfo> ActionRegistry::Get(const std::string& id) {
  MutexLock lock(&state_->mutex);
  ASSIGN_OR_RETURN(const std::shared_ptr<Record> record, state_->Find(id));
  return record->Info();
}

absl::StatusOr<ActionInfo> ActionRegistry::Kill(const std::string& id, int signal) {
  std::optional<ProcessId> process;
  ActionInfo info;
  {
    MutexLock lock(&state_->mutex);
    ASSIGN_OR_RETURN(const std::shared_ptr<Record> record, state_->Find(id));
    if (record->ended) {
      return WithReason(
          absl::FailedPreconditionError(absl::StrCat("action ", id, " has ended already")),
          "ACTION_ENDED");
    }
    process = record->process;
    if (!process.has_value()) record->early_signal = signal;
    info = record->Info();
  }
  if (process.has_value()) state_->launcher->Kill(*process, signal);
  return info;
}

ActionRegistry::Page ActionRegistry::List(const Filter& filter, uint64_t before, size_t limit) {
  MutexLock lock(&state_->mutex);
  state_->Forget();
  Page page;
  const auto end = std::make_reverse_iterator(state_->records.begin());
  auto next = std::make_reverse_iterator(before == 0 ? state_->records.end()
                                                     : state_->records.lower_bound(before));
  uint64_t last = 0;
  for (; next != end; ++next) {
    const Record& record = *next->second;
    if (filter.only_running && record.ended) continue;
    if (filter.path.has_value() &&
        *filter.path != (record.info.path.has_value() ? record.info.path->ToString() : "")) {
      continue;
    }
    if (page.actions.size() == limit) {
      page.next = last;
      break;
    }
    page.actions.push_back(record.Info());
    last = record.sequence;
  }
  return page;
}

void ActionRegistry::SetCommands(std::vector<std::string> command,
                                 std::vector<std::string> node_command) {
  MutexLock lock(&state_->mutex);
  state_->options.command = std::move(command);
  state_->options.node_command = std::move(node_command);
}

void ActionRegistry::SetLimits(size_t max_running, size_t max_running_of_one) {
  MutexLock lock(&state_->mutex);
  state_->options.max_running = max_running;
  state_->options.max_running_of_one = max_running_of_one;
}

void ActionRegistry::Stop() {
  std::vector<Started> started;
  std::vector<Ended> ended;
  std::vector<ProcessId> resumes;
  {
    MutexLock lock(&state_->mutex);
    state_->stopping = true;
    for (auto& [sequence, record] : state_->records) {
      if (record->ended) continue;
      // One of the two is told, as always.
      if (record->on_started) {
        started.push_back(std::exchange(record->on_started, nullptr));
        record->on_ended = nullptr;
      } else if (record->on_ended) {
        ended.push_back(std::exchange(record->on_ended, nullptr));
      }
      const std::optional<ProcessId> resume = state_->TakeResume(record.get());
      if (resume.has_value()) resumes.push_back(*resume);
    }
  }
  for (const ProcessId process : resumes) state_->launcher->Resume(process);
  for (const Started& callback : started) callback(Stopping());
  for (const Ended& callback : ended) callback(Stopping());
}

ActionRegistry::Reader::~Reader() {
  Record& record = *reader_->record;
  Wake wake;  // Destroyed without the lock.
  std::optional<ProcessId> terminate;
  std::optional<ProcessId> resume;
  {
    MutexLock lock(&state_->mutex);
    wake = std::exchange(reader_->wake, nullptr);
    record.readers.erase(std::find(record.readers.begin(), record.readers.end(), reader_));
    if (record.owner != reader_) return;
    record.owner = nullptr;
    if (record.ended || state_->closed) return;
    if (!record.info.detached && !state_->stopping) {
      state_->abandoned->Add();
      record.abandoned = true;
      terminate = record.process;
    }
    resume = state_->TakeResume(&record);
  }
  if (terminate.has_value()) state_->launcher->Terminate(*terminate);
  if (resume.has_value()) state_->launcher->Resume(*resume);
}

ActionStep ActionRegistry::Reader::Next() {
  ActionStep step;
  std::optional<ProcessId> resume;
  {
    MutexLock lock(&state_->mutex);
    Record& record = *reader_->record;
    if (!record.begun || reader_->end_told) {
      // Nothing yet, or no more.
    } else if (!reader_->begun_told && record.info.state != ActionInfo::State::kNotRun) {
      reader_->begun_told = true;
      step.kind = ActionStep::Kind::kBegun;
      step.info = record.Info();
    } else {
      step = state_->NextOutput(reader_.get());
      if (step.kind == ActionStep::Kind::kNothing && record.ended) {
        reader_->end_told = true;
        step.kind = ActionStep::Kind::kEnd;
        step.info = record.Info();
      }
      if (record.owner == reader_) resume = state_->TakeResume(&record);
    }
    reader_->hungry = step.kind == ActionStep::Kind::kNothing;
  }
  if (resume.has_value()) state_->launcher->Resume(*resume);
  return step;
}

void ActionRegistry::Reader::SetWake(std::function<void()> wake) {
  MutexLock lock(&state_->mutex);
  reader_->wake = std::move(wake);
}

}  // namespace om
