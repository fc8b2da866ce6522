#include "server/crm/drivers/interrupt.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace om {

Interrupt Interrupt::FromSignals() {
  Interrupt interrupt;
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  interrupt.fd_.Reset(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  return interrupt;
}

bool Interrupt::Requested() {
  signalfd_siginfo info;
  while (fd_.valid() && read(fd_.get(), &info, sizeof info) == sizeof info) {
    requested_ = true;
    signal_ = static_cast<int>(info.ssi_signo);
  }
  return requested_;
}

bool Interrupt::Sleep(std::chrono::milliseconds delay) {
  if (Requested()) return false;
  pollfd waited = {fd_.get(), POLLIN, 0};
  poll(&waited, 1, static_cast<int>(delay.count()));
  return !Requested();
}

absl::Status Interrupt::ToStatus() const {
  return absl::CancelledError(absl::StrCat("interrupted by signal ", signal_));
}

}  // namespace om
