#include "compat/gateway/status_document.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "compat/gateway/status_parts.h"
#include "compat/wire/crypto.h"

namespace om {
namespace {

// From this size on documents are compressed fast rather than small: receivers take any level.
constexpr size_t kLargeDocumentBytes = 64 << 10;
constexpr int kFastLevel = 1;

// `"<key>": `
std::string KeyText(const std::string& key) { return absl::StrCat(DumpJson(Json(key)), ": "); }

// Adds a member, already written, to an object that is being written.
void AppendMember(absl::string_view member, bool* first, std::string* out) {
  if (!*first) out->append(", ");
  *first = false;
  out->append(member.data(), member.size());
}

// The text of an object without its closing brace, ready for another member.
std::string Open(const Json& object) {
  std::string text = DumpJson(object);
  text.pop_back();
  if (!object.empty()) text.append(", ");
  return text;
}

}  // namespace

const StatusDocumentBuilder::Part& StatusDocumentBuilder::PartOf(
    const std::shared_ptr<const ObjectState>& object, int compat_level) {
  Part& part = parts_[object->path];
  if (part.object == object && part.compat_level == compat_level) return part;
  part = Part();
  part.object = object;
  part.compat_level = compat_level;
  const std::string key = KeyText(object->path.ToString());
  for (const auto& [node, config] : object->configs) {
    part.config[node] = absl::StrCat(key, DumpJson(StatusOfConfig(config)));
  }
  for (const auto& [node, instance] : object->instances) {
    part.status[node] =
        absl::StrCat(key, DumpJson(StatusOfInstance(instance, object->path, compat_level)));
  }
  part.service = absl::StrCat(key, DumpJson(StatusOfAggregate(object->aggregate)));
  return part;
}

std::string StatusDocumentBuilder::Build(const Snapshot& snapshot, const DocumentFacts& facts,
                                         const Json& sessions,
                                         const std::function<bool(const ObjectPath&)>& selected) {
  const Json head = StatusHead(snapshot, facts, sessions);

  // Parts of objects by node, and the aggregates, in path order.
  struct NodeParts {
    std::string config;
    std::string status;
    bool first_config = true;
    bool first_status = true;
  };
  std::map<std::string, NodeParts> by_node;
  std::string services;
  bool first_service = true;
  snapshot.objects.ForEach([&](const ObjectState& object) {
    if (selected && !selected(object.path)) return;
    const Part& part = PartOf(snapshot.objects.Find(object.path), facts.compat_level);
    for (const auto& [node, text] : part.config) {
      NodeParts& parts = by_node[node];
      AppendMember(text, &parts.first_config, &parts.config);
    }
    for (const auto& [node, text] : part.status) {
      NodeParts& parts = by_node[node];
      AppendMember(text, &parts.first_status, &parts.status);
    }
    AppendMember(part.service, &first_service, &services);
  });
  // Objects that are gone are not kept.
  if (parts_.size() > snapshot.objects.size()) {
    for (auto it = parts_.begin(); it != parts_.end();) {
      it = snapshot.objects.Find(it->first) == nullptr ? parts_.erase(it) : std::next(it);
    }
  }

  std::string text = Open(head);
  absl::StrAppend(&text, "\"monitor\": ", Open(StatusMonitorHead(snapshot)), "\"nodes\": {");
  bool first_node = true;
  for (const auto& [name, node] : *snapshot.nodes) {
    const NodeParts& parts = by_node[name];
    AppendMember(absl::StrCat(KeyText(name), Open(StatusOfNode(*node, snapshot.revision)),
                              "\"services\": {\"config\": {", parts.config, "}, \"status\": {",
                              parts.status, "}}}"),
                 &first_node, &text);
  }
  absl::StrAppend(&text, "}, \"services\": {", services, "}}}");
  return text;
}

StatusDocumentCache::StatusDocumentCache(std::function<SnapshotPtr()> snapshot,
                                         std::function<DocumentFacts()> facts,
                                         const ListenerStats* stats, Executor* workers,
                                         const Clock* clock)
    : snapshot_(std::move(snapshot)),
      facts_(std::move(facts)),
      stats_(stats),
      workers_(workers),
      clock_(clock) {}

bool StatusDocumentCache::IsFresh(Revision revision) const {
  return latest_ != nullptr && latest_->revision >= revision &&
         clock_->Monotonic() - latest_time_ < std::chrono::seconds(1);
}

void StatusDocumentCache::Get(const Done& done) {
  const Revision revision = snapshot_()->revision;
  std::shared_ptr<const RenderedDocument> ready;
  bool waits = false;
  {
    MutexLock lock(&mutex_);
    if (IsFresh(revision)) {
      ready = latest_;
    } else if (waiters_.size() < kMaxWaiters) {
      waiters_.push_back({revision, done});
      if (working_) return;
      working_ = true;
      waits = true;
    }
  }
  if (!waits) return done(std::move(ready));  // Fresh; or null, because too many wait.
  if (workers_->Post([this] { Work(); })) return;
  // Nobody can build: everyone who waits is told.
  std::vector<Waiter> refused;
  {
    MutexLock lock(&mutex_);
    working_ = false;
    refused.swap(waiters_);
  }
  for (const Waiter& waiter : refused) waiter.done(nullptr);
}

void StatusDocumentCache::Work() {
  while (true) {
    const SnapshotPtr snapshot = snapshot_();
    auto document = std::make_shared<RenderedDocument>();
    document->revision = snapshot->revision;
    document->text = builder_.Build(*snapshot, facts_(), stats_->Sessions(), nullptr);
    document->compressed = document->text.size() < kLargeDocumentBytes
                               ? Compress(document->text)
                               : Compress(document->text, kFastLevel);
    std::vector<Waiter> served;
    bool more = false;
    {
      MutexLock lock(&mutex_);
      latest_ = document;
      latest_time_ = clock_->Monotonic();
      std::vector<Waiter> later;
      for (Waiter& waiter : waiters_) {
        (waiter.revision <= document->revision ? served : later).push_back(std::move(waiter));
      }
      waiters_ = std::move(later);
      more = !waiters_.empty();
      working_ = more;
    }
    for (const Waiter& waiter : served) waiter.done(document);
    if (!more) return;
  }
}

}  // namespace om
