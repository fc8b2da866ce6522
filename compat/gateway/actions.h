// Actions of the resource manager, and new objects, asked for by packet.
#ifndef OM_COMPAT_GATEWAY_ACTIONS_H_
#define OM_COMPAT_GATEWAY_ACTIONS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compat/wire/request.h"
#include "server/service/action_api.h"

namespace om {

// service_action, node_action and create, in the forms of 1.9 and 2.x. What runs goes on when its
// connection is dropped. THREAD: any.
class LegacyActions {
 public:
  using Done = std::function<void(Json)>;

  // Both are borrowed.
  LegacyActions(const ServiceContext* context, ActionApi* actions)
      : context_(context), actions_(actions) {}

  void ServiceAction(const LegacyRequest& request, const Caller& caller, const Done& done);
  void NodeAction(const LegacyRequest& request, const Caller& caller, const Done& done);
  // Always answered by node: each object is made on the node that its configuration selects.
  void Create(const LegacyRequest& request, const Caller& caller, const Done& done);

 private:
  void Run(const LegacyRequest& request, const Caller& caller, const std::string& path,
           const std::vector<std::string>& words, const std::string& started, const Done& done);
  // The node that is to have the object.
  std::string NodeFor(const std::string& path, const Json& config) const;

  const ServiceContext* const context_;  // Not owned.
  ActionApi* const actions_;             // Not owned.
};

// The words of a node's `cmd`, whose first one is the program: that must be the node's tool, by one
// of its names. Words that chose the node are left out, and `--local` is added once. NOT_FOUND for
// another program. Pure.
absl::StatusOr<std::vector<std::string>> NodeCommandWords(const std::vector<std::string>& cmd);

// The reply to a command that has ended. `is_service`: what it printed is the reply itself if it is
// JSON. Pure.
Json ActionReply(const control::v1::RunActionResponse& response, bool is_service);

}  // namespace om

#endif  // OM_COMPAT_GATEWAY_ACTIONS_H_
