#include "server/config/expression.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::HasSubstr;

TEST(ExpressionTest, ValuesAreThoseThatPythonGives) {
  const std::pair<const char*, const char*> cases[] = {
      {"1 + 2 * 3", "7"},
      {"(1 + 2) * 3", "9"},
      {"7 / 2", "3.5"},
      {"4 / 2", "2.0"},
      {"7 // 2", "3"},
      {"-7 // 2", "-4"},
      {"-7 % 3", "2"},
      {"7 % -3", "-2"},
      {"7.5 // 2", "3.0"},
      {"2 ** 10", "1024"},
      {"2 ** 3 ** 2", "512"},
      {"-2 ** 2", "-4"},
      {"2 ** -1", "0.5"},
      {"(-1) ** 1000000000000", "1"},
      {"6 & 3", "2"},
      {"6 | 3", "7"},
      {"6 ^ 3", "5"},
      {"1 == 1 & 1", "True"},
      {"0.1 + 0.2", "0.30000000000000004"},
      {"1 < 2 < 3", "True"},
      {"1 < 3 < 2", "False"},
      {"not 1", "False"},
      {"not not 1", "True"},
      {"0 or 5", "5"},
      {"3 and 5", "5"},
      {"0 and 5", "0"},
      {"n1 == n1", "True"},
      {"n1 == 'n1'", "True"},
      {"node-1.example.org != node-2", "True"},
      {"n1 in (n1, n2)", "True"},
      {"n3 in [n1, n2]", "False"},
      {"n3 not in [n1, n2]", "True"},
      {"n1 in (n1)", "True"},
      {"1 in (1, 2) and not 3 in (1, 2)", "True"},
      {"a + b", "ab"},
      {"'a)' + \"b'\"", "a)b'"},
      {"1 == one", "False"},
      {"True + 1", "2"},
      {"(a, b)", "a b"},
      {"(1,) == [1]", "True"},
      {"1e3 + 1", "1001.0"},
      {"  3  ", "3"},
  };
  for (const auto& [expression, value] : cases) {
    EXPECT_THAT(EvaluateExpression(expression), IsOkAndHolds(std::string(value))) << expression;
  }
}

TEST(ExpressionTest, WhatMakesNoSenseIsAnErrorThatTellsThePlace) {
  for (const char* expression : {"",
                                 "1 +",
                                 "(1",
                                 "1)",
                                 "[1, 2",
                                 "1 2",
                                 "a b",
                                 "'a",
                                 "1 / 0",
                                 "1 // 0",
                                 "1 % 0",
                                 "a - b",
                                 "a * 3",
                                 "1 < a",
                                 "1 in 2",
                                 "a in 2",
                                 "1.5 & 1",
                                 "1x",
                                 "1.2.3",
                                 "== 1",
                                 "and",
                                 "not",
                                 "9223372036854775807 + 1",
                                 "-9223372036854775807 - 2",
                                 "99999999999 * 99999999999",
                                 "10 ** 19",
                                 "10.0 ** 400",
                                 "(-9223372036854775807 - 1) // -1",
                                 "1 || 2",
                                 "@",
                                 "(1 2)"}) {
    EXPECT_THAT(EvaluateExpression(expression),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at byte")))
        << expression;
  }
}

TEST(ExpressionTest, DepthLengthAndListsAreBounded) {
  const auto nested = [](int levels) {
    return absl::StrCat(std::string(static_cast<size_t>(levels), '('), "1",
                        std::string(static_cast<size_t>(levels), ')'));
  };
  EXPECT_THAT(EvaluateExpression(nested(20)), IsOkAndHolds(std::string("1")));
  EXPECT_THAT(EvaluateExpression(nested(1000)), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(EvaluateExpression(std::string(1000, '-') + "1"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(EvaluateExpression(std::string(kMaxExpressionBytes - 1, ' ') + "1"),
              IsOkAndHolds(std::string("1")));
  EXPECT_THAT(EvaluateExpression(std::string(kMaxExpressionBytes, ' ') + "1"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("4096")));
}

TEST(ExpressionTest, ConditionsAreBooleansWordsOrNumbers) {
  const std::pair<const char*, bool> cases[] = {
      {"true", true}, {"false", false}, {"False", false},   {"1", true},
      {"0.0", false}, {"no", false},    {"n1 == n1", true}, {"n1 in (n2, n3)", false},
  };
  for (const auto& [condition, holds] : cases) {
    EXPECT_THAT(EvaluateCondition(condition), IsOkAndHolds(holds)) << condition;
  }
  EXPECT_THAT(EvaluateCondition("n1"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ExpressionTest, TheClosingParenthesisIsFoundPastQuotesAndNestedOnes) {
  EXPECT_EQ(FindClosingParenthesis("(a)", 0), 2u);
  EXPECT_EQ(FindClosingParenthesis("((a) ')' \")\")", 0), 12u);
  EXPECT_EQ(FindClosingParenthesis("((a)", 0), absl::string_view::npos);
}

}  // namespace
}  // namespace om
