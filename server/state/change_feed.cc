#include "server/state/change_feed.h"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace om {

struct ChangeFeed::Subscriber {
  Executor* executor;  // Not owned; may be null.
  std::function<void()> wake;
  std::atomic<bool> ended{false};
  std::atomic<bool> posted{false};
};

size_t ApproximateBytes(const Change& change) {
  constexpr size_t kPerPath = sizeof(ObjectPath) + 32;
  size_t bytes = sizeof(Change) + change.objects.size() * kPerPath;
  for (const std::string& node : change.nodes) bytes += sizeof(std::string) + node.size();
  for (const std::string& thread : change.threads) bytes += sizeof(std::string) + thread.size();
  for (const auto& event : change.events) {
    bytes += sizeof(Event) + event->id.size() + event->reason.size() + event->rid.size() +
             DumpCompactJson(event->data).size();
  }
  return bytes;
}

ChangeFeed::Subscription::~Subscription() {
  MutexLock lock(&feed_->mutex_);
  const auto it = feed_->subscribers_.find(id_);
  it->second->ended = true;
  feed_->subscribers_.erase(it);
}

absl::StatusOr<std::vector<std::shared_ptr<const Change>>> ChangeFeed::ReadAfter(Revision revision,
                                                                                 size_t max) const {
  MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<const Change>> changes;
  if (revision >= last_) return changes;
  const uint64_t wanted = ToNumber(revision) + 1;
  // The ring is never empty here: it always keeps the newest change.
  const uint64_t oldest = ToNumber(ring_.front()->revision);
  if (wanted < oldest) {
    return WithReason(absl::OutOfRangeError(absl::StrCat(
                          "changes after revision ", ToNumber(revision),
                          " are no longer kept, the oldest is ", oldest, ": take a new snapshot")),
                      "REVISION_GONE");
  }
  const auto first = ring_.begin() + static_cast<std::ptrdiff_t>(wanted - oldest);
  const auto count = std::min<size_t>(max, static_cast<size_t>(ring_.end() - first));
  changes.assign(first, first + static_cast<std::ptrdiff_t>(count));
  return changes;
}

std::unique_ptr<ChangeFeed::Subscription> ChangeFeed::Subscribe(Executor* executor,
                                                                std::function<void()> wake) {
  auto subscriber = std::make_shared<Subscriber>();
  subscriber->executor = executor;
  subscriber->wake = std::move(wake);
  MutexLock lock(&mutex_);
  const uint64_t id = next_id_++;
  subscribers_.emplace(id, std::move(subscriber));
  return std::unique_ptr<Subscription>(new Subscription(this, id));
}

void ChangeFeed::Append(std::shared_ptr<const Change> change) {
  std::vector<std::shared_ptr<Subscriber>> wake;
  {
    MutexLock lock(&mutex_);
    last_ = change->revision;
    bytes_ += ApproximateBytes(*change);
    ring_.push_back(std::move(change));
    while (ring_.size() > 1 &&
           (ring_.size() > options_.max_changes || bytes_ > options_.max_bytes)) {
      bytes_ -= ApproximateBytes(*ring_.front());
      ring_.pop_front();
    }
    for (const auto& [id, subscriber] : subscribers_) {
      // One that has been posted and has not run yet will see this change, too.
      if (!subscriber->posted.exchange(true)) wake.push_back(subscriber);
    }
  }
  for (const std::shared_ptr<Subscriber>& subscriber : wake) {
    auto run = [subscriber] {
      subscriber->posted = false;  // Before reading: what comes from now on needs a new wake.
      if (!subscriber->ended) subscriber->wake();
    };
    if (subscriber->executor == nullptr) {
      run();
    } else if (!subscriber->executor->Post(run)) {
      subscriber->posted = false;  // The next change tries again.
    }
  }
}

Revision ChangeFeed::oldest() const {
  MutexLock lock(&mutex_);
  return ring_.empty() ? Revision{0} : ring_.front()->revision;
}

Revision ChangeFeed::last() const {
  MutexLock lock(&mutex_);
  return last_;
}

size_t ChangeFeed::subscriber_count() const {
  MutexLock lock(&mutex_);
  return subscribers_.size();
}

std::string EncodeResumeToken(absl::string_view incarnation, Revision revision) {
  return absl::WebSafeBase64Escape(absl::StrCat(incarnation, ":", ToNumber(revision)));
}

absl::StatusOr<Revision> DecodeResumeToken(absl::string_view token, absl::string_view incarnation,
                                           Revision current) {
  std::string text;
  uint64_t number = 0;
  size_t colon = std::string::npos;
  if (absl::WebSafeBase64Unescape(token, &text)) colon = text.rfind(':');
  if (colon == std::string::npos ||
      !absl::SimpleAtoi(absl::string_view(text).substr(colon + 1), &number)) {
    return WithField(absl::InvalidArgumentError(
                         absl::StrCat("resume token \"", absl::CHexEscape(token.substr(0, 64)),
                                      "\" is not one that this service gave")),
                     "resume_token");
  }
  if (absl::string_view(text).substr(0, colon) != incarnation || number > ToNumber(current)) {
    return WithReason(absl::OutOfRangeError(
                          "the resume token is of another run of the daemon: take a new snapshot"),
                      "FOREIGN_TOKEN");
  }
  return Revision{number};
}

}  // namespace om
