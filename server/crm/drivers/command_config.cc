// Actions on the configuration of an object.
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/config/keywords.h"
#include "server/config/store.h"
#include "server/config/value.h"
#include "server/crm/drivers/command.h"
#include "server/crm/drivers/edit_config.h"
#include "server/crm/drivers/load_instance.h"

namespace om {
namespace {

// What += and -= make of a list of words.
std::string ChangeWords(absl::string_view text, const KeywordChange& change) {
  std::vector<std::string> words = ParseList(text);
  for (const std::string& word : ParseList(change.value)) {
    const auto found = std::find(words.begin(), words.end(), word);
    if (change.kind == KeywordChange::Kind::kAppend && found == words.end()) words.push_back(word);
    if (change.kind == KeywordChange::Kind::kRemove && found != words.end()) words.erase(found);
  }
  return absl::StrJoin(words, " ");
}

absl::Status ApplyChange(const KeywordChange& change, bool is_object, Document* document) {
  ASSIGN_OR_RETURN(const auto split, SplitParam(change.param, is_object));
  const auto& [section, key] = split;
  std::string value = change.value;
  if (change.kind != KeywordChange::Kind::kSet) {
    const Document::Value* before = document->Find(section, key);
    value = ChangeWords(before == nullptr ? "" : before->text, change);
  }
  return Annotate(document->Set(section, key, value), change.param);
}

absl::StatusOr<std::vector<KeywordChange>> ParseChanges(const std::vector<std::string>& keywords) {
  std::vector<KeywordChange> changes;
  for (const std::string& text : keywords) {
    ASSIGN_OR_RETURN(KeywordChange change, ParseKeywordChange(text));
    changes.push_back(std::move(change));
  }
  return changes;
}

}  // namespace

absl::Status Command::Create() {
  Document document("the configuration");
  if (!arguments_->config.empty()) {
    std::string file = arguments_->config == "-" ? "/dev/stdin" : arguments_->config;
    // Another object's name: its configuration, less what is its alone.
    const absl::StatusOr<ObjectPath> model = ObjectPath::Parse(arguments_->config);
    const bool copies = model.ok() && arguments_->config != "-" && access(file.c_str(), F_OK) != 0;
    if (copies) file = model->ConfigFile(roots_);
    absl::StatusOr<FileContent> content =
        ReadFile(file, ConfigStore::kMaxFileBytes, AcceptedFiles::kAny);
    if (!content.ok()) return Annotate(content.status(), "--config");
    ASSIGN_OR_RETURN(document, ParseConfiguration(content->text, path_));
    if (copies) {
      document.Unset("DEFAULT", "id");
      document.Unset("DEFAULT", "scale");
    }
  }
  const bool is_object = path_.kind() != "ccfg";
  if (!is_object) {
    return absl::FailedPreconditionError("the cluster's configuration is made by the daemon");
  }
  ASSIGN_OR_RETURN(const std::vector<KeywordChange> changes, ParseChanges(arguments_->keywords));
  for (const KeywordChange& change : changes) {
    RETURN_IF_ERROR(ApplyChange(change, is_object, &document));
  }
  if (document.Find("DEFAULT", "id") == nullptr) {
    RETURN_IF_ERROR(document.Set("DEFAULT", "id", NewUuid()));
  }
  if (options().dry_run) {
    fputs(document.Text().c_str(), stdout);
    return absl::OkStatus();
  }
  return WriteNewDocument(roots_, node_, path_, document, options().force);
}

absl::Status Command::SetKeywords() {
  ASSIGN_OR_RETURN(const std::vector<KeywordChange> changes, ParseChanges(arguments_->keywords));
  if (changes.empty()) {
    return absl::InvalidArgumentError("set needs --kw <keyword>=<value>, or --param and --value");
  }
  if (options().dry_run) {
    for (const KeywordChange& change : changes) {
      printf("set %s\n", change.param.c_str());
    }
    return absl::OkStatus();
  }
  return EditDocument(roots_, node_, path_, [&](Document* document) {
    for (const KeywordChange& change : changes) {
      RETURN_IF_ERROR(ApplyChange(change, path_.kind() != "ccfg", document));
    }
    return absl::OkStatus();
  });
}

absl::Status Command::UnsetKeywords() {
  if (arguments_->keywords.empty()) {
    return absl::InvalidArgumentError("unset needs --kw <keyword>, or --param");
  }
  if (options().dry_run) {
    for (const std::string& keyword : arguments_->keywords) printf("unset %s\n", keyword.c_str());
    return absl::OkStatus();
  }
  return EditDocument(roots_, node_, path_, [&](Document* document) {
    for (const std::string& keyword : arguments_->keywords) {
      ASSIGN_OR_RETURN(const auto split, SplitParam(keyword, path_.kind() != "ccfg"));
      document->Unset(split.first, split.second);
    }
    return absl::OkStatus();
  });
}

absl::Status Command::GetKeywords() {
  if (arguments_->keywords.empty()) {
    return absl::InvalidArgumentError("get needs --kw <keyword>, or --param");
  }
  ObjectSettings settings = instance_.settings;
  if (!arguments_->impersonate.empty()) {
    ASSIGN_OR_RETURN(EvaluationContext context,
                     MakeContext(path_, roots_, arguments_->impersonate));
    ASSIGN_OR_RETURN(settings, ObjectSettings::Load(settings.document(), std::move(context)));
  }
  for (const std::string& keyword : arguments_->keywords) {
    ASSIGN_OR_RETURN(const auto split, SplitParam(keyword, path_.kind() != "ccfg"));
    const auto& [section, key] = split;
    std::optional<std::string> text;
    if (arguments_->eval || !arguments_->impersonate.empty()) {
      ASSIGN_OR_RETURN(text, settings.Get(section, key));
    } else if (const Document::Value* value = settings.document().Find(section, key)) {
      text = value->text;
    }
    if (!text.has_value()) {
      return absl::NotFoundError(absl::StrCat("\"", keyword, "\" is not set"));
    }
    printf("%s\n", text->c_str());
  }
  return absl::OkStatus();
}

absl::Status Command::PrintConfig() {
  const Document& document = instance_.settings.document();
  if (!arguments_->json) {
    fputs(document.Text().c_str(), stdout);
    return absl::OkStatus();
  }
  printf("%s\n", ToJson(document).dump(4, ' ', true, Json::error_handler_t::replace).c_str());
  return absl::OkStatus();
}

absl::Status Command::SetDisabled(bool disabled) {
  std::vector<std::string> sections = {"DEFAULT"};
  if (options().selection.limited()) {
    sections.clear();
    for (const ResourceSettings& resource : instance_.settings.resources) {
      if (options().selection.Matches(resource)) sections.push_back(resource.rid);
    }
    if (sections.empty()) {
      return absl::NotFoundError(
          absl::StrCat("no resource matches ", options().selection.ToString()));
    }
  }
  if (options().dry_run) {
    for (const std::string& section : sections) {
      printf("%s %s\n", disabled ? "disable" : "enable", section.c_str());
    }
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(EditDocument(roots_, node_, path_, [&](Document* document) {
    for (const std::string& section : sections) {
      if (disabled) {
        RETURN_IF_ERROR(document->Set(section, "disable", "true"));
      } else {
        document->Unset(section, "disable");
      }
    }
    return absl::OkStatus();
  }));
  RETURN_IF_ERROR(Load());
  for (const std::string& section : sections) {
    ASSIGN_OR_RETURN(const bool now, instance_.settings.GetBoolean(section, "disable"));
    if (now == disabled) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(section, ".disable@... of the configuration says otherwise for this node"));
  }
  return absl::OkStatus();
}

}  // namespace om
