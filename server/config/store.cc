#include "server/config/store.h"

#include <openssl/evp.h>

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/config/evaluate.h"
#include "server/config/file_lock.h"
#include "server/config/keywords.h"
#include "server/config/settings.h"

namespace om {
namespace {

std::string HexDigest(const EVP_MD* type, absl::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), digest, &size, type, nullptr) != 1) return "";
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), size));
}

absl::Status BadParam(absl::string_view param, absl::string_view expected) {
  return WithField(absl::InvalidArgumentError(
                       absl::StrCat("expected ", expected, ", found \"",
                                    absl::Utf8SafeCHexEscape(param.substr(0, 100)), "\"")),
                   param.substr(0, 100));
}

KeywordFile FileKind(const ConfigTarget& target) {
  return target.is_object() ? KeywordFile::kObject : KeywordFile::kNode;
}

// The same fault before and after an edit, wherever its line went.
std::string Identity(const ConfigProblem& problem) {
  return absl::StrCat(problem.param, "\n", problem.message);
}

}  // namespace

ConfigTarget ConfigTarget::Object(ObjectPath path) {
  if (path.kind() == "ccfg") return Cluster();
  return ConfigTarget(Kind::kObject, std::move(path));
}

std::string ConfigTarget::File(const Roots& roots) const {
  switch (kind_) {
    case Kind::kNode:
      return roots.NodeConf();
    case Kind::kCluster:
      return roots.ClusterConf();
    case Kind::kObject:
      return path_.ConfigFile(roots);
  }
  return "";
}

std::string RevisionOf(absl::string_view text) { return HexDigest(EVP_sha256(), text); }

std::string LegacyChecksumOf(absl::string_view text) { return HexDigest(EVP_md5(), text); }

absl::StatusOr<std::pair<std::string, std::string>> SplitParam(absl::string_view param,
                                                               bool is_object) {
  constexpr absl::string_view kShape = "<section>.<keyword>[@<scope>]";
  const absl::string_view spelling = param.substr(0, param.find('@'));
  const size_t dot = absl::StartsWith(param, "stonith#") ? spelling.rfind('.') : spelling.find('.');
  if (dot == absl::string_view::npos) {
    if (!is_object || spelling.empty()) return BadParam(param, kShape);
    return std::make_pair(std::string("DEFAULT"), absl::AsciiStrToLower(param));
  }
  std::string section(param.substr(0, dot));
  std::string key = absl::AsciiStrToLower(param.substr(dot + 1));
  if (section.empty() || key.empty() || key.front() == '@' || key.back() == '@') {
    return BadParam(param, kShape);
  }
  return std::make_pair(std::move(section), std::move(key));
}

absl::StatusOr<StoredConfig> ConfigStore::Read(const ConfigTarget& target) const {
  StoredConfig config;
  config.file = target.File(roots_);
  ASSIGN_OR_RETURN(FileContent content, ReadFile(config.file, kMaxFileBytes));
  config.text = std::move(content.text);
  config.mtime = content.mtime;
  config.revision = RevisionOf(config.text);
  return config;
}

absl::Status ConfigStore::LoadWith(const ConfigTarget& target, const Document& document) const {
  NodeDocuments documents;
  if (!target.is_object() && target.is_cluster()) {
    documents.cluster = document;
  } else {
    ASSIGN_OR_RETURN(documents.cluster, ReadDocument(roots_.ClusterConf()));
  }
  if (!target.is_object() && !target.is_cluster()) {
    documents.node = document;
  } else {
    ASSIGN_OR_RETURN(documents.node, ReadDocument(roots_.NodeConf()));
  }
  ASSIGN_OR_RETURN(const NodeSettings settings, NodeSettings::Load(documents, nodename_, roots_));
  if (!target.is_object()) return absl::OkStatus();
  EvaluationContext context;
  context.nodename = nodename_;
  context.roots = roots_;
  context.path = target.path();
  context.cluster = settings.Cluster();
  return ObjectSettings::Load(document, std::move(context)).status();
}

absl::Status ConfigStore::CheckEdited(const ConfigTarget& target, const Document& before,
                                      const Document& after, const std::vector<ConfigEdit>& edits,
                                      std::vector<std::string>* warnings) const {
  std::set<std::string> known_faults;
  for (const ConfigProblem& problem : CheckDocument(FileKind(target), before)) {
    known_faults.insert(Identity(problem));
  }
  std::set<std::string> edited;
  for (const ConfigEdit& edit : edits) {
    if (!edit.value.has_value()) continue;
    ASSIGN_OR_RETURN(const auto split, SplitParam(edit.param, target.is_object()));
    edited.insert(absl::StrCat(split.first, ".", split.second));
  }
  for (const ConfigProblem& problem : CheckDocument(FileKind(target), after)) {
    const bool touched = edited.count(problem.param) > 0;
    if (problem.warning) {
      if (touched) warnings->push_back(problem.ToString());
      continue;
    }
    if (touched || known_faults.count(Identity(problem)) == 0) return problem.ToStatus();
  }
  if (nodename_.empty()) return absl::OkStatus();
  absl::Status loaded = LoadWith(target, after);
  if (loaded.ok()) return loaded;
  const bool ours = edited.count(FieldOf(loaded)) > 0;
  return ours || LoadWith(target, before).ok() ? loaded : absl::OkStatus();
}

absl::StatusOr<EditResult> ConfigStore::Edit(const ConfigTarget& target,
                                             const std::vector<ConfigEdit>& edits,
                                             absl::string_view expected_revision,
                                             const EditJudge& judge) const {
  if (edits.size() > kMaxEdits) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected at most ", kMaxEdits, " changes at once, found ", edits.size()));
  }
  ASSIGN_OR_RETURN(const FileLock lock, FileLock::Acquire(roots_.ConfigLock(), kLockPatience));
  EditResult result;
  absl::StatusOr<StoredConfig> stored = Read(target);
  if (stored.ok()) {
    result.config = *std::move(stored);
  } else if (absl::IsNotFound(stored.status()) && !target.is_object()) {
    result.config.file = target.File(roots_);
    result.config.revision = RevisionOf("");
  } else {
    return stored.status();
  }
  if (!expected_revision.empty() && expected_revision != result.config.revision) {
    return WithReason(
        absl::AbortedError(absl::StrCat(result.config.file, " has changed: its revision is ",
                                        result.config.revision, ", the change was made for ",
                                        absl::Utf8SafeCHexEscape(expected_revision.substr(0, 64)))),
        "REVISION_MISMATCH");
  }
  ASSIGN_OR_RETURN(const Document before, Document::Parse(result.config.text, result.config.file));
  Document after = before;
  for (const ConfigEdit& edit : edits) {
    ASSIGN_OR_RETURN(const auto split, SplitParam(edit.param, target.is_object()));
    const auto& [section, key] = split;
    if (!edit.value.has_value()) {
      after.Unset(section, key);
      continue;
    }
    const absl::Status set = after.Set(section, key, *edit.value);
    if (!set.ok()) return WithField(set, edit.param);
  }
  const std::string text = after.Text();
  if (text == result.config.text) return result;
  // Read anew: lines in messages, and limits, are those of the file to be.
  ASSIGN_OR_RETURN(after, Document::Parse(text, result.config.file));
  if (judge != nullptr) RETURN_IF_ERROR(judge(before, after));
  RETURN_IF_ERROR(CheckEdited(target, before, after, edits, &result.warnings));
  RETURN_IF_ERROR(WriteFileAtomically(result.config.file, text, WriteOptions()));
  ASSIGN_OR_RETURN(result.config, Read(target));
  result.changed = true;
  return result;
}

}  // namespace om
