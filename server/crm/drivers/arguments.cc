#include "server/crm/drivers/arguments.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "server/base/status.h"

namespace om {
namespace {

constexpr absl::string_view kUsage =
    "usage: omcrm -s <path>[,<path>...] <action> [options] [--root DIR] [--local]\n"
    "actions: start stop restart startstandby shutdown boot provision unprovision run\n"
    "         status resource_monitor freeze thaw enable disable toc clear\n"
    "         create set unset get delete purge push_resinfo\n"
    "         \"print status\" \"print config\" \"print resinfo\"\n"
    "which resources: --rid r1,group  --tags a+b,c  --subsets s1,s2\n"
    "how:     --force  --dry-run  --waitlock=<s>  --refresh  --cron  --disable-rollback\n"
    "         --leader  --confirm  --parallel  --unprovision (delete)\n"
    "keywords: --kw [<section>.]<keyword>[=|+=|-=<value>]  --param <keyword> --value <value>\n"
    "         --eval  --impersonate <node>  --config <file>|-  --format json\n";

// The order of the members is that of ActionInfo.
// clang-format off
constexpr ActionInfo kActions[] = {
    {Action::kStart, "start", "starting", "start failed", true, true, false, false},
    {Action::kStartStandby, "startstandby", "starting", "start failed", true, true, false, false},
    {Action::kStop, "stop", "stopping", "stop failed", true, true, true, false},
    {Action::kShutdown, "shutdown", "shutting", "shutdown failed", true, true, true, false},
    {Action::kRestart, "restart", "restarting", "restart failed", true, true, false, false},
    {Action::kBoot, "boot", "", "", true, true, false, true},
    {Action::kProvision, "provision", "provisioning", "provision failed", true, true, false, false},
    {Action::kUnprovision, "unprovision", "unprovisioning", "unprovision failed", true, true, true, false},
    {Action::kPurge, "purge", "purging", "purge failed", true, true, true, false},
    {Action::kDelete, "delete", "deleting", "delete failed", true, false, true, false},
    {Action::kRun, "run", "", "", false, true, false, false},
    {Action::kFreeze, "freeze", "freezing", "freeze failed", false, true, false, false},
    {Action::kThaw, "thaw", "thawing", "thaw failed", false, true, false, false},
    {Action::kEnable, "enable", "", "", true, false, false, false},
    {Action::kDisable, "disable", "", "", true, false, false, false},
    {Action::kToc, "toc", "tocing", "toc failed", false, true, true, false},
    {Action::kStatus, "status", "", "", false, false, false, true},
    {Action::kResourceMonitor, "resource_monitor", "", "", false, false, false, true},
    {Action::kPushInfo, "push_resinfo", "", "", false, false, false, true},
    {Action::kPrintStatus, "print status", "", "", false, false, false, true},
    {Action::kPrintConfig, "print config", "", "", false, false, false, false},
    {Action::kPrintInfo, "print resinfo", "", "", false, false, false, false},
    {Action::kCreate, "create", "", "", false, false, false, false},
    {Action::kSet, "set", "", "", false, false, false, false},
    {Action::kUnset, "unset", "", "", false, false, false, false},
    {Action::kGet, "get", "", "", false, false, false, false},
    {Action::kClear, "clear", "", "", false, false, false, true},
};
// clang-format on

struct Flag {
  absl::string_view name;
  bool Arguments::*member;
};
constexpr Flag kFlags[] = {
    {"--refresh", &Arguments::refresh},         {"-r", &Arguments::refresh},
    {"--parallel", &Arguments::parallel},       {"--eval", &Arguments::eval},
    {"--unprovision", &Arguments::unprovision}, {"--several", &Arguments::several},
};
struct OptionFlag {
  absl::string_view name;
  bool ActionOptions::*member;
};
constexpr OptionFlag kOptionFlags[] = {
    {"--force", &ActionOptions::force},
    {"--disable-rollback", &ActionOptions::disable_rollback},
    {"--dry-run", &ActionOptions::dry_run},
    {"--leader", &ActionOptions::leader},
    {"--confirm", &ActionOptions::confirm},
    {"--cron", &ActionOptions::cron},
};
// Of the legacy command line; they change nothing here. Every action is local, none asks anything
// or reports to a collector, no container has an omcrm of its own, and output is not coloured.
constexpr absl::string_view kIgnored[] = {"--local",           "--master",   "--slaves",
                                          "--purge-collector", "--no-pager", "--debug"};

std::vector<std::string> SplitCommas(absl::string_view text) {
  return absl::StrSplit(text, ',', absl::SkipEmpty());
}

absl::StatusOr<int64_t> ParseNumber(absl::string_view option, absl::string_view text, int64_t max) {
  int64_t number = 0;
  if (!absl::SimpleAtoi(text, &number) || number < 0 || number > max) {
    return absl::InvalidArgumentError(
        absl::StrCat(option, " \"", text, "\": expected a number from 0 to ", max));
  }
  return number;
}

template <typename Entries, typename Object>
bool SetFlag(const Entries& entries, absl::string_view name, Object* object) {
  for (const auto& entry : entries) {
    if (entry.name != name) continue;
    object->*entry.member = true;
    return true;
  }
  return false;
}

absl::Status TakeValue(absl::string_view name, std::string value, Arguments* arguments,
                       std::vector<std::string>* params, std::vector<std::string>* values) {
  if (name == "-s" || name == "--service") {
    arguments->paths = SplitCommas(value);
  } else if (name == "--root") {
    arguments->root = std::move(value);
  } else if (name == "--rid") {
    arguments->options.selection.rids = SplitCommas(value);
  } else if (name == "--tags") {
    for (const std::string& all : SplitCommas(value)) {
      arguments->options.selection.tags.push_back(absl::StrSplit(all, '+', absl::SkipEmpty()));
    }
  } else if (name == "--subsets") {
    arguments->options.selection.subsets = SplitCommas(value);
  } else if (name == "--waitlock") {
    ASSIGN_OR_RETURN(const int64_t seconds, ParseNumber(name, value, 1'000'000));
    arguments->options.lock_timeout = std::chrono::seconds(seconds);
  } else if (name == "--kw") {
    arguments->keywords.push_back(std::move(value));
  } else if (name == "--param") {
    params->push_back(std::move(value));
  } else if (name == "--value") {
    values->push_back(std::move(value));
  } else if (name == "--impersonate") {
    arguments->impersonate = absl::AsciiStrToLower(value);
  } else if (name == "--config") {
    arguments->config = std::move(value);
  } else if (name == "--format") {
    if (value != "json") {
      return absl::InvalidArgumentError(
          absl::StrCat("--format \"", value, "\": expected json, or no --format for people"));
    }
    arguments->json = true;
  } else if (name == "--child") {
    ASSIGN_OR_RETURN(const int64_t pid, ParseNumber(name, value, INT32_MAX));
    arguments->parent_pid = static_cast<int>(pid);
  } else if (name == "--step") {
    arguments->step = std::move(value);
  } else if (name == "--slave") {
    return absl::UnimplementedError(
        "omcrm does not work on resources inside containers (--slave); set crm.command of "
        "node.conf to a resource manager that does");
  } else if (name != "--color") {  // Which has nothing to colour here.
    return absl::InvalidArgumentError(absl::StrCat("omcrm has no option \"", name, "\""));
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view Usage() { return kUsage; }

const ActionInfo* FindAction(absl::string_view name) {
  for (const ActionInfo& info : kActions) {
    // Requests of legacy daemons have "print_config" for what people type as "print config".
    if (info.name == name || absl::StrReplaceAll(info.name, {{" ", "_"}}) == name) return &info;
  }
  return nullptr;
}

absl::StatusOr<Arguments> ParseArguments(int argc, char** argv) {
  Arguments arguments;
  std::vector<std::string> words;
  std::vector<std::string> params;
  std::vector<std::string> values;
  for (int i = 1; i < argc; ++i) {
    std::string name = argv[i];
    if (!absl::StartsWith(name, "-")) {
      words.push_back(std::move(name));
      continue;
    }
    if (SetFlag(kFlags, name, &arguments) || SetFlag(kOptionFlags, name, &arguments.options)) {
      continue;
    }
    if (std::find(std::begin(kIgnored), std::end(kIgnored), name) != std::end(kIgnored)) continue;
    std::optional<std::string> value;
    const size_t equals = name.find('=');
    if (absl::StartsWith(name, "--") && equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
    } else if (i + 1 < argc) {
      value = argv[i + 1];
    }
    // An unknown option is told before the value that it may lack.
    RETURN_IF_ERROR(TakeValue(name, value.value_or("0"), &arguments, &params, &values));
    if (!value.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat(name, " needs a value"));
    }
    if (equals == std::string::npos || !absl::StartsWith(name, "--")) ++i;
  }
  if (arguments.options.cron) arguments.refresh = true;
  if (values.size() > params.size()) {
    return absl::InvalidArgumentError("--value needs a --param before it");
  }
  for (size_t i = 0; i < params.size(); ++i) {
    arguments.keywords.push_back(i < values.size() ? absl::StrCat(params[i], "=", values[i])
                                                   : params[i]);
  }
  arguments.action = absl::StrJoin(words, " ");
  if (arguments.paths.empty() || arguments.action.empty()) {
    return absl::InvalidArgumentError("a path (-s) and an action are needed");
  }
  return arguments;
}

absl::StatusOr<KeywordChange> ParseKeywordChange(absl::string_view text) {
  const size_t equals = text.find('=');
  if (equals == absl::string_view::npos || equals == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", text.substr(0, 100), "\": expected [<section>.]<keyword>=<value>, += or -="));
  }
  KeywordChange change;
  absl::string_view param = text.substr(0, equals);
  if (absl::EndsWith(param, "+")) change.kind = KeywordChange::Kind::kAppend;
  if (absl::EndsWith(param, "-")) change.kind = KeywordChange::Kind::kRemove;
  if (change.kind != KeywordChange::Kind::kSet) param.remove_suffix(1);
  change.param = std::string(absl::StripAsciiWhitespace(param));
  change.value = std::string(text.substr(equals + 1));
  return change;
}

}  // namespace om
