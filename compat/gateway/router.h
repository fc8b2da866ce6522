// From legacy requests to the service layer and back.
#ifndef OM_COMPAT_GATEWAY_ROUTER_H_
#define OM_COMPAT_GATEWAY_ROUTER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "compat/gateway/actions.h"
#include "compat/gateway/event_hub.h"
#include "compat/gateway/legacy_stream.h"
#include "compat/gateway/logs.h"
#include "compat/gateway/membership.h"
#include "compat/gateway/status_document.h"
#include "compat/wire/request.h"
#include "server/service/blacklist_api.h"
#include "server/service/config_api.h"
#include "server/service/daemon_api.h"
#include "server/service/monitor_api.h"
#include "server/service/node_api.h"

namespace om {

// What goes back to the sender.
struct LegacyReply {
  // The reply, unless `rendered` is set.
  Json value;
  // A shared document, already written and compressed.
  std::shared_ptr<const RenderedDocument> rendered;
  // Set: the connection stays open and sends what the stream tells; the others are not looked at.
  // Shared only so that replies can be copied; one connection takes it.
  std::shared_ptr<std::unique_ptr<LegacyStream>> stream;
};

// Knows every action of 1.9 and 2.x that is carried out, with or without `method`. THREAD: any.
class Router {
 public:
  using Done = std::function<void(LegacyReply)>;
  using JsonDone = std::function<void(Json)>;

  // All borrowed.
  struct Services {
    const ServiceContext* context = nullptr;
    DaemonApi* daemon = nullptr;
    BlacklistApi* blacklist = nullptr;
    ConfigApi* config = nullptr;
    MonitorApi* monitor = nullptr;
    NodeApi* node = nullptr;
    StatusDocumentCache* documents = nullptr;
    const ListenerStats* stats = nullptr;
    std::function<DocumentFacts()> facts;
    EventHub* events = nullptr;
    LegacyActions* actions = nullptr;
    LegacyLogs* logs = nullptr;
    MembershipApi* membership = nullptr;
  };
  explicit Router(Services services);

  // `done` is called once, from any thread.
  void Handle(const LegacyRequest& request, const Caller& caller, const Done& done);

  // Names of all actions, sorted.
  static std::vector<std::string> Actions();

 private:
  using Handler = void (Router::*)(const LegacyRequest&, const Caller&, const JsonDone&);
  struct Action {
    const char* name;
    Handler handler;
  };
  static const std::vector<Action>& Table();
  static const Action* Find(const std::string& name);

  void DaemonStatus(const LegacyRequest& request, const Caller& caller, const Done& done);
  void Events(const LegacyRequest& request, const Caller& caller, const Done& done);
  // Answers with the stream, if its caller may have one more.
  void OpenStream(const Caller& caller, std::unique_ptr<LegacyStream> stream, const Done& done);
  // Runs the action on the nodes that `request.node` selects.
  void Multiplex(const LegacyRequest& request, const Caller& caller, const Action& action,
                 const JsonDone& done);

  void BlacklistStatus(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void BlacklistClear(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void DaemonStats(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void DaemonStart(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void DaemonShutdown(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void DaemonStop(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void NodeConfig(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void ServiceConfig(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void NodesInfo(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void SetNodeMonitor(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void SetServiceMonitor(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void GetServiceMonitor(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void Clear(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void WakeMonitor(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void ServiceAction(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void NodeAction(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void Create(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void ServiceBacklogs(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void NodeBacklogs(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void Join(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  void Leave(const LegacyRequest& request, const Caller& caller, const JsonDone& done);
  // For those that are handled apart; in the table so that they are known.
  void HandledApart(const LegacyRequest& request, const Caller& caller, const JsonDone& done);

  void ReadConfig(const LegacyRequest& request, const Caller& caller,
                  control::v1::GetConfigRequest read, Json metadata, const JsonDone& done);

  const Services services_;
};

// {"error": "<message>", "status": <number of the error's row>}
Json LegacyError(const absl::Status& status);

}  // namespace om

#endif  // OM_COMPAT_GATEWAY_ROUTER_H_
