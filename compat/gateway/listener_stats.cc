#include "compat/gateway/listener_stats.h"

namespace om {

template <class Change>
void ListenerStats::Count(const std::string& client, Change change) {
  MutexLock lock(&mutex_);
  change(&total_);
  const auto found = clients_.find(client);
  if (found != clients_.end()) {
    change(&found->second);
  } else if (clients_.size() < kMaxClients) {
    change(&clients_[client]);
  }
}

void ListenerStats::Accepted(const std::string& client) {
  Count(client, [](Counts* counts) { ++counts->accepted; });
}

void ListenerStats::Validated(const std::string& client) {
  Count(client, [](Counts* counts) { ++counts->auth_validated; });
}

void ListenerStats::Received(const std::string& client, size_t bytes) {
  Count(client, [bytes](Counts* counts) { counts->rx += static_cast<int64_t>(bytes); });
}

void ListenerStats::Sent(const std::string& client, size_t bytes) {
  Count(client, [bytes](Counts* counts) { counts->tx += static_cast<int64_t>(bytes); });
}

Json ListenerStats::ToJson(const Counts& counts) {
  return {{"accepted", counts.accepted},
          {"auth_validated", counts.auth_validated},
          {"tx", counts.tx},
          {"rx", counts.rx}};
}

Json ListenerStats::Sessions() const {
  MutexLock lock(&mutex_);
  Json sessions = ToJson(total_);
  sessions["alive"] = Json::object();
  Json clients = Json::object();
  for (const auto& [client, counts] : clients_) clients[client] = ToJson(counts);
  sessions["clients"] = std::move(clients);
  return sessions;
}

}  // namespace om
