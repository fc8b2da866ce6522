// Recorded data and expected texts: files below tests/golden.
#ifndef OM_TESTS_SUPPORT_GOLDEN_H_
#define OM_TESTS_SUPPORT_GOLDEN_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "tests/support/matchers.h"

namespace om {

// `file` is relative to tests/golden; it must be there.
inline std::string GoldenText(const std::string& file) {
  const absl::StatusOr<FileContent> content =
      ReadFile(absl::StrCat(OM_SOURCE_DIR, "/tests/golden/", file), size_t{8} << 20);
  EXPECT_THAT(content, IsOk()) << file;
  return content.ok() ? content->text : "";
}

inline Json GoldenJson(const std::string& file) {
  absl::StatusOr<Json> json = ParseJson(GoldenText(file));
  EXPECT_THAT(json, IsOk()) << file;
  return json.ok() ? *std::move(json) : Json();
}

}  // namespace om

#endif  // OM_TESTS_SUPPORT_GOLDEN_H_
