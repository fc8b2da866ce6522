#include "server/admission/call_limiter.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace om {
namespace {

// Of all callers that came when the table was full.
constexpr char kLateCallers[] = "late callers";
// Looking for places in a full table costs as much as the table is large.
constexpr std::chrono::seconds kSweepInterval{1};

double SecondsOf(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

absl::Status CallLimiter::Limits::Validate() const {
  if (calls_per_second >= 0 && burst >= 1 && streams >= 1 && streams_per_caller >= 1) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("CallLimiter::Limits are ", calls_per_second, " calls a second, a burst of ",
                   burst, ", ", streams, " streams and ", streams_per_caller,
                   " per caller; expected at least 0, and at least 1 of the others"));
}

CallLimiter::Slot& CallLimiter::Slot::operator=(Slot&& other) noexcept {
  if (this == &other) return *this;
  Release();
  state_ = std::move(other.state_);
  key_ = std::move(other.key_);
  return *this;
}

void CallLimiter::Slot::Release() {
  if (state_ == nullptr) return;
  const std::shared_ptr<State> state = std::move(state_);
  MutexLock lock(&state->mutex);
  state->streams_open->Set(--state->streams);
  if (key_.empty()) return;
  // Who has a stream is not forgotten.
  --state->buckets.find(key_)->second.streams;
}

CallLimiter::CallLimiter(const Limits& limits, const Clock* clock, Counters* counters)
    : clock_(clock),
      calls_refused_(counters->Get("limits.calls_refused")),
      streams_refused_(counters->Get("limits.streams_refused")),
      callers_(counters->Get("limits.callers")),
      state_(std::make_shared<State>()) {
  DCHECK(limits.Validate().ok()) << limits.Validate();
  MutexLock lock(&state_->mutex);
  state_->limits = limits;
  state_->streams_open = counters->Get("limits.streams");
}

void CallLimiter::SetLimits(const Limits& limits) {
  DCHECK(limits.Validate().ok()) << limits.Validate();
  MutexLock lock(&state_->mutex);
  state_->limits = limits;
}

CallLimiter::Bucket* CallLimiter::Find(State* state, absl::string_view key,
                                       std::string* shared_key) const NO_THREAD_SAFETY_ANALYSIS {
  const MonotonicTime now = clock_->Monotonic();
  const Limits& limits = state->limits;
  const auto rate = static_cast<double>(limits.calls_per_second);
  const auto full = static_cast<double>(limits.burst);
  const auto calls_now = [&](const Bucket& bucket) {
    return std::min(full, bucket.calls + rate * SecondsOf(now - bucket.filled));
  };
  auto found = state->buckets.find(key);
  if (found == state->buckets.end() && state->buckets.size() >= kMaxCallers) {
    if (state->swept == MonotonicTime::min() || now - state->swept >= kSweepInterval) {
      state->swept = now;
      for (auto it = state->buckets.begin(); it != state->buckets.end();) {
        const auto here = it++;
        const Bucket& bucket = here->second;
        if (bucket.streams == 0 && (rate == 0 || calls_now(bucket) >= full)) {
          state->buckets.erase(here);
        }
      }
    }
    if (state->buckets.size() >= kMaxCallers) {
      key = kLateCallers;
      found = state->buckets.find(key);
    }
  }
  if (found == state->buckets.end()) {
    found = state->buckets.emplace(std::string(key), Bucket{full, now, 0}).first;
    callers_->Set(static_cast<int64_t>(state->buckets.size()));
  }
  found->second.calls = calls_now(found->second);
  found->second.filled = now;
  *shared_key = found->first;
  return &found->second;
}

bool CallLimiter::TakeCall(absl::string_view key, Duration* retry_after) {
  if (key.empty()) return true;
  MutexLock lock(&state_->mutex);
  if (state_->limits.calls_per_second == 0) return true;
  std::string used_key;
  Bucket* bucket = Find(state_.get(), key, &used_key);
  if (bucket->calls >= 1) {
    bucket->calls -= 1;
    return true;
  }
  calls_refused_->Add();
  const double seconds = (1 - bucket->calls) / static_cast<double>(state_->limits.calls_per_second);
  // Rounded up: who waits that long is served.
  *retry_after = std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000) + 1);
  return false;
}

CallLimiter::Grant CallLimiter::TakeStream(absl::string_view key) {
  MutexLock lock(&state_->mutex);
  if (state_->streams >= state_->limits.streams) {
    streams_refused_->Add();
    return {Verdict::kTooManyInTotal, Slot()};
  }
  std::string used_key;
  if (!key.empty()) {
    Bucket* bucket = Find(state_.get(), key, &used_key);
    if (bucket->streams >= state_->limits.streams_per_caller) {
      streams_refused_->Add();
      return {Verdict::kTooManyOfCaller, Slot()};
    }
    ++bucket->streams;
  }
  state_->streams_open->Set(++state_->streams);
  return {Verdict::kGranted, Slot(state_, std::move(used_key))};
}

}  // namespace om
