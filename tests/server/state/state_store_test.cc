#include "server/state/state_store.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/random.h"
#include "server/state/instance_status.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_loop.h"
#include "tests/support/matchers.h"
#include "tests/support/object_path.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::IsNull;
using ::testing::NotNull;
using ::testing::SizeIs;

std::shared_ptr<const ObjectState> Object(const std::string& text) {
  auto object = std::make_shared<ObjectState>();
  object->path = Path(text);
  return object;
}

std::shared_ptr<const InstanceStatus> Status(const char* avail) {
  return *ParseInstanceStatus({{"updated", 1.0},
                               {"topology", "failover"},
                               {"avail", avail},
                               {"overall", avail},
                               {"resources", Json::object()}});
}

TEST(ObjectTableTest, BehavesLikeAMapThroughRandomChangesAndCopiesDoNot) {
  Random random(7);
  ObjectTable table;
  std::map<ObjectPath, const ObjectState*> model;
  for (int i = 0; i < 4000; ++i) {
    const std::string name = absl::StrCat("s", random.Below(600));
    if (random.OneIn(3)) {
      EXPECT_EQ(table.Erase(Path(name)), model.erase(Path(name)) == 1);
    } else {
      auto object = Object(name);
      model[object->path] = object.get();
      table.Put(std::move(object));
    }
    ASSERT_EQ(table.size(), model.size());
  }
  const ObjectTable copy = table;
  std::vector<ObjectPath> seen;
  table.ForEach([&](const ObjectState& object) { seen.push_back(object.path); });
  std::vector<ObjectPath> expected;
  for (const auto& [path, object] : model) {
    expected.push_back(path);
    EXPECT_EQ(table.Find(path).get(), object);
  }
  EXPECT_EQ(seen, expected);
  for (const ObjectPath& path : expected) EXPECT_TRUE(table.Erase(path));
  EXPECT_EQ(table.size(), 0U);
  EXPECT_THAT(table.Find(expected.front()), IsNull());
  EXPECT_EQ(copy.size(), expected.size());
  EXPECT_EQ(copy.Find(expected.front()).get(), model.at(expected.front()));
}

TEST(ObjectTableTest, PagesGoOnAfterAPathThatIsGone) {
  ObjectTable table;
  for (int i = 100; i < 300; ++i) table.Put(Object(absl::StrCat("s", i)));
  std::vector<std::string> all;
  ObjectPath last;
  while (true) {
    const auto page = table.After(last.empty() ? nullptr : &last, 7);
    if (page.empty()) break;
    for (const auto& object : page) all.push_back(object->path.ToString());
    last = page.back()->path;
    table.Erase(last);
  }
  EXPECT_THAT(all, SizeIs(200));
  EXPECT_EQ(all.front(), "s100");
  EXPECT_EQ(all.back(), "s299");
}

class StateStoreTest : public ::testing::Test {
 protected:
  FakeClock clock_;
  StateStore store_{&clock_, "n1", "run-1", {}};
};

TEST_F(StateStoreTest, EachChangeMakesARevisionAndAnEntryAndNoChangeMakesNone) {
  EXPECT_EQ(store_.snapshot()->revision, Revision{0});
  store_.SetCluster({"c", "id", {"n1"}});
  store_.SetCluster({"c", "id", {"n1"}});
  store_.EditInstance(Path("s"),
                      [](InstanceState* instance) { instance->monitor.status = "ready"; });
  store_.EditInstance(Path("s"),
                      [](InstanceState* instance) { instance->monitor.status = "ready"; });
  const SnapshotPtr snapshot = store_.snapshot();
  EXPECT_EQ(snapshot->revision, Revision{2});
  OM_ASSERT_OK_AND_ASSIGN(const auto changes, store_.feed()->ReadAfter(Revision{0}, 10));
  ASSERT_THAT(changes, SizeIs(2));
  EXPECT_TRUE(changes[0]->cluster);
  EXPECT_THAT(changes[1]->objects, ElementsAre(Path("s")));
}

TEST_F(StateStoreTest, TheWriterIsToldOnceWhatItChanged) {
  store_.EditInstance(Path("s"), [](InstanceState* instance) { instance->monitor.status = "x"; });
  store_.EditInstance(Path("t"), [](InstanceState* instance) { instance->monitor.status = "x"; });
  StateStore::Touched touched = store_.TakeTouched();
  EXPECT_THAT(touched.objects, ElementsAre(Path("s"), Path("t")));
  EXPECT_FALSE(touched.nodes);
  EXPECT_THAT(store_.TakeTouched().objects, IsEmpty());
  store_.EditNode("n1", [](NodeState* node) { node->compat = 10; });
  EXPECT_TRUE(store_.TakeTouched().nodes);
  store_.EditNode("n1", [](NodeState* node) { node->stats.load_15m = 1; });
  EXPECT_FALSE(store_.TakeTouched().nodes);
  store_.EditNode("n1", [](NodeState* node) { node->frozen_since = absl::FromUnixSeconds(1); });
  EXPECT_TRUE(store_.TakeTouched().nodes);
  store_.EraseNode("n1");
  touched = store_.TakeTouched();
  EXPECT_TRUE(touched.nodes);
  EXPECT_THAT(touched.objects, ElementsAre(Path("s"), Path("t")));
}

TEST_F(StateStoreTest, WhatTheSchedulerDoesIsInTheSnapshotAndInTheFeed) {
  SchedulerState state;
  state.running = 1;
  store_.SetScheduler(state);
  store_.SetScheduler(state);
  EXPECT_EQ(store_.snapshot()->scheduler->running, 1);
  OM_ASSERT_OK_AND_ASSIGN(const auto changes, store_.feed()->ReadAfter(Revision{0}, 10));
  ASSERT_THAT(changes, SizeIs(1));
  EXPECT_THAT(changes[0]->threads, ElementsAre("scheduler"));
}

TEST_F(StateStoreTest, OldSnapshotsStayAsTheyWere) {
  store_.EditInstance(Path("s"),
                      [](InstanceState* instance) { instance->status = Status("down"); });
  const SnapshotPtr before = store_.snapshot();
  store_.EditInstance(Path("s"), [](InstanceState* instance) { instance->status = Status("up"); });
  EXPECT_EQ(before->objects.Find(Path("s"))->aggregate.avail, Availability::kDown);
  EXPECT_EQ(store_.snapshot()->objects.Find(Path("s"))->aggregate.avail, Availability::kUp);
}

TEST_F(StateStoreTest, ABatchIsOneRevision) {
  {
    const StateStore::Batch outer(&store_);
    store_.EditNode("n1", [](NodeState* node) { node->env = "PRD"; });
    {
      const StateStore::Batch inner(&store_);
      store_.PutThread({.id = "listener", .state = ThreadState::kRunning});
    }
    Event event;
    event.id = "instance_start";
    store_.Emit(event);
    EXPECT_EQ(store_.snapshot()->revision, Revision{0});
  }
  EXPECT_EQ(store_.snapshot()->revision, Revision{1});
  OM_ASSERT_OK_AND_ASSIGN(const auto changes, store_.feed()->ReadAfter(Revision{0}, 10));
  ASSERT_THAT(changes, SizeIs(1));
  EXPECT_THAT(changes[0]->nodes, ElementsAre("n1"));
  EXPECT_THAT(changes[0]->threads, ElementsAre("listener"));
  ASSERT_THAT(changes[0]->events, SizeIs(1));
  EXPECT_EQ(changes[0]->events[0]->node, "n1");
  EXPECT_EQ(changes[0]->events[0]->time, clock_.Now());
}

TEST_F(StateStoreTest, AnObjectWithNothingLeftIsGone) {
  store_.EditObject(Path("s"), [](ObjectState* object) { object->configs["n2"]; });
  EXPECT_THAT(store_.snapshot()->objects.Find(Path("s")), NotNull());
  store_.EraseNode("n2");
  EXPECT_THAT(store_.snapshot()->objects.Find(Path("s")), IsNull());
}

TEST_F(StateStoreTest, TransitionsFrozenAndCompatAreKeptRight) {
  store_.EditInstance(Path("a"), [](InstanceState* i) { i->monitor.status = "starting"; });
  store_.EditInstance(Path("b"), [](InstanceState* i) { i->monitor.status = "stopping"; });
  EXPECT_EQ(store_.snapshot()->transition_count, 2);
  store_.EditInstance(Path("a"), [](InstanceState* i) { i->monitor.status = "idle"; });
  store_.EraseObject(Path("b"));
  EXPECT_EQ(store_.snapshot()->transition_count, 0);
  EXPECT_EQ(store_.snapshot()->frozen, "n/a");
  store_.EditNode("n1", [](NodeState* node) { node->compat = 10; });
  store_.EditNode("n2", [&](NodeState* node) {
    node->compat = 9;
    node->frozen_since = clock_.Now();
  });
  EXPECT_EQ(store_.snapshot()->frozen, "mixed");
  EXPECT_FALSE(store_.snapshot()->compat);
  store_.EraseNode("n1");
  EXPECT_EQ(store_.snapshot()->frozen, "frozen");
  EXPECT_TRUE(store_.snapshot()->compat);
}

TEST_F(StateStoreTest, AWrapperFollowsItsSlavesAndLoopsEnd) {
  store_.EditObject(Path("top"), [](ObjectState* object) {
    ObjectConfig& config = object->configs["n1"];
    config.nodes = {"n1"};
    config.slaves = {"low"};
  });
  store_.EditObject(Path("low"), [](ObjectState* object) {
    ObjectConfig& config = object->configs["n1"];
    config.nodes = {"n1"};
    object->instances["n1"].status = Status("up");
  });
  EXPECT_EQ(store_.snapshot()->objects.Find(Path("top"))->aggregate.avail, Availability::kUp);
  store_.EditObject(Path("low"),
                    [](ObjectState* object) { object->configs["n1"].slaves = {"top"}; });
  store_.EditInstance(Path("low"),
                      [](InstanceState* instance) { instance->status = Status("down"); });
  EXPECT_NE(store_.snapshot()->objects.Find(Path("low"))->aggregate.avail, Availability::kUp);
}

Change ChangeAt(uint64_t revision) {
  Change change;
  change.revision = Revision{revision};
  return change;
}
void Fill(ChangeFeed* feed, uint64_t from, uint64_t to) {
  for (uint64_t i = from; i <= to; ++i) feed->Append(std::make_shared<Change>(ChangeAt(i)));
}

TEST(ChangeFeedTest, AReaderGetsEachChangeOnceOrIsToldOfTheGap) {
  ChangeFeed feed({.max_changes = 4, .max_bytes = 1 << 20});
  EXPECT_THAT(*feed.ReadAfter(Revision{0}, 10), IsEmpty());
  Fill(&feed, 1, 3);
  EXPECT_THAT(*feed.ReadAfter(Revision{0}, 2), SizeIs(2));
  OM_ASSERT_OK_AND_ASSIGN(const auto rest, feed.ReadAfter(Revision{2}, 10));
  ASSERT_THAT(rest, SizeIs(1));
  EXPECT_EQ(rest[0]->revision, Revision{3});
  Fill(&feed, 4, 6);
  EXPECT_THAT(feed.ReadAfter(Revision{1}, 10), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(*feed.ReadAfter(Revision{2}, 10), SizeIs(4));
  // A reader that has a snapshot newer than the feed waits.
  EXPECT_THAT(*feed.ReadAfter(Revision{9}, 10), IsEmpty());
}

TEST(ChangeFeedTest, BytesAreBoundedTooAndTheNewestStays) {
  ChangeFeed feed({.max_changes = 100, .max_bytes = 1});
  Fill(&feed, 1, 3);
  EXPECT_THAT(*feed.ReadAfter(Revision{2}, 10), SizeIs(1));
  EXPECT_THAT(feed.ReadAfter(Revision{1}, 10), StatusIs(absl::StatusCode::kOutOfRange));
}

TEST(ChangeFeedTest, WakesAreNotRepeatedWhileOneWaits) {
  FakeClock clock;
  FakeLoop loop(&clock);
  ChangeFeed feed({});
  int woken = 0;
  auto subscription = feed.Subscribe(&loop, [&] { ++woken; });
  Fill(&feed, 1, 5);
  EXPECT_EQ(woken, 0);  // Never inside the writer.
  loop.RunReady();
  EXPECT_EQ(woken, 1);
  Fill(&feed, 6, 6);
  loop.RunReady();
  EXPECT_EQ(woken, 2);
  Fill(&feed, 7, 7);
  subscription.reset();
  loop.RunReady();
  EXPECT_EQ(woken, 2);
  EXPECT_EQ(feed.subscriber_count(), 0U);
}

class FullExecutor final : public Executor {
 public:
  bool Post(std::function<void()> work) override {
    if (full) return false;
    work();
    return true;
  }
  bool full = true;
};

TEST(ChangeFeedTest, AWakeThatCouldNotBePostedComesWithTheNextChange) {
  FullExecutor executor;
  ChangeFeed feed({});
  int woken = 0;
  const auto subscription = feed.Subscribe(&executor, [&] { ++woken; });
  Fill(&feed, 1, 1);
  EXPECT_EQ(woken, 0);
  executor.full = false;
  Fill(&feed, 2, 2);
  EXPECT_EQ(woken, 1);
}

TEST(ResumeTokenTest, OnlyTokensOfThisRunAreTaken) {
  const std::string token = EncodeResumeToken("run-1", Revision{7});
  EXPECT_THAT(DecodeResumeToken(token, "run-1", Revision{7}), IsOkAndHolds(Revision{7}));
  EXPECT_THAT(DecodeResumeToken(token, "run-2", Revision{9}),
              StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(DecodeResumeToken(token, "run-1", Revision{6}),
              StatusIs(absl::StatusCode::kOutOfRange));
  for (const char* bad : {"", "x", "!!!!", "cnVuLTE", "cnVuLTE6eA"}) {
    EXPECT_THAT(DecodeResumeToken(bad, "run-1", Revision{7}),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << bad;
  }
}

}  // namespace
}  // namespace om
