#include "compat/gateway/router.h"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/base/file.h"
#include "server/config/file_lock.h"
#include "tests/server/service/service_fixture.h"
#include "tests/support/golden.h"

namespace om {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

// Those whose services this fixture has not; tests/compat/test_streams.py asks for them.
bool IsElsewhere(const std::string& action) {
  static const auto* const names = new std::set<std::string>{
      "create",      "events",         "node_action",      "node_backlogs",
      "node_logs",   "object_action",  "object_backlogs",  "object_create",
      "object_logs", "service_action", "service_backlogs", "service_logs"};
  return names->count(action) != 0;
}

// A router before node1, which runs svc1 (up) and has svc2 (down).
class RouterTest : public ::testing::Test {
 protected:
  explicit RouterTest(std::vector<std::string> nodes = {"node1"}) : world_(std::move(nodes)) {
    world_.AddService("svc1", true);
    world_.AddService("svc2", false);
    world_.dir.Write("etc/node.conf", "[listener]\nport = 2214\n\n[node]\nenv = TST\n");
    world_.dir.Write("etc/cluster.conf", "[cluster]\nname = demo\n");
    world_.dir.Write("etc/svc1.conf",
                     "[DEFAULT]\nnodes = node1\norchestrate = ha\n\n[app#1]\ntype = forking\n"
                     "start = 1\nrestart = 2\nmonitor = true\n");
    world_.Start();
  }

  // The reply to the text of a request; a shared document as the value it holds.
  Json Ask(const Json& request, const Caller& caller = ServiceFixture::Root()) {
    const ParsedRequest parsed = ParseRequest(DumpJson(request));
    if (parsed.outcome != ParsedRequest::Outcome::kRequest) return parsed.refusal;
    auto replies = std::make_shared<std::vector<Json>>();
    router_.Handle(parsed.request, caller, [replies](const LegacyReply& reply) {
      replies->push_back(reply.rendered == nullptr ? reply.value
                                                   : *ParseJson(reply.rendered->text));
    });
    world_.Settle();
    EXPECT_EQ(replies->size(), 1u) << DumpJson(request);
    return replies->empty() ? Json() : replies->front();
  }
  Json Ask(const char* action, Json options = Json::object()) {
    return Ask(Json{{"action", action}, {"options", std::move(options)}});
  }
  void BlacklistAddress(const std::string& address, int count) {
    for (int i = 0; i < count; ++i) {
      world_.blacklist.RecordInvalid(world_.node_names.KeyOf(*PeerAddress::Parse(address)));
    }
  }

  ServiceFixture world_;
  DaemonApi daemon_{&world_.context, DaemonApi::Options{}};
  BlacklistApi blacklist_{&world_.context};
  int changed_ = 0;
  ConfigApi config_{&world_.context};
  MonitorApi monitor_{&world_.context};
  NodeApi node_{&world_.context};
  MembershipApi membership_{&world_.context, MembershipApi::Options{}};
  ListenerStats stats_;
  StatusDocumentCache documents_{[this] { return world_.core.snapshot(); },
                                 [] {
                                   return DocumentFacts{4711, 10};
                                 },
                                 &stats_, &world_.workers, &world_.clock};
  Router router_{{&world_.context, &daemon_, &blacklist_, &config_, &monitor_, &node_, &documents_,
                  &stats_,
                  [] {
                    return DocumentFacts{4711, 10};
                  },
                  nullptr, nullptr, nullptr, &membership_}};
};

const Json kOk = {{"status", 0}};

TEST_F(RouterTest, EveryActionHasOneRuleAndEveryRuleOfAPacketItsAction) {
  std::set<std::string> actions;
  for (const std::string& action : Router::Actions()) {
    EXPECT_TRUE(actions.insert(action).second) << action;
    EXPECT_NE(FindOperationRule(action), nullptr) << action;
  }
  for (const OperationRule& rule : OperationRules()) {
    if (absl::StrContains(rule.operation, "/")) continue;  // An RPC.
    EXPECT_EQ(actions.count(std::string(rule.operation)), 1u) << rule.operation;
  }
}

TEST_F(RouterTest, ActionsOfOneMeaningNeedTheSameRole) {
  const std::vector<std::pair<const char*, const char*>> same = {
      {"blacklist_clear", "daemon_blacklist_clear"},
      {"blacklist_status", "daemon_blacklist_status"},
      {"object_clear", "clear"},
      {"object_config", "get_service_config"},
      {"node_config", "get_node_config"},
      {"object_monitor", "set_service_monitor"},
      {"node_monitor", "set_node_monitor"}};
  for (const auto& [one, other] : same) {
    EXPECT_EQ(FindOperationRule(one)->role, FindOperationRule(other)->role) << one;
    EXPECT_EQ(FindOperationRule(one)->flags, FindOperationRule(other)->flags) << one;
    EXPECT_EQ(FindOperationRule(one)->scope, FindOperationRule(other)->scope) << one;
  }
}

TEST_F(RouterTest, NamesOfAllVersionsMeanTheSameWithAndWithoutMethod) {
  const std::vector<std::pair<const char*, const char*>> same = {
      {"blacklist_status", "daemon_blacklist_status"},
      {"blacklist_clear", "daemon_blacklist_clear"},
      {"object_clear", "clear"},
      {"object_config", "get_service_config"},
      {"node_config", "get_node_config"},
      {"object_monitor", "set_service_monitor"},
      {"node_monitor", "set_node_monitor"}};
  const Json options = {{"svcpath", "svc1"}};
  for (const auto& [one, other] : same) {
    const Json expected = Ask({{"action", other}, {"options", options}});
    EXPECT_FALSE(expected.contains("error")) << DumpJson(expected);
    for (const char* method : {"GET", "POST", "", "anything"}) {
      EXPECT_EQ(Ask({{"action", one}, {"options", options}, {"method", method}}), expected) << one;
    }
    EXPECT_EQ(Ask({{"action", absl::StrCat("/", one)}, {"options", options}}), expected) << one;
  }
}

TEST_F(RouterTest, AnActionThatIsNotCarriedOutIsNotSupported) {
  for (const char* action : {"relay_tx", "whoami", "", "DAEMON_STATUS", "Join"}) {
    EXPECT_EQ(Ask(action), Json({{"error", "action not supported"}, {"status", 1}})) << action;
  }
  EXPECT_EQ(world_.counters.Get("packet.unsupported")->value(), 5);
  // To those who may ask for less than others as well: they learn nothing from it.
  EXPECT_EQ(Ask({{"action", "relay_tx"}}, ServiceFixture::Joiner())["error"],
            "action not supported");
}

TEST_F(RouterTest, UnknownOptionsAndKeysAreIgnored) {
  for (const std::string& action : Router::Actions()) {
    if (action == "daemon_stop" || action == "daemon_shutdown") continue;  // Not answered at once.
    if (action == "daemon_stats" || action == "daemon_status") continue;
    if (IsElsewhere(action)) continue;
    const Json plain = Ask(action.c_str(), {{"svcpath", "svc1"}, {"thr_id", "scheduler"}});
    const Json more = Ask({{"action", action},
                           {"options",
                            {{"svcpath", "svc1"},
                             {"thr_id", "scheduler"},
                             {"bogus", {{"a", 1}}},
                             {"svcpaths", nullptr}}},
                           {"more", 1}});
    EXPECT_EQ(plain, more) << action;
  }
}

TEST_F(RouterTest, EveryOptionOfAWrongTypeIsAnErrorThatNamesIt) {
  struct Case {
    const char* action;
    Json options;
    const char* option;
    bool is_bool;
  };
  const Json path = {{"svcpath", "svc1"}};
  const std::vector<Case> cases = {
      {"blacklist_clear", {}, "sender", false},
      {"clear", {}, "svcpath", false},
      {"clear", {}, "svcname", false},
      {"clear", {}, "path", false},
      {"daemon_start", {}, "thr_id", false},
      {"daemon_status", {}, "refresh", true},
      {"daemon_status", {}, "selector", false},
      {"daemon_status", {}, "namespace", false},
      {"daemon_stop", {}, "thr_id", false},
      {"daemon_stop", {}, "wait", true},
      {"daemon_stop", {}, "upgrade", true},
      {"get_node_config", {}, "format", false},
      {"get_node_config", {}, "evaluate", true},
      {"get_service_config", path, "format", false},
      {"get_service_config", path, "evaluate", true},
      {"get_service_config", path, "impersonate", false},
      {"get_service_monitor", {}, "svcpath", false},
      {"set_service_monitor", {}, "svcpath", false},
      {"set_service_monitor", path, "status", false},
      {"set_service_monitor", path, "local_expect", false},
      {"set_service_monitor", path, "global_expect", false},
      {"set_service_monitor", path, "reset_retries", true},
      {"set_service_monitor", path, "stonith", false},
      {"wake_monitor", {}, "svcpath", false},
  };
  for (const Case& each : cases) {
    std::vector<Json> wrong = {Json(1), Json(1.5), Json::array({"hidden"}),
                               Json({{"hidden", "hidden"}})};
    wrong.push_back(each.is_bool ? Json("hidden") : Json(true));
    for (const Json& value : wrong) {
      Json options = each.options.is_null() ? Json::object() : each.options;
      options[each.option] = value;
      const Json reply = Ask(each.action, options);
      SCOPED_TRACE(absl::StrCat(each.action, " ", DumpJson(options)));
      ASSERT_TRUE(reply.is_object());
      EXPECT_NE(reply.value("status", Json()), 0);
      const std::string text = DumpJson(reply["error"]);
      EXPECT_THAT(text, AllOf(HasSubstr(each.option), ::testing::Not(HasSubstr("hidden"))));
    }
  }
  EXPECT_EQ(world_.ended, 0);
}

TEST_F(RouterTest, NullOptionsAreAsIfTheyWereNotThere) {
  EXPECT_EQ(Ask("set_service_monitor", {{"svcpath", "svc1"},
                                        {"status", nullptr},
                                        {"global_expect", nullptr},
                                        {"reset_retries", nullptr},
                                        {"stonith", nullptr}}),
            Ask("set_service_monitor", {{"svcpath", "svc1"}}));
}

TEST_F(RouterTest, APathIsTheFirstOptionThatIsSet) {
  for (const char* key : {"svcpath", "svcname", "path"}) {
    EXPECT_EQ(Ask("clear", {{key, "svc1"}})["info"], "svc1 instance cleared") << key;
  }
  EXPECT_EQ(Ask("clear", {{"path", "svc9"}, {"svcpath", "svc1"}})["info"], "svc1 instance cleared");
  EXPECT_EQ(Ask("clear", {{"svcpath", ""}, {"svcname", nullptr}, {"path", "svc1"}})["info"],
            "svc1 instance cleared");
}

TEST_F(RouterTest, PathsThatLeaveTheirFolderAreRefused) {
  for (const char* path : {"../svc1", "a/../b", "/etc/passwd", "svc1/", "a,b", "a+b", "a/b/c/d"}) {
    for (const char* action : {"clear", "get_service_config", "get_service_monitor", "wake_monitor",
                               "set_service_monitor"}) {
      const Json reply = Ask(action, {{"svcpath", path}});
      EXPECT_NE(reply.value("status", Json()), 0) << action << " " << path << DumpJson(reply);
      EXPECT_TRUE(reply.contains("error")) << action << " " << path;
    }
  }
}

// The same keys, of the same kinds, are there; values differ from cluster to cluster.
void ExpectShape(const Json& ours, const Json& recorded, const std::string& at) {
  if (recorded.is_number() && ours.is_number()) return;
  ASSERT_STREQ(ours.type_name(), recorded.type_name()) << at;
  if (recorded.is_object()) {
    for (const auto& [key, value] : recorded.items()) {
      if (key == "traceback") continue;
      ASSERT_TRUE(ours.contains(key)) << at << "." << key << " of " << DumpJson(ours);
      ExpectShape(ours[key], value, absl::StrCat(at, ".", key));
    }
  }
}

TEST_F(RouterTest, RepliesHaveTheShapeOfTheRecordedOnes) {
  // Where they are not held against it, the reason stands beside it.
  const std::map<std::string, const char*> other = {
      {"get_service_config path", "1.9 does not know the option; 2.x does"},
      {"get_service_monitor", "carried out here"},
      {"set_service_monitor unknown svc frozen", "1.9 makes up an instance"},
      {"set_service_monitor bogus ge", "1.9 checks no value"},
      {"set_node_monitor bogus", "1.9 checks no value"},
      {"set_node_monitor ge bogus", "1.9 checks no value"},
      {"set_service_monitor placed@<peer>", "needs a peer"},
      {"set_service_monitor placed@", "not carried out yet"},
      {"set_service_monitor placed@node1", "not carried out yet"},
      {"set_service_monitor placed@node9", "not carried out yet"},
      {"get_service_config json", "another file"},
      {"get_service_config json eval", "another file"},
      {"get_node_config json", "another file"},
      {"join as self", "another file"},
      {"daemon_status", "elided"},
      {"daemon_status refresh", "elided"},
      {"daemon_stats", "services are not accounted yet"},
      {"nodes_info", "other nodes"},
      {"blacklist_clear", "only with a method there"},
      {"blacklist_clear POST", "only in 2.x"},
  };
  const std::vector<std::string> actions = Router::Actions();
  int compared = 0;
  const Json golden = GoldenJson("compat/requests.json");
  for (const Json& recorded : golden["requests"]) {
    const std::string name = recorded["name"].get<std::string>();
    const Json& request = recorded["request"];
    if (std::find(actions.begin(), actions.end(), request["action"]) == actions.end()) continue;
    if (other.count(name) != 0 || IsElsewhere(request["action"])) continue;
    SCOPED_TRACE(name);
    const Json& expected = recorded["by_version"]["1.9"]["replies"][0];
    const Json reply = Ask(request);
    ExpectShape(reply, expected, "reply");
    EXPECT_EQ(reply.value("status", Json()), expected.value("status", Json())) << DumpJson(reply);
    // Texts, but for paths of files and what the agents repeat fifty times.
    for (const char* key : {"info", "error"}) {
      if (!expected.contains(key) || absl::StrContains(DumpJson(expected[key]), "<root>") ||
          absl::StrContains(DumpJson(expected[key]), "thread does not exist")) {
        continue;
      }
      EXPECT_EQ(reply[key], expected[key]);
    }
    ++compared;
  }
  EXPECT_GE(compared, 20);
}

TEST_F(RouterTest, StatusIsASharedDocumentWithoutStatusKey) {
  const Json document = Ask("daemon_status");
  EXPECT_FALSE(document.contains("status"));
  EXPECT_EQ(document["monitor"]["services"]["svc1"]["avail"], "up");
  EXPECT_EQ(document["pid"], 4711);
  EXPECT_EQ(Ask({{"action", "daemon_status"}, {"node", "*"}}), document);
}

TEST_F(RouterTest, StatusCanBeNarrowedToObjects) {
  const auto services = [this](Json options) {
    std::vector<std::string> names;
    const Json document = Ask("daemon_status", std::move(options));
    for (const auto& [name, value] : document["monitor"]["services"].items()) names.push_back(name);
    return names;
  };
  using ::testing::ElementsAre;
  EXPECT_THAT(services({{"selector", "svc1"}}), ElementsAre("svc1"));
  EXPECT_THAT(services({{"selector", "svc1,svc2"}}), ElementsAre("svc1", "svc2"));
  EXPECT_THAT(services({{"selector", "svc*"}}), ElementsAre("svc1", "svc2"));
  EXPECT_THAT(services({{"selector", "**"}}), ElementsAre("svc1", "svc2"));
  EXPECT_THAT(services({{"selector", "nothing"}}), ElementsAre());
  EXPECT_THAT(services({{"namespace", "ns1"}}), ElementsAre());
  EXPECT_THAT(services({{"namespace", "root"}}), ElementsAre("svc1", "svc2"));
}

TEST_F(RouterTest, WhenNoWorkerIsFreeItSaysSo) {
  world_.workers.refuses = true;
  for (const char* action : {"daemon_status", "daemon_stats"}) {
    EXPECT_EQ(Ask(action), Json({{"error", "too many requests"}, {"status", 1}})) << action;
  }
  EXPECT_EQ(Ask("daemon_status", {{"selector", "svc1"}})["status"], 1);
  EXPECT_EQ(Ask("get_node_config")["status"], 1);
}

TEST_F(RouterTest, BlacklistStatusShowsEveryCountByNodeWhereItIsOne) {
  EXPECT_EQ(Ask("daemon_blacklist_status"), Json({{"data", Json::object()}, {"status", 0}}));
  BlacklistAddress("10.0.0.1", 1);
  BlacklistAddress("10.9.9.9", 5);
  BlacklistAddress("2001:db8::1", 2);
  const Json reply = Ask("daemon_blacklist_status");
  EXPECT_EQ(reply["data"]["node1"], 1);
  EXPECT_EQ(reply["data"]["10.9.9.9"], 5);
  EXPECT_EQ(reply["data"]["2001:db8::/64"], 2);
  EXPECT_EQ(reply["data"].size(), 3u);
}

TEST_F(RouterTest, BlacklistClearClearsAllOrOne) {
  BlacklistAddress("10.0.0.1", 5);
  BlacklistAddress("10.9.9.9", 5);
  BlacklistAddress("10.9.9.8", 5);
  EXPECT_EQ(Ask("blacklist_clear", {{"sender", "node1"}}), kOk);
  EXPECT_EQ(world_.blacklist.size(), 2u);
  EXPECT_EQ(Ask("blacklist_clear", {{"sender", "10.9.9.8"}}), kOk);
  EXPECT_EQ(world_.blacklist.size(), 1u);
  EXPECT_EQ(Ask("blacklist_clear", {{"sender", "no address"}})["status"], 1);
  EXPECT_EQ(world_.blacklist.size(), 1u);
  EXPECT_EQ(Ask("daemon_blacklist_clear"), kOk);
  EXPECT_EQ(world_.blacklist.size(), 0u);
}

TEST_F(RouterTest, JoinersGetTheBlacklistStatusAndNothingElse) {
  for (const char* action : {"blacklist_status", "daemon_blacklist_status"}) {
    EXPECT_EQ(Ask({{"action", action}}, ServiceFixture::Joiner()),
              Json({{"data", Json::object()}, {"status", 0}}))
        << action;
  }
  int refused = 0;
  for (const std::string& action : Router::Actions()) {
    if (FindOperationRule(action)->for_joiners()) continue;
    const Json reply =
        Ask(Json{{"action", action}, {"options", {{"svcpath", "svc1"}}}}, ServiceFixture::Joiner());
    EXPECT_EQ(reply["status"], 1) << action;
    EXPECT_THAT(DumpJson(reply), HasSubstr("joining node")) << action;
    ++refused;
  }
  EXPECT_EQ(world_.counters.Get("service.denied")->value(), refused);
  EXPECT_EQ(world_.ended, 0);
}

TEST_F(RouterTest, NodesMayDoWhatRootMay) {
  for (const std::string& action : Router::Actions()) {
    if (action == "daemon_stop" || action == "daemon_shutdown") continue;  // Not answered at once.
    if (action == "join" || action == "leave") continue;                   // Each asks for itself.
    if (action == "daemon_stats" || IsElsewhere(action)) continue;
    const Json request = {{"action", action}, {"options", {{"svcpath", "svc1"}}}};
    EXPECT_EQ(Ask(request, ServiceFixture::Node()), Ask(request, ServiceFixture::Root())) << action;
  }
}

TEST_F(RouterTest, ThreadsAreStoppedAndStartedById) {
  EXPECT_EQ(Ask("daemon_stop", {{"thr_id", "scheduler"}, {"wait", true}}), kOk);
  EXPECT_EQ(world_.supervisor.status("scheduler")->state, ThreadState::kStopped);
  EXPECT_EQ(Ask("daemon_stop", {{"thr_id", "scheduler"}}), kOk);
  EXPECT_EQ(Ask("daemon_status")["scheduler"]["state"], "stopped");
  EXPECT_EQ(Ask("daemon_start", {{"thr_id", "scheduler"}}), kOk);
  EXPECT_EQ(world_.supervisor.status("scheduler")->state, ThreadState::kRunning);
  EXPECT_EQ(Ask("daemon_start", {{"thr_id", "scheduler"}}), kOk);
}

TEST_F(RouterTest, AStopOfAThreadIsAnsweredAtOnceOrWhenItHasEnded) {
  world_.scheduler_component.holds_stop = true;
  EXPECT_EQ(Ask("daemon_stop", {{"thr_id", "scheduler"}}), kOk);
  EXPECT_EQ(world_.supervisor.status("scheduler")->state, ThreadState::kStopping);
  std::vector<Json> replies;
  const ParsedRequest waits = ParseRequest(
      R"({"action": "daemon_stop", "options": {"thr_id": "scheduler", "wait": true}})");
  router_.Handle(waits.request, ServiceFixture::Root(),
                 [&](const LegacyReply& reply) { replies.push_back(reply.value); });
  world_.Settle();
  EXPECT_TRUE(replies.empty());
  world_.scheduler_component.held();
  world_.Settle();
  EXPECT_THAT(replies, ::testing::ElementsAre(kOk));
}

TEST_F(RouterTest, AnUnknownThreadIsAnsweredWithTheValidOnes) {
  for (const char* action : {"daemon_start", "daemon_stop"}) {
    const Json reply = Ask(action, {{"thr_id", "foo"}});
    EXPECT_EQ(reply["status"], 1);
    EXPECT_THAT(reply["error"].get<std::string>(),
                AllOf(HasSubstr("foo"), HasSubstr("monitor"), HasSubstr("scheduler")));
  }
}

TEST_F(RouterTest, AnEmptyThreadIdStopsNothing) {
  EXPECT_EQ(Ask("daemon_stop", {{"thr_id", ""}})["status"], 1);
  EXPECT_EQ(Ask("daemon_start", {{"thr_id", ""}}),
            Json({{"error", "no thread specified"}, {"status", 1}}));
  world_.loop.AdvanceBy(std::chrono::seconds(10));
  EXPECT_EQ(world_.ended, 0);
}

class TwoNodeRouterTest : public RouterTest {
 protected:
  TwoNodeRouterTest() : RouterTest({"node1", "node2"}) {}
};

TEST_F(TwoNodeRouterTest, AStopOfTheDaemonIsAnnouncedFiveSecondsBeforeItsAnswerAndItsEnd) {
  std::vector<Json> replies;
  const ParsedRequest stop = ParseRequest(R"({"action": "daemon_stop"})");
  router_.Handle(stop.request, ServiceFixture::Root(),
                 [&](const LegacyReply& reply) { replies.push_back(reply.value); });
  world_.loop.AdvanceBy(std::chrono::milliseconds(4500));
  EXPECT_TRUE(replies.empty());
  EXPECT_EQ(world_.ended, 0);
  EXPECT_EQ(world_.core.snapshot()->local()->monitor.status, "maintenance");
  world_.loop.AdvanceBy(std::chrono::milliseconds(1000));
  EXPECT_THAT(replies, ::testing::ElementsAre(kOk));
  EXPECT_EQ(world_.ended, 1);
}

TEST_F(RouterTest, WithoutPeersAStopIsAnsweredAtOnce) {
  EXPECT_EQ(Ask("daemon_stop"), kOk);
  EXPECT_EQ(world_.ended, 1);
}

TEST_F(RouterTest, AShutdownIsAnsweredWhenAllIsDown) {
  std::vector<Json> replies;
  const ParsedRequest shutdown = ParseRequest(R"({"action": "daemon_shutdown"})");
  for (int i = 0; i < 2; ++i) {
    router_.Handle(shutdown.request, ServiceFixture::Root(),
                   [&](const LegacyReply& reply) { replies.push_back(reply.value); });
  }
  world_.Settle();
  EXPECT_THAT(replies, ::testing::IsEmpty());
  EXPECT_EQ(world_.core.snapshot()->local()->monitor.status, "shutting");
  EXPECT_EQ(world_.supervisor.status("scheduler")->state, ThreadState::kStopped);
  world_.loop.AdvanceBy(std::chrono::seconds(5));
  EXPECT_THAT(replies, ::testing::ElementsAre(kOk, kOk));
  EXPECT_EQ(world_.ended, 1);
}

TEST_F(RouterTest, AStopForAnUpgradeSaysSo) {
  const ParsedRequest stop =
      ParseRequest(R"({"action": "daemon_stop", "options": {"upgrade": true}})");
  router_.Handle(stop.request, ServiceFixture::Root(), [](const LegacyReply&) {});
  world_.loop.AdvanceBy(std::chrono::seconds(6));
  EXPECT_EQ(world_.core.snapshot()->local()->monitor.status, "upgrade");
  EXPECT_EQ(world_.ended, 1);
}

TEST_F(RouterTest, ConfigurationsComeAsTextWithTheirTime) {
  const Json reply = Ask("get_service_config", {{"svcpath", "svc1"}, {"format", "ini"}});
  EXPECT_EQ(reply["status"], 0);
  EXPECT_EQ(reply["data"], world_.dir.Read("etc/svc1.conf"));
  EXPECT_TRUE(reply["mtime"].is_number());
  EXPECT_EQ(Ask("get_node_config")["data"], world_.dir.Read("etc/node.conf"));
}

TEST_F(RouterTest, ConfigurationsComeAsJsonWithMetadata) {
  EXPECT_EQ(Ask("get_service_config", {{"svcpath", "svc1"}, {"format", "json"}}),
            *ParseJson(R"({"DEFAULT": {"nodes": "node1", "orchestrate": "ha"},
                           "app#1": {"type": "forking", "start": "1", "restart": "2",
                                     "monitor": "true"},
                           "metadata": {"name": "svc1", "kind": "svc", "namespace": null}})"));
  EXPECT_EQ(Ask("get_node_config", {{"format", "json"}}),
            *ParseJson(R"({"listener": {"port": "2214"}, "node": {"env": "TST"},
                           "metadata": {"kind": "node"}})"));
}

TEST_F(RouterTest, EvaluatedConfigurationsAreTyped) {
  EXPECT_EQ(
      Ask("get_service_config", {{"svcpath", "svc1"}, {"format", "json"}, {"evaluate", true}}),
      *ParseJson(R"({"DEFAULT": {"nodes": ["node1"], "orchestrate": "ha"},
                           "app#1": {"type": "forking", "start": "1", "restart": 2,
                                     "monitor": true},
                           "metadata": {"name": "svc1", "kind": "svc", "namespace": null}})"));
}

TEST_F(RouterTest, AnUnknownFormatIsRefused) {
  const Json reply = Ask("get_node_config", {{"format", "xml"}});
  EXPECT_EQ(reply["status"], 1);
  EXPECT_THAT(reply["error"].get<std::string>(), AllOf(HasSubstr("xml"), HasSubstr("json")));
}

TEST_F(RouterTest, AMissingFileHasNumberThreeOrInJsonATextualOne) {
  const Json missing = Ask("get_service_config", {{"svcpath", "nope"}});
  EXPECT_EQ(missing["status"], 3);
  EXPECT_EQ(missing["error"], world_.dir.File("etc/nope.conf") + " does not exist");
  EXPECT_EQ(Ask("get_service_config", {{"svcpath", "nope"}, {"format", "json"}}),
            Json({{"status", "1"}, {"error", "'nope'"}}));
  ASSERT_EQ(unlink(world_.dir.File("etc/node.conf").c_str()), 0);
  for (const char* format : {"ini", "json"}) {
    const Json reply = Ask("get_node_config", {{"format", format}});
    EXPECT_EQ(reply["status"], 3) << format;
    EXPECT_EQ(reply["error"], world_.dir.File("etc/node.conf") + " does not exist") << format;
  }
}

TEST_F(RouterTest, NodesInfoShowsLabelsOfNodesWithData) {
  EXPECT_EQ(Ask("nodes_info"),
            *ParseJson(R"({"status": 0, "data": {"node1": {"labels": {}, "targets": []}}})"));
}

TEST_F(RouterTest, StatsHaveTheMembersThatClientsRead) {
  const Json reply = Ask("daemon_stats");
  EXPECT_EQ(reply["status"], 0);
  const Json& data = reply["data"];
  EXPECT_TRUE(data["timestamp"].is_number());
  EXPECT_TRUE(data["daemon"]["cpu"]["time"].is_number());
  EXPECT_GT(data["daemon"]["mem"]["total"], 0);
  EXPECT_TRUE(data["node"]["cpu"]["time"].is_number());
  EXPECT_EQ(data["services"], Json::object());
  for (const char* key : {"threads", "procs", "cpu", "mem"}) {
    EXPECT_TRUE(data["monitor"].contains(key)) << key;
  }
  EXPECT_TRUE(data["counters"].is_object());
}

TEST_F(RouterTest, AnOrderIsTakenAndCarriedOut) {
  const Json reply =
      Ask("set_service_monitor", {{"svcname", "svc2"}, {"global_expect", "started"}});
  EXPECT_EQ(reply, Json({{"status", 0},
                         {"info", {"service svc2 target state set to started"}},
                         {"data", {{"global_expect", "started"}}}}));
  world_.loop.AdvanceBy(std::chrono::seconds(10));
  EXPECT_TRUE(world_.world.IsUp("svc2"));
}

TEST_F(RouterTest, AnOrderForWhatIsSoAlreadySaysSo) {
  const Json reply =
      Ask("set_service_monitor", {{"svcname", "svc1"}, {"global_expect", "started"}});
  EXPECT_EQ(reply["status"], 0);
  EXPECT_EQ(reply["info"], Json::array({"service svc1 is already started"}));
  EXPECT_EQ(reply["data"], Json::object());
}

TEST_F(RouterTest, WithoutAttributesTheMonitorIsRead) {
  Ask("set_service_monitor", {{"svcname", "svc2"}, {"status", "start failed"}});
  const Json read = Ask("set_service_monitor", {{"svcname", "svc2"}});
  EXPECT_EQ(read["status"], 0);
  EXPECT_EQ(read["info"], Json::array({"service svc2 target state set to None"}));
  EXPECT_EQ(read["data"]["status"], "start failed");
  EXPECT_TRUE(read["data"]["global_expect"].is_null());
  EXPECT_EQ(Ask("get_service_monitor", {{"svcname", "svc2"}})["data"], read["data"]);
}

TEST_F(RouterTest, AnUnknownServicesMonitorIsAnError) {
  const Json reply = Ask("get_service_monitor", {{"svcname", "nope"}});
  EXPECT_EQ(reply["status"], 1);
  EXPECT_THAT(reply["error"].get<std::string>(), HasSubstr("nope"));
}

TEST_F(RouterTest, ClearMakesAFailedInstanceIdle) {
  Ask("set_service_monitor", {{"svcname", "svc2"}, {"status", "start failed"}});
  EXPECT_EQ(Ask("clear", {{"svcname", "svc2"}}),
            Json({{"status", 0}, {"info", "svc2 instance cleared"}}));
  EXPECT_EQ(Ask("get_service_monitor", {{"svcname", "svc2"}})["data"]["status"], "idle");
}

TEST_F(RouterTest, ClearSkipsAnInstanceInTransition) {
  Ask("set_service_monitor", {{"svcname", "svc2"}, {"status", "starting"}});
  EXPECT_EQ(Ask("clear", {{"svcname", "svc2"}}),
            Json({{"info", "skip clear on starting instance"}, {"status", 0}}));
}

class MultiplexTest : public RouterTest {
 protected:
  MultiplexTest() : RouterTest({"node1", "node2"}) {}
  Json Nodes(const Json& node, const char* action = "wake_monitor", Json options = Json::object()) {
    return Ask(Json{{"action", action}, {"options", std::move(options)}, {"node", node}});
  }
};

TEST_F(MultiplexTest, ANodeThatIsNullOrEmptyIsAsIfItWereNotThere) {
  for (const Json& none : {Json(), Json(""), Json::array()}) {
    EXPECT_EQ(Nodes(none), kOk) << DumpJson(none);
  }
}

TEST_F(MultiplexTest, ASelectedNodesReplyComesInAnEnvelope) {
  const Json expected = {{"nodes", {{"node1", kOk}}}, {"status", 0}};
  for (const Json& node : {Json("node1"), Json::array({"node1"}), Json("node[13]"), Json("ANY"),
                           Json::array({"node1", "node1"})}) {
    EXPECT_EQ(Nodes(node), expected) << DumpJson(node);
  }
}

TEST_F(MultiplexTest, StatusesAreSummedUpAndUnreachableNodesKeepTheirPlace) {
  const Json reply = Nodes(Json::array({"node2", "node1"}));
  ASSERT_EQ(reply["nodes"].size(), 2u);
  EXPECT_EQ(reply["nodes"]["node1"], kOk);
  EXPECT_EQ(reply["nodes"]["node2"]["status"], 1);
  EXPECT_THAT(reply["nodes"]["node2"]["error"].get<std::string>(), HasSubstr("node2"));
  EXPECT_EQ(reply["status"], 1);
}

TEST_F(MultiplexTest, ANamedNodeIsNotChecked) {
  const Json reply = Nodes(Json::array({"node9"}));
  EXPECT_EQ(reply["nodes"]["node9"]["status"], 1);
  EXPECT_EQ(reply["status"], 1);
}

TEST_F(MultiplexTest, ASelectorThatSelectsNothingIsASuccess) {
  EXPECT_EQ(Nodes("nothing*"),
            Json({{"nodes", Json::object()}, {"status", 0}, {"info", "empty node selection"}}));
}

TEST_F(MultiplexTest, ErrorsAreInThePlaceOfTheNode) {
  const Json missing = Nodes("node1", "get_service_config", {{"svcpath", "nope"}});
  EXPECT_EQ(missing["nodes"]["node1"]["status"], 3);
  EXPECT_EQ(missing["status"], 3);
  // One kind of error has its number as a text.
  EXPECT_EQ(
      Nodes("node1", "get_service_config", {{"svcpath", "nope"}, {"format", "json"}})["status"], 1);
  // A document without status counts as none.
  EXPECT_EQ(Nodes("node1", "get_node_config", {{"format", "json"}})["status"], 0);
}

TEST_F(MultiplexTest, AnyIsTheLocalNodeIfItHasTheObject) {
  EXPECT_EQ(Nodes("ANY", "clear", {{"svcpath", "svc1"}})["nodes"].size(), 1u);
  EXPECT_TRUE(Nodes("ANY", "clear", {{"svcpath", "svc1"}})["nodes"].contains("node1"));
  EXPECT_EQ(Nodes("ANY", "clear", {{"path", "nope"}}),
            Json({{"error", "unknown service"}, {"status", 1}}));
  EXPECT_EQ(Nodes("ANY", "clear", {{"path", 1}})["status"], 1);
}

TEST_F(MultiplexTest, WhatWasSpreadAlreadyIsNotSpreadAgain) {
  EXPECT_EQ(Ask({{"action", "wake_monitor"}, {"node", "node1"}, {"multiplexed", true}}), kOk);
}

TEST_F(MultiplexTest, NodesOfAWrongTypeAreRefused) {
  for (const Json& node :
       {Json(1), Json(true), Json({{"a", 1}}), Json::array({1}), Json::array({nullptr})}) {
    const Json reply = Nodes(node);
    EXPECT_EQ(reply["status"], 1) << DumpJson(node);
    EXPECT_THAT(reply["error"].get<std::string>(), HasSubstr("node"));
  }
}

TEST_F(MultiplexTest, NodesWithoutDataAreShownEmptyInNodesInfo) {
  EXPECT_EQ(Ask("nodes_info")["data"]["node2"], Json::object());
}

TEST_F(RouterTest, AJoinerIsAddedAndAnsweredInTheRecordedShape) {
  const Json recorded = GoldenJson("compat/transcripts/1.9-join.json")["replies"][0];
  world_.dir.Write("etc/cluster.conf",
                   "[cluster]\nname = demo\n# who\nnodes = node1\nsecret = s\n\n[hb#1]\n"
                   "type = unicast\n");
  const Json reply = Ask({{"action", "join"}}, ServiceFixture::Joiner());
  EXPECT_EQ(reply["status"], 0) << DumpJson(reply);
  EXPECT_EQ(reply["data"]["node"], recorded["data"]["node"]);
  const Json& cluster = reply["data"]["cluster"];
  EXPECT_TRUE(cluster["mtime"].is_number_float());
  EXPECT_EQ(cluster["data"]["metadata"], recorded["data"]["cluster"]["data"]["metadata"]);
  EXPECT_EQ(cluster["data"]["cluster"],
            Json({{"name", "demo"}, {"nodes", "node1 node9"}, {"secret", "s"}}));
  EXPECT_EQ(cluster["data"]["hb#1"], Json({{"type", "unicast"}}));
  EXPECT_EQ(Ask({{"action", "join"}}, ServiceFixture::Joiner()), reply);
  EXPECT_EQ(Ask({{"action", "leave"}}, ServiceFixture::Node("node9")), kOk);
  EXPECT_EQ(Ask({{"action", "leave"}}, ServiceFixture::Node("node9")), kOk);
  EXPECT_EQ(world_.config_store.Read(ConfigTarget::Cluster())->text,
            "[cluster]\nname = demo\n# who\nnodes = node1\nsecret = s\n\n[hb#1]\n"
            "type = unicast\n");
}

TEST_F(RouterTest, WhoCannotJoinOrLeaveIsToldInTheRecordedShape) {
  const Json own = Ask({{"action", "leave"}}, ServiceFixture::Node("node1"));
  EXPECT_EQ(own["status"], 1);
  EXPECT_TRUE(own["error"].is_array()) << DumpJson(own);
  Caller joiner = ServiceFixture::Joiner();
  joiner.name = "../x";
  const Json malformed = Ask({{"action", "join"}}, joiner);
  EXPECT_EQ(malformed["status"], 1);
  EXPECT_TRUE(malformed["error"].is_string()) << DumpJson(malformed);
}

TEST_F(RouterTest, AnEditorThatDoesNotEndIsALockThatIsNotAcquired) {
  MembershipApi::Options options;
  options.patience = std::chrono::milliseconds(1);
  MembershipApi hurried(&world_.context, options);
  const absl::StatusOr<FileLock> lock =
      FileLock::Acquire(world_.roots.ConfigLock(), std::chrono::seconds(1));
  ASSERT_THAT(lock, IsOk());
  const Json expected = {{"error", "Lock not acquired"}, {"status", 503}};
  std::vector<Json> replies;
  const auto keep = [&](Json reply) { replies.push_back(std::move(reply)); };
  LegacyJoin(&hurried, ServiceFixture::Joiner(), keep);
  LegacyLeave(&hurried, ServiceFixture::Node("node9"), keep);
  world_.Settle();
  EXPECT_THAT(replies, ::testing::ElementsAre(expected, expected));
}

}  // namespace
}  // namespace om
