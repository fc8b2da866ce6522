// The types of keywords: texts to values, by the legacy rules. Errors say what was expected; where
// a keyword stands is for the caller to add.
#ifndef OM_SERVER_CONFIG_VALUE_H_
#define OM_SERVER_CONFIG_VALUE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/base/clock.h"

namespace om {

// All are pure. THREAD: any. Errors are INVALID_ARGUMENT "expected ..., found \"<value>\"".

// yes y true t 1 / no n false f 0 0.0 none [] {} and the empty text, in any case.
absl::StatusOr<bool> ParseBoolean(absl::string_view text);
// nullopt for nothing but white space.
absl::StatusOr<std::optional<bool>> ParseTristate(absl::string_view text);
// Through a number with fraction, which is cut: "1.9" is 1. Beyond 2^53 in size: an error.
absl::StatusOr<int64_t> ParseInteger(absl::string_view text);
// An integer is seconds; else a sum of <integer><unit>, units w d h m s in any case, white space
// between: "1h30m". Where the legacy agent takes what it does not understand for 0 ("10x", "1.5"),
// this is an error. At most 100 years.
absl::StatusOr<Duration> ParseDuration(absl::string_view text);

// Bytes, or a share of something.
struct Size {
  int64_t bytes = 0;
  std::string share;  // "2%", "10%FREE"; `bytes` means nothing then.
  bool is_share() const { return !share.empty(); }
};
// <number>[unit], comma or dot. K M G T P Z E: powers of 1024 (Z comes before E, as in legacy
// files: 1024^6 and 1024^7), with an i powers of 1000; a trailing "b" is fine. Or
// <number>%[FREE|VG|ORIGIN| PVS].
absl::StatusOr<Size> ParseSize(absl::string_view text);

std::vector<std::string> ParseList(absl::string_view text);       // Split on white space.
std::vector<std::string> ParseListLower(absl::string_view text);  // The same, lower-cased.
std::vector<std::string> ParseCommaList(absl::string_view text);  // "a, b ,c"; empty words dropped.

// Words as a POSIX shell splits them: quotes and backslashes, no expansion, no comments.
absl::StatusOr<std::vector<std::string>> ParseShlex(absl::string_view text);

// What a node selector selects from.
struct SelectorNodes {
  std::vector<std::string> nodes;  // Of the cluster, in its order.
  std::string local;               // The only one that can match where `nodes` is empty.
  std::map<std::string, std::map<std::string, std::string>> labels;
};

// `*` or nothing: all nodes. White space between words and none of "* ? = , +": the words, in order
// (lower-cased), known nodes or not. Else each word is "a+b" (and) of "x,y" (or) of: a glob on
// names, `label=value`, `label:` (has the label), each negated by a leading "!"; what a word
// selects is sorted, words are appended without duplicates. A single plain name stands for itself
// only if it is a node's.
std::vector<std::string> SelectNodes(absl::string_view selector, const SelectorNodes& from);

}  // namespace om

#endif  // OM_SERVER_CONFIG_VALUE_H_
