#include "server/crm/action_registry.h"

#include <signal.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/status.h"
#include "tests/server/crm/fake_launcher.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_random.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Kind = ActionStep::Kind;
using Reader = ActionRegistry::Reader;
using ActionState = ActionInfo::State;

class ActionRegistryTest : public ::testing::Test {
 protected:
  ActionRegistryTest() {
    options_.command = {"crm", "--x"};
    options_.node_command = {"node"};
    options_.environment = {"OMD_NODENAME=n1"};
    options_.ended = [this](const ObjectPath& path) { ended_paths_.push_back(path.ToString()); };
    options_.max_running = 3;
    options_.max_readers = 2;
    options_.output_bytes = 1000;
    options_.total_bytes = 4000;
    options_.owner_lag_bytes = 400;
    options_.capture_bytes = 500;
    Make();
  }
  void Make() {
    registry_ =
        std::make_unique<ActionRegistry>(&launcher_, &clock_, &random_, &counters_, options_);
  }
  static ActionRequest Request(std::vector<std::string> words = {"start"}) {
    ActionRequest request;
    request.path = *ObjectPath::Parse("svc1");
    request.words = std::move(words);
    request.requester = "a test";
    return request;
  }
  // Runs a command for nobody and returns its id.
  std::string RunAlone(std::vector<std::string> words = {"start"}) {
    std::string id;
    registry_->Run(
        Request(std::move(words)),
        [&id](const absl::StatusOr<ActionInfo>& info) {
          ASSERT_THAT(info.status(), IsOk());
          id = info->id;
        },
        nullptr);
    Begin(launcher_.runs.size() - 1);
    return id;
  }
  std::unique_ptr<Reader> Own(bool detached = false) {
    absl::StatusOr<std::unique_ptr<Reader>> reader = registry_->Own(Request(), detached);
    EXPECT_THAT(reader.status(), IsOk());
    return *std::move(reader);
  }
  std::unique_ptr<Reader> Attach(const std::string& id, bool only_new = false) {
    absl::StatusOr<std::unique_ptr<Reader>> reader = registry_->Attach(id, only_new);
    EXPECT_THAT(reader.status(), IsOk());
    return *std::move(reader);
  }
  void Begin(size_t run) { launcher_.runs[run].spec.on_start(static_cast<pid_t>(100 + run)); }
  // What the runner is answered: whether to read on.
  bool Print(size_t run, int stream, const std::string& text) {
    return launcher_.runs[run].spec.on_chunk(stream, text);
  }
  // The next steps in words: "begun", "1@0:text", "1@9+4:text" with 4 bytes missed, "end".
  static std::vector<std::string> Steps(Reader* reader) {
    std::vector<std::string> steps;
    for (ActionStep step = reader->Next(); step.kind != Kind::kNothing; step = reader->Next()) {
      if (step.kind == Kind::kBegun) {
        steps.emplace_back("begun");
      } else if (step.kind == Kind::kEnd) {
        steps.emplace_back("end");
      } else {
        steps.push_back(absl::StrCat(
            step.stream, "@", step.offset,
            step.missed_bytes > 0 ? absl::StrCat("+", step.missed_bytes) : "", ":", step.data));
      }
    }
    return steps;
  }
  std::string OnlyId() {
    const ActionRegistry::Page page = registry_->List({}, 0, 10);
    EXPECT_EQ(page.actions.size(), 1u);
    return page.actions.empty() ? "" : page.actions[0].id;
  }

  FakeClock clock_;
  FakeLauncher launcher_;
  SeededSecureRandom random_{1};
  Counters counters_;
  ActionRegistry::Options options_;
  std::vector<std::string> ended_paths_;
  std::unique_ptr<ActionRegistry> registry_;
};

TEST_F(ActionRegistryTest, ACommandIsThatOfAPersonOnOneInstance) {
  RunAlone({"start", "--rid", "app#1"});
  const ProcessSpec& spec = launcher_.runs[0].spec;
  EXPECT_THAT(spec.argv,
              ElementsAre("crm", "--x", "-s", "svc1", "start", "--rid", "app#1", "--local"));
  EXPECT_THAT(spec.extra_environment, ElementsAre("OMD_NODENAME=n1", "OSVC_ACTION_ORIGIN=user"));
  EXPECT_EQ(spec.output, ProcessSpec::Output::kStream);
  RunAlone({"stop", "--local"});
  EXPECT_THAT(launcher_.runs[1].spec.argv,
              ElementsAre("crm", "--x", "-s", "svc1", "stop", "--local"));
}

TEST_F(ActionRegistryTest, ACommandOnTheNodeHasItsWordsOnly) {
  ActionRequest request = Request({"get", "--kw", "x"});
  request.path = std::nullopt;
  registry_->Run(request, nullptr, nullptr);
  EXPECT_THAT(launcher_.runs[0].spec.argv, ElementsAre("node", "get", "--kw", "x"));
  registry_->SetCommands({"other"}, {"others", "node"});
  registry_->Run(request, nullptr, nullptr);
  EXPECT_THAT(launcher_.runs[1].spec.argv, ElementsAre("others", "node", "get", "--kw", "x"));
  launcher_.End(0, FakeLauncher::Exit(0));
  EXPECT_THAT(ended_paths_, IsEmpty());
}

TEST_F(ActionRegistryTest, TheEndIsToldWithWhatWasPrintedAndTheObjectIsLookedAtAgain) {
  std::optional<ActionEnd> end;
  registry_->Run(Request(), nullptr, [&end](absl::StatusOr<ActionEnd> told) {
    ASSERT_THAT(told.status(), IsOk());
    end = *std::move(told);
  });
  Begin(0);
  EXPECT_TRUE(Print(0, 1, "out"));
  EXPECT_TRUE(Print(0, 2, std::string(600, 'e')));
  EXPECT_TRUE(Print(0, 1, "more"));
  EXPECT_FALSE(end.has_value());
  launcher_.End(0, FakeLauncher::Exit(3));
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->standard_output, "outmore");
  EXPECT_EQ(end->standard_error, std::string(500, 'e'));
  EXPECT_TRUE(end->output_truncated);
  EXPECT_EQ(end->info.state, ActionState::kExited);
  EXPECT_EQ(end->info.exit_code, 3);
  EXPECT_EQ(end->info.stderr_bytes, 600u);
  EXPECT_THAT(ended_paths_, ElementsAre("svc1"));
}

TEST_F(ActionRegistryTest, AProgramThatIsMissingIsTheErrorOfWhoeverIsWaiting) {
  ProcessResult missing;
  missing.status = absl::NotFoundError("no crm");
  absl::Status started, ended;
  registry_->Run(
      Request(), [&started](const auto& info) { started = info.status(); },
      [&ended](const auto& end) { ended = end.status(); });
  launcher_.End(0, missing);
  EXPECT_THAT(started, StatusIs(absl::StatusCode::kNotFound, HasSubstr("no crm")));
  EXPECT_EQ(ReasonOf(started), "PROGRAM_NOT_FOUND");
  EXPECT_THAT(ended, IsOk());  // One of the two is told.
  registry_->Run(Request(), nullptr, [&ended](const auto& end) { ended = end.status(); });
  launcher_.End(1, missing);
  EXPECT_EQ(ReasonOf(ended), "PROGRAM_NOT_FOUND");
  const std::unique_ptr<Reader> owner = Own();
  launcher_.End(2, missing);
  const ActionStep step = owner->Next();
  EXPECT_EQ(step.kind, Kind::kEnd);
  EXPECT_EQ(step.info.state, ActionState::kNotRun);
  EXPECT_EQ(ReasonOf(step.info.error), "PROGRAM_NOT_FOUND");
  EXPECT_THAT(ended_paths_, IsEmpty());
}

TEST_F(ActionRegistryTest, AnOwnerIsToldTheBeginningTheOutputInOrderAndTheEnd) {
  const std::unique_ptr<Reader> owner = Own();
  EXPECT_THAT(Steps(owner.get()), IsEmpty());
  Begin(0);
  Print(0, 1, "a");
  Print(0, 1, "b");
  Print(0, 2, "c");
  Print(0, 1, "d");
  EXPECT_THAT(Steps(owner.get()), ElementsAre("begun", "1@0:ab", "2@0:c", "1@2:d"));
  Print(0, 1, "e");  // Joins a piece that has been told already.
  EXPECT_THAT(Steps(owner.get()), ElementsAre("1@3:e"));
  launcher_.End(0, FakeLauncher::Exit(0));
  EXPECT_THAT(Steps(owner.get()), ElementsAre("end"));
  EXPECT_THAT(Steps(owner.get()), IsEmpty());
}

TEST_F(ActionRegistryTest, AReaderIsWokenOnlyAfterItWasToldThatThereIsNothing) {
  const std::unique_ptr<Reader> owner = Own();
  int wakes = 0;
  owner->SetWake([&wakes] { ++wakes; });
  Begin(0);
  EXPECT_EQ(wakes, 0);
  EXPECT_THAT(Steps(owner.get()), ElementsAre("begun"));
  Print(0, 1, "a");
  Print(0, 1, "b");
  EXPECT_EQ(wakes, 1);
  EXPECT_THAT(Steps(owner.get()), ElementsAre("1@0:ab"));
  launcher_.End(0, FakeLauncher::Exit(0));
  EXPECT_EQ(wakes, 2);
}

TEST_F(ActionRegistryTest, AnOwnerThatFallsBehindStopsTheReadingUntilItHasCaughtUp) {
  const std::unique_ptr<Reader> owner = Own();
  Begin(0);
  EXPECT_TRUE(Print(0, 1, std::string(400, 'a')));
  EXPECT_FALSE(Print(0, 2, "b"));
  EXPECT_EQ(owner->Next().kind, Kind::kBegun);
  EXPECT_EQ(launcher_.runs[0].resumed, 0);
  EXPECT_EQ(owner->Next().data.size(), 400u);
  EXPECT_EQ(launcher_.runs[0].resumed, 1);
  EXPECT_EQ(owner->Next().data, "b");
  EXPECT_EQ(launcher_.runs[0].resumed, 1);
  EXPECT_TRUE(Print(0, 1, "c"));
}

TEST_F(ActionRegistryTest, OthersSlowNobodyAndAreToldWhatTheyMissed) {
  const std::string id = RunAlone();
  const std::unique_ptr<Reader> reader = Attach(id);
  Print(0, 1, std::string(300, 'a'));
  EXPECT_THAT(Steps(reader.get()), ElementsAre("begun", "1@0:" + std::string(300, 'a')));
  Print(0, 2, "lost");
  for (int i = 0; i < 30; ++i) EXPECT_TRUE(Print(0, 1, std::string(70'000, 'b')));
  launcher_.End(0, FakeLauncher::Exit(0));
  // Nothing is kept of what is longer than all that may be kept.
  EXPECT_THAT(Steps(reader.get()), ElementsAre("1@2100300+2100000:", "2@4+4:", "end"));
  EXPECT_EQ(counters_.Get("action.missed_bytes")->value(), 2'100'004);
}

TEST_F(ActionRegistryTest, TheLastOfTheOutputIsKeptForWhoAttachesLater) {
  const std::string id = RunAlone();
  for (int i = 0; i < 20; ++i) {
    Print(0, 1, std::string(100, static_cast<char>('a' + i)));
    Print(0, 2, "-");
  }
  launcher_.End(0, FakeLauncher::Exit(0));
  const std::unique_ptr<Reader> reader = Attach(id);
  const std::vector<std::string> steps = Steps(reader.get());
  ASSERT_GE(steps.size(), 4u);
  EXPECT_THAT(steps, AllOf(Contains("1@1900:" + std::string(100, 't')), Contains("2@19:-")));
  EXPECT_THAT(steps, Not(Contains(HasSubstr("aaa"))));
  EXPECT_EQ(steps.back(), "end");
  EXPECT_THAT(Steps(Attach(id, /*only_new=*/true).get()), ElementsAre("begun", "end"));
}

TEST_F(ActionRegistryTest, AnOwnerMissesNothingWhateverTheBounds) {
  options_.output_bytes = 10;
  options_.total_bytes = 10;
  Make();
  const std::unique_ptr<Reader> owner = Own();
  Begin(0);
  Print(0, 1, "1234567");
  Print(0, 2, "1234567");
  Print(0, 1, "1234567");
  EXPECT_THAT(Steps(owner.get()),
              ElementsAre("begun", "1@0:1234567", "2@0:1234567", "1@7:1234567"));
}

TEST_F(ActionRegistryTest, TheOldestOfTheEndedLoseTheirOutputFirst) {
  const std::string first = RunAlone();
  Print(0, 1, std::string(800, 'a'));
  launcher_.End(0, FakeLauncher::Exit(0));
  std::vector<std::string> later;
  for (size_t run = 1; run <= 4; ++run) {
    later.push_back(RunAlone());
    Print(run, 1, std::string(800, 'b'));
    launcher_.End(run, FakeLauncher::Exit(0));
  }
  EXPECT_THAT(Steps(Attach(first).get()), ElementsAre("begun", "1@800+800:", "end"));
  EXPECT_THAT(Steps(Attach(later.back()).get()),
              ElementsAre("begun", "1@0:" + std::string(800, 'b'), "end"));
}

TEST_F(ActionRegistryTest, AnOwnerThatLeavesEndsItsCommand) {
  std::unique_ptr<Reader> owner = Own();
  Begin(0);
  EXPECT_FALSE(Print(0, 1, std::string(500, 'a')));
  owner.reset();
  EXPECT_TRUE(launcher_.runs[0].terminated);
  EXPECT_EQ(launcher_.runs[0].resumed, 1);  // It must not hang in a write until it is killed.
  EXPECT_TRUE(Print(0, 1, std::string(5000, 'a')));
  EXPECT_EQ(counters_.Get("action.abandoned")->value(), 1);
  ProcessResult killed;
  killed.signal = SIGTERM;
  launcher_.End(0, killed);
  const absl::StatusOr<ActionInfo> info = registry_->Get(OnlyId());
  EXPECT_EQ(info->state, ActionState::kKilled);
  EXPECT_EQ(info->signal, SIGTERM);
}

TEST_F(ActionRegistryTest, ADetachedCommandRunsOnUnhinderedWhenItsOwnerHasLeft) {
  std::unique_ptr<Reader> owner = Own(/*detached=*/true);
  Begin(0);
  EXPECT_FALSE(Print(0, 1, std::string(500, 'a')));
  owner.reset();
  EXPECT_FALSE(launcher_.runs[0].terminated);
  EXPECT_EQ(launcher_.runs[0].resumed, 1);
  EXPECT_TRUE(Print(0, 1, std::string(5000, 'a')));
}

TEST_F(ActionRegistryTest, WhoOnlyLooksMayLeave) {
  const std::unique_ptr<Reader> owner = Own();
  Begin(0);
  std::unique_ptr<Reader> reader = Attach(OnlyId());
  EXPECT_EQ(registry_->Get(OnlyId())->reader_count, 2);
  reader.reset();
  EXPECT_EQ(registry_->Get(OnlyId())->reader_count, 1);
  EXPECT_FALSE(launcher_.runs[0].terminated);
}

TEST_F(ActionRegistryTest, MoreThanMayRunOrReadAreRefused) {
  const std::string id = RunAlone();
  RunAlone();
  RunAlone();
  absl::Status refused;
  registry_->Run(
      Request(), [&refused](const auto& info) { refused = info.status(); }, nullptr);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(refused), "TOO_MANY_ACTIONS");
  EXPECT_TRUE(RetryAfterOf(refused).has_value());
  EXPECT_EQ(ReasonOf(registry_->Own(Request(), false).status()), "TOO_MANY_ACTIONS");
  launcher_.End(0, FakeLauncher::Exit(0));
  RunAlone();
  const std::unique_ptr<Reader> one = Attach(id);
  const std::unique_ptr<Reader> two = Attach(id);
  EXPECT_EQ(ReasonOf(registry_->Attach(id, false).status()), "TOO_MANY_ACTION_READERS");
  EXPECT_EQ(counters_.Get("action.refused")->value(), 2);
}

TEST_F(ActionRegistryTest, WordsAndInputAreCheckedBeforeAnythingIsRun) {
  ActionRequest request = Request({"start", std::string("a\0", 2)});
  EXPECT_THAT(registry_->Own(request, false).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("NUL")));
  request = Request();
  request.input = std::string(70'000, 'x');
  EXPECT_THAT(registry_->Own(request, false).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("70000")));
  EXPECT_THAT(launcher_.runs, IsEmpty());
  EXPECT_THAT(registry_->List({}, 0, 10).actions, IsEmpty());
}

TEST_F(ActionRegistryTest, SignalsGoToWhatRuns) {
  const std::string id = RunAlone();
  ASSERT_THAT(registry_->Kill(id, SIGUSR1).status(), IsOk());
  EXPECT_THAT(launcher_.runs[0].signals, ElementsAre(SIGUSR1));
  launcher_.End(0, FakeLauncher::Exit(0));
  EXPECT_EQ(ReasonOf(registry_->Kill(id, SIGUSR1).status()), "ACTION_ENDED");
  EXPECT_EQ(ReasonOf(registry_->Kill("other", SIGUSR1).status()), "ACTION_UNKNOWN");
  EXPECT_EQ(ReasonOf(registry_->Attach("other", false).status()), "ACTION_UNKNOWN");
  EXPECT_EQ(ReasonOf(registry_->Get("other").status()), "ACTION_UNKNOWN");
}

TEST_F(ActionRegistryTest, TheListIsNewestFirstInPages) {
  std::vector<std::string> ids;
  for (size_t run = 0; run < 5; ++run) {
    ids.push_back(RunAlone());
    if (run != 2) launcher_.End(run, FakeLauncher::Exit(0));
  }
  ActionRegistry::Page page = registry_->List({}, 0, 3);
  ASSERT_EQ(page.actions.size(), 3u);
  EXPECT_EQ(page.actions[0].id, ids[4]);
  page = registry_->List({}, page.next, 3);
  ASSERT_EQ(page.actions.size(), 2u);
  EXPECT_EQ(page.actions[1].id, ids[0]);
  EXPECT_EQ(page.next, 0u);
  ActionRegistry::Filter running;
  running.only_running = true;
  page = registry_->List(running, 0, 3);
  ASSERT_EQ(page.actions.size(), 1u);
  EXPECT_EQ(page.actions[0].id, ids[2]);
  ActionRegistry::Filter node;
  node.path = "";
  EXPECT_THAT(registry_->List(node, 0, 3).actions, IsEmpty());
}

TEST_F(ActionRegistryTest, EndedOnesAreForgottenByAgeAndByNumber) {
  options_.max_ended = 2;
  Make();
  const std::string running = RunAlone();
  std::vector<std::string> ids;
  for (size_t run = 1; run <= 3; ++run) {
    ids.push_back(RunAlone());
    launcher_.End(run, FakeLauncher::Exit(0));
  }
  EXPECT_EQ(ReasonOf(registry_->Get(ids[0]).status()), "ACTION_UNKNOWN");
  EXPECT_THAT(registry_->Get(ids[1]).status(), IsOk());
  clock_.Advance(std::chrono::hours(1));
  EXPECT_THAT(registry_->Get(ids[1]).status(), IsOk());
  clock_.Advance(std::chrono::milliseconds(1));
  EXPECT_EQ(ReasonOf(registry_->Get(ids[1]).status()), "ACTION_UNKNOWN");
  EXPECT_THAT(registry_->Get(running).status(), IsOk());
}

TEST_F(ActionRegistryTest, SecretsAreShownToNobody) {
  options_.mask = [](absl::string_view text) {
    return text == "hunter2" ? std::string("***") : std::string(text);
  };
  Make();
  const std::string id = RunAlone({"set", "--kw", "hb#1.secret=abc", "hunter2"});
  EXPECT_THAT(registry_->Get(id)->words, ElementsAre("set", "--kw", "hb#1.secret=***", "***"));
  EXPECT_THAT(launcher_.runs[0].spec.argv, Contains("hb#1.secret=abc"));
}

TEST_F(ActionRegistryTest, ADaemonThatStopsAnswersWhoWaitsAndLeavesCommandsRunning) {
  std::unique_ptr<Reader> owner = Own();
  Begin(0);
  EXPECT_FALSE(Print(0, 1, std::string(500, 'a')));
  absl::Status waiting, starting;
  int calls = 0;
  registry_->Run(Request(), nullptr, [&](const auto& end) {
    waiting = end.status();
    ++calls;
  });
  Begin(1);
  registry_->Run(
      Request(), [&](const auto& info) { starting = info.status(); },
      [&](const auto&) { ++calls; });
  registry_->Stop();
  EXPECT_EQ(ReasonOf(waiting), "DAEMON_STOPPING");
  EXPECT_EQ(ReasonOf(starting), "DAEMON_STOPPING");
  EXPECT_EQ(launcher_.runs[0].resumed, 1);
  owner.reset();
  EXPECT_FALSE(launcher_.runs[0].terminated);
  launcher_.End(1, FakeLauncher::Exit(0));
  launcher_.End(2, FakeLauncher::Exit(0));
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(ReasonOf(registry_->Own(Request(), false).status()), "DAEMON_STOPPING");
}

TEST_F(ActionRegistryTest, NothingIsCalledOnceItIsGone) {
  bool called = false;
  std::unique_ptr<Reader> owner = Own();
  registry_->Run(
      Request(), [&called](const auto&) { called = true; }, nullptr);
  registry_.reset();
  Begin(0);
  Begin(1);
  EXPECT_TRUE(Print(0, 1, std::string(5000, 'a')));
  launcher_.End(0, FakeLauncher::Exit(0));
  EXPECT_EQ(owner->Next().kind, Kind::kNothing);
  owner.reset();
  EXPECT_FALSE(called);
  EXPECT_FALSE(launcher_.runs[0].terminated);
  EXPECT_THAT(ended_paths_, IsEmpty());
}

}  // namespace
}  // namespace om
