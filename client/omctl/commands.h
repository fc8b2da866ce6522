// The command line as a class: the grammar, and one method a command. Its files are one a group of
// commands; omctl.cc has the grammar's frame and the helpers.
#ifndef OM_CLIENT_OMCTL_COMMANDS_H_
#define OM_CLIENT_OMCTL_COMMANDS_H_

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "client/connection.h"
#include "client/omctl/omctl.h"
#include "client/omctl/order_words.h"
#include "client/omctl/outcome.h"
#include "client/omctl/render.h"
#include "client/stream_loop.h"
#include "om/control/v1/action.grpc.pb.h"
#include "om/control/v1/config.grpc.pb.h"
#include "om/control/v1/daemon.grpc.pb.h"
#include "om/control/v1/pki.pb.h"
#include "server/base/clock.h"

namespace om {

// What commands of one service are filed under: no object can have this name.
constexpr char kServiceWord[] = "<svc>";
// What runs an action, under `<svc>` and under `node`.
constexpr char kActionWord[] = "action";
// Deadlines of commands without --timeout.
constexpr std::chrono::seconds kCallLimit{30};
constexpr std::chrono::seconds kOrderLimit{300};
// Added to the exit status of errors where small ones mean states.
constexpr int kStatusErrorOffset = 10;
// The same where they are those of an action.
constexpr int kActionErrorOffset = 120;

// What was said on the command line.
struct Arguments {
  std::string root;
  std::string server;
  std::string output = "table";
  bool json = false;
  std::string timeout;
  std::string connect_timeout;
  std::string selector;
  std::string thread_id;
  bool upgrade = false;
  bool wait = false;
  bool quiet = false;
  bool evaluate = false;
  std::string nodename;
  std::string resume_token;
  bool only_changes = false;
  int count = 0;
  std::string sender;
  std::vector<std::string> names;
  std::vector<std::string> values;
  std::string config_target = "node";
  std::string health_service;
  bool dry_run = false;
  bool local = false;
  std::string to;
  std::string order_id;
  std::string order_path;
  bool running = false;
  std::string node;
  std::string path;  // The first word, where it is an object.
  // Actions.
  std::vector<std::string> action_words;
  bool detach = false;
  bool asynchronous = false;
  bool standard_input = false;
  std::string action_id;
  std::string action_path;
  std::string signal = "TERM";
  bool only_new = false;
  // Logs.
  bool follow = false;
  std::optional<uint64_t> backlog_lines;
  std::optional<uint64_t> backlog_bytes;
  bool whole_file = false;
  std::string cursor;
  std::string since;
  std::string until;
  std::string level;
  std::string text;
  std::string resource_id;
  bool raw = false;
  // Events.
  std::vector<std::string> event_ids;
  std::vector<std::string> selectors;
  std::vector<std::string> nodes;
  std::string condition;
  // New objects.
  std::string file;
  std::string name_space;
  std::vector<std::string> keywords;
  bool replace = false;
  bool restore = false;
  bool provision = false;
  // Who we are.
  SecurityFiles security;
  // Certificates and tokens.
  std::string lifetime;
  std::vector<std::string> addresses;
  std::string certificate_kind;
  std::string certificate_name;
  std::string certificate;  // Serial, or a name.
  std::string reason;
  std::string expiring;
  std::string out_dir = ".";
  bool force = false;
  bool keep_key = false;
  std::string user;
  std::string grants;
  int keep = 1;
};

// One run of the command line, on one thread. Commands return an exit status or the Failure that
// ended them.
class Omctl {
 public:
  explicit Omctl(const OmctlEnvironment& environment) : env_(environment) {}

  int Run(std::vector<std::string> words);

 private:
  using Command = std::function<Outcome()>;

  // The grammar.
  void DefineAll();
  CLI::App* Define(CLI::App* parent, const char* name, const char* purpose, Command command);
  void DefineDaemon();
  void DefineBlacklist();
  void DefineConfig();
  void DefineKeywords(CLI::App* parent, const std::string& whose, const std::string& example);
  void DefineService();
  void DefineHealth();
  void DefineOrder();
  void DefineNode();
  void DefineNodeMonitor(CLI::App* node);
  void DefineOrderWords(CLI::App* service);
  void DefineAction(CLI::App* parent, const std::string& example);
  void DefineActions();
  void DefineLogs(CLI::App* parent, const std::string& example);
  void DefineEvents();
  void DefineWait(CLI::App* parent);
  void DefineCreate(CLI::App* parent);
  void DefineConnection();
  void DefineMembership(CLI::App* cluster);
  void DefinePki();
  void DefineAuth();
  std::vector<std::string> FileServiceCommand(std::vector<std::string> words);
  std::vector<std::string> CutAction(std::vector<std::string> words, size_t group);
  size_t NextWord(const std::vector<std::string>& words, size_t from, const CLI::App* also) const;
  std::string OrderHint() const;
  int UsageError();

  // The commands.
  Outcome DaemonStatusCommand();
  Outcome DaemonStats();
  Outcome DaemonStart();
  Outcome StartDaemonProcess();
  Outcome DaemonStop();
  Outcome DaemonShutdown();
  std::optional<Failure> AwaitEnd(int64_t pid);
  Outcome DaemonThreads();
  Outcome DaemonWatch();
  Outcome BlacklistStatus();
  Outcome BlacklistClear();
  Outcome Health();
  Outcome ConfigGet();
  Outcome KeywordsGet();
  Outcome KeywordsSet();
  Outcome KeywordsUnset();
  Outcome UpdateConfig(control::v1::UpdateConfigRequest request);
  Outcome ServiceOrder(const OrderWord& order);
  Outcome AwaitOrder(const std::string& order_id);
  Outcome OrderList();
  Outcome OrderShow();
  Outcome OrderWatch();
  Outcome NodeMonitorCommand();
  Outcome NodeFreeze(const char* expectation);
  Outcome ServiceStatus();
  Outcome ServiceClear();
  Outcome RunAction();
  Outcome StartAction(const control::v1::ActionCommand& command);
  Outcome ActionList();
  Outcome ActionShow();
  Outcome ActionAttach();
  Outcome ActionKill();
  Outcome ReadLogs();
  Outcome WatchEvents();
  Outcome Wait();
  Outcome Create();
  Outcome PkiInit();
  Outcome PkiAuthority();
  Outcome PkiIssue();
  Outcome PkiList();
  Outcome PkiRevoke();
  Outcome PkiRenew();
  // The certificates that a serial or a name means; at least one.
  std::optional<Failure> FindCertificates(control::v1::ListCertificatesResponse* found);
  std::optional<Failure> ListCertificates(const control::v1::ListCertificatesRequest& request,
                                          control::v1::ListCertificatesResponse* whole);
  Outcome AuthWhoAmI();
  Outcome AuthToken();
  Outcome AuthRevokeTokens();
  Outcome AuthRotateKeys();
  Outcome ClusterJoin();
  Outcome ClusterLeave();

  // Helpers.
  std::optional<Failure> Connect();
  std::optional<Failure> FetchStatus(const std::string& selector,
                                     control::v1::GetStatusResponse* whole);
  // Gives the command that long, unless --timeout says how long.
  void UseLimit(std::chrono::seconds limit);
  StreamLoop::Options RetryOptions();
  // What a stream ended with: `end`, and more of it where a call failed with `status`.
  Failure StreamFailure(const absl::Status& end, const grpc::Status& status) const;
  // Says that a stream is taken up again.
  void TellReconnect(const absl::Status& why, std::chrono::milliseconds delay);
  bool json() const { return args_.json || args_.output == "json"; }
  RenderOptions render() const { return {env_.colour, env_.zone}; }
  std::ostream& out() { return *env_.out; }
  std::string NewRequestId() { return env_.random->Uuid(); }
  control::v1::ConfigTarget Target() const;
  // Prints the answer: the document with --output json, else the text.
  int Print(const google::protobuf::Message& message, const std::string& text);
  template <class Stub, class Request, class Response>
  grpc::Status Read(Stub* stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext context;
    context.set_deadline(ToSystemTime(deadline_));
    return (stub->*method)(&context, request, response);
  }
  template <class Stub, class Request, class Response>
  grpc::Status Change(Stub* stub,
                      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                      Request request, Response* response) {
    request.set_request_id(NewRequestId());
    return CallChanging(connection_.get(), stub, method, request, response, deadline_);
  }
  template <class Service>
  std::unique_ptr<typename Service::Stub> NewStub() {
    return Service::NewStub(connection_->channel());
  }

  const OmctlEnvironment& env_;
  CLI::App app_{"Talks to omd, the daemon that runs this cluster's services."};
  Arguments args_;
  std::string usage_error_;
  Command command_;
  // What `node`, `cluster` and `<svc>` have in common: whose keywords.
  std::string keyword_target_;
  MonotonicTime deadline_ = MonotonicTime::max();
  std::unique_ptr<Connection> connection_;
};

// A command that is nothing without one of its own commands.
CLI::App* Group(CLI::App* parent, const char* name, const char* purpose, const char* footer);

}  // namespace om

#endif  // OM_CLIENT_OMCTL_COMMANDS_H_
