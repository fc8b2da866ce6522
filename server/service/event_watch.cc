#include "server/service/event_watch.h"

#include <fnmatch.h>

#include <algorithm>
#include <utility>

#include "server/base/status.h"
#include "server/service/convert.h"

namespace om {
namespace {

bool MatchesOne(const std::vector<std::string>& globs, const std::string& text) {
  return std::any_of(globs.begin(), globs.end(), [&text](const std::string& glob) {
    return fnmatch(glob.c_str(), text.c_str(), 0) == 0;
  });
}

uint64_t Number(Revision revision) { return static_cast<uint64_t>(revision); }

}  // namespace

bool EventFilter::Matches(const Event& event) const {
  if (!visibility.Sees(event)) return false;
  if (!ids.empty() && !MatchesOne(ids, event.id)) return false;
  if (!nodes.empty() && std::find(nodes.begin(), nodes.end(), event.node) == nodes.end()) {
    return false;
  }
  if (selectors.empty()) return true;
  return event.path.has_value() && MatchesOne(selectors, event.path->ToString());
}

absl::StatusOr<Bytes> EventWatch::Next() {
  control::v1::WatchEventsResponse message;
  size_t bytes = 0;
  while (bytes < kMaxMessageBytes) {
    absl::StatusOr<std::vector<std::shared_ptr<const Change>>> changes =
        feed_->ReadAfter(position_, kChangesARead);
    if (!changes.ok()) {
      if (!absl::IsOutOfRange(changes.status())) return changes.status();
      // What was read before the gap goes out first.
      if (message.events_size() > 0) break;
      const Revision oldest = feed_->oldest();
      missed_ += Number(oldest) - 1 - Number(position_);
      position_ = Revision{Number(oldest) - 1};
      continue;
    }
    if (changes->empty()) break;
    for (const std::shared_ptr<const Change>& change : *changes) {
      for (const std::shared_ptr<const Event>& event : change->events) {
        if (!filter_.Matches(*event)) continue;
        *message.add_events() = ToProto(*event);
        bytes += message.events(message.events_size() - 1).ByteSizeLong();
      }
      position_ = change->revision;
      if (bytes >= kMaxMessageBytes) break;
    }
  }
  if (message.events_size() == 0 && missed_ == 0) return Bytes();
  if (missed_ > 0) message.mutable_gap()->set_missed_changes(std::exchange(missed_, 0));
  message.set_resume_token(EncodeResumeToken(incarnation_, position_));
  return std::make_shared<const std::string>(message.SerializeAsString());
}

Bytes EventWatch::HeartbeatMessage() const {
  control::v1::WatchEventsResponse message;
  message.set_resume_token(EncodeResumeToken(incarnation_, position_));
  return std::make_shared<const std::string>(message.SerializeAsString());
}

}  // namespace om
