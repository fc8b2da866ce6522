#include "server/crm/action_words.h"

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/config/keywords.h"
#include "server/config/store.h"

namespace om {
namespace {

constexpr char kMask[] = "***";

absl::Status Refused(absl::string_view what) {
  return WithField(absl::InvalidArgumentError(what), "command.arguments");
}

// Whether the keyword `<section>.<key>[@<scope>]` holds a secret, in whichever file it stands.
bool IsSecretKeyword(absl::string_view param) {
  const auto split = SplitParam(param, /*is_object=*/true);
  if (!split.ok()) return false;
  const absl::string_view key = SplitScope(split->second).first;
  for (const KeywordFile file : {KeywordFile::kNode, KeywordFile::kObject}) {
    const Keyword* keyword = FindKeyword(file, split->first, key);
    if (keyword != nullptr && keyword->secret) return true;
  }
  return false;
}

// The keyword of `<keyword>=<value>`, also with an operator before the equals sign.
absl::string_view KeywordOf(absl::string_view assignment) {
  absl::string_view name = assignment.substr(0, assignment.find('='));
  while (!name.empty() && absl::StrContains("+-|^", name.substr(name.size() - 1))) {
    name.remove_suffix(1);
  }
  return name;
}

bool IsSecretOption(absl::string_view name) {
  for (const absl::string_view secret : {"--secret", "--password", "--passphrase", "--token"}) {
    if (name == secret) return true;
  }
  return false;
}

// Options whose value is an assignment: of a keyword, which in a service's `env` section may be a
// password under any name, or of a variable of the environment.
bool IsAssignmentOption(absl::string_view name) { return name == "--kw" || name == "--env"; }

// `<keyword>=***` of a secret's assignment, or of any; else the text as it is.
std::string MaskAssignment(absl::string_view text, bool whatever) {
  const size_t equals = text.find('=');
  if (equals == absl::string_view::npos || !(whatever || IsSecretKeyword(KeywordOf(text)))) {
    return std::string(text);
  }
  return absl::StrCat(text.substr(0, equals + 1), kMask);
}

}  // namespace

absl::Status CheckActionWords(const std::vector<std::string>& words) {
  if (words.empty() || words[0].empty()) {
    return Refused("a command needs at least an action, such as \"start\"");
  }
  if (words.size() > kMaxActionWords) {
    return Refused(absl::StrCat(words.size(), " words; expected at most ", kMaxActionWords));
  }
  size_t bytes = 0;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i].find('\0') != std::string::npos) {
      return Refused(absl::StrCat("word ", i + 1, " holds a NUL, which no program can be given"));
    }
    bytes += words[i].size() + 1;
  }
  if (bytes > kMaxActionBytes) {
    return Refused(
        absl::StrCat("words of ", bytes, " bytes together; expected at most ", kMaxActionBytes));
  }
  return absl::OkStatus();
}

std::vector<std::string> MaskedActionWords(const std::vector<std::string>& words,
                                           const std::optional<ObjectPath>& path) {
  // Keys of these are secrets whatever they are called, and so may any keyword's value be.
  bool value_is_secret = path.has_value() && (path->kind() == "sec" || path->kind() == "usr");
  for (const std::string& word : words) {
    value_is_secret = value_is_secret || word == "--param" || absl::StartsWith(word, "--param=");
  }
  const auto mask_value = [value_is_secret](absl::string_view option, absl::string_view value) {
    if (IsAssignmentOption(option)) return MaskAssignment(value, /*whatever=*/true);
    if (IsSecretOption(option) || (value_is_secret && option == "--value")) {
      return std::string(kMask);
    }
    return MaskAssignment(value, /*whatever=*/false);
  };
  std::vector<std::string> masked;
  masked.reserve(words.size());
  absl::string_view before;  // The option that this word may be the value of.
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    const absl::string_view option = absl::string_view(word).substr(0, equals);
    const bool is_value = IsAssignmentOption(before) || IsSecretOption(before) ||
                          (value_is_secret && before == "--value");
    if (is_value || !absl::StartsWith(word, "--")) {
      masked.push_back(mask_value(before, word));
      before = "";
    } else if (equals == std::string::npos) {
      masked.push_back(word);
      before = option;
    } else {
      masked.push_back(absl::StrCat(
          option, "=", mask_value(option, absl::string_view(word).substr(equals + 1))));
      before = "";
    }
  }
  return masked;
}

}  // namespace om
