// How much one caller may ask for: calls a second, and streams at a time.
#ifndef OM_SERVER_ADMISSION_CALL_LIMITER_H_
#define OM_SERVER_ADMISSION_CALL_LIMITER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/base/clock.h"
#include "server/base/counters.h"
#include "server/base/mutex.h"

namespace om {

// Each caller has a bucket of `burst` calls that fills again by `calls_per_second`, and a count of
// its streams. A caller is a key that its door chooses; the empty key is never refused a call, and
// its streams count in total only.
//
// At most kMaxCallers are told apart. A new one takes the place of those that have no stream and a
// full bucket, for whom nothing is lost; while there are none of these, it shares what all such
// late callers have together. THREAD: any. Counters: limits.calls_refused, .streams_refused,
// .streams, .callers.
class CallLimiter {
 public:
  static constexpr size_t kMaxCallers = 4096;
  struct Limits {
    int64_t calls_per_second = 2000;   // 0: no limit.
    int64_t burst = 4000;              // At least 1.
    int64_t streams = 4096;            // In total, at least 1.
    int64_t streams_per_caller = 256;  // At least 1.

    // INVALID_ARGUMENT names the value and its range.
    absl::Status Validate() const;
  };
  enum class Verdict { kGranted, kTooManyInTotal, kTooManyOfCaller };

 private:
  struct Bucket {
    double calls = 0;  // That may be made now.
    MonotonicTime filled;
    int64_t streams = 0;
  };
  struct State {
    Mutex mutex;
    Limits limits GUARDED_BY(mutex);
    absl::flat_hash_map<std::string, Bucket> buckets GUARDED_BY(mutex);
    int64_t streams GUARDED_BY(mutex) = 0;
    MonotonicTime swept GUARDED_BY(mutex) = MonotonicTime::min();
    Counter* streams_open = nullptr;
  };

 public:
  // The place of one stream; given back when it is destroyed, on any thread, also after the
  // limiter.
  class Slot {
   public:
    Slot() = default;  // Holds no place.
    Slot(Slot&& other) noexcept : state_(std::move(other.state_)), key_(std::move(other.key_)) {}
    Slot& operator=(Slot&& other) noexcept;
    ~Slot() { Release(); }
    bool held() const { return state_ != nullptr; }

   private:
    friend class CallLimiter;
    Slot(std::shared_ptr<State> state, std::string key)
        : state_(std::move(state)), key_(std::move(key)) {}
    void Release();

    std::shared_ptr<State> state_;
    std::string key_;
  };
  struct Grant {
    Verdict verdict = Verdict::kGranted;
    Slot slot;  // Held only when granted.
  };

  // `limits` must be valid, here and below. `clock` and `counters` are borrowed; the counters must
  // outlive the slots, too.
  CallLimiter(const Limits& limits, const Clock* clock, Counters* counters);

  // Lower limits end no stream; they hold for the next ones.
  void SetLimits(const Limits& limits);
  // Whether `key` may make a call now. If not, `*retry_after` is when it may.
  [[nodiscard]] bool TakeCall(absl::string_view key, Duration* retry_after);
  [[nodiscard]] Grant TakeStream(absl::string_view key);

 private:
  // Of `key`, its calls as of now; made if it is new.
  Bucket* Find(State* state, absl::string_view key, std::string* shared_key) const;

  const Clock* const clock_;  // Not owned.
  Counter* const calls_refused_;
  Counter* const streams_refused_;
  Counter* const callers_;
  const std::shared_ptr<State> state_;
};

}  // namespace om

#endif  // OM_SERVER_ADMISSION_CALL_LIMITER_H_
