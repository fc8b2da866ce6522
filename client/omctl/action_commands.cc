// Actions: commands of the resource manager, run here with their output shown.
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/action_stream.h"
#include "client/errors.h"
#include "client/object_path.h"
#include "client/omctl/arguments.h"
#include "client/omctl/commands.h"
#include "client/omctl/interrupt.h"
#include "client/omctl/render_action.h"
#include "server/base/file.h"

namespace om {

using namespace om::control::v1;  // NOLINT: most names here are messages.
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

// How long the daemon may take to end an action whose time is over, beyond that time.
constexpr seconds kEndGrace{20};
constexpr size_t kMaxInputBytes = 60 << 10;
// What shells exit with for a command that could not be run, and, added, for a signal.
constexpr int kExitNotRun = 126;
constexpr int kExitSignal = 128;

// Errors of ours: where small statuses are those of actions.
Failure Shifted(Failure failure) {
  if (failure.exit_status != kExitUsage) failure.exit_status += kActionErrorOffset;
  return failure;
}

// Copies output as it is; with `json`, messages as lines.
class ActionPrinter final : public ActionListener {
 public:
  ActionPrinter(const OmctlEnvironment& environment, bool json) : env_(environment), json_(json) {}

  void OnAction(const Action& action) override {
    id_ = action.id();
    if (!json_) return;
    AttachActionResponse message;
    *message.mutable_action() = action;
    Line(message);
  }

  bool OnOutput(const ActionOutput& output) override {
    if (json_) {
      AttachActionResponse message;
      *message.mutable_output() = output;
      Line(message);
      return env_.out->good();
    }
    std::ostream* stream = output.stream() == OUTPUT_STREAM_STDERR ? env_.err : env_.out;
    stream->write(output.data().data(), static_cast<std::streamsize>(output.data().size()));
    stream->flush();
    return env_.out->good();  // Errors that nobody wants to see end nothing.
  }

  void OnMissed(OutputStream stream, uint64_t bytes) override {
    *env_.err << "omctl: gap: " << bytes << " bytes of the "
              << (stream == OUTPUT_STREAM_STDERR ? "error " : "")
              << "output are not kept any more\n";
  }

  void OnReconnect(const absl::Status& why, milliseconds delay) override {
    *env_.err << absl::StrCat("omctl: the stream ended (", Printable(why.message()),
                              "), attaching again in ",
                              absl::FormatDuration(absl::FromChrono(delay)), "\n");
  }

  void End(const Action& action) {
    if (!json_) return;
    AttachActionResponse message;
    *message.mutable_end() = action;
    Line(message);
  }

  // Empty: nothing was heard of the action.
  const std::string& id() const { return id_; }

 private:
  void Line(const AttachActionResponse& message) {
    *env_.out << ToJson(message, /*pretty=*/false) << "\n";
    env_.out->flush();
  }

  const OmctlEnvironment& env_;
  const bool json_;
  std::string id_;
};

// As the action ended; what the exit status cannot say is said on the error stream.
int ExitStatusOf(const Action& action, std::ostream* err) {
  switch (action.state()) {
    case ACTION_STATE_EXITED:
      return action.exit_code();
    case ACTION_STATE_KILLED:
      *err << "omctl: the action was " << ActionStateText(action) << "\n";
      return kExitSignal + action.signal();
    case ACTION_STATE_TIMED_OUT:
      *err << "omctl: the action was ended by its time limit\n";
      return kActionErrorOffset + kExitDeadline;
    default:
      *err << "omctl: the action could not be run: " << Printable(action.error()) << "\n";
      return kExitNotRun;
  }
}

}  // namespace

void Omctl::DefineAction(CLI::App* parent, const std::string& example) {
  const bool service = parent->get_name() == kServiceWord;
  CLI::App* action =
      Define(parent, kActionWord,
             service ? "Runs an action on the instance of this node, shows its output"
                     : "Runs an action on this node, shows its output",
             [this] { return RunAction(); });
  action->add_flag("--detach", args_.detach, "It goes on when this command ends before it");
  action->add_flag("--async", args_.asynchronous,
                   "Print its id and end at once: 'omctl actions attach' shows it later");
  action->add_flag("--stdin", args_.standard_input,
                   "Give it what there is on the standard input, at most 60 KiB");
  const std::string words =
      service ? absl::StrCat("  ", example, " action start --rid app#1\n  ", example,
                             " sync_all\n  ", example, " -- run --rid task#1\n  ", example,
                             " action --async sync_all\n  omctl ", "--timeout 5m web sync_all")
              : absl::StrCat("  ", example, " action checks\n  ", example,
                             " action --detach pushasset\n  ", example, " -- checks");
  action->footer(absl::StrCat(
      "Words of the action follow. They are those of the resource manager's command line, and "
      "reach\n"
      "it as they are, options too: options of omctl come before the first of them.\n",
      service ? "A word that is none of omctl's commands for a service needs no 'action' before "
                "it, nor\n"
                "does what follows '--'. Without it, 'start', 'stop' and others are orders for the "
                "whole\n"
                "cluster; with it, actions on the instance of this node alone.\n"
              : "After '--' they need no 'action'.\n",
      "\n"
      "^C kills the action, with all that it started; with --detach it goes on. --timeout is a\n"
      "limit for the action itself.\n"
      "\n"
      "Exit status: that of the action; 128 + the signal that killed it, or that ended omctl; 126\n"
      "it could not be run. Errors have the usual status plus 120: 121 an error was answered,\n"
      "123 no connection, or it broke, 124 the time was over. Wrong usage stays 2.\n"
      "\n"
      "Examples:\n",
      words));
}

void Omctl::DefineActions() {
  CLI::App* actions = Group(&app_, "actions", "Actions that run or ran on this node",
                            "Examples:\n"
                            "  omctl actions list --running\n"
                            "  omctl actions attach 0b8f9c6e-5a3f-4a53-a63d-0a5ad8a4b6a5");
  CLI::App* list =
      Define(actions, "list", "Lists actions, newest first", [this] { return ActionList(); });
  list->add_option("--path", args_.action_path, "Only those of this service")->type_name("PATH");
  list->add_flag("--running", args_.running, "Only those that run");
  list->footer(
      "Actions are remembered for an hour after their end.\n"
      "\n"
      "Example:\n  omctl actions list --path web -o json | jq -r '.actions[].id'");
  const auto named = [this](CLI::App* app) {
    app->add_option("id", args_.action_id, "Identifier of the action")->required();
  };
  CLI::App* show =
      Define(actions, "show", "Shows what is known of an action", [this] { return ActionShow(); });
  named(show);
  show->footer("Example:\n  omctl actions show 0b8f9c6e-5a3f-4a53-a63d-0a5ad8a4b6a5");
  CLI::App* attach = Define(actions, "attach", "Shows the output of an action until it ends",
                            [this] { return ActionAttach(); });
  named(attach);
  attach->add_flag("--only-new", args_.only_new, "Leave out what was written before now");
  attach->footer(
      "The exit status is that of the action, as if this command had run it. ^C leaves it alone.\n"
      "\n"
      "Example:\n  omctl actions attach 0b8f9c6e-5a3f-4a53-a63d-0a5ad8a4b6a5");
  CLI::App* kill = Define(actions, "kill", "Sends a signal to an action and all that it started",
                          [this] { return ActionKill(); });
  named(kill);
  kill->add_option("--signal", args_.signal, "TERM (default), KILL, INT, HUP, QUIT, USR1 or USR2")
      ->type_name("NAME");
  kill->footer("Example:\n  omctl actions kill 0b8f9c6e-5a3f-4a53-a63d-0a5ad8a4b6a5 --signal INT");
}

Outcome Omctl::RunAction() {
  if (args_.action_words.empty()) {
    return LocalFailure(kExitUsage, "INVALID_ARGUMENT",
                        "the action is missing: expected words after 'action', such as 'omctl web "
                        "action start --rid app#1'");
  }
  if (args_.detach && args_.asynchronous) {
    return LocalFailure(kExitUsage, "INVALID_ARGUMENT",
                        "--async and --detach were given, expected one of them: with --async an "
                        "action goes on by itself");
  }
  ActionCommand command;
  command.set_path(args_.path);
  for (const std::string& word : args_.action_words) command.add_arguments(word);
  if (args_.standard_input) {
    absl::StatusOr<FileContent> input = ReadFile("/dev/stdin", kMaxInputBytes, AcceptedFiles::kAny);
    if (!input.ok()) return Shifted(LocalFailure(kExitError, input.status()));
    *command.mutable_standard_input() = std::move(input->text);
  }
  if (!args_.timeout.empty()) {
    const absl::Duration limit = *ParseDurationArgument(args_.timeout);
    command.mutable_time_limit()->set_seconds(absl::ToInt64Seconds(limit));
    command.mutable_time_limit()->set_nanos(static_cast<int32_t>(
        absl::ToInt64Nanoseconds(limit - absl::Seconds(command.time_limit().seconds()))));
  }
  if (auto failure = Connect()) return Shifted(*std::move(failure));
  if (args_.asynchronous) return StartAction(command);

  // The daemon's clock ends the action; ours is for a daemon that does not.
  UseLimit(seconds::max());
  if (deadline_ != MonotonicTime::max()) deadline_ += kEndGrace;
  StreamActionRequest request;
  *request.mutable_command() = std::move(command);
  request.set_detach(args_.detach);
  ActionPrinter printer(env_, json());
  ActionStream stream(connection_.get(), &printer, RetryOptions());
  InterruptWatch interrupts([&stream] { stream.Stop(); });
  const absl::StatusOr<Action> end = stream.Run(request, deadline_);
  if (end.ok()) {
    printer.End(*end);
    return ExitStatusOf(*end, env_.err);
  }
  if (interrupts.signal() != 0) {
    const std::string what = printer.id().empty() ? "" : absl::StrCat(" ", printer.id());
    *env_.err << (args_.detach
                      ? absl::StrCat("omctl: interrupted; the action goes on: 'omctl "
                                     "actions attach",
                                     what, "' shows it\n")
                      : absl::StrCat("omctl: interrupted; the action", what, " is being killed\n"));
    return kExitSignal + interrupts.signal();
  }
  if (end.status().code() == absl::StatusCode::kAborted && !env_.out->good()) return kExitError;
  return Shifted(StreamFailure(end.status(), stream.last_status()));
}

Outcome Omctl::StartAction(const ActionCommand& command) {
  UseLimit(kCallLimit);
  RunActionRequest request;
  *request.mutable_command() = command;
  request.set_asynchronous(true);
  RunActionResponse response;
  // The time limit is that of the action, not that of this call.
  deadline_ = std::chrono::steady_clock::now() + kCallLimit;
  const grpc::Status status =
      Change(NewStub<ActionService>().get(), &ActionService::Stub::RunAction, request, &response);
  if (!status.ok()) return Shifted(FailureOf(status));
  return Print(response.action(), absl::StrCat(Printable(response.action().id()), "\n"));
}

Outcome Omctl::ActionList() {
  ListActionsRequest request;
  if (!args_.action_path.empty()) {
    const absl::StatusOr<std::string> path = CanonicalObjectPath(args_.action_path);
    if (!path.ok()) return LocalFailure(kExitUsage, path.status());
    request.set_path(*path);
  }
  request.set_only_running(args_.running);
  if (auto failure = Connect()) return *std::move(failure);
  const auto stub = NewStub<ActionService>();
  ListActionsResponse whole;
  do {
    ListActionsResponse page;
    const grpc::Status status = Read(stub.get(), &ActionService::Stub::ListActions, request, &page);
    if (!status.ok()) return FailureOf(status);
    whole.mutable_actions()->MergeFrom(page.actions());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return Print(whole, RenderActions(whole.actions(), render()));
}

Outcome Omctl::ActionShow() {
  if (auto failure = Connect()) return *std::move(failure);
  GetActionRequest request;
  request.set_action_id(args_.action_id);
  GetActionResponse response;
  const grpc::Status status =
      Read(NewStub<ActionService>().get(), &ActionService::Stub::GetAction, request, &response);
  if (!status.ok()) return FailureOf(status);
  return Print(response.action(), RenderAction(response.action(), render()));
}

Outcome Omctl::ActionAttach() {
  if (auto failure = Connect()) return Shifted(*std::move(failure));
  UseLimit(seconds::max());
  AttachActionRequest request;
  request.set_action_id(args_.action_id);
  request.set_only_new(args_.only_new);
  ActionPrinter printer(env_, json());
  ActionStream stream(connection_.get(), &printer, RetryOptions());
  const absl::StatusOr<Action> end = stream.Attach(request, deadline_);
  if (end.ok()) {
    printer.End(*end);
    return ExitStatusOf(*end, env_.err);
  }
  if (end.status().code() == absl::StatusCode::kAborted && !env_.out->good()) return kExitError;
  return Shifted(StreamFailure(end.status(), stream.last_status()));
}

Outcome Omctl::ActionKill() {
  if (auto failure = Connect()) return *std::move(failure);
  KillActionRequest request;
  request.set_action_id(args_.action_id);
  request.set_signal(args_.signal);
  KillActionResponse response;
  const grpc::Status status =
      Change(NewStub<ActionService>().get(), &ActionService::Stub::KillAction, request, &response);
  if (!status.ok()) return FailureOf(status);
  return Print(response.action(), absl::StrCat("sent ", Printable(args_.signal), " to ",
                                               Printable(response.action().id()), "\n"));
}

}  // namespace om
