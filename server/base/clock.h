// Time as everything but the edges sees it. Only server/daemon makes the real clock.
#ifndef OM_SERVER_BASE_CLOCK_H_
#define OM_SERVER_BASE_CLOCK_H_

#include <chrono>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace om {

using MonotonicTime = std::chrono::steady_clock::time_point;
using Duration = std::chrono::nanoseconds;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;  // Wall time, may jump: for logs and API timestamps only.
  virtual MonotonicTime Monotonic() const = 0;  // Never runs backwards: for ages and timeouts.
};

// The machine's clocks. THREAD: any.
class SystemClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::Now(); }
  MonotonicTime Monotonic() const override { return std::chrono::steady_clock::now(); }
};

// Unix seconds with fraction: the form of every timestamp in legacy documents.
inline double ToUnixSeconds(absl::Time time) {
  return absl::ToDoubleSeconds(time - absl::UnixEpoch());
}
inline absl::Time FromUnixSeconds(double seconds) {
  return absl::UnixEpoch() + absl::Seconds(seconds);
}

}  // namespace om

#endif  // OM_SERVER_BASE_CLOCK_H_
