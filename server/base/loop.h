// Where code runs: an Executor takes work, a Loop runs it one piece at a time and has timers.
#ifndef OM_SERVER_BASE_LOOP_H_
#define OM_SERVER_BASE_LOOP_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/base/clock.h"
#include "server/base/counters.h"
#include "server/base/mutex.h"

namespace om {

// Runs functions, on which thread is the implementation's word. THREAD: any.
class Executor {
 public:
  virtual ~Executor() = default;
  // Takes `work` to be run soon, never inside this call. Returns false, and drops `work`, when the
  // executor is full or has been shut down; the caller must then give its own answer.
  [[nodiscard]] virtual bool Post(std::function<void()> work) = 0;
};

enum class TimerId : uint64_t {};

// One thing at a time, in order: what is confined to a loop needs no lock.
class Loop : public Executor {
 public:
  // Runs `work` once `delay` has passed. THREAD: any. On a loop that has been shut down it never
  // runs.
  virtual TimerId PostAfter(Duration delay, std::function<void()> work) = 0;
  // After this returns, on the loop, the timer will not run. An id that has run, or never was, is
  // ignored. THREAD: any, but off the loop the timer may be running at this very moment.
  virtual void Cancel(TimerId timer) = 0;
  virtual bool RunsHere() const = 0;
};

// A Loop with a thread of its own. Its queue is bounded by what its users keep in flight, each of
// which has its own bound; the loop counts on that and only reports its length.
class ThreadLoop final : public Loop {
 public:
  // `name` shows in the thread list of the process (15 characters at most). `clock` is borrowed.
  ThreadLoop(std::string name, const Clock* clock);
  ~ThreadLoop() override;  // Shutdown().

  bool Post(std::function<void()> work) override;
  TimerId PostAfter(Duration delay, std::function<void()> work) override;
  void Cancel(TimerId timer) override;
  bool RunsHere() const override { return std::this_thread::get_id() == thread_id_; }

  // Runs what was posted before this call, drops the timers, ends the thread. Idempotent; must not
  // be called on the loop.
  void Shutdown();
  size_t queue_length() const;
  // Kernel id of the loop's thread, as /proc/self/task has it.
  int kernel_tid() const { return kernel_tid_.load(); }

 private:
  void Run();

  const std::string name_;
  const Clock* const clock_;  // Not owned.
  mutable Mutex mutex_;
  CondVar wake_;
  std::vector<std::function<void()>> queue_ GUARDED_BY(mutex_);
  // Ordered by deadline, then by id: timers of one moment fire in the order they were made.
  std::map<std::pair<MonotonicTime, uint64_t>, std::function<void()>> timers_ GUARDED_BY(mutex_);
  std::map<uint64_t, MonotonicTime> timer_deadlines_ GUARDED_BY(mutex_);
  uint64_t next_timer_ GUARDED_BY(mutex_) = 1;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::atomic<int> kernel_tid_{0};
  std::atomic<std::thread::id> thread_id_{};
  std::thread thread_;
};

// Threads for what may block: parsing, fsync, compression, name resolution. At most `max_queue`
// pieces wait; past that Post() says no, and `refused`, which is borrowed and may be null, counts.
class WorkerPool final : public Executor {
 public:
  WorkerPool(std::string name, int threads, size_t max_queue, Counter* refused = nullptr);
  ~WorkerPool() override;  // Shutdown().
  bool Post(std::function<void()> work) override;
  // Runs what is queued, then ends the threads. Idempotent.
  void Shutdown();

 private:
  void Run();

  const std::string name_;
  const size_t max_queue_;
  Counter* const refused_;  // Not owned; may be null.
  Mutex mutex_;
  CondVar wake_;
  std::vector<std::function<void()>> queue_ GUARDED_BY(mutex_);
  size_t next_ GUARDED_BY(mutex_) = 0;  // Index in queue_ of the oldest piece.
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace om

#endif  // OM_SERVER_BASE_LOOP_H_
