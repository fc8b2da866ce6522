// Entries of a recording become steps.
#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "glog/logging.h"
#include "tests/server/control/trace_replay.h"

namespace om {
namespace {

constexpr double kTogether = 0.06;  // Entries of one step follow each other closer than that.

bool IsFreezing(absl::string_view status) { return status == "freezing" || status == "thawing"; }

}  // namespace

std::string TraceText(const Json& value) {
  if (!value.is_string()) return "";
  const std::string text = value.get<std::string>();
  return text == "None" || text == "none" ? "" : text;
}

std::string TraceTextAt(const Json& entry, const char* key) {
  return entry.contains(key) ? TraceText(entry[key]) : "";
}

std::string OrNone(const std::string& word) { return word.empty() ? "none" : word; }

// The command's words without "--local", which both sides imply.
std::string RunWord(const std::vector<std::string>& command) {
  // Flags are files: whether a command makes them, or the daemon, is no difference in behaviour.
  if (command[0] == "freeze" || command[0] == "thaw") return command[0];
  if (command[0] == "create") return "create";
  if (command[0] == "set") {
    std::set<std::string> keywords(command.begin() + 1, command.end());
    keywords.erase("--kw");
    return "set " + absl::StrJoin(keywords, " ");
  }
  return "run " + absl::StrJoin(command, " ");
}

std::string EventWord(const std::string& id, const std::string& reason) {
  return reason.empty() ? absl::StrCat("event ", id) : absl::StrCat("event ", id, " ", reason);
}

void TraceReplay::BuildSteps(const Json& entries, const Json& facts) {
  std::vector<Json> all(entries.begin(), entries.end());
  for (const Json& fact : facts) {
    if (fact.contains("t")) all.push_back(fact);
  }
  std::stable_sort(all.begin(), all.end(), [](const Json& a, const Json& b) {
    return a["t"].get<double>() < b["t"].get<double>();
  });
  for (const Json& entry : all) AddEntry(entry);
}

TraceReplay::Step* TraceReplay::StepFor(Step::Kind kind, const Json& entry,
                                        const std::string& object) {
  const double time = entry["t"].get<double>();
  const Key key(entry["at"].get<std::string>(), object);
  const auto open = open_.find(key);
  if (kind != Step::Kind::kFact && open != open_.end()) {
    Step& last = steps_[open->second];
    if (last.kind == kind && time - last.last_time <= kTogether) {
      last.last_time = time;
      last.entries.push_back(entry);
      return &last;
    }
  }
  open_[key] = steps_.size();
  steps_.push_back({kind, time, time, key.first, object, {}, {entry}, {}});
  return &steps_.back();
}

void TraceReplay::AddEntry(const Json& entry) {
  if (entry.contains("event") && TraceTextAt(entry, "event") != "forget_peer")
    return AddEvent(entry);
  if (entry.contains("crm_command")) return AddCommand(entry);
  const std::string object = TraceTextAt(entry, "service");
  const bool by_monitor = TraceTextAt(entry, "thread") == "monitor";
  const Key key(TraceTextAt(entry, "at"), object);
  if (entry.contains("monitor.status") && by_monitor) {
    const std::string before = TraceText(entry["monitor.status"][0]);
    const std::string after = TraceText(entry["monitor.status"][1]);
    const auto running = building_.find(key);
    const auto open = open_.find(key);
    // The command's own step may name the status after the command.
    const bool begins = open != open_.end() && steps_[open->second].kind == Step::Kind::kPass &&
                        entry["t"].get<double>() - steps_[open->second].last_time <= kTogether;
    const bool ends = running != building_.end() && !begins;
    Step* step = StepFor(ends ? Step::Kind::kOutcome : Step::Kind::kPass, entry, object);
    if (ends) {
      step->command = running->second;
      building_.erase(running);
    }
    if (!IsFreezing(after)) step->words.insert("status " + after);
    objects_.insert(object);
    return;
  }
  if (entry.contains("monitor.local_expect") && by_monitor) {
    const auto open = open_.find(key);
    const bool follows = open != open_.end() && steps_[open->second].kind == Step::Kind::kOutcome &&
                         entry["t"].get<double>() - steps_[open->second].last_time <= kTogether;
    Step* step = StepFor(follows ? Step::Kind::kOutcome : Step::Kind::kPass, entry, object);
    step->words.insert("local " + OrNone(TraceText(entry["monitor.local_expect"][1])));
    objects_.insert(object);
    return;
  }
  if (entry.contains("monitor.global_expect") && by_monitor) {
    const std::string after = TraceText(entry["monitor.global_expect"][1]);
    const auto open = open_.find(key);
    const bool adopted =
        open != open_.end() && steps_[open->second].entries.back().contains("adopts_global_expect");
    if (adopted) {
      StepFor(Step::Kind::kFact, entry, object);
      return;
    }
    // Always a step of its own.
    open_.erase(key);
    Step* step = StepFor(Step::Kind::kPass, entry, object);
    step->words.insert(after.empty() ? "order ends" : "order " + after);
    open_.erase(key);
    objects_.insert(object);
    return;
  }
  if (entry.contains("node.monitor.status") && by_monitor &&
      TraceText(entry["node.monitor.status"][0]) != status_word::kInit) {
    StepFor(Step::Kind::kPass, entry, "")
        ->words.insert("status " + TraceText(entry["node.monitor.status"][1]));
    return;
  }
  if (entry.contains("node.monitor.global_expect") && by_monitor &&
      TraceText(entry["node.monitor.global_expect"][1]).empty()) {
    StepFor(Step::Kind::kPass, entry, "")->words.insert("order ends");
    return;
  }
  if (entry.contains("monitor.status")) building_.erase(key);
  StepFor(Step::Kind::kFact, entry, object);
}

void TraceReplay::AddCommand(const Json& entry) {
  std::vector<std::string> words =
      absl::StrSplit(entry["crm_command"].get<std::string>(), ' ', absl::SkipEmpty());
  CHECK_GE(words.size(), 3u);
  const std::string object = words[1];
  words.erase(words.begin(), words.begin() + 2);
  words.erase(std::remove(words.begin(), words.end(), "--local"), words.end());
  // Evaluations are the scheduler's, and `boot` is the daemon's start.
  if (words[0] == "status" || words[0] == "boot" || absl::StrContains(object, ",")) return;
  const Key key(TraceTextAt(entry, "at"), object);
  const auto open = open_.find(key);
  const bool follows = open != open_.end() && steps_[open->second].kind == Step::Kind::kOutcome &&
                       entry["t"].get<double>() - steps_[open->second].last_time <= kTogether &&
                       IsTransition(TraceText(steps_[open->second].entries.back().value(
                           "monitor.status", Json({"", ""}))[1]));
  Json command = entry;
  command["command"] = words;
  Step* step = StepFor(follows ? Step::Kind::kOutcome : Step::Kind::kPass, command, object);
  step->words.insert(RunWord(words));
  // These have no status of their own, by which their end would be seen.
  if (words[0] != "create" && words[0] != "set") building_[key] = words;
  objects_.insert(object);
}

void TraceReplay::AddEvent(const Json& entry) {
  const std::string id = TraceTextAt(entry, "event");
  const std::string object = TraceTextAt(entry, "svcpath");
  const bool of_instance = absl::StartsWith(id, "instance_") || absl::StartsWith(id, "resource_") ||
                           absl::StartsWith(id, "max_resource_") || absl::StartsWith(id, "scale_");
  const bool of_node = id == "node_freeze" || id == "node_thaw";
  if (!of_instance && !of_node) return;
  // Flags that the daemon sets by itself, when it is upgraded or when a configuration arrives.
  if (TraceTextAt(entry, "reason") == "upgrade" || TraceTextAt(entry, "reason") == "install") {
    StepFor(Step::Kind::kFact, entry, object);
    return;
  }
  Step* step = StepFor(Step::Kind::kPass, entry, object);
  step->words.insert(EventWord(id, TraceTextAt(entry, "reason")));
  if (of_instance) objects_.insert(object);
}

}  // namespace om
