// A std::mutex with Clang's thread-safety annotations. Abseil's own mutex is not used: the packaged
// library is not built for the thread sanitizer and reports races that are none.
#ifndef OM_SERVER_BASE_MUTEX_H_
#define OM_SERVER_BASE_MUTEX_H_

#include <chrono>
#include <condition_variable>
#include <mutex>

// Abseil's containers define two of these names as well, with the same meaning: theirs come first
// whatever a file includes first, and then make way.
#include "absl/base/thread_annotations.h"
#undef GUARDED_BY
#undef NO_THREAD_SAFETY_ANALYSIS

#if defined(__clang__)
#define OM_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define OM_THREAD_ANNOTATION(x)
#endif

#define CAPABILITY(x) OM_THREAD_ANNOTATION(capability(x))
#define SCOPED_CAPABILITY OM_THREAD_ANNOTATION(scoped_lockable)
#define GUARDED_BY(x) OM_THREAD_ANNOTATION(guarded_by(x))
#define REQUIRES(...) OM_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) OM_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) OM_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define RELEASE(...) OM_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS OM_THREAD_ANNOTATION(no_thread_safety_analysis)

namespace om {

class CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  void Lock() ACQUIRE() { mutex_.lock(); }
  void Unlock() RELEASE() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_->Lock(); }
  ~MutexLock() RELEASE() { mutex_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mutex_;  // Not owned.
};

// Waits may wake for no reason: always loop on the condition.
class CondVar {
 public:
  void Wait(Mutex* mutex) REQUIRES(mutex) NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // Returns false once `deadline` has passed.
  bool WaitUntil(Mutex* mutex, std::chrono::steady_clock::time_point deadline)
      REQUIRES(mutex) NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    const bool in_time = condition_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    lock.release();
    return in_time;
  }
  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace om

#endif  // OM_SERVER_BASE_MUTEX_H_
