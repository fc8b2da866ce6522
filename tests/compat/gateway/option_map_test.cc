#include "compat/gateway/option_map.h"

#include <map>
#include <string>

#include "compat/gateway/option_tables.h"
#include "server/base/file.h"
#include "tests/support/golden.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Target = OptionFamily::Target;

std::vector<std::string> Words(const char* options, OptionFamily family = {}) {
  absl::StatusOr<std::vector<std::string>> words = OptionWords(*ParseJson(options), family);
  EXPECT_THAT(words, IsOk());
  return words.value_or(std::vector<std::string>{});
}

TEST(OptionMapTest, TheTablesAreTheRecordedOnes) {
  const Json golden = GoldenJson("compat/option_map.json");
  const auto compare = [](const Json& recorded, const auto& table) {
    EXPECT_EQ(recorded.size(), table.size());
    for (const auto& [name, row] : recorded.items()) {
      const auto found = table.find(name);
      ASSERT_NE(found, table.end()) << name;
      const OptionShape& shape = found->second;
      EXPECT_EQ(row[0], std::string(shape.option));
      static const auto* const kinds = new std::map<std::string, OptionShape::Action>{
          {"append", OptionShape::Action::kAppend},
          {"store", OptionShape::Action::kStore},
          {"store_true", OptionShape::Action::kTrue},
          {"store_false", OptionShape::Action::kFalse}};
      EXPECT_EQ(kinds->at(row[1].get<std::string>()), shape.action) << name;
      EXPECT_EQ(row[2] == "int", shape.is_integer) << name;
      if (row[3] == "<unset>") {
        EXPECT_EQ(shape.default_json, nullptr) << name;
      } else {
        ASSERT_NE(shape.default_json, nullptr) << name;
        EXPECT_EQ(row[3], *ParseJson(shape.default_json)) << name;
      }
    }
  };
  compare(golden["1.9"]["svc"], ServiceOptions19());
  compare(golden["1.9"]["node"], NodeOptions19());
  compare(golden["1.9"]["cfg_sec_usr_extra"], DataOptions19());
  compare(golden["2.1"]["svc"], ServiceOptions21());
  compare(golden["2.1"]["node"], NodeOptions21());
  compare(golden["2.1"]["daemon"], DaemonOptions21());
}

TEST(OptionMapTest, ListsRepeatTheOptionFlagsStandAloneAndValuesFollowTheirName) {
  EXPECT_THAT(Words(R"({"kw": ["a", "b"], "force": true, "rid": "app#1", "eval": false})"),
              ElementsAre("--kw=a", "--kw=b", "--force", "--rid=app#1", "--local"));
  EXPECT_THAT(Words(R"({"show_disabled": false})"), ElementsAre("--hide-disabled", "--local"));
  EXPECT_THAT(Words(R"({"show_disabled": true})"), ElementsAre("--local"));
}

TEST(OptionMapTest, UnknownNullAndDefaultValuesAreLeftOut) {
  EXPECT_THAT(Words(R"({"nothing_such": 1, "rid": null, "color": "auto", "env": [], "time": "300",
                        "waitlock": "-1"})"),
              ElementsAre("--local"));
  EXPECT_THAT(Words(R"({"color": "no", "time": "10"})"),
              ElementsAre("--color=no", "--time=10", "--local"));
}

TEST(OptionMapTest, IntegersAreNeverPassedOn) {
  EXPECT_THAT(Words(R"({"interval": 5, "index": 2, "id": 7})"), ElementsAre("--local"));
  EXPECT_THAT(Words(R"({"time": 5})", {Target::kNode, false}), ElementsAre("--local"));
}

TEST(OptionMapTest, WhatChoseTheNodeIsDroppedAndLocalIsForced) {
  EXPECT_THAT(Words(R"({"node": "n2", "daemon": true, "svcs": "x", "service": "x", "s": "x",
                        "parm_svcs": "x", "local": false})"),
              ElementsAre("--local"));
  EXPECT_THAT(Words(R"({"node": "n2", "daemon": true, "local": true, "server": "x"})",
                    {Target::kNode, true}),
              ElementsAre("--local"));
}

TEST(OptionMapTest, TheFilterOfPrintedValuesIsPassedOnByItsOption) {
  EXPECT_THAT(Words(R"({"jsonpath_filter": "a.b"})"), ElementsAre("--filter=a.b", "--local"));
}

TEST(OptionMapTest, OnlyDataObjectsHaveKeys) {
  EXPECT_THAT(Words(R"({"key": "k", "value_from": "/f"})", {Target::kDataObject, false}),
              ElementsAre("--key=k", "--from=/f", "--local"));
}

TEST(OptionMapTest, AValueThatIsNoWordIsRefusedByItsName) {
  for (const char* options : {R"({"rid": {"a": 1}})", R"({"rid": ["a"]})", R"({"kw": [["a"]]})",
                              R"({"rid": "a\u0000b"})"}) {
    const absl::Status status = OptionWords(*ParseJson(options), {}).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << options;
    EXPECT_THAT(std::string(status.message()), HasSubstr("option "));
  }
}

}  // namespace
}  // namespace om
