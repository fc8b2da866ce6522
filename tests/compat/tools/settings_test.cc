#include "compat/tools/settings.h"

#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(IniTest, ReadsTheDialectAsFarAsAClientNeedsIt) {
  EXPECT_THAT(
      ParseIni("stray\n# [cluster]\n[cluster]\r\nName = a = b ; no comment\n; x = 1\n"
               "nodes: n1\n  n2\n\t# not a value\n\n[listener]\nport=1\nport = 2\nempty =\n"),
      ElementsAre(Pair("cluster.name", "a = b ; no comment"), Pair("cluster.nodes", "n1\nn2"),
                  Pair("listener.empty", ""), Pair("listener.port", "2")));
}

TEST(ClientSettingsTest, NodeConfOverlaysClusterConf) {
  const TempDir root;
  root.Write("etc/cluster.conf", "[cluster]\nname = Demo\nsecret = s1\n[listener]\nport = 7\n");
  root.Write("etc/node.conf", "[cluster]\nsecret = s2\n[listener]\nport = 8\n");
  OM_ASSERT_OK_AND_ASSIGN(const ClientSettings settings, ReadClientSettings(root.path()));
  EXPECT_EQ(settings.clustername, "demo");
  EXPECT_EQ(settings.secret, "s2");
  EXPECT_EQ(settings.port, 8);
  EXPECT_EQ(settings.socket_path, root.File("var/lsnr/lsnr.sock"));
}

TEST(ClientSettingsTest, FilesThatAreNotThereAreEmpty) {
  const TempDir root;
  OM_ASSERT_OK_AND_ASSIGN(const ClientSettings settings, ReadClientSettings(root.path()));
  EXPECT_EQ(settings.clustername, "");
  EXPECT_EQ(settings.secret, "");
  EXPECT_EQ(settings.port, 1214);
}

TEST(ClientSettingsTest, APortThatIsNoPortIsNamed) {
  for (const char* port : {"0", "65536", "x", "12 14"}) {
    const TempDir root;
    root.Write("etc/node.conf", std::string("[listener]\nport = ") + port + "\n");
    EXPECT_THAT(ReadClientSettings(root.path()),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(std::string("\"") + port + "\": expected 1 to 65535")));
  }
}

}  // namespace
}  // namespace om
