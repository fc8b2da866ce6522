// Configurations and their keywords.
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/errors.h"
#include "client/object_path.h"
#include "client/omctl/commands.h"

namespace om {

using namespace om::control::v1;  // NOLINT: most names here are messages.

void Omctl::DefineConfig() {
  CLI::App* config = Group(&app_, "config", "Configuration files as a whole",
                           "Examples:\n"
                           "  omctl config get\n"
                           "  omctl config get web --evaluate");
  CLI::App* get = Define(config, "get", "Shows node.conf, cluster.conf or the file of an object",
                         [this] { return ConfigGet(); });
  get->add_option("target", args_.config_target,
                  "node (default), cluster, or the path of an object");
  get->add_flag("--evaluate", args_.evaluate, "Values as this node sees them, references replaced");
  get->footer(
      "The file may hold secrets.\n"
      "\n"
      "Examples:\n"
      "  omctl config get cluster\n"
      "  omctl config get ns1/svc/web --evaluate");
}

void Omctl::DefineKeywords(CLI::App* parent, const std::string& whose, const std::string& example) {
  const auto names = [this](CLI::App* app, const char* help) {
    app->add_option("--param", args_.names, help)
        ->type_name("SECTION.KEYWORD")
        ->required()
        ->allow_extra_args(false);
  };
  CLI::App* get =
      Define(parent, "get", "Shows keywords, with their defaults where not set", [this, whose] {
        keyword_target_ = whose;
        return KeywordsGet();
      });
  names(get, "Keyword to show; may be given several times");
  get->add_flag("--evaluate", args_.evaluate, "Values as this node sees them, references replaced");
  get->footer(
      "One keyword: its value alone. Several: name = value.\n"
      "\n"
      "Example:\n  " +
      example + " get --param DEFAULT.id");
  CLI::App* set = Define(parent, "set", "Sets keywords, all or none", [this, whose] {
    keyword_target_ = whose;
    return KeywordsSet();
  });
  names(set, "Keyword to set, also <section>.<keyword>@<scope>; may be given several times");
  set->add_option("--value", args_.values, "Its value, one for each --param, in the same order")
      ->type_name("VALUE")
      ->required()
      ->allow_extra_args(false);
  set->footer("Example:\n  " + example + " set --param DEFAULT.priority --value 10");
  CLI::App* unset =
      Define(parent, "unset", "Removes keywords; those not there are no error", [this, whose] {
        keyword_target_ = whose;
        return KeywordsUnset();
      });
  names(unset, "Keyword to remove; may be given several times");
  unset->footer("Example:\n  " + example + " unset --param DEFAULT.priority");
}

ConfigTarget Omctl::Target() const {
  ConfigTarget target;
  if (keyword_target_ == "node") {
    target.set_node(true);
  } else if (keyword_target_ == "cluster") {
    target.set_cluster(true);
  } else {
    target.set_object_path(args_.path);
  }
  return target;
}

Outcome Omctl::ConfigGet() {
  keyword_target_ = args_.config_target;
  if (keyword_target_ != "node" && keyword_target_ != "cluster") {
    const absl::StatusOr<std::string> path = CanonicalObjectPath(args_.config_target);
    if (!path.ok()) return LocalFailure(kExitUsage, path.status());
    args_.path = *path;
  }
  if (auto failure = Connect()) return *std::move(failure);
  GetConfigRequest request;
  *request.mutable_target() = Target();
  request.set_evaluate(args_.evaluate);
  GetConfigResponse response;
  const grpc::Status status =
      Read(NewStub<ConfigService>().get(), &ConfigService::Stub::GetConfig, request, &response);
  if (!status.ok()) return FailureOf(status);
  std::string text = response.text();
  if (args_.evaluate) {
    text.clear();
    for (const ConfigSection& section : response.sections()) {
      absl::StrAppend(&text, text.empty() ? "" : "\n", "[", section.name(), "]\n");
      for (const ConfigKeyword& keyword : section.keywords()) {
        absl::StrAppend(&text, keyword.name(), " = ", keyword.value(), "\n");
      }
    }
  } else if (!text.empty() && text.back() != '\n') {
    text += '\n';
  }
  return Print(response, Printable(text, /*keep_newlines=*/true));
}

Outcome Omctl::KeywordsGet() {
  if (auto failure = Connect()) return *std::move(failure);
  GetKeywordsRequest request;
  *request.mutable_target() = Target();
  for (const std::string& name : args_.names) request.add_names(name);
  request.set_evaluate(args_.evaluate);
  GetKeywordsResponse response;
  const grpc::Status status =
      Read(NewStub<ConfigService>().get(), &ConfigService::Stub::GetKeywords, request, &response);
  if (!status.ok()) return FailureOf(status);
  std::string text;
  for (const KeywordValue& value : response.values()) {
    if (response.values_size() > 1) absl::StrAppend(&text, value.name(), " = ");
    absl::StrAppend(&text, value.value(), "\n");
  }
  return Print(response, Printable(text, /*keep_newlines=*/true));
}

Outcome Omctl::UpdateConfig(UpdateConfigRequest request) {
  if (auto failure = Connect()) return *std::move(failure);
  *request.mutable_target() = Target();
  UpdateConfigResponse response;
  const grpc::Status status = Change(NewStub<ConfigService>().get(),
                                     &ConfigService::Stub::UpdateConfig, request, &response);
  if (!status.ok()) return FailureOf(status);
  for (const std::string& warning : response.warnings()) {
    if (!json()) *env_.err << "omctl: warning: " << Printable(warning) << "\n";
  }
  return Print(response, response.changed() ? "changed\n" : "nothing to change\n");
}

Outcome Omctl::KeywordsSet() {
  if (args_.names.size() != args_.values.size()) {
    return LocalFailure(kExitUsage, "INVALID_ARGUMENT",
                        absl::StrCat(args_.names.size(), " --param and ", args_.values.size(),
                                     " --value were given, expected one --value for each --param"));
  }
  UpdateConfigRequest request;
  for (size_t i = 0; i < args_.names.size(); ++i) {
    ConfigKeyword* keyword = request.add_set();
    keyword->set_name(args_.names[i]);
    keyword->set_value(args_.values[i]);
  }
  return UpdateConfig(std::move(request));
}

Outcome Omctl::KeywordsUnset() {
  UpdateConfigRequest request;
  for (const std::string& name : args_.names) request.add_unset(name);
  return UpdateConfig(std::move(request));
}

}  // namespace om
