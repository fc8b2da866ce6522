#include "server/config/settings.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "server/base/status.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;

constexpr char kSecret[] = "abcdefghijklmnopqrstuvwxyz012345";

absl::StatusOr<NodeSettings> LoadNode(absl::string_view node, absl::string_view cluster = "") {
  NodeDocuments documents;
  absl::StatusOr<Document> parsed = Document::Parse(node, "node.conf");
  if (!parsed.ok()) return parsed.status();
  documents.node = *std::move(parsed);
  parsed = Document::Parse(cluster, "cluster.conf");
  if (!parsed.ok()) return parsed.status();
  documents.cluster = *std::move(parsed);
  return NodeSettings::Load(documents, "N1", Roots::Under("/r"));
}

TEST(NodeSettingsTest, EmptyFilesGiveTheDefaults) {
  OM_ASSERT_OK_AND_ASSIGN(const NodeSettings loaded, LoadNode(""));
  const NodeSettings defaults;
  EXPECT_EQ(loaded.nodename, "n1");
  EXPECT_THAT(loaded.cluster_nodes, ElementsAre("n1"));
  EXPECT_EQ(loaded.env, defaults.env);
  EXPECT_EQ(loaded.maintenance_grace_period, defaults.maintenance_grace_period);
  EXPECT_EQ(loaded.rejoin_grace_period, defaults.rejoin_grace_period);
  EXPECT_EQ(loaded.ready_period, defaults.ready_period);
  EXPECT_EQ(loaded.max_parallel, defaults.max_parallel);
  EXPECT_EQ(loaded.min_avail_mem, defaults.min_avail_mem);
  EXPECT_EQ(loaded.min_avail_swap, defaults.min_avail_swap);
  EXPECT_EQ(loaded.dequeue_actions_command, defaults.dequeue_actions_command);
  EXPECT_EQ(loaded.cluster_name, defaults.cluster_name);
  EXPECT_EQ(loaded.cluster_id, "");
  EXPECT_EQ(loaded.cluster_secret, "");
  EXPECT_EQ(loaded.quorum, defaults.quorum);
  EXPECT_EQ(loaded.listener_addrs, defaults.listener_addrs);
  EXPECT_EQ(loaded.listener_port, defaults.listener_port);
  EXPECT_EQ(loaded.tls_addr, defaults.tls_addr);
  EXPECT_EQ(loaded.tls_port, defaults.tls_port);
  EXPECT_EQ(loaded.grpc_addr, defaults.grpc_addr);
  EXPECT_EQ(loaded.grpc_port, defaults.grpc_port);
  EXPECT_EQ(loaded.grpc_group, defaults.grpc_group);
  EXPECT_EQ(loaded.max_connections, defaults.max_connections);
  EXPECT_EQ(loaded.max_connections_per_addr, defaults.max_connections_per_addr);
  EXPECT_EQ(loaded.request_timeout, defaults.request_timeout);
  EXPECT_EQ(loaded.max_request_bytes, defaults.max_request_bytes);
  EXPECT_EQ(loaded.compat_enabled, defaults.compat_enabled);
  EXPECT_EQ(loaded.compat_level, defaults.compat_level);
  EXPECT_EQ(loaded.compat_check_sender, defaults.compat_check_sender);
  EXPECT_EQ(loaded.compat_allow_short_secret, defaults.compat_allow_short_secret);
  EXPECT_EQ(loaded.compat_replay_check, defaults.compat_replay_check);
  EXPECT_EQ(loaded.crm_command, defaults.crm_command);
  EXPECT_EQ(loaded.crm_node_command, defaults.crm_node_command);
  EXPECT_EQ(loaded.sigterm, defaults.sigterm);
  EXPECT_THAT(loaded.warnings, IsEmpty());
}

TEST(NodeSettingsTest, NodeConfLiesOverClusterConf) {
  OM_ASSERT_OK_AND_ASSIGN(
      const NodeSettings s,
      LoadNode("[listener]\nport = 1300\n[labels]\naz = fr1\n",
               "[cluster]\nname = Prod\nid = x\nnodes = N2 n1\nquorum = yes\nsecret@n1 = " +
                   std::string(kSecret) +
                   "\nsecret = other\n[listener]\nport = 1400\naddr = node1 ::1  10.0.0.1\n"
                   "request_timeout = 1m\nmax_request_size = 2m\n[labels]\naz = x\nrack = r\n"
                   "[daemon]\nsigterm = shutdown\n[crm]\ncommand = /usr/bin/om --x 'a b'\n"
                   "node_command = omn\n"));
  EXPECT_EQ(s.listener_port, 1300);
  EXPECT_THAT(s.listener_addrs, ElementsAre("node1", "::1", "10.0.0.1"));
  EXPECT_EQ(s.cluster_name, "prod");
  EXPECT_EQ(s.cluster_secret, kSecret);
  EXPECT_THAT(s.cluster_nodes, ElementsAre("n2", "n1"));
  EXPECT_TRUE(s.quorum);
  EXPECT_EQ(s.request_timeout, Duration(minutes(1)));
  EXPECT_EQ(s.max_request_bytes, 2 << 20);
  EXPECT_THAT(s.labels, ElementsAre(Pair("az", "fr1"), Pair("rack", "r")));
  EXPECT_EQ(s.sigterm, SigtermAction::kShutdown);
  EXPECT_THAT(s.crm_command, ElementsAre("/usr/bin/om", "--x", "a b"));
  EXPECT_THAT(s.dequeue_actions_command, ElementsAre("omn", "dequeue", "actions"));
  EXPECT_EQ(s.Cluster().labels.at("n1").at("az"), "fr1");
}

TEST(NodeSettingsTest, NumberedSectionsAreLoaded) {
  OM_ASSERT_OK_AND_ASSIGN(
      const NodeSettings s,
      LoadNode("[hb#1]\naddr@n1 = 10.0.0.1\n[hook#1]\nevents = a b\ncommand = /bin/x y\n",
               "[cluster]\nnodes = n1 n2\n[hb#1]\ntype = unicast\ntimeout = 20\n[hb#2]\n"
               "type = disk\nnodes = n1\ndev = /dev/x\n[arbitrator#1]\nname = a1\nsecret = s\n"
               "[stonith#n2]\ncmd = /bin/kill-n2\n"));
  ASSERT_THAT(s.heartbeats, SizeIs(2));
  EXPECT_EQ(s.heartbeats[0].name, "hb#1");
  EXPECT_EQ(s.heartbeats[0].timeout, Duration(seconds(20)));
  EXPECT_EQ(s.heartbeats[0].addr, "10.0.0.1");
  EXPECT_THAT(s.heartbeats[0].nodes, ElementsAre("n1", "n2"));
  EXPECT_THAT(s.heartbeats[1].nodes, ElementsAre("n1"));
  ASSERT_THAT(s.arbitrators, SizeIs(1));
  EXPECT_EQ(s.arbitrators[0].timeout, Duration(seconds(5)));
  EXPECT_THAT(s.stonith, ElementsAre(Pair("n2", ElementsAre("/bin/kill-n2"))));
  ASSERT_THAT(s.hooks, SizeIs(1));
  EXPECT_THAT(s.hooks[0].events, ElementsAre("a", "b"));
}

TEST(NodeSettingsTest, AWrongValueIsAnErrorThatNamesEverything) {
  const absl::Status status = LoadNode("[listener]\nport = {env.p}\n[env]\np = http\n").status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                               AllOf(HasSubstr("node.conf:2: listener.port:"),
                                     HasSubstr("expected an integer"), HasSubstr("\"http\""))));
  EXPECT_EQ(FieldOf(status), "listener.port");
  EXPECT_THAT(LoadNode("[crm]\ncommand =\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("crm.command")));
  EXPECT_THAT(LoadNode("", "[node]\nready_period = 10x\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cluster.conf:2:")));
}

TEST(NodeSettingsTest, UnknownKeywordsOnlyWarn) {
  OM_ASSERT_OK_AND_ASSIGN(const NodeSettings s, LoadNode("[node]\nloc_city = Paris\n"));
  EXPECT_THAT(s.warnings, ElementsAre(HasSubstr("node.conf:2: node.loc_city: unknown")));
}

TEST(NodeSettingsTest, ASecretThatIsNoKeyIsAnErrorUnlessOldOnesAreAllowed) {
  const auto load = [](size_t bytes, bool allow) {
    const std::string secret(bytes, 'q');
    const absl::Status status =
        LoadNode(absl::StrCat("[compat]\nallow_short_secret = ", allow ? "true" : "false",
                              "\n[cluster]\nsecret = ", secret, "\n"))
            .status();
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr(secret)));
    return status;
  };
  EXPECT_THAT(load(32, false), IsOk());
  EXPECT_THAT(load(33, false), IsOk());
  for (const size_t bytes : {1u, 16u, 24u, 31u}) {
    const absl::Status status = load(bytes, false);
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                                 AllOf(HasSubstr("at least 32 bytes"),
                                       HasSubstr(absl::StrCat("found one of ", bytes, " bytes")))));
    EXPECT_EQ(FieldOf(status), "cluster.secret");
  }
  EXPECT_THAT(load(16, true), IsOk());
  EXPECT_THAT(load(24, true), IsOk());
  EXPECT_THAT(load(17, true), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(NodeSettingsTest, ASecretThatLooksLikeTheOldDefaultWarnsWithoutShowingIt) {
  for (const std::string& secret : {std::string("2d5e8b9c7f1a11ecb9090242ac120002"),
                                    std::string("2d5e8b9c-7f1a-11ec-b909-0242ac120002")}) {
    OM_ASSERT_OK_AND_ASSIGN(const NodeSettings s, LoadNode("[cluster]\nsecret = " + secret + "\n"));
    EXPECT_THAT(s.warnings,
                ElementsAre(AllOf(HasSubstr("version-1 uuid"), Not(HasSubstr(secret)))));
  }
  for (const std::string& secret :
       {std::string(kSecret), std::string("2d5e8b9c7f1a41ecb9090242ac120002")}) {
    OM_ASSERT_OK_AND_ASSIGN(const NodeSettings s, LoadNode("[cluster]\nsecret = " + secret + "\n"));
    EXPECT_THAT(s.warnings, IsEmpty());
  }
}

TEST(NodeSettingsTest, MissingFilesLoadAsEmptyOnes) {
  const TempDir dir;
  const Roots roots = Roots::Under(dir.path());
  OM_ASSERT_OK_AND_ASSIGN(LoadedConfig config, LoadNodeConfig(roots, "n1"));
  EXPECT_EQ(config.settings.listener_port, 1214);
  dir.Write("etc/node.conf", "[listener]\nport = 1\n");
  OM_ASSERT_OK_AND_ASSIGN(config, LoadNodeConfig(roots, "n1"));
  EXPECT_EQ(config.settings.listener_port, 1);
  dir.Write("etc/cluster.conf", "oops");
  EXPECT_THAT(LoadNodeConfig(roots, "n1"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("etc/cluster.conf:1: ")));
}

absl::StatusOr<ObjectSettings> LoadObject(absl::string_view text, absl::string_view nodename = "n1",
                                          absl::string_view path = "test/svc/web") {
  absl::StatusOr<Document> document = Document::Parse(text, "web.conf");
  if (!document.ok()) return document.status();
  EvaluationContext context;
  context.nodename = std::string(nodename);
  context.roots = Roots::Under("/r");
  context.path = *ObjectPath::Parse(path);
  context.cluster = {"prod", "cid", {"n1", "n2", "n3"}, {"d1"}, {}};
  return ObjectSettings::Load(*std::move(document), std::move(context));
}

TEST(ObjectSettingsTest, AnEmptyFileGivesTheDefaults) {
  OM_ASSERT_OK_AND_ASSIGN(const ObjectSettings s, LoadObject(""));
  EXPECT_EQ(s.path.ToString(), "test/svc/web");
  EXPECT_THAT(s.nodes, ElementsAre("n1"));
  EXPECT_EQ(ToText(s.topology), "failover");
  EXPECT_EQ(ToText(s.orchestrate), "no");
  EXPECT_EQ(ToText(s.placement), "nodes order");
  EXPECT_EQ(s.flex_min, 1);
  EXPECT_EQ(s.flex_max, 1);
  EXPECT_EQ(s.flex_target, 1);
  EXPECT_EQ(s.flex_primary, "n1");
  EXPECT_EQ(s.app, "default");
  EXPECT_EQ(s.lock_timeout, Duration(seconds(60)));
  EXPECT_EQ(s.status_schedule, "@10");
  EXPECT_TRUE(s.rollback);
  EXPECT_FALSE(s.scale.has_value());
  EXPECT_THAT(s.resources, IsEmpty());
}

TEST(ObjectSettingsTest, KeywordsOfTheObjectAreTypedAndScoped) {
  OM_ASSERT_OK_AND_ASSIGN(
      const ObjectSettings s,
      LoadObject("[DEFAULT]\nid = i\nnodes = n2 n1\ndrpnodes = d1\norchestrate@n2 = no\n"
                 "orchestrate = ha\nplacement = load avg\ntopology = flex\nflex_min_nodes = 2\n"
                 "flex_max = 9\nflex_target = 7\nparents = db root/svc/x@N2\nslaves = vol/v\n"
                 "hard_affinity = a\nanti_affinity = b\nmonitor_action = switch\nscale = 3\n"
                 "lock_timeout = 2m\nstonith = t\nrollback = f\n"));
  EXPECT_THAT(s.nodes, ElementsAre("n2", "n1"));
  EXPECT_EQ(s.orchestrate, Orchestrate::kHa);
  EXPECT_EQ(s.placement, Placement::kLoadAvg);
  EXPECT_EQ(s.topology, Topology::kFlex);
  EXPECT_EQ(s.flex_min, 2);
  EXPECT_EQ(s.flex_max, 2);
  EXPECT_EQ(s.flex_target, 2);  // Not beyond flex_max, which is not beyond the nodes.
  EXPECT_THAT(s.warnings, Contains(AllOf(HasSubstr("flex_target"), HasSubstr("7"))));
  EXPECT_EQ(s.flex_primary, "n2");
  EXPECT_EQ(s.drp_flex_primary, "d1");
  ASSERT_THAT(s.parents, SizeIs(2));
  EXPECT_EQ(s.parents[0].path.ToString(), "test/svc/db");
  EXPECT_EQ(s.parents[1].path.ToString(), "x");
  EXPECT_EQ(s.parents[1].node, "n2");
  EXPECT_EQ(s.slaves[0].path.ToString(), "test/vol/v");
  EXPECT_EQ(s.hard_anti_affinity[0].path.ToString(), "test/svc/b");
  EXPECT_EQ(s.scale, 3);
  EXPECT_EQ(s.lock_timeout, Duration(minutes(2)));
  EXPECT_TRUE(s.stonith);
  EXPECT_FALSE(s.rollback);
}

TEST(ObjectSettingsTest, FlexBoundsAreClampedToTheNodes) {
  const auto flex = [](absl::string_view keywords) {
    absl::StatusOr<ObjectSettings> s =
        LoadObject(absl::StrCat("[DEFAULT]\nnodes = n1 n2 n3\ndrpnodes = d1\n", keywords, "\n"));
    EXPECT_THAT(s, IsOk());
    return s.ok() ? std::vector<int>{s->flex_min, s->flex_max, s->flex_target} : std::vector<int>();
  };
  EXPECT_THAT(flex(""), ElementsAre(1, 3, 1));
  EXPECT_THAT(flex("flex_min = 9"), ElementsAre(4, 4, 4));
  EXPECT_THAT(flex("flex_min = 0"), ElementsAre(0, 3, 0));
  EXPECT_THAT(flex("flex_min = 2\nflex_max = 1"), ElementsAre(2, 2, 2));
  EXPECT_THAT(flex("flex_max = 9\nflex_target = 2"), ElementsAre(1, 3, 2));
}

TEST(ObjectSettingsTest, PeersAreTheNodesOrTheDisasterNodesOrNone) {
  const std::string text = "[DEFAULT]\nnodes = n1 n2\ndrpnodes = d1 d2\n";
  EXPECT_THAT(LoadObject(text, "n1")->PeerNodes(), ElementsAre("n1", "n2"));
  EXPECT_THAT(LoadObject(text, "d2")->PeerNodes(), ElementsAre("d1", "d2"));
  EXPECT_THAT(LoadObject(text, "n3")->PeerNodes(), IsEmpty());
}

TEST(ObjectSettingsTest, ResourcesInheritAsTheTableSays) {
  OM_ASSERT_OK_AND_ASSIGN(
      const ObjectSettings s,
      LoadObject("[DEFAULT]\nnodes = n1 n2\nmonitor = true\ndisable = true\nrestart = 3\n"
                 "[task#1]\n[app#1]\nrestart = 0\ntags = noaction encap\nsubset = g\n"
                 "[fs#1]\nalways_on = nodes\nmonitor = no\noptional = false\ntags = noaction\n"
                 "[env]\nx = 1\n[subset#app:g]\nparallel = yes\n"));
  EXPECT_TRUE(s.disable);
  ASSERT_THAT(s.resources, SizeIs(3));
  const ResourceSettings& task = s.resources[0];
  EXPECT_EQ(task.rid, "task#1");
  EXPECT_EQ(task.group, "task");
  EXPECT_TRUE(task.monitor);
  EXPECT_TRUE(task.optional);
  EXPECT_FALSE(task.disable);
  EXPECT_EQ(task.restart, 3);
  const ResourceSettings& app = *s.FindResource("app#1");
  EXPECT_EQ(app.type, "forking");
  EXPECT_EQ(app.restart, 0);
  EXPECT_TRUE(app.optional);
  EXPECT_TRUE(app.encap);
  EXPECT_EQ(app.subset, "g");
  const ResourceSettings& fs = *s.FindResource("fs#1");
  EXPECT_TRUE(fs.standby);
  EXPECT_FALSE(fs.monitor);
  EXPECT_FALSE(fs.optional);
  EXPECT_EQ(s.FindResource("app#2"), nullptr);
  EXPECT_THAT(s.GetBoolean("subset#app:g", "parallel"), IsOkAndHolds(true));
}

TEST(ObjectSettingsTest, KeywordsOfResourcesAreReadTyped) {
  OM_ASSERT_OK_AND_ASSIGN(
      const ObjectSettings s,
      LoadObject("[DEFAULT]\nnodes = n1 n2\n[app#1]\nstart@n1 = /bin/sleep {env.t}\nstop = true\n"
                 "stop_timeout = 1m\nlimit_nofile = 64\npre_start = sh -c 'a b'\n"
                 "check = $(1)\nuser = {env.none}\n[env]\nt = 10\nl = a b\n"));
  using Text = std::optional<std::string>;
  EXPECT_THAT(s.Get("app#1", "start"), IsOkAndHolds(Text("/bin/sleep 10")));
  EXPECT_THAT(s.Get("app#1", "kill"), IsOkAndHolds(Text("parent")));
  EXPECT_THAT(s.Get("app#1", "user"), IsOkAndHolds(Text()));
  EXPECT_THAT(s.Get("app#1", "script"), IsOkAndHolds(Text()));
  EXPECT_THAT(s.Get("app#1", "check"), IsOkAndHolds(Text("1")));
  EXPECT_THAT(s.GetBoolean("app#1", "stop"), IsOkAndHolds(true));
  EXPECT_THAT(s.GetBoolean("app#1", "start"), StatusIs(absl::StatusCode::kInvalidArgument,
                                                       HasSubstr("web.conf:4: app#1.start@n1")));
  EXPECT_THAT(s.GetBoolean("app#1", "nothing", true), IsOkAndHolds(true));
  EXPECT_THAT(s.GetInteger("app#1", "limit_nofile"), IsOkAndHolds(64));
  EXPECT_THAT(s.GetDuration("app#1", "stop_timeout"),
              IsOkAndHolds(std::optional<Duration>(minutes(1))));
  EXPECT_THAT(s.GetDuration("app#1", "start_timeout"), IsOkAndHolds(std::optional<Duration>()));
  EXPECT_THAT(s.GetList("env", "l"), IsOkAndHolds(ElementsAre("a", "b")));
  EXPECT_THAT(s.GetShlex("app#1", "pre_start"), IsOkAndHolds(ElementsAre("sh", "-c", "a b")));
  // A copy reads on when the original is gone.
  const auto copy = std::make_unique<ObjectSettings>(s);
  EXPECT_THAT(copy->Get("env", "t"), IsOkAndHolds(Text("10")));
}

TEST(ObjectSettingsTest, WrongValuesAreErrorsThatNameThem) {
  const auto fails = [](absl::string_view text, absl::string_view what) {
    EXPECT_THAT(LoadObject(text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::string(what))));
  };
  fails("[DEFAULT]\norchestrate = maybe\n", "web.conf:2: DEFAULT.orchestrate: expected one of");
  fails("[DEFAULT]\norchestrate = {kind}\n", "DEFAULT.orchestrate: expected one of");
  fails("[DEFAULT]\nparents = ../x\n", "DEFAULT.parents");
  fails("[DEFAULT]\nnodes = {a}\na = {nodes}\n", "loop");
  fails("[app#1]\nrestart = 10x\n", "web.conf:2: app#1.restart: expected an integer");
  fails("[DEFAULT]\nflex_min@n1 = 2\n", "without a scope");
}

// The configurations of a recorded cluster, and what its status files say of them.
TEST(ObjectSettingsTest, RecordedConfigurationsMeanWhatTheLegacyAgentMadeOfThem) {
  OM_ASSERT_OK_AND_ASSIGN(
      const FileContent content,
      ReadFile(absl::StrCat(OM_SOURCE_DIR, "/tests/golden/compat/object_configs.json"), 1 << 20));
  OM_ASSERT_OK_AND_ASSIGN(const Json golden, ParseJson(content.text));
  int compared = 0;
  for (const auto& [name, config] : golden["configs"].items()) {
    const std::string text = config.get<std::string>();
    OM_ASSERT_OK_AND_ASSIGN(const Document document, Document::Parse(text, name));
    EXPECT_EQ(document.Text(), text);
    for (const std::string node : {"n1", "n2"}) {
      SCOPED_TRACE(name + " on " + node);
      EvaluationContext context;
      context.nodename = node;
      context.roots = Roots::Under("/r");
      OM_ASSERT_OK_AND_ASSIGN(context.path, ObjectPath::Parse(name));
      context.cluster = {"default", "cid", {"n1", "n2"}, {}, {}};
      OM_ASSERT_OK_AND_ASSIGN(const ObjectSettings s, ObjectSettings::Load(document, context));
      EXPECT_THAT(s.warnings, IsEmpty());
      EXPECT_THAT(s.nodes, SizeIs(2));
      const std::string file = absl::StrCat(
          node, ":<OSVCVAR>", s.path.StateDir(Roots{"", "", "", "", ""}), "/status.json");
      const auto facts = golden["facts"].find(file);
      if (facts == golden["facts"].end()) continue;
      ++compared;
      EXPECT_EQ(facts->value("kind", ""), s.path.kind());
      if (!s.path.is_service()) continue;
      EXPECT_EQ(facts->value("app", ""), s.app);
      EXPECT_EQ(facts->value("placement", ""), std::string(ToText(s.placement)));
      EXPECT_EQ(facts->value("topology", ""), std::string(ToText(s.topology)));
      EXPECT_EQ(facts->value("orchestrate", "no"), std::string(ToText(s.orchestrate)));
      std::vector<std::string> parents;
      for (const ObjectRelation& parent : s.parents) parents.push_back(parent.path.ToString());
      EXPECT_EQ(facts->value("parents", std::vector<std::string>()), parents);
      for (const auto& [rid, fact] : (*facts)["resources"].items()) {
        SCOPED_TRACE(rid);
        const ResourceSettings* resource = s.FindResource(rid);
        // Services of several nodes have a sync#i0 that is in no file.
        if (resource == nullptr && rid == "sync#i0") continue;
        ASSERT_NE(resource, nullptr);
        EXPECT_EQ(fact.value("disable", false), resource->disable);
        EXPECT_EQ(fact.value("optional", false), resource->optional);
        EXPECT_EQ(fact.value("standby", false), resource->standby);
        EXPECT_EQ(fact.value("monitor", false), resource->monitor);
        EXPECT_EQ(fact.value("restart", 0), resource->restart);
        EXPECT_EQ(fact.value("subset", ""), resource->subset);
        std::vector<std::string> tags = resource->tags;
        std::sort(tags.begin(), tags.end());
        EXPECT_EQ(fact.value("tags", std::vector<std::string>()), tags);
        if (resource->group == "app") {
          EXPECT_EQ(fact.value("type", ""), absl::StrCat("app.", resource->type));
        }
      }
    }
  }
  EXPECT_GE(compared, 10);
}

TEST(ObjectSettingsTest, RecordedReferencesEvaluate) {
  OM_ASSERT_OK_AND_ASSIGN(
      const FileContent content,
      ReadFile(absl::StrCat(OM_SOURCE_DIR, "/tests/golden/compat/object_configs.json"), 1 << 20));
  OM_ASSERT_OK_AND_ASSIGN(const Json golden, ParseJson(content.text));
  using Text = std::optional<std::string>;
  OM_ASSERT_OK_AND_ASSIGN(const ObjectSettings ha1,
                          LoadObject(golden["configs"]["ha1"].get<std::string>(), "n2", "ha1"));
  EXPECT_THAT(ha1.Get("fs#1", "path"), IsOkAndHolds(Text("/srv/demo/n2/ha1")));
  OM_ASSERT_OK_AND_ASSIGN(const ObjectSettings no1,
                          LoadObject(golden["configs"]["no1"].get<std::string>(), "n1", "no1"));
  EXPECT_THAT(no1.Get("app#4", "start"), IsOkAndHolds(Text("/bin/sleep 1000004")));
  EXPECT_THAT(no1.Get("env", "url"), IsOkAndHolds(Text("http://n1:8080/no1")));
  EXPECT_THAT(no1.Get("task#1", "schedule"), IsOkAndHolds(Text("@10")));
}

}  // namespace
}  // namespace om
