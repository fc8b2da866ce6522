// Orders and node monitors as the API tells of them.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/status.h"
#include "server/service/monitor_api.h"
#include "server/service/node_api.h"
#include "tests/server/service/service_fixture.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

namespace pb = control::v1;

using std::chrono::seconds;
using ::testing::HasSubstr;

class OrdersTest : public ::testing::Test {
 protected:
  OrdersTest() {
    world_.AddService("svc1", false);
    world_.AddService("svc2", false);
    world_.world.Get("svc2").config.parents = {"svc1"};
    world_.Start();
  }

  absl::StatusOr<pb::SetInstanceMonitorResponse> Order(const std::string& path,
                                                       const std::string& expect,
                                                       bool dry_run = false) {
    return world_.Await<pb::SetInstanceMonitorResponse>(
        [&](Reply<pb::SetInstanceMonitorResponse> reply) {
          pb::SetInstanceMonitorRequest request;
          request.set_path(path);
          if (!expect.empty()) request.set_global_expect(expect);
          request.set_dry_run(dry_run);
          monitor_.SetInstanceMonitor(ServiceFixture::Root(), request, std::move(reply));
        });
  }
  pb::Order Get(const std::string& id) {
    pb::GetOrderRequest request;
    request.set_order_id(id);
    const auto response = monitor_.GetOrder(ServiceFixture::Guest(), request);
    EXPECT_THAT(response, IsOk());
    return response.ok() ? response->order() : pb::Order();
  }
  std::string Accepted(const std::string& path, const std::string& expect) {
    const auto response = Order(path, expect);
    EXPECT_THAT(response, IsOk());
    return response.ok() ? response->order_id() : "";
  }
  absl::StatusOr<pb::SetNodeMonitorResponse> SetNode(const pb::SetNodeMonitorRequest& request) {
    return world_.Await<pb::SetNodeMonitorResponse>([&](auto reply) {
      node_.SetNodeMonitor(ServiceFixture::Root(), request, std::move(reply));
    });
  }

  ServiceFixture world_;
  MonitorApi monitor_{&world_.context};
  NodeApi node_{&world_.context};
};

TEST_F(OrdersTest, AnOrderTellsWhoAskedWhatWasDoneAndHowItEnded) {
  const std::string id = Accepted("svc1", "started");
  EXPECT_EQ(Get(id).state(), pb::ORDER_STATE_RUNNING);
  world_.loop.AdvanceBy(seconds(5));
  const pb::Order order = Get(id);
  EXPECT_EQ(order.state(), pb::ORDER_STATE_REACHED);
  EXPECT_EQ(order.path(), "svc1");
  EXPECT_EQ(order.global_expect(), "started");
  EXPECT_EQ(order.node(), "node1");
  EXPECT_THAT(order.requester(), HasSubstr("root"));
  EXPECT_TRUE(order.has_end_time());
  ASSERT_EQ(order.steps_size(), 1);
  EXPECT_EQ(order.steps(0).action(), "start");
  EXPECT_EQ(order.steps(0).exit_status(), 0);
  EXPECT_TRUE(order.steps(0).has_end_time());
}

TEST_F(OrdersTest, AnOrderThatWaitsForAParentIsBlockedUntilItIsUp) {
  const std::string id = Accepted("svc2", "started");
  world_.loop.AdvanceBy(seconds(2));
  EXPECT_EQ(Get(id).state(), pb::ORDER_STATE_BLOCKED);
  EXPECT_EQ(Get(id).reason(), "parent svc1 is down");
  ASSERT_EQ(Get(id).nodes_size(), 1);
  EXPECT_EQ(Get(id).nodes(0).text(), "blocked: parent svc1 is down");
  Accepted("svc1", "started");
  world_.loop.AdvanceBy(seconds(5));
  EXPECT_EQ(Get(id).state(), pb::ORDER_STATE_REACHED);
  EXPECT_EQ(Get(id).reason(), "");
}

TEST_F(OrdersTest, AFailedOrderNamesTheFailure) {
  world_.world.plan = [](const CrmCommand&) {
    CrmPlan plan;
    plan.effect = false;
    plan.exit_code = 3;
    return plan;
  };
  const std::string id = Accepted("svc1", "started");
  world_.loop.AdvanceBy(seconds(5));
  EXPECT_EQ(Get(id).state(), pb::ORDER_STATE_FAILED);
  EXPECT_EQ(Get(id).reason(), "start failed");
  ASSERT_EQ(Get(id).steps_size(), 1);
  EXPECT_EQ(Get(id).steps(0).exit_status(), 3);
  EXPECT_EQ(Get(id).steps(0).error(), "exited with status 3");
}

TEST_F(OrdersTest, AnOrderThatIsTakenBackIsAborted) {
  const std::string id = Accepted("svc2", "started");
  OM_ASSERT_OK_AND_ASSIGN(const auto unset, Order("svc2", "unset"));
  EXPECT_EQ(unset.order_id(), "");
  EXPECT_EQ(Get(id).state(), pb::ORDER_STATE_ABORTED);
}

TEST_F(OrdersTest, UnknownOrdersAreNotFound) {
  pb::GetOrderRequest get;
  get.set_order_id("nope");
  const absl::Status missing = monitor_.GetOrder(ServiceFixture::Guest(), get).status();
  EXPECT_EQ(ReasonOf(missing), "ORDER_UNKNOWN");
  EXPECT_EQ(FieldOf(missing), "order_id");
  pb::WatchOrderRequest watch;
  EXPECT_EQ(ReasonOf(monitor_.WatchOrder(ServiceFixture::Guest(), watch).status()),
            "ORDER_UNKNOWN");
}

TEST_F(OrdersTest, OrdersAreListedInPagesNewestFirst) {
  std::vector<std::string> ids = {Accepted("svc1", "started")};
  world_.loop.AdvanceBy(seconds(5));
  ids.push_back(Accepted("svc1", "stopped"));
  world_.loop.AdvanceBy(seconds(5));
  ids.push_back(Accepted("svc2", "started"));
  pb::ListOrdersRequest request;
  request.set_page_size(2);
  OM_ASSERT_OK_AND_ASSIGN(const auto first, monitor_.ListOrders(ServiceFixture::Guest(), request));
  ASSERT_EQ(first.orders_size(), 2);
  EXPECT_EQ(first.orders(0).order_id(), ids[2]);
  EXPECT_EQ(first.orders(1).order_id(), ids[1]);
  request.set_page_token(first.next_page_token());
  OM_ASSERT_OK_AND_ASSIGN(const auto rest, monitor_.ListOrders(ServiceFixture::Guest(), request));
  ASSERT_EQ(rest.orders_size(), 1);
  EXPECT_EQ(rest.orders(0).order_id(), ids[0]);
  EXPECT_EQ(rest.next_page_token(), "");
  request.Clear();
  request.set_only_in_progress(true);
  OM_ASSERT_OK_AND_ASSIGN(const auto open, monitor_.ListOrders(ServiceFixture::Guest(), request));
  EXPECT_EQ(open.orders_size(), 1);
  request.Clear();
  request.set_page_token("junk");
  EXPECT_EQ(ReasonOf(monitor_.ListOrders(ServiceFixture::Guest(), request).status()),
            "INVALID_PAGE_TOKEN");
  request.Clear();
  request.set_page_size(1001);
  EXPECT_EQ(FieldOf(monitor_.ListOrders(ServiceFixture::Guest(), request).status()), "page_size");
}

TEST_F(OrdersTest, AWatchTellsTheOrderThenItsChangesThenEnds) {
  const auto state_of = [](const Bytes& bytes) {
    pb::WatchOrderResponse message;
    EXPECT_TRUE(message.ParseFromString(*bytes));
    return message.order().state();
  };
  pb::WatchOrderRequest request;
  request.set_order_id(Accepted("svc2", "started"));
  OM_ASSERT_OK_AND_ASSIGN(const auto watch, monitor_.WatchOrder(ServiceFixture::Guest(), request));
  OM_ASSERT_OK_AND_ASSIGN(Bytes message, watch->Next());
  EXPECT_EQ(state_of(message), pb::ORDER_STATE_RUNNING);
  OM_ASSERT_OK_AND_ASSIGN(message, watch->Next());
  EXPECT_EQ(message, nullptr);
  EXPECT_FALSE(watch->over());
  world_.loop.AdvanceBy(seconds(2));
  OM_ASSERT_OK_AND_ASSIGN(message, watch->Next());
  EXPECT_EQ(state_of(message), pb::ORDER_STATE_BLOCKED);
  EXPECT_EQ(state_of(watch->HeartbeatMessage()), pb::ORDER_STATE_BLOCKED);
  Accepted("svc1", "started");
  world_.loop.AdvanceBy(seconds(5));
  OM_ASSERT_OK_AND_ASSIGN(message, watch->Next());
  EXPECT_EQ(state_of(message), pb::ORDER_STATE_REACHED);
  OM_ASSERT_OK_AND_ASSIGN(message, watch->Next());
  EXPECT_EQ(message, nullptr);
  EXPECT_TRUE(watch->over());
}

TEST_F(OrdersTest, WatchesAreBounded) {
  pb::WatchOrderRequest request;
  request.set_order_id(Accepted("svc2", "started"));
  std::vector<std::shared_ptr<OrderWatch>> watches;
  for (int i = 0; i < MonitorApi::kMaxOrderWatches; ++i) {
    OM_ASSERT_OK_AND_ASSIGN(auto watch, monitor_.WatchOrder(ServiceFixture::Guest(), request));
    watches.push_back(std::move(watch));
  }
  EXPECT_TRUE(
      absl::IsResourceExhausted(monitor_.WatchOrder(ServiceFixture::Guest(), request).status()));
  watches.pop_back();
  EXPECT_THAT(monitor_.WatchOrder(ServiceFixture::Guest(), request).status(), IsOk());
}

TEST_F(OrdersTest, ADryRunAnswersWhatWouldBeDoneAndDoesNothing) {
  OM_ASSERT_OK_AND_ASSIGN(const auto plan, Order("svc1", "started", /*dry_run=*/true));
  EXPECT_EQ(plan.outcome(), pb::ORDER_OUTCOME_DRY_RUN);
  EXPECT_EQ(plan.order_id(), "");
  ASSERT_EQ(plan.planned_actions_size(), 1);
  EXPECT_EQ(plan.planned_actions(0).node(), "node1");
  EXPECT_EQ(plan.planned_actions(0).action(), "start");
  EXPECT_EQ(plan.blocked_reason(), "");
  world_.loop.AdvanceBy(seconds(5));
  EXPECT_FALSE(world_.world.IsUp("svc1"));
}

TEST_F(OrdersTest, ADryRunThatComesToNothingSaysWhy) {
  OM_ASSERT_OK_AND_ASSIGN(const auto blocked, Order("svc2", "started", /*dry_run=*/true));
  EXPECT_EQ(blocked.planned_actions_size(), 0);
  EXPECT_EQ(blocked.blocked_reason(), "parent svc1 is down");
  OM_ASSERT_OK_AND_ASSIGN(const auto reached, Order("svc1", "stopped", /*dry_run=*/true));
  EXPECT_EQ(reached.planned_actions_size(), 0);
  EXPECT_EQ(reached.blocked_reason(), "the service is already down");
  EXPECT_EQ(FieldOf(Order("svc1", "", /*dry_run=*/true).status()), "global_expect");
  EXPECT_EQ(ReasonOf(Order("nope", "started", /*dry_run=*/true).status()), "SERVICE_UNKNOWN");
}

TEST_F(OrdersTest, NodesAreFrozenAndThawedByOrder) {
  pb::SetNodeMonitorRequest request;
  request.set_global_expect("frozen");
  OM_ASSERT_OK_AND_ASSIGN(const auto frozen, SetNode(request));
  EXPECT_TRUE(frozen.applied());
  EXPECT_EQ(frozen.node(), "node1");
  EXPECT_EQ(frozen.monitor().global_expect(), "frozen");
  world_.loop.AdvanceBy(seconds(2));
  EXPECT_TRUE(world_.world.node_frozen_since.has_value());
  OM_ASSERT_OK_AND_ASSIGN(const auto again, SetNode(request));
  EXPECT_FALSE(again.applied());
  EXPECT_EQ(again.message(), "cluster is already frozen");
  request.set_global_expect("thawed");
  EXPECT_THAT(SetNode(request), IsOk());
  world_.loop.AdvanceBy(seconds(2));
  EXPECT_FALSE(world_.world.node_frozen_since.has_value());
}

TEST_F(OrdersTest, WhatANodesMonitorCannotBeIsRefusedByField) {
  pb::SetNodeMonitorRequest request;
  request.set_global_expect("started");
  EXPECT_EQ(FieldOf(SetNode(request).status()), "global_expect");
  request.Clear();
  request.set_local_expect("started");
  EXPECT_EQ(FieldOf(SetNode(request).status()), "local_expect");
  for (const char* status : {"init", "rejoin", "shutting", "bogus", ""}) {
    request.Clear();
    request.set_status(status);
    EXPECT_EQ(FieldOf(SetNode(request).status()), "status") << status;
  }
  request.Clear();
  request.set_status("freezing");
  OM_ASSERT_OK_AND_ASSIGN(const auto set, SetNode(request));
  EXPECT_EQ(set.monitor().status(), "freezing");
}

TEST_F(OrdersTest, TheMonitorOfANodeIsReadByName) {
  OM_ASSERT_OK_AND_ASSIGN(const auto own, node_.GetNodeMonitor(ServiceFixture::Guest(), {}));
  EXPECT_EQ(own.node(), "node1");
  EXPECT_EQ(own.monitor().status(), "idle");
  pb::GetNodeMonitorRequest request;
  request.set_node("node9");
  EXPECT_EQ(ReasonOf(node_.GetNodeMonitor(ServiceFixture::Guest(), request).status()),
            "NODE_UNKNOWN");
}

}  // namespace
}  // namespace om
