#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/loop.h"
#include "server/config/file_lock.h"
#include "server/config/value.h"
#include "server/service/membership_api.h"
#include "tests/server/service/service_fixture.h"

namespace om {
namespace {

namespace pb = control::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAreArray;

constexpr char kCluster[] =
    "# ours\n[cluster]\nname = demo\n# members\nnodes = node1 node2\nsecret = "
    "0123456789abcdef0123456789abcdef\n";

class MembershipTest : public ::testing::Test {
 protected:
  MembershipTest() {
    world_.dir.Write("etc/cluster.conf", kCluster);
    world_.Start();
  }
  absl::StatusOr<pb::JoinResponse> Join(const std::string& node,
                                        const Caller& caller = ServiceFixture::Root()) {
    pb::JoinRequest request;
    request.set_node(node);
    return world_.Await<pb::JoinResponse>(
        [&](Reply<pb::JoinResponse> reply) { api_.Join(caller, request, std::move(reply)); });
  }
  absl::StatusOr<pb::LeaveResponse> Leave(const std::string& node,
                                          const Caller& caller = ServiceFixture::Root()) {
    pb::LeaveRequest request;
    request.set_node(node);
    return world_.Await<pb::LeaveResponse>(
        [&](Reply<pb::LeaveResponse> reply) { api_.Leave(caller, request, std::move(reply)); });
  }
  std::string ClusterConf() {
    const absl::StatusOr<StoredConfig> stored = world_.config_store.Read(ConfigTarget::Cluster());
    return stored.ok() ? stored->text : "";
  }
  std::string NodeConf() {
    const absl::StatusOr<StoredConfig> stored = world_.config_store.Read(ConfigTarget::Node());
    return stored.ok() ? stored->text : "";
  }
  static std::string WithNodes(const std::string& nodes) {
    std::string text = kCluster;
    return text.replace(text.find("node1 node2"), 11, nodes);
  }
  MembershipApi::Options Told() {
    MembershipApi::Options options;
    options.changed = [this](const std::string& node, bool member) {
      const std::lock_guard<std::mutex> lock(mutex_);
      told_.push_back(absl::StrCat(member ? "+" : "-", node));
    };
    return options;
  }

  ServiceFixture world_{{"node1", "node2"}};
  std::mutex mutex_;
  std::vector<std::string> told_;
  MembershipApi api_{&world_.context, Told()};
};

TEST_F(MembershipTest, ANodeThatJoinsIsAppendedAndCommentsStay) {
  const absl::StatusOr<pb::JoinResponse> joined = Join("node3");
  ASSERT_THAT(joined, IsOk());
  EXPECT_FALSE(joined->already_member());
  EXPECT_EQ(ClusterConf(), WithNodes("node1 node2 node3"));
  ASSERT_EQ(joined->cluster_sections_size(), 1);
  EXPECT_EQ(joined->cluster_sections(0).keywords().at("nodes"), "node1 node2 node3");
  EXPECT_TRUE(joined->has_cluster_update_time());
  EXPECT_THAT(told_, ElementsAre("+node3"));
}

TEST_F(MembershipTest, JoiningOrLeavingTwiceIsNoErrorAndWritesNothing) {
  const absl::StatusOr<pb::JoinResponse> joined = Join("node2");
  ASSERT_THAT(joined, IsOk());
  EXPECT_TRUE(joined->already_member());
  EXPECT_FALSE(Leave("node9")->was_member());
  EXPECT_EQ(ClusterConf(), kCluster);
  EXPECT_TRUE(Leave("node2")->was_member());
  EXPECT_FALSE(Leave("node2")->was_member());
  EXPECT_EQ(ClusterConf(), WithNodes("node1"));
}

TEST_F(MembershipTest, AListOfNodeConfIsTheOneThatGrowsAndGoesWithWhoLeaves) {
  world_.dir.Write("etc/node.conf", "[cluster]\nnodes = node1\nquorum = true\n");
  const absl::StatusOr<pb::JoinResponse> joined = Join("node3");
  ASSERT_THAT(joined, IsOk());
  EXPECT_EQ(NodeConf(), "[cluster]\nnodes = node1 node3\nquorum = true\n");
  EXPECT_EQ(ClusterConf(), kCluster);
  EXPECT_EQ(joined->node_cluster_keywords().at("nodes"), "node1 node3");
  EXPECT_EQ(joined->node_cluster_keywords().at("quorum"), "true");
  ASSERT_THAT(Leave("node3"), IsOk());
  EXPECT_EQ(NodeConf(), "[cluster]\nquorum = true\n");
  EXPECT_EQ(ClusterConf(), WithNodes("node1"));
}

TEST_F(MembershipTest, OfNodeConfOnlyWhatMembersShareIsAnswered) {
  world_.dir.Write("etc/node.conf",
                   "[node]\nenv = TST\nlocation = here\n\n[cluster]\nsecret = "
                   "ffffffffffffffffffffffffffffffff\n\n[hb#2]\ntype = disk\n\n[listener]\nport = "
                   "1\n\n[arbitrator#1]\nname = a\n");
  const absl::StatusOr<pb::JoinResponse> joined = Join("node3");
  ASSERT_THAT(joined, IsOk());
  EXPECT_EQ(joined->node_env(), "TST");
  EXPECT_EQ(joined->node_cluster_keywords_size(), 0);
  ASSERT_EQ(joined->node_sections_size(), 2);
  EXPECT_EQ(joined->node_sections(0).name(), "hb#2");
  EXPECT_EQ(joined->node_sections(1).name(), "arbitrator#1");
}

TEST_F(MembershipTest, NamesThatAreNoHostNamesAreRefusedBeforeAnythingIsWritten) {
  for (const std::string& name :
       {std::string(), std::string("Node3"), std::string("a b"), std::string("node3\nx = y"),
        std::string("../x"), std::string("-a"), std::string("a-"), std::string("a.b"),
        std::string("*"), std::string(64, 'a'), std::string("a\0b", 3)}) {
    const absl::Status joined = Join(name).status();
    EXPECT_EQ(joined.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_EQ(FieldOf(joined), "node");
    EXPECT_EQ(Leave(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
  EXPECT_EQ(ClusterConf(), kCluster);
  EXPECT_THAT(told_, IsEmpty());
  EXPECT_THAT(Join(std::string(63, 'a')), IsOk());
}

TEST_F(MembershipTest, TheNodeThatIsAskedCannotLeave) {
  const absl::Status status = Leave("node1").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("by asking the others"));
  EXPECT_EQ(ClusterConf(), kCluster);
}

TEST_F(MembershipTest, StrangersAreRefusedAndJoinersMayJoinThemselvesOnly) {
  EXPECT_TRUE(absl::IsPermissionDenied(Join("node3", ServiceFixture::Guest()).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(Leave("node2", ServiceFixture::Guest()).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(Join("node3", ServiceFixture::Joiner()).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(Leave("node9", ServiceFixture::Joiner()).status()));
  EXPECT_EQ(ClusterConf(), kCluster);
  EXPECT_THAT(Join("node9", ServiceFixture::Joiner()), IsOk());
}

TEST_F(MembershipTest, ALockThatCannotBeHadInTimeIsToldAndNothingChanges) {
  MembershipApi::Options options;
  options.patience = std::chrono::milliseconds(1);
  MembershipApi hurried(&world_.context, options);
  absl::StatusOr<FileLock> lock =
      FileLock::Acquire(world_.roots.ConfigLock(), std::chrono::seconds(1));
  ASSERT_THAT(lock, IsOk());
  pb::JoinRequest request;
  request.set_node("node3");
  const auto join = [&] {
    return world_.Await<pb::JoinResponse>([&](Reply<pb::JoinResponse> reply) {
      hurried.Join(ServiceFixture::Root(), request, std::move(reply));
    });
  };
  const absl::Status status = join().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(ReasonOf(status), "CONFIG_LOCKED");
  EXPECT_EQ(ClusterConf(), kCluster);
  { const FileLock freed = *std::move(lock); }
  EXPECT_THAT(join(), IsOk());
}

TEST_F(MembershipTest, OfManyAtOnceEveryOneCounts) {
  WorkerPool pool("member", 4, 256);
  world_.context.workers = &pool;
  std::vector<std::thread> threads;
  std::vector<std::string> expected = {"node1"};
  std::mutex mutex;
  int failed = 0;
  int answered = 0;
  // Two services on the same files are two processes, as far as the files are concerned.
  MembershipApi other(&world_.context, MembershipApi::Options{});
  const auto count = [&](const absl::Status& status) {
    const std::lock_guard<std::mutex> lock(mutex);
    ++answered;
    failed += status.ok() ? 0 : 1;
  };
  for (int i = 0; i < 8; ++i) {
    expected.push_back(absl::StrCat("joiner", i));
    threads.emplace_back([&, i] {
      pb::JoinRequest request;
      request.set_node(absl::StrCat("joiner", i));
      (i % 2 == 0 ? api_ : other)
          .Join(
              ServiceFixture::Root(), request,
              [&](const absl::StatusOr<pb::JoinResponse>& response) { count(response.status()); });
    });
  }
  threads.emplace_back([&] {
    pb::LeaveRequest request;
    request.set_node("node2");
    api_.Leave(
        ServiceFixture::Root(), request,
        [&](const absl::StatusOr<pb::LeaveResponse>& response) { count(response.status()); });
  });
  for (std::thread& thread : threads) thread.join();
  pool.Shutdown();
  EXPECT_EQ(answered, 9);
  EXPECT_EQ(failed, 0);
  const absl::StatusOr<Document> document = Document::Parse(ClusterConf(), "cluster.conf");
  ASSERT_THAT(document, IsOk());
  EXPECT_THAT(ParseList(document->Find("cluster", "nodes")->text),
              UnorderedElementsAreArray(expected));
  world_.context.workers = &world_.workers;
}

TEST_F(MembershipTest, WhenNobodyWorksTheRequestIsRefused) {
  world_.workers.refuses = true;
  EXPECT_TRUE(absl::IsResourceExhausted(Join("node3").status()));
  world_.workers.refuses = false;
  EXPECT_THAT(Join("node3"), IsOk());
}

TEST_F(MembershipTest, AListWithoutRoomIsNotWritten) {
  std::string names = "node1";
  for (size_t i = 1; i < ConfigStore::kMaxMembers; ++i) absl::StrAppend(&names, " m", i);
  world_.dir.Write("etc/cluster.conf", WithNodes(names));
  EXPECT_TRUE(absl::IsResourceExhausted(Join("node3").status()));
  EXPECT_EQ(ClusterConf(), WithNodes(names));
  EXPECT_THAT(Leave("m1"), IsOk());
  EXPECT_THAT(Join("node3"), IsOk());
}

}  // namespace
}  // namespace om
