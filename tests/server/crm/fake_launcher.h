// A launcher that starts nothing: the test ends each "program" by hand.
#ifndef OM_TESTS_SERVER_CRM_FAKE_LAUNCHER_H_
#define OM_TESTS_SERVER_CRM_FAKE_LAUNCHER_H_

#include <utility>
#include <vector>

#include "server/crm/process_runner.h"

namespace om {

class FakeLauncher final : public ProcessLauncher {
 public:
  struct Started {
    ProcessSpec spec;
    Callback done;
    std::vector<int> signals;
    bool terminated = false;
    int resumed = 0;  // Times.
  };

  ProcessId Run(ProcessSpec spec, Callback done) override {
    runs.push_back({std::move(spec), std::move(done), {}, false, 0});
    return ProcessId{runs.size() - 1};
  }
  void Kill(ProcessId id, int signal) override {
    runs[static_cast<size_t>(id)].signals.push_back(signal);
  }
  void Terminate(ProcessId id) override { runs[static_cast<size_t>(id)].terminated = true; }
  void Resume(ProcessId id) override { ++runs[static_cast<size_t>(id)].resumed; }
  // Ends the run of that index. The callback may start another one.
  void End(size_t index, ProcessResult result) {
    const Callback done = std::exchange(runs[index].done, nullptr);
    done(std::move(result));
  }
  static ProcessResult Exit(int code) {
    ProcessResult result;
    result.exit_code = code;
    return result;
  }

  std::vector<Started> runs;
};

}  // namespace om

#endif  // OM_TESTS_SERVER_CRM_FAKE_LAUNCHER_H_
