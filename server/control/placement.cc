#include "server/control/placement.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/control/conditions.h"

namespace om {
namespace {

bool IsCandidate(const NodeState& node, const InstanceState& instance, const Relaxations& relax) {
  const std::string& status = node.monitor.status;
  if (!relax.node_status &&
      (!node.alive || IsOneOf(status, {status_word::kMaintenance, status_word::kUpgrade,
                                       status_word::kInit, status_word::kShutting}))) {
    return false;
  }
  if (!instance.avail().has_value()) return false;
  return (relax.frozen || (!node.frozen() && !instance.frozen())) &&
         (relax.failed || !IsOneOf(instance.monitor.status,
                                   {status_word::kStartFailed, status_word::kPlaceFailed})) &&
         (relax.unprovisioned || instance.status->provisioned != false) &&
         (relax.constraints || instance.status->constraints) &&
         (relax.overload || !IsOverloaded(node));
}

// Whether the object that `text` names is up on `node`.
bool IsUpOn(const Snapshot& snapshot, const ObjectPath& path, const std::string& text,
            const std::string& node) {
  const Relation other = FindRelation(snapshot, path, text);
  const InstanceState* instance = other.object == nullptr ? nullptr : other.object->instance(node);
  return instance != nullptr && instance->avail() == Availability::kUp;
}

bool Suits(const Snapshot& snapshot, const ObjectPath& path, const std::string& node,
           const std::vector<std::string>& affinity,
           const std::vector<std::string>& anti_affinity) {
  const auto is_up = [&](const std::string& text) { return IsUpOn(snapshot, path, text, node); };
  return std::all_of(affinity.begin(), affinity.end(), is_up) &&
         std::none_of(anti_affinity.begin(), anti_affinity.end(), is_up);
}

// MD5 only spreads here; it protects nothing.
std::string Digest(const std::string& text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  size_t length = 0;
  if (EVP_Q_digest(nullptr, "MD5", nullptr, text.data(), text.size(), digest, &length) != 1) {
    return text;  // A policy that forbids MD5: any fixed order does.
  }
  return std::string(reinterpret_cast<const char*>(digest), length);
}

// The number in front of the first dot: 2 of "2.web"; 0 without one.
size_t SliceIndex(const ObjectPath& path) {
  const size_t dot = path.name().find('.');
  size_t index = 0;
  if (dot == std::string::npos ||
      !absl::SimpleAtoi(absl::string_view(path.name()).substr(0, dot), &index)) {
    return 0;
  }
  return index;
}

}  // namespace

Relaxations Relaxations::ForPlacedAt() {
  return {.frozen = true,
          .failed = true,
          .unprovisioned = true,
          .constraints = true,
          .overload = true,
          .affinity = true};
}
Relaxations Relaxations::ForFirstNode() {
  return {.frozen = true, .unprovisioned = true, .affinity = true};
}
Relaxations Relaxations::ForLastNode() {
  return {.frozen = true, .failed = true, .overload = true, .affinity = true};
}
Relaxations Relaxations::ForOptionCheck() { return {.frozen = true, .failed = true}; }
Relaxations Relaxations::ForScaler() {
  Relaxations all = ForPlacedAt();
  all.node_status = true;
  return all;
}

std::vector<std::string> PeerNodes(const ObjectConfig& config, const std::string& node) {
  if (IsListed(node, config.nodes)) return config.nodes;
  if (IsListed(node, config.drpnodes)) return config.drpnodes;
  return {};
}

std::vector<std::string> Candidates(const Snapshot& snapshot, const ObjectState& object,
                                    const ObjectConfig& config, const std::string& node,
                                    const Relaxations& relax) {
  std::vector<std::string> candidates;
  for (const std::string& peer : PeerNodes(config, node)) {
    const NodeState* state = snapshot.node(peer);
    const InstanceState* instance = object.instance(peer);
    if (state != nullptr && instance != nullptr && IsCandidate(*state, *instance, relax) &&
        (relax.affinity ||
         Suits(snapshot, object.path, peer, config.hard_affinity, config.hard_anti_affinity))) {
      candidates.push_back(peer);
    }
  }
  if (!relax.affinity && !(config.soft_affinity.empty() && config.soft_anti_affinity.empty())) {
    // A wish: it narrows the choice, and is forgotten where it would leave none.
    std::vector<std::string> suited;
    std::copy_if(candidates.begin(), candidates.end(), std::back_inserter(suited),
                 [&](const std::string& peer) {
                   return Suits(snapshot, object.path, peer, config.soft_affinity,
                                config.soft_anti_affinity);
                 });
    if (!suited.empty()) candidates = std::move(suited);
  }
  return Rank(snapshot, object.path, config, std::move(candidates));
}

std::vector<std::string> Rank(const Snapshot& snapshot, const ObjectPath& path,
                              const ObjectConfig& config, std::vector<std::string> nodes) {
  const std::string& policy = config.placement;
  if (nodes.size() < 2) return nodes;  // A sole candidate leads, whatever the policy.
  if (policy == "none") return {};
  if (policy == "shift") {
    std::rotate(nodes.begin(),
                nodes.begin() + static_cast<std::ptrdiff_t>(SliceIndex(path) % nodes.size()),
                nodes.end());
  } else if (policy == "spread") {
    std::map<std::string, std::string> digests;
    for (const std::string& node : nodes)
      digests[node] = Digest(absl::StrCat(path.ToString(), node));
    std::stable_sort(nodes.begin(), nodes.end(), [&](const std::string& a, const std::string& b) {
      return digests[a] < digests[b];
    });
  } else if (policy == "score" || policy == "load avg") {
    const auto weight = [&](const std::string& name) {
      const NodeState* node = snapshot.node(name);
      if (node == nullptr) return 0.0;
      return policy == "score" ? -static_cast<double>(node->stats.score) : node->stats.load_15m;
    };
    std::stable_sort(nodes.begin(), nodes.end(), [&](const std::string& a, const std::string& b) {
      return weight(a) < weight(b);
    });
  }
  return nodes;
}

bool IsLeader(const std::vector<std::string>& candidates, const ObjectConfig& config,
              const std::string& node) {
  const size_t leaders =
      config.topology == "flex" ? static_cast<size_t>(std::max(config.flex_target, 0)) : 1;
  const auto end =
      candidates.begin() + static_cast<std::ptrdiff_t>(std::min(candidates.size(), leaders));
  return std::find(candidates.begin(), end, node) != end;
}

}  // namespace om
