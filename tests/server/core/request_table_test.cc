#include "server/core/request_table.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/status.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using State = RequestTable::State;
using ::testing::ElementsAre;

const absl::Time kNow = absl::FromUnixSeconds(1'795'362'000);

RequestKey Key(const std::string& id, const std::string& fingerprint = "f") {
  return {id, "root", "Set", fingerprint};
}

class RequestTableTest : public ::testing::Test {
 protected:
  absl::StatusOr<State> Begin(const RequestKey& key, absl::Time now = kNow) {
    return table_.Begin(
        key, now,
        [this](const RequestTable::Answer& answer) {
          given_.push_back(answer.ok() ? *answer : answer.status().ToString());
        },
        &answer_);
  }
  RequestTable table_{{.remember = absl::Minutes(10), .max_requests = 3, .max_waiters = 1}};
  RequestTable::Answer answer_ = std::string();
  std::vector<std::string> given_;
};

TEST_F(RequestTableTest, ARepeatedRequestGetsTheFirstAnswerForTenMinutes) {
  EXPECT_THAT(Begin(Key("a")), IsOkAndHolds(State::kNew));
  table_.End(Key("a"), std::string("done"), kNow);
  EXPECT_THAT(Begin(Key("a"), kNow + absl::Minutes(10) - absl::Seconds(1)),
              IsOkAndHolds(State::kAnswered));
  EXPECT_THAT(answer_, IsOkAndHolds(std::string("done")));
  EXPECT_THAT(Begin(Key("a"), kNow + absl::Minutes(10)), IsOkAndHolds(State::kNew));
}

TEST_F(RequestTableTest, ASecondCallMeanwhileGetsTheSameAnswer) {
  EXPECT_THAT(Begin(Key("a")), IsOkAndHolds(State::kNew));
  EXPECT_THAT(Begin(Key("a")), IsOkAndHolds(State::kInProgress));
  EXPECT_THAT(Begin(Key("a")), StatusIs(absl::StatusCode::kResourceExhausted));  // One may wait.
  table_.End(Key("a"), std::string("done"), kNow);
  EXPECT_THAT(given_, ElementsAre("done"));
}

TEST_F(RequestTableTest, AnIdOfAnotherRequestIsRefusedAndOtherCallersHaveTheirOwn) {
  ASSERT_THAT(Begin(Key("a")), IsOkAndHolds(State::kNew));
  const absl::Status reused = Begin(Key("a", "other")).status();
  EXPECT_THAT(reused, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(ReasonOf(reused), "REQUEST_ID_REUSED");
  EXPECT_EQ(FieldOf(reused), "request_id");
  RequestKey someone = Key("a", "other");
  someone.caller = "someone";
  EXPECT_THAT(Begin(someone), IsOkAndHolds(State::kNew));
}

TEST_F(RequestTableTest, AnswersThatSayTryAgainAreNotKept) {
  ASSERT_THAT(Begin(Key("a")), IsOkAndHolds(State::kNew));
  ASSERT_THAT(Begin(Key("a")), IsOkAndHolds(State::kInProgress));
  table_.End(Key("a"), absl::ResourceExhaustedError("full"), kNow);
  EXPECT_THAT(given_, ElementsAre("RESOURCE_EXHAUSTED: full"));
  EXPECT_THAT(Begin(Key("a")), IsOkAndHolds(State::kNew));
  table_.End(Key("a"), absl::NotFoundError("no such"), kNow);
  EXPECT_THAT(Begin(Key("a")), IsOkAndHolds(State::kAnswered));
  EXPECT_THAT(answer_, StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(RequestTableTest, WhenFullTheOldestFinishedOneGoesAndIsCounted) {
  for (const char* id : {"a", "b", "c"}) ASSERT_THAT(Begin(Key(id)), IsOkAndHolds(State::kNew));
  EXPECT_THAT(Begin(Key("d")), StatusIs(absl::StatusCode::kResourceExhausted));
  table_.End(Key("b"), std::string("done"), kNow);
  EXPECT_THAT(Begin(Key("d")), IsOkAndHolds(State::kNew));
  EXPECT_EQ(table_.evicted_count(), 1);
  EXPECT_EQ(table_.size(), 3U);
}

TEST_F(RequestTableTest, WithoutAnIdNothingIsRemembered) {
  EXPECT_THAT(Begin(Key("")), IsOkAndHolds(State::kNew));
  EXPECT_THAT(Begin(Key("", "other")), IsOkAndHolds(State::kNew));
  EXPECT_EQ(table_.size(), 0U);
}

}  // namespace
}  // namespace om
