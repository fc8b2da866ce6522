// Logs of instances and of the node.
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/errors.h"
#include "client/log_follow.h"
#include "client/omctl/arguments.h"
#include "client/omctl/commands.h"
#include "server/base/json.h"
#include "server/base/status.h"

namespace om {

using namespace om::control::v1;  // NOLINT: most names here are messages.
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

class LogPrinter final : public LogListener {
 public:
  LogPrinter(const OmctlEnvironment& environment, bool json,
             std::function<void(const absl::Status&, milliseconds)> on_reconnect)
      : env_(environment), json_(json), on_reconnect_(std::move(on_reconnect)) {}

  bool OnMessage(const ReadLogResponse& message) override {
    *env_.out << message.raw();
    for (const LogEntry& entry : message.entries()) {
      if (json_) {
        *env_.out << ToJson(entry, /*pretty=*/false) << "\n";
      } else {
        *env_.out << Printable(entry.raw(), /*keep_newlines=*/true) << "\n";
      }
    }
    env_.out->flush();
    return env_.out->good();
  }

  void OnGap(const absl::Status& why) override {
    if (json_) {
      const Json line = {{"gap",
                          {{"code", absl::StatusCodeToString(why.code())},
                           {"message", std::string(why.message())}}}};
      *env_.out << DumpCompactJson(line) << "\n";
    }
    *env_.err << "omctl: gap: lines were lost (" << Printable(why.message()) << ")\n";
  }

  void OnReconnect(const absl::Status& why, milliseconds delay) override {
    on_reconnect_(why, delay);
  }

 private:
  const OmctlEnvironment& env_;
  const bool json_;
  const std::function<void(const absl::Status&, milliseconds)> on_reconnect_;
};

void SetTime(absl::Time time, google::protobuf::Timestamp* to) {
  const int64_t whole = absl::ToUnixSeconds(time);
  to->set_seconds(whole);
  to->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(whole))));
}

Failure WrongValue(absl::string_view option, const absl::Status& why) {
  return LocalFailure(kExitUsage, Annotate(why, option));
}

}  // namespace

void Omctl::DefineLogs(CLI::App* parent, const std::string& example) {
  CLI::App* logs = Define(parent, "logs",
                          parent->get_name() == kServiceWord ? "Shows the log of the instance here"
                                                             : "Shows the log of this node",
                          [this] { return ReadLogs(); });
  logs->add_flag("-f,--follow", args_.follow, "Go on as it grows, across rotation");
  CLI::Option* lines =
      logs->add_option("-n,--lines", args_.backlog_lines, "Start with the last so many lines")
          ->type_name("N");
  CLI::Option* bytes =
      logs->add_option("--bytes", args_.backlog_bytes, "Start with the last so many bytes")
          ->type_name("N")
          ->excludes(lines);
  CLI::Option* all = logs->add_flag("--all", args_.whole_file, "Start with the first line")
                         ->excludes(lines)
                         ->excludes(bytes);
  logs->add_option("--cursor", args_.cursor,
                   "Start right after the line that an earlier reading ended with")
      ->type_name("TOKEN")
      ->excludes(lines)
      ->excludes(bytes)
      ->excludes(all);
  std::vector<CLI::Option*> filters = {
      logs->add_option("--since", args_.since, "Only what was written then or later")
          ->type_name("TIME"),
      logs->add_option("--until", args_.until, "Only what was written before")->type_name("TIME"),
      logs->add_option("--level", args_.level,
                       "Only this level or a worse one: debug, info, warning, error, critical")
          ->type_name("LEVEL"),
      logs->add_option("--grep", args_.text, "Only lines whose message has this text")
          ->type_name("TEXT"),
      logs->add_option("--rid", args_.resource_id, "Only lines about this resource")
          ->type_name("ID")};
  CLI::Option* raw =
      logs->add_flag("--raw", args_.raw, "The bytes as they stand in the file; no filter");
  for (CLI::Option* filter : filters) raw->excludes(filter);
  logs->footer(absl::StrCat(
      "Without --lines, --bytes or --all: the last 10 KiB, or, with a filter, all lines it lets\n"
      "through. TIME is such as '2026-11-23 01:02:03', 01:02 (today), or how long ago: 10m, 2h, "
      "1d.\n"
      "--follow goes on after lost connections and restarts of the daemon and neither loses nor\n"
      "repeats a line; where lines are gone for good it says 'gap' on the error stream. With "
      "--json\n"
      "each line is a document.\n"
      "\n"
      "Examples:\n  ",
      example, " logs --follow\n  ", example, " logs --since 2h --level warning\n  ", example,
      " logs --all --grep 'exit code' | less\n  ", example,
      " logs --json --lines 100 | jq -r .message"));
}

Outcome Omctl::ReadLogs() {
  ReadLogRequest request;
  request.set_path(args_.path);
  request.set_follow(args_.follow);
  request.set_raw(args_.raw);
  const absl::Time now = absl::Now();
  LogFilter filter;
  if (!args_.since.empty()) {
    const absl::StatusOr<absl::Time> time = ParseTimeArgument(args_.since, now, env_.zone);
    if (!time.ok()) return WrongValue("--since", time.status());
    SetTime(*time, filter.mutable_since());
  }
  if (!args_.until.empty()) {
    const absl::StatusOr<absl::Time> time = ParseTimeArgument(args_.until, now, env_.zone);
    if (!time.ok()) return WrongValue("--until", time.status());
    SetTime(*time, filter.mutable_until());
  }
  if (!args_.level.empty()) {
    const absl::StatusOr<std::string> level = ParseLevelArgument(args_.level);
    if (!level.ok()) return WrongValue("--level", level.status());
    filter.set_min_level(*level);
  }
  filter.set_text(args_.text);
  filter.set_resource_id(args_.resource_id);
  const bool filtered = filter.ByteSizeLong() > 0;
  if (filtered) *request.mutable_filter() = filter;
  if (args_.backlog_lines.has_value()) {
    request.set_backlog_lines(*args_.backlog_lines);
  } else if (args_.backlog_bytes.has_value()) {
    request.set_backlog_bytes(*args_.backlog_bytes);
  } else if (!args_.cursor.empty()) {
    request.set_cursor(args_.cursor);
  } else if (args_.whole_file || filtered) {
    request.set_whole_file(true);
  }
  if (auto failure = Connect()) return *std::move(failure);
  UseLimit(seconds::max());
  LogPrinter printer(env_, json(), [this](const absl::Status& why, milliseconds delay) {
    TellReconnect(why, delay);
  });
  LogFollower follower(connection_.get(), &printer, std::move(request), RetryOptions());
  const absl::Status end = follower.Run(deadline_);
  if (end.ok()) return env_.out->good() ? kExitDone : kExitError;
  return StreamFailure(end, follower.last_status());
}

}  // namespace om
