// What the packet listener has seen, as the legacy status shows it.
#ifndef OM_COMPAT_GATEWAY_LISTENER_STATS_H_
#define OM_COMPAT_GATEWAY_LISTENER_STATS_H_

#include <cstdint>
#include <map>
#include <string>

#include "server/base/json.h"
#include "server/base/mutex.h"

namespace om {

// THREAD: any. The first kMaxClients addresses are counted one by one, later ones only in the sums.
class ListenerStats {
 public:
  static constexpr size_t kMaxClients = 1024;

  // `client` is an address, or "local".
  void Accepted(const std::string& client) EXCLUDES(mutex_);
  void Validated(const std::string& client) EXCLUDES(mutex_);
  void Received(const std::string& client, size_t bytes) EXCLUDES(mutex_);
  void Sent(const std::string& client, size_t bytes) EXCLUDES(mutex_);

  // The `sessions` object of the status document.
  Json Sessions() const EXCLUDES(mutex_);

 private:
  struct Counts {
    int64_t accepted = 0;
    int64_t auth_validated = 0;
    int64_t tx = 0;
    int64_t rx = 0;
  };
  template <class Change>
  void Count(const std::string& client, Change change) EXCLUDES(mutex_);
  static Json ToJson(const Counts& counts);

  mutable Mutex mutex_;
  Counts total_ GUARDED_BY(mutex_);
  std::map<std::string, Counts> clients_ GUARDED_BY(mutex_);
};

}  // namespace om

#endif  // OM_COMPAT_GATEWAY_LISTENER_STATS_H_
