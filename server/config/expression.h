// The expressions of configurations: what stands inside `$(...)`, and constraints.
#ifndef OM_SERVER_CONFIG_EXPRESSION_H_
#define OM_SERVER_CONFIG_EXPRESSION_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace om {

// Numbers, quoted texts, bare words (texts: `n1`, `node-2.example.org`), True and False; by rising
// precedence `or`, `and`, `not`, comparisons (`== != < <= > >= in`, `not in`, chained as in
// Python),
// `|`, `^`, `&`, `+ -`, `* / // %`, signs, `**`; parentheses, and lists `(a, b)` or `[a, b]`.
// Python's meaning throughout: `/` gives a fraction, `//` and `%` round down, `and` and `or` give
// one of their operands, unlike kinds are unequal and cannot be ordered. Texts can be joined by `+`
// and compared, no more.
//
// Bounded: 4096 bytes, 32 levels, whole numbers of 64 bits. All errors are INVALID_ARGUMENT and
// tell the place by its byte, never the text, which may be secret. Pure. THREAD: any.

inline constexpr size_t kMaxExpressionBytes = 4096;

// The value as a configuration would have it written: "3", "1.5", "True", "n1".
absl::StatusOr<std::string> EvaluateExpression(absl::string_view expression);

// The value as a yes or no: a number is true unless it is 0, a text must be a word for a boolean.
absl::StatusOr<bool> EvaluateCondition(absl::string_view expression);

// Where the ")" stands that closes the "(" at `open`, quotes and nested parentheses regarded; npos
// if there is none.
size_t FindClosingParenthesis(absl::string_view text, size_t open);

}  // namespace om

#endif  // OM_SERVER_CONFIG_EXPRESSION_H_
