#include "compat/gateway/action_filter.h"

#include "compat/gateway/router.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::ElementsAre;

ActionFilter Of(const std::vector<std::string>& words) {
  return ActionFilter::Of(words, Router::Actions());
}

TEST(ActionFilterTest, AllIsEverything) {
  for (const std::string& action : Router::Actions()) {
    EXPECT_TRUE(ActionFilter().Accepts(action)) << action;
    EXPECT_TRUE(Of({"all"}).Accepts(action)) << action;
    EXPECT_FALSE(Of({}).Accepts(action)) << action;
  }
}

TEST(ActionFilterTest, ReadIsWhatChangesNothing) {
  int changing = 0;
  for (const std::string& action : Router::Actions()) {
    const bool changes = FindOperationRule(action)->changes();
    EXPECT_EQ(Of({"read"}).Accepts(action), !changes) << action;
    changing += changes ? 1 : 0;
  }
  EXPECT_GT(changing, 10);
}

TEST(ActionFilterTest, TheNamesOfOneActionStandForEachOther) {
  EXPECT_TRUE(Of({"object_monitor"}).Accepts("set_service_monitor"));
  EXPECT_TRUE(Of({"set_service_monitor"}).Accepts("object_monitor"));
  EXPECT_FALSE(Of({"object_monitor"}).Accepts("set_node_monitor"));
  EXPECT_TRUE(Of({"read", "clear"}).Accepts("object_clear"));
  EXPECT_FALSE(Of({"read", "clear"}).Accepts("daemon_stop"));
}

TEST(ActionFilterTest, EverySecondNameIsOneThatTheRouterTreatsAlike) {
  for (const std::string& action : Router::Actions()) {
    const ActionFilter filter = Of({action});
    for (const std::string& other : Router::Actions()) {
      if (!filter.Accepts(other)) continue;
      EXPECT_EQ(FindOperationRule(action)->role, FindOperationRule(other)->role) << other;
      EXPECT_EQ(FindOperationRule(action)->flags, FindOperationRule(other)->flags) << other;
    }
  }
}

TEST(ActionFilterTest, WordsThatAreNoActionAreToldAndAllowNothing) {
  std::vector<std::string> unknown;
  const ActionFilter filter =
      ActionFilter::Of({"daemon_status", "reed"}, Router::Actions(), &unknown);
  EXPECT_THAT(unknown, ElementsAre("reed"));
  EXPECT_TRUE(filter.Accepts("daemon_status"));
  EXPECT_FALSE(filter.Accepts("daemon_stats"));
  // What does not exist is for the router to refuse.
  EXPECT_TRUE(filter.Accepts("reed"));
}

}  // namespace
}  // namespace om
