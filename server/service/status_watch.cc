#include "server/service/status_watch.h"

#include <fnmatch.h>

#include <algorithm>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/service/errors.h"
#include "server/service/paging.h"

namespace om {
namespace {

namespace pb = control::v1;

constexpr PageSizes kObjectPages = {500, 1000};

Bytes Share(const google::protobuf::MessageLite& message) {
  return std::make_shared<const std::string>(message.SerializeAsString());
}

bool IsPlain(const pb::GetStatusRequest& request) {
  return request.page_token().empty() && request.selector().empty() && request.page_size() == 0;
}

}  // namespace

absl::StatusOr<Bytes> StatusCache::Page(const SnapshotPtr& snapshot,
                                        const pb::GetStatusRequest& request,
                                        const Visibility& visibility) {
  if (!IsPlain(request) || !visibility.everything()) {
    ASSIGN_OR_RETURN(std::string page, BuildPage(*snapshot, request, visibility));
    return std::make_shared<const std::string>(std::move(page));
  }
  MutexLock lock(&mutex_);
  // A caller with an older snapshot than the cached one gets the newer answer.
  if (page_ == nullptr || page_revision_ < snapshot->revision) {
    ASSIGN_OR_RETURN(std::string page, BuildPage(*snapshot, request, visibility));
    page_ = std::make_shared<const std::string>(std::move(page));
    page_revision_ = snapshot->revision;
  }
  return page_;
}

absl::StatusOr<std::string> StatusCache::BuildPage(const Snapshot& snapshot,
                                                   const pb::GetStatusRequest& request,
                                                   const Visibility& visibility) const {
  ObjectPath after;
  if (!request.page_token().empty()) {
    std::string text;
    absl::StatusOr<ObjectPath> parsed = absl::InvalidArgumentError("");
    if (absl::WebSafeBase64Unescape(request.page_token(), &text)) parsed = ObjectPath::Parse(text);
    if (!parsed.ok()) {
      return WithField(MakeError("INVALID_PAGE_TOKEN", "page_token was not given by this daemon"),
                       "page_token");
    }
    after = *std::move(parsed);
  }
  ASSIGN_OR_RETURN(const size_t limit, PageSizeOf(request.page_size(), kObjectPages));
  pb::GetStatusResponse page;
  *page.mutable_daemon() = visibility.ShowDaemon(facts_, snapshot);
  *page.mutable_cluster() = visibility.ShowCluster(snapshot);
  for (const auto& [id, thread] : *snapshot.threads) {
    *page.add_threads() = visibility.ShowThread(thread, snapshot);
  }
  for (const auto& [name, node] : *snapshot.nodes) *page.add_nodes() = ToProto(*node);
  page.set_revision(ToNumber(snapshot.revision));
  int total = 0;
  size_t bytes = 0;
  bool more = false;
  std::string last;
  snapshot.objects.ForEach([&](const ObjectState& object) {
    if (!visibility.Sees(object.path)) return;
    const std::string path = object.path.ToString();
    if (!request.selector().empty() && fnmatch(request.selector().c_str(), path.c_str(), 0) != 0) {
      return;
    }
    ++total;
    if (!after.empty() && !(after < object.path)) return;
    if (more || static_cast<size_t>(page.objects_size()) >= limit || bytes >= kMaxPageBytes) {
      more = true;
      return;
    }
    *page.add_objects() = ToProto(object);
    bytes += page.objects(page.objects_size() - 1).ByteSizeLong();
    last = path;
  });
  page.set_total_object_count(total);
  if (more) page.set_next_page_token(absl::WebSafeBase64Escape(last));
  return page.SerializeAsString();
}

StatusCache::Messages StatusCache::ChangeMessages(
    Revision from, Revision to, const std::vector<std::shared_ptr<const Change>>& changes,
    const SnapshotPtr& snapshot, const Visibility& visibility) {
  if (!visibility.everything()) {
    return BuildChangeMessages(from, to, changes, *snapshot, visibility);
  }
  MutexLock lock(&mutex_);
  for (const CachedChange& cached : changes_) {
    if (cached.from == from && cached.to == to) return cached.messages;
  }
  Messages messages = BuildChangeMessages(from, to, changes, *snapshot, visibility);
  changes_.push_back({from, to, messages});
  if (changes_.size() > kMaxCachedChanges) changes_.pop_front();
  return messages;
}

StatusCache::Messages StatusCache::BuildChangeMessages(
    Revision from, Revision to, const std::vector<std::shared_ptr<const Change>>& changes,
    const Snapshot& snapshot, const Visibility& visibility) const {
  // Several changes in one message name each thing once.
  std::set<ObjectPath> objects;
  std::set<std::string> nodes;
  std::set<std::string> threads;
  bool cluster = false;
  for (const std::shared_ptr<const Change>& change : changes) {
    for (const ObjectPath& path : change->objects) {
      if (visibility.Sees(path)) objects.insert(path);
    }
    nodes.insert(change->nodes.begin(), change->nodes.end());
    threads.insert(change->threads.begin(), change->threads.end());
    if (change->listener) threads.insert("listener");
    cluster = cluster || change->cluster || (change->alerts && visibility.everything());
  }
  auto messages = std::make_shared<std::vector<Bytes>>();
  pb::WatchStatusResponse message;
  size_t bytes = 0;
  const auto end_message = [&](Revision resume) {
    message.set_resume_token(EncodeResumeToken(facts_.incarnation, resume));
    message.mutable_change()->set_revision(ToNumber(to));
    *message.mutable_change()->mutable_time() = ToProto(changes.back()->time);
    messages->push_back(Share(message));
    message.Clear();
    bytes = 0;
  };
  // Called before something is added, so that no message is left empty.
  const auto make_room = [&] {
    if (bytes >= kMaxMessageBytes) end_message(from);
    return message.mutable_change();
  };
  if (cluster || !nodes.empty() || !objects.empty()) {
    *message.mutable_change()->mutable_cluster() = visibility.ShowCluster(snapshot);
  }
  for (const std::string& id : threads) {
    const auto found = snapshot.threads->find(id);
    if (found == snapshot.threads->end()) continue;
    pb::ThreadStatus* out = make_room()->add_threads();
    *out = visibility.ShowThread(found->second, snapshot);
    bytes += out->ByteSizeLong();
  }
  for (const std::string& name : nodes) {
    const NodeState* node = snapshot.node(name);
    if (node == nullptr) continue;
    pb::NodeStatus* out = make_room()->add_nodes();
    *out = ToProto(*node);
    bytes += out->ByteSizeLong();
  }
  for (const ObjectPath& path : objects) {
    const std::shared_ptr<const ObjectState> object = snapshot.objects.Find(path);
    pb::StateChange* out = make_room();
    if (object != nullptr) {
      *out->add_objects() = ToProto(*object);
      bytes += out->objects(out->objects_size() - 1).ByteSizeLong();
    } else {
      out->add_removed_object_paths(path.ToString());
      bytes += path.ToString().size();
    }
  }
  for (const std::shared_ptr<const Change>& change : changes) {
    for (const std::shared_ptr<const Event>& event : change->events) {
      if (!visibility.Sees(*event)) continue;
      pb::Event* out = make_room()->add_events();
      *out = ToProto(*event);
      bytes += out->ByteSizeLong();
    }
  }
  // Who sees everything is told of each revision.
  if (message.has_change() || !messages->empty() || visibility.everything()) end_message(to);
  return messages;
}

StatusWatch::StatusWatch(StatusCache* cache, ChangeFeed* feed,
                         std::function<SnapshotPtr()> snapshot, Visibility visibility)
    : cache_(cache),
      feed_(feed),
      snapshot_(std::move(snapshot)),
      visibility_(std::move(visibility)) {}

absl::Status StatusWatch::Open(const pb::WatchStatusRequest& request) {
  SnapshotPtr now = snapshot_();
  if (!request.resume_token().empty()) {
    absl::StatusOr<Revision> revision =
        DecodeResumeToken(request.resume_token(), cache_->facts().incarnation, now->revision);
    if (!revision.ok()) return WithField(revision.status(), "resume_token");
    position_ = *revision;
    return feed_->ReadAfter(position_, 1).status();
  }
  position_ = now->revision;
  if (!request.only_changes()) sending_ = std::move(now);
  return absl::OkStatus();
}

Bytes StatusWatch::NextChunk() {
  pb::WatchStatusResponse message;
  const Snapshot& state = *sending_;
  std::vector<std::shared_ptr<const ObjectState>> objects;
  // The next ones that are seen.
  while (objects.empty()) {
    objects = state.objects.After(last_sent_.empty() ? nullptr : &last_sent_, kObjectsAChunk);
    if (objects.empty()) break;
    const ObjectPath last = objects.back()->path;
    objects.erase(std::remove_if(objects.begin(), objects.end(),
                                 [this](const std::shared_ptr<const ObjectState>& object) {
                                   return !visibility_.Sees(object->path);
                                 }),
                  objects.end());
    if (objects.empty()) last_sent_ = last;
  }
  if (objects.empty() && !first_chunk_) {
    message.mutable_state_end()->set_revision(ToNumber(state.revision));
    message.mutable_state_end()->set_object_count(sent_count_);
    message.set_resume_token(EncodeResumeToken(cache_->facts().incarnation, state.revision));
    sending_ = nullptr;
    return Share(message);
  }
  pb::StateChunk& chunk = *message.mutable_state();
  chunk.set_revision(ToNumber(state.revision));
  if (first_chunk_) {
    first_chunk_ = false;
    *chunk.mutable_daemon() = visibility_.ShowDaemon(cache_->facts(), state);
    *chunk.mutable_cluster() = visibility_.ShowCluster(state);
    for (const auto& [id, thread] : *state.threads) {
      *chunk.add_threads() = visibility_.ShowThread(thread, state);
    }
    for (const auto& [name, node] : *state.nodes) *chunk.add_nodes() = ToProto(*node);
  }
  size_t bytes = 0;
  for (const std::shared_ptr<const ObjectState>& object : objects) {
    *chunk.add_objects() = ToProto(*object);
    last_sent_ = object->path;
    ++sent_count_;
    bytes += chunk.objects(chunk.objects_size() - 1).ByteSizeLong();
    if (bytes >= kMaxChunkBytes) break;
  }
  return Share(message);
}

absl::StatusOr<Bytes> StatusWatch::Next() {
  if (sending_ != nullptr) return NextChunk();
  while (messages_ == nullptr) {
    ASSIGN_OR_RETURN(const auto changes, feed_->ReadAfter(position_, kChangesAMessage));
    if (changes.empty()) return Bytes();
    messages_end_ = changes.back()->revision;
    // The state is published before its change is: the snapshot is at that revision or later.
    messages_ = cache_->ChangeMessages(position_, messages_end_, changes, snapshot_(), visibility_);
    next_message_ = 0;
    if (!messages_->empty()) break;
    position_ = messages_end_;
    messages_ = nullptr;
  }
  Bytes message = (*messages_)[next_message_++];
  if (next_message_ == messages_->size()) {
    position_ = messages_end_;
    messages_ = nullptr;
  }
  return message;
}

Bytes StatusWatch::HeartbeatMessage() const {
  pb::WatchStatusResponse message;
  message.mutable_heartbeat()->set_revision(ToNumber(position_));
  // A state that was not received whole cannot be resumed.
  if (sending_ == nullptr) {
    message.set_resume_token(EncodeResumeToken(cache_->facts().incarnation, position_));
  }
  return Share(message);
}

}  // namespace om
