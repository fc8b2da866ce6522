#include "compat/gateway/actions.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compat/gateway/option_map.h"
#include "compat/gateway/options.h"
#include "compat/wire/encoding.h"
#include "compat/wire/reply.h"
#include "server/base/status.h"
#include "server/config/value.h"
#include "server/service/errors.h"

namespace om {
namespace {

namespace pb = control::v1;

Json ErrorOf(const absl::Status& status) {
  return ErrorReply(std::string(status.message()), RuleOf(status).legacy_status);
}

bool Is2x(const LegacyRequest& request) { return !request.method.empty(); }

// The list of words under `name`; nullopt if there is none.
absl::StatusOr<std::optional<std::vector<std::string>>> WordsOption(const Json& options,
                                                                    const char* name) {
  const auto found = options.find(name);
  if (found == options.end() || found->is_null()) return std::optional<std::vector<std::string>>();
  const auto refused = [&](const Json& value) {
    return WithField(
        absl::InvalidArgumentError(absl::StrCat("option ", name, " holds a value of type ",
                                                value.type_name(), "; expected a list of words")),
        name);
  };
  if (!found->is_array()) return refused(*found);
  std::vector<std::string> words;
  for (const Json& word : *found) {
    if (!word.is_string()) return refused(word);
    words.push_back(word.get<std::string>());
  }
  return std::optional<std::vector<std::string>>(std::move(words));
}

// `action` and `options` as words; empty if there is no action.
absl::StatusOr<std::vector<std::string>> ActionWords(const Json& options,
                                                     const OptionFamily& family) {
  ASSIGN_OR_RETURN(const std::optional<std::string> action, StringOption(options, "action"));
  std::vector<std::string> words;
  if (!action.has_value() || action->empty()) return words;
  Json more = Json::object();
  const auto found = options.find("options");
  if (found != options.end() && !found->is_null()) {
    if (!found->is_object()) {
      return WithField(
          absl::InvalidArgumentError(absl::StrCat("option options is of type ", found->type_name(),
                                                  "; expected an object or null")),
          "options");
    }
    more = *found;
  }
  ASSIGN_OR_RETURN(words, OptionWords(more, family));
  words.insert(words.begin(), *action);
  return words;
}

OptionFamily::Target TargetOf(const std::string& path) {
  absl::StatusOr<ObjectPath> parsed = ObjectPath::Parse(path);
  const bool is_data = parsed.ok() && (parsed->kind() == "cfg" || parsed->kind() == "sec" ||
                                       parsed->kind() == "usr");
  return is_data ? OptionFamily::Target::kDataObject : OptionFamily::Target::kService;
}

std::string BaseName(const std::string& word) { return word.substr(word.rfind('/') + 1); }

// A value of a configuration, as its file has it.
absl::StatusOr<std::string> KeywordText(const std::string& place, const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean() || value.is_number()) return value.dump();
  return WithField(absl::InvalidArgumentError(absl::StrCat(place, " is of type ", value.type_name(),
                                                           "; expected a string or a number")),
                   "data");
}

absl::StatusOr<pb::NewObject> NewObjectOf(const std::string& path, const Json& config) {
  pb::NewObject object;
  object.set_path(path);
  const auto refused = [](const std::string& place, const Json& value) {
    return WithField(absl::InvalidArgumentError(absl::StrCat(
                         place, " is of type ", value.type_name(), "; expected an object")),
                     "data");
  };
  if (!config.is_object()) return refused(path, config);
  for (const auto& [section, keywords] : config.items()) {
    // Printed configurations tell of themselves there; it is no section.
    if (section == "metadata") continue;
    if (!keywords.is_object()) return refused(absl::StrCat(path, " ", section), keywords);
    for (const auto& [name, value] : keywords.items()) {
      if (value.is_null()) continue;
      ASSIGN_OR_RETURN(std::string text,
                       KeywordText(absl::StrCat(path, " ", section, ".", name), value));
      pb::NewKeyword* keyword = object.add_keywords();
      keyword->set_section(section);
      keyword->set_name(name);
      keyword->set_value(std::move(text));
    }
  }
  return object;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> NodeCommandWords(const std::vector<std::string>& cmd) {
  size_t next = 0;
  if (!cmd.empty()) {
    const std::string program = BaseName(cmd[0]);
    if (program == "nodemgr" || program == "nodemgr.py") next = 1;
    if (program == "om" && cmd.size() > 1 && cmd[1] == "node") next = 2;
  }
  if (next == 0) {
    return absl::NotFoundError(absl::StrCat("[Errno 2] No such file or directory: '",
                                            cmd.empty() ? "" : DropInvalidUtf8(cmd[0]),
                                            "'; expected nodemgr, nodemgr.py or om node"));
  }
  std::vector<std::string> words;
  for (; next < cmd.size(); ++next) {
    const std::string& word = cmd[next];
    if (word == "--daemon" || word == "--local" || absl::StartsWith(word, "--node=")) continue;
    if (word == "--node") {
      ++next;
      continue;
    }
    words.push_back(word);
  }
  words.emplace_back("--local");
  return words;
}

Json ActionReply(const pb::RunActionResponse& response, bool is_service) {
  const std::string out = DropInvalidUtf8(response.standard_output());
  if (is_service && !response.output_truncated() && !out.empty()) {
    absl::StatusOr<Json> value = ParseJson(out);
    if (value.ok()) return *std::move(value);
  }
  std::string err = DropInvalidUtf8(response.standard_error());
  if (response.output_truncated()) {
    absl::StrAppend(&err, err.empty() || err.back() == '\n' ? "" : "\n",
                    "omd: the output was cut off; 1 MiB of each of the two is kept\n");
  }
  const pb::Action& action = response.action();
  int64_t ret = action.exit_code();
  if (action.state() == pb::ACTION_STATE_KILLED || action.state() == pb::ACTION_STATE_TIMED_OUT) {
    ret = -action.signal();
  }
  return {{"status", 0}, {"data", {{"out", out}, {"err", std::move(err)}, {"ret", ret}}}};
}

void LegacyActions::Run(const LegacyRequest& request, const Caller& caller, const std::string& path,
                        const std::vector<std::string>& words, const std::string& started,
                        const Done& done) {
  absl::StatusOr<std::optional<bool>> sync = BoolOption(request.options, "sync");
  if (!sync.ok()) return done(ErrorOf(sync.status()));
  pb::RunActionRequest run;
  run.mutable_command()->set_path(path);
  for (const std::string& word : words) run.mutable_command()->add_arguments(word);
  run.set_asynchronous(!sync->value_or(true));
  const bool is_2x = Is2x(request);
  actions_->RunAction(
      caller, run,
      [is_2x, is_service = !path.empty(), asynchronous = run.asynchronous(), path,
       info = absl::StrCat("started ", started, " action ", absl::StrJoin(words, " ")),
       done](const absl::StatusOr<pb::RunActionResponse>& response) {
        if (!response.ok()) {
          if (RuleOf(response.status()).reason == "SERVICE_UNKNOWN") {
            return done(is_2x ? ErrorReply(absl::StrCat(path, " not found"), 404)
                              : ErrorReply("service not found"));
          }
          return done(ErrorOf(response.status()));
        }
        if (!asynchronous) return done(ActionReply(*response, is_service));
        Json reply = {{"status", 0}};
        if (is_2x) {
          reply["data"] = {{"pid", response->action().pid()},
                           {"session_id", response->action().id()}};
          reply["info"] = info;
        }
        done(std::move(reply));
      });
}

void LegacyActions::ServiceAction(const LegacyRequest& request, const Caller& caller,
                                  const Done& done) {
  absl::StatusOr<std::string> path = ObjectPathOption(request.options);
  if (!path.ok()) return done(ErrorOf(path.status()));
  if (path->empty()) {
    return done(Is2x(request) ? ErrorReply("required option path is not set", 400)
                              : Json{{"status", 1}});
  }
  absl::StatusOr<std::vector<std::string>> words =
      ActionWords(request.options, {TargetOf(*path), Is2x(request)});
  if (!words.ok()) return done(ErrorOf(words.status()));
  if (words->empty()) {
    absl::StatusOr<std::optional<std::vector<std::string>>> cmd =
        WordsOption(request.options, "cmd");
    if (!cmd.ok()) return done(ErrorOf(cmd.status()));
    if (!cmd->has_value() || (*cmd)->empty()) {
      return done(ErrorReply("action not set", Is2x(request) ? 400 : 1));
    }
    words = **std::move(cmd);
  }
  Run(request, caller, *path, *words, *path, done);
}

void LegacyActions::NodeAction(const LegacyRequest& request, const Caller& caller,
                               const Done& done) {
  absl::StatusOr<std::optional<std::string>> action = StringOption(request.options, "action");
  if (!action.ok()) return done(ErrorOf(action.status()));
  const bool of_daemon = Is2x(request) && absl::StartsWith(action->value_or(""), "daemon_");
  absl::StatusOr<std::vector<std::string>> words = ActionWords(
      request.options,
      {of_daemon ? OptionFamily::Target::kDaemon : OptionFamily::Target::kNode, Is2x(request)});
  if (!words.ok()) return done(ErrorOf(words.status()));
  if (words->empty()) {
    absl::StatusOr<std::optional<std::vector<std::string>>> cmd =
        WordsOption(request.options, "cmd");
    if (!cmd.ok()) return done(ErrorOf(cmd.status()));
    if (!cmd->has_value() || (*cmd)->empty()) return done({{"status", 1}});
    words = NodeCommandWords(**cmd);
    if (!words.ok()) return done(ErrorOf(words.status()));
  }
  Run(request, caller, "", *words, "node", done);
}

std::string LegacyActions::NodeFor(const std::string& path, const Json& config) const {
  const SnapshotPtr snapshot = context_->core->snapshot();
  const std::string& local = snapshot->local_node;
  absl::StatusOr<ObjectPath> parsed = ObjectPath::Parse(path);
  // What is wrong with a path or a configuration is told by this node.
  if (!parsed.ok() || !config.is_object()) return local;
  const std::shared_ptr<const ObjectState> object = snapshot->objects.Find(*parsed);
  if (object != nullptr && object->config(local) != nullptr) return local;
  const auto section = config.find("DEFAULT");
  if (section == config.end() || !section->is_object()) return local;
  const auto value = section->find("nodes");
  if (value == section->end() || !value->is_string()) return local;
  const std::string selector = value->get<std::string>();
  // References are for the configuration's reader; all of them name this cluster's nodes.
  if (selector.empty() || absl::StrContains(selector, "{")) return local;
  SelectorNodes known;
  known.nodes = snapshot->cluster->nodes;
  known.local = local;
  for (const auto& [name, node] : *snapshot->nodes) known.labels[name] = node->labels;
  const std::vector<std::string> nodes = SelectNodes(selector, known);
  if (nodes.empty() || std::find(nodes.begin(), nodes.end(), local) != nodes.end()) return local;
  return nodes.front();
}

void LegacyActions::Create(const LegacyRequest& request, const Caller& caller, const Done& done) {
  const Json& options = request.options;
  pb::CreateObjectsRequest create;
  bool sync = true;
  const auto flag = [&options](const char* name, bool fallback) -> absl::StatusOr<bool> {
    ASSIGN_OR_RETURN(const std::optional<bool> value, BoolOption(options, name));
    return value.value_or(fallback);
  };
  Json results = Json::object();
  int64_t status = 0;
  std::vector<std::string> paths;
  const std::string local = context_->facts.node;
  const auto read = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(sync, flag("sync", true));
    ASSIGN_OR_RETURN(const bool provision, flag("provision", false));
    ASSIGN_OR_RETURN(const bool restore, flag("restore", false));
    ASSIGN_OR_RETURN(const std::optional<std::string> name_space,
                     StringOption(options, "namespace"));
    create.set_provision(provision);
    create.set_restore(restore);
    create.set_namespace_(name_space.value_or(""));
    // As the old tool: a configuration that is there is replaced.
    create.set_replace(true);
    const auto data = options.find("data");
    if (data == options.end() || data->is_null()) return absl::OkStatus();
    if (!data->is_object()) {
      return WithField(absl::InvalidArgumentError(
                           absl::StrCat("option data is of type ", data->type_name(),
                                        "; expected an object of paths and configurations")),
                       "data");
    }
    std::map<std::string, std::vector<std::string>> elsewhere;
    for (const auto& [path, config] : data->items()) {
      const std::string node = NodeFor(path, config);
      if (node != local) {
        elsewhere[node].push_back(path);
        continue;
      }
      ASSIGN_OR_RETURN(*create.add_objects(), NewObjectOf(path, config));
      paths.push_back(path);
    }
    for (const auto& [node, theirs] : elsewhere) {
      results[node] = ErrorReply(absl::StrCat(absl::StrJoin(theirs, " "), " not created: node ",
                                              node, " is not reachable from ", local));
      ++status;
    }
    return absl::OkStatus();
  };
  const absl::Status taken = read();
  if (!taken.ok()) return done(ErrorOf(taken));
  if (create.objects_size() == 0) {
    return done({{"nodes", std::move(results)}, {"status", status}});
  }
  const bool is_2x = Is2x(request);
  const auto finish = [results, status, local, done](Json result, int64_t more) {
    Json nodes = results;
    nodes[local] = std::move(result);
    done({{"nodes", std::move(nodes)}, {"status", status + more}});
  };
  if (!sync) {
    // Accepted; how it went is in the log, as of any other command nobody waits for.
    Json accepted = {{"status", 0}};
    if (is_2x) accepted["info"] = "started None action create --config=- --local";
    finish(std::move(accepted), 0);
    actions_->CreateObjects(caller, create, [](const auto&) {});
    return;
  }
  actions_->CreateObjects(
      caller, create,
      [is_2x, finish, paths](const absl::StatusOr<pb::CreateObjectsResponse>& made) {
        if (!made.ok()) {
          Json failed = ErrorOf(made.status());
          failed["data"] = {{"out", nullptr},
                            {"err", absl::StrCat(std::string(made.status().message()), "\n")},
                            {"ret", 1}};
          return finish(std::move(failed), 1);
        }
        Json data = {{"out", nullptr}, {"err", nullptr}, {"ret", 0}};
        if (is_2x) {
          std::string out;
          for (const std::string& path : made->paths())
            absl::StrAppend(&out, "create ", path, "\n");
          data["out"] = std::move(out);
          data["err"] = absl::StrJoin(made->warnings(), "\n");
        }
        finish({{"status", 0}, {"data", std::move(data)}}, 0);
      });
}

}  // namespace om
