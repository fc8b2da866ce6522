#include "server/admission/connection_limiter.h"

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace om {

absl::Status ConnectionLimiter::Limits::Validate() const {
  if (total >= 1 && per_key >= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("ConnectionLimiter::Limits are ", total,
                                                 " in total and ", per_key,
                                                 " per key, expected at least 1 each"));
}

ConnectionLimiter::Slot& ConnectionLimiter::Slot::operator=(Slot&& other) noexcept {
  if (this == &other) return *this;
  Release();
  state_ = std::move(other.state_);
  key_ = other.key_;
  return *this;
}

void ConnectionLimiter::Slot::Release() {
  if (state_ == nullptr) return;
  const std::shared_ptr<State> state = std::move(state_);
  MutexLock lock(&state->mutex);
  --state->total;
  const auto it = state->by_key.find(key_);
  if (--it->second == 0) state->by_key.erase(it);
}

ConnectionLimiter::ConnectionLimiter(const Limits& limits)
    : limits_(limits), state_(std::make_shared<State>()) {
  DCHECK(limits.Validate().ok()) << limits.Validate();
}

ConnectionLimiter::Grant ConnectionLimiter::Acquire(const AdmissionKey& key) {
  MutexLock limits_lock(&mutex_);
  MutexLock lock(&state_->mutex);
  if (state_->total >= limits_.total) return {Verdict::kTooManyInTotal, Slot()};
  const auto it = state_->by_key.find(key);
  if (it != state_->by_key.end() && it->second >= limits_.per_key) {
    return {Verdict::kTooManyOfKey, Slot()};
  }
  ++state_->total;
  ++state_->by_key[key];
  return {Verdict::kGranted, Slot(state_, key)};
}

void ConnectionLimiter::SetLimits(const Limits& limits) {
  DCHECK(limits.Validate().ok()) << limits.Validate();
  MutexLock lock(&mutex_);
  limits_ = limits;
}

int ConnectionLimiter::total() const {
  MutexLock lock(&state_->mutex);
  return state_->total;
}

}  // namespace om
