#include "server/config/object_path.h"

#include <map>
#include <string>
#include <vector>

#include "absl/hash/hash_testing.h"
#include "server/config/paths.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::HasSubstr;

ObjectPath Path(absl::string_view text) {
  const absl::StatusOr<ObjectPath> path = ObjectPath::Parse(text);
  EXPECT_THAT(path, IsOk()) << text;
  return path.ok() ? *path : ObjectPath();
}

TEST(ObjectPathTest, AllSpellingsGiveOneCanonicalText) {
  const std::map<std::string, std::string> canonical = {
      {"web", "web"},
      {"svc/web", "web"},
      {"root/svc/web", "web"},
      {"vol/data", "vol/data"},
      {"root/vol/data", "vol/data"},
      {"test/svc/web", "test/svc/web"},
      {"cluster", "cluster"},
      {"ccfg/cluster", "cluster"},
      {"root/ccfg/cluster", "cluster"},
      {"svc/cluster", "cluster"},
      {"3.web", "3.web"},
      {"a-b.c-2", "a-b.c-2"},
      {"Web", "Web"},
  };
  for (const auto& [text, expected] : canonical) EXPECT_EQ(Path(text).ToString(), expected);
}

TEST(ObjectPathTest, ClusterIsTheOnlyCcfg) {
  EXPECT_EQ(Path("cluster").kind(), "ccfg");
  EXPECT_THAT(ObjectPath::Parse("ccfg/other"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ObjectPath::Parse("test/ccfg/cluster"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(Path("test/svc/cluster").kind(), "svc");
}

TEST(ObjectPathTest, RefusesWhatIsNoObject) {
  const std::vector<std::string> refused = {"",
                                            "/",
                                            "node",
                                            "auth",
                                            "svc/node",
                                            "test/svc/auth",
                                            "a,b",
                                            "a+b",
                                            "..",
                                            "../x",
                                            "svc/..",
                                            "../svc/web",
                                            "a/../b",
                                            "test/svc/..",
                                            "./svc/web",
                                            "web/",
                                            "/web",
                                            "//web",
                                            "a/b/c/d",
                                            "test/foo/web",
                                            "-web",
                                            "web-",
                                            "web.",
                                            ".web",
                                            "a..b",
                                            "1web",
                                            "1",
                                            "1.",
                                            "1.2",
                                            "we b",
                                            "web\n",
                                            std::string("we\0b", 4),
                                            "w\xC3\xA9",
                                            "te.st/svc/web",
                                            "1test/svc/web",
                                            "test//web",
                                            "*",
                                            "web@n1",
                                            std::string(129, 'a'),
                                            std::string(64, 'a') + "/svc/web",
                                            std::string(100000, 'a')};
  for (const std::string& text : refused) {
    EXPECT_THAT(ObjectPath::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument))
        << text.substr(0, 80);
  }
  EXPECT_THAT(ObjectPath::Parse(std::string(128, 'a')), IsOk());
  EXPECT_LT(ObjectPath::Parse(std::string(100000, 'a')).status().message().size(), 500u);
}

TEST(ObjectPathTest, RelativeTextsAreInTheGivenNamespace) {
  EXPECT_EQ(ObjectPath::ParseRelative("db", "test")->ToString(), "test/svc/db");
  EXPECT_EQ(ObjectPath::ParseRelative("vol/v1", "test")->ToString(), "test/vol/v1");
  EXPECT_EQ(ObjectPath::ParseRelative("root/svc/db", "test")->ToString(), "db");
  EXPECT_EQ(ObjectPath::ParseRelative("prod/svc/db", "test")->ToString(), "prod/svc/db");
  EXPECT_EQ(ObjectPath::ParseRelative("cluster", "test")->ToString(), "cluster");
  EXPECT_EQ(ObjectPath::ParseRelative("db", "")->ToString(), "db");
  EXPECT_THAT(ObjectPath::ParseRelative("db", "../etc"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("namespace")));
}

TEST(ObjectPathTest, FilesAreWhereTheLegacyAgentHasThem) {
  const Roots roots = Roots::Under("/r/");
  EXPECT_EQ(Path("web").ConfigFile(roots), "/r/etc/web.conf");
  EXPECT_EQ(Path("web").StateDir(roots), "/r/var/svc/web");
  EXPECT_EQ(Path("web").LogFile(roots), "/r/log/web.log");
  EXPECT_EQ(Path("web").ScriptDir(roots), "/r/etc/web.d");
  EXPECT_EQ(Path("cluster").ConfigFile(roots), "/r/etc/cluster.conf");
  EXPECT_EQ(Path("cluster").StateDir(roots), "/r/var/ccfg/cluster");
  EXPECT_EQ(Path("cluster").LogFile(roots), "/r/log/cluster.log");
  EXPECT_EQ(Path("vol/v1").ConfigFile(roots), "/r/etc/vol/v1.conf");
  EXPECT_EQ(Path("vol/v1").StateDir(roots), "/r/var/vol/v1");
  EXPECT_EQ(Path("vol/v1").LogFile(roots), "/r/log/vol/v1.log");
  EXPECT_EQ(Path("test/svc/web").ConfigFile(roots), "/r/etc/namespaces/test/svc/web.conf");
  EXPECT_EQ(Path("test/svc/web").StateDir(roots), "/r/var/namespaces/test/svc/web");
  EXPECT_EQ(Path("test/svc/web").LogFile(roots), "/r/log/namespaces/test/svc/web.log");
}

TEST(ObjectPathTest, NamesTheObjectInTheCluster) {
  EXPECT_EQ(Path("web").Fqdn("prod"), "web.root.svc.prod");
  EXPECT_EQ(Path("test/vol/v1").Fqdn("prod"), "v1.test.vol.prod");
  EXPECT_EQ(Path("3.web").ScalerName(), "web");
  EXPECT_EQ(Path("web").ScalerName(), "web");
}

TEST(ObjectPathTest, IsAnOrderedAndHashableValue) {
  EXPECT_LT(Path("a"), Path("b"));
  EXPECT_LT(Path("b"), Path("test/svc/a"));
  EXPECT_EQ(Path("svc/a"), Path("a"));
  EXPECT_TRUE(absl::VerifyTypeImplementsAbslHashCorrectly(
      {ObjectPath(), Path("a"), Path("b"), Path("vol/a"), Path("test/svc/a")}));
}

TEST(PathsTest, RootsAreThePackagedOnesOrBelowADirectory) {
  EXPECT_EQ(Roots::Packaged().NodeConf(), "/etc/opensvc/node.conf");
  EXPECT_EQ(Roots::Packaged().PidFile(), "/var/lib/opensvc/osvcd.pid");
  EXPECT_EQ(Roots::Packaged().NodeLog(), "/var/log/opensvc/node.log");
  const Roots roots = Roots::Under("/r");
  EXPECT_EQ(roots.ClusterConf(), "/r/etc/cluster.conf");
  EXPECT_EQ(roots.DaemonLock(), "/r/var/lock/osvcd.lock");
  EXPECT_EQ(roots.ListenerSocket(), "/r/var/lsnr/lsnr.sock");
  EXPECT_EQ(roots.GrpcSocket(), "/r/var/lsnr/grpc.sock");
  EXPECT_EQ(roots.NodeFrozen(), "/r/var/node/frozen");
  EXPECT_EQ(roots.LastShutdown(), "/r/var/last_shutdown");
  EXPECT_EQ(roots.OmdDir(), "/r/var/omd");
  EXPECT_EQ(Roots::Under("/").etc, "/etc");
}

}  // namespace
}  // namespace om
