// A clock that moves only by Advance().
#ifndef OM_TESTS_SUPPORT_FAKE_CLOCK_H_
#define OM_TESTS_SUPPORT_FAKE_CLOCK_H_

#include "absl/time/time.h"
#include "server/base/clock.h"

namespace om {

class FakeClock final : public Clock {
 public:
  absl::Time Now() const override { return now_; }
  MonotonicTime Monotonic() const override { return monotonic_; }

  void Advance(Duration by) {
    monotonic_ += by;
    now_ += absl::FromChrono(by);
  }
  // A jump of the wall clock alone.
  void JumpWall(absl::Duration by) { now_ += by; }

 private:
  absl::Time now_ = absl::FromUnixSeconds(1'795'362'000);
  MonotonicTime monotonic_ = MonotonicTime(std::chrono::seconds(1000));
};

// The clock of one of several nodes: the time that passes is the same, the wall clock is its own.
class NodeClock final : public Clock {
 public:
  explicit NodeClock(const FakeClock* clock) : clock_(clock) {}  // Borrowed.
  absl::Time Now() const override { return clock_->Now() + skew_; }
  MonotonicTime Monotonic() const override { return clock_->Monotonic(); }
  void JumpWall(absl::Duration by) { skew_ += by; }

 private:
  const FakeClock* const clock_;  // Not owned.
  absl::Duration skew_;
};

}  // namespace om

#endif  // OM_TESTS_SUPPORT_FAKE_CLOCK_H_
