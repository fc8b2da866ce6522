// The one table of typed keywords, and the check of a whole document against it.
#ifndef OM_SERVER_CONFIG_KEYWORDS_H_
#define OM_SERVER_CONFIG_KEYWORDS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/config/document.h"
#include "server/config/evaluate.h"

namespace om {

enum class KeywordType {
  kString,
  kBoolean,
  kTristate,
  kInteger,
  kDuration,
  kSize,         // Bytes.
  kSizeOrShare,  // Bytes or a percentage.
  kList,
  kListLower,
  kCommaList,
  kShlex,
  kNodeSelector,
  kBooleanOrText,  // A boolean, an integer, or a command line.
};

// Which files a keyword belongs in: node.conf and cluster.conf, or those of objects.
enum class KeywordFile { kNode, kObject };

struct Keyword {
  KeywordFile file = KeywordFile::kNode;
  // "listener", "hb#" (any such section), "DEFAULT", "app#", or "#" (any resource).
  const char* section = "";
  const char* name = "";
  const char* alias = nullptr;  // Old spelling that still counts.
  KeywordType type = KeywordType::kString;
  const char* default_text = nullptr;  // nullptr: unset.
  bool scopable = false;
  Inheritance inheritance = Inheritance::kLeaf;
  int64_t min = INT64_MIN;  // Integers; durations in seconds; sizes in bytes.
  int64_t max = INT64_MAX;
  const char* allowed = nullptr;  // The possible values, separated by "|".
  bool restart = false;           // A change needs a restart of the daemon.
  bool secret = false;            // The value is in no message and no log.
  const char* description = "";
};

// All keywords, in the order in which they are documented.
absl::Span<const Keyword> AllKeywords();

// The keyword for a section and key (lower-cased, without scope), the most specific section first;
// aliases count. nullptr if there is none.
const Keyword* FindKeyword(KeywordFile file, absl::string_view section, absl::string_view key);

// True for names of resource sections, "<group>#<index>" of a known group.
bool IsResourceSection(absl::string_view section);

// {"addr", "n1"} of "addr@n1"; the scope is empty where there is none.
std::pair<absl::string_view, absl::string_view> SplitScope(absl::string_view key);

// The type in words: "a boolean", "an integer from 1 to 65535", "one of failover, flex, span".
std::string DescribeExpectation(const Keyword& keyword);

// Checks an evaluated text. "expected ..., found ..."; secrets are not shown.
absl::Status CheckValue(const Keyword& keyword, absl::string_view text);

// A fault of one keyword.
struct ConfigProblem {
  std::string file;
  int line = 0;
  std::string param;    // "<section>.<key>[@<scope>]"
  std::string message;  // "expected ..., found ..."
  bool warning = false;

  // "<file>:<line>: <param>: <message>"
  std::string ToString() const;
  // INVALID_ARGUMENT with that text, field = param.
  absl::Status ToStatus() const;
};

// Everything wrong or doubtful in a document, in order of lines. Wrong: values of the wrong type, a
// scoped spelling of a keyword that has no scopes. Doubtful: unknown keywords of known sections, of
// which legacy files have many. Values with references are left to evaluation.
std::vector<ConfigProblem> CheckDocument(KeywordFile file, const Document& document);

}  // namespace om

#endif  // OM_SERVER_CONFIG_KEYWORDS_H_
