#include "server/base/status.h"

#include <cerrno>

#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::HasSubstr;

TEST(StatusTest, AnnotateKeepsCodeAndPayloads) {
  const absl::Status status =
      Annotate(WithReason(absl::NotFoundError("no such thread"), "UNKNOWN_THREAD"), "stopping x");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound, "stopping x: no such thread"));
  EXPECT_EQ(ReasonOf(status), "UNKNOWN_THREAD");
  EXPECT_THAT(Annotate(absl::OkStatus(), "x"), IsOk());
}

TEST(StatusTest, FactsAreReadBack) {
  absl::Status status = WithField(absl::InvalidArgumentError("bad"), "page_size");
  status = WithRetryAfter(std::move(status), std::chrono::milliseconds(1500));
  EXPECT_EQ(FieldOf(status), "page_size");
  EXPECT_EQ(RetryAfterOf(status), std::chrono::milliseconds(1500));
  EXPECT_EQ(RetryAfterOf(absl::OkStatus()), std::nullopt);
  EXPECT_EQ(ReasonOf(absl::NotFoundError("")), "");
}

TEST(StatusTest, ErrnoNamesTheThingAndTheCause) {
  EXPECT_THAT(ErrnoStatus(ENOSPC, "writing x"),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("writing x: No space")));
  EXPECT_THAT(ErrnoStatus(ENOENT, "x"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace om
