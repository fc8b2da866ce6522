#include "server/service/event_api.h"

#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/service/status_path.h"

namespace om {
namespace {

namespace pb = control::v1;

constexpr int kMaxPatterns = 100;
constexpr size_t kMaxPatternBytes = 512;
constexpr absl::Duration kDefaultTimeout = absl::Seconds(60);
constexpr absl::Duration kMaxTimeout = absl::Hours(24);

absl::StatusOr<std::vector<std::string>> Patterns(
    absl::string_view field, const google::protobuf::RepeatedPtrField<std::string>& given) {
  if (given.size() > kMaxPatterns) {
    return WithField(absl::InvalidArgumentError(absl::StrCat(field, ": ", given.size(),
                                                             " entries; at most ", kMaxPatterns)),
                     field);
  }
  for (const std::string& one : given) {
    if (one.empty() || one.size() > kMaxPatternBytes) {
      return WithField(
          absl::InvalidArgumentError(absl::StrCat(field, ": an entry of ", one.size(),
                                                  " bytes; expected 1 to ", kMaxPatternBytes)),
          field);
    }
  }
  return std::vector<std::string>(given.begin(), given.end());
}

absl::StatusOr<absl::Duration> TimeoutOf(const pb::WaitForRequest& request) {
  if (!request.has_timeout()) return kDefaultTimeout;
  const absl::Duration timeout =
      absl::Seconds(request.timeout().seconds()) + absl::Nanoseconds(request.timeout().nanos());
  if (timeout <= absl::ZeroDuration() || timeout > kMaxTimeout) {
    return WithField(
        absl::InvalidArgumentError(absl::StrCat("timeout: ", absl::FormatDuration(timeout),
                                                "; expected more than 0 and at most 24 h")),
        "timeout");
  }
  return timeout;
}

}  // namespace

// One that waits. Its wakes and its timer hold it weakly; the map of the API does, too.
class EventApi::Wait : public std::enable_shared_from_this<EventApi::Wait> {
 public:
  Wait(Core* core, Visibility visibility, StatusCondition condition, std::string text,
       Reply<pb::WaitForResponse> reply)
      : core_(core),
        visibility_(std::move(visibility)),
        condition_(std::move(condition)),
        text_(std::move(text)),
        reply_(std::move(reply)) {}

  // `keep` is kept until the answer.
  void Start(std::shared_ptr<void> keep) EXCLUDES(mutex_) {
    {
      MutexLock lock(&mutex_);
      if (reply_ != nullptr) keep_ = std::move(keep);
    }
    Look();
  }

  void Look() EXCLUDES(mutex_) {
    const SnapshotPtr snapshot = core_->snapshot();
    std::optional<std::string> value = condition_.Value(*snapshot, visibility_);
    if (!condition_.IsMetBy(value)) {
      MutexLock lock(&mutex_);
      last_ = std::move(value);
      return;
    }
    pb::WaitForResponse response;
    response.set_value(value.value_or(""));
    response.set_revision(static_cast<uint64_t>(snapshot->revision));
    Answer(std::move(response));
  }

  void TimeOut() EXCLUDES(mutex_) {
    std::string value;
    {
      MutexLock lock(&mutex_);
      value = last_.has_value() ? absl::StrCat("its value is \"", *last_, "\"")
                                : std::string("there is no such value");
    }
    Answer(MakeError("CONDITION_NOT_MET",
                     absl::StrCat("condition \"", text_, "\" was not met in time: ", value)));
  }

  // The first answer counts.
  void Answer(absl::StatusOr<pb::WaitForResponse> answer) EXCLUDES(mutex_) {
    Reply<pb::WaitForResponse> reply;
    std::shared_ptr<void> keep;
    {
      MutexLock lock(&mutex_);
      reply = std::exchange(reply_, nullptr);
      keep = std::move(keep_);
    }
    if (reply != nullptr) reply(std::move(answer));
  }

 private:
  Core* const core_;  // Not owned.
  const Visibility visibility_;
  const StatusCondition condition_;
  const std::string text_;
  Mutex mutex_;
  Reply<pb::WaitForResponse> reply_ GUARDED_BY(mutex_);  // Null: answered.
  std::shared_ptr<void> keep_ GUARDED_BY(mutex_);
  std::optional<std::string> last_ GUARDED_BY(mutex_);
};

EventApi::~EventApi() { EndWaits(); }

absl::StatusOr<std::shared_ptr<EventWatch>> EventApi::WatchEvents(
    const Caller& caller, const pb::WatchEventsRequest& request) {
  RETURN_IF_ERROR(Admit(*context_, caller, "om.control.v1.EventService/WatchEvents"));
  EventFilter filter;
  filter.visibility = Visibility(caller);
  ASSIGN_OR_RETURN(filter.ids, Patterns("ids", request.ids()));
  ASSIGN_OR_RETURN(filter.selectors, Patterns("selectors", request.selectors()));
  ASSIGN_OR_RETURN(filter.nodes, Patterns("nodes", request.nodes()));
  const std::string& incarnation = context_->core->incarnation();
  Revision position = feed()->last();
  if (!request.resume_token().empty()) {
    ASSIGN_OR_RETURN(position, DecodeResumeToken(request.resume_token(), incarnation, position));
  }
  return std::make_shared<EventWatch>(feed(), incarnation, std::move(filter), position);
}

std::function<void()> EventApi::WaitFor(const Caller& caller, const pb::WaitForRequest& request,
                                        std::optional<absl::Time> call_deadline,
                                        Reply<pb::WaitForResponse> reply) {
  absl::Status admitted = Admit(*context_, caller, "om.control.v1.EventService/WaitFor");
  absl::StatusOr<StatusCondition> condition =
      admitted.ok() ? StatusCondition::Parse(request.condition()) : admitted;
  absl::StatusOr<absl::Duration> timeout =
      condition.ok() ? TimeoutOf(request) : absl::StatusOr<absl::Duration>(condition.status());
  if (!timeout.ok()) {
    reply(timeout.status());
    return [] {};
  }
  const absl::Time now = context_->clock->Now();
  if (call_deadline.has_value()) *timeout = std::min(*timeout, *call_deadline - now);
  auto wait = std::make_shared<Wait>(context_->core, Visibility(caller), *std::move(condition),
                                     request.condition(), std::move(reply));
  const std::weak_ptr<Wait> weak = wait;
  absl::Status refused;
  {
    MutexLock lock(&mutex_);
    if (ended_) {
      refused = MakeError("DAEMON_STOPPING", "the daemon is stopping");
    } else if (waits_.size() >= static_cast<size_t>(kMaxWaits)) {
      refused = MakeError("TOO_MANY_WAITS", absl::StrCat("all ", kMaxWaits, " waits are taken"));
    } else {
      waits_.emplace(wait.get(), wait);
    }
  }
  if (!refused.ok()) {
    wait->Answer(refused);
    return [] {};
  }
  // What lives as long as the wait: its place, its wakes, its timer.
  struct Kept {
    std::unique_ptr<ChangeFeed::Subscription> wakes;
    std::function<void()> end;
    ~Kept() { end(); }
  };
  auto kept = std::make_shared<Kept>();
  kept->wakes = feed()->Subscribe(executor_, [weak] {
    if (const std::shared_ptr<Wait> self = weak.lock()) self->Look();
  });
  const TimerId timer = context_->loop->PostAfter(
      std::chrono::nanoseconds(absl::ToInt64Nanoseconds(std::max(*timeout, absl::ZeroDuration()))),
      [weak] {
        if (const std::shared_ptr<Wait> self = weak.lock()) self->TimeOut();
      });
  kept->end = [this, loop = context_->loop, timer, key = wait.get()] {
    loop->Cancel(timer);
    MutexLock lock(&mutex_);
    waits_.erase(key);
  };
  wait->Start(std::move(kept));
  return [wait] { wait->Answer(absl::CancelledError("the client is gone")); };
}

void EventApi::EndWaits() {
  std::vector<std::shared_ptr<Wait>> left;
  {
    MutexLock lock(&mutex_);
    ended_ = true;
    for (const auto& [key, weak] : waits_) {
      if (std::shared_ptr<Wait> wait = weak.lock()) left.push_back(std::move(wait));
    }
  }
  for (const std::shared_ptr<Wait>& wait : left) {
    wait->Answer(MakeError("DAEMON_STOPPING", "the daemon is stopping"));
  }
}

}  // namespace om
