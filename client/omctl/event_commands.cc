// What happens, as it happens; and waiting until something is so.
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/errors.h"
#include "client/event_watch.h"
#include "client/omctl/commands.h"
#include "client/omctl/render_action.h"
#include "server/base/json.h"

namespace om {

using namespace om::control::v1;  // NOLINT: most names here are messages.
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr seconds kWaitLimit{60};
// How much earlier than we the daemon gives up, so that it can say what the value was.
constexpr seconds kAnswerGrace{5};
constexpr seconds kLongestWait{24 * 3600};

class EventPrinter final : public EventListener {
 public:
  EventPrinter(const OmctlEnvironment& environment, bool json, int count,
               std::function<void(const absl::Status&, milliseconds)> on_reconnect)
      : env_(environment), json_(json), count_(count), on_reconnect_(std::move(on_reconnect)) {}

  bool OnMessage(const WatchEventsResponse& message) override {
    if (json_) {
      *env_.out << ToJson(message, /*pretty=*/false) << "\n";
    } else {
      for (const Event& event : message.events()) {
        *env_.out << RenderEvent(event, {env_.colour, env_.zone});
      }
    }
    env_.out->flush();
    if (count_ > 0 && (count_ -= message.events_size()) <= 0) return false;
    return env_.out->good();
  }

  void OnGap(std::optional<uint64_t> missed_changes, const absl::Status& why) override {
    // A message that tells of its gap is printed itself.
    if (json_ && !missed_changes.has_value()) {
      const Json line = {{"gap",
                          {{"code", absl::StatusCodeToString(why.code())},
                           {"message", std::string(why.message())}}}};
      *env_.out << DumpCompactJson(line) << "\n";
    }
    *env_.err << "omctl: gap: events "
              << (missed_changes.has_value()
                      ? absl::StrCat("of ", *missed_changes, " changes were missed")
                      : "may have been missed")
              << " (" << Printable(why.message()) << ")\n";
  }

  void OnReconnect(const absl::Status& why, milliseconds delay) override {
    on_reconnect_(why, delay);
  }

 private:
  const OmctlEnvironment& env_;
  const bool json_;
  int count_;
  const std::function<void(const absl::Status&, milliseconds)> on_reconnect_;
};

}  // namespace

void Omctl::DefineEvents() {
  CLI::App* events =
      Define(&app_, "events", "Shows events as they happen", [this] { return WatchEvents(); });
  const auto several = [events](const char* name, std::vector<std::string>* to, const char* help,
                                const char* type) {
    events->add_option(name, *to, help)->type_name(type)->allow_extra_args(false);
  };
  several("--id", &args_.event_ids, "Only these; may be given several times", "GLOB");
  several("--object", &args_.selectors, "Only about these objects; may be given several times",
          "GLOB");
  several("--node", &args_.nodes, "Only what happened on this node; may be given several times",
          "NAME");
  events->add_option("--since-token", args_.resume_token, "Go on after the message with this token")
      ->type_name("TOKEN");
  events->add_option("--count", args_.count, "End after that many events")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  events->footer(
      "Goes on after lost connections. Where events were missed it says 'gap' on the error "
      "stream.\n"
      "With --json: one message a line; resumeToken of the last is for --since-token.\n"
      "\n"
      "Examples:\n"
      "  omctl events\n"
      "  omctl events --id 'instance_*' --object 'web*'\n"
      "  omctl events --json | jq -c '.events[]'");
}

void Omctl::DefineWait(CLI::App* parent) {
  const bool service = parent != &app_;
  CLI::App* wait =
      Define(parent, "wait",
             service ? "Waits until something is so of the service" : "Waits until something is so",
             [this] { return Wait(); });
  wait->add_option("condition", args_.condition, "What to wait for")->required();
  wait->footer(absl::StrCat(
      "A condition is <path><operator><value>, or a path alone: it is there, and neither empty "
      "nor\n"
      "false nor 0. Operators: = != > >= < <=. ",
      service ? "Paths begin at the service: avail, overall, frozen,\n"
                "instances.<node>.monitor.status ...\n"
              : "Paths: services.<path>.<field>, nodes.<node>.<field>,\n"
                "threads.<id>.state, cluster.<field>.\n",
      "Quote what the shell would take: > and <.\n"
      "\n"
      "Exit status: 0 it is so, 4 it was not when --timeout (default 60s, at most 24h) passed.\n"
      "\n"
      "Examples:\n",
      service ? "  omctl web wait avail=up --timeout 5m\n"
                "  omctl web wait instances.node1.monitor.status=idle"
              : "  omctl wait services.web.avail=up --timeout 5m\n"
                "  omctl wait nodes.node1.monitor.status=idle\n"
                "  omctl wait threads.listener.state=running"));
}

Outcome Omctl::WatchEvents() {
  WatchEventsRequest request;
  request.set_resume_token(args_.resume_token);
  for (const std::string& id : args_.event_ids) request.add_ids(id);
  for (const std::string& selector : args_.selectors) request.add_selectors(selector);
  for (const std::string& node : args_.nodes) request.add_nodes(node);
  if (auto failure = Connect()) return *std::move(failure);
  UseLimit(seconds::max());
  EventPrinter printer(env_, json(), args_.count,
                       [this](const absl::Status& why, milliseconds d) { TellReconnect(why, d); });
  EventWatcher watcher(connection_.get(), &printer, std::move(request), RetryOptions());
  const absl::Status end = watcher.Run(deadline_);
  if (!json() && watcher.resume_token() != args_.resume_token) {
    *env_.err << "omctl: go on from here with --since-token " << watcher.resume_token() << "\n";
  }
  if (end.ok()) return env_.out->good() ? kExitDone : kExitError;
  return StreamFailure(end, watcher.last_status());
}

Outcome Omctl::Wait() {
  const std::string condition = args_.path.empty()
                                    ? args_.condition
                                    : absl::StrCat("services.", args_.path, ".", args_.condition);
  UseLimit(kWaitLimit);
  const MonotonicTime end = deadline_;
  if (end - std::chrono::steady_clock::now() > kLongestWait) {
    return LocalFailure(kExitUsage, "INVALID_ARGUMENT",
                        absl::StrCat("--timeout ", args_.timeout,
                                     ": expected at most 24h to wait for a condition"));
  }
  if (auto failure = Connect()) return *std::move(failure);
  const auto stub = NewStub<EventService>();
  while (true) {
    const auto left =
        std::max(end - std::chrono::steady_clock::now(), MonotonicTime::duration(milliseconds(1)));
    WaitForRequest request;
    request.set_condition(condition);
    const auto nanos = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
    request.mutable_timeout()->set_seconds(nanos / 1'000'000'000);
    request.mutable_timeout()->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
    deadline_ = end + kAnswerGrace;
    WaitForResponse response;
    const grpc::Status status = Read(stub.get(), &EventService::Stub::WaitFor, request, &response);
    if (status.ok()) {
      return Print(response,
                   absl::StrCat(Printable(condition), ": ", Printable(response.value()), "\n"));
    }
    // A daemon that restarts is waited for: what is waited for may come with it.
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return FailureOf(status);
    TellReconnect(ToAbslStatus(status), milliseconds(0));
    const absl::Status ready = connection_->WaitReady(end, Connection::Patience::kUntilDeadline);
    if (std::chrono::steady_clock::now() >= end) {
      return LocalFailure(kExitDeadline, "DEADLINE_EXCEEDED",
                          absl::StrCat("the daemon went away while '", Printable(condition),
                                       "' was waited for, and did not come back in time"));
    }
    if (!ready.ok()) return LocalFailure(kExitNoConnection, ready);
    std::this_thread::sleep_for(milliseconds(100));
  }
}

}  // namespace om
