// Creating objects from configurations that a client sent.
#ifndef OM_SERVER_SERVICE_OBJECT_CREATION_H_
#define OM_SERVER_SERVICE_OBJECT_CREATION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "om/control/v1/action.pb.h"
#include "server/base/random.h"
#include "server/config/store.h"
#include "server/service/config_policy.h"
#include "server/service/context.h"

namespace om {

// The configurations that a request asks for, with ids: those it has with `restore`, else new ones.
// INVALID_ARGUMENT, with the field, for what no configuration can hold. Pure but for the ids.
absl::StatusOr<std::vector<NewConfig>> NewConfigsOf(
    const control::v1::CreateObjectsRequest& request, SecureRandom* random);

// A proposal on an object of this node, without documents. THREAD: any.
ConfigProposal ProposalOn(const ServiceContext& context, const ObjectPath& path);

// For ConfigStore::Create(): whether `caller` may write `configs`, each judged by
// CheckConfigPolicy(). Who makes a namespace becomes its admin: what is returned then is the user's
// own configuration with the grant, to be written in the same step. Looks at disks. `context` and
// `configs` are borrowed.
ConfigStore::CreateJudge JudgeOf(const ServiceContext* context, const Caller& caller,
                                 const std::vector<NewConfig>* configs);

// Orders the services among `paths` `provisioned` once this node knows them all, or gives up after
// a while; then `done` gets a line for each that was not ordered, and why. THREAD: any. `context`
// is borrowed and must outlive the call.
void ProvisionObjects(const ServiceContext* context, std::vector<ObjectPath> paths,
                      std::string requester,
                      const std::function<void(std::vector<std::string>)>& done);

}  // namespace om

#endif  // OM_SERVER_SERVICE_OBJECT_CREATION_H_
