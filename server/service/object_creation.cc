#include "server/service/object_creation.h"

#include <chrono>
#include <filesystem>
#include <memory>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/service/monitor_api.h"

namespace om {
namespace {

namespace pb = control::v1;

constexpr int kMaxObjects = 100;
// The inventory is listed each second. Shorter than what a daemon that stops grants to calls.
constexpr Duration kPatience = std::chrono::seconds(4);

// Waits for objects to be known, then orders one after the other. Confined to the core loop.
class Provisioning : public std::enable_shared_from_this<Provisioning> {
 public:
  Provisioning(const ServiceContext* context, std::vector<ObjectPath> paths, std::string requester,
               std::function<void(std::vector<std::string>)> done)
      : context_(context),
        paths_(std::move(paths)),
        requester_(std::move(requester)),
        done_(std::move(done)) {}

  void Start() {
    std::weak_ptr<Provisioning> weak = weak_from_this();
    self_ = shared_from_this();
    subscription_ = context_->core->feed()->Subscribe(context_->loop, [weak] {
      if (const std::shared_ptr<Provisioning> self = weak.lock()) self->Look(/*late=*/false);
    });
    timer_ = context_->loop->PostAfter(kPatience, [weak] {
      if (const std::shared_ptr<Provisioning> self = weak.lock()) self->Look(/*late=*/true);
    });
    context_->core->ReloadInventory();
    Look(/*late=*/false);
  }

 private:
  bool Known(const ObjectPath& path) const {
    const SnapshotPtr snapshot = context_->core->snapshot();
    const std::shared_ptr<const ObjectState> object = snapshot->objects.Find(path);
    return object != nullptr && object->instance(snapshot->local_node) != nullptr;
  }

  void Look(bool late) {
    if (ordering_) return;
    for (const ObjectPath& path : paths_) {
      if (!late && !Known(path)) return;
    }
    ordering_ = true;
    subscription_.reset();
    context_->loop->Cancel(timer_);
    OrderNext();
  }

  void OrderNext() {
    if (next_ == paths_.size()) {
      done_(std::move(complaints_));
      self_ = nullptr;
      return;
    }
    InstanceMonitorOrder order;
    order.path = paths_[next_++];
    order.global_expect = "provisioned";
    order.requester = requester_;
    const std::string path = order.path.ToString();
    context_->core->SetInstanceMonitor(
        std::move(order), RequestKey{},
        [self = shared_from_this(), path](const absl::StatusOr<OrderAnswer>& answer) {
          if (!answer.ok()) {
            self->Complain(path, std::string(answer.status().message()));
          } else {
            for (const OrderOutcome& outcome : answer->outcomes) {
              if (outcome.is_error()) self->Complain(path, DescribeOutcome(outcome));
            }
          }
          self->OrderNext();
        });
  }

  void Complain(const std::string& path, const std::string& why) {
    complaints_.push_back(absl::StrCat(path, ": not ordered provisioned: ", why));
  }

  const ServiceContext* const context_;  // Not owned.
  const std::vector<ObjectPath> paths_;
  const std::string requester_;
  std::function<void(std::vector<std::string>)> done_;
  std::shared_ptr<Provisioning> self_;  // Until the end.
  std::unique_ptr<ChangeFeed::Subscription> subscription_;
  TimerId timer_{};
  bool ordering_ = false;
  size_t next_ = 0;
  std::vector<std::string> complaints_;
};

// Whether the namespace of `path` has an object: known, or just written.
bool NamespaceExists(const ServiceContext& context, const ObjectPath& path) {
  if (path.in_root()) return true;
  bool known = false;
  context.core->snapshot()->objects.ForEach(
      [&](const ObjectState& object) { known = known || object.path.ns() == path.ns(); });
  if (known) return true;
  // <etc>/namespaces/<namespace>/<kind>/<name>.conf
  const std::filesystem::path directory =
      std::filesystem::path(path.ConfigFile(context.roots)).parent_path().parent_path();
  std::error_code error;
  std::filesystem::recursive_directory_iterator it(directory, error);
  const std::filesystem::recursive_directory_iterator end;
  for (; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".conf") return true;
  }
  // What cannot be looked into is not taken for new.
  return error && error != std::errc::no_such_file_or_directory;
}

// The configuration of the user `caller` with admin on `namespaces` granted.
absl::StatusOr<NewConfig> WithAdmin(const ServiceContext& context, const Caller& caller,
                                    const std::set<std::string>& namespaces) {
  const absl::StatusOr<ObjectPath> path =
      ObjectPath::Parse(absl::StrCat("system/usr/", caller.name));
  absl::StatusOr<StoredConfig> stored = absl::NotFoundError("no user");
  if (caller.kind == Caller::Kind::kUser && path.ok()) {
    stored = context.config_store->Read(ConfigTarget::Object(*path));
  }
  if (!stored.ok()) {
    return Annotate(
        absl::FailedPreconditionError(std::string(stored.status().message())),
        absl::StrCat("who makes a namespace becomes its admin, and ", caller.ToString(),
                     " has no object system/usr/<name> to which that could be granted"));
  }
  ASSIGN_OR_RETURN(Document document, Document::Parse(stored->text, stored->file));
  std::string more;
  for (const std::string& ns : namespaces) absl::StrAppend(&more, " admin:", ns);
  // In every spelling: one with a scope hides the one without.
  std::vector<std::pair<std::string, std::string>> grants = {{"grant", ""}};
  for (const Document::Value& entry : document.Entries("DEFAULT")) {
    if (entry.key == "grant") grants[0].second = entry.text;
    if (absl::StartsWith(entry.key, "grant@")) grants.emplace_back(entry.key, entry.text);
  }
  for (const auto& [key, text] : grants) {
    const std::string granted(absl::StripAsciiWhitespace(absl::StrCat(text, more)));
    RETURN_IF_ERROR(Grants::Parse(granted).status());
    RETURN_IF_ERROR(document.Set("DEFAULT", key, granted));
  }
  return NewConfig{*path, std::move(document)};
}

}  // namespace

absl::StatusOr<std::vector<NewConfig>> NewConfigsOf(const pb::CreateObjectsRequest& request,
                                                    SecureRandom* random) {
  if (request.objects_size() < 1 || request.objects_size() > kMaxObjects) {
    return WithField(absl::InvalidArgumentError(absl::StrCat(
                         request.objects_size(), " objects; expected 1 to ", kMaxObjects)),
                     "objects");
  }
  std::vector<NewConfig> configs;
  for (int i = 0; i < request.objects_size(); ++i) {
    const pb::NewObject& object = request.objects(i);
    absl::StatusOr<ObjectPath> path =
        ObjectPath::ParseRelative(object.path(), request.namespace_());
    if (!path.ok()) return WithField(path.status(), absl::StrCat("objects[", i, "].path"));
    Document document("the configuration");
    for (const pb::NewKeyword& keyword : object.keywords()) {
      const absl::Status set =
          document.Set(keyword.section(), absl::AsciiStrToLower(keyword.name()), keyword.value());
      if (!set.ok()) {
        const std::string param = absl::StrCat(keyword.section(), ".", keyword.name());
        return WithField(Annotate(set, absl::StrCat("object ", path->ToString(), ": ", param)),
                         absl::StrCat("objects[", i, "].", param));
      }
    }
    if (!request.restore()) document.Unset("DEFAULT", "id");
    if (document.Find("DEFAULT", "id") == nullptr) {
      RETURN_IF_ERROR(document.Set("DEFAULT", "id", random->Uuid()));
    }
    configs.push_back({*std::move(path), std::move(document)});
  }
  return configs;
}

ConfigProposal ProposalOn(const ServiceContext& context, const ObjectPath& path) {
  const std::shared_ptr<const NodeSettings> settings = context.settings->get();
  ConfigProposal proposal;
  proposal.path = path;
  proposal.local_node = settings->nodename;
  proposal.roots = context.roots;
  proposal.cluster = settings->Cluster();
  return proposal;
}

ConfigStore::CreateJudge JudgeOf(const ServiceContext* context, const Caller& caller,
                                 const std::vector<NewConfig>* configs) {
  return [context, caller, configs](const std::vector<std::optional<Document>>& before)
             -> absl::StatusOr<std::vector<NewConfig>> {
    if (caller.HoldsEverywhere(Role::kRoot)) return std::vector<NewConfig>();
    std::set<std::string> made;
    for (size_t i = 0; i < configs->size(); ++i) {
      const NewConfig& config = (*configs)[i];
      ConfigProposal proposal = ProposalOn(*context, config.path);
      proposal.is_creation = true;
      proposal.new_namespace = !NamespaceExists(*context, config.path);
      proposal.before = before[i].has_value() ? &*before[i] : nullptr;
      proposal.after = &config.document;
      absl::Status allowed = Noted(*context, caller, "om.control.v1.ActionService/CreateObjects",
                                   CheckConfigPolicy(caller, proposal));
      if (!allowed.ok()) {
        return FieldOf(allowed).empty()
                   ? allowed
                   : WithField(allowed, absl::StrCat("objects[", i, "].", FieldOf(allowed)));
      }
      if (proposal.new_namespace) made.insert(config.path.ns());
    }
    if (made.empty()) return std::vector<NewConfig>();
    ASSIGN_OR_RETURN(NewConfig user, WithAdmin(*context, caller, made));
    for (const NewConfig& config : *configs) {
      if (config.path != user.path) continue;
      return absl::InvalidArgumentError(
          "a namespace cannot be made together with the user who becomes its admin");
    }
    std::vector<NewConfig> further;
    further.push_back(std::move(user));
    return further;
  };
}

void ProvisionObjects(const ServiceContext* context, std::vector<ObjectPath> paths,
                      std::string requester,
                      const std::function<void(std::vector<std::string>)>& done) {
  std::vector<ObjectPath> services;
  for (ObjectPath& path : paths) {
    if (path.is_service()) services.push_back(std::move(path));
  }
  auto provisioning =
      std::make_shared<Provisioning>(context, std::move(services), std::move(requester), done);
  const bool posted = context->loop->Post([provisioning] { provisioning->Start(); });
  if (!posted) done({"nothing was ordered: the daemon is stopping"});
}

}  // namespace om
