// Being told of ^C instead of ending by it.
#ifndef OM_CLIENT_OMCTL_INTERRUPT_H_
#define OM_CLIENT_OMCTL_INTERRUPT_H_

#include <signal.h>

#include <array>
#include <atomic>
#include <functional>
#include <thread>

namespace om {

// While it lives, the first SIGINT, SIGTERM or SIGHUP does not end the process but calls a
// function, once; a second one of the same kind ends the process as ever. Signals that are ignored
// stay so. One at a time.
class InterruptWatch {
 public:
  // `on_signal` runs on a thread of its own.
  explicit InterruptWatch(std::function<void()> on_signal);
  ~InterruptWatch();
  InterruptWatch(const InterruptWatch&) = delete;
  InterruptWatch& operator=(const InterruptWatch&) = delete;

  // The signal that came; 0: none. THREAD: any.
  int signal() const { return signal_.load(); }

 private:
  static constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGHUP};
  void Watch(const std::function<void()>& on_signal);

  std::array<struct sigaction, kSignals.size()> before_{};
  std::atomic<int> signal_{0};
  std::thread thread_;
};

}  // namespace om

#endif  // OM_CLIENT_OMCTL_INTERRUPT_H_
