#include "server/admission/node_names.h"

#include <map>
#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_loop.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::Eq;
using ::testing::Optional;

PeerAddress AddressOf(absl::string_view text) { return PeerAddress::Parse(text).value(); }

// An executor that is full for as long as it is told to be.
class FullableExecutor final : public Executor {
 public:
  explicit FullableExecutor(Executor* inner) : inner_(inner) {}
  bool Post(std::function<void()> work) override { return !full_ && inner_->Post(std::move(work)); }
  void set_full(bool full) { full_ = full; }

 private:
  Executor* const inner_;  // Not owned.
  bool full_ = false;
};

class NodeNamesTest : public ::testing::Test {
 protected:
  NodeNamesTest() {
    hosts_["node1"] = {AddressOf("10.0.0.1"), AddressOf("2001:db8::1")};
    hosts_["node2"] = {AddressOf("10.0.0.2")};
  }
  absl::StatusOr<std::vector<PeerAddress>> Resolve(const std::string& name) {
    ++resolved_[name];
    const auto it = hosts_.find(name);
    if (it == hosts_.end()) return absl::UnavailableError("no such host");
    return it->second;
  }

  std::map<std::string, std::vector<PeerAddress>> hosts_;
  std::map<std::string, int> resolved_;
  FakeClock clock_;
  FakeLoop worker_{&clock_};
  FullableExecutor executor_{&worker_};
  NodeNames names_{[this](const std::string& name) { return Resolve(name); }, &executor_, &clock_};
};

TEST_F(NodeNamesTest, NodesAreUnknownUntilTheyAreResolved) {
  names_.SetNodes({"node1", "node2"});
  EXPECT_EQ(names_.NodeOf(AddressOf("10.0.0.1")), std::nullopt);
  worker_.RunReady();
  EXPECT_THAT(names_.NodeOf(AddressOf("10.0.0.1")), Optional(Eq("node1")));
  EXPECT_THAT(names_.NodeOf(AddressOf("2001:db8::1")), Optional(Eq("node1")));
  EXPECT_THAT(names_.NodeOf(AddressOf("10.0.0.2")), Optional(Eq("node2")));
  EXPECT_EQ(names_.NodeOf(AddressOf("10.0.0.3")), std::nullopt);
}

TEST_F(NodeNamesTest, ANodesAddressIsCountedWholeAndShownByName) {
  names_.SetNodes({"node1"});
  worker_.RunReady();
  const AdmissionKey node = names_.KeyOf(AddressOf("2001:db8::1"));
  EXPECT_FALSE(node.is_network());
  EXPECT_EQ(names_.DisplayName(node), "node1");
  const AdmissionKey stranger = names_.KeyOf(AddressOf("2001:db8::2"));
  EXPECT_TRUE(stranger.is_network());
  EXPECT_EQ(names_.DisplayName(stranger), "2001:db8::/64");
  EXPECT_EQ(names_.DisplayName(names_.KeyOf(AddressOf("10.0.0.1"))), "node1");
  EXPECT_EQ(names_.DisplayName(names_.KeyOf(AddressOf("10.0.0.9"))), "10.0.0.9");
}

TEST_F(NodeNamesTest, TheFirstQuestionAfterAMinuteResolvesAgainWithoutWaiting) {
  names_.SetNodes({"node1"});
  worker_.RunReady();
  hosts_["node1"] = {AddressOf("10.0.0.9")};
  clock_.Advance(std::chrono::seconds(59));
  EXPECT_EQ(names_.NodeOf(AddressOf("10.0.0.9")), std::nullopt);
  EXPECT_TRUE(worker_.idle());
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_THAT(names_.NodeOf(AddressOf("10.0.0.1")), Optional(Eq("node1")));
  EXPECT_EQ(names_.NodeOf(AddressOf("10.0.0.9")), std::nullopt);
  worker_.RunReady();
  EXPECT_THAT(names_.NodeOf(AddressOf("10.0.0.9")), Optional(Eq("node1")));
  EXPECT_EQ(names_.NodeOf(AddressOf("10.0.0.1")), std::nullopt);
  EXPECT_EQ(resolved_["node1"], 2);
}

TEST_F(NodeNamesTest, ANodeThatCannotBeResolvedKeepsItsAddresses) {
  names_.SetNodes({"node1", "nowhere"});
  worker_.RunReady();
  hosts_.clear();
  clock_.Advance(std::chrono::seconds(60));
  names_.NodeOf(AddressOf("10.0.0.1"));
  worker_.RunReady();
  EXPECT_THAT(names_.NodeOf(AddressOf("10.0.0.1")), Optional(Eq("node1")));
}

TEST_F(NodeNamesTest, ChangedNodesAreResolvedAtOnceAndRemovedOnesForgotten) {
  names_.SetNodes({"node1"});
  worker_.RunReady();
  names_.SetNodes({"node2"});
  EXPECT_EQ(names_.NodeOf(AddressOf("10.0.0.1")), std::nullopt);
  worker_.RunReady();
  EXPECT_THAT(names_.NodeOf(AddressOf("10.0.0.2")), Optional(Eq("node2")));
  names_.SetNodes({});
  EXPECT_EQ(names_.NodeOf(AddressOf("10.0.0.2")), std::nullopt);
  EXPECT_TRUE(worker_.idle());
}

TEST_F(NodeNamesTest, NodesThatChangeWhileOthersAreResolvedAreNotMixedUp) {
  bool changed = false;
  NodeNames* names = nullptr;
  NodeNames changing(
      [&](const std::string& name) {
        if (!changed) {
          changed = true;
          names->SetNodes({"node2"});
        }
        return Resolve(name);
      },
      &worker_, &clock_);
  names = &changing;
  changing.SetNodes({"node1"});
  worker_.RunReady();
  EXPECT_EQ(changing.NodeOf(AddressOf("10.0.0.1")), std::nullopt);
  EXPECT_THAT(changing.NodeOf(AddressOf("10.0.0.2")), Optional(Eq("node2")));
}

TEST_F(NodeNamesTest, AFullExecutorIsAskedAgainLater) {
  executor_.set_full(true);
  names_.SetNodes({"node1"});
  executor_.set_full(false);
  EXPECT_EQ(names_.NodeOf(AddressOf("10.0.0.1")), std::nullopt);
  EXPECT_TRUE(worker_.idle());
  clock_.Advance(NodeNames::kRetryInterval);
  names_.NodeOf(AddressOf("10.0.0.1"));
  worker_.RunReady();
  EXPECT_THAT(names_.NodeOf(AddressOf("10.0.0.1")), Optional(Eq("node1")));
}

TEST_F(NodeNamesTest, OfTwoNodesWithOneAddressTheFirstHasIt) {
  hosts_["node2"] = {AddressOf("10.0.0.1")};
  names_.SetNodes({"node2", "node1"});
  worker_.RunReady();
  EXPECT_THAT(names_.NodeOf(AddressOf("10.0.0.1")), Optional(Eq("node2")));
}

TEST_F(NodeNamesTest, WorkLeftOnTheExecutorMayRunAfterTheEnd) {
  auto names = std::make_unique<NodeNames>(
      [this](const std::string& name) { return Resolve(name); }, &worker_, &clock_);
  names->SetNodes({"node1"});
  names.reset();
  worker_.RunReady();
  EXPECT_EQ(resolved_["node1"], 1);
}

TEST(ResolveHostTest, NumericNamesNeedNoServer) {
  EXPECT_THAT(ResolveHost("127.0.0.1"),
              IsOkAndHolds(::testing::ElementsAre(AddressOf("127.0.0.1"))));
  EXPECT_THAT(ResolveHost(""), ::testing::Not(IsOk()));
}

}  // namespace
}  // namespace om
