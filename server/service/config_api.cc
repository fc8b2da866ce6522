#include "server/service/config_api.h"

#include <cstdlib>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "server/config/evaluate.h"
#include "server/config/keywords.h"
#include "server/service/object_creation.h"

namespace om {
namespace {

namespace pb = control::v1;

constexpr int kMaxKeywords = 100;
constexpr int kMaxEdits = 1000;

absl::StatusOr<ConfigTarget> TargetOf(const pb::ConfigTarget& target) {
  switch (target.target_case()) {
    case pb::ConfigTarget::kNode:
      return ConfigTarget::Node();
    case pb::ConfigTarget::kCluster:
      return ConfigTarget::Cluster();
    case pb::ConfigTarget::kObjectPath: {
      absl::StatusOr<ObjectPath> path = ObjectPath::Parse(target.object_path());
      if (!path.ok()) return WithField(path.status(), "target.object_path");
      return ConfigTarget::Object(*std::move(path));
    }
    case pb::ConfigTarget::TARGET_NOT_SET:
      break;
  }
  return WithField(absl::InvalidArgumentError("target is not set; expected node, cluster or "
                                              "object_path"),
                   "target");
}

pb::KeywordType TypeToProto(KeywordType type) {
  switch (type) {
    case KeywordType::kBoolean:
    case KeywordType::kTristate:
      return pb::KEYWORD_TYPE_BOOLEAN;
    case KeywordType::kInteger:
      return pb::KEYWORD_TYPE_INTEGER;
    case KeywordType::kDuration:
      return pb::KEYWORD_TYPE_DURATION;
    case KeywordType::kSize:
    case KeywordType::kSizeOrShare:
      return pb::KEYWORD_TYPE_SIZE;
    case KeywordType::kList:
    case KeywordType::kListLower:
    case KeywordType::kCommaList:
    case KeywordType::kShlex:
    case KeywordType::kNodeSelector:
      return pb::KEYWORD_TYPE_LIST;
    case KeywordType::kString:
    case KeywordType::kBooleanOrText:
      break;
  }
  return pb::KEYWORD_TYPE_STRING;
}

// A file and everything needed to evaluate it. Not movable: the evaluator points into it.
class Reading {
 public:
  Reading(const ServiceContext& context, const ConfigTarget& target, absl::string_view node)
      : target_(target) {
    const std::shared_ptr<const NodeSettings> settings = context.settings->get();
    evaluation_.nodename = node.empty() ? settings->nodename : std::string(node);
    evaluation_.roots = context.roots;
    evaluation_.cluster = settings->Cluster();
    if (target.is_object()) evaluation_.path = target.path();
  }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

  absl::Status Load(const ServiceContext& context) {
    absl::StatusOr<StoredConfig> stored = context.config_store->Read(target_);
    if (absl::IsNotFound(stored.status())) {
      return MakeError("CONFIG_FILE_MISSING",
                       absl::StrCat(target_.File(context.roots), " does not exist"));
    }
    RETURN_IF_ERROR(stored.status());
    stored_ = *std::move(stored);
    ASSIGN_OR_RETURN(document_, Document::Parse(stored_.text, stored_.file));
    std::vector<const Document*> documents = {&document_};
    if (!target_.is_object()) {
      // What counts is cluster.conf overlaid by node.conf, whichever of them was asked for.
      const bool is_node = target_.File(context.roots) == context.roots.NodeConf();
      ASSIGN_OR_RETURN(
          other_, ReadDocument(is_node ? context.roots.ClusterConf() : context.roots.NodeConf()));
      documents.insert(is_node ? documents.end() : documents.begin(), &other_);
    }
    evaluator_.emplace(std::move(documents), &evaluation_);
    return absl::OkStatus();
  }

  const Keyword* Known(absl::string_view section, absl::string_view key) const {
    return FindKeyword(target_.is_object() ? KeywordFile::kObject : KeywordFile::kNode, section,
                       key);
  }
  // nullopt: neither set nor defaulted, or a reference that cannot be resolved.
  absl::StatusOr<std::optional<std::string>> Evaluate(absl::string_view section,
                                                      absl::string_view key,
                                                      bool* is_default) const {
    const Keyword* known = Known(section, key);
    ASSIGN_OR_RETURN(const std::optional<EvaluatedValue> value,
                     known == nullptr ? evaluator_->Get(section, key)
                                      : evaluator_->Get(section, known->name, known->scopable,
                                                        known->inheritance));
    *is_default = !value.has_value();
    if (value.has_value()) return std::optional<std::string>(value->text);
    if (known == nullptr || known->default_text == nullptr) return std::optional<std::string>();
    return std::optional<std::string>(known->default_text);
  }

  const StoredConfig& stored() const { return stored_; }
  const Document& document() const { return document_; }
  const ConfigTarget& target() const { return target_; }

 private:
  const ConfigTarget target_;
  EvaluationContext evaluation_;
  StoredConfig stored_;
  Document document_;
  Document other_;
  std::optional<Evaluator> evaluator_;
};

// For the audit log.
std::string NameOf(const pb::ConfigTarget& target) {
  if (target.target_case() == pb::ConfigTarget::kNode) return "node.conf";
  if (target.target_case() == pb::ConfigTarget::kCluster) return "cluster.conf";
  return target.object_path();
}

}  // namespace

namespace {

// Objects are their namespaces' admins'; the other files root's.
absl::Status CheckTarget(const ServiceContext& context, const Caller& caller,
                         absl::string_view operation, const pb::ConfigTarget& proto) {
  ASSIGN_OR_RETURN(const ConfigTarget target, TargetOf(proto));
  return Noted(context, caller, operation,
               target.is_object() ? Authorize(caller, operation, target.path().ns())
                                  : RequireRole(caller, operation, Role::kRoot, std::nullopt));
}

}  // namespace

template <class T>
void ConfigApi::OnWorker(Reply<T> reply, std::function<absl::StatusOr<T>()> work) {
  const bool posted = context_->workers->Post([reply, work = std::move(work)] { reply(work()); });
  if (!posted) {
    reply(WithRetryAfter(absl::ResourceExhaustedError("too many requests wait for a disk"),
                         std::chrono::seconds(1)));
  }
}

void ConfigApi::GetConfig(const Caller& caller, const pb::GetConfigRequest& request,
                          Reply<pb::GetConfigResponse> reply) {
  constexpr char operation[] = "om.control.v1.ConfigService/GetConfig";
  absl::Status admitted = Admit(*context_, caller, operation);
  if (admitted.ok()) admitted = CheckTarget(*context_, caller, operation, request.target());
  if (!admitted.ok()) return reply(std::move(admitted));
  OnWorker<pb::GetConfigResponse>(std::move(reply), [this, request] { return Read(request); });
}

void ConfigApi::GetKeywords(const Caller& caller, const pb::GetKeywordsRequest& request,
                            Reply<pb::GetKeywordsResponse> reply) {
  constexpr char operation[] = "om.control.v1.ConfigService/GetKeywords";
  absl::Status admitted = Admit(*context_, caller, operation);
  if (admitted.ok()) admitted = CheckTarget(*context_, caller, operation, request.target());
  if (!admitted.ok()) return reply(std::move(admitted));
  OnWorker<pb::GetKeywordsResponse>(std::move(reply),
                                    [this, request] { return ReadKeywords(request); });
}

void ConfigApi::UpdateConfig(const Caller& caller, const pb::UpdateConfigRequest& request,
                             Reply<pb::UpdateConfigResponse> reply) {
  constexpr char operation[] = "om.control.v1.ConfigService/UpdateConfig";
  // Names only: values may be secrets.
  AuditedChange change{NameOf(request.target()), request.request_id(), {}};
  for (const std::string& name : request.unset()) change.words.push_back(absl::StrCat("-", name));
  for (const pb::ConfigKeyword& keyword : request.set()) change.words.push_back(keyword.name());
  if (!BeginChange(*context_, caller, operation, std::move(change), &reply)) return;
  absl::Status allowed = CheckTarget(*context_, caller, operation, request.target());
  if (!allowed.ok()) return reply(std::move(allowed));
  DoOnce<pb::UpdateConfigResponse>(
      *context_, KeyOf(caller, operation, request),
      [this, caller, request](Reply<pb::UpdateConfigResponse> done) {
        OnWorker<pb::UpdateConfigResponse>(
            std::move(done), [this, caller, request] { return Update(caller, request); });
      },
      std::move(reply));
}

absl::StatusOr<pb::GetConfigResponse> ConfigApi::Read(const pb::GetConfigRequest& request) {
  ASSIGN_OR_RETURN(const ConfigTarget target, TargetOf(request.target()));
  Reading reading(*context_, target, request.impersonate_node());
  RETURN_IF_ERROR(reading.Load(*context_));
  pb::GetConfigResponse response;
  response.set_text(reading.stored().text);
  *response.mutable_update_time() = ToProto(reading.stored().mtime);
  response.set_revision(reading.stored().revision);
  for (const std::string& section : reading.document().Sections()) {
    pb::ConfigSection& out = *response.add_sections();
    out.set_name(section);
    std::map<std::string, bool> done;  // Evaluated keys: their scoped spellings are one keyword.
    for (const Document::Value& entry : reading.document().Entries(section)) {
      const std::string key(SplitScope(entry.key).first);
      const Keyword* known = reading.Known(section, key);
      std::string value = entry.text;
      if (request.evaluate()) {
        if (!done.emplace(key, true).second) continue;
        bool is_default = false;
        ASSIGN_OR_RETURN(std::optional<std::string> evaluated,
                         reading.Evaluate(section, key, &is_default));
        if (!evaluated.has_value() || is_default) continue;  // Set for other nodes only.
        value = *std::move(evaluated);
      }
      pb::ConfigKeyword& keyword = *out.add_keywords();
      keyword.set_name(request.evaluate() ? key : entry.key);
      keyword.set_value(std::move(value));
      if (known != nullptr) keyword.set_type(TypeToProto(known->type));
    }
  }
  return response;
}

absl::StatusOr<pb::GetKeywordsResponse> ConfigApi::ReadKeywords(
    const pb::GetKeywordsRequest& request) {
  if (request.names_size() < 1 || request.names_size() > kMaxKeywords) {
    return WithField(absl::InvalidArgumentError(absl::StrCat(
                         request.names_size(), " names; expected 1 to ", kMaxKeywords)),
                     "names");
  }
  ASSIGN_OR_RETURN(const ConfigTarget target, TargetOf(request.target()));
  Reading reading(*context_, target, request.impersonate_node());
  absl::Status loaded = reading.Load(*context_);
  // Without a file there are still the defaults, and what the other file says.
  if (!loaded.ok() && (target.is_object() || !absl::IsNotFound(loaded))) return loaded;
  pb::GetKeywordsResponse response;
  response.set_revision(reading.stored().revision);
  for (const std::string& name : request.names()) {
    ASSIGN_OR_RETURN(const auto param, SplitParam(name, target.is_object()));
    const auto& [section, key] = param;
    pb::KeywordValue& out = *response.add_values();
    out.set_name(name);
    const Keyword* known = reading.Known(section, std::string(SplitScope(key).first));
    if (request.evaluate() && loaded.ok()) {
      bool is_default = false;
      ASSIGN_OR_RETURN(const std::optional<std::string> value,
                       reading.Evaluate(section, key, &is_default));
      out.set_is_default(is_default);
      if (value.has_value()) {
        out.set_value(*value);
        continue;
      }
    } else if (const Document::Value* value = reading.document().Find(section, key)) {
      out.set_value(value->text);
      continue;
    }
    if (known == nullptr) {
      return WithField(
          MakeError("UNKNOWN_KEYWORD", absl::StrCat("keyword ", name, " is neither set nor known")),
          "names");
    }
    out.set_is_default(true);
    if (known->default_text != nullptr) out.set_value(known->default_text);
  }
  return response;
}

absl::StatusOr<pb::UpdateConfigResponse> ConfigApi::Update(const Caller& caller,
                                                           const pb::UpdateConfigRequest& request) {
  ASSIGN_OR_RETURN(const ConfigTarget target, TargetOf(request.target()));
  const int count = request.set_size() + request.unset_size();
  if (count < 1 || count > kMaxEdits) {
    return WithField(absl::InvalidArgumentError(absl::StrCat(
                         count, " keywords to set and unset; expected 1 to ", kMaxEdits)),
                     "set");
  }
  std::vector<ConfigEdit> edits;
  for (const std::string& name : request.unset()) edits.push_back(ConfigEdit::Unset(name));
  for (const pb::ConfigKeyword& keyword : request.set()) {
    edits.push_back(ConfigEdit::Set(keyword.name(), keyword.value()));
  }
  const auto judge = [&](const Document& before, const Document& after) {
    // Who may touch the other files may do so in any way.
    if (!target.is_object()) return absl::OkStatus();
    ConfigProposal proposal = ProposalOn(*context_, target.path());
    proposal.before = &before;
    proposal.after = &after;
    return Noted(*context_, caller, "om.control.v1.ConfigService/UpdateConfig",
                 CheckConfigPolicy(caller, proposal));
  };
  absl::StatusOr<EditResult> result =
      context_->config_store->Edit(target, edits, request.expected_revision(), judge);
  if (absl::IsNotFound(result.status())) {
    return MakeError("CONFIG_FILE_MISSING",
                     absl::StrCat(target.File(context_->roots), " does not exist"));
  }
  RETURN_IF_ERROR(result.status());
  pb::UpdateConfigResponse response;
  response.set_revision(result->config.revision);
  response.set_changed(result->changed);
  for (const std::string& warning : result->warnings) response.add_warnings(warning);
  return response;
}

}  // namespace om
