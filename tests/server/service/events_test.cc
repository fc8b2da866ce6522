// EventWatch, StatusCondition and the waits of EventApi.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/service/event_api.h"
#include "server/service/status_path.h"
#include "tests/server/service/service_fixture.h"

namespace om {
namespace {

namespace pb = control::v1;

using absl::StatusCode;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class EventsTest : public ::testing::Test, public ServiceFixture {
 protected:
  EventsTest() {
    AddService("svc1", false);
    AddService("0.web", false);
    Start();
  }
  void Emit(const std::string& id, const std::string& path = "") {
    Event event;
    event.id = id;
    if (!path.empty()) event.path = *ObjectPath::Parse(path);
    core.EmitEvent(event);
    Settle();
  }
  std::shared_ptr<EventWatch> Watch(const pb::WatchEventsRequest& request) {
    absl::StatusOr<std::shared_ptr<EventWatch>> watch = api.WatchEvents(Guest(), request);
    EXPECT_THAT(watch, IsOk());
    return *watch;
  }
  // All messages that there are, as one.
  static pb::WatchEventsResponse Drain(EventWatch* watch) {
    pb::WatchEventsResponse all;
    while (true) {
      const absl::StatusOr<Bytes> bytes = watch->Next();
      EXPECT_THAT(bytes, IsOk());
      if (!bytes.ok() || *bytes == nullptr) return all;
      pb::WatchEventsResponse one;
      EXPECT_TRUE(one.ParseFromString(**bytes));
      all.MergeFrom(one);
    }
  }
  static std::vector<std::string> Ids(const pb::WatchEventsResponse& message) {
    std::vector<std::string> ids;
    for (const pb::Event& event : message.events()) ids.push_back(event.id());
    return ids;
  }
  std::string ValueOf(const std::string& condition) {
    const absl::StatusOr<StatusCondition> parsed = StatusCondition::Parse(condition);
    EXPECT_THAT(parsed, IsOk()) << condition;
    return parsed.ok() ? parsed->Value(*core.snapshot()).value_or("nothing") : "error";
  }
  bool IsMet(const std::string& condition) {
    const absl::StatusOr<StatusCondition> parsed = StatusCondition::Parse(condition);
    EXPECT_THAT(parsed, IsOk()) << condition;
    return parsed.ok() && parsed->IsMetBy(parsed->Value(*core.snapshot()));
  }

  struct Waiting {
    std::vector<absl::StatusOr<pb::WaitForResponse>> answers;
    std::function<void()> cancel;
  };
  std::unique_ptr<Waiting> Wait(const std::string& condition, int timeout_seconds = 30,
                                std::optional<absl::Time> deadline = std::nullopt) {
    pb::WaitForRequest request;
    request.set_condition(condition);
    request.mutable_timeout()->set_seconds(timeout_seconds);
    auto waiting = std::make_unique<Waiting>();
    waiting->cancel =
        api.WaitFor(Guest(), request, deadline,
                    [raw = waiting.get()](absl::StatusOr<pb::WaitForResponse> answer) {
                      raw->answers.push_back(std::move(answer));
                    });
    return waiting;
  }

  InlineExecutor inline_executor;
  EventApi api{&context, &inline_executor};
};

TEST_F(EventsTest, AWatchTellsWhatHappensFromNowOn) {
  Emit("before");
  const auto watch = Watch({});
  EXPECT_THAT(Ids(Drain(watch.get())), IsEmpty());
  Emit("one", "svc1");
  Emit("two");
  const pb::WatchEventsResponse told = Drain(watch.get());
  EXPECT_THAT(Ids(told), ElementsAre("one", "two"));
  EXPECT_EQ(told.events(0).path(), "svc1");
  EXPECT_EQ(told.events(0).node(), "node1");
  EXPECT_FALSE(told.has_gap());
}

TEST_F(EventsTest, FiltersMatchIdsObjectsAndNodes) {
  pb::WatchEventsRequest request;
  request.add_ids("instance_*");
  request.add_selectors("*.web");
  request.add_selectors("db*");
  const auto watch = Watch(request);
  request.add_nodes("node2");
  const auto elsewhere = Watch(request);
  Emit("instance_start", "0.web");
  Emit("instance_start", "svc1");
  Emit("instance_stop");
  Emit("node_freeze", "0.web");
  EXPECT_THAT(Ids(Drain(watch.get())), ElementsAre("instance_start"));
  EXPECT_THAT(Ids(Drain(elsewhere.get())), IsEmpty());
}

TEST_F(EventsTest, AWatchResumesAfterItsTokenAndSoItDoesAfterAHeartbeat) {
  pb::WatchEventsRequest request;
  request.add_ids("e*");
  const auto first = Watch(request);
  Emit("e1");
  request.set_resume_token(Drain(first.get()).resume_token());
  Emit("e2");
  Emit("other");
  EXPECT_THAT(Ids(Drain(Watch(request).get())), ElementsAre("e2"));
  // What filters kept back has moved the position all the same.
  EXPECT_THAT(Ids(Drain(first.get())), ElementsAre("e2"));
  Emit("other");
  EXPECT_THAT(Ids(Drain(first.get())), IsEmpty());
  pb::WatchEventsResponse heartbeat;
  ASSERT_TRUE(heartbeat.ParseFromString(*first->HeartbeatMessage()));
  request.set_resume_token(heartbeat.resume_token());
  Emit("e3");
  EXPECT_THAT(Ids(Drain(Watch(request).get())), ElementsAre("e3"));
}

TEST_F(EventsTest, AReaderThatFellBehindIsToldHowMuchItMissed) {
  pb::WatchEventsRequest request;
  request.add_ids("e*");
  const auto watch = Watch(request);
  const int count = 700;  // The feed of the test keeps 512 changes.
  for (int i = 0; i < count; ++i) Emit(absl::StrCat("e", i));
  const pb::WatchEventsResponse told = Drain(watch.get());
  EXPECT_GE(told.gap().missed_changes(), static_cast<uint64_t>(count - 512));
  // All that is known is told, and nothing in between is left out.
  ASSERT_FALSE(told.events().empty());
  EXPECT_EQ(told.events(told.events_size() - 1).id(), absl::StrCat("e", count - 1));
  EXPECT_GE(told.events_size(), 400);
  EXPECT_THAT(Ids(Drain(watch.get())), IsEmpty());
}

TEST_F(EventsTest, TokensOfOthersAndFiltersWithoutSenseAreRefused) {
  pb::WatchEventsRequest request;
  request.set_resume_token("nonsense");
  EXPECT_THAT(api.WatchEvents(Guest(), request).status(), StatusIs(StatusCode::kInvalidArgument));
  request.set_resume_token(EncodeResumeToken("another", Revision{1}));
  EXPECT_THAT(api.WatchEvents(Guest(), request).status(), StatusIs(StatusCode::kOutOfRange));
  request.clear_resume_token();
  request.add_ids("");
  EXPECT_THAT(api.WatchEvents(Guest(), request).status(), StatusIs(StatusCode::kInvalidArgument));
}

TEST_F(EventsTest, ConditionsReachEverythingThatAStatusHas) {
  EXPECT_EQ(ValueOf("services.svc1.avail"), "down");
  EXPECT_EQ(ValueOf("services.0.web.avail"), "down");
  EXPECT_EQ(ValueOf("services.svc1.instances.node1.monitor.status"), "idle");
  EXPECT_EQ(ValueOf("services.svc1.instances.node1.frozen"), "thawed");
  EXPECT_EQ(ValueOf("services.svc1.instances.node2.avail"), "nothing");
  EXPECT_EQ(ValueOf("services.later.avail"), "nothing");
  EXPECT_EQ(ValueOf("services.svc1.placement"), "optimal");
  EXPECT_EQ(ValueOf("nodes.node1.monitor.status"), "idle");
  EXPECT_EQ(ValueOf("nodes.a.b.example.frozen"), "nothing");
  EXPECT_EQ(ValueOf("nodes.node1.labels.zone"), "nothing");
  EXPECT_EQ(ValueOf("threads.monitor.state"), "running");
  EXPECT_EQ(ValueOf("cluster.name"), "demo");
  EXPECT_EQ(ValueOf("cluster.nodes"), "node1");
  EXPECT_EQ(ValueOf("cluster.compatible"), "true");
}

TEST_F(EventsTest, ConditionsCompareWordsAndNumbers) {
  EXPECT_TRUE(IsMet("services.svc1.avail=down"));
  EXPECT_TRUE(IsMet(" services.svc1.avail = Down "));
  EXPECT_FALSE(IsMet("services.svc1.avail!=down"));
  EXPECT_TRUE(IsMet("services.svc1.avail!=stdby up"));
  EXPECT_TRUE(IsMet("services.later.avail!=up"));
  EXPECT_FALSE(IsMet("services.later.avail"));
  EXPECT_TRUE(IsMet("cluster.compatible"));
  EXPECT_FALSE(IsMet("cluster.transition_count"));
  EXPECT_TRUE(IsMet("cluster.transition_count<1"));
  EXPECT_TRUE(IsMet("cluster.transition_count>=0"));
  EXPECT_FALSE(IsMet("cluster.transition_count>0"));
  EXPECT_TRUE(IsMet("cluster.transition_count=0.0"));
  EXPECT_FALSE(IsMet("nodes.node1.frozen"));
  EXPECT_TRUE(IsMet("nodes.node1.frozen=thawed"));
  EXPECT_TRUE(IsMet("threads.monitor.start_time>1000000000"));
}

TEST_F(EventsTest, ConditionsThatCanNeverBeSayWhatWasExpected) {
  const auto error = [](const std::string& condition) {
    return std::string(StatusCondition::Parse(condition).status().message());
  };
  EXPECT_THAT(error("svc1=up"), HasSubstr("expected services.<path>.<field>"));
  EXPECT_THAT(error("services.svc1"), HasSubstr("with a field of avail, config_checksum"));
  EXPECT_THAT(error("services.svc1.nosuch=1"), HasSubstr("no such field"));
  EXPECT_THAT(error("services.svc1.instances=1"), HasSubstr("no such field"));
  EXPECT_THAT(error("services.svc1.avail=upp"), HasSubstr("\"upp\" is no state of avail"));
  EXPECT_THAT(error("services.a//b.avail=up"), HasSubstr("services.a//b"));
  EXPECT_THAT(error("services.svc1.avail<up"), HasSubstr("no number"));
  EXPECT_THAT(error("cluster.transition_count=many"), HasSubstr("\"many\" is no number"));
  EXPECT_THAT(error("nodes.node1.frozen=cold"), HasSubstr("expected frozen, thawed"));
  EXPECT_THAT(error(std::string(3000, 'x')), HasSubstr("3000 bytes"));
}

TEST_F(EventsTest, AWaitIsAnsweredOnceTheConditionIsMet) {
  const auto waiting = Wait("services.svc1.avail=up");
  Settle();
  EXPECT_THAT(waiting->answers, IsEmpty());
  InstanceMonitorOrder order;
  order.path = *ObjectPath::Parse("svc1");
  order.global_expect = "started";
  core.SetInstanceMonitor(order, RequestKey{}, [](const auto&) {});
  loop.AdvanceBy(seconds(10));
  ASSERT_EQ(waiting->answers.size(), 1u);
  ASSERT_THAT(waiting->answers[0], IsOk());
  EXPECT_EQ(waiting->answers[0]->value(), "up");
}

TEST_F(EventsTest, AWaitEndsAtItsDeadlineOrThatOfTheCall) {
  const auto long_wait = Wait("services.svc1.avail=up", 20);
  const auto short_call = Wait("services.later.avail=up", 20, clock.Now() + absl::Seconds(5));
  loop.AdvanceBy(seconds(6));
  ASSERT_EQ(short_call->answers.size(), 1u);
  EXPECT_EQ(ReasonOf(short_call->answers[0].status()), "CONDITION_NOT_MET");
  EXPECT_THAT(long_wait->answers, IsEmpty());
  loop.AdvanceBy(seconds(15));
  ASSERT_EQ(long_wait->answers.size(), 1u);
  EXPECT_THAT(std::string(long_wait->answers[0].status().message()),
              HasSubstr("its value is \"down\""));
}

TEST_F(EventsTest, WaitsAreBoundedAndFreeTheirPlaces) {
  std::vector<std::unique_ptr<Waiting>> all;
  for (int i = 0; i < EventApi::kMaxWaits; ++i) all.push_back(Wait("services.later.avail=up"));
  const auto refused = Wait("services.later.avail=up");
  ASSERT_EQ(refused->answers.size(), 1u);
  EXPECT_EQ(ReasonOf(refused->answers[0].status()), "TOO_MANY_WAITS");
  all.front()->cancel();
  ASSERT_EQ(all.front()->answers.size(), 1u);
  EXPECT_THAT(all.front()->answers[0].status(), StatusIs(StatusCode::kCancelled));
  const auto next = Wait("services.later.avail=up");
  EXPECT_THAT(next->answers, IsEmpty());
  api.EndWaits();
  ASSERT_EQ(next->answers.size(), 1u);
  EXPECT_EQ(ReasonOf(next->answers[0].status()), "DAEMON_STOPPING");
  EXPECT_EQ(core.feed()->subscriber_count(), 0u);
}

TEST_F(EventsTest, TimeoutsThatMakeNoSenseAreRefused) {
  for (const int timeout : {0, -1, 24 * 3600 + 1}) {
    const auto refused = Wait("cluster.compatible", timeout);
    ASSERT_EQ(refused->answers.size(), 1u);
    EXPECT_THAT(refused->answers[0].status(), StatusIs(StatusCode::kInvalidArgument)) << timeout;
  }
}

}  // namespace
}  // namespace om
