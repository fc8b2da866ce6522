#include "server/crm/inventory_loader.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/file.h"
#include "server/config/store.h"
#include "server/crm/node_stats_reader.h"
#include "tests/support/fake_loop.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class InventoryLoaderTest : public ::testing::Test {
 protected:
  InventoryLoaderTest() { root_.Write("etc/cluster.conf", "[cluster]\nname = c\nnodes = n1 n2\n"); }

  Inventory List() {
    std::optional<absl::StatusOr<Inventory>> result;
    loader_.List([&](absl::StatusOr<Inventory> inventory) { result = std::move(inventory); });
    EXPECT_TRUE(result.has_value());
    EXPECT_THAT(*result, IsOk());
    return **std::move(result);
  }
  static const ObjectConfig* Find(const Inventory& inventory, const std::string& path) {
    for (const InventoryItem& item : inventory.items) {
      if (item.path.ToString() == path) return &item.config;
    }
    return nullptr;
  }
  static std::vector<std::string> Names(const Inventory& inventory) {
    std::vector<std::string> names;
    for (const InventoryItem& item : inventory.items) names.push_back(item.path.ToString());
    return names;
  }

  TempDir root_;
  InlineExecutor executor_;
  InventoryLoader loader_{&executor_, Roots::Under(root_.path()), "n1"};
};

TEST_F(InventoryLoaderTest, FindsObjectsOfEveryKindAndNamespace) {
  root_.Write("etc/node.conf", "");
  root_.Write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\n");
  root_.Write("etc/vol/v1.conf", "[DEFAULT]\nnodes = n1\n");
  root_.Write("etc/namespaces/test/svc/db.conf", "[DEFAULT]\nnodes = n1\n");
  root_.Write("etc/namespaces/test/cfg/c1.conf", "[data]\n");
  root_.Write("etc/.hidden.conf", "");
  root_.Write("etc/-bad.conf", "");
  root_.Write("etc/notes.txt", "");
  root_.Write("etc/svc1.d/x.conf", "");
  EXPECT_THAT(Names(List()), ::testing::UnorderedElementsAre("cluster", "svc1", "vol/v1",
                                                             "test/svc/db", "test/cfg/c1"));
}

TEST_F(InventoryLoaderTest, TellsTheChecksumTheScopeAndTheSettings) {
  const std::string text =
      "[DEFAULT]\nnodes = n2 n1\ndrpnodes = d1\ntopology = flex\nflex_min = 1\nflex_max = 2\n"
      "flex_target = 2\norchestrate = ha\nplacement = shift\nparents = db\nrollback = false\n";
  root_.Write("etc/svc1.conf", text);
  const Inventory inventory = List();
  const ObjectConfig* config = Find(inventory, "svc1");
  ASSERT_NE(config, nullptr);
  EXPECT_EQ(config->error, "");
  EXPECT_EQ(config->csum, LegacyChecksumOf(text));
  EXPECT_EQ(config->mtime, *ModificationTime(root_.File("etc/svc1.conf")));
  EXPECT_THAT(config->nodes, ElementsAre("n2", "n1"));
  EXPECT_THAT(config->scope, ElementsAre("d1", "n1", "n2"));
  EXPECT_EQ(config->topology, "flex");
  EXPECT_EQ(config->orchestrate, "ha");
  EXPECT_EQ(config->placement, "shift");
  EXPECT_EQ(config->flex_max, 2);
  EXPECT_THAT(config->parents, ElementsAre("db"));
  EXPECT_FALSE(config->rollback);
  const ObjectConfig* cluster = Find(inventory, "cluster");
  ASSERT_NE(cluster, nullptr);
  EXPECT_THAT(cluster->scope, ElementsAre("n1", "n2"));
}

TEST_F(InventoryLoaderTest, TellsWhatPlacementAndLossesDependOn) {
  root_.Write("etc/svc1.conf",
              "[DEFAULT]\nnodes = n1 n2\ntopology = flex\nflex_min = 1\nflex_max = 2\n"
              "flex_target = 7\nhard_affinity = a\nhard_anti_affinity = b\nsoft_affinity = c\n"
              "soft_anti_affinity = d\nmonitor_action = switch\nstonith = true\n");
  const Inventory inventory = List();
  const ObjectConfig* config = Find(inventory, "svc1");
  ASSERT_NE(config, nullptr);
  EXPECT_EQ(config->error, "");
  EXPECT_EQ(config->flex_target, 2);
  EXPECT_THAT(config->hard_affinity, ElementsAre("a"));
  EXPECT_THAT(config->hard_anti_affinity, ElementsAre("b"));
  EXPECT_THAT(config->soft_affinity, ElementsAre("c"));
  EXPECT_THAT(config->soft_anti_affinity, ElementsAre("d"));
  EXPECT_EQ(config->monitor_action, "switch");
  EXPECT_TRUE(config->stonith);
}

TEST_F(InventoryLoaderTest, AScalerKnowsItsSlices) {
  root_.Write("etc/web.conf", "[DEFAULT]\nnodes = n1\nscale = 2\n");
  root_.Write("etc/0.web.conf", "[DEFAULT]\nnodes = n1\nscaler_slave = true\n");
  root_.Write("etc/1.web.conf", "[DEFAULT]\nnodes = n1\nscaler_slave = true\n");
  root_.Write("etc/2.web.conf", "[DEFAULT]\nnodes = n1\n");
  root_.Write("etc/0.db.conf", "[DEFAULT]\nnodes = n1\nscaler_slave = true\n");
  for (int listing = 0; listing < 2; ++listing) {
    EXPECT_THAT(Find(List(), "web")->scaler_slaves, ElementsAre("0.web", "1.web"));
  }
}

TEST_F(InventoryLoaderTest, ABrokenFileIsListedWithItsErrorAndHidesNoOther) {
  root_.Write("etc/bad.conf", "[DEFAULT]\ntopology = round\n");
  root_.Write("etc/good.conf", "[DEFAULT]\nnodes = n1\n");
  const Inventory inventory = List();
  EXPECT_THAT(Find(inventory, "bad")->error, HasSubstr("round"));
  EXPECT_EQ(Find(inventory, "good")->error, "");
}

TEST_F(InventoryLoaderTest, ChangesAndRemovalsAreSeen) {
  root_.Write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\n");
  EXPECT_THAT(Find(List(), "svc1")->nodes, ElementsAre("n1"));
  root_.Write("etc/svc1.conf", "[DEFAULT]\nnodes = n1 n2\n");
  EXPECT_THAT(Find(List(), "svc1")->nodes, ElementsAre("n1", "n2"));
  ASSERT_THAT(RemoveFile(root_.File("etc/svc1.conf")), IsOk());
  EXPECT_THAT(Names(List()), ElementsAre("cluster"));
}

TEST_F(InventoryLoaderTest, AChangeOfTheClusterIsAppliedToUnchangedObjects) {
  root_.Write("etc/svc1.conf", "[DEFAULT]\nnodes = *\n");
  EXPECT_THAT(Find(List(), "svc1")->nodes, ElementsAre("n1", "n2"));
  root_.Write("etc/cluster.conf", "[cluster]\nname = c\nnodes = n1 n2 n3\n");
  EXPECT_THAT(Find(List(), "svc1")->nodes, ElementsAre("n1", "n2", "n3"));
  // A broken one changes nothing.
  root_.Write("etc/cluster.conf", "[cluster\n");
  EXPECT_THAT(Find(List(), "svc1")->nodes, ElementsAre("n1", "n2", "n3"));
}

TEST_F(InventoryLoaderTest, AnEmptyRootHasNoObjects) {
  TempDir empty;
  InventoryLoader loader(&executor_, Roots::Under(empty.path()), "n1");
  OM_ASSERT_OK_AND_ASSIGN(const Inventory inventory, loader.ListNow());
  EXPECT_THAT(inventory.items, IsEmpty());
  EXPECT_FALSE(inventory.node_frozen_since.has_value());
}

TEST_F(InventoryLoaderTest, TheFrozenNodeIsTold) {
  root_.Write("var/node/frozen", "");
  EXPECT_TRUE(List().node_frozen_since.has_value());
}

constexpr char kMeminfo[] =
    "MemTotal:       24684000 kB\nMemFree:        20000000 kB\nMemAvailable:   1 kB\n"
    "Buffers:          100000 kB\nCached:          3000000 kB\nSwapCached:            0 kB\n"
    "SwapTotal:       2048000 kB\nSwapFree:        1024000 kB\nSReclaimable:     200000 kB\n";

TEST_F(InventoryLoaderTest, ListingsWithoutNewsAreShortButForOneNowAndThen) {
  InventoryLoader loader(&executor_, Roots::Under(root_.path()), "n1", 3);
  root_.Write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\n");
  const auto list = [&] { return *loader.ListNow(); };
  EXPECT_THAT(Names(list()), ElementsAre("cluster", "svc1"));
  for (int i = 0; i < 2; ++i) {
    const Inventory short_one = list();
    EXPECT_TRUE(short_one.unchanged);
    EXPECT_THAT(short_one.items, IsEmpty());
  }
  EXPECT_THAT(Names(list()), ElementsAre("cluster", "svc1"));
  EXPECT_TRUE(list().unchanged);
  // Anything new ends it: a file more, one less, the node's flag, a wish.
  root_.Write("etc/svc2.conf", "[DEFAULT]\nnodes = n1\n");
  EXPECT_THAT(Names(list()), ElementsAre("cluster", "svc1", "svc2"));
  EXPECT_TRUE(list().unchanged);
  ASSERT_THAT(RemoveFile(root_.File("etc/svc1.conf")), IsOk());
  EXPECT_THAT(Names(list()), ElementsAre("cluster", "svc2"));
  EXPECT_TRUE(list().unchanged);
  root_.Write("var/node/frozen", "");
  EXPECT_TRUE(list().node_frozen_since.has_value());
  EXPECT_TRUE(list().unchanged);
  loader.SayEverything();
  EXPECT_THAT(Names(list()), ElementsAre("cluster", "svc2"));
}

TEST_F(InventoryLoaderTest, TellsTheSchedules) {
  root_.Write("etc/svc1.conf",
              "[DEFAULT]\nnodes = n1\nmonitor_schedule = @2\nstatus_schedule@n1 = @20\n"
              "[task#1]\ncommand = /bin/true\nschedule = 02:00-04:00 mon\n"
              "[task#2]\ncommand = /bin/true\ndisable = true\nschedule = @1\n"
              "[sync#1]\ntype = rsync\nschedule = @60\n[app#1]\ntype = simple\n");
  const Inventory inventory = List();
  const ObjectConfig* config = Find(inventory, "svc1");
  ASSERT_NE(config, nullptr);
  EXPECT_EQ(config->error, "");
  EXPECT_EQ(config->status_schedule, "@20");
  EXPECT_EQ(config->monitor_schedule, "@2");
  ASSERT_EQ(config->tasks.size(), 2U);
  EXPECT_EQ(config->tasks[0], (TaskSchedule{"task#1", "02:00-04:00 mon", false}));
  EXPECT_EQ(config->tasks[1], (TaskSchedule{"sync#1", "@60", true}));
}

TEST(NodeStatsTest, FollowsTheLegacyFormulas) {
  OM_ASSERT_OK_AND_ASSIGN(const NodeStats stats,
                          ParseNodeStats("5.20 4.10 1.46 2/300 4711\n", kMeminfo));
  EXPECT_DOUBLE_EQ(stats.load_15m, 1.5);
  EXPECT_EQ(stats.mem_total_mib, 24105);
  EXPECT_EQ(stats.mem_avail_percent, 93);
  EXPECT_EQ(stats.swap_total_mib, 2000);
  EXPECT_EQ(stats.swap_avail_percent, 50);
  EXPECT_EQ(stats.score, (66 + 100 + 93 + 2 * 150) / 7);
}

TEST(NodeStatsTest, RefusesWhatItCannotRead) {
  EXPECT_FALSE(ParseNodeStats("", kMeminfo).ok());
  EXPECT_FALSE(ParseNodeStats("1 2 x", kMeminfo).ok());
  EXPECT_FALSE(ParseNodeStats("1 2 3", "").ok());
}

TEST(NodeStatsTest, ReadsThisMachine) {
  InlineExecutor executor;
  NodeStatsReader reader(&executor);
  std::optional<absl::StatusOr<NodeStats>> stats;
  reader.Read([&](absl::StatusOr<NodeStats> result) { stats = std::move(result); });
  ASSERT_TRUE(stats.has_value());
  ASSERT_THAT(*stats, IsOk());
  EXPECT_GT((*stats)->mem_total_mib, 0);
  EXPECT_GT((*stats)->score, 0);
}

}  // namespace
}  // namespace om
