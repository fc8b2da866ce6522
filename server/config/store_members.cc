// Adding nodes to the cluster's list and taking them out of it.
#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/config/evaluate.h"
#include "server/config/file_lock.h"
#include "server/config/settings.h"
#include "server/config/store.h"
#include "server/config/value.h"

namespace om {
namespace {

// Which nodes are members, by both files; the local one only if it is listed.
absl::StatusOr<std::vector<std::string>> MembersIn(const NodeDocuments& documents,
                                                   const EvaluationContext& context) {
  const Evaluator evaluator({&documents.node, &documents.cluster}, &context);
  ASSIGN_OR_RETURN(const std::optional<EvaluatedValue> value,
                   evaluator.Get("cluster", "nodes", /*scopable=*/false));
  if (value.has_value()) return ParseListLower(value->text);
  if (!evaluator.GetRaw("cluster", "nodes", /*scopable=*/false).has_value()) {
    return std::vector<std::string>();
  }
  // To write a list over one that cannot be read would be to lose it.
  return WithField(absl::FailedPreconditionError(
                       "cluster.nodes: expected names of nodes, found a reference to something "
                       "unknown"),
                   "cluster.nodes");
}

}  // namespace

absl::StatusOr<MembersEdit> ConfigStore::SetMember(const std::string& node, bool member,
                                                   Duration patience) const {
  ASSIGN_OR_RETURN(const FileLock lock, FileLock::Acquire(roots_.ConfigLock(), patience));
  NodeDocuments before;
  ASSIGN_OR_RETURN(before.cluster, ReadDocument(roots_.ClusterConf()));
  ASSIGN_OR_RETURN(before.node, ReadDocument(roots_.NodeConf()));
  EvaluationContext context;
  context.nodename = absl::AsciiStrToLower(nodename_);
  context.roots = roots_;
  ASSIGN_OR_RETURN(std::vector<std::string> members, MembersIn(before, context));
  // A daemon whose name is in no list is a member all the same.
  if (!nodename_.empty() &&
      std::find(members.begin(), members.end(), context.nodename) == members.end()) {
    members.push_back(context.nodename);
  }
  const auto found = std::find(members.begin(), members.end(), node);
  MembersEdit edit;
  edit.was_member = found != members.end();
  edit.documents = before;
  if (edit.was_member != member) {
    if (member) {
      if (members.size() >= kMaxMembers) {
        return absl::ResourceExhaustedError(absl::StrCat("cluster.nodes has ", members.size(),
                                                         " nodes; expected at most ", kMaxMembers));
      }
      members.push_back(node);
    } else {
      members.erase(std::remove(members.begin(), members.end(), node), members.end());
    }
    const std::string text = absl::StrJoin(members, " ");
    const bool in_node_conf = before.node.Find("cluster", "nodes") != nullptr;
    const bool write_node_conf = in_node_conf;
    // A list of node.conf stands before the other: who joins goes there; who leaves takes it along,
    // as with the old agents, so that one list is left.
    Document* const target =
        member && in_node_conf ? &edit.documents.node : &edit.documents.cluster;
    RETURN_IF_ERROR(target->Set("cluster", "nodes", text));
    if (!member) edit.documents.node.Unset("cluster", "nodes");
    // Read anew, so that limits and lines are those of the files to be.
    ASSIGN_OR_RETURN(edit.documents.cluster,
                     Document::Parse(edit.documents.cluster.Text(), before.cluster.file_name()));
    ASSIGN_OR_RETURN(edit.documents.node,
                     Document::Parse(edit.documents.node.Text(), before.node.file_name()));
    if (!nodename_.empty()) {
      const absl::Status loads = NodeSettings::Load(edit.documents, nodename_, roots_).status();
      // What did not load before does not stand in the way.
      if (!loads.ok() && NodeSettings::Load(before, nodename_, roots_).ok()) return loads;
    }
    // cluster.conf first: between the two the old list is in force, and asking again completes it.
    if (target == &edit.documents.cluster) {
      RETURN_IF_ERROR(
          WriteFileAtomically(roots_.ClusterConf(), edit.documents.cluster.Text(), WriteOptions()));
    }
    if (write_node_conf) {
      RETURN_IF_ERROR(
          WriteFileAtomically(roots_.NodeConf(), edit.documents.node.Text(), WriteOptions()));
    }
  }
  absl::StatusOr<StoredConfig> cluster = Read(ConfigTarget::Cluster());
  if (cluster.ok()) {
    edit.cluster_mtime = cluster->mtime;
  } else if (!absl::IsNotFound(cluster.status())) {
    return cluster.status();
  }
  return edit;
}

}  // namespace om
