// What this process uses, from /proc.
#ifndef OM_SERVER_SERVICE_PROCESS_STATS_H_
#define OM_SERVER_SERVICE_PROCESS_STATS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "server/base/clock.h"
#include "server/base/mutex.h"

namespace om {

struct ProcessSample {
  absl::Time time;
  double cpu_seconds = 0;       // User mode, all threads.
  double node_cpu_seconds = 0;  // Of the machine, all modes, all CPUs.
  int64_t memory_bytes = 0;     // Resident.
  int64_t memory_pages = 0;     // Sum of the page counts that the legacy statistics show.
  int thread_count = 0;
  int open_file_count = 0;
  std::map<int, double> cpu_seconds_by_tid;  // User mode, by kernel thread id.
};

// Reads at most once a second; in between it gives the last sample again. THREAD: any.
class ProcessSampler {
 public:
  explicit ProcessSampler(const Clock* clock) : clock_(clock) {}
  ProcessSample Sample() EXCLUDES(mutex_);

 private:
  const Clock* const clock_;  // Not owned.
  Mutex mutex_;
  std::optional<MonotonicTime> read_at_ GUARDED_BY(mutex_);
  ProcessSample last_ GUARDED_BY(mutex_);
};

}  // namespace om

#endif  // OM_SERVER_SERVICE_PROCESS_STATS_H_
