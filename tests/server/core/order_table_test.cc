#include "server/core/order_table.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/core/records.h"
#include "server/state/instance_status.h"
#include "server/state/state_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/matchers.h"
#include "tests/support/object_path.h"

namespace om {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class OrderTableTest : public ::testing::Test {
 protected:
  OrderProgress Make(const std::string& id, const std::vector<std::string>& paths,
                     const std::string& expect = "started") {
    OrderProgress order;
    order.id = id;
    order.path = Path(paths.front());
    order.global_expect = expect;
    order.requester = "root";
    order.node = "n1";
    order.time = clock_.Now();
    for (const std::string& path : paths) {
      order.parts.push_back({Path(path), OrderState::kRunning, ""});
    }
    return order;
  }
  // Gives the order, to the instances, too.
  void Begin(const std::string& id, const std::vector<std::string>& paths,
             const std::string& expect = "started") {
    table_.Begin(Make(id, paths, expect), /*saved=*/true);
    for (const std::string& path : paths) {
      Edit(path, "n1", [&](InstanceState* instance) {
        instance->monitor.global_expect = expect;
        instance->monitor.order_id = id;
      });
    }
    Observe();
  }
  void Edit(const std::string& path, const std::string& node,
            const std::function<void(InstanceState*)>& edit) {
    store_.EditObject(Path(path), [&](ObjectState* object) { edit(&object->instances[node]); });
  }
  void SetStatus(const std::string& path, const std::string& node, const std::string& status) {
    Edit(path, node, [&](InstanceState* instance) {
      instance->monitor.status = status;
      instance->monitor.status_updated = clock_.Now();
    });
  }
  void Observe() { table_.Observe(store_.current(), /*settled=*/true); }
  std::vector<std::string> Ids(const OrderTable::Filter& filter = {}, size_t limit = 100) {
    std::vector<std::string> ids;
    for (const OrderPtr& order : table_.List(std::nullopt, filter, limit)) ids.push_back(order->id);
    return ids;
  }

  FakeClock clock_;
  StateStore store_{&clock_, "n1", "run", {}};
  OrderTable::Options options_ = [] {
    OrderTable::Options options;
    options.max_ended = 3;
    options.max_steps = 4;
    return options;
  }();
  OrderTable table_{&clock_, "n1", options_};
};

TEST_F(OrderTableTest, AnOrderRunsUntilAllItsPartsHaveEnded) {
  Begin("o1", {"s1", "s2"});
  EXPECT_EQ(table_.Get("o1")->state(), OrderState::kRunning);
  table_.End(Path("s1"), OrderState::kReached, "");
  EXPECT_EQ(table_.Get("o1")->state(), OrderState::kRunning);
  EXPECT_FALSE(table_.Get("o1")->end.has_value());
  table_.End(Path("s2"), OrderState::kReached, "");
  EXPECT_EQ(table_.Get("o1")->state(), OrderState::kReached);
  EXPECT_EQ(table_.Get("o1")->end, clock_.Now());
  EXPECT_EQ(table_.in_progress(), 0u);
}

TEST_F(OrderTableTest, TheWorstEndOfItsPartsIsThatOfTheOrder) {
  Begin("o1", {"s1", "s2"});
  table_.End(Path("s2"), OrderState::kFailed, "start failed");
  table_.End(Path("s1"), OrderState::kReached, "");
  EXPECT_EQ(table_.Get("o1")->state(), OrderState::kFailed);
  EXPECT_EQ(table_.Get("o1")->reason(), "s2: start failed");
}

TEST_F(OrderTableTest, ALaterOrderTakesThePlaceOfAnEarlierOne) {
  Begin("o1", {"s1"});
  Begin("o2", {"s1"}, "stopped");
  EXPECT_EQ(table_.Get("o1")->state(), OrderState::kSuperseded);
  EXPECT_EQ(table_.Get("o1")->reason(), "replaced by the order o2 stopped");
  EXPECT_EQ(table_.Get("o2")->state(), OrderState::kRunning);
}

TEST_F(OrderTableTest, AnOrderToAbortAbortsTheOneInProgress) {
  Begin("o1", {"s1"});
  Begin("o2", {"s1"}, "aborted");
  EXPECT_EQ(table_.Get("o1")->state(), OrderState::kAborted);
}

TEST_F(OrderTableTest, AnOrderThatItsInstanceLostHasEnded) {
  Begin("taken back", {"s1"});
  Edit("s1", "n1", [](InstanceState* instance) { instance->monitor.global_expect.clear(); });
  Observe();
  EXPECT_EQ(table_.Get("taken back")->state(), OrderState::kAborted);
  clock_.Advance(seconds(1));
  Begin("replaced", {"s2"});
  Edit("s2", "n1", [](InstanceState* instance) { instance->monitor.order_id = "other"; });
  Observe();
  EXPECT_EQ(table_.Get("replaced")->state(), OrderState::kSuperseded);
  clock_.Advance(seconds(1));
  Begin("gone", {"s3"});
  Begin("deleted", {"s4"}, "deleted");
  store_.EraseObject(Path("s3"));
  store_.EraseObject(Path("s4"));
  Observe();
  EXPECT_EQ(table_.Get("gone")->state(), OrderState::kFailed);
  EXPECT_EQ(table_.Get("deleted")->state(), OrderState::kReached);
}

TEST_F(OrderTableTest, AFailureHereIsNoneOfTheOrderWhileOthersCarryItOut) {
  const auto set = [&](const std::string& node, const std::string& expect) {
    Edit("s1", node, [&](InstanceState* instance) {
      instance->monitor.global_expect = expect;
      instance->monitor.order_id = expect.empty() ? "" : "o1";
    });
  };
  Begin("o1", {"s1"});
  set("n2", "started");
  set("n1", "");
  table_.EndHere(Path("s1"), OrderState::kFailed, "start failed");
  Observe();
  EXPECT_EQ(table_.Get("o1")->state(), OrderState::kRunning);
  set("n2", "");
  Observe();
  EXPECT_EQ(table_.Get("o1")->state(), OrderState::kFailed);
  EXPECT_EQ(table_.Get("o1")->reason(), "start failed");
}

TEST_F(OrderTableTest, AnOrderThatAnotherNodeFulfilsIsReached) {
  Begin("o1", {"s1"}, "frozen");
  Edit("s1", "n2", [](InstanceState* instance) { instance->monitor.global_expect = "frozen"; });
  Edit("s1", "n1", [](InstanceState* instance) { instance->monitor.global_expect.clear(); });
  table_.EndHere(Path("s1"), OrderState::kFailed, "freeze failed");
  Observe();
  store_.EditObject(Path("s1"), [&](ObjectState* object) {
    for (const char* node : {"n1", "n2"}) {
      InstanceState& instance = object->instances[node];
      instance.status = *ParseInstanceStatus({{"updated", 1.0}, {"avail", "down"}});
      instance.frozen_since = clock_.Now();
      instance.monitor.global_expect.clear();
    }
  });
  Observe();
  EXPECT_EQ(table_.Get("o1")->state(), OrderState::kReached);
}

TEST_F(OrderTableTest, WhatIsNotListedYetIsNotGone) {
  table_.Restore(Make("o1", {"s1"}));
  table_.Observe(store_.current(), /*settled=*/false);
  EXPECT_EQ(table_.Get("o1")->state(), OrderState::kRunning);
}

TEST_F(OrderTableTest, CommandsOfThisNodeAreSteps) {
  Begin("o1", {"s1"});
  table_.CommandBegun(Path("s1"), "start");
  clock_.Advance(seconds(3));
  // The order ends before the command is known to have.
  table_.End(Path("s1"), OrderState::kReached, "");
  table_.CommandEnded(Path("s1"), 1, "exited with status 1");
  const OrderPtr order = table_.Get("o1");
  ASSERT_THAT(order->steps, SizeIs(1));
  EXPECT_EQ(order->steps[0].node, "n1");
  EXPECT_EQ(order->steps[0].action, "start");
  EXPECT_EQ(*order->steps[0].end - order->steps[0].begin, absl::Seconds(3));
  EXPECT_EQ(order->steps[0].exit_status, 1);
  EXPECT_EQ(order->steps[0].error, "exited with status 1");
  table_.CommandBegun(Path("other"), "start");
  EXPECT_THAT(table_.Get("o1")->steps, SizeIs(1));
}

TEST_F(OrderTableTest, WhatOtherNodesDoIsSeenByTheirMonitors) {
  SetStatus("s1", "n2", "idle");
  Begin("o1", {"s1"});
  SetStatus("s1", "n2", "starting");
  Observe();
  ASSERT_THAT(table_.Get("o1")->steps, SizeIs(1));
  EXPECT_EQ(table_.Get("o1")->steps[0].node, "n2");
  EXPECT_EQ(table_.Get("o1")->steps[0].action, "starting");
  EXPECT_FALSE(table_.Get("o1")->steps[0].end.has_value());
  SetStatus("s1", "n2", "start failed");
  Observe();
  EXPECT_TRUE(table_.Get("o1")->steps[0].end.has_value());
  EXPECT_EQ(table_.Get("o1")->steps[0].error, "start failed");
}

TEST_F(OrderTableTest, FreezesAreSteps) {
  Begin("o1", {"s1"}, "frozen");
  Edit("s1", "n1", [&](InstanceState* instance) { instance->frozen_since = clock_.Now(); });
  Observe();
  ASSERT_THAT(table_.Get("o1")->steps, SizeIs(1));
  EXPECT_EQ(table_.Get("o1")->steps[0].action, "freeze");
}

TEST_F(OrderTableTest, StepsAndEndedOrdersAreBounded) {
  Begin("o1", {"s1"});
  for (int i = 0; i < 6; ++i) {
    table_.CommandBegun(Path("s1"), absl::StrCat("step", i));
    table_.CommandEnded(Path("s1"), 0, "");
  }
  EXPECT_THAT(table_.Get("o1")->steps, SizeIs(4));
  EXPECT_EQ(table_.Get("o1")->steps.front().action, "step2");
  EXPECT_EQ(table_.Get("o1")->dropped_steps, 2);
  for (int i = 2; i <= 6; ++i) {
    clock_.Advance(seconds(1));
    Begin(absl::StrCat("o", i), {"s1"});
  }
  EXPECT_THAT(Ids(), ElementsAre("o6", "o5", "o4", "o3"));
  clock_.Advance(seconds(3601));
  table_.Expire();
  EXPECT_THAT(Ids(), ElementsAre("o6"));
}

TEST_F(OrderTableTest, OrdersAreListedNewestFirstInPages) {
  for (int i = 1; i <= 3; ++i) {
    clock_.Advance(seconds(1));
    Begin(absl::StrCat("o", i), {absl::StrCat("s", i), absl::StrCat("slave", i)});
  }
  EXPECT_THAT(Ids({}, 2), ElementsAre("o3", "o2"));
  const OrderPtr last = table_.Get("o2");
  EXPECT_THAT(table_.List(OrderTable::Position{last->time, "o2"}, {}, 2),
              ElementsAre(table_.Get("o1")));
  OrderTable::Filter filter;
  filter.path = Path("slave2");
  EXPECT_THAT(Ids(filter), ElementsAre("o2"));
  table_.End(Path("s1"), OrderState::kReached, "");
  table_.End(Path("slave1"), OrderState::kReached, "");
  filter = {};
  filter.only_in_progress = true;
  EXPECT_THAT(Ids(filter), ElementsAre("o3", "o2"));
}

TEST_F(OrderTableTest, BlockedIsAStateWithAReasonThatPasses) {
  Begin("o1", {"s1"});
  EXPECT_THAT(table_.NextToExplain(10), ElementsAre(Path("s1")));
  Explanation explanation;
  explanation.blocked = true;
  explanation.reason = "parent s2 is down";
  explanation.nodes = {{"n1", Path("s1"), "waits: parent s2 is down"}};
  table_.Explained(Path("s1"), explanation);
  const uint64_t version = table_.Get("o1")->version;
  EXPECT_EQ(table_.Get("o1")->state(), OrderState::kBlocked);
  EXPECT_EQ(table_.Get("o1")->reason(), "parent s2 is down");
  table_.Explained(Path("s1"), explanation);
  EXPECT_EQ(table_.Get("o1")->version, version) << "told twice of the same";
  table_.Explained(Path("s1"), Explanation{});
  EXPECT_EQ(table_.Get("o1")->state(), OrderState::kRunning);
  EXPECT_EQ(table_.Get("o1")->reason(), "");
}

TEST_F(OrderTableTest, OrdersAreExplainedInTurn) {
  for (int i = 1; i <= 3; ++i) Begin(absl::StrCat("o", i), {absl::StrCat("s", i)});
  EXPECT_THAT(table_.NextToExplain(2), ElementsAre(Path("s1"), Path("s2")));
  EXPECT_THAT(table_.NextToExplain(2), ElementsAre(Path("s3"), Path("s1")));
}

TEST_F(OrderTableTest, BeginningsAndEndsAreGivenOutForTheJournalOnce) {
  Begin("o1", {"s1"});
  EXPECT_FALSE(table_.has_unsaved()) << "it came saved";
  table_.End(Path("s1"), OrderState::kReached, "");
  const std::vector<OrderProgress> unsaved = table_.TakeUnsaved();
  ASSERT_THAT(unsaved, SizeIs(1));
  EXPECT_EQ(unsaved[0].state(), OrderState::kReached);
  EXPECT_THAT(table_.TakeUnsaved(), IsEmpty());
  table_.MarkUnsaved({"o1", "forgotten"});
  EXPECT_THAT(table_.TakeUnsaved(), SizeIs(1));
}

TEST_F(OrderTableTest, WhatTheJournalSaysIsAsItWas) {
  Begin("o1", {"s1", "s2"});
  table_.CommandBegun(Path("s1"), "start");
  table_.CommandEnded(Path("s1"), 2, "exited with status 2");
  table_.CommandBegun(Path("s2"), "start");
  table_.End(Path("s1"), OrderState::kFailed, "start failed");
  Record record;
  record.time = clock_.Now();
  record.progress = table_.TakeUnsaved();
  OM_ASSERT_OK_AND_ASSIGN(const Record read, DecodeRecord(EncodeRecord(record)));
  ASSERT_THAT(read.progress, SizeIs(1));
  OrderTable restored(&clock_, "n1", options_);
  restored.Restore(read.progress[0]);
  const OrderPtr before = table_.Get("o1");
  const OrderPtr after = restored.Get("o1");
  EXPECT_EQ(after->parts, before->parts);
  EXPECT_EQ(after->steps, before->steps);
  EXPECT_EQ(after->requester, "root");
  EXPECT_EQ(after->time, before->time);
  EXPECT_FALSE(restored.HasOrder(Path("s1")));
  EXPECT_TRUE(restored.HasOrder(Path("s2")));
  // A later record of the same order replaces it.
  table_.End(Path("s2"), OrderState::kReached, "");
  restored.Restore(table_.TakeUnsaved().at(0));
  EXPECT_EQ(restored.Get("o1")->state(), OrderState::kFailed);
  EXPECT_FALSE(restored.HasOrder(Path("s2")));
  EXPECT_THAT(restored.All(), SizeIs(1));
}

TEST_F(OrderTableTest, EveryChangeWakesReaders) {
  const Revision before = table_.feed()->last();
  Begin("o1", {"s1"});
  const Revision begun = table_.feed()->last();
  EXPECT_GT(begun, before);
  table_.End(Path("s1"), OrderState::kReached, "");
  EXPECT_GT(table_.feed()->last(), begun);
}

}  // namespace
}  // namespace om
