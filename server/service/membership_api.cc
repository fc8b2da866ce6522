#include "server/service/membership_api.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "server/config/evaluate.h"

namespace om {
namespace {

namespace pb = control::v1;

constexpr size_t kMaxNameBytes = 63;

// What of node.conf all members have, as the old agents chose. Never the secret.
constexpr std::array<absl::string_view, 6> kSharedKeywords = {"nodes", "name",   "drpnodes",
                                                              "id",    "quorum", "dns"};
constexpr std::array<absl::string_view, 5> kSharedSections = {"hb#", "stonith#", "pool#",
                                                              "network#", "arbitrator#"};

// A name is written into configuration files and compared with those that are there: it must be
// what a host can be called, before anything is done with it.
absl::Status CheckName(const std::string& name) {
  const bool fits = !name.empty() && name.size() <= kMaxNameBytes && name.front() != '-' &&
                    name.back() != '-' && std::all_of(name.begin(), name.end(), [](char c) {
                      return absl::ascii_islower(static_cast<unsigned char>(c)) ||
                             absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '-';
                    });
  if (fits) return absl::OkStatus();
  return WithField(absl::InvalidArgumentError(absl::StrCat(
                       "node is \"", absl::Utf8SafeCHexEscape(name.substr(0, kMaxNameBytes)),
                       "\"; expected a host name without domain: 1 to ", kMaxNameBytes,
                       " of [a-z0-9-], neither first nor last a hyphen")),
                   "node");
}

void AddSection(const Document& document, const std::string& name, pb::FileSection* out) {
  out->set_name(name);
  for (const Document::Value& entry : document.Entries(name)) {
    (*out->mutable_keywords())[entry.key] = entry.text;
  }
}

// A name for the audit log, whatever was sent.
std::string Shown(const std::string& name) {
  return absl::Utf8SafeCHexEscape(name.substr(0, kMaxNameBytes));
}

}  // namespace

void MembershipApi::Enqueue(Task task) {
  std::function<void(absl::Status)> refuse;
  {
    MutexLock lock(&mutex_);
    if (tasks_.size() >= options_.max_waiting) {
      refuse = std::move(task.refuse);
    } else {
      tasks_.push_back(std::move(task));
      if (running_) return;
      running_ = true;
    }
  }
  if (refuse == nullptr) {
    if (context_->workers->Post([this] { RunAll(); })) return;
    // Nobody works: what has been queued meanwhile is refused with it.
    std::deque<Task> refused;
    {
      MutexLock lock(&mutex_);
      refused.swap(tasks_);
      running_ = false;
    }
    for (const Task& each : refused) {
      each.refuse(absl::ResourceExhaustedError("too many requests wait for a disk"));
    }
    return;
  }
  refuse(absl::ResourceExhaustedError(
      absl::StrCat("more than ", options_.max_waiting, " nodes wait to join or leave")));
}

void MembershipApi::RunAll() {
  while (true) {
    Task task;
    {
      MutexLock lock(&mutex_);
      if (tasks_.empty()) {
        running_ = false;
        return;
      }
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    // Whoever has waited too long already still has one try.
    task.work(std::max(Duration::zero(), task.deadline - context_->clock->Monotonic()));
  }
}

void MembershipApi::Join(const Caller& caller, const pb::JoinRequest& request,
                         Reply<pb::JoinResponse> reply) {
  constexpr char operation[] = "om.control.v1.MembershipService/Join";
  if (!BeginChange(*context_, caller, operation, {Shown(request.node()), "", {}}, &reply)) return;
  absl::Status name_ok = CheckName(request.node());
  // A joiner speaks for itself, not for others.
  if (name_ok.ok() && caller.kind == Caller::Kind::kJoiner && caller.name != request.node()) {
    name_ok = MakeError("ROLE_MISSING", "a joining node may join itself only");
  }
  if (!name_ok.ok()) return reply(std::move(name_ok));
  Enqueue(
      {context_->clock->Monotonic() + options_.patience,
       [this, node = request.node(), reply](Duration patience) { reply(DoJoin(node, patience)); },
       [reply](absl::Status refused) { reply(std::move(refused)); }});
}

void MembershipApi::Leave(const Caller& caller, const pb::LeaveRequest& request,
                          Reply<pb::LeaveResponse> reply) {
  constexpr char operation[] = "om.control.v1.MembershipService/Leave";
  if (!BeginChange(*context_, caller, operation, {Shown(request.node()), "", {}}, &reply)) return;
  absl::Status name_ok = CheckName(request.node());
  if (name_ok.ok() && request.node() == context_->settings->get()->nodename) {
    name_ok = WithField(
        absl::InvalidArgumentError(absl::StrCat("node is ", request.node(),
                                                ", the node that is asked; expected another: a "
                                                "node leaves by asking the others")),
        "node");
  }
  if (!name_ok.ok()) return reply(std::move(name_ok));
  Enqueue(
      {context_->clock->Monotonic() + options_.patience,
       [this, node = request.node(), reply](Duration patience) { reply(DoLeave(node, patience)); },
       [reply](absl::Status refused) { reply(std::move(refused)); }});
}

absl::StatusOr<pb::JoinResponse> MembershipApi::DoJoin(const std::string& node, Duration patience) {
  ASSIGN_OR_RETURN(const MembersEdit edit,
                   context_->config_store->SetMember(node, /*member=*/true, patience));
  if (!edit.was_member) LOG(INFO) << "node " << node << " joined";
  if (options_.changed) options_.changed(node, true);
  pb::JoinResponse response;
  response.set_already_member(edit.was_member);
  const Document& own = edit.documents.node;
  const std::shared_ptr<const NodeSettings> settings = context_->settings->get();
  if (own.Find("node", "env") != nullptr) response.set_node_env(settings->env);
  for (const absl::string_view keyword : kSharedKeywords) {
    const Document::Value* value = own.Find("cluster", keyword);
    if (value != nullptr) {
      (*response.mutable_node_cluster_keywords())[std::string(keyword)] = value->text;
    }
  }
  for (const std::string& section : own.Sections()) {
    const bool shared =
        std::any_of(kSharedSections.begin(), kSharedSections.end(),
                    [&](absl::string_view prefix) { return absl::StartsWith(section, prefix); });
    if (shared) AddSection(own, section, response.add_node_sections());
  }
  if (edit.cluster_mtime.has_value()) {
    for (const std::string& section : edit.documents.cluster.Sections()) {
      AddSection(edit.documents.cluster, section, response.add_cluster_sections());
    }
    *response.mutable_cluster_update_time() = ToProto(*edit.cluster_mtime);
  }
  return response;
}

absl::StatusOr<pb::LeaveResponse> MembershipApi::DoLeave(const std::string& node,
                                                         Duration patience) {
  ASSIGN_OR_RETURN(const MembersEdit edit,
                   context_->config_store->SetMember(node, /*member=*/false, patience));
  if (edit.was_member) LOG(INFO) << "node " << node << " left";
  if (options_.changed) options_.changed(node, false);
  pb::LeaveResponse response;
  response.set_was_member(edit.was_member);
  return response;
}

}  // namespace om
