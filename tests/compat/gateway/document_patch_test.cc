#include "compat/gateway/document_patch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace om {
namespace {

Json Patch(const Json& from, const Json& to) {
  Json stanzas = Json::array();
  AppendPatch(Json::array(), from, to, &stanzas);
  return stanzas;
}

Json Parse(const char* text) { return *ParseJson(text); }

TEST(DocumentPatchTest, EqualDocumentsHaveNoStanzas) {
  EXPECT_EQ(Patch(Parse(R"({"a": [1, {"b": 2}]})"), Parse(R"({"a": [1, {"b": 2}]})")),
            Json::array());
}

TEST(DocumentPatchTest, MembersAreSetDeepDownAndRemoved) {
  EXPECT_EQ(Patch(Parse(R"({"a": {"b": 1, "c": 2}, "d": 3})"), Parse(R"({"a": {"b": 4, "e": 5}})")),
            Parse(R"([[["d"]], [["a", "c"]], [["a", "b"], 4], [["a", "e"], 5]])"));
}

TEST(DocumentPatchTest, EmptyContainersAndOtherTypesAreReplacedWhole) {
  EXPECT_EQ(Patch(Parse(R"({"a": {}, "b": {"c": 1}, "d": 1})"),
                  Parse(R"({"a": {"x": 1}, "b": [], "d": true})")),
            Parse(R"([[["a"], {"x": 1}], [["b"], []], [["d"], true]])"));
}

TEST(DocumentPatchTest, ListsAreComparedByIndexAndShrinkFromTheEnd) {
  EXPECT_EQ(Patch(Parse("[1, 2, 3, 4]"), Parse("[1, 5]")), Parse("[[[1], 5], [[3]], [[2]]]"));
  EXPECT_EQ(Patch(Parse("[1]"), Parse("[1, 2, 3]")), Parse("[[[1], 2], [[2], 3]]"));
}

TEST(DocumentPatchTest, ThePrefixStandsInFrontOfEveryPath) {
  Json stanzas = Json::array();
  AppendPatch(Json::array({"monitor", "nodes"}), Parse(R"({"a": 1})"), Parse(R"({"a": 2})"),
              &stanzas);
  EXPECT_EQ(stanzas, Parse(R"([[["monitor", "nodes", "a"], 2]])"));
}

TEST(DocumentPatchTest, APatchLeadsFromOneDocumentToTheOther) {
  const std::vector<Json> documents = {
      Parse(R"({"a": {"b": [1, 2, {"c": null}], "d": "x"}, "e": 1})"),
      Parse(R"({"a": {"b": [1, {"c": 2}], "d": {}}, "f": [[]]})"),
      Parse(R"({"a": {"b": [], "d": {"y": false}}, "f": [[1], [2, 3]]})"),
      Parse("{}"),
  };
  for (const Json& from : documents) {
    for (const Json& to : documents) EXPECT_EQ(ApplyPatch(from, Patch(from, to)), to);
  }
}

}  // namespace
}  // namespace om
