// A loop without a thread: work runs inside RunReady() and AdvanceBy(), in a repeatable order.
#ifndef OM_TESTS_SUPPORT_FAKE_LOOP_H_
#define OM_TESTS_SUPPORT_FAKE_LOOP_H_

#include <deque>
#include <functional>
#include <map>
#include <unordered_map>
#include <utility>

#include "server/base/loop.h"
#include "tests/support/fake_clock.h"

namespace om {

class FakeLoop final : public Loop {
 public:
  explicit FakeLoop(FakeClock* clock) : clock_(clock) {}

  bool Post(std::function<void()> work) override {
    queue_.push_back(std::move(work));
    return true;
  }
  TimerId PostAfter(Duration delay, std::function<void()> work) override;
  void Cancel(TimerId timer) override;
  bool RunsHere() const override { return true; }

  // Runs what is posted and what is due, until nothing is. Returns how many pieces ran.
  int RunReady();
  // Moves the clock from deadline to deadline, running each timer at its own moment.
  void AdvanceBy(Duration by);
  bool idle() const { return queue_.empty(); }

 private:
  FakeClock* const clock_;  // Not owned.
  std::deque<std::function<void()>> queue_;
  std::map<std::pair<MonotonicTime, uint64_t>, std::function<void()>> timers_;
  std::unordered_map<uint64_t, MonotonicTime> deadlines_;
  uint64_t next_timer_ = 1;
};

// Runs posted work at once, inside Post(): for what is asynchronous only in the daemon.
class InlineExecutor final : public Executor {
 public:
  bool Post(std::function<void()> work) override {
    work();
    return true;
  }
};

}  // namespace om

#endif  // OM_TESTS_SUPPORT_FAKE_LOOP_H_
