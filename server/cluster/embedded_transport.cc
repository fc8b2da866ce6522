#include "server/cluster/embedded_transport.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace om {

EmbeddedTransport::EmbeddedTransport(std::string local_node, SecureRandom* random)
    : local_node_(std::move(local_node)), random_(random) {}

TransportCapabilities EmbeddedTransport::capabilities() const {
  TransportCapabilities all;
  all.publish = all.peer_views = all.liveness = all.durable_orders = true;
  all.ownership = all.locks = all.config_exchange = true;
  return all;
}

absl::Status EmbeddedTransport::Start(TransportObserver* observer) {
  Lease lease;  // For ever; of an earlier run nothing is remembered.
  lease.held = std::make_shared<std::map<ObjectPath, uint64_t>>();
  if (observer != nullptr) observer->OnLease(lease);
  return absl::OkStatus();
}

void EmbeddedTransport::Stop() {}

void EmbeddedTransport::Publish(std::shared_ptr<const NodeDataset> /*dataset*/) {}

std::vector<std::shared_ptr<const NodeDataset>> EmbeddedTransport::PeerViews() const { return {}; }

bool EmbeddedTransport::Liveness(const std::string& node) const { return node == local_node_; }

void EmbeddedTransport::SubmitOrder(const ClusterOrder& /*order*/, Done<absl::Status> done) {
  done(absl::OkStatus());  // The submitter's journal has it, and there is nobody else.
}

void EmbeddedTransport::AcquireOwnership(const ObjectPath& path,
                                         Done<absl::StatusOr<Ownership>> done) {
  Ownership ownership;
  ownership.held = true;
  ownership.owner = local_node_;
  {
    MutexLock lock(&mutex_);
    uint64_t& token = owned_[path];
    if (token == 0) token = next_token_++;
    ownership.token = token;
  }
  done(ownership);
}

void EmbeddedTransport::ReleaseOwnership(const ObjectPath& path, uint64_t token,
                                         Done<absl::Status> done) {
  absl::Status status;
  {
    MutexLock lock(&mutex_);
    const auto it = owned_.find(path);
    if (it == owned_.end() || it->second != token) {
      status = absl::NotFoundError(
          absl::StrCat("token ", token, " is not the current one of ", path.ToString()));
    } else {
      owned_.erase(it);
    }
  }
  done(status);
}

void EmbeddedTransport::Lock(const std::string& name, Duration /*timeout*/,
                             Done<absl::StatusOr<std::string>> done) {
  absl::StatusOr<std::string> id = random_->Uuid();
  {
    MutexLock lock(&mutex_);
    if (!locks_.emplace(name, *id).second) {
      id = absl::UnavailableError(absl::StrCat("lock \"", name, "\" is taken"));
    }
  }
  done(id);
}

void EmbeddedTransport::Unlock(const std::string& name, const std::string& id,
                               Done<absl::Status> done) {
  absl::Status status;
  {
    MutexLock lock(&mutex_);
    const auto it = locks_.find(name);
    if (it == locks_.end() || it->second != id) {
      status = absl::NotFoundError(absl::StrCat("lock \"", name, "\" is not held with id ", id));
    } else {
      locks_.erase(it);
    }
  }
  done(status);
}

void EmbeddedTransport::OfferConfig(const ObjectPath& /*path*/, ConfigFile /*file*/,
                                    Done<absl::Status> done) {
  done(absl::OkStatus());
}

void EmbeddedTransport::FetchConfig(const std::string& node, const ObjectPath& path,
                                    Done<absl::StatusOr<ConfigFile>> done) {
  done(absl::NotFoundError(absl::StrCat("no node ", node, " to fetch ", path.ToString(),
                                        " from: this cluster has one")));
}

}  // namespace om
