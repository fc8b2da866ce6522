// The guard's loop: listens to who feeds it, and kills when the time has come.
#ifndef OM_SERVER_GUARD_GUARD_SERVER_H_
#define OM_SERVER_GUARD_GUARD_SERVER_H_

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "server/guard/guard_state.h"
#include "server/guard/process_killer.h"

namespace om {

// What follows once the instances are dead, or the bound has passed.
enum class SplitAction { kStop, kReboot, kCrash };

struct GuardServerOptions {
  const char* folder = nullptr;  // Holds socket, lock and log. Must exist. Not owned.
  SplitAction split_action = SplitAction::kStop;
  const char* sysrq_trigger = "/proc/sysrq-trigger";  // Not owned.
  // How long it kills before it goes on to the split action; more than 0.
  int64_t kill_bound_ns = int64_t{5} * 1000 * 1000 * 1000;
  // Told with one byte, and closed, once the guard listens. -1: nobody wants to know.
  int ready_fd = -1;
};

// Made once in a program of its own, statically: it is large, and nothing is allocated after Run()
// has said that it is ready. One thread, and with a split action of kReboot or kCrash a second one
// that carries that out should the first hang in the kernel.
class GuardServer {
 public:
  explicit GuardServer(const GuardServerOptions& options) : options_(options), killer_(&state_) {}

  // Returns the program's exit status: 0 after SIGTERM, once nothing is watched any more;
  // kGuardExitSecond if the folder has a guard; 1 with a line on standard error if it cannot work.
  int Run();

 private:
  static constexpr size_t kMaxConnections = 8;
  struct Connection {
    int fd = -1;
    pid_t pid = 0;
    uint64_t number = 0;
  };

  bool Prepare(int* exit_status);
  bool Listen();
  void Harden();
  bool StartSplitThread();
  static void* SplitThread(void* server);
  void ArmTimer(int64_t now_ns);
  void Accept();
  // Reads what has arrived, a bounded number of requests.
  void Serve(Connection* connection);
  static void Close(Connection* connection);
  void Fire(int64_t now_ns);
  void Split();

  const GuardServerOptions options_;
  GuardState state_;
  ProcessKiller killer_;
  std::array<Connection, kMaxConnections> connections_;
  uint64_t accepted_count_ = 0;
  int lock_fd_ = -1;
  int listen_fd_ = -1;
  int signal_fd_ = -1;
  int timer_fd_ = -1;
  int split_timer_fd_ = -1;
  int sysrq_fd_ = -1;
  int log_fd_ = -1;
  int64_t next_look_ns_ = 0;  // While what was killed is watched for coming back.
  bool ending_ = false;
  std::atomic<bool> split_{false};  // Done since the last firing began.
};

}  // namespace om

#endif  // OM_SERVER_GUARD_GUARD_SERVER_H_
