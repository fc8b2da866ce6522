// Matchers for absl::Status and absl::StatusOr.
#ifndef OM_TESTS_SUPPORT_MATCHERS_H_
#define OM_TESTS_SUPPORT_MATCHERS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace om {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <class T>
absl::Status StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// EXPECT_THAT(F(), IsOk())
MATCHER(IsOk, "is OK") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).ok();
}

// EXPECT_THAT(F(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("svc1")))
MATCHER_P2(StatusIs, code, message, "") {
  const absl::Status status = StatusOf(arg);
  *result_listener << status.ToString();
  return status.code() == code &&
         ::testing::ExplainMatchResult(message, std::string(status.message()), result_listener);
}
template <class Code>
auto StatusIs(Code code) {
  return StatusIs(code, ::testing::_);
}

// EXPECT_THAT(F(), IsOkAndHolds(Eq(3)))
MATCHER_P(IsOkAndHolds, value, "") {
  if (!arg.ok()) {
    *result_listener << arg.status().ToString();
    return false;
  }
  return ::testing::ExplainMatchResult(value, *arg, result_listener);
}

}  // namespace om

#define OM_ASSERT_OK_AND_ASSIGN(lhs, expr) \
  OM_ASSERT_OK_AND_ASSIGN_INNER(OM_TEST_CONCAT(om_test_result_, __LINE__), lhs, expr)
#define OM_TEST_CONCAT_INNER(a, b) a##b
#define OM_TEST_CONCAT(a, b) OM_TEST_CONCAT_INNER(a, b)
#define OM_ASSERT_OK_AND_ASSIGN_INNER(var, lhs, expr) \
  auto var = (expr);                                  \
  ASSERT_TRUE(var.ok()) << var.status();              \
  lhs = *std::move(var)

#endif  // OM_TESTS_SUPPORT_MATCHERS_H_
