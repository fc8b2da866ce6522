#include "server/crm/hook_runner.h"

#include <algorithm>
#include <set>
#include <utility>

#include "glog/logging.h"

namespace om {

HookRunner::HookRunner(Loop* loop, ProcessLauncher* launcher, Counters* counters, Options options)
    : loop_(loop),
      launcher_(launcher),
      options_(std::move(options)),
      runs_(counters->Get("hooks.runs")),
      failures_(counters->Get("hooks.failures")),
      dropped_(counters->Get("hooks.dropped")) {}

HookRunner::~HookRunner() { *alive_ = false; }

bool HookRunner::IsFor(const HookSettings& hook, absl::string_view event_id) {
  return !hook.command.empty() &&
         std::any_of(hook.events.begin(), hook.events.end(), [event_id](const std::string& event) {
           return event == "all" || event == event_id;
         });
}

void HookRunner::SetHooks(const std::vector<HookSettings>& hooks) {
  std::set<std::string> kept;
  for (const HookSettings& settings : hooks) {
    kept.insert(settings.section);
    Hook& hook = hooks_[settings.section];
    if (hook.settings.command != settings.command) hook.failure_logged = false;
    hook.settings = settings;
  }
  for (auto& [section, hook] : hooks_) {
    if (kept.count(section) != 0) continue;
    hook.settings = HookSettings{section, {}, {}};
    hook.waiting.clear();
  }
  std::erase_if(hooks_, [&kept](const auto& entry) {
    return kept.count(entry.first) == 0 && entry.second.running == 0;
  });
  MutexLock lock(&mutex_);
  known_ = hooks;
}

bool HookRunner::Wants(absl::string_view event_id) const {
  MutexLock lock(&mutex_);
  return std::any_of(known_.begin(), known_.end(),
                     [event_id](const HookSettings& hook) { return IsFor(hook, event_id); });
}

void HookRunner::Run(const std::string& event_id, const std::string& text) {
  DCHECK(loop_->RunsHere());
  std::vector<std::string> sections;
  for (auto& [section, hook] : hooks_) {
    if (!IsFor(hook.settings, event_id)) continue;
    if (text.size() > kMaxEventBytes || hook.waiting.size() >= options_.max_waiting) {
      dropped_->Add();
      if (!std::exchange(hook.dropping, true)) {
        LOG(WARNING) << "OM-HOOK-DROPPED " << section << " is not run for an event " << event_id
                     << ": "
                     << (text.size() > kMaxEventBytes ? "the event is too long"
                                                      : "too many wait for it");
      }
      continue;
    }
    hook.waiting.push_back(text);
    sections.push_back(section);
  }
  for (const std::string& section : sections) Begin(section);
}

void HookRunner::Begin(const std::string& section) {
  const auto found = hooks_.find(section);
  if (found == hooks_.end()) return;
  Hook& hook = found->second;
  while (hook.running < options_.max_running && !hook.waiting.empty()) {
    ProcessSpec spec;
    spec.argv = hook.settings.command;
    spec.extra_environment = options_.environment;
    spec.input = std::move(hook.waiting.front());
    spec.time_limit = options_.time_limit;
    hook.waiting.pop_front();
    ++hook.running;
    runs_->Add();
    launcher_->Run(std::move(spec), [this, alive = alive_, section](const ProcessResult& result) {
      if (*alive) Ended(section, result);
    });
  }
  if (hook.waiting.empty()) hook.dropping = false;
}

void HookRunner::Ended(const std::string& section, const ProcessResult& result) {
  DCHECK(loop_->RunsHere());
  const auto found = hooks_.find(section);
  if (found == hooks_.end()) return;
  Hook& hook = found->second;
  --hook.running;
  if (result.Succeeded()) {
    hook.failure_logged = false;
  } else {
    failures_->Add();
    if (!std::exchange(hook.failure_logged, true)) {
      LOG(WARNING) << "OM-HOOK-FAILED " << section << ": " << result.Describe();
    }
  }
  if (hook.settings.command.empty() && hook.running == 0) {
    hooks_.erase(found);
    return;
  }
  Begin(section);
}

}  // namespace om
