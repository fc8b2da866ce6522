#include "tests/support/fake_loop.h"

namespace om {

TimerId FakeLoop::PostAfter(Duration delay, std::function<void()> work) {
  const uint64_t id = next_timer_++;
  const MonotonicTime deadline = clock_->Monotonic() + delay;
  timers_.emplace(std::make_pair(deadline, id), std::move(work));
  deadlines_.emplace(id, deadline);
  return TimerId{id};
}

void FakeLoop::Cancel(TimerId timer) {
  const auto it = deadlines_.find(static_cast<uint64_t>(timer));
  if (it == deadlines_.end()) return;
  timers_.erase({it->second, it->first});
  deadlines_.erase(it);
}

int FakeLoop::RunReady() {
  int ran = 0;
  while (true) {
    if (!queue_.empty()) {
      std::function<void()> work = std::move(queue_.front());
      queue_.pop_front();
      work();
    } else if (!timers_.empty() && timers_.begin()->first.first <= clock_->Monotonic()) {
      std::function<void()> work = std::move(timers_.begin()->second);
      deadlines_.erase(timers_.begin()->first.second);
      timers_.erase(timers_.begin());
      work();
    } else {
      return ran;
    }
    ++ran;
  }
}

void FakeLoop::AdvanceBy(Duration by) {
  const MonotonicTime end = clock_->Monotonic() + by;
  RunReady();
  while (!timers_.empty() && timers_.begin()->first.first <= end) {
    clock_->Advance(timers_.begin()->first.first - clock_->Monotonic());
    RunReady();
  }
  clock_->Advance(end - clock_->Monotonic());
  RunReady();
}

}  // namespace om
