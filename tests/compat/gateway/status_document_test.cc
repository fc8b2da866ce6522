#include "compat/gateway/status_document.h"

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "compat/wire/crypto.h"
#include "compat/wire/envelope.h"
#include "server/base/file.h"
#include "server/state/instance_status.h"
#include "server/state/state_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_loop.h"
#include "tests/support/fake_random.h"
#include "tests/support/golden.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ObjectPath Path(const std::string& text) {
  absl::StatusOr<ObjectPath> path = ObjectPath::Parse(text);
  EXPECT_THAT(path, IsOk());
  return *path;
}

// Two nodes with the service of the recorded document.
class StatusDocumentTest : public ::testing::Test {
 protected:
  StatusDocumentTest() {
    store_.SetCluster({"demo", "5b3c3e6e-0000-11ee-9c4c-0242ac120002", {"node1", "node2"}});
    store_.SetListener({"0.0.0.0", 1214, {{"0.0.0.0", 1214, ""}}});
    for (const char* id : {"listener", "monitor", "scheduler"}) PutThread(id);
    for (const char* node : {"node1", "node2"}) {
      store_.EditNode(node, [](NodeState* state) {
        state->agent_version = "omd";
        state->compat = 10;
        state->api = 7;
        state->env = "TST";
        state->monitor.status = "idle";
        state->stats.load_15m = 1.26;
        state->stats.mem_total_mib = 24105;
      });
    }
    AddService("svc1");
  }

  void PutThread(const std::string& id) {
    ThreadStatus thread;
    thread.id = id;
    thread.state = ThreadState::kRunning;
    thread.created = clock_.Now();
    thread.configured = clock_.Now();
    thread.kernel_tid = 42;
    store_.PutThread(std::move(thread));
  }

  void AddService(const std::string& path) {
    static const Json recorded =
        GoldenJson("compat/daemon_status_keys.json")["full_document"]["monitor"]["nodes"];
    store_.EditObject(Path(path), [this](ObjectState* object) {
      for (const char* node : {"node1", "node2"}) {
        ObjectConfig config;
        config.mtime = clock_.Now();
        config.csum = "393bb9aed138d68a00cdb4d32781089d";
        config.scope = {"node1", "node2"};
        object->configs[node] = config;
        Json document = recorded[node]["services"]["status"]["svc1"];
        document.erase("monitor");
        object->instances[node].status = *ParseInstanceStatus(std::move(document));
      }
      object->instances["node1"].monitor.placement = "leader";
    });
  }

  std::string Text(int compat_level = 10) {
    return builder_.Build(*store_.snapshot(), {4711, compat_level}, stats_.Sessions(), nullptr);
  }
  Json Document(int compat_level = 10) {
    const std::string text = Text(compat_level);
    absl::StatusOr<Json> document = ParseJson(text);
    EXPECT_THAT(document, IsOk()) << text;
    // What legacy peers write, byte for byte: the pieces are put together as the whole would be.
    if (document.ok()) EXPECT_EQ(DumpJson(*document), text);
    return document.ok() ? *std::move(document) : Json();
  }

  FakeClock clock_;
  StateStore store_{&clock_, "node1", "incarnation", ChangeFeed::Options{}};
  ListenerStats stats_;
  StatusDocumentBuilder builder_;
};

// Values of a dotted path; `<node>` and the like stand for every member.
std::vector<Json> At(const Json& document, const std::string& path) {
  std::vector<Json> found = {document};
  const std::vector<std::string> words = absl::StrSplit(path, '.');
  for (const std::string& word : words) {
    std::vector<Json> next;
    for (const Json& value : found) {
      if (!value.is_object()) continue;
      if (absl::StartsWith(word, "<")) {
        for (const auto& [key, member] : value.items()) next.push_back(member);
      } else if (value.contains(word)) {
        next.push_back(value[word]);
      }
    }
    found = std::move(next);
  }
  return found;
}

TEST_F(StatusDocumentTest, HasEveryKeyWithoutWhichLegacyClientsShowSomethingElse) {
  const Json document = Document();
  int checked = 0;
  const Json golden = GoldenJson("compat/daemon_status_keys.json");
  for (const Json& entry : golden["removal_effect"]) {
    if (entry["daemon_status"] == "same" && entry["mon"] == "same") continue;
    const std::string key = entry["key"].get<std::string>();
    // Heartbeats show what is configured; there are none here.
    if (absl::StartsWith(key, "hb#")) continue;
    EXPECT_THAT(At(document, key), Not(::testing::IsEmpty())) << key;
    ++checked;
  }
  EXPECT_GE(checked, 30);
}

// All members of `smaller`, and theirs, are in `larger`, with values of the same type.
void ExpectCovers(const Json& larger, const Json& smaller, const std::string& at) {
  for (const auto& [key, value] : smaller.items()) {
    const std::string here = absl::StrCat(at, ".", key);
    ASSERT_TRUE(larger.contains(key)) << here;
    if (value.is_object()) {
      ExpectCovers(larger[key], value, here);
    } else {
      EXPECT_STREQ(larger[key].type_name(), value.type_name()) << here;
    }
  }
}

TEST_F(StatusDocumentTest, CoversTheSmallestDocumentThatRenders) {
  ExpectCovers(Document(), GoldenJson("compat/daemon_status_keys.json")["smallest_rendered"], "");
}

TEST_F(StatusDocumentTest, CoversTheRecordedDocumentOfTheOldAgents) {
  Json recorded = GoldenJson("compat/daemon_status_keys.json")["full_document"];
  // What this cluster does not have.
  recorded.erase("hb#1.rx");
  recorded.erase("hb#1.tx");
  recorded["listener"]["stats"]["sessions"]["alive"] = Json::object();
  recorded["listener"]["stats"]["sessions"]["clients"] = Json::object();
  recorded["monitor"]["services"].erase("cluster");
  for (const char* node : {"node1", "node2"}) {
    Json& data = recorded["monitor"]["nodes"][node];
    data["services"]["config"].erase("cluster");
    data["services"]["status"].erase("cluster");
    data["gen"] = Json::object();
    // Old agents write null for an expectation that is not set, or nothing.
    for (const char* key : {"local_expect", "global_expect"}) {
      data["monitor"].erase(key);
      data["services"]["status"]["svc1"]["monitor"].erase(key);
    }
    data["services"]["status"]["svc1"]["monitor"].erase("restart");
  }
  ExpectCovers(Document(9), recorded, "");
}

TEST_F(StatusDocumentTest, HasTheKeysThatLaterVersionsAdded) {
  const Json document = Document();
  EXPECT_EQ(document["daemon"]["state"], "running");
  EXPECT_EQ(document["daemon"]["ident"], 4711);
  EXPECT_EQ(document["pid"], 4711);
  for (const char* thread : {"listener", "monitor", "scheduler"}) {
    EXPECT_EQ(document[thread]["state"], "running") << thread;
    EXPECT_EQ(document[thread]["configured"], om::ToUnixSeconds(clock_.Now())) << thread;
    EXPECT_EQ(document[thread]["ident"], 42) << thread;
    EXPECT_EQ(document[thread]["tid"], 42) << thread;
  }
  const Json& node = document["monitor"]["nodes"]["node1"];
  EXPECT_EQ(node["api"], 7);
  EXPECT_TRUE(node["config"].contains("csum"));
}

TEST_F(StatusDocumentTest, RestartCountsHaveTheFormOfTheCompatibilityLevel) {
  store_.EditInstance(Path("svc1"), [](InstanceState* instance) {
    instance->monitor.restart = {{"app#1", 2}};
  });
  const auto restart = [this](int level) {
    return Document(level)["monitor"]["nodes"]["node1"]["services"]["status"]["svc1"]["monitor"]
                          ["restart"]["app#1"];
  };
  EXPECT_EQ(restart(9), 2);
  EXPECT_EQ(restart(10)["retries"], 2);
  // The parts that are kept follow a change of the level back, too.
  EXPECT_EQ(restart(9), 2);
}

TEST_F(StatusDocumentTest, ExpectationsAreShownWhenSet) {
  store_.EditInstance(Path("svc1"), [this](InstanceState* instance) {
    instance->monitor.local_expect = "started";
    instance->monitor.global_expect = "stopped";
    instance->monitor.global_expect_updated = clock_.Now();
    instance->monitor.stonith = "node2";
  });
  const Json monitor =
      Document()["monitor"]["nodes"]["node1"]["services"]["status"]["svc1"]["monitor"];
  EXPECT_EQ(monitor["local_expect"], "started");
  EXPECT_TRUE(monitor.contains("local_expect_updated"));
  EXPECT_EQ(monitor["global_expect"], "stopped");
  EXPECT_EQ(monitor["global_expect_updated"], om::ToUnixSeconds(clock_.Now()));
  EXPECT_EQ(monitor["stonith"], "node2");
}

TEST_F(StatusDocumentTest, FrozenIsZeroOrTheTimeSinceWhen) {
  EXPECT_EQ(Document()["monitor"]["nodes"]["node1"]["frozen"], 0);
  store_.EditNode("node1", [this](NodeState* node) { node->frozen_since = clock_.Now(); });
  store_.EditInstance(Path("svc1"),
                      [this](InstanceState* instance) { instance->frozen_since = clock_.Now(); });
  const Json node = Document()["monitor"]["nodes"]["node1"];
  EXPECT_EQ(node["frozen"], om::ToUnixSeconds(clock_.Now()));
  EXPECT_EQ(node["services"]["status"]["svc1"]["frozen"], om::ToUnixSeconds(clock_.Now()));
}

TEST_F(StatusDocumentTest, AStoppedThreadIsShownAndOneThatNeverWasIsStopped) {
  ThreadStatus thread;
  thread.id = "monitor";
  thread.state = ThreadState::kTerminated;
  store_.PutThread(thread);
  store_.EraseThread("scheduler");
  EXPECT_EQ(Document()["monitor"]["state"], "terminated");
  EXPECT_EQ(Document()["scheduler"]["state"], "stopped");
  PutThread("hb#1.rx");
  EXPECT_EQ(Document()["hb#1.rx"]["state"], "running");
}

TEST_F(StatusDocumentTest, AnAddressThatCannotBeListenedOnIsAnAlert) {
  store_.SetListener({"10.9.9.9", 1214, {{"10.9.9.9", 1214, "Cannot assign requested address"}}});
  const Json listener = Document()["listener"];
  EXPECT_EQ(listener["config"], Json({{"port", 1214}, {"addr", "10.9.9.9"}}));
  ASSERT_EQ(listener["alerts"].size(), 1u);
  EXPECT_EQ(listener["alerts"][0]["severity"], "error");
  EXPECT_THAT(listener["alerts"][0]["message"].get<std::string>(),
              ::testing::AllOf(HasSubstr("10.9.9.9"), HasSubstr("Cannot assign")));
}

TEST_F(StatusDocumentTest, AnInstanceThatWasNeverEvaluatedStillHasItsMonitor) {
  store_.EditObject(Path("svc2"), [](ObjectState* object) { object->instances["node1"]; });
  const Json instance = Document()["monitor"]["nodes"]["node1"]["services"]["status"]["svc2"];
  EXPECT_EQ(instance["monitor"]["status"], "idle");
  EXPECT_EQ(instance["resources"], Json::object());
}

TEST_F(StatusDocumentTest, ObjectsWithoutAggregateAreEmptyObjects) {
  store_.EditObject(Path("cfg/c1"),
                    [](ObjectState* object) { object->configs["node1"].csum = "1"; });
  const Json services = Document()["monitor"]["services"];
  ASSERT_TRUE(services.contains("cfg/c1"));
  if (store_.snapshot()->objects.Find(Path("cfg/c1"))->aggregate.empty()) {
    EXPECT_EQ(services["cfg/c1"], Json::object());
  }
}

TEST_F(StatusDocumentTest, UnchangedObjectsAreNotWrittenAgainButChangedOnesAre) {
  AddService("svc2");
  Text();
  // The document of the unchanged one is taken away behind the builder's back: were it written
  // again, it would show.
  const std::shared_ptr<const ObjectState> kept = store_.snapshot()->objects.Find(Path("svc2"));
  const auto& status = kept->instances.at("node1").status;
  const_cast<InstanceStatus&>(*status).document = std::make_shared<const Json>(Json::object());
  store_.EditInstance(Path("svc1"),
                      [](InstanceState* instance) { instance->monitor.status = "starting"; });
  const Json services = Document()["monitor"]["nodes"]["node1"]["services"]["status"];
  EXPECT_EQ(services["svc1"]["monitor"]["status"], "starting");
  EXPECT_EQ(services["svc2"]["avail"], "up");
}

TEST_F(StatusDocumentTest, ObjectsThatAreGoneAreForgotten) {
  AddService("svc2");
  Text();
  const std::weak_ptr<const ObjectState> gone = store_.snapshot()->objects.Find(Path("svc2"));
  store_.EraseObject(Path("svc2"));
  const Json document = Document();
  EXPECT_FALSE(document["monitor"]["services"].contains("svc2"));
  EXPECT_FALSE(document["monitor"]["nodes"]["node1"]["services"]["status"].contains("svc2"));
  EXPECT_TRUE(gone.expired());
}

TEST_F(StatusDocumentTest, AnObjectReplacedByAnotherIsForgottenAsWell) {
  AddService("svc2");
  Text();
  const std::weak_ptr<const ObjectState> gone = store_.snapshot()->objects.Find(Path("svc2"));
  store_.EraseObject(Path("svc2"));
  AddService("svc3");
  Text();
  EXPECT_TRUE(gone.expired());
}

TEST_F(StatusDocumentTest, OnlySelectedObjectsAreShown) {
  AddService("svc2");
  const std::string text =
      StatusDocumentBuilder().Build(*store_.snapshot(), {1, 10}, stats_.Sessions(),
                                    [](const ObjectPath& path) { return path.name() == "svc2"; });
  const Json document = *ParseJson(text);
  EXPECT_EQ(document["monitor"]["services"].size(), 1u);
  EXPECT_TRUE(document["monitor"]["services"].contains("svc2"));
  for (const char* part : {"config", "status"}) {
    EXPECT_EQ(document["monitor"]["nodes"]["node1"]["services"][part].size(), 1u) << part;
  }
}

TEST_F(StatusDocumentTest, HostileTextsDoNotBreakTheDocument) {
  const std::string hostile = "\"}, \"x\": {\\\n\x01\xff\xc3\xa9\xf0\x9f\x98\x80";
  store_.SetCluster({hostile, hostile, {hostile, "node1"}});
  store_.SetAlerts({{Alert::Severity::kError, hostile}});
  store_.EditNode(hostile, [&](NodeState* node) {
    node->labels = {{hostile, hostile}};
    node->env = hostile;
    node->monitor.status = hostile;
  });
  PutThread(hostile);
  store_.EditObject(Path("svc1"), [&](ObjectState* object) {
    object->configs[hostile].csum = hostile;
    object->configs[hostile].scope = {hostile};
    object->instances[hostile].monitor.status = hostile;
    object->instances[hostile].monitor.restart = {{hostile, 1}};
    object->instances[hostile].status = object->instances["node1"].status;
  });
  stats_.Accepted(hostile);
  absl::StatusOr<Json> document = ParseJson(Text());
  ASSERT_THAT(document, IsOk());
  EXPECT_FALSE(document->contains("x"));
  const std::string shown = (*document)["cluster"]["name"].get<std::string>();
  EXPECT_THAT(shown, HasSubstr("\xc3\xa9\xf0\x9f\x98\x80"));
  ASSERT_TRUE((*document)["monitor"]["nodes"].contains(shown));
  EXPECT_EQ((*document)["monitor"]["nodes"][shown]["labels"][shown], shown);
  EXPECT_EQ(
      (*document)["monitor"]["nodes"][shown]["services"]["status"]["svc1"]["monitor"]["status"],
      shown);
}

TEST_F(StatusDocumentTest, AnEmptyClusterIsADocument) {
  StateStore empty(&clock_, "node1", "incarnation", ChangeFeed::Options{});
  const std::string text =
      StatusDocumentBuilder().Build(*empty.snapshot(), {1, 10}, stats_.Sessions(), nullptr);
  OM_ASSERT_OK_AND_ASSIGN(const Json document, ParseJson(text));
  EXPECT_EQ(document["monitor"]["nodes"], Json::object());
  EXPECT_EQ(document["monitor"]["services"], Json::object());
}

// Takes work and keeps it until it is told to run it.
class ManualExecutor final : public Executor {
 public:
  bool Post(std::function<void()> work) override {
    if (refuses) return false;
    queue.push_back(std::move(work));
    return true;
  }
  void Run() {
    while (!queue.empty()) {
      const std::function<void()> work = std::move(queue.front());
      queue.pop_front();
      work();
    }
  }
  bool refuses = false;
  std::deque<std::function<void()>> queue;
};

class StatusDocumentCacheTest : public StatusDocumentTest {
 protected:
  using DocumentPtr = std::shared_ptr<const RenderedDocument>;
  // What came for each Get(), in the order of answers; null: refused.
  void Get() {
    cache_.Get([this](const DocumentPtr& document) { got_.push_back(document); });
  }
  void Change() {
    store_.EditNode("node1", [](NodeState* node) { node->agent_version += "+"; });
  }

  ManualExecutor workers_;
  int built_ = 0;
  std::function<void()> while_building_ = [] {};
  std::vector<DocumentPtr> got_;
  StatusDocumentCache cache_{[this] { return store_.snapshot(); },
                             [this] {
                               ++built_;
                               while_building_();
                               return DocumentFacts{4711, 10};
                             },
                             &stats_, &workers_, &clock_};
};

TEST_F(StatusDocumentCacheTest, IsBuiltOnAWorkerAndNotInTheCall) {
  Get();
  EXPECT_EQ(built_, 0);
  EXPECT_TRUE(got_.empty());
  workers_.Run();
  ASSERT_EQ(got_.size(), 1u);
  EXPECT_EQ(got_[0]->revision, store_.snapshot()->revision);
  EXPECT_EQ(got_[0]->text, Text());
}

TEST_F(StatusDocumentCacheTest, TheCompressedFormIsThatOfTheText) {
  for (const size_t padding : {size_t{0}, size_t{100'000}}) {
    store_.EditNode("node1", [&](NodeState* node) { node->env = std::string(padding, 'x'); });
    got_.clear();
    Get();
    workers_.Run();
    ASSERT_EQ(got_.size(), 1u);
    const Key key = *Key::FromSecret("0123456789abcdef0123456789abcdef");
    FakeSecureRandom random;
    std::string packet = SealCompressed(key, &random, "demo", "node1", got_[0]->compressed);
    packet.pop_back();
    OM_ASSERT_OK_AND_ASSIGN(const OpenedPacket opened, OpenPacket(key, *ParseEnvelope(packet)));
    EXPECT_TRUE(opened.text == got_[0]->text);
  }
}

TEST_F(StatusDocumentCacheTest, ManyWhoAskAtOnceShareOneDocument) {
  for (int i = 0; i < 100; ++i) Get();
  EXPECT_EQ(workers_.queue.size(), 1u);
  workers_.Run();
  EXPECT_EQ(built_, 1);
  ASSERT_EQ(got_.size(), 100u);
  EXPECT_THAT(got_, ::testing::Each(got_[0]));
}

TEST_F(StatusDocumentCacheTest, AnUnchangedStateIsNotBuiltAgainWithinASecond) {
  Get();
  workers_.Run();
  clock_.Advance(std::chrono::milliseconds(999));
  Get();
  EXPECT_EQ(got_.size(), 2u);  // In the call.
  EXPECT_EQ(built_, 1);
  // Statistics that are not part of the state must not be older than that.
  clock_.Advance(std::chrono::milliseconds(1));
  stats_.Accepted("10.0.0.2");
  Get();
  workers_.Run();
  EXPECT_EQ(built_, 2);
  EXPECT_EQ((*ParseJson(got_.back()->text))["listener"]["stats"]["sessions"]["accepted"], 1);
}

TEST_F(StatusDocumentCacheTest, AChangeIsSeenByTheNextWhoAsks) {
  Get();
  workers_.Run();
  Change();
  Get();
  EXPECT_EQ(got_.size(), 1u);
  workers_.Run();
  ASSERT_EQ(got_.size(), 2u);
  EXPECT_EQ(got_[1]->revision, store_.snapshot()->revision);
}

TEST_F(StatusDocumentCacheTest, WhoAsksDuringABuildGetsADocumentAtLeastAsNewAsTheCall) {
  Revision asked{0};
  while_building_ = [&] {
    if (built_ != 1) return;
    Change();  // The document being built no longer has it all.
    asked = store_.snapshot()->revision;
    Get();
  };
  Get();
  workers_.Run();
  ASSERT_EQ(got_.size(), 2u);
  EXPECT_EQ(built_, 2);
  EXPECT_LT(got_[0]->revision, asked);
  EXPECT_GE(got_[1]->revision, asked);
}

TEST_F(StatusDocumentCacheTest, WhoAsksDuringABuildOfTheSameStateSharesIt) {
  while_building_ = [&] {
    if (built_ == 1) Get();
  };
  Get();
  workers_.Run();
  ASSERT_EQ(got_.size(), 2u);
  EXPECT_EQ(built_, 1);
  EXPECT_EQ(got_[0], got_[1]);
}

TEST_F(StatusDocumentCacheTest, WhoAsksInAnAnswerIsAnswered) {
  int answers = 0;
  cache_.Get([&](const DocumentPtr&) {
    ++answers;
    Change();
    cache_.Get([&](const DocumentPtr& document) {
      ++answers;
      EXPECT_EQ(document->revision, store_.snapshot()->revision);
    });
  });
  workers_.Run();
  EXPECT_EQ(answers, 2);
}

TEST_F(StatusDocumentCacheTest, ARefusingExecutorIsToldAndForgiven) {
  workers_.refuses = true;
  Get();
  ASSERT_EQ(got_.size(), 1u);
  EXPECT_EQ(got_[0], nullptr);
  workers_.refuses = false;
  Get();
  workers_.Run();
  ASSERT_EQ(got_.size(), 2u);
  EXPECT_NE(got_[1], nullptr);
}

TEST_F(StatusDocumentCacheTest, PastTheLimitOfWaitersOthersAreRefusedAtOnce) {
  for (size_t i = 0; i < StatusDocumentCache::kMaxWaiters; ++i) Get();
  EXPECT_TRUE(got_.empty());
  Get();
  ASSERT_EQ(got_.size(), 1u);
  EXPECT_EQ(got_[0], nullptr);
  workers_.Run();
  EXPECT_EQ(got_.size(), StatusDocumentCache::kMaxWaiters + 1);
  EXPECT_EQ(built_, 1);
}

}  // namespace
}  // namespace om
