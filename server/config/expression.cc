#include "server/config/expression.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/status.h"
#include "server/config/value.h"

namespace om {
namespace {

// Each pair of parentheses is two.
constexpr int kMaxLevels = 64;
constexpr size_t kMaxListItems = 1000;

struct Value;
using List = std::vector<Value>;
struct Value {
  std::variant<bool, int64_t, double, std::string, List> is;

  bool is_text() const { return std::holds_alternative<std::string>(is); }
  bool is_list() const { return std::holds_alternative<List>(is); }
  bool is_fraction() const { return std::holds_alternative<double>(is); }
  bool is_number() const { return !is_text() && !is_list(); }
  // Of a number that is no fraction: booleans are 0 and 1.
  int64_t Whole() const {
    if (const bool* flag = std::get_if<bool>(&is)) return *flag ? 1 : 0;
    return std::get<int64_t>(is);
  }
  double Number() const {
    if (const double* fraction = std::get_if<double>(&is)) return *fraction;
    return static_cast<double>(Whole());
  }
  bool Truth() const {
    if (is_text()) return !std::get<std::string>(is).empty();
    if (is_list()) return !std::get<List>(is).empty();
    return is_fraction() ? std::get<double>(is) != 0 : Whole() != 0;
  }
};

Value Of(bool flag) { return {flag}; }
Value Of(int64_t number) { return {number}; }
Value Of(double number) { return {number}; }

std::string FractionText(double number) {
  char text[64];
  const double magnitude = std::fabs(number);
  const bool fixed = number == 0 || (magnitude >= 1e-4 && magnitude < 1e16);
  const auto end = std::to_chars(text, text + sizeof text, number,
                                 fixed ? std::chars_format::fixed : std::chars_format::scientific);
  std::string result(text, end.ptr);
  if (fixed && !absl::StrContains(result, '.')) result += ".0";
  return result;
}

std::string TextOf(const Value& value) {
  if (const bool* flag = std::get_if<bool>(&value.is)) return *flag ? "True" : "False";
  if (value.is_text()) return std::get<std::string>(value.is);
  if (value.is_fraction()) return FractionText(std::get<double>(value.is));
  if (!value.is_list()) return absl::StrCat(value.Whole());
  // A list of words, as configurations write them.
  std::vector<std::string> words;
  for (const Value& item : std::get<List>(value.is)) words.push_back(TextOf(item));
  return absl::StrJoin(words, " ");
}

bool Equal(const Value& a, const Value& b) {
  if (a.is_text() && b.is_text()) return std::get<std::string>(a.is) == std::get<std::string>(b.is);
  if (a.is_list() && b.is_list()) {
    const List& left = std::get<List>(a.is);
    const List& right = std::get<List>(b.is);
    if (left.size() != right.size()) return false;
    for (size_t i = 0; i < left.size(); ++i) {
      if (!Equal(left[i], right[i])) return false;
    }
    return true;
  }
  if (!a.is_number() || !b.is_number()) return false;
  if (a.is_fraction() || b.is_fraction()) return a.Number() == b.Number();
  return a.Whole() == b.Whole();
}

bool IsWordStart(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool IsNameByte(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-';
}

// Reads and works out at once, by descending through the levels of precedence.
class Parser {
 public:
  explicit Parser(absl::string_view text) : text_(text) {}

  absl::StatusOr<Value> Run() {
    if (text_.size() > kMaxExpressionBytes) {
      return absl::InvalidArgumentError(absl::StrCat("expected an expression of at most ",
                                                     kMaxExpressionBytes, " bytes, found ",
                                                     text_.size()));
    }
    ASSIGN_OR_RETURN(Value value, Either());
    SkipSpace();
    if (at_ != text_.size()) return Failure("an operator or the end");
    return value;
  }

 private:
  absl::Status Failure(absl::string_view expected) const {
    return absl::InvalidArgumentError(
        absl::StrCat("expected ", expected, " at byte ", at_, " of the expression"));
  }

  void SkipSpace() {
    while (at_ < text_.size() && absl::ascii_isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }
  bool Take(absl::string_view symbol) {
    SkipSpace();
    if (!absl::StartsWith(text_.substr(at_), symbol)) return false;
    at_ += symbol.size();
    return true;
  }
  // A word such as `and`, not the beginning of a longer one.
  bool TakeWord(absl::string_view word) {
    SkipSpace();
    if (!absl::StartsWith(text_.substr(at_), word)) return false;
    const size_t end = at_ + word.size();
    if (end < text_.size() && IsNameByte(text_[end])) return false;
    at_ = end;
    return true;
  }

  // Keeps the levels of the calls below it within bounds while it lives.
  struct Level {
    explicit Level(int* levels) : levels_(levels) { ++*levels_; }
    ~Level() { --*levels_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    int* const levels_;
  };

  absl::StatusOr<Value> Either() {
    const Level level(&levels_);
    if (levels_ > kMaxLevels) return Failure(absl::StrCat("at most ", kMaxLevels, " levels"));
    ASSIGN_OR_RETURN(Value left, Both());
    while (TakeWord("or")) {
      ASSIGN_OR_RETURN(Value right, Both());
      if (!left.Truth()) left = std::move(right);
    }
    return left;
  }

  absl::StatusOr<Value> Both() {
    ASSIGN_OR_RETURN(Value left, Negation());
    while (TakeWord("and")) {
      ASSIGN_OR_RETURN(Value right, Negation());
      if (left.Truth()) left = std::move(right);
    }
    return left;
  }

  absl::StatusOr<Value> Negation() {
    bool negated = false;
    bool found = false;
    while (TakeWord("not")) {
      negated = !negated;
      found = true;
    }
    ASSIGN_OR_RETURN(Value value, Comparison());
    if (!found) return value;
    return Of(value.Truth() != negated);
  }

  enum class Relation { kEqual, kUnequal, kLessEqual, kLess, kGreaterEqual, kGreater, kIn, kNotIn };
  std::optional<Relation> TakeRelation() {
    if (Take("==")) return Relation::kEqual;
    if (Take("!=")) return Relation::kUnequal;
    if (Take("<=")) return Relation::kLessEqual;
    if (Take("<")) return Relation::kLess;
    if (Take(">=")) return Relation::kGreaterEqual;
    if (Take(">")) return Relation::kGreater;
    if (TakeWord("in")) return Relation::kIn;
    const size_t before = at_;
    if (TakeWord("not") && TakeWord("in")) return Relation::kNotIn;
    at_ = before;
    return std::nullopt;
  }

  absl::StatusOr<bool> Compare(const Value& a, Relation relation, const Value& b) const {
    if (relation == Relation::kEqual || relation == Relation::kUnequal) {
      return Equal(a, b) == (relation == Relation::kEqual);
    }
    if (relation == Relation::kIn || relation == Relation::kNotIn) {
      bool inside = false;
      if (b.is_list()) {
        for (const Value& item : std::get<List>(b.is)) inside = inside || Equal(a, item);
      } else if (a.is_text() && b.is_text()) {
        inside = absl::StrContains(std::get<std::string>(b.is), std::get<std::string>(a.is));
      } else {
        return Failure("a list or a text to look in");
      }
      return inside == (relation == Relation::kIn);
    }
    int order = 0;
    if (a.is_text() && b.is_text()) {
      order = std::get<std::string>(a.is).compare(std::get<std::string>(b.is));
    } else if (a.is_number() && b.is_number() && (a.is_fraction() || b.is_fraction())) {
      order = a.Number() < b.Number() ? -1 : a.Number() > b.Number() ? 1 : 0;
    } else if (a.is_number() && b.is_number()) {
      order = a.Whole() < b.Whole() ? -1 : a.Whole() > b.Whole() ? 1 : 0;
    } else {
      return Failure("two numbers or two texts to compare");
    }
    switch (relation) {
      case Relation::kLess:
        return order < 0;
      case Relation::kLessEqual:
        return order <= 0;
      case Relation::kGreater:
        return order > 0;
      default:
        return order >= 0;
    }
  }

  absl::StatusOr<Value> Comparison() {
    ASSIGN_OR_RETURN(Value left, BitOr());
    std::optional<bool> result;
    while (const std::optional<Relation> relation = TakeRelation()) {
      ASSIGN_OR_RETURN(Value right, BitOr());
      ASSIGN_OR_RETURN(const bool holds, Compare(left, *relation, right));
      result = result.value_or(true) && holds;
      left = std::move(right);
    }
    if (result.has_value()) return Of(*result);
    return left;
  }

  absl::StatusOr<Value> Bits(const Value& a, char symbol, const Value& b) const {
    if (!a.is_number() || !b.is_number() || a.is_fraction() || b.is_fraction()) {
      return Failure("whole numbers");
    }
    const int64_t left = a.Whole();
    const int64_t right = b.Whole();
    const int64_t bits = symbol == '&' ? left & right : symbol == '|' ? left | right : left ^ right;
    if (std::holds_alternative<bool>(a.is) && std::holds_alternative<bool>(b.is)) {
      return Of(bits != 0);
    }
    return Of(bits);
  }

  absl::StatusOr<Value> BitOr() {
    ASSIGN_OR_RETURN(Value left, BitXor());
    while (Take("|")) {
      ASSIGN_OR_RETURN(const Value right, BitXor());
      ASSIGN_OR_RETURN(left, Bits(left, '|', right));
    }
    return left;
  }
  absl::StatusOr<Value> BitXor() {
    ASSIGN_OR_RETURN(Value left, BitAnd());
    while (Take("^")) {
      ASSIGN_OR_RETURN(const Value right, BitAnd());
      ASSIGN_OR_RETURN(left, Bits(left, '^', right));
    }
    return left;
  }
  absl::StatusOr<Value> BitAnd() {
    ASSIGN_OR_RETURN(Value left, Sum());
    while (Take("&")) {
      ASSIGN_OR_RETURN(const Value right, Sum());
      ASSIGN_OR_RETURN(left, Bits(left, '&', right));
    }
    return left;
  }

  absl::StatusOr<Value> Add(const Value& a, const Value& b) const {
    if (a.is_text() && b.is_text()) {
      return Value{std::get<std::string>(a.is) + std::get<std::string>(b.is)};
    }
    if (!a.is_number() || !b.is_number()) return Failure("two numbers or two texts");
    if (a.is_fraction() || b.is_fraction()) return Of(a.Number() + b.Number());
    int64_t sum = 0;
    if (__builtin_add_overflow(a.Whole(), b.Whole(), &sum)) return Failure("a smaller number");
    return Of(sum);
  }
  absl::StatusOr<Value> Subtract(const Value& a, const Value& b) const {
    if (!a.is_number() || !b.is_number()) return Failure("two numbers");
    if (a.is_fraction() || b.is_fraction()) return Of(a.Number() - b.Number());
    int64_t difference = 0;
    if (__builtin_sub_overflow(a.Whole(), b.Whole(), &difference)) {
      return Failure("a smaller number");
    }
    return Of(difference);
  }
  absl::StatusOr<Value> Multiply(const Value& a, const Value& b) const {
    if (!a.is_number() || !b.is_number()) return Failure("two numbers");
    if (a.is_fraction() || b.is_fraction()) return Of(a.Number() * b.Number());
    int64_t product = 0;
    if (__builtin_mul_overflow(a.Whole(), b.Whole(), &product)) return Failure("a smaller number");
    return Of(product);
  }
  absl::StatusOr<Value> Divide(const Value& a, absl::string_view symbol, const Value& b) const {
    if (!a.is_number() || !b.is_number()) return Failure("two numbers");
    if (b.Number() == 0) return Failure("a divisor other than 0");
    if (symbol == "/") return Of(a.Number() / b.Number());
    if (a.is_fraction() || b.is_fraction()) {
      const double quotient = std::floor(a.Number() / b.Number());
      return Of(symbol == "//" ? quotient : a.Number() - quotient * b.Number());
    }
    const int64_t left = a.Whole();
    const int64_t right = b.Whole();
    if (right == -1) {
      // The one quotient that 64 bits cannot hold.
      if (symbol == "%") return Of(int64_t{0});
      if (left == std::numeric_limits<int64_t>::min()) return Failure("a smaller number");
      return Of(-left);
    }
    int64_t quotient = left / right;
    int64_t rest = left % right;
    if (rest != 0 && (rest < 0) != (right < 0)) {
      --quotient;
      rest += right;
    }
    return Of(symbol == "//" ? quotient : rest);
  }

  absl::StatusOr<Value> Sum() {
    ASSIGN_OR_RETURN(Value left, Product());
    while (true) {
      if (Take("+")) {
        ASSIGN_OR_RETURN(const Value right, Product());
        ASSIGN_OR_RETURN(left, Add(left, right));
      } else if (Take("-")) {
        ASSIGN_OR_RETURN(const Value right, Product());
        ASSIGN_OR_RETURN(left, Subtract(left, right));
      } else {
        return left;
      }
    }
  }

  absl::StatusOr<Value> Product() {
    ASSIGN_OR_RETURN(Value left, Signed());
    while (true) {
      absl::string_view symbol;
      for (const absl::string_view candidate : {"//", "/", "%", "*"}) {
        // The level below has taken every "**".
        if (symbol.empty() && Take(candidate)) symbol = candidate;
      }
      if (symbol.empty()) return left;
      ASSIGN_OR_RETURN(const Value right, Signed());
      if (symbol == "*") {
        ASSIGN_OR_RETURN(left, Multiply(left, right));
      } else {
        ASSIGN_OR_RETURN(left, Divide(left, symbol, right));
      }
    }
  }

  absl::StatusOr<Value> Signed() {
    const Level level(&levels_);
    if (levels_ > kMaxLevels) return Failure(absl::StrCat("at most ", kMaxLevels, " levels"));
    if (Take("-")) {
      ASSIGN_OR_RETURN(const Value value, Signed());
      return Subtract(Of(int64_t{0}), value);
    }
    if (Take("+")) {
      ASSIGN_OR_RETURN(const Value value, Signed());
      return Add(Of(int64_t{0}), value);
    }
    return Power();
  }

  absl::StatusOr<Value> Power() {
    ASSIGN_OR_RETURN(Value base, Atom());
    if (!Take("**")) return base;
    ASSIGN_OR_RETURN(const Value exponent, Signed());
    if (!base.is_number() || !exponent.is_number()) return Failure("two numbers");
    if (base.is_fraction() || exponent.is_fraction() || exponent.Whole() < 0) {
      const double power = std::pow(base.Number(), exponent.Number());
      if (!std::isfinite(power)) return Failure("a smaller number");
      return Of(power);
    }
    int64_t power = 1;
    const int64_t factor = base.Whole();
    // Past 64 rounds only these do not overflow.
    int64_t rounds = exponent.Whole();
    if (factor >= -1 && factor <= 1 && rounds > 2) rounds = 2 + rounds % 2;
    for (int64_t i = 0; i < rounds; ++i) {
      if (__builtin_mul_overflow(power, factor, &power)) return Failure("a smaller number");
    }
    return Of(power);
  }

  absl::StatusOr<Value> Items(absl::string_view close) {
    List items;
    bool comma = false;
    while (!Take(close)) {
      if (!items.empty() && !comma) return Failure(absl::StrCat("\",\" or \"", close, "\""));
      if (items.size() >= kMaxListItems) return Failure("a shorter list");
      ASSIGN_OR_RETURN(Value item, Either());
      items.push_back(std::move(item));
      comma = Take(",");
    }
    // Parentheses around one thing are no list, unless a comma says so.
    if (close == ")" && items.size() == 1 && !comma) return std::move(items.front());
    return Value{std::move(items)};
  }

  absl::StatusOr<Value> Atom() {
    SkipSpace();
    if (at_ == text_.size()) return Failure("a value");
    const char first = text_[at_];
    if (Take("(")) return Items(")");
    if (Take("[")) return Items("]");
    if (first == '"' || first == '\'') {
      const size_t end = text_.find(first, at_ + 1);
      if (end == absl::string_view::npos) return Failure("a closing quote for the one");
      Value value{std::string(text_.substr(at_ + 1, end - at_ - 1))};
      at_ = end + 1;
      return value;
    }
    if (IsWordStart(first)) {
      size_t end = at_ + 1;
      while (end < text_.size() && IsNameByte(text_[end])) ++end;
      const absl::string_view word = text_.substr(at_, end - at_);
      if (word == "and" || word == "or" || word == "not" || word == "in") return Failure("a value");
      at_ = end;
      if (word == "True") return Of(true);
      if (word == "False") return Of(false);
      return Value{std::string(word)};
    }
    size_t end = at_;
    while (end < text_.size() &&
           (absl::ascii_isalnum(static_cast<unsigned char>(text_[end])) || text_[end] == '.')) {
      ++end;
    }
    const absl::string_view number = text_.substr(at_, end - at_);
    int64_t whole = 0;
    double fraction = 0;
    if (number.empty() || !absl::ascii_isdigit(static_cast<unsigned char>(first))) {
      return Failure("a value");
    }
    if (absl::SimpleAtoi(number, &whole)) {
      at_ = end;
      return Of(whole);
    }
    if (!absl::SimpleAtod(number, &fraction) || !std::isfinite(fraction)) {
      return Failure("a number");
    }
    at_ = end;
    return Of(fraction);
  }

  const absl::string_view text_;
  size_t at_ = 0;
  int levels_ = 0;
};

}  // namespace

absl::StatusOr<std::string> EvaluateExpression(absl::string_view expression) {
  ASSIGN_OR_RETURN(const Value value, Parser(expression).Run());
  return TextOf(value);
}

absl::StatusOr<bool> EvaluateCondition(absl::string_view expression) {
  ASSIGN_OR_RETURN(const Value value, Parser(expression).Run());
  if (value.is_text()) return ParseBoolean(std::get<std::string>(value.is));
  return value.Truth();
}

size_t FindClosingParenthesis(absl::string_view text, size_t open) {
  int depth = 0;
  char quote = '\0';
  for (size_t i = open; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != '\0') {
      if (c == quote) quote = '\0';
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '(') {
      ++depth;
    } else if (c == ')' && --depth == 0) {
      return i;
    }
  }
  return absl::string_view::npos;
}

}  // namespace om
