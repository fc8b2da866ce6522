#include "server/service/status_watch.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/state/state_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

namespace pb = control::v1;

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kIncarnation[] = "11111111-2222-4333-8444-555555555555";

ObjectPath Path(const std::string& text) {
  absl::StatusOr<ObjectPath> path = ObjectPath::Parse(text);
  EXPECT_THAT(path, IsOk());
  return *path;
}

DaemonFacts Facts() {
  DaemonFacts facts;
  facts.version = "0.1.0";
  facts.incarnation = kIncarnation;
  return facts;
}

class StatusTest : public ::testing::Test {
 protected:
  StatusTest() {
    store_.SetCluster({"demo", "id", {"node1"}});
    Touch();
  }
  static ChangeFeed::Options FeedOptions() {
    ChangeFeed::Options options;
    options.max_changes = 100;
    return options;
  }
  // A change of the node.
  void Touch() {
    store_.EditNode("node1", [this](NodeState* node) {
      node->monitor.status = absl::StrCat("word", ++touches_);
    });
  }
  void Add(const std::string& path, size_t padding = 0) {
    store_.EditObject(Path(path), [&](ObjectState* object) {
      object->configs["node1"].csum = std::string(padding, 'c');
    });
  }
  void AddMany(int count, size_t padding = 0) {
    const StateStore::Batch batch(&store_);
    for (int i = 0; i < count; ++i) Add(absl::StrCat("svc", 10'000 + i), padding);
  }

  pb::GetStatusResponse Page(const pb::GetStatusRequest& request = {}) {
    absl::StatusOr<Bytes> bytes = cache_.Page(store_.snapshot(), request, Visibility::Everything());
    EXPECT_THAT(bytes, IsOk());
    pb::GetStatusResponse page;
    if (bytes.ok()) EXPECT_TRUE(page.ParseFromString(**bytes));
    return page;
  }

  int touches_ = 0;
  FakeClock clock_;
  StateStore store_{&clock_, "node1", kIncarnation, FeedOptions()};
  StatusCache cache_{Facts()};
};

using StatusCacheTest = StatusTest;

TEST_F(StatusCacheTest, APageTellsDaemonClusterThreadsNodesAndObjects) {
  ThreadStatus thread;
  thread.id = "monitor";
  store_.PutThread(thread);
  Add("svc1");
  const pb::GetStatusResponse page = Page();
  EXPECT_EQ(page.daemon().version(), "0.1.0");
  EXPECT_EQ(page.cluster().name(), "demo");
  EXPECT_EQ(page.threads(0).id(), "monitor");
  EXPECT_EQ(page.nodes(0).name(), "node1");
  EXPECT_EQ(page.objects(0).path(), "svc1");
  EXPECT_EQ(page.total_object_count(), 1);
  EXPECT_EQ(page.next_page_token(), "");
  EXPECT_EQ(page.revision(), ToNumber(store_.snapshot()->revision));
}

TEST_F(StatusCacheTest, PlainRequestsOfOneRevisionShareTheirBytes) {
  OM_ASSERT_OK_AND_ASSIGN(const Bytes first,
                          cache_.Page(store_.snapshot(), {}, Visibility::Everything()));
  OM_ASSERT_OK_AND_ASSIGN(const Bytes second,
                          cache_.Page(store_.snapshot(), {}, Visibility::Everything()));
  EXPECT_EQ(first, second);
  Touch();
  OM_ASSERT_OK_AND_ASSIGN(const Bytes third,
                          cache_.Page(store_.snapshot(), {}, Visibility::Everything()));
  EXPECT_NE(*first, *third);
}

TEST_F(StatusCacheTest, WhoComesWithAnOlderSnapshotGetsTheNewerAnswer) {
  const SnapshotPtr older = store_.snapshot();
  Touch();
  OM_ASSERT_OK_AND_ASSIGN(const Bytes newer,
                          cache_.Page(store_.snapshot(), {}, Visibility::Everything()));
  EXPECT_THAT(cache_.Page(older, {}, Visibility::Everything()), IsOkAndHolds(newer));
}

TEST_F(StatusCacheTest, PagesFollowEachOtherWithoutGapOrRepetition) {
  AddMany(25);
  pb::GetStatusRequest request;
  request.set_page_size(10);
  std::vector<int> sizes;
  std::set<std::string> seen;
  do {
    const pb::GetStatusResponse page = Page(request);
    EXPECT_EQ(page.total_object_count(), 25);
    sizes.push_back(page.objects_size());
    for (const pb::ObjectStatus& object : page.objects()) {
      EXPECT_TRUE(seen.insert(object.path()).second) << object.path();
    }
    request.set_page_token(page.next_page_token());
    Touch();  // Between two pages the state may change.
  } while (!request.page_token().empty());
  EXPECT_THAT(sizes, ElementsAre(10, 10, 5));
  EXPECT_EQ(seen.size(), 25u);
}

TEST_F(StatusCacheTest, AFullLastPageHasNoSuccessor) {
  AddMany(20);
  pb::GetStatusRequest request;
  request.set_page_size(10);
  request.set_page_token(Page(request).next_page_token());
  const pb::GetStatusResponse last = Page(request);
  EXPECT_EQ(last.objects_size(), 10);
  EXPECT_EQ(last.next_page_token(), "");
}

TEST_F(StatusCacheTest, TheObjectAPageEndedWithMayBeGoneWhenTheNextIsAsked) {
  AddMany(4);
  pb::GetStatusRequest request;
  request.set_page_size(2);
  request.set_page_token(Page(request).next_page_token());
  store_.EraseObject(Path("svc10001"));
  const pb::GetStatusResponse next = Page(request);
  ASSERT_EQ(next.objects_size(), 2);
  EXPECT_EQ(next.objects(0).path(), "svc10002");
}

TEST_F(StatusCacheTest, PagesAreBoundedInBytesWhateverTheirSize) {
  AddMany(100, 100'000);
  pb::GetStatusRequest request;
  request.set_page_size(1000);
  int count = 0;
  do {
    OM_ASSERT_OK_AND_ASSIGN(const Bytes bytes,
                            cache_.Page(store_.snapshot(), request, Visibility::Everything()));
    EXPECT_LT(bytes->size(), size_t{2} << 20);
    pb::GetStatusResponse page;
    ASSERT_TRUE(page.ParseFromString(*bytes));
    ASSERT_GT(page.objects_size(), 0);
    count += page.objects_size();
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(count, 100);
  // The plain request, too.
  EXPECT_NE(Page().next_page_token(), "");
}

TEST_F(StatusCacheTest, ASelectorIsAGlobOnPaths) {
  Add("svc1");
  Add("svc2");
  Add("ns1/svc/a");
  pb::GetStatusRequest request;
  request.set_selector("svc*");
  EXPECT_EQ(Page(request).objects_size(), 2);
  EXPECT_EQ(Page(request).total_object_count(), 2);
  request.set_selector("ns1/*");
  EXPECT_EQ(Page(request).objects(0).path(), "ns1/svc/a");
  request.set_selector("nothing");
  EXPECT_EQ(Page(request).objects_size(), 0);
}

TEST_F(StatusCacheTest, BadSizesAndTokensAreRefusedByField) {
  for (const int size : {-1, 1001}) {
    pb::GetStatusRequest request;
    request.set_page_size(size);
    const absl::Status refused =
        cache_.Page(store_.snapshot(), request, Visibility::Everything()).status();
    EXPECT_THAT(refused, StatusIs(StatusCode::kInvalidArgument));
    EXPECT_EQ(FieldOf(refused), "page_size");
  }
  for (const char* token : {"!", "x", "AAAA", "Li4vLi4veA"}) {
    pb::GetStatusRequest request;
    request.set_page_token(token);
    const absl::Status refused =
        cache_.Page(store_.snapshot(), request, Visibility::Everything()).status();
    EXPECT_THAT(refused, StatusIs(StatusCode::kInvalidArgument)) << token;
    EXPECT_EQ(FieldOf(refused), "page_token");
    EXPECT_EQ(ReasonOf(refused), "INVALID_PAGE_TOKEN");
  }
}

class StatusWatchTest : public StatusTest {
 protected:
  std::unique_ptr<StatusWatch> Open(const pb::WatchStatusRequest& request = {}) {
    auto watch =
        std::make_unique<StatusWatch>(&cache_, store_.feed(), [this] { return store_.snapshot(); });
    EXPECT_THAT(watch->Open(request), IsOk());
    return watch;
  }
  absl::Status OpenError(const std::string& token) {
    StatusWatch watch(&cache_, store_.feed(), [this] { return store_.snapshot(); });
    pb::WatchStatusRequest request;
    request.set_resume_token(token);
    return watch.Open(request);
  }
  static pb::WatchStatusRequest OnlyChanges() {
    pb::WatchStatusRequest request;
    request.set_only_changes(true);
    return request;
  }
  static pb::WatchStatusRequest From(const std::string& token) {
    pb::WatchStatusRequest request;
    request.set_resume_token(token);
    return request;
  }
  // Everything that the watch has to tell now.
  static std::vector<pb::WatchStatusResponse> Drain(StatusWatch* watch) {
    std::vector<pb::WatchStatusResponse> messages;
    while (true) {
      absl::StatusOr<Bytes> bytes = watch->Next();
      EXPECT_THAT(bytes, IsOk());
      if (!bytes.ok() || *bytes == nullptr) return messages;
      EXPECT_LT((*bytes)->size(), size_t{1} << 20);
      messages.emplace_back();
      EXPECT_TRUE(messages.back().ParseFromString(**bytes));
    }
  }
};

TEST_F(StatusWatchTest, TheStateComesInPiecesThenItsEndThenNothing) {
  AddMany(450);
  const std::unique_ptr<StatusWatch> watch = Open();
  const std::vector<pb::WatchStatusResponse> messages = Drain(watch.get());
  ASSERT_GE(messages.size(), 3u);
  int objects = 0;
  std::string last;
  for (size_t i = 0; i + 1 < messages.size(); ++i) {
    ASSERT_TRUE(messages[i].has_state());
    EXPECT_EQ(messages[i].state().has_daemon(), i == 0);
    EXPECT_EQ(messages[i].state().nodes_size(), i == 0 ? 1 : 0);
    EXPECT_EQ(messages[i].resume_token(), "");
    for (const pb::ObjectStatus& object : messages[i].state().objects()) {
      EXPECT_LT(last, object.path());
      last = object.path();
      ++objects;
    }
  }
  EXPECT_EQ(objects, 450);
  ASSERT_TRUE(messages.back().has_state_end());
  EXPECT_EQ(messages.back().state_end().object_count(), 450);
  EXPECT_EQ(messages.back().state_end().revision(), ToNumber(store_.snapshot()->revision));
  EXPECT_EQ(messages.back().resume_token(),
            EncodeResumeToken(kIncarnation, store_.snapshot()->revision));
}

TEST_F(StatusWatchTest, AnEmptyStateHasOnePieceAndAnEnd) {
  const std::vector<pb::WatchStatusResponse> messages = Drain(Open().get());
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_TRUE(messages[0].has_state());
  EXPECT_EQ(messages[1].state_end().object_count(), 0);
}

TEST_F(StatusWatchTest, PiecesAreOfOneMomentAndChangesMeanwhileFollow) {
  AddMany(450);
  const std::unique_ptr<StatusWatch> watch = Open();
  OM_ASSERT_OK_AND_ASSIGN(const Bytes first, watch->Next());
  store_.EraseObject(Path("svc10449"));
  const std::vector<pb::WatchStatusResponse> messages = Drain(watch.get());
  ASSERT_GE(messages.size(), 3u);
  EXPECT_EQ(messages[messages.size() - 2].state_end().object_count(), 450);
  EXPECT_THAT(messages.back().change().removed_object_paths(), ElementsAre("svc10449"));
}

TEST_F(StatusWatchTest, OnlyChangesStartsWithTheNextOne) {
  Add("svc1");
  const std::unique_ptr<StatusWatch> watch = Open(OnlyChanges());
  EXPECT_THAT(Drain(watch.get()), IsEmpty());
  Add("svc2");
  const std::vector<pb::WatchStatusResponse> messages = Drain(watch.get());
  ASSERT_EQ(messages.size(), 1u);
  ASSERT_EQ(messages[0].change().objects_size(), 1);
  EXPECT_EQ(messages[0].change().objects(0).path(), "svc2");
}

TEST_F(StatusWatchTest, SeveralChangesComeInOneMessageThatNamesEachThingOnce) {
  const std::unique_ptr<StatusWatch> watch = Open(OnlyChanges());
  for (int i = 0; i < 10; ++i) {
    Touch();
    Add("svc1", static_cast<size_t>(i));
    Event event;
    event.id = absl::StrCat("event", i);
    store_.Emit(event);
  }
  store_.EditObject(Path("svc1"),
                    [](ObjectState* object) { object->configs["node1"].error = "x"; });
  const std::vector<pb::WatchStatusResponse> messages = Drain(watch.get());
  ASSERT_EQ(messages.size(), 1u);
  const pb::StateChange& change = messages[0].change();
  EXPECT_EQ(change.revision(), ToNumber(store_.snapshot()->revision));
  EXPECT_EQ(change.nodes_size(), 1);
  EXPECT_EQ(change.nodes(0).monitor().status(), "word11");
  EXPECT_EQ(change.objects_size(), 1);
  EXPECT_EQ(change.objects(0).config_error(), "x");
  ASSERT_EQ(change.events_size(), 10);
  EXPECT_EQ(change.events(0).id(), "event0");
  EXPECT_EQ(change.events(9).id(), "event9");
}

TEST_F(StatusWatchTest, ThreadsListenerAndClusterAreTold) {
  const std::unique_ptr<StatusWatch> watch = Open(OnlyChanges());
  ThreadStatus thread;
  thread.id = "listener";
  thread.state = ThreadState::kRunning;
  store_.PutThread(thread);
  Drain(watch.get());
  store_.SetListener({"0.0.0.0", 1214, {{"0.0.0.0", 1214, ""}}});
  std::vector<pb::WatchStatusResponse> messages = Drain(watch.get());
  ASSERT_EQ(messages.size(), 1u);
  ASSERT_EQ(messages[0].change().threads_size(), 1);
  EXPECT_THAT(messages[0].change().threads(0).endpoints(), ElementsAre("0.0.0.0:1214"));
  store_.SetCluster({"other", "id", {"node1"}});
  messages = Drain(watch.get());
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].change().cluster().name(), "other");
}

TEST_F(StatusWatchTest, WatchersThatKeepUpShareTheBytes) {
  const std::unique_ptr<StatusWatch> one = Open(OnlyChanges());
  const std::unique_ptr<StatusWatch> other = Open(OnlyChanges());
  Touch();
  OM_ASSERT_OK_AND_ASSIGN(const Bytes first, one->Next());
  OM_ASSERT_OK_AND_ASSIGN(const Bytes second, other->Next());
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first, second);
}

TEST_F(StatusWatchTest, AResumedWatchGoesOnAfterItsTokenWithoutState) {
  const std::string token = Drain(Open().get()).back().resume_token();
  Add("svc1");
  Add("svc2");
  const std::vector<pb::WatchStatusResponse> messages = Drain(Open(From(token)).get());
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].change().objects_size(), 2);
  // With the token of that message there is nothing left.
  EXPECT_THAT(Drain(Open(From(messages[0].resume_token())).get()), IsEmpty());
}

TEST_F(StatusWatchTest, AChangeTooLargeForOneMessageComesInSeveral) {
  const std::unique_ptr<StatusWatch> watch = Open(OnlyChanges());
  const std::string before = EncodeResumeToken(kIncarnation, store_.snapshot()->revision);
  AddMany(200, 10'000);  // One revision of 2 MB.
  const std::vector<pb::WatchStatusResponse> messages = Drain(watch.get());
  ASSERT_GT(messages.size(), 1u);
  std::set<std::string> seen;
  for (size_t i = 0; i < messages.size(); ++i) {
    const pb::StateChange& change = messages[i].change();
    EXPECT_EQ(change.revision(), ToNumber(store_.snapshot()->revision));
    EXPECT_GT(change.objects_size(), 0);
    for (const pb::ObjectStatus& object : change.objects()) seen.insert(object.path());
    // Before the last of them the whole change is still to come for who resumes.
    if (i + 1 < messages.size()) EXPECT_EQ(messages[i].resume_token(), before);
  }
  EXPECT_EQ(seen.size(), 200u);
  EXPECT_EQ(messages.back().resume_token(),
            EncodeResumeToken(kIncarnation, store_.snapshot()->revision));
  EXPECT_EQ(Drain(Open(From(messages[0].resume_token())).get()).size(), messages.size());
  EXPECT_THAT(Drain(watch.get()), IsEmpty());
}

TEST_F(StatusWatchTest, AForeignTokenIsOutOfRange) {
  const absl::Status refused = OpenError(EncodeResumeToken("another-run", Revision{1}));
  EXPECT_THAT(refused, StatusIs(StatusCode::kOutOfRange));
  EXPECT_EQ(ReasonOf(refused), "FOREIGN_TOKEN");
  EXPECT_EQ(FieldOf(refused), "resume_token");
}

TEST_F(StatusWatchTest, ATokenOfTheFutureIsOutOfRange) {
  EXPECT_THAT(OpenError(EncodeResumeToken(kIncarnation, Revision{1'000'000})),
              StatusIs(StatusCode::kOutOfRange));
}

TEST_F(StatusWatchTest, WhatIsNoTokenIsAnInvalidArgument) {
  const absl::Status refused = OpenError("nonsense");
  EXPECT_THAT(refused, StatusIs(StatusCode::kInvalidArgument));
  EXPECT_EQ(FieldOf(refused), "resume_token");
}

TEST_F(StatusWatchTest, AnExpiredTokenIsOutOfRangeAtOnce) {
  const std::string token = EncodeResumeToken(kIncarnation, store_.snapshot()->revision);
  for (int i = 0; i < 200; ++i) Touch();
  const absl::Status refused = OpenError(token);
  EXPECT_THAT(refused, StatusIs(StatusCode::kOutOfRange));
  EXPECT_EQ(ReasonOf(refused), "REVISION_GONE");
}

TEST_F(StatusWatchTest, AWatcherThatFallsBehindIsToldOfTheGap) {
  const std::unique_ptr<StatusWatch> watch = Open(OnlyChanges());
  for (int i = 0; i < 200; ++i) Touch();
  const absl::StatusOr<Bytes> gap = watch->Next();
  EXPECT_THAT(gap, StatusIs(StatusCode::kOutOfRange));
  EXPECT_EQ(ReasonOf(gap.status()), "REVISION_GONE");
}

TEST_F(StatusWatchTest, AStateThatTookTooLongToSendEndsInTheGap) {
  AddMany(450);
  const std::unique_ptr<StatusWatch> watch = Open();
  for (int i = 0; i < 200; ++i) Touch();
  absl::StatusOr<Bytes> next = Bytes();
  do {
    next = watch->Next();
  } while (next.ok() && *next != nullptr);
  EXPECT_THAT(next, StatusIs(StatusCode::kOutOfRange));
}

TEST_F(StatusWatchTest, HeartbeatsCarryAPositionFromWhichToResume) {
  const std::unique_ptr<StatusWatch> watch = Open(OnlyChanges());
  pb::WatchStatusResponse message;
  ASSERT_TRUE(message.ParseFromString(*watch->HeartbeatMessage()));
  EXPECT_TRUE(message.has_heartbeat());
  Touch();
  EXPECT_EQ(Drain(Open(From(message.resume_token())).get()).size(), 1u);
}

TEST_F(StatusWatchTest, AHeartbeatInTheMiddleOfAStateCannotBeResumedFrom) {
  AddMany(450);
  const std::unique_ptr<StatusWatch> watch = Open();
  OM_ASSERT_OK_AND_ASSIGN(const Bytes first, watch->Next());
  pb::WatchStatusResponse message;
  ASSERT_TRUE(message.ParseFromString(*watch->HeartbeatMessage()));
  EXPECT_EQ(message.resume_token(), "");
}

}  // namespace
}  // namespace om
