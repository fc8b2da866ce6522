#include "compat/gateway/listener_stats.h"

#include "absl/strings/str_cat.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

TEST(ListenerStatsTest, CountsInAllAndByClient) {
  ListenerStats stats;
  stats.Accepted("10.0.0.2");
  stats.Accepted("local");
  stats.Received("10.0.0.2", 100);
  stats.Received("local", 20);
  stats.Validated("local");
  stats.Sent("local", 3);
  const Json sessions = stats.Sessions();
  EXPECT_EQ(sessions["accepted"], 2);
  EXPECT_EQ(sessions["auth_validated"], 1);
  EXPECT_EQ(sessions["rx"], 120);
  EXPECT_EQ(sessions["tx"], 3);
  EXPECT_EQ(sessions["alive"], Json::object());
  EXPECT_EQ(sessions["clients"]["10.0.0.2"],
            Json({{"accepted", 1}, {"auth_validated", 0}, {"tx", 0}, {"rx", 100}}));
  EXPECT_EQ(sessions["clients"]["local"],
            Json({{"accepted", 1}, {"auth_validated", 1}, {"tx", 3}, {"rx", 20}}));
}

TEST(ListenerStatsTest, WithoutClientsThereIsStillEveryMember) {
  const Json sessions = ListenerStats().Sessions();
  for (const char* key : {"accepted", "auth_validated", "tx", "rx"}) EXPECT_EQ(sessions[key], 0);
  EXPECT_EQ(sessions["clients"], Json::object());
}

TEST(ListenerStatsTest, AddressesPastTheLimitAreInTheSumsOnly) {
  ListenerStats stats;
  const size_t flood = ListenerStats::kMaxClients + 500;
  for (size_t i = 0; i < flood; ++i) stats.Accepted(absl::StrCat("10.0.", i / 256, ".", i % 256));
  stats.Accepted("10.0.0.0");  // Known already.
  const Json sessions = stats.Sessions();
  EXPECT_EQ(sessions["accepted"], flood + 1);
  EXPECT_EQ(sessions["clients"].size(), ListenerStats::kMaxClients);
  EXPECT_EQ(sessions["clients"]["10.0.0.0"]["accepted"], 2);
}

}  // namespace
}  // namespace om
