#include "server/state/instance_status.h"

#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/clock.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::NotNull;

absl::StatusOr<std::shared_ptr<const InstanceStatus>> Parse(const char* text) {
  absl::StatusOr<Json> json = ParseJson(text);
  EXPECT_THAT(json, IsOk());
  return ParseInstanceStatus(*std::move(json));
}

TEST(InstanceStatusTest, ReadsWhatTheResourceManagerWrites) {
  OM_ASSERT_OK_AND_ASSIGN(const auto status, Parse(R"({
    "updated": 1795362000.5, "kind": "svc", "csum": "ab", "app": "default", "env": "TST",
    "placement": "nodes order", "topology": "flex", "orchestrate": "ha", "avail": "warn",
    "overall": "warn", "optional": "n/a", "provisioned": true, "flex_target": 1, "flex_min": 0,
    "flex_max": 2, "parents": ["a", "b@n1"], "running": ["app#1"], "new key": [1],
    "status_group": {"app": "up", "fs": "n/a"},
    "resources": {
      "fs#1": {"status": "n/a", "type": "fs.dir", "label": "dir /x",
               "provisioned": {"state": true, "mtime": 1795361999.25}},
      "app#1": {"status": "down", "type": "app.simple", "label": "sleep", "restart": 2,
                "monitor": true, "standby": true, "log": ["warn: x"], "info": {"a": 1},
                "tags": ["t"], "subset": "g1"}}})"));
  EXPECT_NEAR(om::ToUnixSeconds(status->updated), 1795362000.5, 1e-6);
  EXPECT_EQ(status->avail, Availability::kWarn);
  EXPECT_TRUE(status->has_avail);
  EXPECT_EQ(status->orchestrate, "ha");
  EXPECT_EQ(status->provisioned, true);
  EXPECT_EQ(status->flex_max, 2);
  EXPECT_THAT(status->parents, ElementsAre("a", "b@n1"));
  EXPECT_THAT(status->running, ElementsAre("app#1"));
  EXPECT_EQ(status->status_group.at("app"), Availability::kUp);
  ASSERT_EQ(status->resources.size(), 2U);
  EXPECT_EQ(status->resources[0].rid, "fs#1");  // In the order of the document.
  EXPECT_EQ(status->resources[0].provisioned, true);
  EXPECT_NEAR(om::ToUnixSeconds(*status->resources[0].provisioned_time), 1795361999.25, 1e-6);
  const ResourceStatus& app = status->resources[1];
  EXPECT_EQ(app.status, Availability::kDown);
  EXPECT_EQ(app.restart, 2);
  EXPECT_TRUE(app.monitored);
  EXPECT_TRUE(app.standby);
  EXPECT_FALSE(app.disabled);
  EXPECT_THAT(app.log, ElementsAre("warn: x"));
  EXPECT_EQ(app.info["a"], 1);
  ASSERT_THAT(status->document, NotNull());
  EXPECT_TRUE(status->document->contains("new key"));
}

TEST(InstanceStatusTest, ObjectsOfOtherKindsHaveNoAvail) {
  OM_ASSERT_OK_AND_ASSIGN(const auto status,
                          Parse(R"({"updated": 1, "kind": "sec", "csum": "x"})"));
  EXPECT_FALSE(status->has_avail);
  EXPECT_THAT(status->resources, IsEmpty());
}

TEST(InstanceStatusTest, WrongTypesAreNamed) {
  const std::pair<const char*, const char*> kCases[] = {
      {"[]", "not a JSON object"},
      {R"({"kind": "svc"})", "\"updated\""},
      {R"({"updated": "x"})", "\"updated\""},
      {R"({"updated": 1, "avail": "good"})", "\"avail\""},
      {R"({"updated": 1, "flex_max": 99999999999})", "\"flex_max\""},
      {R"({"updated": 1, "parents": [1]})", "\"parents\""},
      {R"({"updated": 1, "resources": []})", "\"resources\""},
      {R"({"updated": 1, "resources": {"app#1": 1}})", "\"resources.app#1\""},
      {R"({"updated": 1, "resources": {"app#1": {"restart": "2"}}})",
       "\"resources.app#1.restart\""},
      {R"({"updated": 1, "status_group": {"app": 7}})", "\"status_group.app\""},
  };
  for (const auto& [text, expected] : kCases) {
    EXPECT_THAT(Parse(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(expected)))
        << text;
  }
}

}  // namespace
}  // namespace om
