#include "server/core/taken_over.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace om {
namespace {

// The resources that the command is limited to.
std::vector<std::string> RidsOf(const std::vector<std::string>& words) {
  for (size_t i = 0; i < words.size(); ++i) {
    absl::string_view word = words[i];
    if (word == "--rid" && i + 1 < words.size()) return absl::StrSplit(words[i + 1], ',');
    if (absl::ConsumePrefix(&word, "--rid=")) return absl::StrSplit(word, ',');
  }
  return {};
}

}  // namespace

TakenOverActions::Step TakenOverActions::Note(const ObjectPath& path,
                                              const std::optional<ActionHolder>& holder,
                                              Duration limit, MonotonicTime now) {
  const auto found = actions_.find(path);
  if (found == actions_.end()) {
    if (!holder.has_value()) return Step::kNone;
    actions_[path] = {*holder, now, false, false};
    return Step::kBegan;
  }
  Action& action = found->second;
  if (!holder.has_value()) {
    if (action.ended) return Step::kNone;
    action.ended = true;
    return Step::kEnded;
  }
  if (action.ended || (holder->pid != 0 && holder->pid != action.holder.pid)) {
    // Another one has the lock by now.
    action = {*holder, now, false, false};
    return Step::kBegan;
  }
  if (holder->pid != 0) action.holder = *holder;
  if (!action.holder.from_daemon || limit <= Duration::zero()) return Step::kGoesOn;
  const Duration age = now - action.since;
  if (age < limit) return Step::kGoesOn;
  if (!std::exchange(action.told_to_end, true)) return Step::kTerminate;
  return age < limit + kKillGrace ? Step::kGoesOn : Step::kKill;
}

const TakenOverActions::Action* TakenOverActions::Find(const ObjectPath& path) const {
  const auto found = actions_.find(path);
  return found == actions_.end() ? nullptr : &found->second;
}

std::optional<TakenOverActions::Action> TakenOverActions::Finish(const ObjectPath& path) {
  const auto found = actions_.find(path);
  if (found == actions_.end()) return std::nullopt;
  std::optional<Action> action = std::move(found->second);
  actions_.erase(found);
  return action;
}

std::vector<ObjectPath> TakenOverActions::Running() const {
  std::vector<ObjectPath> paths;
  for (const auto& [path, action] : actions_) {
    if (!action.ended) paths.push_back(path);
  }
  return paths;
}

absl::Duration TimeLimit(const ActionLimits& limits, const std::string& verb) {
  if (verb.empty()) {
    const absl::Duration most = std::max(limits.start + limits.stop, limits.run);
    return std::max({most, limits.start + limits.provision, limits.stop + limits.unprovision});
  }
  if (verb == "start" || verb == "startstandby") return limits.start;
  if (verb == "stop" || verb == "shutdown" || verb == "toc") return limits.stop;
  if (verb == "restart") return limits.stop + limits.start;
  // Both also start, or stop, what they make or remove.
  if (verb == "provision") return limits.provision + limits.start;
  if (verb == "unprovision" || verb == "purge") return limits.unprovision + limits.stop;
  if (verb == "run") return limits.run;
  return absl::ZeroDuration();
}

std::string ProgressWord(const std::string& intent) {
  static const auto* const words =
      new std::map<std::string, std::string>{{"start", "starting"},
                                             {"startstandby", "starting"},
                                             {"stop", "stopping"},
                                             {"shutdown", "shutting"},
                                             {"restart", "restarting"},
                                             {"provision", "provisioning"},
                                             {"unprovision", "unprovisioning"},
                                             {"delete", "deleting"},
                                             {"purge", "purging"},
                                             {"toc", "tocing"}};
  const auto found = words->find(intent);
  return found == words->end() ? std::string() : found->second;
}

std::optional<RunCrm> CommandOf(const ObjectPath& path, const ActionHolder& holder) {
  RunCrm command;
  command.path = path;
  command.words = holder.words;
  command.rids = RidsOf(holder.words);
  if (command.words.empty()) command.words = {holder.intent};
  const bool partly = !command.rids.empty();
  if (holder.intent == "startstandby") {
    command.verb = CrmVerb::kRestartStandby;
  } else if (holder.intent == "start") {
    command.verb = partly ? CrmVerb::kRestartResources : CrmVerb::kStart;
  } else if (partly) {
    return std::nullopt;
  } else if (holder.intent == "stop") {
    command.verb = CrmVerb::kStop;
  } else if (holder.intent == "shutdown") {
    command.verb = CrmVerb::kShutdown;
  } else if (holder.intent == "restart") {
    command.verb = CrmVerb::kRestart;
  } else {
    return std::nullopt;
  }
  return command;
}

}  // namespace om
