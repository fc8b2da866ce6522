// Restarts of lost resources, and what follows when they run out.
#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "absl/strings/str_join.h"
#include "server/control/object_decision.h"

namespace om {
namespace {

constexpr int kMinStandbyRestarts = 2;

}  // namespace

// A running instance that nobody ordered anything of is expected to stay so.
void ObjectDecision::ArmRestarts() {
  if (instance_.avail() == Availability::kUp && monitor_.global_expect.empty() &&
      monitor_.status == status_word::kIdle && !status().resources.empty() &&
      !IsOneOf(monitor_.local_expect, {expect_word::kStarted, expect_word::kShutdown})) {
    SetLocalExpect(expect_word::kStarted);
  }
}

bool ObjectDecision::RestartResources() {
  if (monitor_.status != status_word::kIdle || config_.disabled || status().encap) return false;
  if (IsOneOf(monitor_.global_expect, {expect_word::kUnprovisioned, expect_word::kPurged,
                                       expect_word::kDeleted, expect_word::kFrozen})) {
    return false;
  }
  // An order to stop or to move is not fought.
  if (ordered(expect_word::kStopped) || ordered(expect_word::kShutdown) ||
      (ordered(expect_word::kPlaced) && !leader_) ||
      (IsPlacedAt(monitor_.global_expect) &&
       !IsListed(node_, Destinations(monitor_.global_expect)))) {
    return false;
  }
  // What is to be started whole is not started in parts.
  if (monitor_.start_requested) return false;
  if (local().frozen() || instance_.frozen()) return false;
  bool owned = true;
  if (NeedsOwnership()) {
    const auto it = view_.ownership->find(object_.path);
    owned = it != view_.ownership->end() && it->second.held && now_ < it->second.may_act_until;
  }
  std::map<std::string, int> attempts;  // Of resources that are gone nothing is remembered.
  std::vector<std::string> restart, restart_standby;
  std::vector<const ResourceStatus*> standby;
  std::vector<Action> events;
  std::swap(events, *actions_);  // Counters come before the events that tell of them.
  bool toc = false;
  for (const ResourceStatus& resource : status().resources) {
    const auto counted = monitor_.restart.find(resource.rid);
    const int before = counted == monitor_.restart.end() ? 0 : counted->second;
    if (!IsOneOf(AvailabilityName(resource.status), {"warn", "down", "stdby down"})) continue;
    int& attempt = attempts[resource.rid];
    attempt = before;
    if (resource.provisioned == false || resource.encap) continue;
    if (!may_run_) continue;
    if (!resource.disabled && owned && monitor_.local_expect == expect_word::kStarted &&
        CountRestart(resource, &attempt, &toc)) {
      restart.push_back(resource.rid);
    } else if (resource.standby && attempt == before) {
      standby.push_back(&resource);
    }
  }
  // One command on an instance at a time: standby resources are not counted before their turn.
  if (restart.empty()) {
    for (const ResourceStatus* resource : standby) {
      if (CountStandbyRestart(*resource, &attempts[resource->rid])) {
        restart_standby.push_back(resource->rid);
      }
    }
  }
  for (auto it = attempts.begin(); it != attempts.end();) {
    it = it->second == 0 ? attempts.erase(it) : std::next(it);
  }
  std::swap(events, *actions_);
  if (attempts != monitor_.restart) {
    monitor_.restart = attempts;
    MonitorPatch patch;
    patch.restart = std::move(attempts);
    Set(std::move(patch));
  }
  std::move(events.begin(), events.end(), std::back_inserter(*actions_));
  if (!restart.empty()) {
    BeginRestart(CrmVerb::kRestartResources, "start", std::move(restart));
  } else if (!restart_standby.empty()) {
    BeginRestart(CrmVerb::kRestartStandby, "startstandby", std::move(restart_standby));
  } else if (toc) {
    Begin(RunCrm{object_.path, CrmVerb::kToc, {"toc"}, status_word::kTocing, {}});
  }
  return began_;
}

bool ObjectDecision::CountRestart(const ResourceStatus& resource, int* attempt, bool* toc) {
  if (*attempt > resource.restart) return false;
  ++*attempt;
  if (*attempt <= resource.restart) {
    Tell("resource_restart", "", resource.rid, {{"restart", resource.restart}, {"try", *attempt}});
    return true;
  }
  if (resource.restart > 0) {
    Tell("max_resource_restart", "", resource.rid, {{"restart", resource.restart}});
  }
  if (!resource.monitored) {
    Tell("resource_degraded", "", resource.rid);
  } else if (std::any_of(candidates_.begin(), candidates_.end(),
                         [&](const std::string& other) { return other != node_; })) {
    Tell("resource_toc", "", resource.rid);
    *toc = true;
  } else {
    Tell("resource_would_toc", "no_candidate", resource.rid);
  }
  return false;
}

bool ObjectDecision::CountStandbyRestart(const ResourceStatus& resource, int* attempt) {
  const int limit = std::max(kMinStandbyRestarts, resource.restart);
  if (*attempt > limit) return false;
  ++*attempt;
  if (*attempt <= limit) {
    Tell("stdby_resource_restart", "", resource.rid, {{"restart", limit}, {"try", *attempt}});
    return true;
  }
  Tell("max_stdby_resource_restart", "", resource.rid, {{"restart", limit}});
  return false;
}

void ObjectDecision::BeginRestart(CrmVerb verb, const char* word, std::vector<std::string> rids) {
  std::vector<std::string> words = {word, "--rid", absl::StrJoin(rids, ",")};
  Begin(RunCrm{object_.path, verb, std::move(words), status_word::kRestarting, std::move(rids)});
}

}  // namespace om
