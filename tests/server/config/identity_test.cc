#include "server/config/identity.h"

#include <sys/stat.h>

#include <string>
#include <thread>
#include <vector>

#include "server/base/status.h"
#include "server/config/settings.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::SizeIs;

class IdentityTest : public ::testing::Test {
 protected:
  absl::StatusOr<Identity> Ensure() { return EnsureIdentity(roots_, "N1", &random_); }
  NodeSettings Settings() {
    absl::StatusOr<LoadedConfig> config = LoadNodeConfig(roots_, "n1");
    EXPECT_THAT(config, IsOk());
    return config.ok() ? config->settings : NodeSettings();
  }

  const TempDir dir_;
  const Roots roots_ = Roots::Under(dir_.path());
  SystemRandom random_;
};

TEST_F(IdentityTest, AFreshNodeGetsAllOfItInAPrivateFile) {
  OM_ASSERT_OK_AND_ASSIGN(const Identity identity, Ensure());
  EXPECT_THAT(identity.generated,
              ElementsAre("cluster.name", "cluster.id", "cluster.secret", "cluster.nodes"));
  const NodeSettings settings = Settings();
  EXPECT_EQ(settings.cluster_name, "default");
  EXPECT_THAT(settings.cluster_id,
              MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_THAT(settings.cluster_secret, MatchesRegex("[A-Za-z0-9]{32}"));
  EXPECT_THAT(settings.cluster_nodes, ElementsAre("n1"));
  EXPECT_THAT(settings.warnings, IsEmpty());
  struct stat info = {};
  ASSERT_EQ(stat(roots_.ClusterConf().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_THAT(dir_.Read("etc/cluster.conf"), HasSubstr("[cluster]\nname = default\nid = "));
}

TEST_F(IdentityTest, ASecondStartFindsAndWritesNothing) {
  ASSERT_THAT(Ensure(), IsOk());
  const std::string text = dir_.Read("etc/cluster.conf");
  OM_ASSERT_OK_AND_ASSIGN(const Identity identity, Ensure());
  EXPECT_THAT(identity.generated, IsEmpty());
  EXPECT_EQ(dir_.Read("etc/cluster.conf"), text);
}

TEST_F(IdentityTest, WhatIsConfiguredStaysWhereverItIs) {
  dir_.Write("etc/node.conf", "[cluster]\nsecret = abcdefghijklmnopqrstuvwxyz012345\nnodes = n2\n");
  dir_.Write("etc/cluster.conf", "# ours\n[cluster]\nname@n1 = prod\n");
  OM_ASSERT_OK_AND_ASSIGN(const Identity identity, Ensure());
  EXPECT_THAT(identity.generated, ElementsAre("cluster.id", "cluster.nodes"));
  EXPECT_THAT(dir_.Read("etc/cluster.conf"), HasSubstr("# ours\n[cluster]\nname@n1 = prod\nid = "));
  EXPECT_THAT(dir_.Read("etc/node.conf"), HasSubstr("nodes = n2 n1\n"));
  const NodeSettings settings = Settings();
  EXPECT_EQ(settings.cluster_name, "prod");
  EXPECT_EQ(settings.cluster_secret, "abcdefghijklmnopqrstuvwxyz012345");
  EXPECT_THAT(settings.cluster_nodes, ElementsAre("n2", "n1"));
}

TEST_F(IdentityTest, AnEmptySecretIsAMissingOne) {
  dir_.Write("etc/node.conf", "[cluster]\nsecret =\n");
  dir_.Write("etc/cluster.conf", "[cluster]\nsecret@n1 =\nname = a\nid = b\nnodes = n1\n");
  OM_ASSERT_OK_AND_ASSIGN(const Identity identity, Ensure());
  EXPECT_THAT(identity.generated, ElementsAre("cluster.secret"));
  EXPECT_THAT(Settings().cluster_secret, SizeIs(32));
}

TEST_F(IdentityTest, NothingIsGeneratedOverWhatCannotBeRead) {
  dir_.Write("etc/cluster.conf", "[cluster]\nsecret = {env.om_test_secret}\n");
  const absl::Status status = Ensure().status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("cluster.conf:2: cluster.secret")));
  EXPECT_EQ(FieldOf(status), "cluster.secret");
  dir_.Write("etc/cluster.conf", "[cluster\n");
  EXPECT_THAT(Ensure(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(dir_.Read("etc/cluster.conf"), "[cluster\n");
}

TEST_F(IdentityTest, OfManyFirstStartsOneGenerates) {
  std::vector<std::thread> threads;
  std::vector<std::string> secrets(6);
  std::vector<size_t> generated(6);
  for (size_t i = 0; i < secrets.size(); ++i) {
    threads.emplace_back([&, i]() {
      const absl::StatusOr<Identity> identity = Ensure();
      EXPECT_THAT(identity, IsOk());
      if (identity.ok()) generated[i] = identity->generated.size();
      secrets[i] = Settings().cluster_secret;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(secrets, Each(secrets[0]));
  size_t all = 0;
  for (const size_t count : generated) all += count;
  EXPECT_EQ(all, 4u);
}

}  // namespace
}  // namespace om
