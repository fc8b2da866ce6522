// The services over a real core: requests in, messages and effects out.
#include <string>
#include <vector>

#include "server/base/status.h"
#include "tests/server/service/service_fixture.h"

namespace om {
namespace {

namespace pb = control::v1;

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(CheckRequestIdTest, NoneOrUpTo128PrintableCharactersAreFine) {
  for (const std::string& id :
       {std::string(), std::string("a"), std::string("3f2b9c1e-1111-4222-8333-444455556666"),
        std::string(128, '~')}) {
    EXPECT_THAT(CheckRequestId(id), IsOk()) << id;
  }
  for (const std::string& id :
       {std::string(129, 'a'), std::string("a b"), std::string("a\n"), std::string("a\0b", 3),
        std::string("\xc3\xa9"), std::string("\x7f")}) {
    const absl::Status refused = CheckRequestId(id);
    EXPECT_THAT(refused, StatusIs(StatusCode::kInvalidArgument)) << id;
    EXPECT_EQ(FieldOf(refused), "request_id");
  }
}

TEST(KeyOfTest, TheFingerprintCoversTheRequestButNotItsId) {
  pb::ClearEntriesRequest request;
  request.set_sender("10.0.0.2");
  request.set_request_id("a");
  const RequestKey one = KeyOf(ServiceFixture::Root(), "m", request);
  EXPECT_EQ(one.request_id, "a");
  EXPECT_EQ(one.method, "m");
  request.set_request_id("b");
  EXPECT_EQ(KeyOf(ServiceFixture::Root(), "m", request).fingerprint, one.fingerprint);
  request.set_sender("10.0.0.3");
  EXPECT_NE(KeyOf(ServiceFixture::Root(), "m", request).fingerprint, one.fingerprint);
}

TEST(KeyOfTest, CallersHaveIdsOfTheirOwn) {
  const pb::ClearEntriesRequest request;
  EXPECT_NE(KeyOf(ServiceFixture::Root(), "m", request).caller,
            KeyOf(ServiceFixture::Node("node2"), "m", request).caller);
  EXPECT_NE(KeyOf(ServiceFixture::Node("node1"), "m", request).caller,
            KeyOf(ServiceFixture::Node("node2"), "m", request).caller);
}

TEST(KeyOfTest, ANodeThatCallsItselfRootIsNotRoot) {
  const pb::ClearEntriesRequest request;
  EXPECT_NE(KeyOf(ServiceFixture::Root(), "m", request).caller,
            KeyOf(ServiceFixture::Node("root"), "m", request).caller);
}

class ServiceTest : public ::testing::Test {
 protected:
  explicit ServiceTest(std::vector<std::string> nodes = {"node1"}) : world_(std::move(nodes)) {
    world_.AddService("svc1", true);
    world_.AddService("svc2", false);
    world_.dir.Write("etc/node.conf", "# ours\n[listener]\nport = 2214\n");
    world_.dir.Write("etc/svc1.conf", "[DEFAULT]\nnodes = node1\nid = 1\n");
    world_.Start();
  }

  // A request with that id whose work is counted and answers its count.
  static pb::ClearEntriesRequest Request(const std::string& id, const std::string& sender = "") {
    pb::ClearEntriesRequest request;
    request.set_request_id(id);
    request.set_sender(sender);
    return request;
  }
  absl::StatusOr<pb::ClearEntriesResponse> Do(const pb::ClearEntriesRequest& request) {
    return world_.Await<pb::ClearEntriesResponse>([&](Reply<pb::ClearEntriesResponse> reply) {
      DoOnce<pb::ClearEntriesResponse>(
          world_.context, KeyOf(ServiceFixture::Root(), "method", request),
          [this](const Reply<pb::ClearEntriesResponse>& done) {
            ++done_;
            if (!work_error_.ok()) return done(work_error_);
            pb::ClearEntriesResponse response;
            response.set_cleared_count(done_);
            done(response);
          },
          std::move(reply));
    });
  }
  void Blacklist(const std::string& address, int count) {
    for (int i = 0; i < count; ++i) {
      world_.blacklist.RecordInvalid(world_.node_names.KeyOf(*PeerAddress::Parse(address)));
    }
  }
  int64_t Counted(const char* name) { return world_.counters.Get(name)->value(); }

  ServiceFixture world_;
  int done_ = 0;
  absl::Status work_error_;
  DaemonApi daemon_{&world_.context, DaemonApi::Options{}};
  BlacklistApi blacklist_{&world_.context};
  ConfigApi config_{&world_.context};
  MonitorApi monitor_{&world_.context};
};

using DoOnceTest = ServiceTest;

TEST_F(DoOnceTest, ARepeatedRequestIsAnsweredAgainAndNotDoneAgain) {
  OM_ASSERT_OK_AND_ASSIGN(const auto first, Do(Request("a")));
  EXPECT_EQ(first.cleared_count(), 1);
  OM_ASSERT_OK_AND_ASSIGN(const auto again, Do(Request("a")));
  EXPECT_EQ(again.cleared_count(), 1);
  EXPECT_EQ(done_, 1);
}

TEST_F(DoOnceTest, WithoutAnIdARequestIsDoneEachTime) {
  OM_ASSERT_OK_AND_ASSIGN(const auto first, Do(Request("")));
  OM_ASSERT_OK_AND_ASSIGN(const auto second, Do(Request("")));
  EXPECT_EQ(first.cleared_count(), 1);
  EXPECT_EQ(second.cleared_count(), 2);
}

TEST_F(DoOnceTest, AnIdThatWasUsedForAnotherRequestIsRefused) {
  EXPECT_THAT(Do(Request("a")), IsOk());
  const absl::Status refused = Do(Request("a", "10.0.0.2")).status();
  EXPECT_THAT(refused, StatusIs(StatusCode::kInvalidArgument));
  EXPECT_EQ(ReasonOf(refused), "REQUEST_ID_REUSED");
  EXPECT_EQ(done_, 1);
}

TEST_F(DoOnceTest, AnIdThatIsNoneIsRefusedBeforeAnythingIsDone) {
  EXPECT_THAT(Do(Request("a b")), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_EQ(done_, 0);
}

TEST_F(DoOnceTest, AnErrorThatHoldsIsRememberedWithItsReason) {
  work_error_ = MakeError("UNKNOWN_THREAD", "there is no thread x");
  EXPECT_THAT(Do(Request("a")), StatusIs(StatusCode::kNotFound));
  work_error_ = absl::OkStatus();
  const absl::Status again = Do(Request("a")).status();
  EXPECT_THAT(again, StatusIs(StatusCode::kNotFound, "there is no thread x"));
  EXPECT_EQ(ReasonOf(again), "UNKNOWN_THREAD");
  EXPECT_EQ(done_, 1);
}

TEST_F(DoOnceTest, AnErrorThatMayPassIsNotRemembered) {
  work_error_ = absl::UnavailableError("try again");
  EXPECT_THAT(Do(Request("a")), StatusIs(StatusCode::kUnavailable));
  work_error_ = absl::OkStatus();
  EXPECT_THAT(Do(Request("a")), IsOk());
  EXPECT_EQ(done_, 2);
}

TEST_F(DoOnceTest, WhoRepeatsARequestInProgressSharesItsAnswer) {
  Reply<pb::ClearEntriesResponse> finish;
  std::vector<int> answers;
  for (int i = 0; i < 3; ++i) {
    DoOnce<pb::ClearEntriesResponse>(
        world_.context, KeyOf(ServiceFixture::Root(), "method", Request("a")),
        [&](const Reply<pb::ClearEntriesResponse>& done) {
          ++done_;
          finish = done;
        },
        [&](const absl::StatusOr<pb::ClearEntriesResponse>& answer) {
          ASSERT_THAT(answer, IsOk());
          answers.push_back(answer->cleared_count());
        });
    world_.Settle();
  }
  EXPECT_EQ(done_, 1);
  EXPECT_THAT(answers, IsEmpty());
  pb::ClearEntriesResponse response;
  response.set_cleared_count(7);
  finish(response);
  world_.Settle();
  EXPECT_THAT(answers, ElementsAre(7, 7, 7));
}

TEST_F(DoOnceTest, TheAnswerIsGivenOnlyOnceItIsInTheJournal) {
  world_.journal.sync_delay = std::chrono::seconds(3);
  bool answered = false;
  DoOnce<pb::ClearEntriesResponse>(
      world_.context, KeyOf(ServiceFixture::Root(), "method", Request("a")),
      [](const Reply<pb::ClearEntriesResponse>& done) { done(pb::ClearEntriesResponse()); },
      [&](const absl::StatusOr<pb::ClearEntriesResponse>&) { answered = true; });
  world_.loop.AdvanceBy(std::chrono::seconds(2));
  EXPECT_FALSE(answered);
  world_.loop.AdvanceBy(std::chrono::seconds(2));
  EXPECT_TRUE(answered);
}

TEST_F(DoOnceTest, AChangeThatWasMadeIsAnsweredEvenIfItsAnswerCannotBeKept) {
  world_.journal.full = true;
  EXPECT_THAT(Do(Request("a")), IsOk());
  EXPECT_EQ(done_, 1);
}

TEST_F(ServiceTest, AdmitCountsWhatItLetsThroughAndWhatItRefuses) {
  const int64_t requests = Counted("service.requests");
  EXPECT_THAT(Admit(world_.context, ServiceFixture::Root(), "om.control.v1.DaemonService/GetStats"),
              IsOk());
  EXPECT_EQ(Counted("service.requests"), requests + 1);
  EXPECT_THAT(Admit(world_.context, ServiceFixture::Guest(), "daemon_stop"),
              StatusIs(StatusCode::kPermissionDenied));
  EXPECT_EQ(Counted("service.denied"), 1);
  EXPECT_EQ(Counted("service.requests"), requests + 1);
}

TEST_F(ServiceTest, GuestsReachNoChangeAndNoConfiguration) {
  const Caller guest = ServiceFixture::Guest();
  int refused = 0;
  const auto expect_denied = [&](const auto& answer) {
    EXPECT_THAT(StatusOf(answer), StatusIs(StatusCode::kPermissionDenied));
    ++refused;
  };
  blacklist_.ClearEntries(guest, {}, expect_denied);
  config_.GetConfig(guest, {}, expect_denied);
  config_.GetKeywords(guest, {}, expect_denied);
  config_.UpdateConfig(guest, {}, expect_denied);
  daemon_.StartDaemon(guest, {}, expect_denied);
  daemon_.StopDaemon(guest, {}, expect_denied);
  daemon_.StartThread(guest, {}, expect_denied);
  daemon_.StopThread(guest, {}, expect_denied);
  monitor_.SetInstanceMonitor(guest, {}, expect_denied);
  monitor_.ClearInstance(guest, {}, expect_denied);
  monitor_.Order(guest, {}, expect_denied);
  expect_denied(monitor_.WakeMonitor(guest, ""));
  EXPECT_EQ(refused, 12);
  EXPECT_EQ(Counted("service.denied"), 12);
}

using BlacklistApiTest = ServiceTest;

TEST_F(BlacklistApiTest, ListsCountsWithNodesAndPages) {
  Blacklist("10.0.0.1", 2);
  Blacklist("10.9.9.9", 5);
  Blacklist("2001:db8::1", 1);
  pb::ListEntriesRequest request;
  request.set_page_size(2);
  OM_ASSERT_OK_AND_ASSIGN(const auto first,
                          blacklist_.ListEntries(ServiceFixture::Guest(), request));
  ASSERT_EQ(first.entries_size(), 2);
  EXPECT_EQ(first.entries(0).address(), "10.0.0.1");
  EXPECT_EQ(first.entries(0).node(), "node1");
  EXPECT_EQ(first.entries(0).invalid_count(), 2);
  EXPECT_FALSE(first.entries(0).blacklisted());
  EXPECT_EQ(first.entries(1).address(), "2001:db8::/64");
  request.set_page_token(first.next_page_token());
  OM_ASSERT_OK_AND_ASSIGN(const auto second,
                          blacklist_.ListEntries(ServiceFixture::Guest(), request));
  ASSERT_EQ(second.entries_size(), 1);
  EXPECT_TRUE(second.entries(0).blacklisted());
  EXPECT_EQ(second.next_page_token(), "");
}

TEST_F(BlacklistApiTest, APageThatStartsPastTheEndIsEmpty) {
  pb::ListEntriesRequest request;
  request.set_page_token("10");
  OM_ASSERT_OK_AND_ASSIGN(const auto page, blacklist_.ListEntries(ServiceFixture::Root(), request));
  EXPECT_EQ(page.entries_size(), 0);
  EXPECT_EQ(page.next_page_token(), "");
}

TEST_F(BlacklistApiTest, BadPagesAreRefused) {
  for (const char* token : {"x", "-1", "99999999999999999999"}) {
    pb::ListEntriesRequest request;
    request.set_page_token(token);
    const absl::Status refused = blacklist_.ListEntries(ServiceFixture::Root(), request).status();
    EXPECT_EQ(ReasonOf(refused), "INVALID_PAGE_TOKEN") << token;
  }
  pb::ListEntriesRequest request;
  request.set_page_size(-1);
  EXPECT_EQ(FieldOf(blacklist_.ListEntries(ServiceFixture::Root(), request).status()), "page_size");
}

TEST_F(BlacklistApiTest, ClearingTakesAddressNetworkOrNode) {
  const auto clear = [this](const std::string& sender) -> int {
    const auto response =
        world_.Await<pb::ClearEntriesResponse>([&](Reply<pb::ClearEntriesResponse> reply) {
          blacklist_.ClearEntries(ServiceFixture::Root(), Request("", sender), std::move(reply));
        });
    return response.ok() ? response->cleared_count() : -1;
  };
  Blacklist("10.0.0.1", 5);
  Blacklist("10.9.9.9", 5);
  Blacklist("2001:db8::1", 5);
  Blacklist("2001:db8:0:1::1", 5);
  EXPECT_EQ(clear("nonsense"), -1);
  EXPECT_EQ(clear("10.9.9.8"), 0);
  EXPECT_EQ(clear("10.9.9.9"), 1);
  EXPECT_EQ(clear("2001:db8::77"), 1);  // Of the network it is counted with.
  EXPECT_EQ(clear("2001:db8:0:1::/64"), 1);
  EXPECT_EQ(clear("node1"), 1);
  EXPECT_EQ(clear("node1"), 0);
  Blacklist("10.9.9.9", 1);
  EXPECT_EQ(clear(""), 1);
  EXPECT_EQ(world_.blacklist.size(), 0u);
}

using ConfigApiTest = ServiceTest;

TEST_F(ConfigApiTest, AChangeIsCheckedMadeOnceAndTold) {
  pb::UpdateConfigRequest request;
  request.mutable_target()->set_node(true);
  request.set_request_id("a");
  pb::ConfigKeyword* keyword = request.add_set();
  keyword->set_name("listener.port");
  keyword->set_value("1215");
  const auto update = [&] {
    return world_.Await<pb::UpdateConfigResponse>([&](Reply<pb::UpdateConfigResponse> reply) {
      config_.UpdateConfig(ServiceFixture::Root(), request, std::move(reply));
    });
  };
  OM_ASSERT_OK_AND_ASSIGN(const auto first, update());
  EXPECT_TRUE(first.changed());
  EXPECT_EQ(world_.dir.Read("etc/node.conf"), "# ours\n[listener]\nport = 1215\n");
  world_.dir.Write("etc/node.conf", "[listener]\nport = 99\n");
  OM_ASSERT_OK_AND_ASSIGN(const auto again, update());
  EXPECT_EQ(again.revision(), first.revision());
  EXPECT_EQ(world_.dir.Read("etc/node.conf"), "[listener]\nport = 99\n");

  request.set_request_id("b");
  keyword->set_value("many");
  const absl::Status refused = update().status();
  EXPECT_THAT(refused, StatusIs(StatusCode::kInvalidArgument));
  EXPECT_EQ(FieldOf(refused), "listener.port");

  keyword->set_value("1216");
  request.set_request_id("c");
  request.set_expected_revision("stale");
  EXPECT_EQ(ReasonOf(update().status()), "REVISION_MISMATCH");
}

TEST_F(ConfigApiTest, KeywordsComeWithTheirDefaults) {
  pb::GetKeywordsRequest request;
  request.mutable_target()->set_node(true);
  request.set_evaluate(true);
  request.add_names("listener.port");
  request.add_names("listener.addr");
  const auto get = [&] {
    return world_.Await<pb::GetKeywordsResponse>([&](Reply<pb::GetKeywordsResponse> reply) {
      config_.GetKeywords(ServiceFixture::Root(), request, std::move(reply));
    });
  };
  OM_ASSERT_OK_AND_ASSIGN(const auto response, get());
  ASSERT_EQ(response.values_size(), 2);
  EXPECT_EQ(response.values(0).value(), "2214");
  EXPECT_FALSE(response.values(0).is_default());
  EXPECT_EQ(response.values(1).value(), "0.0.0.0");
  EXPECT_TRUE(response.values(1).is_default());
  request.add_names("nothing.known");
  EXPECT_EQ(ReasonOf(get().status()), "UNKNOWN_KEYWORD");
  request.clear_names();
  EXPECT_EQ(FieldOf(get().status()), "names");
}

TEST_F(ConfigApiTest, TargetsThatAreNoneAreRefused) {
  const auto get = [&](const pb::GetConfigRequest& request) {
    return world_
        .Await<pb::GetConfigResponse>([&](Reply<pb::GetConfigResponse> reply) {
          config_.GetConfig(ServiceFixture::Root(), request, std::move(reply));
        })
        .status();
  };
  pb::GetConfigRequest request;
  EXPECT_EQ(FieldOf(get(request)), "target");
  request.mutable_target()->set_object_path("../x");
  EXPECT_EQ(FieldOf(get(request)), "target.object_path");
  request.mutable_target()->set_object_path("nope");
  EXPECT_EQ(ReasonOf(get(request)), "CONFIG_FILE_MISSING");
  world_.workers.refuses = true;
  EXPECT_THAT(get(request), StatusIs(StatusCode::kResourceExhausted));
}

using MonitorApiTest = ServiceTest;

TEST_F(MonitorApiTest, OrdersAreAnsweredByWhatCameOfThem) {
  const auto order = [&](const std::string& path, const std::string& expect) {
    return world_.Await<pb::SetInstanceMonitorResponse>(
        [&](Reply<pb::SetInstanceMonitorResponse> reply) {
          pb::SetInstanceMonitorRequest request;
          request.set_path(path);
          if (!expect.empty()) request.set_global_expect(expect);
          monitor_.SetInstanceMonitor(ServiceFixture::Root(), request, std::move(reply));
        });
  };
  OM_ASSERT_OK_AND_ASSIGN(const auto accepted, order("svc2", "started"));
  EXPECT_EQ(accepted.outcome(), pb::ORDER_OUTCOME_ACCEPTED);
  EXPECT_NE(accepted.order_id(), "");
  OM_ASSERT_OK_AND_ASSIGN(const auto reached, order("svc1", "started"));
  EXPECT_EQ(reached.outcome(), pb::ORDER_OUTCOME_ALREADY_REACHED);
  OM_ASSERT_OK_AND_ASSIGN(const auto none, order("svc1", ""));
  EXPECT_EQ(none.outcome(), pb::ORDER_OUTCOME_NO_ORDER);
  EXPECT_TRUE(none.has_monitor());
  EXPECT_EQ(ReasonOf(order("nope", "started").status()), "SERVICE_UNKNOWN");
  EXPECT_EQ(FieldOf(order("svc1", "bogus").status()), "global_expect");
  EXPECT_EQ(FieldOf(order("svc1", std::string(129, 'x')).status()), "global_expect");
  EXPECT_EQ(FieldOf(order("../x", "started").status()), "path");
}

TEST_F(MonitorApiTest, EveryKindOfOutcomeHasWords) {
  for (int kind = 0; kind <= static_cast<int>(OrderOutcome::kLastKind); ++kind) {
    OrderOutcome outcome;
    outcome.kind = static_cast<OrderOutcome::Kind>(kind);
    outcome.path = *ObjectPath::Parse("svc1");
    outcome.state = "up";
    EXPECT_NE(DescribeOutcome(outcome), "") << kind;
  }
}

TEST_F(MonitorApiTest, UnknownServicesAreNotFoundByField) {
  pb::GetInstanceMonitorRequest get;
  get.set_path("nope");
  const absl::Status missing = monitor_.GetInstanceMonitor(ServiceFixture::Root(), get).status();
  EXPECT_EQ(ReasonOf(missing), "SERVICE_UNKNOWN");
  EXPECT_EQ(FieldOf(missing), "path");
  const auto cleared = world_.Await<pb::ClearInstanceResponse>([&](auto reply) {
    pb::ClearInstanceRequest request;
    request.set_path("nope");
    monitor_.ClearInstance(ServiceFixture::Root(), request, std::move(reply));
  });
  EXPECT_EQ(ReasonOf(cleared.status()), "SERVICE_UNKNOWN");
}

using DaemonApiTest = ServiceTest;

TEST_F(DaemonApiTest, WatchesAreLimitedAndGivenBack) {
  DaemonApi::Options options;
  options.max_watches = 2;
  DaemonApi daemon(&world_.context, options);
  OM_ASSERT_OK_AND_ASSIGN(auto one, daemon.WatchStatus(ServiceFixture::Guest(), {}));
  OM_ASSERT_OK_AND_ASSIGN(auto two, daemon.WatchStatus(ServiceFixture::Guest(), {}));
  const absl::Status refused = daemon.WatchStatus(ServiceFixture::Guest(), {}).status();
  EXPECT_THAT(refused, StatusIs(StatusCode::kResourceExhausted));
  EXPECT_TRUE(RetryAfterOf(refused).has_value());
  two.reset();
  // A watch that could not be opened takes no place.
  pb::WatchStatusRequest bad;
  bad.set_resume_token("nonsense");
  EXPECT_THAT(daemon.WatchStatus(ServiceFixture::Guest(), bad),
              StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(daemon.WatchStatus(ServiceFixture::Guest(), {}), IsOk());
}

TEST_F(DaemonApiTest, StartingARunningDaemonSaysSo) {
  const auto started = world_.Await<pb::StartDaemonResponse>(
      [&](auto reply) { daemon_.StartDaemon(ServiceFixture::Root(), {}, std::move(reply)); });
  ASSERT_THAT(started, IsOk());
  EXPECT_TRUE(started->already_running());
  EXPECT_EQ(started->pid(), 4711);
}

class TwoNodeDaemonApiTest : public ServiceTest {
 protected:
  TwoNodeDaemonApiTest() : ServiceTest({"node1", "node2"}) {}
};

TEST_F(TwoNodeDaemonApiTest, TwoStopsAreAnsweredAndEndTheDaemonOnce) {
  int answers = 0;
  for (int i = 0; i < 2; ++i) {
    daemon_.StopDaemon(ServiceFixture::Root(), {},
                       [&](const absl::StatusOr<pb::StopDaemonResponse>& answer) {
                         EXPECT_THAT(answer, IsOk());
                         ++answers;
                       });
  }
  world_.loop.AdvanceBy(std::chrono::milliseconds(4900));
  EXPECT_EQ(answers, 0);
  world_.loop.AdvanceBy(std::chrono::seconds(1));
  EXPECT_EQ(answers, 2);
  EXPECT_EQ(world_.ended, 1);
}

TEST_F(DaemonApiTest, AnUnknownThreadIsNotFoundAndTheValidOnesAreNamed) {
  const auto started = world_.Await<pb::StartThreadResponse>([&](auto reply) {
    pb::StartThreadRequest request;
    request.set_thread_id("foo");
    daemon_.StartThread(ServiceFixture::Root(), request, std::move(reply));
  });
  EXPECT_THAT(started, StatusIs(StatusCode::kNotFound, HasSubstr("scheduler")));
  EXPECT_EQ(ReasonOf(started.status()), "UNKNOWN_THREAD");
  EXPECT_EQ(FieldOf(started.status()), "thread_id");
}

TEST_F(DaemonApiTest, AStoppedThreadIsAnsweredWithItsState) {
  const auto stop = [&] {
    return world_.Await<pb::StopThreadResponse>([&](auto reply) {
      pb::StopThreadRequest request;
      request.set_thread_id("scheduler");
      request.set_wait(true);
      daemon_.StopThread(ServiceFixture::Root(), request, std::move(reply));
    });
  };
  for (int i = 0; i < 2; ++i) {
    OM_ASSERT_OK_AND_ASSIGN(const auto stopped, stop());
    EXPECT_EQ(stopped.thread().id(), "scheduler");
    EXPECT_EQ(stopped.thread().state(), pb::THREAD_STATE_STOPPED);
  }
}

TEST_F(DaemonApiTest, ListsArePagedByIndex) {
  pb::ListThreadsRequest request;
  request.set_page_size(1);
  OM_ASSERT_OK_AND_ASSIGN(const auto first, daemon_.ListThreads(ServiceFixture::Guest(), request));
  ASSERT_EQ(first.threads_size(), 1);
  request.set_page_token(first.next_page_token());
  OM_ASSERT_OK_AND_ASSIGN(const auto second, daemon_.ListThreads(ServiceFixture::Guest(), request));
  ASSERT_EQ(second.threads_size(), 1);
  EXPECT_NE(first.threads(0).id(), second.threads(0).id());
  EXPECT_EQ(second.next_page_token(), "");
  request.set_page_token("99");
  EXPECT_EQ(ReasonOf(daemon_.ListThreads(ServiceFixture::Guest(), request).status()),
            "INVALID_PAGE_TOKEN");
}

TEST_F(DaemonApiTest, StatsCountAndAreSampledAtMostOnceASecond) {
  OM_ASSERT_OK_AND_ASSIGN(const auto first, daemon_.GetStats(ServiceFixture::Guest(), {}));
  EXPECT_GT(first.daemon().memory_bytes(), 0);
  EXPECT_GT(first.daemon().thread_count(), 0);
  EXPECT_GT(first.daemon().open_file_count(), 0);
  EXPECT_GT(first.counters().at("service.requests"), 0);
  world_.clock.Advance(std::chrono::milliseconds(500));
  OM_ASSERT_OK_AND_ASSIGN(const auto second, daemon_.GetStats(ServiceFixture::Guest(), {}));
  EXPECT_EQ(second.time().nanos(), first.time().nanos());
  world_.clock.Advance(std::chrono::milliseconds(501));
  OM_ASSERT_OK_AND_ASSIGN(const auto third, daemon_.GetStats(ServiceFixture::Guest(), {}));
  EXPECT_NE(third.time().nanos(), first.time().nanos());
}

}  // namespace
}  // namespace om
