#include "server/admission/node_names.h"

#include <netdb.h>
#include <netinet/in.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace om {

absl::StatusOr<std::vector<PeerAddress>> ResolveHost(const std::string& name) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(name.c_str(), nullptr, &hints, &list);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("resolving node \"", name, "\": ", gai_strerror(error)));
  }
  std::vector<PeerAddress> addresses;
  for (const addrinfo* item = list; item != nullptr; item = item->ai_next) {
    absl::StatusOr<PeerAddress> address =
        PeerAddress::FromSockaddr(item->ai_addr, item->ai_addrlen);
    if (address.ok()) addresses.push_back(*address);
  }
  freeaddrinfo(list);
  return addresses;
}

// Shared with the work on the executor, which may end after the NodeNames.
struct NodeNames::State {
  State(Resolver resolver_arg, const Clock* clock_arg, std::chrono::seconds interval)
      : resolver(std::move(resolver_arg)), clock(clock_arg), refresh_interval(interval) {}

  const Resolver resolver;
  const Clock* const clock;  // Not owned.
  const std::chrono::seconds refresh_interval;

  Mutex mutex;
  std::vector<std::string> nodes GUARDED_BY(mutex);
  uint64_t generation GUARDED_BY(mutex) = 0;  // Of `nodes`: a result for older ones is dropped.
  bool resolving GUARDED_BY(mutex) = false;
  MonotonicTime next_refresh GUARDED_BY(mutex) = MonotonicTime::min();
  absl::flat_hash_map<std::string, std::vector<PeerAddress>> addresses GUARDED_BY(mutex);
  absl::flat_hash_map<PeerAddress, std::string> node_of GUARDED_BY(mutex);

  void Rebuild() REQUIRES(mutex) {
    node_of.clear();
    for (const std::string& node : nodes) {
      for (const PeerAddress& address : addresses[node]) node_of.emplace(address, node);
    }
  }
};

NodeNames::NodeNames(Resolver resolver, Executor* executor, const Clock* clock,
                     std::chrono::seconds refresh_interval)
    : executor_(executor),
      state_(std::make_shared<State>(std::move(resolver), clock, refresh_interval)) {}

void NodeNames::SetNodes(std::vector<std::string> nodes) {
  {
    MutexLock lock(&state_->mutex);
    absl::flat_hash_map<std::string, std::vector<PeerAddress>> kept;
    for (const std::string& node : nodes) {
      const auto it = state_->addresses.find(node);
      if (it != state_->addresses.end()) kept.try_emplace(node, it->second);
    }
    state_->addresses = std::move(kept);
    state_->nodes = std::move(nodes);
    ++state_->generation;
    state_->next_refresh = MonotonicTime::min();
    state_->Rebuild();
  }
  RefreshIfDue();
}

std::optional<std::string> NodeNames::NodeOf(const PeerAddress& address) {
  RefreshIfDue();
  MutexLock lock(&state_->mutex);
  const auto it = state_->node_of.find(address);
  if (it == state_->node_of.end()) return std::nullopt;
  return it->second;
}

AdmissionKey NodeNames::KeyOf(const PeerAddress& address) {
  // An IPv4 address is counted whole, whoever has it.
  if (address.is_ipv4()) return AdmissionKey(address, false);
  return AdmissionKey(address, NodeOf(address).has_value());
}

std::string NodeNames::DisplayName(const AdmissionKey& key) {
  if (key.is_network()) return key.ToString();
  std::optional<std::string> node = NodeOf(key.address());
  return node ? *std::move(node) : key.ToString();
}

void NodeNames::RefreshIfDue() {
  const MonotonicTime now = state_->clock->Monotonic();
  {
    MutexLock lock(&state_->mutex);
    if (state_->resolving || state_->nodes.empty() || now < state_->next_refresh) return;
    state_->resolving = true;
  }
  // Without the lock: an executor may run the work before Post() returns.
  if (executor_->Post([state = state_] { Resolve(state); })) return;
  MutexLock lock(&state_->mutex);
  state_->resolving = false;
  state_->next_refresh = now + kRetryInterval;
}

void NodeNames::Resolve(const std::shared_ptr<State>& state) {
  while (true) {
    std::vector<std::string> nodes;
    uint64_t generation = 0;
    {
      MutexLock lock(&state->mutex);
      nodes = state->nodes;
      generation = state->generation;
    }
    absl::flat_hash_map<std::string, std::vector<PeerAddress>> resolved;
    for (const std::string& node : nodes) {
      absl::StatusOr<std::vector<PeerAddress>> addresses = state->resolver(node);
      if (!addresses.ok() || addresses->empty()) continue;
      if (addresses->size() > kMaxAddressesPerNode) addresses->resize(kMaxAddressesPerNode);
      resolved[node] = *std::move(addresses);
    }
    MutexLock lock(&state->mutex);
    if (generation != state->generation) continue;  // Other nodes by now: once more.
    for (auto& [node, addresses] : resolved) state->addresses[node] = std::move(addresses);
    state->Rebuild();
    state->resolving = false;
    state->next_refresh = state->clock->Monotonic() + state->refresh_interval;
    return;
  }
}

}  // namespace om
