// Runs the commands that operators hook to events.
#ifndef OM_SERVER_CRM_HOOK_RUNNER_H_
#define OM_SERVER_CRM_HOOK_RUNNER_H_

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "server/base/counters.h"
#include "server/base/loop.h"
#include "server/base/mutex.h"
#include "server/config/settings.h"
#include "server/crm/process_runner.h"

namespace om {

// Starts each hook's command once for each of its events, with the event as its standard input.
// Nobody waits for it: what hangs is killed after a while, and what comes faster than a hook works
// waits, up to a bound past which the newest are dropped and counted. Events of one hook are begun
// in their order.
//
// Confined to the loop, on which the launcher must call back; Wants() may be asked from any thread.
// Counters: hooks.runs, hooks.failures, hooks.dropped.
class HookRunner {
 public:
  struct Options {
    size_t max_running = 4;    // Commands of one hook at a time.
    size_t max_waiting = 256;  // Events of one hook.
    std::chrono::milliseconds time_limit = std::chrono::minutes(1);
    std::vector<std::string> environment;  // Over the daemon's own.
  };
  // The launcher takes no more as standard input without waiting for the program.
  static constexpr size_t kMaxEventBytes = 60 << 10;

  // All are borrowed and must outlive this object.
  HookRunner(Loop* loop, ProcessLauncher* launcher, Counters* counters, Options options);
  ~HookRunner();  // Commands that run are left running.
  HookRunner(const HookRunner&) = delete;
  HookRunner& operator=(const HookRunner&) = delete;

  // From the next event on. What waits for a hook that is gone is dropped.
  void SetHooks(const std::vector<HookSettings>& hooks);
  // Some hook is for events of that id: only then the event's text needs to be made.
  bool Wants(absl::string_view event_id) const EXCLUDES(mutex_);
  // An event: `text` is what commands read, at most kMaxEventBytes; a longer one is dropped.
  void Run(const std::string& event_id, const std::string& text);

 private:
  struct Hook {
    HookSettings settings;
    size_t running = 0;
    std::deque<std::string> waiting;
    bool dropping = false;        // Said so, once until there is room again.
    bool failure_logged = false;  // The same.
  };

  static bool IsFor(const HookSettings& hook, absl::string_view event_id);
  void Begin(const std::string& section);
  void Ended(const std::string& section, const ProcessResult& result);

  Loop* const loop_;                 // Not owned.
  ProcessLauncher* const launcher_;  // Not owned.
  const Options options_;
  Counter* const runs_;                // Not owned.
  Counter* const failures_;            // Not owned.
  Counter* const dropped_;             // Not owned.
  std::map<std::string, Hook> hooks_;  // By section.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  mutable Mutex mutex_;
  std::vector<HookSettings> known_ GUARDED_BY(mutex_);  // For Wants().
};

}  // namespace om

#endif  // OM_SERVER_CRM_HOOK_RUNNER_H_
