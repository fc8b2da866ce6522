#include "server/config/identity.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/config/document.h"
#include "server/config/evaluate.h"
#include "server/config/file_lock.h"
#include "server/config/settings.h"
#include "server/config/value.h"

namespace om {
namespace {

constexpr Duration kIdentityLockPatience = std::chrono::seconds(10);
constexpr size_t kSecretCharacters = 32;
constexpr absl::string_view kSecretAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

// The value in force; empty if there is none. An error if there is one that cannot be evaluated: to
// put a generated value over it would be to lose it.
absl::StatusOr<std::string> InForce(const Evaluator& evaluator, absl::string_view key,
                                    bool scopable) {
  const std::optional<EvaluatedValue> raw = evaluator.GetRaw("cluster", key, scopable);
  if (!raw.has_value() || raw->text.empty()) return std::string();
  ASSIGN_OR_RETURN(std::optional<EvaluatedValue> value, evaluator.Get("cluster", key, scopable));
  if (!value.has_value()) {
    return WithField(
        absl::FailedPreconditionError(absl::StrCat(
            raw->Where(), ": expected a value, found a reference to something unknown")),
        absl::StrCat("cluster.", key));
  }
  return std::move(value->text);
}

}  // namespace

absl::StatusOr<Identity> EnsureIdentity(const Roots& roots, absl::string_view nodename,
                                        SecureRandom* random) {
  ASSIGN_OR_RETURN(const FileLock lock,
                   FileLock::Acquire(roots.ConfigLock(), kIdentityLockPatience));
  NodeDocuments documents;
  ASSIGN_OR_RETURN(documents.cluster, ReadDocument(roots.ClusterConf()));
  ASSIGN_OR_RETURN(documents.node, ReadDocument(roots.NodeConf()));
  EvaluationContext context;
  context.nodename = absl::AsciiStrToLower(nodename);
  context.roots = roots;
  const Evaluator evaluator({&documents.node, &documents.cluster}, &context);
  ASSIGN_OR_RETURN(
      std::vector<std::string> nodes, [&]() -> absl::StatusOr<std::vector<std::string>> {
        ASSIGN_OR_RETURN(const std::string text, InForce(evaluator, "nodes", /*scopable=*/false));
        return ParseListLower(text);
      }());
  context.cluster.nodes = nodes;
  ASSIGN_OR_RETURN(const std::string name, InForce(evaluator, "name", /*scopable=*/true));
  ASSIGN_OR_RETURN(const std::string id, InForce(evaluator, "id", /*scopable=*/true));
  ASSIGN_OR_RETURN(const std::string secret, InForce(evaluator, "secret", /*scopable=*/true));

  Identity identity;
  Document* const cluster = &documents.cluster;
  bool node_changed = false;
  bool cluster_changed = false;
  // An empty value that counts stands before the new one wherever it is: it goes.
  const auto write = [&](absl::string_view key, absl::string_view value) {
    documents.cluster.Unset("cluster", absl::StrCat(key, "@", context.nodename));
    node_changed = documents.node.Unset("cluster", key) || node_changed;
    node_changed =
        documents.node.Unset("cluster", absl::StrCat(key, "@", context.nodename)) || node_changed;
    cluster_changed = true;
    identity.generated.push_back(absl::StrCat("cluster.", key));
    return cluster->Set("cluster", key, value);
  };
  if (name.empty()) RETURN_IF_ERROR(write("name", "default"));
  if (id.empty()) RETURN_IF_ERROR(write("id", random->Uuid()));
  if (secret.empty()) {
    RETURN_IF_ERROR(write("secret", random->Text(kSecretCharacters, kSecretAlphabet)));
  }
  if (std::find(nodes.begin(), nodes.end(), context.nodename) == nodes.end()) {
    nodes.push_back(context.nodename);
    const bool in_node_conf = documents.node.Find("cluster", "nodes") != nullptr;
    Document& document = in_node_conf ? documents.node : documents.cluster;
    RETURN_IF_ERROR(document.Set("cluster", "nodes", absl::StrJoin(nodes, " ")));
    (in_node_conf ? node_changed : cluster_changed) = true;
    identity.generated.emplace_back("cluster.nodes");
  }
  if (cluster_changed) {
    RETURN_IF_ERROR(
        WriteFileAtomically(roots.ClusterConf(), documents.cluster.Text(), WriteOptions()));
  }
  if (node_changed) {
    RETURN_IF_ERROR(WriteFileAtomically(roots.NodeConf(), documents.node.Text(), WriteOptions()));
  }
  return identity;
}

}  // namespace om
