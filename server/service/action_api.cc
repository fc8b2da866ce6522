#include "server/service/action_api.h"

#include <signal.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/base/file.h"
#include "server/core/taken_over.h"
#include "server/crm/action_words.h"
#include "server/service/action_roles.h"
#include "server/service/caller_limits.h"
#include "server/service/object_creation.h"
#include "server/service/paging.h"
#include "server/service/visibility.h"

namespace om {
namespace {

namespace pb = control::v1;

constexpr PageSizes kActionPages = {100, 1000};
constexpr int64_t kMaxTimeLimitSeconds = int64_t{30} * 24 * 3600;
// Output beyond it is not written to the journal with a remembered answer.
constexpr size_t kMaxRememberedBytes = size_t{64} << 10;
constexpr char kRunAction[] = "om.control.v1.ActionService/RunAction";
constexpr char kCreateObjects[] = "om.control.v1.ActionService/CreateObjects";
constexpr char kStreamAction[] = "om.control.v1.ActionService/StreamAction";
constexpr char kKillAction[] = "om.control.v1.ActionService/KillAction";

pb::ActionState StateToProto(ActionInfo::State state) {
  switch (state) {
    case ActionInfo::State::kRunning:
      return pb::ACTION_STATE_RUNNING;
    case ActionInfo::State::kExited:
      return pb::ACTION_STATE_EXITED;
    case ActionInfo::State::kKilled:
      return pb::ACTION_STATE_KILLED;
    case ActionInfo::State::kTimedOut:
      return pb::ACTION_STATE_TIMED_OUT;
    case ActionInfo::State::kNotRun:
      return pb::ACTION_STATE_NOT_RUN;
  }
  return pb::ACTION_STATE_UNSPECIFIED;
}

// 0: none of those that the proto names.
int SignalOf(absl::string_view name) {
  static constexpr std::pair<absl::string_view, int> kSignals[] = {
      {"", SIGTERM},   {"TERM", SIGTERM}, {"KILL", SIGKILL}, {"INT", SIGINT},
      {"HUP", SIGHUP}, {"QUIT", SIGQUIT}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2},
  };
  for (const auto& [known, signal] : kSignals) {
    if (name == known) return signal;
  }
  return 0;
}

absl::StatusOr<std::chrono::milliseconds> TimeLimitOf(const google::protobuf::Duration& duration) {
  const bool valid = duration.seconds() >= 0 && duration.seconds() <= kMaxTimeLimitSeconds &&
                     duration.nanos() >= 0 && duration.nanos() < 1'000'000'000;
  const std::chrono::milliseconds limit =
      valid ? std::chrono::seconds(duration.seconds()) +
                  std::chrono::milliseconds(duration.nanos() / 1'000'000)
            : std::chrono::milliseconds(0);
  if (limit > std::chrono::milliseconds(0)) return limit;
  return WithField(absl::InvalidArgumentError(absl::StrCat(
                       "time_limit is ", duration.seconds(), " s and ", duration.nanos(),
                       " ns; expected 1 ms to ", kMaxTimeLimitSeconds, " s")),
                   "command.time_limit");
}

// What of an answer is remembered for a repetition of its request.
pb::RunActionResponse Remembered(pb::RunActionResponse response) {
  if (response.standard_output().size() + response.standard_error().size() > kMaxRememberedBytes) {
    response.clear_standard_output();
    response.clear_standard_error();
    response.set_output_truncated(true);
  }
  return response;
}

// OK if `caller` may run `words` on `path`.
absl::Status CheckNeed(const Caller& caller, absl::string_view operation,
                       const std::optional<ObjectPath>& path, const std::vector<std::string>& words,
                       bool has_input) {
  if (!path.has_value()) return RequireRole(caller, operation, Role::kRoot, std::nullopt);
  // First, whatever the command is: nobody is told what it would need elsewhere.
  RETURN_IF_ERROR(Authorize(caller, operation, path->ns()));
  const ActionNeed need = NeedOfAction(words, has_input);
  absl::Status allowed = RequireRole(caller, operation, need.role, path->ns());
  if (allowed.ok() || need.why_root.empty()) return allowed;
  return WithReason(absl::PermissionDeniedError(absl::StrCat(operation, ": ", need.why_root)),
                    "ROLE_MISSING");
}

bool MayRun(const Caller& caller, absl::string_view operation, const ActionInfo& info) {
  return CheckNeed(caller, operation, info.path, info.words, /*has_input=*/false).ok();
}

}  // namespace

absl::Status ActionApi::CheckRole(const Caller& caller, absl::string_view operation,
                                  const pb::ActionCommand& command) const {
  std::optional<ObjectPath> path;
  if (!command.path().empty()) {
    absl::StatusOr<ObjectPath> parsed = ObjectPath::Parse(command.path());
    if (!parsed.ok()) return WithField(parsed.status(), "command.path");
    path = *std::move(parsed);
  }
  const std::vector<std::string> words(command.arguments().begin(), command.arguments().end());
  return Noted(*context_, caller, operation,
               CheckNeed(caller, operation, path, words, command.has_standard_input()));
}

absl::StatusOr<ActionInfo> ActionApi::Reachable(const Caller& caller, absl::string_view operation,
                                                const std::string& id) const {
  ASSIGN_OR_RETURN(ActionInfo info, actions_->Get(id));
  const bool seen = info.path.has_value() ? Visibility(caller).Sees(*info.path)
                                          : caller.HoldsEverywhere(Role::kRoot);
  // In the words of the registry: nobody is told that there is one.
  if (!seen) {
    return MakeError(
        "ACTION_UNKNOWN",
        absl::StrCat("no action \"", absl::Utf8SafeCHexEscape(id.substr(0, 64)), "\""));
  }
  RETURN_IF_ERROR(Noted(*context_, caller, operation,
                        CheckNeed(caller, operation, info.path, info.words, /*has_input=*/false)));
  return info;
}

pb::Action ActionToProto(const ActionInfo& info, const std::string& node) {
  pb::Action action;
  action.set_id(info.id);
  action.set_node(node);
  if (info.path.has_value()) action.set_path(info.path->ToString());
  for (const std::string& word : info.words) action.add_arguments(word);
  action.set_requester(info.requester);
  action.set_pid(info.pid);
  action.set_state(StateToProto(info.state));
  action.set_exit_code(info.exit_code);
  action.set_signal(info.signal);
  if (!info.error.ok()) action.set_error(std::string(info.error.message()));
  *action.mutable_start_time() = ToProto(info.start_time);
  if (info.end_time.has_value()) *action.mutable_end_time() = ToProto(*info.end_time);
  action.set_stdout_bytes(info.stdout_bytes);
  action.set_stderr_bytes(info.stderr_bytes);
  action.set_reader_count(info.reader_count);
  action.set_detached(info.detached);
  return action;
}

ActionStream::~ActionStream() {
  if (audit_ != nullptr) audit_->End("left by its owner");
}

void ActionStream::SetWake(std::function<void()> wake) {
  if (audit_ != nullptr) audit_->SetWake(wake);
  reader_->SetWake(std::move(wake));
}

void ActionStream::AuditRecord::Begun() {
  std::function<void()> wake;
  {
    MutexLock lock(&mutex_);
    begun_ = true;
    wake = std::move(wake_);
  }
  if (wake) wake();
}

void ActionStream::AuditRecord::SetWake(std::function<void()> wake) {
  MutexLock lock(&mutex_);
  if (!begun_) wake_ = std::move(wake);
}

void ActionStream::AuditRecord::End(const std::string& how) {
  if (std::exchange(ended_, true)) return;
  audit_->Write(entry_, how, "", std::move(place_), nullptr);
}

namespace {

// For the audit log.
std::string EndWord(const ActionInfo& info) {
  switch (info.state) {
    case ActionInfo::State::kExited:
      return absl::StrCat("exited ", info.exit_code);
    case ActionInfo::State::kKilled:
      return absl::StrCat("killed by signal ", info.signal);
    case ActionInfo::State::kTimedOut:
      return absl::StrCat("timed out, ended by signal ", info.signal);
    case ActionInfo::State::kNotRun:
      return "not run";
    case ActionInfo::State::kRunning:
      break;
  }
  return "ended";
}

}  // namespace

absl::StatusOr<Bytes> ActionStream::Next() {
  if (over_ || (audit_ != nullptr && !audit_->begun())) return Bytes();
  ActionStep step = reader_->Next();
  pb::StreamActionResponse message;
  switch (step.kind) {
    case ActionStep::Kind::kNothing:
      return Bytes();
    case ActionStep::Kind::kBegun:
      *message.mutable_action() = ActionToProto(step.info, node_);
      break;
    case ActionStep::Kind::kOutput: {
      pb::ActionOutput& output = *message.mutable_output();
      output.set_node(node_);
      output.set_stream(step.stream == 1 ? pb::OUTPUT_STREAM_STDOUT : pb::OUTPUT_STREAM_STDERR);
      output.set_data(std::move(step.data));
      output.set_offset(step.offset);
      output.set_missed_bytes(step.missed_bytes);
      break;
    }
    case ActionStep::Kind::kEnd:
      over_ = true;
      if (audit_ != nullptr) audit_->End(EndWord(step.info));
      if (step.info.state == ActionInfo::State::kNotRun) return step.info.error;
      *message.mutable_end() = ActionToProto(step.info, node_);
      break;
  }
  return std::make_shared<const std::string>(message.SerializeAsString());
}

Bytes ActionStream::HeartbeatMessage() const {
  pb::StreamActionResponse message;
  message.mutable_heartbeat();
  return std::make_shared<const std::string>(message.SerializeAsString());
}

pb::Action ActionApi::ToProto(const ActionInfo& info) const {
  return ActionToProto(info, context_->facts.node);
}

absl::StatusOr<ActionRequest> ActionApi::Checked(const Caller& caller,
                                                 const pb::ActionCommand& command,
                                                 bool* in_doubt) const {
  ActionRequest request;
  request.requester = caller.ToString();
  request.limit_key = LimitKeyOf(caller);
  request.words.assign(command.arguments().begin(), command.arguments().end());
  if (command.has_standard_input()) request.input = command.standard_input();
  if (command.has_time_limit()) {
    ASSIGN_OR_RETURN(request.time_limit, TimeLimitOf(command.time_limit()));
  }
  if (command.path().empty()) return request;
  absl::StatusOr<ObjectPath> path = ObjectPath::Parse(command.path());
  if (!path.ok()) return WithField(path.status(), "command.path");
  const std::string verb = request.words.empty() ? "" : request.words[0];
  const SnapshotPtr snapshot = context_->core->snapshot();
  const std::shared_ptr<const ObjectState> object = snapshot->objects.Find(*path);
  const ObjectConfig* config = object == nullptr ? nullptr : object->config(snapshot->local_node);
  if (config == nullptr) {
    *in_doubt = verb != "create" && verb != "deploy";
  } else if (!request.time_limit.has_value() && !verb.empty()) {
    const absl::Duration limit = TimeLimit(config->limits, verb);
    if (limit > absl::ZeroDuration()) request.time_limit = absl::ToChronoMilliseconds(limit);
  }
  request.path = *std::move(path);
  return request;
}

absl::Status ActionApi::CheckExists(const ObjectPath& path) const {
  if (ModificationTime(path.ConfigFile(context_->roots)).ok()) return absl::OkStatus();
  return WithField(MakeError("SERVICE_UNKNOWN", absl::StrCat("service ", path.ToString(),
                                                             " does not exist on this node")),
                   "command.path");
}

void ActionApi::Start(ActionRequest request, bool asynchronous,
                      const Reply<pb::RunActionResponse>& reply) {
  if (asynchronous) {
    return actions_->Run(
        std::move(request),
        [this, reply](const absl::StatusOr<ActionInfo>& info) {
          if (!info.ok()) return reply(info.status());
          pb::RunActionResponse response;
          *response.mutable_action() = ToProto(*info);
          reply(std::move(response));
        },
        nullptr);
  }
  actions_->Run(std::move(request), nullptr, [this, reply](absl::StatusOr<ActionEnd> end) {
    if (!end.ok()) return reply(end.status());
    pb::RunActionResponse response;
    *response.mutable_action() = ToProto(end->info);
    response.set_standard_output(std::move(end->standard_output));
    response.set_standard_error(std::move(end->standard_error));
    response.set_output_truncated(end->output_truncated);
    reply(std::move(response));
  });
}

namespace {

// For the audit log.
std::vector<std::string> WordsOf(const pb::ActionCommand& command) {
  std::optional<ObjectPath> path;
  absl::StatusOr<ObjectPath> parsed = ObjectPath::Parse(command.path());
  if (parsed.ok()) path = *std::move(parsed);
  return MaskedActionWords({command.arguments().begin(), command.arguments().end()}, path);
}

}  // namespace

void ActionApi::RunAction(const Caller& caller, const pb::RunActionRequest& request,
                          Reply<pb::RunActionResponse> reply) {
  if (!BeginChange(*context_, caller, kRunAction,
                   {request.command().path(), request.request_id(), WordsOf(request.command())},
                   &reply))
    return;
  absl::Status allowed = CheckRole(caller, kRunAction, request.command());
  if (!allowed.ok()) return reply(std::move(allowed));
  // Checked only when it is done: a repetition may come when the command has removed its object.
  DoOnce<pb::RunActionResponse>(
      *context_, KeyOf(caller, kRunAction, request),
      [this, caller, command = request.command(),
       asynchronous = request.asynchronous()](const Reply<pb::RunActionResponse>& done) {
        bool in_doubt = false;
        absl::StatusOr<ActionRequest> checked = Checked(caller, command, &in_doubt);
        if (!checked.ok()) return done(checked.status());
        if (!in_doubt) return Start(*std::move(checked), asynchronous, done);
        const bool posted = context_->workers->Post(
            [this, checked = *std::move(checked), asynchronous, done]() mutable {
              absl::Status exists = CheckExists(*checked.path);
              if (!exists.ok()) return done(std::move(exists));
              Start(std::move(checked), asynchronous, done);
            });
        if (!posted) {
          done(WithRetryAfter(absl::ResourceExhaustedError("too many requests wait for a disk"),
                              std::chrono::seconds(1)));
        }
      },
      std::move(reply), Remembered);
}

absl::StatusOr<std::shared_ptr<ActionStream>> ActionApi::StreamAction(
    const Caller& caller, const pb::StreamActionRequest& request) {
  AuditedEnd begin;
  AuditedChange change{request.command().path(), "", WordsOf(request.command())};
  AuditEntry entry{caller, kStreamAction, change.target, change.words, ""};
  absl::Status begun = BeginAudited(*context_, caller, kStreamAction, std::move(change), &begin);
  // Room for the line of its end, too.
  absl::StatusOr<AuditLog::Place> place = AuditLog::Place();
  if (begun.ok() && context_->audit != nullptr) place = context_->audit->Reserve();
  if (begun.ok()) begun = place.status();
  absl::StatusOr<std::unique_ptr<ActionRegistry::Reader>> reader =
      absl::UnknownError("not asked for");
  if (begun.ok()) {
    reader = Own(caller, request);
  } else {
    reader = std::move(begun);
  }
  if (!begin) {
    if (!reader.ok()) return reader.status();
    return std::make_shared<ActionStream>(context_->facts.node, *std::move(reader));
  }
  if (!reader.ok()) {
    // A stream that is refused is answered at once; its line is on the way.
    begin(reader.status(), [] {});
    return reader.status();
  }
  auto record = std::make_shared<ActionStream::AuditRecord>(context_->audit, std::move(entry),
                                                            *std::move(place));
  auto stream = std::make_shared<ActionStream>(context_->facts.node, *std::move(reader), record);
  begin(absl::OkStatus(), [record] { record->Begun(); });
  return stream;
}

absl::StatusOr<std::unique_ptr<ActionRegistry::Reader>> ActionApi::Own(
    const Caller& caller, const pb::StreamActionRequest& request) {
  RETURN_IF_ERROR(CheckRole(caller, kStreamAction, request.command()));
  bool in_doubt = false;
  ASSIGN_OR_RETURN(ActionRequest command, Checked(caller, request.command(), &in_doubt));
  // One look at a directory, and only for what is not known: not worth a change of threads.
  if (in_doubt) RETURN_IF_ERROR(CheckExists(*command.path));
  return actions_->Own(std::move(command), request.detach());
}

absl::StatusOr<std::shared_ptr<ActionStream>> ActionApi::AttachAction(
    const Caller& caller, const pb::AttachActionRequest& request) {
  constexpr char operation[] = "om.control.v1.ActionService/AttachAction";
  RETURN_IF_ERROR(Admit(*context_, caller, operation));
  RETURN_IF_ERROR(Reachable(caller, operation, request.action_id()).status());
  ASSIGN_OR_RETURN(std::unique_ptr<ActionRegistry::Reader> reader,
                   actions_->Attach(request.action_id(), request.only_new()));
  return std::make_shared<ActionStream>(context_->facts.node, std::move(reader));
}

absl::StatusOr<pb::GetActionResponse> ActionApi::GetAction(const Caller& caller,
                                                           const pb::GetActionRequest& request) {
  constexpr char operation[] = "om.control.v1.ActionService/GetAction";
  RETURN_IF_ERROR(Admit(*context_, caller, operation));
  ASSIGN_OR_RETURN(const ActionInfo info, Reachable(caller, operation, request.action_id()));
  pb::GetActionResponse response;
  *response.mutable_action() = ToProto(info);
  return response;
}

absl::StatusOr<pb::ListActionsResponse> ActionApi::ListActions(
    const Caller& caller, const pb::ListActionsRequest& request) {
  constexpr char operation[] = "om.control.v1.ActionService/ListActions";
  RETURN_IF_ERROR(Admit(*context_, caller, operation));
  uint64_t before = 0;
  if (!request.page_token().empty() &&
      (!absl::SimpleAtoi(request.page_token(), &before) || before == 0)) {
    return BadPageToken();
  }
  ActionRegistry::Filter filter;
  filter.only_running = request.only_running();
  if (!request.path().empty()) {
    absl::StatusOr<ObjectPath> path = ObjectPath::Parse(request.path());
    if (!path.ok()) return WithField(path.status(), "path");
    filter.path = path->ToString();
  }
  ASSIGN_OR_RETURN(const size_t limit, PageSizeOf(request.page_size(), kActionPages));
  pb::ListActionsResponse response;
  while (true) {
    // A page holds what the caller may run; the next one begins after the last that was looked at.
    const size_t room = limit - static_cast<size_t>(response.actions_size());
    const ActionRegistry::Page page = actions_->List(filter, before, room);
    for (const ActionInfo& info : page.actions) {
      if (MayRun(caller, operation, info)) *response.add_actions() = ToProto(info);
    }
    before = page.next;
    if (before == 0) return response;
    if (static_cast<size_t>(response.actions_size()) == limit) break;
  }
  response.set_next_page_token(absl::StrCat(before));
  return response;
}

void ActionApi::KillAction(const Caller& caller, const pb::KillActionRequest& request,
                           Reply<pb::KillActionResponse> reply) {
  if (!BeginChange(*context_, caller, kKillAction,
                   {request.action_id(), request.request_id(), {request.signal()}}, &reply))
    return;
  // One that is remembered no longer is so for everyone: a repetition still gets its answer.
  absl::Status allowed = Reachable(caller, kKillAction, request.action_id()).status();
  if (!allowed.ok() && !absl::IsNotFound(allowed)) return reply(std::move(allowed));
  const int signal = SignalOf(request.signal());
  if (signal == 0) {
    return reply(WithField(
        absl::InvalidArgumentError(absl::StrCat("signal is \"", request.signal().substr(0, 32),
                                                "\"; expected TERM, KILL, INT, HUP, QUIT, USR1 or "
                                                "USR2")),
        "signal"));
  }
  DoOnce<pb::KillActionResponse>(
      *context_, KeyOf(caller, kKillAction, request),
      [this, caller, id = request.action_id(), signal](const Reply<pb::KillActionResponse>& done) {
        absl::StatusOr<ActionInfo> info = Reachable(caller, kKillAction, id);
        if (info.ok()) info = actions_->Kill(id, signal);
        if (!info.ok()) return done(info.status());
        pb::KillActionResponse response;
        *response.mutable_action() = ToProto(*info);
        done(std::move(response));
      },
      std::move(reply));
}

void ActionApi::CreateObjects(const Caller& caller, const pb::CreateObjectsRequest& request,
                              Reply<pb::CreateObjectsResponse> reply) {
  AuditedChange change{request.namespace_(), request.request_id(), {}};
  if (request.restore()) change.words.emplace_back("--restore");
  if (request.replace()) change.words.emplace_back("--replace");
  if (request.provision()) change.words.emplace_back("--provision");
  for (const pb::NewObject& object : request.objects()) change.words.push_back(object.path());
  if (!BeginChange(*context_, caller, kCreateObjects, std::move(change), &reply)) return;
  // Ids tell objects apart; who is not root gets new ones.
  if (request.restore()) {
    absl::Status allowed = Noted(*context_, caller, kCreateObjects,
                                 RequireRole(caller, kCreateObjects, Role::kRoot, std::nullopt));
    if (!allowed.ok()) return reply(WithField(std::move(allowed), "restore"));
  }
  DoOnce<pb::CreateObjectsResponse>(
      *context_, KeyOf(caller, kCreateObjects, request),
      [this, caller, request](const Reply<pb::CreateObjectsResponse>& done) {
        const bool posted = context_->workers->Post(
            [this, caller, request, done] { Create(caller, request, done); });
        if (!posted) {
          done(WithRetryAfter(absl::ResourceExhaustedError("too many requests wait for a disk"),
                              std::chrono::seconds(1)));
        }
      },
      std::move(reply));
}

void ActionApi::Create(const Caller& caller, const pb::CreateObjectsRequest& request,
                       const Reply<pb::CreateObjectsResponse>& reply) {
  SystemRandom random;
  const absl::StatusOr<std::vector<NewConfig>> configs = NewConfigsOf(request, &random);
  if (!configs.ok()) return reply(configs.status());
  const absl::StatusOr<std::vector<std::string>> warnings = context_->config_store->Create(
      *configs, request.replace(), JudgeOf(context_, caller, &*configs));
  if (!warnings.ok()) return reply(warnings.status());
  pb::CreateObjectsResponse response;
  response.set_node(context_->facts.node);
  std::vector<ObjectPath> paths;
  for (const NewConfig& config : *configs) {
    response.add_paths(config.path.ToString());
    paths.push_back(config.path);
  }
  for (const std::string& warning : *warnings) response.add_warnings(warning);
  context_->core->ReloadInventory();
  if (!request.provision()) return reply(std::move(response));
  ProvisionObjects(context_, std::move(paths), caller.ToString(),
                   [reply, response](const std::vector<std::string>& complaints) mutable {
                     for (const std::string& complaint : complaints) {
                       response.add_warnings(complaint);
                     }
                     reply(std::move(response));
                   });
}

}  // namespace om
