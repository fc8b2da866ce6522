#include "compat/gateway/event_hub.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "compat/gateway/document_patch.h"
#include "compat/gateway/status_document.h"
#include "server/state/state_store.h"
#include "tests/server/service/service_fixture.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_loop.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class EventHubTest : public ::testing::Test {
 protected:
  EventHubTest() {
    world_.AddService("svc1", true);
    world_.AddService("ns1/svc/other", true);
    world_.Start();
  }
  std::unique_ptr<EventHub> Hub(size_t max_messages = 1024) {
    EventHub::Parts parts;
    parts.snapshot = [this] { return world_.core.snapshot(); };
    parts.feed = world_.core.feed();
    parts.facts = [] { return DocumentFacts{1, 10}; };
    parts.workers = &world_.workers;
    parts.counters = &world_.counters;
    parts.max_messages = max_messages;
    return std::make_unique<EventHub>(std::move(parts));
  }
  std::unique_ptr<LegacyStream> Open(EventHub* hub, const EventChoice& choice = {}) {
    std::unique_ptr<LegacyStream> stream = hub->Subscribe(choice);
    stream->Start([this] { ++wakes_; });
    return stream;
  }
  void Emit(const std::string& id, const std::string& path = "") {
    Event event;
    event.id = id;
    if (!path.empty()) event.path = *ObjectPath::Parse(path);
    world_.core.EmitEvent(std::move(event));
    world_.Settle();
  }
  static std::vector<Json> All(LegacyStream* stream) {
    std::vector<Json> all;
    while (true) {
      absl::StatusOr<StreamMessagePtr> message = stream->Next();
      EXPECT_THAT(message, IsOk());
      if (!message.ok() || *message == nullptr) return all;
      all.push_back(*ParseJson((*message)->text()));
    }
  }
  static std::vector<Json> Events(LegacyStream* stream) {
    std::vector<Json> events;
    for (Json& message : All(stream)) {
      if (message["kind"] == "event") events.push_back(message["data"]);
    }
    return events;
  }

  ServiceFixture world_;
  int wakes_ = 0;
};

TEST_F(EventHubTest, AnEventTellsWhatItIsAboutInTheWordsOfTheVersion) {
  const std::unique_ptr<EventHub> hub = Hub();
  const auto old_reader = Open(hub.get());
  const auto new_reader = Open(hub.get(), {true, "", ""});
  Emit("instance_start", "svc1");
  const std::vector<Json> old_events = Events(old_reader.get());
  ASSERT_THAT(old_events, SizeIs(1));
  EXPECT_EQ(old_events[0]["id"], "instance_start");
  EXPECT_EQ(old_events[0]["svcpath"], "svc1");
  EXPECT_TRUE(old_events[0].contains("monitor"));
  EXPECT_TRUE(old_events[0]["service"].contains("avail"));
  EXPECT_FALSE(old_events[0]["instance"].contains("resources"));
  const std::vector<Json> new_events = Events(new_reader.get());
  ASSERT_THAT(new_events, SizeIs(1));
  EXPECT_EQ(new_events[0]["path"], "svc1");
  EXPECT_FALSE(new_events[0].contains("svcpath"));
  EXPECT_GT(wakes_, 0);
}

TEST_F(EventHubTest, AFilterLeavesOutObjectsButNotTheNode) {
  const std::unique_ptr<EventHub> hub = Hub();
  const auto by_glob = Open(hub.get(), {true, "svc*", ""});
  const auto by_namespace = Open(hub.get(), {true, "", "ns1"});
  Emit("a", "svc1");
  Emit("b", "ns1/svc/other");
  Emit("c");
  const auto ids = [](const std::vector<Json>& events) {
    std::string all;
    for (const Json& event : events) all += event["id"].get<std::string>();
    return all;
  };
  EXPECT_EQ(ids(Events(by_glob.get())), "ac");
  EXPECT_EQ(ids(Events(by_namespace.get())), "bc");
}

TEST_F(EventHubTest, PatchesOf2xLeadFromTheDocumentToTheNextOne) {
  const std::unique_ptr<EventHub> hub = Hub();
  const auto document = [this] {
    StatusDocumentBuilder builder;
    Json out = *ParseJson(
        builder.Build(*world_.core.snapshot(), DocumentFacts{1, 10}, Json::object(), nullptr));
    // What is not told: it moves with every change.
    for (auto& node : out["monitor"]["nodes"]) {
      node.erase("gen");
      node.erase("updated");
    }
    return out;
  };
  Json told = document();
  const auto reader = Open(hub.get(), {true, "", ""});
  world_.core.UpdateListener({"0.0.0.0", 1214, {{"0.0.0.0", 1214, "in use"}}});
  world_.AddService("svc3", false);
  world_.core.WakeMonitor(std::nullopt);
  world_.loop.AdvanceBy(std::chrono::seconds(30));
  int64_t id = 0;
  for (const Json& message : All(reader.get())) {
    if (message["kind"] != "patch") continue;
    EXPECT_FALSE(message.contains("nodename"));
    EXPECT_EQ(message["id"], ++id);
    told = ApplyPatch(told, message["data"]);
  }
  EXPECT_GT(id, 0);
  for (auto& node : told["monitor"]["nodes"]) {
    node.erase("gen");
    node.erase("updated");
  }
  Json now = document();
  EXPECT_EQ(Json::diff(told, now), Json::array());
}

TEST_F(EventHubTest, WhoFallsBehindIsLostAndTheOthersGetEverything) {
  const std::unique_ptr<EventHub> hub = Hub(/*max_messages=*/4);
  const auto deaf = Open(hub.get());
  const auto reader = Open(hub.get());
  size_t got = 0;
  for (int i = 0; i < 20; ++i) {
    Emit(absl::StrCat("e", i));
    got += Events(reader.get()).size();
  }
  EXPECT_EQ(got, 20u);
  EXPECT_FALSE(reader->lost());
  EXPECT_TRUE(deaf->lost());
  EXPECT_EQ(world_.counters.Get("packet.event_readers_lost")->value(), 1);
}

TEST_F(EventHubTest, NobodyListeningCostsNothing) {
  const std::unique_ptr<EventHub> hub = Hub();
  EXPECT_EQ(world_.core.feed()->subscriber_count(), 0u);
  {
    const auto reader = Open(hub.get());
    EXPECT_EQ(world_.core.feed()->subscriber_count(), 1u);
    EXPECT_EQ(hub->subscriber_count(), 1);
  }
  EXPECT_EQ(world_.core.feed()->subscriber_count(), 0u);
  EXPECT_EQ(hub->subscriber_count(), 0);
}

TEST_F(EventHubTest, ReadersOfOneKindShareTheirMessages) {
  const std::unique_ptr<EventHub> hub = Hub();
  const auto one = Open(hub.get());
  const auto other = Open(hub.get());
  Emit("a");
  EXPECT_EQ(*one->Next(), *other->Next());
}

TEST_F(EventHubTest, AReaderHearsNothingOfBefore) {
  const std::unique_ptr<EventHub> hub = Hub();
  const auto first = Open(hub.get());
  Emit("a");
  const auto second = Open(hub.get());
  EXPECT_THAT(Events(second.get()), IsEmpty());
  Emit("b");
  EXPECT_THAT(Events(second.get()), SizeIs(1));
  EXPECT_THAT(Events(first.get()), SizeIs(2));
}

}  // namespace
}  // namespace om
