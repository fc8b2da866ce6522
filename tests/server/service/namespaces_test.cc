// What a caller with grants on some namespaces is told, and may do, through every service: nothing
// that would tell that there are other objects.
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/service/action_api.h"
#include "server/service/event_api.h"
#include "server/service/log_api.h"
#include "server/service/visibility.h"
#include "tests/server/crm/fake_launcher.h"
#include "tests/server/service/service_fixture.h"

namespace om {
namespace {

namespace pb = control::v1;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

Caller User(const std::string& grants) {
  Caller caller;
  caller.kind = Caller::Kind::kUser;
  caller.name = "alice";
  caller.address = "10.0.0.7";
  caller.transport = Transport::kGrpcTcp;
  caller.grants = Grants::Parse(grants).value();
  return caller;
}

// Nothing with this word in it may reach who does not see the namespace `db`.
constexpr char kHidden[] = "treasure";
constexpr char kHiddenPath[] = "db/svc/treasure";

class NamespacesTest : public ::testing::Test, protected ServiceFixture {
 protected:
  NamespacesTest() {
    AddService("web/svc/a", false);
    AddService("web/svc/b", false);
    AddService(kHiddenPath, false);
    AddService("treasure0", false);  // Of the root namespace.
    // `a` waits for an object that alice does not see.
    world.Get("web/svc/a").config.parents = {kHiddenPath};
    Start();
  }

  void Emit(const std::string& id, const std::string& path = "") {
    Event event;
    event.id = id;
    if (!path.empty()) event.path = *ObjectPath::Parse(path);
    core.EmitEvent(event);
    Settle();
  }
  std::string Order(const std::string& path, const std::string& expect) {
    pb::SetInstanceMonitorRequest request;
    request.set_path(path);
    request.set_global_expect(expect);
    const auto answer = SetMonitor(Root(), request);
    EXPECT_THAT(answer, IsOk());
    return answer.ok() ? answer->order_id() : "";
  }
  absl::StatusOr<pb::SetInstanceMonitorResponse> SetMonitor(
      const Caller& caller, const pb::SetInstanceMonitorRequest& request) {
    return Await<pb::SetInstanceMonitorResponse>(
        [&](auto reply) { monitor_.SetInstanceMonitor(caller, request, std::move(reply)); });
  }
  absl::StatusOr<pb::RunActionResponse> Run(const Caller& caller, const std::string& path,
                                            const std::vector<std::string>& words) {
    pb::RunActionRequest request;
    request.mutable_command()->set_path(path);
    for (const std::string& word : words) request.mutable_command()->add_arguments(word);
    request.set_asynchronous(true);
    const size_t before = launcher_.runs.size();
    absl::StatusOr<pb::RunActionResponse> answer = absl::UnknownError("no answer");
    actions_.RunAction(caller, request,
                       [&](absl::StatusOr<pb::RunActionResponse> got) { answer = std::move(got); });
    Settle();
    if (launcher_.runs.size() > before) launcher_.runs.back().spec.on_start(17);
    Settle();
    return answer;
  }
  std::string IdOfAction(const std::string& path) {
    const auto answer = Run(Root(), path, {"start"});
    EXPECT_THAT(answer, IsOk());
    return answer.ok() ? answer->action().id() : "";
  }
  template <class Message>
  static std::vector<Message> Drain(StreamSource* stream) {
    std::vector<Message> messages;
    while (true) {
      const absl::StatusOr<Bytes> bytes = stream->Next();
      EXPECT_THAT(bytes, IsOk());
      if (!bytes.ok() || *bytes == nullptr) return messages;
      EXPECT_THAT(**bytes, Not(HasSubstr(kHidden)));
      EXPECT_TRUE(messages.emplace_back().ParseFromString(**bytes));
    }
  }
  void Write(const std::string& path, const std::string& text) {
    const std::string file = ObjectPath::Parse(path)->ConfigFile(roots);
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    ASSERT_THAT(WriteFileAtomically(file, text, {}), IsOk());
  }
  std::string ReadBack(const std::string& path) {
    const auto stored = config_store.Read(ConfigTarget::Object(*ObjectPath::Parse(path)));
    return stored.ok() ? stored->text : "";
  }
  absl::StatusOr<pb::UpdateConfigResponse> Update(const Caller& caller, const std::string& path,
                                                  const std::string& name,
                                                  const std::string& value) {
    pb::UpdateConfigRequest request;
    request.mutable_target()->set_object_path(path);
    auto* keyword = request.add_set();
    keyword->set_name(name);
    keyword->set_value(value);
    return Await<pb::UpdateConfigResponse>(
        [&](auto reply) { config_.UpdateConfig(caller, request, std::move(reply)); });
  }
  absl::StatusOr<pb::CreateObjectsResponse> Create(
      const Caller& caller, const std::vector<std::string>& paths, bool replace = false,
      const std::vector<std::pair<std::string, std::string>>& keywords = {}) {
    pb::CreateObjectsRequest request;
    request.set_replace(replace);
    for (const std::string& path : paths) {
      auto* object = request.add_objects();
      object->set_path(path);
      for (const auto& [name, value] : keywords) {
        auto* keyword = object->add_keywords();
        keyword->set_section("DEFAULT");
        keyword->set_name(name);
        keyword->set_value(value);
      }
    }
    return Await<pb::CreateObjectsResponse>(
        [&](auto reply) { actions_.CreateObjects(caller, request, std::move(reply)); });
  }

  const Caller alice_ = User("guest:web");
  const Caller operator_ = User("operator:web");
  const Caller admin_ = User("admin:web");
  InlineExecutor inline_executor_;
  FakeLauncher launcher_;
  ActionRegistry registry_{&launcher_, &clock, &secure_random, &counters,
                           ActionRegistry::Options{}};
  ActionApi actions_{&context, &registry_};
  DaemonApi daemon_{&context, DaemonApi::Options{}};
  MonitorApi monitor_{&context};
  EventApi events_{&context, &inline_executor_};
  ConfigApi config_{&context};
};

TEST_F(NamespacesTest, TheStatusHasTheObjectsOfTheCallersNamespacesOnly) {
  core.SetAlerts({{Alert::Severity::kError, "treasure: its configuration is broken"}});
  Settle();
  OM_ASSERT_OK_AND_ASSIGN(const Bytes bytes, daemon_.GetStatus(alice_, {}));
  EXPECT_THAT(*bytes, Not(HasSubstr(kHidden)));
  pb::GetStatusResponse status;
  ASSERT_TRUE(status.ParseFromString(*bytes));
  std::vector<std::string> paths;
  for (const auto& object : status.objects()) paths.push_back(object.path());
  EXPECT_THAT(paths, ElementsAre("web/svc/a", "web/svc/b"));
  EXPECT_EQ(status.total_object_count(), 2);
  EXPECT_THAT(status.daemon().alerts(), IsEmpty());
  EXPECT_THAT(status.nodes(), SizeIs(1));
  // The cache is for those who see everything, before and after.
  OM_ASSERT_OK_AND_ASSIGN(const Bytes all, daemon_.GetStatus(Root(), {}));
  EXPECT_THAT(*all, HasSubstr(kHidden));
  OM_ASSERT_OK_AND_ASSIGN(const Bytes again, daemon_.GetStatus(alice_, {}));
  EXPECT_THAT(*again, Not(HasSubstr(kHidden)));
}

TEST_F(NamespacesTest, PagesAndSelectorsCountOnlyWhatIsSeen) {
  pb::GetStatusRequest request;
  request.set_selector("*");
  request.set_page_size(1);
  OM_ASSERT_OK_AND_ASSIGN(Bytes bytes, daemon_.GetStatus(alice_, request));
  pb::GetStatusResponse page;
  ASSERT_TRUE(page.ParseFromString(*bytes));
  EXPECT_EQ(page.total_object_count(), 2);
  request.set_page_token(page.next_page_token());
  OM_ASSERT_OK_AND_ASSIGN(bytes, daemon_.GetStatus(alice_, request));
  ASSERT_TRUE(page.ParseFromString(*bytes));
  EXPECT_EQ(page.objects(0).path(), "web/svc/b");
  EXPECT_EQ(page.next_page_token(), "");
}

TEST_F(NamespacesTest, TransitionsAreCountedWhereTheyAreSeen) {
  Order(kHiddenPath, "started");
  SCOPED_TRACE(core.snapshot()->transition_count);
  const Visibility visibility(alice_);
  Snapshot busy = *core.snapshot();
  auto object = std::make_shared<ObjectState>(*busy.objects.Find(*ObjectPath::Parse(kHiddenPath)));
  object->instances["node1"].monitor.status = status_word::kStarting;
  busy.objects.Put(object);
  busy.transition_count = 1;
  EXPECT_EQ(visibility.ShowCluster(busy).transition_count(), 0);
  EXPECT_EQ(Visibility(Root()).ShowCluster(busy).transition_count(), 1);
}

TEST_F(NamespacesTest, DelayedTasksAndTextsOfThreadsAreThoseOfWhatIsSeen) {
  ThreadStatus scheduler;
  scheduler.id = "scheduler";
  scheduler.last_error = "treasure is gone";
  scheduler.alerts = {{Alert::Severity::kWarning, "treasure is late"}};
  Snapshot snapshot = *core.snapshot();
  SchedulerState state;
  state.delayed = {{"run", *ObjectPath::Parse(kHiddenPath), "task#1", {}, {}},
                   {"run", *ObjectPath::Parse("web/svc/a"), "task#1", {}, {}}};
  state.delayed_count = 2;
  snapshot.scheduler = std::make_shared<const SchedulerState>(state);
  const pb::ThreadStatus shown = Visibility(alice_).ShowThread(scheduler, snapshot);
  EXPECT_THAT(shown.SerializeAsString(), Not(HasSubstr(kHidden)));
  ASSERT_THAT(shown.delayed_tasks(), SizeIs(1));
  EXPECT_EQ(shown.delayed_task_count(), 1);
  EXPECT_THAT(Visibility(Root()).ShowThread(scheduler, snapshot).delayed_tasks(), SizeIs(2));
}

TEST_F(NamespacesTest, AWatchOfTheStatusTellsOfWhatIsSeenWithTheRevisionsOfAll) {
  OM_ASSERT_OK_AND_ASSIGN(const auto watch, daemon_.WatchStatus(alice_, {}));
  const auto state = Drain<pb::WatchStatusResponse>(watch.get());
  ASSERT_THAT(state, SizeIs(2));
  EXPECT_THAT(state[0].state().objects(), SizeIs(2));
  EXPECT_EQ(state[1].state_end().object_count(), 2);

  // What happens elsewhere is nothing to her.
  Order(kHiddenPath, "frozen");
  Emit("instance_thing", kHiddenPath);
  loop.AdvanceBy(seconds(5));
  for (const auto& message : Drain<pb::WatchStatusResponse>(watch.get())) {
    EXPECT_THAT(message.change().objects(), IsEmpty());
    EXPECT_THAT(message.change().events(), IsEmpty());
    EXPECT_THAT(message.change().removed_object_paths(), IsEmpty());
  }
  // And her position is not behind for it.
  pb::WatchStatusResponse heartbeat;
  ASSERT_TRUE(heartbeat.ParseFromString(*watch->HeartbeatMessage()));
  EXPECT_EQ(heartbeat.heartbeat().revision(), ToNumber(core.snapshot()->revision));

  Order("web/svc/b", "frozen");
  Emit("instance_thing", "web/svc/b");
  Emit("node_thing");
  loop.AdvanceBy(seconds(5));
  std::vector<std::string> events;
  bool changed = false;
  std::string token;
  for (const auto& message : Drain<pb::WatchStatusResponse>(watch.get())) {
    for (const auto& event : message.change().events()) events.push_back(event.id());
    for (const auto& object : message.change().objects()) {
      changed = changed || object.path() == "web/svc/b";
    }
    token = message.resume_token();
  }
  EXPECT_TRUE(changed);
  EXPECT_THAT(events, ::testing::IsSupersetOf({"instance_thing", "node_thing"}));

  // A token is worth the same to everyone: a watch resumed with it tells what came after.
  world.Remove(kHiddenPath);
  world.Remove("web/svc/b");
  loop.AdvanceBy(seconds(5));
  pb::WatchStatusRequest resume;
  resume.set_resume_token(token);
  OM_ASSERT_OK_AND_ASSIGN(const auto resumed, daemon_.WatchStatus(alice_, resume));
  std::vector<std::string> removed;
  for (const auto& message : Drain<pb::WatchStatusResponse>(resumed.get())) {
    for (const auto& path : message.change().removed_object_paths()) removed.push_back(path);
  }
  EXPECT_THAT(removed, ElementsAre("web/svc/b"));
}

TEST_F(NamespacesTest, ManyObjectsThatAreNotSeenLeaveNoEmptyMessages) {
  for (int i = 0; i < 450; ++i) AddService("db/svc/treasure" + std::to_string(i), false);
  AddService("zoo/svc/z", false);
  loop.AdvanceBy(seconds(10));
  OM_ASSERT_OK_AND_ASSIGN(const auto watch, daemon_.WatchStatus(User("guest:zoo"), {}));
  const auto messages = Drain<pb::WatchStatusResponse>(watch.get());
  ASSERT_THAT(messages, SizeIs(2));
  ASSERT_THAT(messages[0].state().objects(), SizeIs(1));
  EXPECT_EQ(messages[0].state().objects(0).path(), "zoo/svc/z");
}

TEST_F(NamespacesTest, EventsAreThoseOfTheCallersNamespacesAndOfNoObject) {
  OM_ASSERT_OK_AND_ASSIGN(const auto watch, events_.WatchEvents(alice_, {}));
  Emit("one", kHiddenPath);
  Emit("two", "web/svc/a");
  Emit("three");
  Emit("four", "treasure0");
  std::vector<std::string> ids;
  for (const auto& message : Drain<pb::WatchEventsResponse>(watch.get())) {
    for (const auto& event : message.events()) ids.push_back(event.id());
  }
  EXPECT_THAT(ids, ElementsAre("two", "three"));
}

TEST_F(NamespacesTest, WhoWaitsForAnObjectThatIsNotSeenWaitsAsForOneThatDoesNotExist) {
  const auto wait = [this](const std::string& condition) {
    auto answers = std::make_shared<std::vector<absl::StatusOr<pb::WaitForResponse>>>();
    pb::WaitForRequest request;
    request.set_condition(condition);
    request.mutable_timeout()->set_seconds(1);
    const auto cancel = events_.WaitFor(
        alice_, request, std::nullopt,
        [answers](absl::StatusOr<pb::WaitForResponse> answer) { answers->push_back(answer); });
    loop.AdvanceBy(seconds(2));
    EXPECT_THAT(*answers, SizeIs(1));
    return answers->front();
  };
  EXPECT_THAT(wait("services.web/svc/a.avail=down"), IsOk());
  const absl::Status hidden = wait("services.db/svc/treasure.avail=down").status();
  const absl::Status missing = wait("services.db/svc/nothings.avail=down").status();
  EXPECT_EQ(ReasonOf(hidden), "CONDITION_NOT_MET");
  EXPECT_EQ(hidden.code(), missing.code());
  EXPECT_THAT(std::string(hidden.message()), HasSubstr("there is no such value"));
  EXPECT_THAT(std::string(missing.message()), HasSubstr("there is no such value"));
  EXPECT_THAT(wait("services.db/svc/treasure.avail!=up"), IsOk());
  EXPECT_THAT(wait("services.db/svc/nothings.avail!=up"), IsOk());
}

TEST_F(NamespacesTest, OrdersThatAreNotSeenAreUnknown) {
  const std::string hidden = Order(kHiddenPath, "frozen");
  const std::string rooted = Order("treasure0", "frozen");
  const std::string seen = Order("web/svc/b", "frozen");
  OM_ASSERT_OK_AND_ASSIGN(const auto list, monitor_.ListOrders(alice_, {}));
  ASSERT_THAT(list.orders(), SizeIs(1));
  EXPECT_EQ(list.orders(0).order_id(), seen);
  pb::ListOrdersRequest page;
  page.set_page_size(1);
  OM_ASSERT_OK_AND_ASSIGN(const auto first, monitor_.ListOrders(alice_, page));
  EXPECT_EQ(first.next_page_token(), "");

  for (const std::string& id : {hidden, rooted, std::string("no-such-order")}) {
    pb::GetOrderRequest get;
    get.set_order_id(id);
    EXPECT_EQ(ReasonOf(monitor_.GetOrder(alice_, get).status()), "ORDER_UNKNOWN");
    pb::WatchOrderRequest watch;
    watch.set_order_id(id);
    EXPECT_EQ(ReasonOf(monitor_.WatchOrder(alice_, watch).status()), "ORDER_UNKNOWN");
  }
  pb::WatchOrderRequest watch;
  watch.set_order_id(seen);
  OM_ASSERT_OK_AND_ASSIGN(const auto stream, monitor_.WatchOrder(alice_, watch));
  EXPECT_THAT(Drain<pb::WatchOrderResponse>(stream.get()), SizeIs(1));
}

TEST_F(NamespacesTest, AnOrderThatWaitsForWhatIsNotSeenDoesNotSayForWhat) {
  const std::string id = Order("web/svc/a", "started");
  loop.AdvanceBy(seconds(10));
  pb::GetOrderRequest get;
  get.set_order_id(id);
  OM_ASSERT_OK_AND_ASSIGN(const auto all, monitor_.GetOrder(Root(), get));
  ASSERT_THAT(all.SerializeAsString(), HasSubstr(kHidden));
  OM_ASSERT_OK_AND_ASSIGN(const auto shown, monitor_.GetOrder(alice_, get));
  EXPECT_THAT(shown.SerializeAsString(), Not(HasSubstr(kHidden)));
  EXPECT_THAT(shown.order().reason(), HasSubstr("outside of the caller's namespaces"));
}

TEST_F(NamespacesTest, OrdersNeedTheirRoleOnTheObjectAndOnItsSlaves) {
  world.Get("web/svc/b").config.slaves = {kHiddenPath};
  core.ReloadInventory();
  loop.AdvanceBy(seconds(5));
  pb::SetInstanceMonitorRequest request;
  request.set_path("web/svc/a");
  request.set_global_expect("frozen");
  EXPECT_EQ(ReasonOf(SetMonitor(alice_, request).status()), "ROLE_MISSING");
  EXPECT_THAT(SetMonitor(operator_, request), IsOk());
  request.set_global_expect("deleted");
  EXPECT_EQ(ReasonOf(SetMonitor(operator_, request).status()), "ROLE_MISSING");
  // The same for what is there and for what is not.
  request.set_global_expect("frozen");
  for (const char* path : {kHiddenPath, "db/svc/nothing"}) {
    request.set_path(path);
    const absl::Status refused = SetMonitor(operator_, request).status();
    EXPECT_EQ(ReasonOf(refused), "ROLE_MISSING") << path;
    EXPECT_THAT(std::string(refused.message()), Not(HasSubstr(kHidden)));
    request.set_dry_run(true);
    EXPECT_EQ(ReasonOf(SetMonitor(operator_, request).status()), "ROLE_MISSING") << path;
    request.set_dry_run(false);
  }
  request.set_path("web/svc/b");
  EXPECT_EQ(ReasonOf(SetMonitor(operator_, request).status()), "ROLE_MISSING");
  EXPECT_THAT(SetMonitor(User("operator:web,db"), request), IsOk());
}

TEST_F(NamespacesTest, InstancesAreReadClearedAndWokenWhereTheRoleIsHeld) {
  for (const char* path : {kHiddenPath, "db/svc/nothing"}) {
    pb::GetInstanceMonitorRequest get;
    get.set_path(path);
    EXPECT_EQ(ReasonOf(monitor_.GetInstanceMonitor(alice_, get).status()), "ROLE_MISSING");
    pb::ClearInstanceRequest clear;
    clear.set_path(path);
    const auto cleared = Await<pb::ClearInstanceResponse>(
        [&](auto reply) { monitor_.ClearInstance(operator_, clear, std::move(reply)); });
    EXPECT_EQ(ReasonOf(cleared.status()), "ROLE_MISSING");
    EXPECT_EQ(ReasonOf(monitor_.WakeMonitor(operator_, path)), "ROLE_MISSING");
  }
  EXPECT_THAT(monitor_.WakeMonitor(operator_, "web/svc/a"), IsOk());
  EXPECT_THAT(monitor_.WakeMonitor(operator_, ""), IsOk());
  EXPECT_EQ(ReasonOf(monitor_.WakeMonitor(alice_, "web/svc/a")), "ROLE_MISSING");
}

TEST_F(NamespacesTest, CommandsNeedTheRoleOfTheirAction) {
  EXPECT_EQ(ReasonOf(Run(alice_, "web/svc/a", {"start"}).status()), "ROLE_MISSING");
  EXPECT_THAT(Run(alice_, "web/svc/a", {"get", "--kw", "DEFAULT.nodes"}), IsOk());
  EXPECT_THAT(Run(operator_, "web/svc/a", {"start", "--local"}), IsOk());
  EXPECT_EQ(ReasonOf(Run(operator_, "web/svc/a", {"delete"}).status()), "ROLE_MISSING");
  EXPECT_THAT(Run(admin_, "web/svc/a", {"delete", "--unprovision"}), IsOk());
  // Not on another object, by whichever name.
  const absl::Status elsewhere = Run(admin_, "web/svc/a", {"stop", "-s", kHiddenPath}).status();
  EXPECT_EQ(ReasonOf(elsewhere), "ROLE_MISSING");
  for (const char* path : {kHiddenPath, "db/svc/nothing", ""}) {
    EXPECT_EQ(ReasonOf(Run(admin_, path, {"get"}).status()), "ROLE_MISSING") << path;
  }
  EXPECT_EQ(ReasonOf(Run(admin_, "web/svc/a", {"set", "--kw", "app#1.start=x"}).status()),
            "ROLE_MISSING");
  EXPECT_EQ(ReasonOf(Run(admin_, "web/svc/a", {"toc"}).status()), "ROLE_MISSING");
  EXPECT_THAT(Run(User("root"), "", {"updatepkg"}), IsOk());
}

TEST_F(NamespacesTest, RunningCommandsAreForWhoMightHaveRunThem) {
  const std::string hidden = IdOfAction(kHiddenPath);
  const std::string of_node = IdOfAction("");
  const std::string seen = IdOfAction("web/svc/a");
  OM_ASSERT_OK_AND_ASSIGN(const auto list, actions_.ListActions(operator_, {}));
  ASSERT_THAT(list.actions(), SizeIs(1));
  EXPECT_EQ(list.actions(0).id(), seen);
  OM_ASSERT_OK_AND_ASSIGN(const auto guests, actions_.ListActions(alice_, {}));
  EXPECT_THAT(guests.actions(), IsEmpty());
  pb::ListActionsRequest page;
  page.set_page_size(1);
  OM_ASSERT_OK_AND_ASSIGN(const auto first, actions_.ListActions(operator_, page));
  ASSERT_THAT(first.actions(), SizeIs(1));
  page.set_path(kHiddenPath);
  OM_ASSERT_OK_AND_ASSIGN(const auto none, actions_.ListActions(operator_, page));
  EXPECT_THAT(none.actions(), IsEmpty());
  EXPECT_EQ(none.next_page_token(), "");

  const auto get = [this](const Caller& caller, const std::string& id) {
    pb::GetActionRequest request;
    request.set_action_id(id);
    return ReasonOf(actions_.GetAction(caller, request).status());
  };
  const auto attach = [this](const Caller& caller, const std::string& id) {
    pb::AttachActionRequest request;
    request.set_action_id(id);
    return ReasonOf(actions_.AttachAction(caller, request).status());
  };
  const auto kill = [this](const Caller& caller, const std::string& id) {
    pb::KillActionRequest request;
    request.set_action_id(id);
    return ReasonOf(Await<pb::KillActionResponse>([&](auto reply) {
                      actions_.KillAction(caller, request, std::move(reply));
                    }).status());
  };
  for (const std::string& id : {hidden, of_node, std::string("no-such-action")}) {
    EXPECT_EQ(get(operator_, id), "ACTION_UNKNOWN");
    EXPECT_EQ(attach(operator_, id), "ACTION_UNKNOWN");
    EXPECT_EQ(kill(operator_, id), "ACTION_UNKNOWN");
  }
  EXPECT_EQ(get(operator_, seen), "");
  EXPECT_EQ(attach(operator_, seen), "");
  EXPECT_EQ(get(alice_, seen), "ROLE_MISSING");
  EXPECT_EQ(attach(alice_, seen), "ROLE_MISSING");
  EXPECT_EQ(kill(alice_, seen), "ROLE_MISSING");
  EXPECT_EQ(kill(operator_, seen), "");
}

TEST_F(NamespacesTest, LogsAreForGuestsOfTheObjectAndTheNodesForRoot) {
  LogTailer tailer(&loop, &clock, &counters, LogTailer::Options{});
  LogApi logs(&context, &tailer);
  const auto read = [&](const Caller& caller, const std::string& path) {
    pb::ReadLogRequest request;
    request.set_path(path);
    request.set_follow(true);
    return ReasonOf(logs.ReadLog(caller, request).status());
  };
  EXPECT_EQ(read(alice_, "web/svc/a"), "");
  for (const char* path : {kHiddenPath, "db/svc/nothing", ""}) {
    EXPECT_EQ(read(admin_, path), "ROLE_MISSING") << path;
  }
  EXPECT_EQ(read(Guest(), "web/svc/a"), "ROLE_MISSING");
  EXPECT_EQ(read(User("root"), ""), "");
}

TEST_F(NamespacesTest, ConfigurationsAreReadAndChangedByAdmins) {
  Write("web/svc/a", "[DEFAULT]\nid = 1\ncomment = mine\n");
  const auto read = [this](const Caller& caller, const std::string& path) {
    pb::GetConfigRequest request;
    request.mutable_target()->set_object_path(path);
    return ReasonOf(Await<pb::GetConfigResponse>([&](auto reply) {
                      config_.GetConfig(caller, request, std::move(reply));
                    }).status());
  };
  EXPECT_EQ(read(admin_, "web/svc/a"), "");
  EXPECT_EQ(read(operator_, "web/svc/a"), "ROLE_MISSING");
  EXPECT_EQ(read(admin_, kHiddenPath), "ROLE_MISSING");
  // By that name it is cluster.conf, with the cluster's secret.
  EXPECT_EQ(read(User("admin:*"), "cluster"), "ROLE_MISSING");
  pb::GetKeywordsRequest keywords;
  keywords.mutable_target()->set_node(true);
  keywords.add_names("cluster.secret");
  EXPECT_EQ(ReasonOf(Await<pb::GetKeywordsResponse>([&](auto reply) {
                       config_.GetKeywords(User("admin:*"), keywords, std::move(reply));
                     }).status()),
            "ROLE_MISSING");

  EXPECT_THAT(Update(admin_, "web/svc/a", "comment", "still mine"), IsOk());
  EXPECT_THAT(ReadBack("web/svc/a"), HasSubstr("still mine"));
  EXPECT_EQ(ReasonOf(Update(operator_, "web/svc/a", "comment", "x").status()), "ROLE_MISSING");
  EXPECT_EQ(ReasonOf(Update(admin_, kHiddenPath, "comment", "x").status()), "ROLE_MISSING");
  const absl::Status refused = Update(admin_, "web/svc/a", "app#1.start", "/bin/true").status();
  EXPECT_EQ(ReasonOf(refused), "CONFIG_NOT_ALLOWED");
  EXPECT_EQ(FieldOf(refused), "app#1");
  EXPECT_THAT(ReadBack("web/svc/a"), Not(HasSubstr("app#1")));
  EXPECT_THAT(Update(Root(), "web/svc/a", "app#1.start", "/bin/true"), IsOk());
}

TEST_F(NamespacesTest, AdminsCreateInTheirNamespacesWhatTheyMay) {
  EXPECT_THAT(Create(admin_, {"web/cfg/c"}), IsOk());
  EXPECT_EQ(ReasonOf(Create(admin_, {"web/vol/v"}).status()), "CONFIG_NOT_ALLOWED");
  EXPECT_EQ(ReasonOf(Create(operator_, {"web/cfg/d"}).status()), "ROLE_MISSING");
  EXPECT_EQ(ReasonOf(Create(admin_, {"new/cfg/d"}).status()), "ROLE_MISSING");
  EXPECT_EQ(ReasonOf(Create(admin_, {"rooted"}).status()), "ROLE_MISSING");
  // All or none, and nobody learns what is there.
  Write(kHiddenPath, "[DEFAULT]\n");
  EXPECT_EQ(ReasonOf(Create(admin_, {"web/cfg/e", kHiddenPath}).status()), "ROLE_MISSING");
  EXPECT_EQ(ReasonOf(Create(admin_, {kHiddenPath}, /*replace=*/true).status()), "ROLE_MISSING");
  EXPECT_EQ(ReadBack("web/cfg/e"), "");
  const absl::Status refused =
      Create(admin_, {"web/svc/x", "web/svc/y"}, false, {{"monitor_action", "crash"}}).status();
  EXPECT_EQ(ReasonOf(refused), "CONFIG_NOT_ALLOWED");
  EXPECT_EQ(FieldOf(refused), "objects[0].DEFAULT.monitor_action");
  EXPECT_EQ(ReadBack("web/svc/x"), "");
}

TEST_F(NamespacesTest, WhoMakesANamespaceBecomesItsAdmin) {
  Write("system/usr/alice", "# a comment\n[DEFAULT]\ngrant = squatter guest:web\n");
  const Caller squatter = User("squatter guest:web");
  EXPECT_THAT(Create(squatter, {"fresh/cfg/a", "fresh/cfg/b"}), IsOk());
  EXPECT_THAT(ReadBack("fresh/cfg/b"), HasSubstr("id ="));
  EXPECT_EQ(ReadBack("system/usr/alice"),
            "# a comment\n[DEFAULT]\ngrant = squatter guest:web admin:fresh\n");
  // It exists now, though the daemon may not know its objects yet: squatting is over.
  EXPECT_EQ(ReasonOf(Create(User("squatter"), {"fresh/cfg/c"}).status()), "ROLE_MISSING");
  EXPECT_THAT(Create(User("admin:fresh"), {"fresh/cfg/c"}), IsOk());
}

TEST_F(NamespacesTest, ANamespaceThatCannotBeGrantedIsNotMade) {
  EXPECT_THAT(Create(User("squatter"), {"fresh/cfg/a"}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("system/usr")));
  EXPECT_EQ(ReadBack("fresh/cfg/a"), "");
  Write("system/usr/alice", "[DEFAULT]\ngrant = squatter\n");
  EXPECT_EQ(ReasonOf(Create(User("squatter"), {"system/cfg/a"}).status()), "ROLE_MISSING");
  // A refused object of another namespace takes the whole with it.
  EXPECT_EQ(ReasonOf(Create(User("squatter"), {"fresh/cfg/a", "web/cfg/a"}).status()),
            "ROLE_MISSING");
  EXPECT_EQ(ReadBack("system/usr/alice"), "[DEFAULT]\ngrant = squatter\n");
}

TEST_F(NamespacesTest, IdsAreRestoredByRootOnly) {
  pb::CreateObjectsRequest request;
  request.set_restore(true);
  request.add_objects()->set_path("web/cfg/c");
  const auto create = [&](const Caller& caller) {
    return Await<pb::CreateObjectsResponse>(
        [&](auto reply) { actions_.CreateObjects(caller, request, std::move(reply)); });
  };
  EXPECT_EQ(ReasonOf(create(admin_).status()), "ROLE_MISSING");
  EXPECT_THAT(create(Root()), IsOk());
}

}  // namespace
}  // namespace om
