#include "server/config/settings.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/config/keywords.h"
#include "server/config/value.h"

namespace om {
namespace {

constexpr absl::string_view kHead = "DEFAULT";
constexpr size_t kSecretKeyBytes = 32;

// Reads keywords as the table describes them.
class Reader {
 public:
  Reader(KeywordFile file, const Evaluator* evaluator) : file_(file), evaluator_(evaluator) {}

  // The checked text, the table's default included. nullopt: unset, or refers to what is not known.
  absl::StatusOr<std::optional<EvaluatedValue>> Read(absl::string_view section,
                                                     absl::string_view key) const {
    const Keyword* keyword = FindKeyword(file_, section, key);
    if (keyword == nullptr) return evaluator_->Get(section, key);
    ASSIGN_OR_RETURN(
        std::optional<EvaluatedValue> value,
        evaluator_->Get(section, keyword->name, keyword->scopable, keyword->inheritance));
    if (!value.has_value() && keyword->alias != nullptr) {
      ASSIGN_OR_RETURN(
          value, evaluator_->Get(section, keyword->alias, keyword->scopable, keyword->inheritance));
    }
    if (!value.has_value()) {
      if (keyword->default_text == nullptr) return value;
      EvaluatedValue by_default;
      by_default.text = keyword->default_text;
      by_default.file = "default";
      by_default.section = std::string(section);
      by_default.key = std::string(key);
      return std::optional<EvaluatedValue>(std::move(by_default));
    }
    const absl::Status status = CheckValue(*keyword, value->text);
    if (!status.ok()) {
      return WithField(Annotate(status, value->Where()),
                       absl::StrCat(value->section, ".", value->key));
    }
    return value;
  }

  absl::StatusOr<std::string> Text(absl::string_view section, absl::string_view key) const {
    ASSIGN_OR_RETURN(std::optional<EvaluatedValue> value, Read(section, key));
    return value.has_value() ? std::move(value->text) : std::string();
  }

  // Converts by `parse`; `fallback` for what is unset.
  template <typename T, typename Parse>
  absl::Status Get(absl::string_view section, absl::string_view key, Parse parse, T* out) const {
    ASSIGN_OR_RETURN(const std::optional<EvaluatedValue> value, Read(section, key));
    if (!value.has_value()) return absl::OkStatus();
    auto parsed = parse(value->text);
    if (!parsed.ok()) {
      return WithField(Annotate(parsed.status(), value->Where()),
                       absl::StrCat(value->section, ".", value->key));
    }
    *out = static_cast<T>(*std::move(parsed));
    return absl::OkStatus();
  }

  absl::Status Get(absl::string_view section, absl::string_view key, std::string* out) const {
    const auto parse = [](const std::string& text) { return absl::StatusOr<std::string>(text); };
    return Get(section, key, parse, out);
  }
  absl::Status Get(absl::string_view section, absl::string_view key, bool* out) const {
    return Get(section, key, ParseBoolean, out);
  }
  absl::Status Get(absl::string_view section, absl::string_view key, int* out) const {
    const auto parse = [](const std::string& text) -> absl::StatusOr<int64_t> {
      absl::StatusOr<int64_t> value = ParseInteger(text);
      if (value.ok() &&
          (*value > std::numeric_limits<int>::max() || *value < std::numeric_limits<int>::min())) {
        return absl::InvalidArgumentError(
            absl::StrCat("expected an integer of 32 bits, found \"", text, "\""));
      }
      return value;
    };
    return Get(section, key, parse, out);
  }
  // The table keeps ports in range.
  absl::Status Get(absl::string_view section, absl::string_view key, uint16_t* out) const {
    return Get(section, key, ParseInteger, out);
  }
  absl::Status Get(absl::string_view section, absl::string_view key, Duration* out) const {
    return Get(section, key, ParseDuration, out);
  }
  absl::Status GetShlex(absl::string_view section, absl::string_view key,
                        std::vector<std::string>* out) const {
    return Get(section, key, ParseShlex, out);
  }
  absl::Status GetList(absl::string_view section, absl::string_view key,
                       std::vector<std::string>* out) const {
    const auto parse = [](const std::string& text) {
      return absl::StatusOr<std::vector<std::string>>(ParseList(text));
    };
    return Get(section, key, parse, out);
  }
  absl::Status GetListLower(absl::string_view section, absl::string_view key,
                            std::vector<std::string>* out) const {
    const auto parse = [](const std::string& text) {
      return absl::StatusOr<std::vector<std::string>>(ParseListLower(text));
    };
    return Get(section, key, parse, out);
  }

 private:
  const KeywordFile file_;
  const Evaluator* const evaluator_;  // Not owned.
};

// An error of the document, or its warnings.
absl::Status Check(KeywordFile file, const Document& document, std::vector<std::string>* warnings) {
  for (const ConfigProblem& problem : CheckDocument(file, document)) {
    if (!problem.warning) return problem.ToStatus();
    warnings->push_back(problem.ToString());
  }
  return absl::OkStatus();
}

bool Contains(const std::vector<std::string>& words, absl::string_view word) {
  return std::find(words.begin(), words.end(), std::string(word)) != words.end();
}

// The shape of the secrets that old agents generated: predictable to who knows when and where.
bool LooksLikeVersion1Uuid(absl::string_view text) {
  std::string digits;
  for (const char c : text) {
    if (c == '-') continue;
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return false;
    digits += absl::ascii_tolower(static_cast<unsigned char>(c));
  }
  return digits.size() == 32 && digits[12] == '1' &&
         absl::StrContains("89ab", digits.substr(16, 1));
}

absl::Status CheckSecret(const EvaluatedValue& value, bool allow_short) {
  const size_t bytes = value.text.size();
  if (bytes == 0 || bytes >= kSecretKeyBytes) return absl::OkStatus();
  if (allow_short && (bytes == 16 || bytes == 24)) return absl::OkStatus();
  return WithField(
      absl::InvalidArgumentError(absl::StrCat(
          value.Where(), ": expected a secret of at least ", kSecretKeyBytes,
          " bytes, an AES-256 key, found one of ", bytes, " bytes (",
          allow_short ? "compat.allow_short_secret accepts 16 and 24 only"
                      : "compat.allow_short_secret = true accepts 16 or 24, as old agents do",
          ")")),
      absl::StrCat(value.section, ".", value.key));
}

// Sections of both files whose name starts with `prefix`, cluster.conf's first.
std::vector<std::string> SectionsWith(const NodeDocuments& documents, absl::string_view prefix) {
  std::vector<std::string> sections;
  for (const Document* document : {&documents.cluster, &documents.node}) {
    for (const std::string& section : document->Sections()) {
      const bool fits = absl::StartsWith(section, prefix) && section.size() > prefix.size();
      if (fits && !Contains(sections, section)) sections.push_back(section);
    }
  }
  return sections;
}

absl::Status LoadSections(const NodeDocuments& documents, const Reader& reader,
                          NodeSettings* settings) {
  for (const std::string& section : SectionsWith(documents, "hb#")) {
    HeartbeatSettings heartbeat;
    heartbeat.name = section;
    heartbeat.nodes = settings->cluster_nodes;
    RETURN_IF_ERROR(reader.Get(section, "type", &heartbeat.type));
    RETURN_IF_ERROR(reader.Get(section, "timeout", &heartbeat.timeout));
    RETURN_IF_ERROR(reader.GetListLower(section, "nodes", &heartbeat.nodes));
    RETURN_IF_ERROR(reader.Get(section, "addr", &heartbeat.addr));
    RETURN_IF_ERROR(reader.Get(section, "port", &heartbeat.port));
    RETURN_IF_ERROR(reader.Get(section, "intf", &heartbeat.intf));
    RETURN_IF_ERROR(reader.Get(section, "dev", &heartbeat.dev));
    RETURN_IF_ERROR(reader.Get(section, "relay", &heartbeat.relay));
    RETURN_IF_ERROR(reader.Get(section, "secret", &heartbeat.secret));
    settings->heartbeats.push_back(std::move(heartbeat));
  }
  for (const std::string& section : SectionsWith(documents, "arbitrator#")) {
    ArbitratorSettings arbitrator;
    arbitrator.section = section;
    RETURN_IF_ERROR(reader.Get(section, "name", &arbitrator.name));
    RETURN_IF_ERROR(reader.Get(section, "secret", &arbitrator.secret));
    RETURN_IF_ERROR(reader.Get(section, "timeout", &arbitrator.timeout));
    settings->arbitrators.push_back(std::move(arbitrator));
  }
  for (const std::string& section : SectionsWith(documents, "stonith#")) {
    std::vector<std::string> command;
    RETURN_IF_ERROR(reader.GetShlex(section, "cmd", &command));
    const std::string node = section.substr(section.find('#') + 1);
    if (!command.empty()) settings->stonith[absl::AsciiStrToLower(node)] = std::move(command);
  }
  for (const std::string& section : SectionsWith(documents, "hook#")) {
    HookSettings hook;
    hook.section = section;
    RETURN_IF_ERROR(reader.GetList(section, "events", &hook.events));
    RETURN_IF_ERROR(reader.GetShlex(section, "command", &hook.command));
    settings->hooks.push_back(std::move(hook));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<NodeSettings> NodeSettings::Load(
    const NodeDocuments& documents, absl::string_view nodename, const Roots& roots,
    const std::map<std::string, std::string>& environment) {
  NodeSettings s;
  s.nodename = absl::AsciiStrToLower(nodename);
  RETURN_IF_ERROR(Check(KeywordFile::kNode, documents.cluster, &s.warnings));
  RETURN_IF_ERROR(Check(KeywordFile::kNode, documents.node, &s.warnings));

  EvaluationContext context;
  context.nodename = s.nodename;
  context.roots = roots;
  context.environment = environment;
  const Evaluator evaluator({&documents.node, &documents.cluster}, &context);
  const Reader reader(KeywordFile::kNode, &evaluator);

  // What other keywords may refer to comes first.
  RETURN_IF_ERROR(reader.GetListLower("cluster", "nodes", &s.cluster_nodes));
  if (!Contains(s.cluster_nodes, s.nodename)) s.cluster_nodes.push_back(s.nodename);
  RETURN_IF_ERROR(reader.GetListLower("cluster", "drpnodes", &s.cluster_drpnodes));
  context.cluster.nodes = s.cluster_nodes;
  context.cluster.drpnodes = s.cluster_drpnodes;
  RETURN_IF_ERROR(reader.Get("cluster", "name", &s.cluster_name));
  s.cluster_name = absl::AsciiStrToLower(s.cluster_name);
  context.cluster.name = s.cluster_name;
  RETURN_IF_ERROR(reader.Get("cluster", "id", &s.cluster_id));
  context.cluster.id = s.cluster_id;

  RETURN_IF_ERROR(reader.Get("node", "env", &s.env));
  RETURN_IF_ERROR(reader.Get("node", "maintenance_grace_period", &s.maintenance_grace_period));
  RETURN_IF_ERROR(reader.Get("node", "rejoin_grace_period", &s.rejoin_grace_period));
  RETURN_IF_ERROR(reader.Get("node", "ready_period", &s.ready_period));
  RETURN_IF_ERROR(reader.Get("node", "max_parallel", &s.max_parallel));
  RETURN_IF_ERROR(reader.Get("node", "min_avail_mem", &s.min_avail_mem));
  RETURN_IF_ERROR(reader.Get("node", "min_avail_swap", &s.min_avail_swap));
  for (const Document* document : {&documents.cluster, &documents.node}) {
    for (const Document::Value& label : document->Entries("labels")) {
      ASSIGN_OR_RETURN(std::optional<EvaluatedValue> value, evaluator.Get("labels", label.key));
      if (value.has_value()) s.labels[label.key] = std::move(value->text);
    }
  }

  RETURN_IF_ERROR(reader.Get("cluster", "quorum", &s.quorum));
  RETURN_IF_ERROR(reader.Get("cluster", "vip", &s.vip));

  RETURN_IF_ERROR(reader.GetList("listener", "addr", &s.listener_addrs));
  if (s.listener_addrs.empty()) s.listener_addrs = {"0.0.0.0"};
  RETURN_IF_ERROR(reader.Get("listener", "port", &s.listener_port));
  RETURN_IF_ERROR(reader.Get("listener", "tls_addr", &s.tls_addr));
  RETURN_IF_ERROR(reader.Get("listener", "tls_port", &s.tls_port));
  RETURN_IF_ERROR(reader.Get("listener", "grpc_addr", &s.grpc_addr));
  RETURN_IF_ERROR(reader.Get("listener", "grpc_port", &s.grpc_port));
  RETURN_IF_ERROR(reader.Get("listener", "grpc_group", &s.grpc_group));
  RETURN_IF_ERROR(reader.Get("listener", "grpc_group_grants", &s.grpc_group_grants));
  RETURN_IF_ERROR(reader.Get("listener", "grpc_tls", &s.grpc_tls));
  RETURN_IF_ERROR(reader.Get("listener", "grpc_client_cert", &s.grpc_client_cert));
  RETURN_IF_ERROR(reader.Get("listener", "grpc_cert", &s.grpc_cert));
  RETURN_IF_ERROR(reader.Get("listener", "grpc_key", &s.grpc_key));
  RETURN_IF_ERROR(reader.Get("listener", "grpc_ca", &s.grpc_ca));
  RETURN_IF_ERROR(reader.Get("listener", "grpc_crl", &s.grpc_crl));
  RETURN_IF_ERROR(reader.Get("listener", "max_connections", &s.max_connections));
  RETURN_IF_ERROR(reader.Get("listener", "max_connections_per_addr", &s.max_connections_per_addr));
  RETURN_IF_ERROR(reader.Get("listener", "request_timeout", &s.request_timeout));
  const auto bytes = [](const std::string& text) -> absl::StatusOr<int64_t> {
    ASSIGN_OR_RETURN(const Size size, ParseSize(text));
    return size.bytes;
  };
  RETURN_IF_ERROR(reader.Get("listener", "max_request_size", bytes, &s.max_request_bytes));

  RETURN_IF_ERROR(reader.Get("compat", "enabled", &s.compat_enabled));
  RETURN_IF_ERROR(reader.Get("compat", "level", &s.compat_level));
  RETURN_IF_ERROR(reader.Get("compat", "check_sender", &s.compat_check_sender));
  RETURN_IF_ERROR(reader.Get("compat", "allow_short_secret", &s.compat_allow_short_secret));
  RETURN_IF_ERROR(reader.Get("compat", "replay_check", &s.compat_replay_check));
  RETURN_IF_ERROR(reader.GetListLower("compat", "actions", &s.compat_actions));
  RETURN_IF_ERROR(reader.Get("compat", "require_mac", &s.compat_require_mac));

  ASSIGN_OR_RETURN(const std::optional<EvaluatedValue> secret, reader.Read("cluster", "secret"));
  if (secret.has_value()) {
    RETURN_IF_ERROR(CheckSecret(*secret, s.compat_allow_short_secret));
    if (LooksLikeVersion1Uuid(secret->text)) {
      s.warnings.push_back(absl::StrCat(
          secret->Where(),
          ": the secret looks like a version-1 uuid, as old agents generated it; it can be guessed "
          "from a time and a network address, set a random one"));
    }
    s.cluster_secret = secret->text;
  }
  ASSIGN_OR_RETURN(const std::optional<EvaluatedValue> previous,
                   reader.Read("cluster", "previous_secret"));
  if (previous.has_value()) {
    RETURN_IF_ERROR(CheckSecret(*previous, s.compat_allow_short_secret));
    s.cluster_previous_secret = previous->text;
  }

  RETURN_IF_ERROR(reader.GetShlex("crm", "command", &s.crm_command));
  RETURN_IF_ERROR(reader.GetShlex("crm", "node_command", &s.crm_node_command));
  RETURN_IF_ERROR(reader.Get("crm", "timeout", &s.crm_timeout));
  RETURN_IF_ERROR(reader.Get("crm", "status_timeout", &s.crm_status_timeout));
  s.dequeue_actions_command = s.crm_node_command;
  s.dequeue_actions_command.insert(s.dequeue_actions_command.end(), {"dequeue", "actions"});
  RETURN_IF_ERROR(reader.GetShlex("node", "dequeue_actions_command", &s.dequeue_actions_command));
  for (const auto& [command, param] :
       {std::make_pair(&s.crm_command, "crm.command"),
        std::make_pair(&s.crm_node_command, "crm.node_command"),
        std::make_pair(&s.dequeue_actions_command, "node.dequeue_actions_command")}) {
    if (command->empty()) {
      return WithField(
          absl::InvalidArgumentError(absl::StrCat(documents.node.file_name(), ": ", param,
                                                  ": expected a command, found nothing")),
          param);
    }
  }
  RETURN_IF_ERROR(reader.Get("audit", "max_size", bytes, &s.audit_max_bytes));
  RETURN_IF_ERROR(reader.Get("audit", "keep", &s.audit_keep));
  RETURN_IF_ERROR(reader.Get("audit", "sync", &s.audit_sync));
  RETURN_IF_ERROR(reader.Get("audit", "on_failure", &s.audit_on_failure));
  const auto number = [](const std::string& text) { return ParseInteger(text); };
  for (const auto& [keyword, value] :
       {std::make_pair("calls_per_second", &s.calls_per_second),
        std::make_pair("call_burst", &s.call_burst), std::make_pair("streams", &s.streams),
        std::make_pair("streams_per_caller", &s.streams_per_caller),
        std::make_pair("watch_changes", &s.watch_changes),
        std::make_pair("work_queue", &s.work_queue)}) {
    RETURN_IF_ERROR(reader.Get("limits", keyword, number, value));
  }
  for (const auto& [keyword, value] : {std::make_pair("message_size", &s.message_bytes),
                                       std::make_pair("watch_size", &s.watch_bytes),
                                       std::make_pair("journal_queue", &s.journal_queue_bytes)}) {
    RETURN_IF_ERROR(reader.Get("limits", keyword, bytes, value));
  }
  RETURN_IF_ERROR(reader.Get("limits", "actions", &s.actions));
  RETURN_IF_ERROR(reader.Get("limits", "actions_per_caller", &s.actions_per_caller));
  RETURN_IF_ERROR(reader.Get("limits", "connections_per_user", &s.connections_per_user));
  std::string sigterm;
  RETURN_IF_ERROR(reader.Get("daemon", "sigterm", &sigterm));
  if (!sigterm.empty()) {
    s.sigterm = sigterm == "shutdown" ? SigtermAction::kShutdown : SigtermAction::kStop;
  }

  RETURN_IF_ERROR(LoadSections(documents, reader, &s));
  return s;
}

ClusterFacts NodeSettings::Cluster() const {
  ClusterFacts facts;
  facts.name = cluster_name;
  facts.id = cluster_id;
  facts.nodes = cluster_nodes;
  facts.drpnodes = cluster_drpnodes;
  facts.labels[nodename] = labels;
  return facts;
}

absl::StatusOr<Document> ReadDocument(const std::string& path) {
  const absl::StatusOr<FileContent> content = ReadFile(path, DocumentLimits().max_bytes);
  if (absl::IsNotFound(content.status())) {
    struct stat info = {};
    if (lstat(path.c_str(), &info) != 0) return Document(path);
    // Meant to be there: a mount is missing, or a folder was moved.
    return absl::FailedPreconditionError(
        absl::StrCat("\"", path, "\" is a symbolic link to nothing"));
  }
  if (!content.ok()) return content.status();
  return Document::Parse(content->text, path);
}

absl::StatusOr<LoadedConfig> LoadNodeConfig(const Roots& roots, absl::string_view nodename,
                                            const std::map<std::string, std::string>& environment) {
  LoadedConfig config;
  ASSIGN_OR_RETURN(config.documents.cluster, ReadDocument(roots.ClusterConf()));
  ASSIGN_OR_RETURN(config.documents.node, ReadDocument(roots.NodeConf()));
  ASSIGN_OR_RETURN(config.settings,
                   NodeSettings::Load(config.documents, nodename, roots, environment));
  return config;
}

namespace {

constexpr std::array<absl::string_view, 3> kTopologies = {"failover", "flex", "span"};
constexpr std::array<absl::string_view, 3> kOrchestrates = {"no", "start", "ha"};
constexpr std::array<absl::string_view, 6> kPlacements = {"none",  "nodes order", "load avg",
                                                          "shift", "spread",      "score"};

// The table has refused other words.
template <typename Enum, size_t size>
Enum FromText(const std::array<absl::string_view, size>& words, const std::string& text,
              Enum fallback) {
  const auto it = std::find(words.begin(), words.end(), text);
  return it == words.end() ? fallback : static_cast<Enum>(it - words.begin());
}

}  // namespace

absl::string_view ToText(Topology topology) {
  return kTopologies.at(static_cast<size_t>(topology));
}
absl::string_view ToText(Orchestrate orchestrate) {
  return kOrchestrates.at(static_cast<size_t>(orchestrate));
}
absl::string_view ToText(Placement placement) {
  return kPlacements.at(static_cast<size_t>(placement));
}

namespace {

absl::Status GetRelations(const Reader& reader, const ObjectPath& path, absl::string_view keyword,
                          std::vector<ObjectRelation>* out) {
  ASSIGN_OR_RETURN(const std::optional<EvaluatedValue> value, reader.Read(kHead, keyword));
  if (!value.has_value()) return absl::OkStatus();
  for (const std::string& word : ParseList(value->text)) {
    const size_t at = word.find('@');
    absl::StatusOr<ObjectPath> object = ObjectPath::ParseRelative(word.substr(0, at), path.ns());
    if (!object.ok()) {
      return WithField(Annotate(object.status(), value->Where()),
                       absl::StrCat(value->section, ".", value->key));
    }
    out->push_back({*std::move(object),
                    at == std::string::npos ? "" : absl::AsciiStrToLower(word.substr(at + 1))});
  }
  return absl::OkStatus();
}

// The nodes that the old spelling of standby names.
bool AlwaysOnHere(const std::vector<std::string>& words, const ObjectSettings& object,
                  const std::string& nodename) {
  for (const std::string& word : words) {
    if (absl::AsciiStrToLower(word) == nodename) return true;
    if (word == "nodes" && Contains(object.nodes, nodename)) return true;
    if (word == "drpnodes" && Contains(object.drpnodes, nodename)) return true;
  }
  return false;
}

absl::StatusOr<ResourceSettings> LoadResource(const Reader& reader, const std::string& section,
                                              const ObjectSettings& object,
                                              const std::string& nodename) {
  ResourceSettings r;
  r.rid = section;
  r.group = section.substr(0, section.find('#'));
  RETURN_IF_ERROR(reader.Get(section, "type", &r.type));
  RETURN_IF_ERROR(reader.GetList(section, "tags", &r.tags));
  RETURN_IF_ERROR(reader.Get(section, "disable", &r.disable));
  ASSIGN_OR_RETURN(const std::optional<EvaluatedValue> optional, reader.Read(section, "optional"));
  const bool by_default = !optional.has_value() || optional->line == 0;
  RETURN_IF_ERROR(reader.Get(section, "optional", &r.optional));
  if (by_default && Contains(r.tags, "noaction")) r.optional = true;
  RETURN_IF_ERROR(reader.Get(section, "standby", &r.standby));
  std::vector<std::string> always_on;
  RETURN_IF_ERROR(reader.GetList(section, "always_on", &always_on));
  r.standby = r.standby || AlwaysOnHere(always_on, object, nodename);
  RETURN_IF_ERROR(reader.Get(section, "monitor", &r.monitor));
  RETURN_IF_ERROR(reader.Get(section, "encap", &r.encap));
  r.encap = r.encap || Contains(r.tags, "encap");
  RETURN_IF_ERROR(reader.Get(section, "shared", &r.shared));
  RETURN_IF_ERROR(reader.Get(section, "provision", &r.provision));
  RETURN_IF_ERROR(reader.Get(section, "unprovision", &r.unprovision));
  RETURN_IF_ERROR(reader.Get(section, "restart", &r.restart));
  RETURN_IF_ERROR(reader.Get(section, "subset", &r.subset));
  return r;
}

absl::Status LoadFlex(const Reader& reader, ObjectSettings* s) {
  const int all = static_cast<int>(s->nodes.size() + s->drpnodes.size());
  const int peers = static_cast<int>(s->PeerNodes().size());
  RETURN_IF_ERROR(reader.Get(kHead, "flex_min", &s->flex_min));
  s->flex_min = std::clamp(s->flex_min, 0, all);
  s->flex_max = peers;
  RETURN_IF_ERROR(reader.Get(kHead, "flex_max", &s->flex_max));
  s->flex_max = std::max(s->flex_min, std::min(s->flex_max, peers));
  s->flex_target = s->flex_min;
  RETURN_IF_ERROR(reader.Get(kHead, "flex_target", &s->flex_target));
  // Outside its bounds the aim could never be reached, or would spoil the service's state.
  const int target = std::clamp(s->flex_target, s->flex_min, s->flex_max);
  if (target != s->flex_target && s->topology == Topology::kFlex) {
    s->warnings.push_back(absl::StrCat("flex_target is ", s->flex_target, ", outside ", s->flex_min,
                                       " to ", s->flex_max, "; ", target, " is used"));
  }
  s->flex_target = target;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ObjectSettings> ObjectSettings::Load(Document document, EvaluationContext context) {
  if (!context.path.has_value()) {
    return absl::InvalidArgumentError("loading an object's settings needs the object's path");
  }
  ObjectSettings s;
  context.nodename = absl::AsciiStrToLower(context.nodename);
  s.document_ = std::make_shared<const Document>(std::move(document));
  s.context_ = std::make_shared<const EvaluationContext>(std::move(context));
  s.path = *s.context_->path;
  RETURN_IF_ERROR(Check(KeywordFile::kObject, *s.document_, &s.warnings));

  const Evaluator evaluator({s.document_.get()}, s.context_.get());
  const Reader reader(KeywordFile::kObject, &evaluator);
  const std::string& nodename = s.context_->nodename;

  // Asked for by themselves, so that what is wrong with them is an error here.
  for (const char* keyword : {"nodes", "drpnodes", "encapnodes"}) {
    RETURN_IF_ERROR(reader.Read(kHead, keyword).status());
  }
  s.nodes = evaluator.NodesOf("nodes");
  s.drpnodes = evaluator.NodesOf("drpnodes");
  s.encapnodes = evaluator.NodesOf("encapnodes");

  RETURN_IF_ERROR(reader.Get(kHead, "id", &s.id));
  RETURN_IF_ERROR(reader.Get(kHead, "app", &s.app));
  RETURN_IF_ERROR(reader.Get(kHead, "env", &s.env));
  ASSIGN_OR_RETURN(const std::string topology, reader.Text(kHead, "topology"));
  s.topology = FromText(kTopologies, topology, Topology::kFailover);
  ASSIGN_OR_RETURN(const std::string orchestrate, reader.Text(kHead, "orchestrate"));
  s.orchestrate = FromText(kOrchestrates, orchestrate, Orchestrate::kNo);
  ASSIGN_OR_RETURN(const std::string placement, reader.Text(kHead, "placement"));
  s.placement = FromText(kPlacements, placement, Placement::kNodesOrder);
  RETURN_IF_ERROR(LoadFlex(reader, &s));
  RETURN_IF_ERROR(reader.Get(kHead, "flex_primary", &s.flex_primary));
  if (s.flex_primary.empty() && !s.nodes.empty()) s.flex_primary = s.nodes.front();
  RETURN_IF_ERROR(reader.Get(kHead, "drp_flex_primary", &s.drp_flex_primary));
  if (s.drp_flex_primary.empty() && !s.drpnodes.empty()) s.drp_flex_primary = s.drpnodes.front();

  RETURN_IF_ERROR(GetRelations(reader, s.path, "parents", &s.parents));
  RETURN_IF_ERROR(GetRelations(reader, s.path, "children", &s.children));
  RETURN_IF_ERROR(GetRelations(reader, s.path, "slaves", &s.slaves));
  RETURN_IF_ERROR(GetRelations(reader, s.path, "hard_affinity", &s.hard_affinity));
  RETURN_IF_ERROR(GetRelations(reader, s.path, "hard_anti_affinity", &s.hard_anti_affinity));
  RETURN_IF_ERROR(GetRelations(reader, s.path, "soft_affinity", &s.soft_affinity));
  RETURN_IF_ERROR(GetRelations(reader, s.path, "soft_anti_affinity", &s.soft_anti_affinity));
  int scale = -1;
  RETURN_IF_ERROR(reader.Get(kHead, "scale", &scale));
  if (scale >= 0) s.scale = scale;
  RETURN_IF_ERROR(reader.Get(kHead, "scaler_slave", &s.scaler_slave));
  RETURN_IF_ERROR(reader.Get(kHead, "constraints", &s.constraints));
  RETURN_IF_ERROR(reader.Get(kHead, "monitor_action", &s.monitor_action));
  RETURN_IF_ERROR(reader.Get(kHead, "pre_monitor_action", &s.pre_monitor_action));
  RETURN_IF_ERROR(reader.Get(kHead, "stonith", &s.stonith));
  RETURN_IF_ERROR(reader.Get(kHead, "rollback", &s.rollback));
  RETURN_IF_ERROR(reader.Get(kHead, "disable", &s.disable));
  RETURN_IF_ERROR(reader.Get(kHead, "lock_timeout", &s.lock_timeout));
  RETURN_IF_ERROR(reader.Get(kHead, "status_schedule", &s.status_schedule));
  RETURN_IF_ERROR(reader.Get(kHead, "monitor_schedule", &s.monitor_schedule));

  for (const std::string& section : s.document_->Sections()) {
    if (!IsResourceSection(section)) continue;
    ASSIGN_OR_RETURN(ResourceSettings resource, LoadResource(reader, section, s, nodename));
    s.resources.push_back(std::move(resource));
  }
  return s;
}

std::vector<std::string> ObjectSettings::PeerNodes() const {
  if (Contains(nodes, context_->nodename)) return nodes;
  if (Contains(drpnodes, context_->nodename)) return drpnodes;
  return {};
}

const ResourceSettings* ObjectSettings::FindResource(absl::string_view rid) const {
  for (const ResourceSettings& resource : resources) {
    if (resource.rid == rid) return &resource;
  }
  return nullptr;
}

absl::StatusOr<std::optional<EvaluatedValue>> ObjectSettings::Evaluate(
    absl::string_view section, absl::string_view keyword) const {
  const Evaluator evaluator({document_.get()}, context_.get());
  return Reader(KeywordFile::kObject, &evaluator).Read(section, keyword);
}

absl::StatusOr<std::optional<std::string>> ObjectSettings::Get(absl::string_view section,
                                                               absl::string_view keyword) const {
  ASSIGN_OR_RETURN(std::optional<EvaluatedValue> value, Evaluate(section, keyword));
  if (!value.has_value()) return std::optional<std::string>();
  return std::optional<std::string>(std::move(value->text));
}

namespace {

template <typename T>
absl::StatusOr<T> Convert(const EvaluatedValue& value, absl::StatusOr<T> parsed) {
  if (parsed.ok()) return parsed;
  return WithField(Annotate(parsed.status(), value.Where()),
                   absl::StrCat(value.section, ".", value.key));
}

}  // namespace

absl::StatusOr<bool> ObjectSettings::GetBoolean(absl::string_view section,
                                                absl::string_view keyword, bool fallback) const {
  ASSIGN_OR_RETURN(const std::optional<EvaluatedValue> value, Evaluate(section, keyword));
  if (!value.has_value()) return fallback;
  return Convert(*value, ParseBoolean(value->text));
}

absl::StatusOr<int64_t> ObjectSettings::GetInteger(absl::string_view section,
                                                   absl::string_view keyword,
                                                   int64_t fallback) const {
  ASSIGN_OR_RETURN(const std::optional<EvaluatedValue> value, Evaluate(section, keyword));
  if (!value.has_value()) return fallback;
  return Convert(*value, ParseInteger(value->text));
}

absl::StatusOr<std::optional<Duration>> ObjectSettings::GetDuration(
    absl::string_view section, absl::string_view keyword) const {
  ASSIGN_OR_RETURN(const std::optional<EvaluatedValue> value, Evaluate(section, keyword));
  if (!value.has_value()) return std::optional<Duration>();
  ASSIGN_OR_RETURN(const Duration duration, Convert(*value, ParseDuration(value->text)));
  return std::optional<Duration>(duration);
}

absl::StatusOr<std::vector<std::string>> ObjectSettings::GetList(absl::string_view section,
                                                                 absl::string_view keyword) const {
  ASSIGN_OR_RETURN(const std::optional<EvaluatedValue> value, Evaluate(section, keyword));
  if (!value.has_value()) return std::vector<std::string>();
  return ParseList(value->text);
}

absl::StatusOr<std::vector<std::string>> ObjectSettings::GetShlex(absl::string_view section,
                                                                  absl::string_view keyword) const {
  ASSIGN_OR_RETURN(const std::optional<EvaluatedValue> value, Evaluate(section, keyword));
  if (!value.has_value()) return std::vector<std::string>();
  return Convert(*value, ParseShlex(value->text));
}

}  // namespace om
