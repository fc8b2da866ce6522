// A cluster in memory: transports of several nodes whose messages can be late, lost, doubled and
// cut off, and a lease store that they reach over links of the same kind.
#ifndef OM_TESTS_SUPPORT_MEMORY_CLUSTER_H_
#define OM_TESTS_SUPPORT_MEMORY_CLUSTER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/base/loop.h"
#include "server/base/random.h"
#include "server/core/ports.h"
#include "tests/support/fake_clock.h"

namespace om {

// Confined to `loop`. Nodes send each other their newest data when it changes and each
// `heartbeat_interval`; a node that is not heard for `heartbeat_timeout` is silent. Records of
// ownership live in a store of their own, which answers requests in the order they arrive.
class MemoryCluster {
 public:
  struct Options {
    bool ownership = true;
    Duration heartbeat_interval = std::chrono::seconds(1);
    Duration heartbeat_timeout = std::chrono::seconds(4);
    Duration lease = std::chrono::seconds(9);
    Duration renew_interval = std::chrono::seconds(2);
    // From the end of `may_act_until` to the death of the last process.
    Duration guard_bound = std::chrono::seconds(2);
    Duration request_timeout = std::chrono::seconds(2);
  };
  // What happens to messages. `random` must be set if there is chance in it.
  struct Faults {
    Duration min_delay = std::chrono::milliseconds(1);
    Duration max_delay = std::chrono::milliseconds(1);
    int lost_percent = 0;
    int doubled_percent = 0;
  };
  static constexpr char kStore[] = "store";

  // All borrowed.
  MemoryCluster(Loop* loop, const FakeClock* clock) : MemoryCluster(loop, clock, Options()) {}
  MemoryCluster(Loop* loop, const FakeClock* clock, Options options, Random* random = nullptr);
  ~MemoryCluster();

  // The transport of that node; made once, owned by the cluster.
  TransportPort* Node(const std::string& name);
  // The daemon of that node is gone without a word; Start() begins its next run.
  void Kill(const std::string& name);
  // The host is gone: the guard, too.
  void PowerOff(const std::string& name);

  // Cuts that node off from all others and the store.
  void Cut(const std::string& name);
  void Join(const std::string& name);
  // One direction of one link; the store is a node here.
  void CutLink(const std::string& from, const std::string& to) { cut_links_.insert({from, to}); }
  void JoinAll() {
    cut_.clear();
    cut_links_.clear();
  }
  Faults faults;

  // The guard of that node stops these now: the node did not hear from the store in time.
  std::function<void(const std::string& node, const std::vector<ObjectPath>& paths)> on_guard;
  // Told of each dataset that a node makes known.
  std::function<void(const std::string& node, const NodeDataset& dataset)> on_publish;

  // Since when `to` has always had the newest data of `from`, but for what is younger than `lag`.
  // Never: the far future.
  MonotonicTime FreshSince(const std::string& from, const std::string& to, Duration lag) const;
  // The name of the owner; empty: nobody.
  std::string OwnerOf(const ObjectPath& path) const;

 private:
  class Transport;
  friend class Transport;
  struct Record {
    std::string owner;
    uint64_t token = 0;
  };
  // One direction of one link, for data.
  struct Flow {
    std::deque<std::pair<uint64_t, MonotonicTime>> pending;  // Sequence and time of publication.
    uint64_t delivered = 0;
    MonotonicTime fresh_since = MonotonicTime::max();
    MonotonicTime heard = MonotonicTime::min();
    bool alive = false;
  };
  bool Linked(const std::string& from, const std::string& to) const;
  // Runs `work` later, once, twice or not at all.
  void Send(const std::string& from, const std::string& to, std::function<void()> work);
  void Publish(const std::string& from, std::shared_ptr<const NodeDataset> dataset);
  void SendData(const std::string& from, const std::string& to);
  bool LeaseExpired(const std::string& owner) const;
  // Only once the guard of the owner has done its work.
  bool MayTakeOver(const std::string& owner) const;

  Loop* const loop_;              // Not owned.
  const FakeClock* const clock_;  // Not owned.
  const Options options_;
  Random* const random_;  // Not owned.
  std::map<std::string, std::unique_ptr<Transport>> nodes_;
  std::set<std::string> cut_;
  std::set<std::pair<std::string, std::string>> cut_links_;
  struct Published {
    uint64_t sequence = 0;
    std::shared_ptr<const NodeDataset> dataset;
  };
  std::map<std::string, Published> published_;
  std::map<std::pair<std::string, std::string>, Flow> flows_;  // By {from, to}.
  // The store.
  std::map<ObjectPath, Record> records_;
  std::map<std::string, MonotonicTime> lease_ends_;
  uint64_t revision_ = 1;
  uint64_t next_token_ = 1;
  std::map<std::string, std::string> locks_;  // Name to id.
  std::map<std::pair<std::string, ObjectPath>, ConfigFile> configs_;
};

}  // namespace om

#endif  // OM_TESTS_SUPPORT_MEMORY_CLUSTER_H_
