// Keeps the daemon's components running: what the legacy agent calls its threads.
#ifndef OM_SERVER_CORE_SUPERVISOR_H_
#define OM_SERVER_CORE_SUPERVISOR_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/base/clock.h"
#include "server/base/counters.h"
#include "server/base/loop.h"
#include "server/base/random.h"
#include "server/state/model.h"

namespace om {

// Something that runs until it is stopped, or fails. Called on the loop only.
class Component {
 public:
  virtual ~Component() = default;
  // Begins. An error, or a throw, means that it does not run. `exited` may be called later, from
  // any thread, once, if it ends without having been told to: with the error, or OK.
  virtual absl::Status Start(std::function<void(absl::Status)> exited) = 0;
  // Ends; `done` is called, from any thread, when it has. Only called while it runs.
  virtual void Stop(std::function<void()> done) = 0;
  virtual int kernel_tid() const { return 0; }
};

// Confined to the loop.
class Supervisor {
 public:
  struct Options {
    Duration min_backoff = std::chrono::seconds(1);  // Before the first restart; doubles each time.
    Duration max_backoff = std::chrono::seconds(60);
    Duration healthy_after =
        std::chrono::seconds(60);  // Having run that long, backoff starts over.
  };
  // `publish` is told of every change of a component. All pointers are borrowed.
  Supervisor(const Options& options, Loop* loop, const Clock* clock, Random* random,
             Counters* counters, std::function<void(const ThreadStatus&)> publish);
  ~Supervisor();

  // Adds a component, stopped. `id` must be new. The component is borrowed.
  void Add(const std::string& id, Component* component);
  // Takes it out of the table for good, once stopped.
  void Remove(const std::string& id, std::function<void()> done);

  // Idempotent. Start() ends an operator's stop. NOT_FOUND, reason UNKNOWN_THREAD, lists the valid
  // ids. A component that fails to start is restarted later: its state is then "terminated", and
  // `status` of Start() is still OK.
  absl::Status Start(const std::string& id);
  // `done` runs when it has stopped, at once if it has already. It stays so until Start().
  absl::Status Stop(const std::string& id, std::function<void()> done);
  void StartAll();
  void StopAll(std::function<void()> done);

  // Says that the component took a new configuration.
  void Configured(const std::string& id);
  void SetAlerts(const std::string& id, std::vector<Alert> alerts);

  // Runs a piece of the component's work; a throw out of it ends the component as an error exit
  // would. Returns false if it threw. Work may run on any thread.
  static bool Guard(const std::function<void(absl::Status)>& exited,
                    const std::function<void()>& work);

  std::vector<std::string> ids() const;
  std::vector<ThreadStatus> statuses() const;
  const ThreadStatus* status(const std::string& id) const;  // Null: unknown.

 private:
  struct Entry;
  absl::Status Unknown(const std::string& id) const;
  void Launch(Entry* entry);
  void Exited(const std::string& id, uint64_t run, const absl::Status& status);
  void ScheduleRestart(Entry* entry);
  void Halt(Entry* entry);
  void HasStopped(const std::string& id, uint64_t run);
  void Publish(Entry* entry, ThreadState state);

  const Options options_;
  Loop* const loop_;          // Not owned.
  const Clock* const clock_;  // Not owned.
  Random* const random_;      // Not owned.
  Counter* const restarts_;   // Not owned.
  const std::function<void(const ThreadStatus&)> publish_;
  std::map<std::string, std::unique_ptr<Entry>> entries_;
  // Posted work holds it weakly, and does nothing once the supervisor is gone.
  std::shared_ptr<Supervisor*> alive_;
};

}  // namespace om

#endif  // OM_SERVER_CORE_SUPERVISOR_H_
