#include "server/crm/drivers/status_document.h"

#include <string>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "server/config/store.h"
#include "server/crm/drivers/md5.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

// Configuration files and the status files that the legacy agent wrote for them on two nodes.
Json Recorded() {
  const auto file = ReadFile(
      std::string(OM_SOURCE_DIR) + "/tests/golden/compat/behaviour-instance-status.json", 1 << 20);
  EXPECT_THAT(file, IsOk());
  const auto json = ParseJson(file->text);
  EXPECT_THAT(json, IsOk());
  return *json;
}

// Labels of directories were rewritten when the files were published; their checksums are those of
// what was there before.
bool HasRewrittenLabel(const Json& content) {
  return content.contains("resources") && content["resources"].contains("fs#1");
}

TEST(StatusChecksumTest, IsTheRecordedOneForEveryRecordedContent) {
  int compared = 0;
  const Json recorded = Recorded();
  for (const auto& [name, file] : recorded["files"].items()) {
    if (!absl::EndsWith(name, "/status.json") || HasRewrittenLabel(file["content"])) continue;
    EXPECT_EQ(StatusChecksum(file["content"]), file["content"]["csum"]) << name;
    ++compared;
  }
  EXPECT_EQ(compared, 14);
}

TEST(HexMd5Test, GivesThePublishedDigests) {
  EXPECT_EQ(HexMd5(""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(HexMd5("message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
  EXPECT_EQ(HexMd5("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"),
            "d174ab98d277d9f5a5611c2c9f419d9f");
  // Every length around the padding of a block, against the library that others use.
  for (size_t length = 50; length < 140; ++length) {
    const std::string text(length, 'x');
    EXPECT_EQ(HexMd5(text), LegacyChecksumOf(text)) << length;
  }
}

TEST(StatusChecksumTest, FollowsValuesAndOrderOfListsButNotTimes) {
  const Json base = {{"a", "x"}, {"list", {1, 2}}, {"updated", 1.5}, {"csum", "c"}};
  Json other = base;
  other["updated"] = 99.5;
  other["mtime"] = 3;
  EXPECT_EQ(StatusChecksum(other), StatusChecksum(base));
  other["list"] = {2, 1};
  EXPECT_NE(StatusChecksum(other), StatusChecksum(base));
}

TEST(StatusChecksumTest, WritesLeavesAsPythonDoes) {
  // MD5 of the texts in the comments, computed by Python.
  struct Case {
    Json value;
    const char* md5;
  };
  const Case cases[] = {
      {"it's", "55a56847a573a5b4b78448bcf04983ed"},    // "it's"
      {"a\"b'c", "27901729c1b3bad5619b6a906bb808d3"},  // 'a"b\'c'
      {"tab\there\n\x01", "8d7e832dbaafb14932e799a8aeecc1a1"},
      {"caf\xc3\xa9", "4b40a616e57953bcb6af8392ff0f2e55"},
      {true, "f827cf462f62848df37c5e1e94a4da74"},
      {nullptr, "6adf97f83acf6453d4a6a4b1070f3754"},
      {1795364472.0, "cf7d466298f6b01536f3c41c99328b22"},
      {1795364472.3825748, "4c39fe47c46f162cec4bfcb8a7b19bef"},
      {1e-05, "0e6c77caff4e0ac45fc1951e85bbff6a"},
      {1e+16, "17ad58a7ab5201decb18b0996a327592"},
      {-3, "b3149ecea4628efd23d2f86e5a723472"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(StatusChecksum(Json::array({c.value})), c.md5) << c.value.dump();
  }
}

}  // namespace
}  // namespace om
