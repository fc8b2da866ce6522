#include "server/crm/drivers/app.h"

#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/crm/drivers/execution.h"

namespace om {
namespace {

using std::chrono::milliseconds;

// Of the output of one check, and of one info.
constexpr size_t kMaxLines = 100;
constexpr size_t kMaxPairs = 200;
constexpr absl::string_view kDefaultRetcodes = "0:up 1:down";

enum class CommandKind { kNone, kScript, kText };

// `start`, `stop`, `check`, `info` are a boolean, an integer, or a command line.
CommandKind KindOf(const std::optional<std::string>& value) {
  if (!value.has_value()) return CommandKind::kNone;
  const std::string text = absl::AsciiStrToLower(absl::StripAsciiWhitespace(*value));
  for (const absl::string_view no : {"", "no", "n", "false", "f", "0", "0.0", "none", "[]", "{}"}) {
    if (text == no) return CommandKind::kNone;
  }
  for (const absl::string_view yes : {"yes", "y", "true", "t"}) {
    if (text == yes) return CommandKind::kScript;
  }
  int64_t number = 0;
  return absl::SimpleAtoi(text, &number) ? CommandKind::kScript : CommandKind::kText;
}

// The states that exit codes of a check mean.
absl::StatusOr<std::map<int, Availability>> ParseRetcodes(absl::string_view text) {
  std::map<int, Availability> states;
  // A word may be split by the space of "stdby up": what has no number belongs to the word before.
  std::vector<std::string> words;
  for (const absl::string_view word :
       absl::StrSplit(text, absl::ByAnyChar(" \t\r\n"), absl::SkipEmpty())) {
    if (!words.empty() && !absl::StrContains(word, ':')) {
      absl::StrAppend(&words.back(), " ", word);
    } else {
      words.emplace_back(word);
    }
  }
  for (const std::string& word : words) {
    const size_t colon = word.find(':');
    int code = 0;
    const std::optional<Availability> state =
        colon == std::string::npos ? std::nullopt : ParseAvailability(word.substr(colon + 1));
    if (!state.has_value() || !absl::SimpleAtoi(word.substr(0, colon), &code) || code < 0 ||
        code > 255) {
      return absl::InvalidArgumentError(absl::StrCat(
          "expected words <exit code>:<state> such as \"0:up 1:down\", found \"", word, "\""));
    }
    states[code] = *state;
  }
  return states;
}

}  // namespace

absl::StatusOr<std::string> App::Script() const {
  ASSIGN_OR_RETURN(const std::optional<std::string> script, Keyword("script"));
  if (!script.has_value() || script->empty()) return std::string();
  if ((*script)[0] == '/') return *script;
  return absl::StrCat(instance().settings.path.ScriptDir(instance().roots), "/", *script);
}

std::string App::Label() const {
  const absl::StatusOr<std::string> script = Script();
  std::string name;
  if (script.ok() && !script->empty()) {
    name = BaseName(*script);
  } else if (const auto start = Keyword("start"); start.ok() && start->has_value()) {
    const auto words = SplitShellWords(**start);
    if (words.ok() && !words->empty()) name = BaseName(words->front());
  }
  return absl::StrCat(type_, ": ", name);
}

std::string App::SortKey() const {
  const auto start = Keyword("start");
  int64_t number = 0;
  if (start.ok() && start->has_value() && absl::SimpleAtoi(**start, &number)) {
    return absl::StrCat("app#", number);
  }
  return resource().rid;
}

absl::StatusOr<std::optional<App::Command>> App::FindCommand(absl::string_view keyword,
                                                             absl::string_view verb) const {
  ASSIGN_OR_RETURN(const std::optional<std::string> value, Keyword(keyword));
  Command command;
  switch (KindOf(value)) {
    case CommandKind::kNone:
      return std::optional<Command>();
    case CommandKind::kScript: {
      ASSIGN_OR_RETURN(const std::string script, Script());
      if (script.empty()) {
        return absl::InvalidArgumentError(
            absl::StrCat(resource().rid, ".", keyword, " is \"", *value,
                         "\", which runs the script, and script is not set"));
      }
      struct stat st = {};
      if (stat(script.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) {
        return absl::NotFoundError(
            absl::StrCat(resource().rid, ".script: \"", script, "\" is not a file"));
      }
      if ((st.st_mode & 0111) == 0 && chmod(script.c_str(), (st.st_mode & 07777u) | 0111) != 0) {
        return ErrnoStatus(errno, absl::StrCat("making \"", script, "\" executable"));
      }
      command.argv = {script, std::string(verb)};
      command.text = absl::StrCat(script, " ", verb);
      return std::optional<Command>(std::move(command));
    }
    case CommandKind::kText:
      break;
  }
  absl::StatusOr<std::vector<std::string>> words = CommandWords(*value);
  if (!words.ok()) {
    return Annotate(words.status(), absl::StrCat(resource().rid, ".", keyword));
  }
  command.argv = *std::move(words);
  command.text = absl::StrJoin(command.argv, " ");
  return std::optional<Command>(std::move(command));
}

absl::StatusOr<ProgramSpec> App::MakeSpec(const Command& command,
                                          const std::vector<absl::string_view>& timeouts) const {
  return MakeProgramSpec(instance(), resource(), command.argv, timeouts);
}

absl::StatusOr<ProgramResult> App::RunLogged(const Command& command,
                                             const std::vector<absl::string_view>& timeouts) const {
  ASSIGN_OR_RETURN(ProgramSpec spec, MakeSpec(command, timeouts));
  LogOutput(instance(), resource(), &spec);
  Log(InstanceLog::Level::kInfo, absl::StrCat("exec ", command.text));
  return RunProgram(spec, instance().interrupt);
}

absl::StatusOr<std::optional<Availability>> App::RunCheck(StatusLog* log) const {
  ASSIGN_OR_RETURN(const std::optional<Command> command, FindCommand("check", "status"));
  if (!command.has_value()) return std::optional<Availability>();
  // Nothing else may hang on a check that hangs, so its timeout counts, which the legacy agent's
  // does not.
  ASSIGN_OR_RETURN(ProgramSpec spec, MakeSpec(*command, {"check_timeout", "timeout"}));
  ASSIGN_OR_RETURN(const std::optional<std::string> retcodes, Keyword("retcodes"));
  const absl::StatusOr<std::map<int, Availability>> states = ParseRetcodes(
      absl::StripAsciiWhitespace(retcodes.value_or("")).empty() ? kDefaultRetcodes : *retcodes);
  if (!states.ok()) return Annotate(states.status(), absl::StrCat(resource().rid, ".retcodes"));
  ASSIGN_OR_RETURN(const bool keep_output,
                   instance().settings.GetBoolean(resource().rid, "status_log"));
  if (keep_output) {
    spec.on_line = [log](int stream, absl::string_view line) {
      if (!line.empty() && log->size() < kMaxLines) {
        log->emplace_back(stream == 1 ? "info" : "warn", std::string(line));
      }
    };
  }
  ASSIGN_OR_RETURN(const ProgramResult result, RunProgram(spec, instance().interrupt));
  if (result.timed_out || result.signal != 0) {
    log->emplace_back("warn", absl::StrCat("check ", result.Describe()));
    return std::optional<Availability>(Availability::kWarn);
  }
  if (const auto state = states->find(result.exit_code); state != states->end()) {
    return std::optional<Availability>(state->second);
  }
  log->emplace_back("warn", absl::StrCat("check reports errors (", result.exit_code, ")"));
  return std::optional<Availability>(Availability::kWarn);
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> App::Info() {
  std::vector<std::pair<std::string, std::string>> pairs;
  ASSIGN_OR_RETURN(const std::optional<Command> command, FindCommand("info", "info"));
  if (!command.has_value()) return pairs;
  ASSIGN_OR_RETURN(ProgramSpec spec, MakeSpec(*command, {"info_timeout", "timeout"}));
  spec.on_line = [&pairs](int stream, absl::string_view line) {
    const size_t colon = line.find(':');
    if (stream != 1 || colon == absl::string_view::npos || pairs.size() >= kMaxPairs) return;
    const absl::string_view key = absl::StripAsciiWhitespace(line.substr(0, colon));
    if (key.empty()) return;
    pairs.emplace_back(std::string(key),
                       std::string(absl::StripAsciiWhitespace(line.substr(colon + 1))));
  };
  ASSIGN_OR_RETURN(const ProgramResult result, RunProgram(spec, instance().interrupt));
  if (!result.Succeeded()) return absl::AbortedError(absl::StrCat("info: ", result.Describe()));
  return pairs;
}

absl::StatusOr<Availability> App::Status(StatusLog* log) {
  const std::optional<LockHolder> holder =
      FindLockHolder(absl::StrCat(instance().ResourceDir(resource().rid), "/lock"));
  if (holder.has_value()) {
    log->emplace_back("info", absl::StrCat(holder->intent, " in progress"));
    return Availability::kNa;
  }
  return Check(log);
}

absl::Status App::AwaitDown(milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    StatusLog ignored;
    ASSIGN_OR_RETURN(const Availability state, Check(&ignored));
    if (state == Availability::kDown || state == Availability::kNa) return absl::OkStatus();
    if (std::chrono::steady_clock::now() >= deadline) {
      return absl::AbortedError(
          absl::StrCat("stop: all was done, but the app is still ", AvailabilityName(state)));
    }
    if (!instance().interrupt->Sleep(kPoll)) return instance().interrupt->ToStatus();
  }
}

absl::StatusOr<InstanceLock> App::Lock(absl::string_view intent) const {
  return InstanceLock::Acquire(absl::StrCat(instance().ResourceDir(resource().rid), "/lock"),
                               intent, std::chrono::seconds(10), instance().interrupt);
}

milliseconds App::StopGrace() const {
  const auto timeout = FirstTimeout(instance(), resource(), {"stop_timeout", "timeout"});
  return timeout.ok() ? timeout->value_or(kStopGrace) : kStopGrace;
}

}  // namespace om
