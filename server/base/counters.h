// The registry of counters that `daemon stats` shows. A counter is made once, by name, and then
// costs one atomic addition.
#ifndef OM_SERVER_BASE_COUNTERS_H_
#define OM_SERVER_BASE_COUNTERS_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "server/base/mutex.h"

namespace om {

// THREAD: any.
class Counter {
 public:
  void Add(int64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  void Set(int64_t n) { value_.store(n, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// THREAD: any. Counters live as long as the registry.
class Counters {
 public:
  // The counter of that name, made at 0 if it is new. Names are dotted lower-case words,
  // "packet.invalid"; they are fixed in the code, never taken from input, so the table is bounded.
  Counter* Get(absl::string_view name) EXCLUDES(mutex_);
  // Name to value of all counters.
  std::map<std::string, int64_t> Values() const EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  std::map<std::string, std::unique_ptr<Counter>> counters_ GUARDED_BY(mutex_);
};

}  // namespace om

#endif  // OM_SERVER_BASE_COUNTERS_H_
