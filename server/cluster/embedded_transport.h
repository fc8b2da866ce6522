// The transport of a cluster of one node: nothing to install, nobody to talk to.
#ifndef OM_SERVER_CLUSTER_EMBEDDED_TRANSPORT_H_
#define OM_SERVER_CLUSTER_EMBEDDED_TRANSPORT_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "server/base/mutex.h"
#include "server/base/random.h"
#include "server/core/ports.h"

namespace om {

// Every guarantee holds trivially. Answers come at once, inside the call. THREAD: any.
class EmbeddedTransport final : public TransportPort {
 public:
  // `random` is borrowed.
  EmbeddedTransport(std::string local_node, SecureRandom* random);

  TransportCapabilities capabilities() const override;
  absl::Status Start(TransportObserver* observer) override;
  void Stop() override;
  void Publish(std::shared_ptr<const NodeDataset> dataset) override;
  std::vector<std::shared_ptr<const NodeDataset>> PeerViews() const override;
  bool Liveness(const std::string& node) const override;
  void SubmitOrder(const ClusterOrder& order, Done<absl::Status> done) override;
  void AcquireOwnership(const ObjectPath& path, Done<absl::StatusOr<Ownership>> done) override;
  void ReleaseOwnership(const ObjectPath& path, uint64_t token, Done<absl::Status> done) override;
  void Lock(const std::string& name, Duration timeout,
            Done<absl::StatusOr<std::string>> done) override;
  void Unlock(const std::string& name, const std::string& id, Done<absl::Status> done) override;
  void OfferConfig(const ObjectPath& path, ConfigFile file, Done<absl::Status> done) override;
  void FetchConfig(const std::string& node, const ObjectPath& path,
                   Done<absl::StatusOr<ConfigFile>> done) override;

 private:
  const std::string local_node_;
  SecureRandom* const random_;  // Not owned.
  mutable Mutex mutex_;
  uint64_t next_token_ GUARDED_BY(mutex_) = 1;
  std::map<ObjectPath, uint64_t> owned_ GUARDED_BY(mutex_);
  std::map<std::string, std::string> locks_ GUARDED_BY(mutex_);  // Name to id.
};

}  // namespace om

#endif  // OM_SERVER_CLUSTER_EMBEDDED_TRANSPORT_H_
