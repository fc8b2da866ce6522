// Runs one command as often as asked, but never twice at a time and never in a burst.
#ifndef OM_SERVER_CRM_DEQUEUE_RUNNER_H_
#define OM_SERVER_CRM_DEQUEUE_RUNNER_H_

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/base/counters.h"
#include "server/base/loop.h"
#include "server/crm/process_runner.h"

namespace om {

// Answers requests whose only meaning is "there is work": the packet that makes the node fetch its
// queued actions comes unauthenticated and as often as its sender likes. Any number of requests
// while the command runs cause exactly one more run after it, and runs start at least
// `minimum_interval` apart.
//
// Confined to the loop, on which the launcher must call back. Counters, below the name given:
// <name>.requests, .runs, .failures, .missing.
class CoalescingRunner {
 public:
  struct Options {
    std::string name;                      // For counters and logs: "dequeue_actions".
    std::vector<std::string> argv;         // Empty: requests are counted and nothing runs.
    std::vector<std::string> environment;  // Over the daemon's own.
    std::chrono::milliseconds minimum_interval = std::chrono::seconds(1);
    std::chrono::milliseconds time_limit = std::chrono::minutes(10);
  };

  // All are borrowed and must outlive this object.
  CoalescingRunner(Loop* loop, const Clock* clock, ProcessLauncher* launcher, Counters* counters,
                   Options options);
  ~CoalescingRunner();
  CoalescingRunner(const CoalescingRunner&) = delete;
  CoalescingRunner& operator=(const CoalescingRunner&) = delete;

  // Asks for a run that begins after this call.
  void Request();
  // The command from the next run on.
  void SetCommand(std::vector<std::string> argv);

  bool running() const { return running_; }

 private:
  void StartOrDefer();
  void Start();
  void OnDone(const ProcessResult& result);

  Loop* const loop_;                 // Not owned.
  const Clock* const clock_;         // Not owned.
  ProcessLauncher* const launcher_;  // Not owned.
  Options options_;
  Counter* const requests_;
  Counter* const runs_;
  Counter* const failures_;
  Counter* const missing_;
  bool running_ = false;
  bool wanted_ = false;  // A request came while running or before the interval had passed.
  bool missing_logged_ = false;
  std::optional<MonotonicTime> last_start_;
  std::optional<TimerId> timer_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // False once destroyed.
};

}  // namespace om

#endif  // OM_SERVER_CRM_DEQUEUE_RUNNER_H_
