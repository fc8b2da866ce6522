#include "server/admission/replay_window.h"

namespace om {

ReplayWindow::ReplayWindow(size_t capacity) : capacity_(capacity) {}

bool ReplayWindow::Contains(const Digest& digest) const {
  MutexLock lock(&mutex_);
  return known_.contains(digest);
}

bool ReplayWindow::Insert(const Digest& digest) {
  if (capacity_ == 0) return true;
  MutexLock lock(&mutex_);
  if (known_.contains(digest)) return false;
  if (ring_.size() < capacity_) {
    ring_.push_back(digest);
  } else {
    known_.erase(ring_[oldest_]);
    ring_[oldest_] = digest;
    oldest_ = (oldest_ + 1) % capacity_;
  }
  known_.insert(digest);
  return true;
}

size_t ReplayWindow::size() const {
  MutexLock lock(&mutex_);
  return known_.size();
}

}  // namespace om
