#include "client/omctl/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace om {
namespace {

// Written by the handler, read by the thread that tells. Made once and never closed, so that a
// handler that is late writes into nothing else.
struct Pipe {
  Pipe() {
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) ends[0] = ends[1] = -1;
  }
  int ends[2];
};

const Pipe& ThePipe() {
  static const Pipe* const pipe = new Pipe;
  return *pipe;
}

// A handler has no other way to know where to write.
std::atomic<int> write_end{-1};

constexpr unsigned char kEnough = 0;  // No signal has this number.

void TellOfSignal(int signal) {
  const int saved = errno;
  const auto byte = static_cast<unsigned char>(signal);
  // A pipe that is full has been told enough.
  [[maybe_unused]] const ssize_t count = write(write_end.load(), &byte, 1);
  errno = saved;
}

}  // namespace

InterruptWatch::InterruptWatch(std::function<void()> on_signal) {
  const Pipe& pipe = ThePipe();
  if (pipe.ends[0] < 0) return;  // Signals then do what they do without us.
  unsigned char late = 0;
  while (read(pipe.ends[0], &late, 1) == 1) {
  }
  write_end = pipe.ends[1];
  thread_ = std::thread([this, on_signal = std::move(on_signal)] { Watch(on_signal); });
  struct sigaction action {};
  action.sa_handler = TellOfSignal;
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], nullptr, &before_[i]);
    if (before_[i].sa_handler != SIG_IGN) sigaction(kSignals[i], &action, nullptr);
  }
}

InterruptWatch::~InterruptWatch() {
  if (!thread_.joinable()) return;
  for (size_t i = 0; i < kSignals.size(); ++i) {
    if (before_[i].sa_handler != SIG_IGN) sigaction(kSignals[i], &before_[i], nullptr);
  }
  // Three signals at most are in the pipe: there is room.
  [[maybe_unused]] const ssize_t count = write(write_end.load(), &kEnough, 1);
  thread_.join();
}

void InterruptWatch::Watch(const std::function<void()>& on_signal) {
  pollfd readable = {ThePipe().ends[0], POLLIN, 0};
  while (true) {
    if (poll(&readable, 1, -1) < 0 && errno != EINTR) return;
    unsigned char byte = kEnough;
    if (read(readable.fd, &byte, 1) != 1) continue;
    if (byte == kEnough) return;
    int none = 0;
    if (signal_.compare_exchange_strong(none, byte)) on_signal();
  }
}

}  // namespace om
