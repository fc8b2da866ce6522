// Processes that a benchmark starts and that never outlive it.
#ifndef OM_TESTS_BENCH_CHILD_PROCESS_H_
#define OM_TESTS_BENCH_CHILD_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/file.h"

namespace om {

// Path of the running program.
std::string OwnProgram();

// For the first lines of main() in a child: the kernel kills the process when the thread that
// started it ends, however that ends, also by SIGKILL. Survives exec.
void DieWithParent();

// One child with its standard output on a pipe; killed and waited for when this goes. Its standard
// error goes to `log_path`. Used on one thread, which must live as long as the child.
class ChildProcess {
 public:
  // `argv[0]` is looked at as a path. Runs through this program's own `exec` mode, which calls
  // DieWithParent(), so that nothing is left over whatever happens.
  static absl::StatusOr<ChildProcess> Start(const std::vector<std::string>& argv,
                                            const std::string& log_path);

  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess() { Kill(); }

  pid_t pid() const { return pid_; }
  // Kills all there are, for a program that must end at once. THREAD: any.
  static void KillAll();

  // The next line of its output, without the end of line. DEADLINE_EXCEEDED, or UNAVAILABLE if it
  // ended first.
  absl::StatusOr<std::string> ReadLine(std::chrono::milliseconds limit);
  // False once it has ended.
  bool IsRunning();
  void Kill();

  // CPU time, user and system, of all of its threads so far.
  absl::StatusOr<double> CpuSeconds() const;
  // The same by thread name; threads of one name are summed.
  std::vector<std::pair<std::string, double>> CpuSecondsByThread() const;

 private:
  ChildProcess(pid_t pid, UniqueFd output) : pid_(pid), output_(std::move(output)) {}

  pid_t pid_ = -1;
  UniqueFd output_;
  std::string read_;
};

// CPU time of this process so far.
double OwnCpuSeconds();

}  // namespace om

#endif  // OM_TESTS_BENCH_CHILD_PROCESS_H_
