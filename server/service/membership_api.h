// Joining and leaving the cluster: what MembershipService of the API means, without any transport.
#ifndef OM_SERVER_SERVICE_MEMBERSHIP_API_H_
#define OM_SERVER_SERVICE_MEMBERSHIP_API_H_

#include <chrono>
#include <deque>
#include <functional>
#include <string>

#include "om/control/v1/membership.pb.h"
#include "server/base/mutex.h"
#include "server/service/context.h"

namespace om {

// Changes are made one after the other, on one worker at a time: however many wait for the lock of
// the configuration, the others' work goes on. THREAD: any. Errors are those the proto names.
class MembershipApi {
 public:
  struct Options {
    // From the request to giving up on the lock of the configuration.
    Duration patience = std::chrono::seconds(30);
    // Requests that may wait for those before them; more are RESOURCE_EXHAUSTED.
    size_t max_waiting = 256;
    // Told of every node that is or is not a member by a request, before that is answered: whoever
    // checks senders need not wait until the files have been noticed. May be empty. THREAD: any.
    std::function<void(const std::string& node, bool member)> changed;
  };
  // `context` is borrowed.
  MembershipApi(const ServiceContext* context, Options options)
      : context_(context), options_(std::move(options)) {}

  void Join(const Caller& caller, const control::v1::JoinRequest& request,
            Reply<control::v1::JoinResponse> reply);
  void Leave(const Caller& caller, const control::v1::LeaveRequest& request,
             Reply<control::v1::LeaveResponse> reply);

 private:
  struct Task {
    MonotonicTime deadline;
    std::function<void(Duration patience)> work;
    std::function<void(absl::Status)> refuse;
  };
  void Enqueue(Task task) EXCLUDES(mutex_);
  void RunAll() EXCLUDES(mutex_);

  absl::StatusOr<control::v1::JoinResponse> DoJoin(const std::string& node, Duration patience);
  absl::StatusOr<control::v1::LeaveResponse> DoLeave(const std::string& node, Duration patience);

  const ServiceContext* const context_;  // Not owned.
  const Options options_;
  Mutex mutex_;
  std::deque<Task> tasks_ GUARDED_BY(mutex_);
  bool running_ GUARDED_BY(mutex_) = false;  // A worker is on its way or at work.
};

}  // namespace om

#endif  // OM_SERVER_SERVICE_MEMBERSHIP_API_H_
