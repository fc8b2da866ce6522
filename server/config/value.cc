#include "server/config/value.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace om {
namespace {

constexpr double kMaxExactInteger = 9007199254740992.0;  // 2^53.
constexpr int64_t kMaxDurationSeconds = int64_t{100} * 366 * 86400;

absl::Status Expected(absl::string_view what, absl::string_view found) {
  return absl::InvalidArgumentError(absl::StrCat("expected ", what, ", found \"",
                                                 absl::Utf8SafeCHexEscape(found.substr(0, 100)),
                                                 found.size() > 100 ? "..." : "", "\""));
}

bool IsDigit(char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }

// A decimal number without exponent, sign or words such as "inf".
bool IsPlainNumber(absl::string_view text) {
  bool digits = false;
  bool point = false;
  for (const char c : text) {
    if (IsDigit(c)) {
      digits = true;
    } else if (c == '.' && !point) {
      point = true;
    } else {
      return false;
    }
  }
  return digits;
}

// Shell patterns: * ? [abc] [!a-z]. Iterative, so that no pattern costs more than product of
// lengths.
bool GlobMatches(absl::string_view pattern, absl::string_view text) {
  size_t p = 0;
  size_t t = 0;
  size_t star = absl::string_view::npos;
  size_t star_text = 0;
  // Whether one character matches the pattern element at `p`; `next` is where the element ends.
  const auto one = [&](char c, size_t* next) {
    *next = p + 1;
    if (pattern[p] == '?') return true;
    if (pattern[p] != '[') return pattern[p] == c;
    size_t i = p + 1;
    const bool negated = i < pattern.size() && pattern[i] == '!';
    if (negated) ++i;
    bool hit = false;
    const size_t first = i;
    for (; i < pattern.size() && (pattern[i] != ']' || i == first); ++i) {
      if (i + 2 < pattern.size() && pattern[i + 1] == '-' && pattern[i + 2] != ']') {
        hit = hit || (pattern[i] <= c && c <= pattern[i + 2]);
        i += 2;
      } else {
        hit = hit || pattern[i] == c;
      }
    }
    if (i >= pattern.size()) return c == '[';  // No closing bracket: an ordinary character.
    *next = i + 1;
    return hit != negated;
  };
  while (t < text.size()) {
    size_t next = 0;
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && one(text[t], &next)) {
      p = next;
      ++t;
    } else if (star != absl::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool ElementMatches(absl::string_view element, const std::string& node, const SelectorNodes& from) {
  if (element.empty()) return false;
  if (element.front() == '!') return !ElementMatches(element.substr(1), node, from);
  const auto labels = from.labels.find(node);
  const auto label = [&](absl::string_view name) -> const std::string* {
    if (labels == from.labels.end()) return nullptr;
    const auto it = labels->second.find(std::string(name));
    return it == labels->second.end() ? nullptr : &it->second;
  };
  const size_t equal = element.find('=');
  if (equal != absl::string_view::npos) {
    const std::string* value = label(element.substr(0, equal));
    return value != nullptr && *value == element.substr(equal + 1);
  }
  if (element.back() == ':') return label(element.substr(0, element.size() - 1)) != nullptr;
  return GlobMatches(absl::AsciiStrToLower(element), node);
}

bool TermMatches(absl::string_view term, const std::string& node, const SelectorNodes& from) {
  for (const absl::string_view all : absl::StrSplit(term, '+')) {
    bool any = false;
    for (const absl::string_view element : absl::StrSplit(all, ',')) {
      // A leading "!" of "!!a" style chains is bounded here, not by the stack.
      if (element.size() > 1024) return false;
      any = any || ElementMatches(element, node, from);
    }
    if (!any) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<bool> ParseBoolean(absl::string_view text) {
  const std::string word = absl::AsciiStrToLower(absl::StripAsciiWhitespace(text));
  for (const absl::string_view yes : {"yes", "y", "true", "t", "1"}) {
    if (word == yes) return true;
  }
  for (const absl::string_view no : {"no", "n", "false", "f", "0", "0.0", "none", "[]", "{}", ""}) {
    if (word == no) return false;
  }
  return Expected("a boolean (true, yes, y, t, 1, false, no, n, f, 0)", text);
}

absl::StatusOr<std::optional<bool>> ParseTristate(absl::string_view text) {
  if (absl::StripAsciiWhitespace(text).empty()) return std::optional<bool>();
  absl::StatusOr<bool> value = ParseBoolean(text);
  if (!value.ok()) return value.status();
  return std::optional<bool>(*value);
}

absl::StatusOr<int64_t> ParseInteger(absl::string_view text) {
  const absl::string_view number = absl::StripAsciiWhitespace(text);
  double value = 0;
  // SimpleAtod also takes "inf", "nan" and hexadecimal numbers, which integers are not.
  if (number.empty() || number.find_first_not_of("+-.0123456789eE") != absl::string_view::npos ||
      !absl::SimpleAtod(number, &value) || !std::isfinite(value) ||
      std::abs(value) > kMaxExactInteger) {
    return Expected("an integer", text);
  }
  return static_cast<int64_t>(value);
}

absl::StatusOr<Duration> ParseDuration(absl::string_view text) {
  constexpr absl::string_view kWhat =
      "a duration (seconds, or a sum of <integer><unit> with units w d h m s, such as 1h30m)";
  absl::string_view rest = absl::StripAsciiWhitespace(text);
  if (rest.empty()) return Expected(kWhat, text);
  int64_t total = 0;
  bool first = true;
  while (!rest.empty()) {
    size_t digits = 0;
    while (digits < rest.size() && IsDigit(rest[digits])) ++digits;
    int64_t count = 0;
    if (digits == 0 || !absl::SimpleAtoi(rest.substr(0, digits), &count)) {
      return Expected(kWhat, text);
    }
    rest.remove_prefix(digits);
    int64_t unit = 1;
    if (rest.empty()) {
      if (!first) return Expected(kWhat, text);  // "1h30": 30 of what?
    } else {
      switch (absl::ascii_tolower(static_cast<unsigned char>(rest.front()))) {
        case 'w':
          unit = int64_t{7} * 86400;
          break;
        case 'd':
          unit = 86400;
          break;
        case 'h':
          unit = 3600;
          break;
        case 'm':
          unit = 60;
          break;
        case 's':
          unit = 1;
          break;
        default:
          return Expected(kWhat, text);
      }
      rest.remove_prefix(1);
    }
    if (count > kMaxDurationSeconds / unit || total + count * unit > kMaxDurationSeconds) {
      return Expected("a duration of at most 100 years", text);
    }
    total += count * unit;
    rest = absl::StripLeadingAsciiWhitespace(rest);
    first = false;
  }
  return Duration(std::chrono::seconds(total));
}

absl::StatusOr<Size> ParseSize(absl::string_view text) {
  constexpr absl::string_view kWhat =
      "a size (<number>, with a unit K M G T P Ki Mi Gi Ti Pi, or <number>%)";
  const absl::string_view stripped = absl::StripAsciiWhitespace(text);
  size_t end = 0;
  std::string number;
  while (end < stripped.size() &&
         (IsDigit(stripped[end]) || stripped[end] == '.' || stripped[end] == ',')) {
    number += stripped[end] == ',' ? '.' : stripped[end];
    ++end;
  }
  double value = 0;
  if (!IsPlainNumber(number) || !absl::SimpleAtod(number, &value)) return Expected(kWhat, text);
  absl::string_view unit = absl::StripAsciiWhitespace(stripped.substr(end));
  Size size;
  if (absl::StartsWith(unit, "%")) {
    const std::string of = absl::AsciiStrToUpper(unit.substr(1));
    if (!of.empty() && of != "FREE" && of != "VG" && of != "ORIGIN" && of != "PVS") {
      return Expected(kWhat, text);
    }
    size.share = absl::StrCat(number, "%", of);
    return size;
  }
  double factor = 1;
  if (!unit.empty()) {
    // Z before E is how the legacy agent has it; a file means the same here as there.
    constexpr absl::string_view kUnits = "KMGTPZE";
    const char letter = absl::ascii_toupper(static_cast<unsigned char>(unit.front()));
    const size_t order = kUnits.find(letter);
    if (order != absl::string_view::npos) {
      unit.remove_prefix(1);
      double base = 1024;
      if (!unit.empty() && absl::ascii_tolower(static_cast<unsigned char>(unit.front())) == 'i') {
        base = 1000;
        unit.remove_prefix(1);
      }
      for (size_t i = 0; i <= order; ++i) factor *= base;
    }
    if (!unit.empty() && absl::ascii_tolower(static_cast<unsigned char>(unit.front())) == 'b') {
      unit.remove_prefix(1);
    }
    if (!unit.empty()) return Expected(kWhat, text);
  }
  if (value * factor > 9.0e18) return Expected("a size below 8 exbibytes", text);
  size.bytes = static_cast<int64_t>(value * factor);
  return size;
}

std::vector<std::string> ParseList(absl::string_view text) {
  return absl::StrSplit(text, absl::ByAnyChar(" \t\r\n\v\f"), absl::SkipEmpty());
}

std::vector<std::string> ParseListLower(absl::string_view text) {
  return ParseList(absl::AsciiStrToLower(text));
}

std::vector<std::string> ParseCommaList(absl::string_view text) {
  std::vector<std::string> words;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const absl::string_view word = absl::StripAsciiWhitespace(part);
    if (!word.empty()) words.emplace_back(word);
  }
  return words;
}

absl::StatusOr<std::vector<std::string>> ParseShlex(absl::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (absl::ascii_isspace(static_cast<unsigned char>(c))) {
      if (in_word) words.push_back(std::move(word));
      word.clear();
      in_word = false;
      continue;
    }
    in_word = true;
    if (c == '\\') {
      if (++i == text.size()) return Expected("a character after the last \"\\\"", text);
      word += text[i];
    } else if (c == '\'') {
      const size_t close = text.find('\'', i + 1);
      if (close == absl::string_view::npos) return Expected("a closing \"'\"", text);
      absl::StrAppend(&word, text.substr(i + 1, close - i - 1));
      i = close;
    } else if (c == '"') {
      for (++i; i < text.size() && text[i] != '"'; ++i) {
        const bool escape =
            text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == '"' || text[i + 1] == '\\');
        if (escape) ++i;
        word += text[i];
      }
      if (i >= text.size()) return Expected("a closing '\"'", text);
    } else {
      word += c;
    }
  }
  if (in_word) words.push_back(std::move(word));
  return words;
}

std::vector<std::string> SelectNodes(absl::string_view selector, const SelectorNodes& from) {
  const absl::string_view stripped = absl::StripAsciiWhitespace(selector);
  std::vector<std::string> nodes = from.nodes;
  if (nodes.empty() && !from.local.empty()) nodes.push_back(from.local);
  if (stripped.empty() || stripped == "*") return nodes;

  const std::vector<std::string> words = ParseList(stripped);
  std::vector<std::string> selected;
  std::set<std::string> seen;
  const auto add = [&](const std::string& node) {
    if (seen.insert(node).second) selected.push_back(node);
  };
  if (words.size() > 1 && stripped.find_first_of("*?=,+") == absl::string_view::npos) {
    for (const std::string& word : words) add(absl::AsciiStrToLower(word));
    return selected;
  }
  for (const std::string& word : words) {
    std::set<std::string> matching;
    for (const std::string& node : nodes) {
      if (TermMatches(word, node, from)) matching.insert(node);
    }
    for (const std::string& node : matching) add(node);
  }
  return selected;
}

}  // namespace om
