#include "server/crm/drivers/execution.h"

#include <sys/stat.h>
#include <unistd.h>

#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/config/value.h"
#include "server/crm/drivers/object_keys.h"

namespace om {
namespace {

using std::chrono::milliseconds;

enum class LimitUnit { kBytes, kSeconds, kCount };
constexpr struct {
  const char* name;
  LimitUnit unit;
} kLimits[] = {
    {"as", LimitUnit::kBytes},     {"core", LimitUnit::kBytes},  {"cpu", LimitUnit::kSeconds},
    {"data", LimitUnit::kBytes},   {"fsize", LimitUnit::kBytes}, {"memlock", LimitUnit::kBytes},
    {"nofile", LimitUnit::kCount}, {"nproc", LimitUnit::kCount}, {"rss", LimitUnit::kBytes},
    {"stack", LimitUnit::kBytes},  {"vmem", LimitUnit::kBytes},
};
constexpr int64_t kNoLimit = -1;

constexpr struct {
  const char* keyword;
  const char* kind;  // Of the object that holds the value; empty: the word holds it.
} kVariableSources[] = {
    {"environment", ""}, {"configs_environment", "cfg"}, {"secrets_environment", "sec"}};

absl::StatusOr<int64_t> ParseLimit(LimitUnit unit, const std::string& text) {
  if (text == "-1") return kNoLimit;
  int64_t value = 0;
  switch (unit) {
    case LimitUnit::kBytes: {
      ASSIGN_OR_RETURN(const Size size, ParseSize(text));
      if (size.is_share()) {
        return absl::InvalidArgumentError(
            absl::StrCat("expected a number of bytes, found \"", text, "\""));
      }
      value = size.bytes;
      break;
    }
    case LimitUnit::kSeconds: {
      ASSIGN_OR_RETURN(const Duration duration, ParseDuration(text));
      value = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
      break;
    }
    case LimitUnit::kCount: {
      ASSIGN_OR_RETURN(value, ParseInteger(text));
      break;
    }
  }
  if (value < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected a limit of 0 or more, or -1 for none, found \"", text, "\""));
  }
  return value;
}

absl::StatusOr<mode_t> ParseUmask(const std::string& text) {
  char* end = nullptr;
  const unsigned long value = strtoul(text.c_str(), &end, 8);
  if (text.empty() || *end != '\0' || value > 0777) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected an octal mask up to 777, found \"", text, "\""));
  }
  return static_cast<mode_t>(value);
}

absl::StatusOr<std::optional<Credentials>> ChooseCredentials(const Instance& instance,
                                                             const ResourceSettings& resource,
                                                             const std::string& program) {
  if (geteuid() != 0) return std::optional<Credentials>();  // We can be nobody else.
  struct stat st = {};
  // What is found in PATH is the system's.
  const bool named = absl::StrContains(program, '/');
  if (named && stat(program.c_str(), &st) == 0 && st.st_uid != 0) {
    ASSIGN_OR_RETURN(Credentials owner, FindCredentials(st.st_uid));
    return std::optional<Credentials>(std::move(owner));
  }
  ASSIGN_OR_RETURN(const std::optional<std::string> user,
                   instance.settings.Get(resource.rid, "user"));
  if (!user.has_value() || user->empty()) return std::optional<Credentials>();
  ASSIGN_OR_RETURN(const std::optional<std::string> group,
                   instance.settings.Get(resource.rid, "group"));
  absl::StatusOr<Credentials> credentials = FindCredentials(*user, group.value_or(""));
  if (!credentials.ok()) return Annotate(credentials.status(), resource.rid);
  return std::optional<Credentials>(*std::move(credentials));
}

bool IsVariableName(absl::string_view name) {
  if (name.empty() || absl::ascii_isdigit(static_cast<unsigned char>(name[0]))) return false;
  for (const char c : name) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '_') return false;
  }
  return true;
}

}  // namespace

void SetVariable(std::vector<std::string>* environment, absl::string_view name,
                 absl::string_view value) {
  const std::string prefix = absl::StrCat(name, "=");
  for (std::string& variable : *environment) {
    if (absl::StartsWith(variable, prefix)) {
      variable = absl::StrCat(prefix, value);
      return;
    }
  }
  environment->push_back(absl::StrCat(prefix, value));
}

std::string BaseName(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(slash == absl::string_view::npos ? path : path.substr(slash + 1));
}

absl::StatusOr<std::vector<Variable>> ConfiguredVariables(const Instance& instance,
                                                          const ResourceSettings& resource) {
  std::vector<Variable> variables;
  for (const auto& source : kVariableSources) {
    absl::StatusOr<std::vector<std::string>> words =
        instance.settings.GetShlex(resource.rid, source.keyword);
    const std::string where = absl::StrCat(resource.rid, ".", source.keyword);
    if (!words.ok()) return Annotate(words.status(), where);
    for (const std::string& word : *words) {
      const size_t equals = word.find('=');
      // The value may be meant to be secret, whatever the keyword: it is not repeated.
      const absl::string_view name = absl::string_view(word).substr(0, equals);
      if (equals == std::string::npos || !IsVariableName(name)) {
        return absl::InvalidArgumentError(absl::StrCat(
            where, ": expected <variable>=", *source.kind == '\0' ? "<value>" : "<object>/<key>",
            ", found a word that starts with \"", absl::CHexEscape(name.substr(0, 32)), "\""));
      }
      std::string value = word.substr(equals + 1);
      if (*source.kind != '\0') {
        absl::StatusOr<std::string> held = ReadObjectKey(instance, source.kind, value);
        if (!held.ok()) return Annotate(held.status(), absl::StrCat(where, ": ", name));
        value = *std::move(held);
      }
      if (absl::StrContains(value, '\0')) {
        return absl::InvalidArgumentError(absl::StrCat(
            where, ": the value for ", name, " holds a zero byte, which no variable can"));
      }
      variables.push_back(
          {absl::AsciiStrToUpper(name), std::move(value), /*held=*/*source.kind != '\0'});
    }
  }
  return variables;
}

absl::StatusOr<std::optional<milliseconds>> FirstTimeout(
    const Instance& instance, const ResourceSettings& resource,
    const std::vector<absl::string_view>& keywords) {
  for (const absl::string_view keyword : keywords) {
    ASSIGN_OR_RETURN(const std::optional<Duration> timeout,
                     instance.settings.GetDuration(resource.rid, keyword));
    if (timeout.has_value() && *timeout > Duration::zero()) {
      return std::optional<milliseconds>(std::chrono::duration_cast<milliseconds>(*timeout));
    }
  }
  return std::optional<milliseconds>();
}

absl::StatusOr<ProgramSpec> MakeProgramSpec(const Instance& instance,
                                            const ResourceSettings& resource,
                                            std::vector<std::string> argv,
                                            const std::vector<absl::string_view>& timeouts) {
  const ObjectSettings& settings = instance.settings;
  ProgramSpec spec;
  spec.argv = std::move(argv);
  spec.environment = instance.environment;
  ASSIGN_OR_RETURN(const std::vector<Variable> variables, ConfiguredVariables(instance, resource));
  for (const Variable& variable : variables) {
    SetVariable(&spec.environment, variable.name, variable.value);
  }
  SetVariable(&spec.environment, "OPENSVC_RID", resource.rid);
  ASSIGN_OR_RETURN(spec.credentials, ChooseCredentials(instance, resource, spec.argv[0]));
  if (spec.credentials.has_value()) {
    SetVariable(&spec.environment, "HOME", spec.credentials->home);
    SetVariable(&spec.environment, "LOGNAME", spec.credentials->user);
    SetVariable(&spec.environment, "USER", spec.credentials->user);
  }
  ASSIGN_OR_RETURN(const std::optional<std::string> cwd, settings.Get(resource.rid, "cwd"));
  spec.working_directory = cwd.value_or("");
  if (spec.working_directory.empty()) {
    spec.working_directory = instance.roots.tmp;
    RETURN_IF_ERROR(MakeDirectories(spec.working_directory));
  }
  SetVariable(&spec.environment, "PWD", spec.working_directory);
  for (const auto& limit : kLimits) {
    const std::string keyword = absl::StrCat("limit_", limit.name);
    ASSIGN_OR_RETURN(const std::optional<std::string> text, settings.Get(resource.rid, keyword));
    if (!text.has_value() || text->empty()) continue;
    const absl::StatusOr<int64_t> value = ParseLimit(limit.unit, *text);
    if (!value.ok()) return Annotate(value.status(), absl::StrCat(resource.rid, ".", keyword));
    spec.limits[limit.name] = *value;
  }
  ASSIGN_OR_RETURN(const std::optional<std::string> mask, settings.Get(resource.rid, "umask"));
  if (mask.has_value() && !mask->empty()) {
    const absl::StatusOr<mode_t> value = ParseUmask(*mask);
    if (!value.ok()) return Annotate(value.status(), absl::StrCat(resource.rid, ".umask"));
    spec.umask = *value;
  }
  ASSIGN_OR_RETURN(spec.timeout, FirstTimeout(instance, resource, timeouts));
  return spec;
}

void LogOutput(const Instance& instance, const ResourceSettings& resource, ProgramSpec* spec) {
  spec->on_line = [log = instance.log, rid = resource.rid](int stream, absl::string_view line) {
    log->Write(rid, stream == 1 ? InstanceLog::Level::kInfo : InstanceLog::Level::kWarning,
               absl::StrCat("| ", line));
  };
}

std::string ToolOutput::Reason() const {
  const std::vector<absl::string_view> lines = absl::StrSplit(err, '\n', absl::SkipWhitespace());
  if (lines.empty() || result.timed_out) return result.Describe();
  return absl::StrCat(result.Describe(), ": ", absl::StripAsciiWhitespace(lines.back()));
}

absl::StatusOr<ToolOutput> RunTool(const Instance& instance, const std::vector<std::string>& argv,
                                   milliseconds limit, const std::vector<Variable>& variables) {
  ProgramSpec spec;
  spec.argv = argv;
  spec.environment = instance.environment;
  // Messages are read: in one language.
  SetVariable(&spec.environment, "LC_ALL", "C");
  for (const Variable& variable : variables) {
    SetVariable(&spec.environment, variable.name, variable.value);
  }
  spec.timeout = limit;
  ToolOutput output;
  spec.on_line = [&output](int stream, absl::string_view line) {
    absl::StrAppend(stream == 1 ? &output.out : &output.err, line, "\n");
  };
  ASSIGN_OR_RETURN(output.result, RunProgram(spec, instance.interrupt));
  return output;
}

}  // namespace om
