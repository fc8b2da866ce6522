// Actions on configurations, through omcrm itself.
#include <string>

#include "tests/server/crm/omcrm_fixture.h"

namespace om {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class OmcrmConfigTest : public OmcrmTest {
 protected:
  std::string Output() { return root_.Read("omcrm.out"); }
  std::string Config(const std::string& name = "svc1") {
    return root_.Read(absl::StrCat("etc/", name, ".conf"));
  }
  bool Exists(const std::string& name) { return access(root_.File(name).c_str(), F_OK) == 0; }
};

TEST_F(OmcrmConfigTest, KeywordsAreSetChangedUnsetAndRead) {
  ConfigureForking();
  EXPECT_EQ(Run({"-s", "svc1", "set", "--kw", "orchestrate=ha", "--kw", "app#1.tags=a b"}), 0);
  EXPECT_EQ(Run({"-s", "svc1", "set", "--param", "env.port", "--value", "80=80"}), 0);
  EXPECT_EQ(Run({"-s", "svc1", "set", "--kw", "app#1.tags+=c a", "--kw", "app#1.tags-=b"}), 0);
  EXPECT_EQ(Run({"-s", "svc1", "get", "--kw", "app#1.tags", "--kw", "orchestrate"}), 0);
  EXPECT_EQ(Output(), "a c\nha\n");
  EXPECT_EQ(Run({"-s", "svc1", "get", "--param", "env.port"}), 0);
  EXPECT_EQ(Output(), "80=80\n");
  EXPECT_EQ(Run({"-s", "svc1", "unset", "--kw", "orchestrate", "--kw", "app#1.tags"}), 0);
  EXPECT_EQ(Run({"-s", "svc1", "get", "--kw", "orchestrate"}), 1);
  EXPECT_THAT(Output(), HasSubstr("\"orchestrate\" is not set"));
  EXPECT_EQ(Run({"-s", "svc1", "get", "--eval", "--kw", "orchestrate"}), 0);
  EXPECT_EQ(Output(), "no\n");
}

TEST_F(OmcrmConfigTest, ValuesAreEvaluatedHereOrAsAnotherNode) {
  ConfigureForking("\n[env]\nport = 8080\nport@n2 = 9090\n[app#2]\nstart = /bin/true {env.port}\n");
  EXPECT_EQ(Run({"-s", "svc1", "get", "--kw", "app#2.start"}), 0);
  EXPECT_EQ(Output(), "/bin/true {env.port}\n");
  EXPECT_EQ(Run({"-s", "svc1", "get", "--eval", "--kw", "app#2.start"}), 0);
  EXPECT_EQ(Output(), "/bin/true 8080\n");
  EXPECT_EQ(Run({"-s", "svc1", "get", "--impersonate", "n2", "--kw", "app#2.start"}), 0);
  EXPECT_EQ(Output(), "/bin/true 9090\n");
}

TEST_F(OmcrmConfigTest, AChangeThatWouldBreakTheObjectIsRefusedWhole) {
  ConfigureForking();
  const std::string before = Config();
  EXPECT_EQ(Run({"-s", "svc1", "set", "--kw", "env.a=b", "--kw", "topology=round"}), 1);
  EXPECT_THAT(Output(), HasSubstr("topology"));
  EXPECT_EQ(Run({"-s", "svc1", "set", "--kw", "parents=a//b"}), 1);
  EXPECT_EQ(Run({"-s", "svc1", "set", "--kw", "nothing"}), 1);
  EXPECT_EQ(Run({"-s", "svc1", "set"}), 1);
  EXPECT_EQ(Run({"-s", "svc1", "set", "--dry-run", "--kw", "env.a=b"}), 0);
  EXPECT_EQ(Config(), before);
}

TEST_F(OmcrmConfigTest, AnObjectIsMadeFromKeywordsWithAnIdOfItsOwn) {
  EXPECT_EQ(Run({"-s", "made", "create", "--kw", "nodes=n1 n2", "--kw", "app#1.start=/bin/true"}),
            0)
      << Output();
  EXPECT_THAT(Config("made"), HasSubstr("[DEFAULT]\nnodes = n1 n2\nid = "));
  EXPECT_THAT(Config("made"), HasSubstr("[app#1]\nstart = /bin/true\n"));
  const std::string before = Config("made");
  EXPECT_EQ(Run({"-s", "made", "create", "--kw", "nodes=n1"}), 1);
  EXPECT_THAT(Output(), HasSubstr("--force"));
  EXPECT_EQ(Config("made"), before);
  EXPECT_EQ(Run({"-s", "made", "create", "--force", "--kw", "nodes=n1"}), 0);
  EXPECT_THAT(Config("made"), Not(HasSubstr("n2")));
  EXPECT_EQ(Run({"-s", "made", "status"}), 3);
}

TEST_F(OmcrmConfigTest, AnObjectIsMadeFromTextOrJsonOnStandardInput) {
  input_ = root_.Write("input", "[DEFAULT]\nid = given\nnodes = n1\n# mine\n[env]\na = 1\n");
  EXPECT_EQ(Run({"-s", "ns1/svc/a", "create", "--config=-"}), 0);
  EXPECT_EQ(root_.Read("etc/namespaces/ns1/svc/a.conf"), root_.Read("input"));
  const std::string json =
      R"({"DEFAULT": {"nodes": ["n1", "n2"], "flex_max": 2, "topology": "flex"},
          "app#1": {"start": "/bin/true", "monitor": true}})";
  for (const std::string& text :
       {json, absl::StrCat("{\"b\": ", json, "}"), absl::StrCat("\n ", json, "\n")}) {
    input_ = root_.Write("input", text);
    EXPECT_EQ(Run({"-s", "b", "create", "--config=-", "--force"}), 0) << Output();
    EXPECT_THAT(Config("b"), HasSubstr("nodes = n1 n2\nflex_max = 2\ntopology = flex\nid = "));
    EXPECT_THAT(Config("b"), HasSubstr("[app#1]\nstart = /bin/true\nmonitor = true\n"));
  }
  for (const char* bad : {"{\"DEFAULT\": 1}", "{\"DEFAULT\": {\"nodes\": {}}}", "{", "nonsense",
                          "{\"DEFAULT\": {\"topology\": \"round\"}}"}) {
    input_ = root_.Write("input", bad);
    EXPECT_EQ(Run({"-s", "c", "create", "--config=-"}), 1) << bad;
    EXPECT_FALSE(Exists("etc/c.conf"));
  }
  EXPECT_EQ(Run({"-s", "c", "create", "--config", root_.File("nothere")}), 1);
  EXPECT_THAT(Output(), HasSubstr("nothere"));
}

TEST_F(OmcrmConfigTest, AnObjectIsMadeInTheImageOfAnother) {
  root_.Write("etc/web.conf", "[DEFAULT]\nid = its-own\nscale = 3\nnodes = n1\n");
  EXPECT_EQ(Run({"-s", "0.web", "create", "--config", "web", "--kw", "scaler_slave=true"}), 0)
      << Output();
  EXPECT_THAT(Config("0.web"), HasSubstr("nodes = n1"));
  EXPECT_THAT(Config("0.web"), HasSubstr("scaler_slave = true"));
  EXPECT_THAT(Config("0.web"), Not(HasSubstr("its-own")));
  EXPECT_THAT(Config("0.web"), Not(HasSubstr("scale = 3")));
}

TEST_F(OmcrmConfigTest, ConfigurationsArePrintedAsTextOrJson) {
  ConfigureForking();
  EXPECT_EQ(Run({"-s", "svc1", "print", "config"}), 0);
  EXPECT_EQ(Output(), Config());
  EXPECT_EQ(Run({"-s", "svc1", "print", "config", "--format=json"}), 0);
  const auto json = ParseJson(Output());
  ASSERT_THAT(json, IsOk());
  EXPECT_EQ((*json)["DEFAULT"]["nodes"], "n1 n2");
  EXPECT_EQ((*json)["app#1"]["stop"], "1");
  EXPECT_EQ(Run({"-s", "svc1", "print_config", "--format=json"}), 0);
  EXPECT_EQ(ParseJson(Output()).value(), *json);
}

TEST_F(OmcrmConfigTest, DeleteLeavesNothingOfTheObjectAndNothingElseGone) {
  ConfigureForking();
  Configure("[DEFAULT]\nid = id2\nnodes = n1\n", "svc2");
  root_.Write("etc/svc1.d/launcher", "x");
  const std::string outside = root_.Write("outside/kept", "x");
  ASSERT_EQ(Do("start"), 0);
  ASSERT_EQ(Run({"-s", "svc2", "status"}), 3);
  ASSERT_EQ(symlink(root_.File("outside").c_str(), root_.File("var/svc/svc1/link").c_str()), 0);
  EXPECT_EQ(Run({"-s", "svc1", "delete", "--dry-run"}), 0);
  EXPECT_TRUE(Exists("etc/svc1.conf"));
  EXPECT_EQ(Run({"-s", "svc1", "delete", "--purge-collector", "--local"}), 0) << Output();
  for (const char* gone : {"etc/svc1.conf", "etc/svc1.d", "var/svc/svc1", "log/svc1.log"}) {
    EXPECT_FALSE(Exists(gone)) << gone;
  }
  for (const char* kept : {"etc/svc2.conf", "var/svc/svc2/status.json", "etc/cluster.conf"}) {
    EXPECT_TRUE(Exists(kept)) << kept;
  }
  EXPECT_EQ(access(outside.c_str(), F_OK), 0);
}

TEST_F(OmcrmConfigTest, DeleteOfSectionsLeavesTheRest) {
  ConfigureForking("\n[app#2]\nstart = /bin/true\n");
  EXPECT_EQ(Run({"-s", "svc1", "delete", "--rid", "app#2"}), 0) << Output();
  EXPECT_THAT(Config(), Not(HasSubstr("app#2")));
  EXPECT_THAT(Config(), HasSubstr("[app#1]"));
  EXPECT_FALSE(Status()["resources"].contains("app#2"));
  EXPECT_EQ(Run({"-s", "svc1", "delete", "--rid", "app#9"}), 1);
}

TEST_F(OmcrmConfigTest, ConfigurationObjectsAreMadeReadAndDeletedToo) {
  EXPECT_EQ(Run({"-s", "ns1/cfg/c1", "create", "--kw", "data.k1=literal:v1"}), 0) << Output();
  EXPECT_EQ(Run({"-s", "ns1/cfg/c1", "get", "--kw", "data.k1"}), 0);
  EXPECT_EQ(Output(), "literal:v1\n");
  EXPECT_EQ(Run({"-s", "ns1/cfg/c1", "delete"}), 0) << Output();
  EXPECT_FALSE(Exists("etc/namespaces/ns1/cfg/c1.conf"));
  EXPECT_EQ(Run({"-s", "cluster", "delete"}), 1);
  EXPECT_TRUE(Exists("etc/cluster.conf"));
}

TEST_F(OmcrmConfigTest, PurgeUnprovisionsAndDeletes) {
  ConfigureForking();
  ASSERT_EQ(Do("provision"), 0);
  ASSERT_EQ(Do("start"), 0);
  Flag("stopfail");
  EXPECT_EQ(Do("purge"), 1);
  EXPECT_TRUE(Exists("etc/svc1.conf"));
  unlink(absl::StrCat(script_, ".stopfail").c_str());
  EXPECT_EQ(Do("purge"), 0) << Output();
  EXPECT_FALSE(IsUp("app#1"));
  EXPECT_FALSE(Exists("etc/svc1.conf"));
  EXPECT_FALSE(Exists("var/svc/svc1"));
}

TEST_F(OmcrmConfigTest, APurgeThatLeavesAnAppUpKeepsTheConfigurationThatKnowsIt) {
  Configure("[DEFAULT]\nid = id1\nnodes = n1\n[app#1]\nscript = @SCRIPT@\nstart = 1\ncheck = 1\n");
  ASSERT_EQ(Do("start"), 0);
  EXPECT_EQ(Do("purge"), 1);
  EXPECT_THAT(Output(), HasSubstr("still up: app#1"));
  EXPECT_EQ(Run({"-s", "svc1", "delete", "--unprovision", "--local"}), 1);
  EXPECT_TRUE(Exists("etc/svc1.conf"));
}

}  // namespace
}  // namespace om
