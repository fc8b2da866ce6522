#include "compat/gateway/logs.h"

#include <string>

#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::HasSubstr;
namespace pb = control::v1;

std::optional<int64_t> Backlog(const char* options) {
  absl::StatusOr<std::optional<int64_t>> backlog = BacklogOption(*ParseJson(options));
  EXPECT_THAT(backlog, IsOk()) << options;
  return backlog.value_or(std::nullopt);
}

TEST(LegacyLogsTest, ABacklogIsANumberOrATextWithAUnit) {
  EXPECT_EQ(Backlog("{}"), std::nullopt);
  EXPECT_EQ(Backlog(R"({"backlog": null})"), std::nullopt);
  EXPECT_EQ(Backlog(R"({"backlog": 200})"), 200);
  EXPECT_EQ(Backlog(R"({"backlog": 0})"), 0);
  EXPECT_EQ(Backlog(R"({"backlog": -1})"), -1);
  EXPECT_EQ(Backlog(R"({"backlog": "300"})"), 300);
  EXPECT_EQ(Backlog(R"({"backlog": "-1"})"), -1);
  EXPECT_EQ(Backlog(R"({"backlog": "1k"})"), 1024);
  EXPECT_EQ(Backlog(R"({"backlog": "1,5K"})"), 1536);
  EXPECT_EQ(Backlog(R"({"backlog": "2.5 m"})"), 5 << 19);
  EXPECT_EQ(Backlog(R"({"backlog": "1Ki"})"), 1000);
  EXPECT_EQ(Backlog(R"({"backlog": "1g"})"), 1 << 30);
}

TEST(LegacyLogsTest, WhatIsNoSizeIsRefusedInTheKnownWords) {
  for (const char* text : {"10b", "x", "", "1kk", "1z", "-"}) {
    const absl::Status status = BacklogOption({{"backlog", text}}).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("unsupported unit in "));
  }
  EXPECT_TRUE(absl::IsInvalidArgument(BacklogOption({{"backlog", true}}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(BacklogOption({{"backlog", "999999999p"}}).status()));
}

TEST(LegacyLogsTest, LinesThatGoOnJoinTheirEntry) {
  pb::LogEntry entry;
  entry.mutable_time()->set_seconds(100);
  entry.mutable_time()->set_nanos(500'000'000);
  entry.set_node("n1");
  entry.set_object("svc1");
  entry.set_resource_id("app#1");
  entry.set_level("INFO");
  entry.set_message("first");
  Json list = Json::array();
  AppendLegacyEntry(entry, &list);
  pb::LogEntry more;
  more.set_continuation(true);
  more.set_message("second");
  AppendLegacyEntry(more, &list);
  EXPECT_EQ(list, *ParseJson(R"([{"t": 100.5, "l": "INFO", "m": ["first", "second"],
                                  "x": {"n": "n1", "o": "svc1", "r": "app#1"}}])"));
}

}  // namespace
}  // namespace om
