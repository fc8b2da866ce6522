#include "server/crm/action_limits.h"

#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/config/document.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using std::chrono::minutes;

ActionLimits LimitsOf(const std::string& text) {
  absl::StatusOr<Document> document = Document::Parse(text, "svc1.conf");
  EXPECT_THAT(document, IsOk());
  EvaluationContext context;
  context.nodename = "n1";
  context.path = *ObjectPath::Parse("svc1");
  const auto settings = ObjectSettings::Load(*std::move(document), std::move(context));
  EXPECT_THAT(settings, IsOk());
  return settings.ok() ? ActionLimitsOf(*settings, minutes(7)) : ActionLimits();
}

TEST(ActionLimitsTest, AnObjectWithoutTimeoutsHasTheNodesLimit) {
  EXPECT_EQ(LimitsOf("[DEFAULT]\nnodes = n1\n").start, absl::Minutes(7));
  EXPECT_EQ(LimitsOf("[DEFAULT]\nnodes = n1\n[app#1]\ntype = simple\n").stop, absl::Minutes(7));
}

TEST(ActionLimitsTest, TimeoutsOfResourcesAddUpTwiceWithTheLockAndTheEvaluation) {
  const ActionLimits limits = LimitsOf(
      "[DEFAULT]\nnodes = n1\nlock_timeout = 5\n[app#1]\ntimeout = 20\n"
      "[app#2]\ntimeout = 30\nstop_timeout = 1m\n");
  EXPECT_EQ(limits.start, absl::Seconds(2 * (20 + 30) + 5 + 10));
  EXPECT_EQ(limits.stop, absl::Seconds(2 * (20 + 60) + 5 + 10));
}

TEST(ActionLimitsTest, AllResourcesWithoutOneShareTheNodesLimit) {
  const ActionLimits limits = LimitsOf(
      "[DEFAULT]\nnodes = n1\nlock_timeout = 5\n[app#1]\ntimeout = 20\n[app#2]\n[app#3]\n");
  EXPECT_EQ(limits.start, absl::Minutes(7) + absl::Seconds(2 * 20 + 5 + 10));
}

TEST(ActionLimitsTest, DisabledResourcesDoNotCount) {
  const ActionLimits limits = LimitsOf(
      "[DEFAULT]\nnodes = n1\nlock_timeout = 5\n[app#1]\ntimeout = 20\n"
      "[app#2]\ntimeout = 1000\ndisable = true\n");
  EXPECT_EQ(limits.start, absl::Seconds(2 * 20 + 5 + 10));
}

}  // namespace
}  // namespace om
