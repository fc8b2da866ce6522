// Remembers answers to changing requests, so that a repeated request is answered, not done again.
#ifndef OM_SERVER_CORE_REQUEST_TABLE_H_
#define OM_SERVER_CORE_REQUEST_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace om {

// Names one request. The same caller may use a request_id for one request only; other callers have
// their own.
struct RequestKey {
  std::string request_id;   // Chosen by the client; empty: nothing is remembered.
  std::string caller;       // Who asks: the audit name of the Caller.
  std::string method;       // "om.control.v1.MonitorService/SetInstanceMonitor"
  std::string fingerprint;  // Of the request without its id: any text that differs if they differ.
};

// Answers of the last ten minutes. Confined to the core loop.
class RequestTable {
 public:
  struct Options {
    absl::Duration remember = absl::Minutes(10);
    size_t max_requests = 10'000;  // When full the oldest finished one goes, and is counted.
    size_t max_waiters = 64;       // Calls that wait for one request in progress.
  };
  using Answer = absl::StatusOr<std::string>;
  using Waiter = std::function<void(const Answer&)>;

  explicit RequestTable(const Options& options) : options_(options) {}

  enum class State {
    kNew,         // The caller must do it, then call End() or Abandon().
    kInProgress,  // `waiter` was kept and is called at its End().
    kAnswered,    // `*answer` is set.
  };
  // INVALID_ARGUMENT, reason REQUEST_ID_REUSED, field request_id: that id was used for another
  // method or with another fingerprint. RESOURCE_EXHAUSTED: everything remembered is in progress,
  // or too many wait. A key without request_id is always kNew.
  absl::StatusOr<State> Begin(const RequestKey& key, absl::Time now, Waiter waiter, Answer* answer);
  // Keeps the answer for repeated calls and gives it to those that wait. Errors that say "try
  // again" (UNAVAILABLE, RESOURCE_EXHAUSTED, ABORTED, CANCELLED, DEADLINE_EXCEEDED, INTERNAL,
  // UNKNOWN) are given, but not kept.
  void End(const RequestKey& key, const Answer& answer, absl::Time now);
  static bool IsKept(const Answer& answer);

  // Puts back what was read from the journal.
  void Restore(const RequestKey& key, const Answer& answer, absl::Time when);
  struct Finished {
    RequestKey key;
    Answer answer;
    absl::Time time;
  };
  // What is remembered and finished, oldest first.
  std::vector<Finished> All() const;
  void Expire(absl::Time now);

  size_t size() const { return entries_.size(); }
  int64_t evicted_count() const { return evicted_count_; }

 private:
  struct Entry {
    RequestKey key;
    bool finished = false;
    Answer answer = std::string();
    absl::Time time;
    std::vector<Waiter> waiters;
    std::list<std::string>::iterator age;
  };
  static std::string IndexOf(const RequestKey& key);
  absl::Status MakeRoom();

  const Options options_;
  std::map<std::string, Entry> entries_;
  std::list<std::string> by_age_;  // Index of entries_, oldest first.
  int64_t evicted_count_ = 0;
};

}  // namespace om

#endif  // OM_SERVER_CORE_REQUEST_TABLE_H_
