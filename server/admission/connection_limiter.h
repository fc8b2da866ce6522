// Caps on connections that live, in total and by address.
#ifndef OM_SERVER_ADMISSION_CONNECTION_LIMITER_H_
#define OM_SERVER_ADMISSION_CONNECTION_LIMITER_H_

#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "server/admission/address.h"
#include "server/base/mutex.h"

namespace om {

// For a door that owns its connections and can keep a Slot with each. Bounded by the cap in total.
// THREAD: any.
class ConnectionLimiter {
 private:
  struct State {
    Mutex mutex;
    int total GUARDED_BY(mutex) = 0;
    absl::flat_hash_map<AdmissionKey, int> by_key GUARDED_BY(mutex);
  };

 public:
  struct Limits {
    int total = 1024;   // At least 1.
    int per_key = 128;  // At least 1.

    absl::Status Validate() const;
  };

  // The place of one connection: given back when the slot is destroyed, on any thread; it may
  // outlive the limiter.
  class Slot {
   public:
    Slot() = default;  // Holds no place.
    Slot(Slot&& other) noexcept : state_(std::move(other.state_)), key_(other.key_) {}
    Slot& operator=(Slot&& other) noexcept;
    ~Slot() { Release(); }
    bool held() const { return state_ != nullptr; }
    // Gives the place back now.
    void Release();

   private:
    friend class ConnectionLimiter;
    Slot(std::shared_ptr<State> state, const AdmissionKey& key)
        : state_(std::move(state)), key_(key) {}

    std::shared_ptr<State> state_;
    AdmissionKey key_;
  };

  enum class Verdict { kGranted, kTooManyInTotal, kTooManyOfKey };
  struct Grant {
    Verdict verdict = Verdict::kGranted;
    Slot slot;  // Held only when granted.
  };

  // `limits` must be valid, here and below.
  explicit ConnectionLimiter(const Limits& limits);

  [[nodiscard]] Grant Acquire(const AdmissionKey& key) EXCLUDES(mutex_);
  // Lower limits end no connection; they hold for the next ones.
  void SetLimits(const Limits& limits) EXCLUDES(mutex_);
  int total() const;

 private:
  mutable Mutex mutex_;  // Before State::mutex.
  Limits limits_ GUARDED_BY(mutex_);
  const std::shared_ptr<State> state_;
};

}  // namespace om

#endif  // OM_SERVER_ADMISSION_CONNECTION_LIMITER_H_
