#include "compat/wire/request.h"

#include <string>

#include "server/base/status.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Outcome = ParsedRequest::Outcome;

LegacyRequest Parsed(absl::string_view text) {
  ParsedRequest parsed = ParseRequest(text);
  EXPECT_EQ(parsed.outcome, Outcome::kRequest) << text << " -> " << DumpJson(parsed.refusal);
  return parsed.request;
}

std::string Refusal(absl::string_view text) {
  const ParsedRequest parsed = ParseRequest(text);
  EXPECT_EQ(parsed.outcome, Outcome::kRefused) << text;
  return DumpJson(parsed.refusal);
}

TEST(RequestTest, AnActionAloneIsARequest) {
  const LegacyRequest request = Parsed(R"({"action": "daemon_status"})");
  EXPECT_EQ(request.action, "daemon_status");
  EXPECT_EQ(request.options, Json::object());
  EXPECT_TRUE(request.node.is_null());
  EXPECT_EQ(request.method, "");
  EXPECT_FALSE(request.multiplexed);
}

TEST(RequestTest, EverythingIsReadAndUnknownKeysIgnored) {
  const LegacyRequest request = Parsed(
      R"( {"action": "//node_monitor", "options": {"a": [1]}, "node": ["n1", "n2"], "method": "POST",
          "multiplexed": true, "other": 1} )");
  EXPECT_EQ(request.action, "node_monitor");
  EXPECT_EQ(DumpJson(request.options), R"({"a": [1]})");
  EXPECT_EQ(DumpJson(request.node), R"(["n1", "n2"])");
  EXPECT_EQ(request.method, "POST");
  EXPECT_TRUE(request.multiplexed);
  EXPECT_EQ(Parsed(R"({"action": "///"})").action, "");
}

TEST(RequestTest, AnEmptyNodeIsNoNode) {
  for (const char* node : {"null", "\"\"", "[]"}) {
    EXPECT_TRUE(Parsed(std::string(R"({"action": "a", "node": )") + node + "}").node.is_null())
        << node;
  }
  EXPECT_EQ(Parsed(R"({"action": "a", "node": "*"})").node, "*");
}

TEST(RequestTest, InvalidUtf8IsDroppedBeforeParsing) {
  EXPECT_EQ(Parsed("{\"action\"\xff: \"a\xc3\"}").action, "a");
}

TEST(RequestTest, NullIsClosedWithoutAReply) {
  EXPECT_EQ(ParseRequest("null").outcome, Outcome::kNothing);
  EXPECT_EQ(ParseRequest(" null\n").outcome, Outcome::kNothing);
}

TEST(RequestTest, WhatIsNoObjectIsInvalidDataFormat) {
  for (const std::string& text :
       {std::string("not json"), std::string(), std::string("[]"), std::string("5"),
        std::string("\"x\""), std::string("{}{}"), std::string("{\"action\": \"a\"}\0", 16),
        std::string(100'000, '[')}) {
    EXPECT_EQ(Refusal(text), R"({"error": "invalid data format", "status": 1})");
  }
}

TEST(RequestTest, AMissingActionIsNotSpecified) {
  EXPECT_EQ(Refusal("{}"), R"({"error": "action not specified", "status": 1})");
  EXPECT_EQ(Refusal(R"({"action": null})"), R"({"error": "action not specified", "status": 1})");
}

TEST(RequestTest, AWrongTypeIsNamedWithoutItsValue) {
  EXPECT_EQ(Refusal(R"({"action": 5})"),
            R"({"error": "action is number: expected a string", "status": 1})");
  for (const char* options : {"null", "[\"hidden\"]", "\"hidden\"", "5"}) {
    EXPECT_THAT(
        Refusal(std::string(R"({"action": "a", "options": )") + options + "}"),
        AllOf(HasSubstr("options is"), HasSubstr("expected an object"), Not(HasSubstr("hidden"))));
  }
  for (const char* node : {"5", "true", "{\"a\": 1}", "[\"n1\", 2]"}) {
    EXPECT_THAT(Refusal(std::string(R"({"action": "a", "node": )") + node + "}"),
                HasSubstr("expected a string or a list of strings"));
  }
}

TEST(ObjectPathOptionTest, TheFirstThatIsSetWins) {
  const auto path = [](const char* options) { return ObjectPathOption(*ParseJson(options)); };
  EXPECT_THAT(path(R"({"path": "c", "svcname": "b", "svcpath": "a"})"), IsOkAndHolds("a"));
  EXPECT_THAT(path(R"({"path": "c", "svcname": "b", "svcpath": null})"), IsOkAndHolds("b"));
  EXPECT_THAT(path(R"({"path": "c", "svcname": "", "svcpath": ""})"), IsOkAndHolds("c"));
  EXPECT_THAT(path(R"({})"), IsOkAndHolds(""));
  const auto wrong = path(R"({"path": "c", "svcname": 5})");
  EXPECT_THAT(wrong, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected a string")));
  EXPECT_EQ(FieldOf(wrong.status()), "svcname");
}

}  // namespace
}  // namespace om
