#include "server/base/loop.h"

#include <pthread.h>
#include <unistd.h>

namespace om {
namespace {

void NameThisThread(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
}

}  // namespace

ThreadLoop::ThreadLoop(std::string name, const Clock* clock)
    : name_(std::move(name)), clock_(clock), thread_([this] { Run(); }) {}

ThreadLoop::~ThreadLoop() { Shutdown(); }

bool ThreadLoop::Post(std::function<void()> work) {
  {
    MutexLock lock(&mutex_);
    if (stopping_) return false;
    queue_.push_back(std::move(work));
  }
  wake_.NotifyOne();
  return true;
}

TimerId ThreadLoop::PostAfter(Duration delay, std::function<void()> work) {
  uint64_t id = 0;
  {
    MutexLock lock(&mutex_);
    id = next_timer_++;
    if (stopping_) return TimerId{id};
    const MonotonicTime deadline = clock_->Monotonic() + delay;
    timers_.emplace(std::make_pair(deadline, id), std::move(work));
    timer_deadlines_.emplace(id, deadline);
  }
  wake_.NotifyOne();
  return TimerId{id};
}

void ThreadLoop::Cancel(TimerId timer) {
  MutexLock lock(&mutex_);
  const auto found = timer_deadlines_.find(static_cast<uint64_t>(timer));
  if (found == timer_deadlines_.end()) return;
  timers_.erase({found->second, found->first});
  timer_deadlines_.erase(found);
}

size_t ThreadLoop::queue_length() const {
  MutexLock lock(&mutex_);
  return queue_.size();
}

void ThreadLoop::Shutdown() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    timers_.clear();
    timer_deadlines_.clear();
  }
  wake_.NotifyOne();
  if (thread_.joinable()) thread_.join();
}

void ThreadLoop::Run() {
  thread_id_ = std::this_thread::get_id();
  kernel_tid_ = gettid();
  NameThisThread(name_);
  while (true) {
    std::vector<std::function<void()>> batch;
    {
      MutexLock lock(&mutex_);
      while (queue_.empty()) {
        if (stopping_) return;
        if (timers_.empty()) {
          wake_.Wait(&mutex_);
          continue;
        }
        const MonotonicTime deadline = timers_.begin()->first.first;
        if (clock_->Monotonic() >= deadline) break;
        wake_.WaitUntil(&mutex_, deadline);
      }
      batch.swap(queue_);
    }
    for (std::function<void()>& work : batch) {
      work();
      work = nullptr;  // What it captured goes now, not at the end of the batch.
    }
    // One due timer a turn, looked up anew: a timer that just ran may have cancelled the next one.
    std::function<void()> due;
    {
      MutexLock lock(&mutex_);
      if (!timers_.empty() && clock_->Monotonic() >= timers_.begin()->first.first) {
        due = std::move(timers_.begin()->second);
        timer_deadlines_.erase(timers_.begin()->first.second);
        timers_.erase(timers_.begin());
      }
    }
    if (due) due();
  }
}

WorkerPool::WorkerPool(std::string name, int threads, size_t max_queue, Counter* refused)
    : name_(std::move(name)), max_queue_(max_queue), refused_(refused) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

WorkerPool::~WorkerPool() { Shutdown(); }

bool WorkerPool::Post(std::function<void()> work) {
  {
    MutexLock lock(&mutex_);
    if (stopping_) return false;
    if (queue_.size() - next_ >= max_queue_) {
      if (refused_ != nullptr) refused_->Add();
      return false;
    }
    queue_.push_back(std::move(work));
  }
  wake_.NotifyOne();
  return true;
}

void WorkerPool::Shutdown() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void WorkerPool::Run() {
  NameThisThread(name_);
  while (true) {
    std::function<void()> work;
    {
      MutexLock lock(&mutex_);
      while (next_ == queue_.size()) {
        queue_.clear();
        next_ = 0;
        if (stopping_) return;
        wake_.Wait(&mutex_);
      }
      work = std::move(queue_[next_++]);
      if (next_ == queue_.size()) {
        queue_.clear();
        next_ = 0;
      }
    }
    work();
  }
}

}  // namespace om
