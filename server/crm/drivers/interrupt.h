// SIGTERM and SIGINT as something that a wait can be woken by.
#ifndef OM_SERVER_CRM_DRIVERS_INTERRUPT_H_
#define OM_SERVER_CRM_DRIVERS_INTERRUPT_H_

#include <chrono>

#include "absl/status/status.h"
#include "server/base/file.h"

namespace om {

// Blocks both signals for the process and reads them from a descriptor, so that none is lost
// between a test and a wait. omcrm has one thread; so has this.
class Interrupt {
 public:
  // One that never comes, for tests.
  Interrupt() = default;
  // Blocks the signals. At most one object of a process should be made so.
  static Interrupt FromSignals();

  // Whether one has come since the last Clear().
  bool Requested();
  // Forgets it, so that what must be done because of it can wait again.
  void Clear() { requested_ = false; }
  // Waits that long. False if interrupted.
  bool Sleep(std::chrono::milliseconds delay);
  // Readable once a signal waits to be seen; -1 for one that never comes.
  int fd() const { return fd_.get(); }
  // "interrupted by signal 15"
  absl::Status ToStatus() const;

 private:
  UniqueFd fd_;
  bool requested_ = false;
  int signal_ = 0;
};

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_INTERRUPT_H_
