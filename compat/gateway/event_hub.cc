#include "compat/gateway/event_hub.h"

#include <fnmatch.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "compat/gateway/event_messages.h"
#include "server/base/mutex.h"

namespace om {
namespace {

// Changes taken from the feed in one go.
constexpr size_t kChangesAtOnce = 1024;

// A bounded ring of messages, for all who want the same. Guarded by the hub's mutex.
struct Channel {
  EventChoice choice;
  std::deque<StreamMessagePtr> ring;
  uint64_t first = 0;  // Number of the oldest message in the ring.
  size_t bytes = 0;
  uint64_t next_id = 1;  // Of patches, as 2.x counts them.
  uint64_t end() const { return first + ring.size(); }
};

// Where one stream is. Guarded by the hub's mutex, except for `lost`.
struct Reader {
  std::shared_ptr<Channel> channel;
  uint64_t position = 0;
  std::function<void()> wake;
  std::atomic<bool> lost{false};
};

}  // namespace

bool IsChosen(const EventChoice& choice, const ObjectPath& path) {
  if (!choice.name_space.empty() && path.ns() != choice.name_space) return false;
  const std::vector<std::string> words =
      absl::StrSplit(choice.selector, absl::ByAnyChar(", "), absl::SkipEmpty());
  const std::string text = path.ToString();
  return words.empty() || std::any_of(words.begin(), words.end(), [&text](const std::string& word) {
           return word == "**" || fnmatch(word.c_str(), text.c_str(), 0) == 0;
         });
}

class EventHub::Impl : public std::enable_shared_from_this<EventHub::Impl> {
 public:
  explicit Impl(Parts parts)
      : parts_(std::move(parts)), lost_(parts_.counters->Get("packet.event_readers_lost")) {}

  void Join(const std::shared_ptr<Reader>& reader, const EventChoice& choice) {
    MutexLock lock(&mutex_);
    const std::string key = absl::StrCat(choice.whole_document ? "2" : "1", "\n", choice.selector,
                                         "\n", choice.name_space);
    std::shared_ptr<Channel>& channel = channels_[key];
    if (channel == nullptr) {
      channel = std::make_shared<Channel>();
      channel->choice = choice;
    }
    reader->channel = channel;
    reader->position = channel->end();
    readers_.insert(reader);
    if (subscription_ != nullptr) return;
    ++epoch_;
    before_ = parts_.snapshot();
    subscription_ =
        parts_.feed->Subscribe(parts_.workers, [weak = std::weak_ptr<Impl>(shared_from_this())] {
          if (const std::shared_ptr<Impl> self = weak.lock()) self->Work();
        });
  }

  void Leave(const std::shared_ptr<Reader>& reader) {
    MutexLock lock(&mutex_);
    readers_.erase(reader);
    // The two references are the table's and the reader's.
    for (auto it = channels_.begin(); it != channels_.end();) {
      it = it->second == reader->channel && it->second.use_count() == 2 ? channels_.erase(it)
                                                                        : std::next(it);
    }
    if (!readers_.empty()) return;
    subscription_ = nullptr;
    before_ = nullptr;
  }

  StreamMessagePtr Next(Reader* reader) {
    MutexLock lock(&mutex_);
    const Channel& channel = *reader->channel;
    if (reader->lost || reader->position == channel.end()) return nullptr;
    return channel.ring[reader->position++ - channel.first];
  }

  int reader_count() const {
    MutexLock lock(&mutex_);
    return static_cast<int>(readers_.size());
  }

  void Stop() {
    MutexLock lock(&mutex_);
    subscription_ = nullptr;
  }

 private:
  void Work() {
    {
      MutexLock lock(&mutex_);
      again_ = true;
      if (working_) return;
      working_ = true;
    }
    while (true) {
      SnapshotPtr before;
      uint64_t epoch = 0;
      std::vector<EventChoice> choices;
      {
        MutexLock lock(&mutex_);
        if (!again_ || before_ == nullptr) {
          working_ = false;
          return;
        }
        again_ = false;
        before = before_;
        epoch = epoch_;
        for (const auto& [key, channel] : channels_) choices.push_back(channel->choice);
      }
      // Taken before the feed is read: what comes after it is read the next time.
      const SnapshotPtr now = parts_.snapshot();
      absl::StatusOr<ChangeSummary> summary = Summarize(*before, *now);
      std::map<bool, std::map<std::pair<std::string, std::string>, std::vector<Json>>> made;
      if (summary.ok()) {
        for (const EventChoice& choice : choices) {
          made[choice.whole_document][{choice.selector, choice.name_space}] =
              Messages(choice, *before, *now, *summary);
        }
      }
      std::vector<std::function<void()>> wakes;
      {
        MutexLock lock(&mutex_);
        if (epoch == epoch_ && before_ != nullptr) {
          before_ = now;
          for (const auto& [key, channel] : channels_) {
            const EventChoice& choice = channel->choice;
            const auto& of_kind = made[choice.whole_document];
            const auto found = of_kind.find({choice.selector, choice.name_space});
            // One that was opened in the meantime begins with the next round.
            if (found != of_kind.end()) Publish(found->second, channel.get());
          }
          for (const std::shared_ptr<Reader>& reader : readers_) {
            const bool fell_behind = !summary.ok() || reader->position < reader->channel->first;
            if (fell_behind && !reader->lost.exchange(true)) lost_->Add();
            if (reader->lost || reader->position < reader->channel->end()) {
              wakes.push_back(reader->wake);
            }
          }
        }
      }
      for (const std::function<void()>& wake : wakes) wake();
    }
  }

  // The changes after `before` up to `now`. An error: they are no longer known.
  absl::StatusOr<ChangeSummary> Summarize(const Snapshot& before, const Snapshot& now) {
    ChangeSummary summary;
    Revision position = before.revision;
    while (position < now.revision) {
      absl::StatusOr<std::vector<std::shared_ptr<const Change>>> changes =
          parts_.feed->ReadAfter(position, kChangesAtOnce);
      if (!changes.ok()) return changes.status();
      if (changes->empty()) break;
      for (const std::shared_ptr<const Change>& change : *changes) {
        if (change->revision > now.revision) return summary;
        position = change->revision;
        summary.Add(*change);
      }
    }
    return summary;
  }

  // Events first: they say why what follows became different.
  std::vector<Json> Messages(const EventChoice& choice, const Snapshot& before, const Snapshot& now,
                             const ChangeSummary& summary) const {
    std::vector<Json> messages;
    const DocumentFacts facts = parts_.facts();
    const bool filtered = !choice.selector.empty() || !choice.name_space.empty();
    const ObjectFilter chosen = [&choice, filtered](const ObjectPath& path) {
      return !filtered || IsChosen(choice, path);
    };
    for (const std::shared_ptr<const Event>& event : summary.events) {
      if (event->path.has_value() && !chosen(*event->path)) continue;
      messages.push_back(EventMessage(*event, now, facts.compat_level,
                                      choice.whole_document ? "path" : "svcpath"));
    }
    if (choice.whole_document) {
      Json stanzas = DocumentStanzas(before, now, facts, summary.objects, chosen);
      if (!stanzas.empty()) {
        messages.push_back({{"kind", "patch"},
                            {"id", 0},  // Set when it is published.
                            {"ts", StatusStamp(now.time)},
                            {"data", std::move(stanzas)}});
      }
      return messages;
    }
    for (auto& [node, stanzas] :
         NodePatches(before, now, facts.compat_level, summary.objects, chosen)) {
      Json message = {{"nodename", node}, {"kind", "patch"}};
      // The time of what other nodes did is theirs to tell, and they do not.
      if (node == now.local_node) message["ts"] = StatusStamp(now.time);
      message["data"] = stanzas;
      messages.push_back(std::move(message));
    }
    return messages;
  }

  void Publish(const std::vector<Json>& messages, Channel* channel) REQUIRES(mutex_) {
    for (const Json& message : messages) {
      std::string text;
      if (channel->choice.whole_document && message.contains("id")) {
        Json numbered = message;
        numbered["id"] = channel->next_id++;
        text = DumpJson(numbered);
      } else {
        text = DumpJson(message);
      }
      channel->bytes += text.size();
      channel->ring.push_back(std::make_shared<const StreamMessage>(std::move(text)));
    }
    while (channel->ring.size() > 1 &&
           (channel->ring.size() > parts_.max_messages || channel->bytes > parts_.max_bytes)) {
      channel->bytes -= channel->ring.front()->text().size();
      channel->ring.pop_front();
      ++channel->first;
    }
  }

  const Parts parts_;
  Counter* const lost_;
  mutable Mutex mutex_;  // Before the feed's.
  std::map<std::string, std::shared_ptr<Channel>> channels_ GUARDED_BY(mutex_);
  std::set<std::shared_ptr<Reader>> readers_ GUARDED_BY(mutex_);
  std::unique_ptr<ChangeFeed::Subscription> subscription_ GUARDED_BY(mutex_);
  SnapshotPtr before_ GUARDED_BY(mutex_);  // What readers know; null: there are none.
  uint64_t epoch_ GUARDED_BY(mutex_) = 0;  // Counts the times that there was a first reader.
  bool working_ GUARDED_BY(mutex_) = false;
  bool again_ GUARDED_BY(mutex_) = false;

  friend class EventHub;
};

namespace {

template <class Hub>
class EventStream final : public LegacyStream {
 public:
  EventStream(std::shared_ptr<Hub> hub, EventChoice choice)
      : hub_(std::move(hub)), choice_(std::move(choice)) {}
  ~EventStream() override {
    if (started_) hub_->Leave(reader_);
  }
  void Start(std::function<void()> wake) override {
    started_ = true;
    reader_->wake = std::move(wake);
    hub_->Join(reader_, choice_);
  }
  absl::StatusOr<StreamMessagePtr> Next() override { return hub_->Next(reader_.get()); }
  bool lost() const override { return reader_->lost; }

 private:
  const std::shared_ptr<Hub> hub_;
  const EventChoice choice_;
  const std::shared_ptr<Reader> reader_ = std::make_shared<Reader>();
  bool started_ = false;
};

class PrefixedStream final : public LegacyStream {
 public:
  PrefixedStream(std::function<void(std::function<void(StreamMessagePtr)>)> make_first,
                 std::unique_ptr<LegacyStream> rest)
      : make_first_(std::move(make_first)), rest_(std::move(rest)) {}
  void Start(std::function<void()> wake) override {
    // First the rest: what changes while the first message is made is not missed.
    rest_->Start(wake);
    make_first_([first = first_, wake](StreamMessagePtr message) {
      {
        MutexLock lock(&first->mutex);
        first->message = std::move(message);
        first->is_made = true;
      }
      wake();
    });
  }
  absl::StatusOr<StreamMessagePtr> Next() override {
    if (told_) return rest_->Next();
    MutexLock lock(&first_->mutex);
    if (!first_->is_made) return StreamMessagePtr();
    if (first_->message == nullptr) return absl::ResourceExhaustedError("too many requests");
    told_ = true;
    return std::move(first_->message);
  }
  bool over() const override { return told_ && rest_->over(); }
  bool lost() const override { return rest_->lost(); }

 private:
  struct First {
    Mutex mutex;
    bool is_made GUARDED_BY(mutex) = false;
    StreamMessagePtr message GUARDED_BY(mutex);
  };
  const std::function<void(std::function<void(StreamMessagePtr)>)> make_first_;
  const std::unique_ptr<LegacyStream> rest_;
  const std::shared_ptr<First> first_ = std::make_shared<First>();
  bool told_ = false;
};

}  // namespace

EventHub::EventHub(Parts parts) : impl_(std::make_shared<Impl>(std::move(parts))) {}
EventHub::~EventHub() { impl_->Stop(); }

std::unique_ptr<LegacyStream> EventHub::Subscribe(const EventChoice& choice) {
  return std::make_unique<EventStream<Impl>>(impl_, choice);
}

int EventHub::subscriber_count() const { return impl_->reader_count(); }

std::unique_ptr<LegacyStream> StartingWith(
    const std::function<void(std::function<void(StreamMessagePtr)>)>& full,
    std::unique_ptr<LegacyStream> rest) {
  return std::make_unique<PrefixedStream>(full, std::move(rest));
}

}  // namespace om
