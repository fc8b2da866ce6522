#include "server/crm/drivers/edit_config.h"

#include <chrono>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/config/file_lock.h"
#include "server/config/keywords.h"
#include "server/config/settings.h"
#include "server/crm/drivers/load_instance.h"

namespace om {
namespace {

constexpr Duration kLockPatience = std::chrono::seconds(5);
constexpr int kMaxJsonDepth = 8;

KeywordFile FileKind(const ObjectPath& path) {
  return path.kind() == "ccfg" ? KeywordFile::kNode : KeywordFile::kObject;
}

std::string Identity(const ConfigProblem& problem) {
  return absl::StrCat(problem.param, "\n", problem.message);
}

// Faults of `after` that `before` did not have, and whether it can be loaded.
absl::Status Check(const Roots& roots, const std::string& node, const ObjectPath& path,
                   const Document& before, const Document& after) {
  std::set<std::string> known;
  for (const ConfigProblem& problem : CheckDocument(FileKind(path), before)) {
    known.insert(Identity(problem));
  }
  for (const ConfigProblem& problem : CheckDocument(FileKind(path), after)) {
    if (!problem.warning && known.count(Identity(problem)) == 0) return problem.ToStatus();
  }
  if (path.kind() == "ccfg") return absl::OkStatus();
  ASSIGN_OR_RETURN(const EvaluationContext context, MakeContext(path, roots, node));
  absl::Status loaded = ObjectSettings::Load(after, context).status();
  if (loaded.ok() || !ObjectSettings::Load(before, context).ok()) return absl::OkStatus();
  return loaded;
}

absl::StatusOr<std::string> ValueText(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return std::string(value.get<bool>() ? "true" : "false");
  if (value.is_number()) return value.dump();
  if (value.is_null()) return std::string();
  if (value.is_array()) {
    std::vector<std::string> words;
    for (const Json& word : value) {
      if (!word.is_primitive()) break;
      ASSIGN_OR_RETURN(std::string text, ValueText(word));
      words.push_back(std::move(text));
    }
    if (words.size() == value.size()) return absl::StrJoin(words, " ");
  }
  return absl::InvalidArgumentError("expected a text, a number, a boolean or a list of them");
}

bool IsConfigurationObject(const Json& json) {
  if (!json.is_object()) return false;
  for (const auto& [section, keywords] : json.items()) {
    if (!keywords.is_object()) return false;
  }
  return true;
}

}  // namespace

absl::Status EditDocument(const Roots& roots, const std::string& node, const ObjectPath& path,
                          const std::function<absl::Status(Document*)>& edit) {
  ASSIGN_OR_RETURN(const FileLock lock, FileLock::Acquire(roots.ConfigLock(), kLockPatience));
  const std::string file = path.ConfigFile(roots);
  RETURN_IF_ERROR(ModificationTime(file).status());
  ASSIGN_OR_RETURN(const Document before, ReadDocument(file));
  Document edited = before;
  RETURN_IF_ERROR(edit(&edited));
  const std::string text = edited.Text();
  if (text == before.Text()) return absl::OkStatus();
  // Read anew: lines in messages, and limits, are those of the file to be.
  ASSIGN_OR_RETURN(const Document after, Document::Parse(text, file));
  RETURN_IF_ERROR(Check(roots, node, path, before, after));
  return WriteFileAtomically(file, text, WriteOptions());
}

absl::Status WriteNewDocument(const Roots& roots, const std::string& node, const ObjectPath& path,
                              const Document& document, bool replace) {
  ASSIGN_OR_RETURN(const FileLock lock, FileLock::Acquire(roots.ConfigLock(), kLockPatience));
  const std::string file = path.ConfigFile(roots);
  if (!replace && ModificationTime(file).ok()) {
    return absl::AlreadyExistsError(
        absl::StrCat("\"", file, "\" exists; --force replaces what is in it"));
  }
  const std::string text = document.Text();
  ASSIGN_OR_RETURN(const Document written, Document::Parse(text, file));
  RETURN_IF_ERROR(Check(roots, node, path, Document(file), written));
  return WriteFileAtomically(file, text, WriteOptions());
}

absl::StatusOr<Document> ParseConfiguration(absl::string_view text, const ObjectPath& path) {
  if (!absl::StartsWith(absl::StripLeadingAsciiWhitespace(text), "{")) {
    return Document::Parse(text, "the configuration");
  }
  ASSIGN_OR_RETURN(Json json, ParseJson(text, kMaxJsonDepth));
  const auto own = json.find(path.ToString());
  if (own != json.end() && IsConfigurationObject(*own)) {
    Json inner = *own;
    json = std::move(inner);
  }
  if (!IsConfigurationObject(json)) {
    return absl::InvalidArgumentError("expected {section: {keyword: value}}");
  }
  Document document("the configuration");
  for (const auto& [section, keywords] : json.items()) {
    // Not a section: what the legacy agent adds to the answer that this text may come from.
    if (section == "metadata") continue;
    for (const auto& [keyword, value] : keywords.items()) {
      const std::string param = absl::StrCat(section, ".", keyword);
      const absl::StatusOr<std::string> word = ValueText(value);
      if (!word.ok()) return Annotate(word.status(), param);
      RETURN_IF_ERROR(
          Annotate(document.Set(section, absl::AsciiStrToLower(keyword), *word), param));
    }
  }
  return document;
}

Json ToJson(const Document& document) {
  Json json = Json::object();
  for (const std::string& section : document.Sections()) {
    Json keywords = Json::object();
    for (const Document::Value& value : document.Entries(section)) keywords[value.key] = value.text;
    json[section] = std::move(keywords);
  }
  return json;
}

}  // namespace om
