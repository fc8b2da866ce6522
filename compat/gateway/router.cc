#include "compat/gateway/router.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compat/gateway/options.h"
#include "compat/wire/crypto.h"
#include "compat/wire/reply.h"
#include "glog/logging.h"
#include "server/config/value.h"
#include "server/service/caller_limits.h"
#include "server/service/visibility.h"

namespace om {
namespace {

namespace pb = control::v1;

// From this compatibility level on, restart counters tell their time, too.
constexpr int kCompatWithRetries = 10;

// A reply that is not an error; more members may follow.
Json Ok() { return {{"status", 0}}; }

Json ErrorList(absl::string_view error) {
  return {{"error", Json::array({std::string(error)})}, {"status", 1}};
}

double Seconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + duration.nanos() / 1e9;
}

double Seconds(const google::protobuf::Timestamp& time) {
  return static_cast<double>(time.seconds()) + time.nanos() / 1e9;
}

// An evaluated value in the type its keyword has.
Json TypedValue(const pb::ConfigKeyword& keyword) {
  switch (keyword.type()) {
    case pb::KEYWORD_TYPE_BOOLEAN: {
      absl::StatusOr<bool> value = ParseBoolean(keyword.value());
      if (value.ok()) return *value;
      break;
    }
    case pb::KEYWORD_TYPE_INTEGER: {
      absl::StatusOr<int64_t> value = ParseInteger(keyword.value());
      if (value.ok()) return *value;
      break;
    }
    case pb::KEYWORD_TYPE_DURATION: {
      absl::StatusOr<Duration> value = ParseDuration(keyword.value());
      if (value.ok()) return std::chrono::duration_cast<std::chrono::seconds>(*value).count();
      break;
    }
    case pb::KEYWORD_TYPE_SIZE: {
      absl::StatusOr<Size> value = ParseSize(keyword.value());
      if (value.ok() && !value->is_share()) return value->bytes;
      break;
    }
    case pb::KEYWORD_TYPE_LIST:
      return ParseList(keyword.value());
    default:
      break;
  }
  return keyword.value();
}

// The attributes of a monitor, as a reader of the status document knows them; those that are unset
// are there, too.
Json MonitorToJson(const pb::InstanceMonitor& monitor, int compat_level) {
  Json out = {{"status", monitor.status()},
              {"status_updated", Seconds(monitor.status_update_time())},
              {"global_expect", nullptr},
              {"local_expect", nullptr},
              {"global_expect_updated", Seconds(monitor.global_expect_update_time())},
              {"placement", monitor.leader() ? "leader" : ""}};
  if (!monitor.global_expect().empty()) out["global_expect"] = monitor.global_expect();
  if (!monitor.local_expect().empty()) out["local_expect"] = monitor.local_expect();
  if (monitor.has_local_expect_update_time()) {
    out["local_expect_updated"] = Seconds(monitor.local_expect_update_time());
  }
  if (!monitor.stonith().empty()) out["stonith"] = monitor.stonith();
  Json restart = Json::object();
  for (const auto& [rid, count] : monitor.restart_counts()) {
    if (compat_level >= kCompatWithRetries) {
      restart[rid] = {{"retries", count}, {"updated", Seconds(monitor.status_update_time())}};
    } else {
      restart[rid] = count;
    }
  }
  if (!restart.empty()) out["restart"] = std::move(restart);
  return out;
}

// What a node's result adds to the status over all nodes. Some results have none, and one kind of
// error has its number as a text.
int64_t StatusOf(const Json& result) {
  const auto status = result.find("status");
  if (status == result.end()) return 0;
  if (status->is_number_integer()) return status->get<int64_t>();
  int64_t number = 1;
  if (status->is_string() && !absl::SimpleAtoi(status->get<std::string>(), &number)) number = 1;
  return number;
}

// A stream with its place among those of its caller, which is given back at its end.
class HoldingLegacyStream final : public LegacyStream {
 public:
  HoldingLegacyStream(std::unique_ptr<LegacyStream> stream, CallLimiter::Slot slot)
      : slot_(std::move(slot)), stream_(std::move(stream)) {}

  void Start(std::function<void()> wake) override { stream_->Start(std::move(wake)); }
  absl::StatusOr<StreamMessagePtr> Next() override { return stream_->Next(); }
  bool over() const override { return stream_->over(); }
  bool lost() const override { return stream_->lost(); }
  bool keeps_alive() const override { return stream_->keeps_alive(); }

 private:
  const CallLimiter::Slot slot_;
  const std::unique_ptr<LegacyStream> stream_;
};

absl::StatusOr<std::string> RequiredPath(const LegacyRequest& request) {
  ASSIGN_OR_RETURN(std::string path, ObjectPathOption(request.options));
  if (path.empty()) return absl::InvalidArgumentError("no svcpath specified");
  return path;
}

}  // namespace

Json LegacyError(const absl::Status& status) {
  return ErrorReply(std::string(status.message()), RuleOf(status).legacy_status);
}

Router::Router(Services services) : services_(std::move(services)) {}

const std::vector<Router::Action>& Router::Table() {
  static const auto* const table = new std::vector<Action>{
      {"blacklist_clear", &Router::BlacklistClear},
      {"blacklist_status", &Router::BlacklistStatus},
      {"clear", &Router::Clear},
      {"create", &Router::Create},
      {"daemon_blacklist_clear", &Router::BlacklistClear},
      {"daemon_blacklist_status", &Router::BlacklistStatus},
      {"daemon_shutdown", &Router::DaemonShutdown},
      {"daemon_start", &Router::DaemonStart},
      {"daemon_stats", &Router::DaemonStats},
      {"daemon_status", &Router::HandledApart},
      {"daemon_stop", &Router::DaemonStop},
      {"events", &Router::HandledApart},
      {"get_node_config", &Router::NodeConfig},
      {"get_service_config", &Router::ServiceConfig},
      {"get_service_monitor", &Router::GetServiceMonitor},
      {"join", &Router::Join},
      {"leave", &Router::Leave},
      {"node_action", &Router::NodeAction},
      {"node_backlogs", &Router::NodeBacklogs},
      {"node_config", &Router::NodeConfig},
      {"node_logs", &Router::HandledApart},
      {"node_monitor", &Router::SetNodeMonitor},
      {"nodes_info", &Router::NodesInfo},
      {"object_action", &Router::ServiceAction},
      {"object_backlogs", &Router::ServiceBacklogs},
      {"object_clear", &Router::Clear},
      {"object_config", &Router::ServiceConfig},
      {"object_create", &Router::Create},
      {"object_logs", &Router::HandledApart},
      {"object_monitor", &Router::SetServiceMonitor},
      {"service_action", &Router::ServiceAction},
      {"service_backlogs", &Router::ServiceBacklogs},
      {"service_logs", &Router::HandledApart},
      {"set_node_monitor", &Router::SetNodeMonitor},
      {"set_service_monitor", &Router::SetServiceMonitor},
      {"wake_monitor", &Router::WakeMonitor},
  };
  return *table;
}

const Router::Action* Router::Find(const std::string& name) {
  const std::vector<Action>& table = Table();
  const auto found = std::find_if(table.begin(), table.end(),
                                  [&name](const Action& action) { return action.name == name; });
  return found == table.end() ? nullptr : &*found;
}

std::vector<std::string> Router::Actions() {
  std::vector<std::string> names;
  for (const Action& action : Table()) names.emplace_back(action.name);
  return names;
}

void Router::Handle(const LegacyRequest& request, const Caller& caller, const Done& done) {
  const Action* action = Find(request.action);
  if (action == nullptr) {
    services_.context->counters->Get("packet.unsupported")->Add();
    return done({ErrorReply("action not supported"), nullptr, nullptr});
  }
  absl::Status taken = TakeCall(services_.context->limiter, caller);
  if (!taken.ok()) return done({LegacyError(taken), nullptr, nullptr});
  // Checked by the action's own row, too: joiners may ask for less than the RPC behind it allows.
  absl::Status allowed = Authorize(caller, request.action);
  if (!allowed.ok()) {
    services_.context->counters->Get("service.denied")->Add();
    LogDenied(request.action, caller);
    AuditRefusal(*services_.context, caller, request.action, allowed);
    return done({LegacyError(allowed), nullptr, nullptr});
  }
  // The status is never spread over nodes: every node has all of it.
  if (request.action == "daemon_status") return DaemonStatus(request, caller, done);
  // Streams have no form in which several nodes could answer; this node does.
  if (request.action == "events") return Events(request, caller, done);
  if (request.action == "service_logs" || request.action == "object_logs" ||
      request.action == "node_logs") {
    LegacyLogs::Answer answer =
        services_.logs->Stream(request, caller, /*of_object=*/request.action != "node_logs");
    if (answer.stream == nullptr) return done({std::move(answer.refusal), nullptr, nullptr});
    return OpenStream(caller, std::move(answer.stream), done);
  }
  // Who joins or leaves asks each node itself: a reply of several nodes would be none to it.
  const bool by_itself = request.action == "join" || request.action == "leave";
  const JsonDone json_done = [done](Json value) { done({std::move(value), nullptr, nullptr}); };
  if (request.node.is_null() || request.multiplexed || by_itself) {
    return (this->*action->handler)(request, caller, json_done);
  }
  Multiplex(request, caller, *action, json_done);
}

void Router::Multiplex(const LegacyRequest& request, const Caller& caller, const Action& action,
                       const JsonDone& done) {
  const SnapshotPtr snapshot = services_.context->core->snapshot();
  std::vector<std::string> nodes;
  if (request.node.is_array()) {
    for (const Json& name : request.node) {
      if (!name.is_string()) {
        return done(ErrorReply(
            absl::StrCat("node holds a value of type ", name.type_name(), "; expected names")));
      }
      nodes.push_back(name.get<std::string>());
    }
  } else if (request.node.is_string() && request.node.get<std::string>() == "ANY") {
    nodes.push_back(snapshot->local_node);
    absl::StatusOr<std::string> path = ObjectPathOption(request.options);
    if (!path.ok()) return done(LegacyError(path.status()));
    absl::StatusOr<ObjectPath> parsed = ObjectPath::Parse(*path);
    const std::shared_ptr<const ObjectState> object =
        parsed.ok() ? snapshot->objects.Find(*parsed) : nullptr;
    if (!path->empty() && object == nullptr) return done(ErrorReply("unknown service"));
    if (object != nullptr && object->config(snapshot->local_node) == nullptr &&
        !object->configs.empty()) {
      nodes = {object->configs.begin()->first};
    }
  } else if (request.node.is_string()) {
    SelectorNodes known;
    known.nodes = snapshot->cluster->nodes;
    known.local = snapshot->local_node;
    for (const auto& [name, node] : *snapshot->nodes) known.labels[name] = node->labels;
    const std::string selector = request.node.get<std::string>();
    nodes = SelectNodes(selector, known);
    if (selector == "*") {
      // All nodes with data: one that never was there must not turn every answer into an error.
      nodes.clear();
      for (const auto& [name, node] : *snapshot->nodes) nodes.push_back(name);
    }
  } else {
    return done(ErrorReply(absl::StrCat("node is of type ", request.node.type_name(),
                                        "; expected a selector or a list of names")));
  }
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  if (nodes.empty()) {
    return done({{"nodes", Json::object()}, {"status", 0}, {"info", "empty node selection"}});
  }
  Json results = Json::object();
  int64_t status = 0;
  bool local = false;
  for (const std::string& name : nodes) {
    if (name == snapshot->local_node) {
      local = true;
      results[name] = nullptr;  // Keeps its place in the order of names.
      continue;
    }
    results[name] =
        ErrorReply(absl::StrCat("node ", name, " is not reachable from ", snapshot->local_node));
    ++status;
  }
  if (!local) return done({{"nodes", std::move(results)}, {"status", status}});
  LegacyRequest here = request;
  here.node = nullptr;
  (this->*action.handler)(here, caller,
                          [results = std::move(results), status, name = snapshot->local_node,
                           done](Json result) mutable {
                            status += StatusOf(result);
                            results[name] = std::move(result);
                            done({{"nodes", std::move(results)}, {"status", status}});
                          });
}

void Router::HandledApart(const LegacyRequest& /*request*/, const Caller& /*caller*/,
                          const JsonDone& done) {
  done(ErrorReply("action not supported"));
}

void Router::DaemonStatus(const LegacyRequest& request, const Caller& caller, const Done& done) {
  const auto fail = [&done](const absl::Status& status) {
    done({LegacyError(status), nullptr, nullptr});
  };
  absl::StatusOr<SnapshotPtr> snapshot = services_.daemon->ReadSnapshot(caller);
  if (!snapshot.ok()) return fail(snapshot.status());
  absl::StatusOr<std::optional<bool>> refresh = BoolOption(request.options, "refresh");
  if (!refresh.ok()) return fail(refresh.status());
  absl::StatusOr<std::optional<std::string>> selector = StringOption(request.options, "selector");
  if (!selector.ok()) return fail(selector.status());
  absl::StatusOr<std::optional<std::string>> ns = StringOption(request.options, "namespace");
  if (!ns.ok()) return fail(ns.status());
  if (refresh->value_or(false)) services_.context->core->WakeMonitor(std::nullopt);
  const std::string pattern = selector->value_or("");
  const std::string name_space = ns->value_or("");
  const Visibility visibility(caller);
  const bool all = visibility.everything() &&
                   (pattern.empty() || pattern == "*" || pattern == "**") && name_space.empty();
  if (all) {
    return services_.documents->Get([done](std::shared_ptr<const RenderedDocument> document) {
      if (document == nullptr) return done({ErrorReply("too many requests"), nullptr, nullptr});
      done({Json(), std::move(document), nullptr});
    });
  }
  const auto selected = [choice = EventChoice{true, pattern, name_space},
                         visibility](const ObjectPath& path) {
    return visibility.Sees(path) && IsChosen(choice, path);
  };
  const bool posted =
      services_.context->workers->Post([this, snapshot = *std::move(snapshot), selected, done] {
        StatusDocumentBuilder builder;
        auto document = std::make_shared<RenderedDocument>();
        document->text =
            builder.Build(*snapshot, services_.facts(), services_.stats->Sessions(), selected);
        document->compressed = Compress(document->text);
        done({Json(), std::move(document), nullptr});
      });
  if (!posted) done({ErrorReply("too many requests"), nullptr, nullptr});
}

void Router::ServiceAction(const LegacyRequest& request, const Caller& caller,
                           const JsonDone& done) {
  services_.actions->ServiceAction(request, caller, done);
}

void Router::Join(const LegacyRequest& /*request*/, const Caller& caller, const JsonDone& done) {
  LegacyJoin(services_.membership, caller, done);
}

void Router::Leave(const LegacyRequest& /*request*/, const Caller& caller, const JsonDone& done) {
  LegacyLeave(services_.membership, caller, done);
}

void Router::NodeAction(const LegacyRequest& request, const Caller& caller, const JsonDone& done) {
  services_.actions->NodeAction(request, caller, done);
}

void Router::Create(const LegacyRequest& request, const Caller& caller, const JsonDone& done) {
  services_.actions->Create(request, caller, done);
}

void Router::ServiceBacklogs(const LegacyRequest& request, const Caller& caller,
                             const JsonDone& done) {
  services_.logs->List(request, caller, /*of_object=*/true, done);
}

void Router::NodeBacklogs(const LegacyRequest& request, const Caller& caller,
                          const JsonDone& done) {
  services_.logs->List(request, caller, /*of_object=*/false, done);
}

void Router::Events(const LegacyRequest& request, const Caller& caller, const Done& done) {
  const auto fail = [&done](const absl::Status& status) {
    done({LegacyError(status), nullptr, nullptr});
  };
  absl::StatusOr<std::optional<bool>> full = BoolOption(request.options, "full");
  if (!full.ok()) return fail(full.status());
  absl::StatusOr<std::optional<std::string>> selector = StringOption(request.options, "selector");
  if (!selector.ok()) return fail(selector.status());
  absl::StatusOr<std::optional<std::string>> ns = StringOption(request.options, "namespace");
  if (!ns.ok()) return fail(ns.status());
  EventChoice choice;
  // Requests of 1.9 name no method; its clients know neither the other form nor its options.
  choice.whole_document = !request.method.empty() || full->value_or(false);
  if (choice.whole_document) {
    choice.selector = selector->value_or("");
    choice.name_space = ns->value_or("");
  }
  // Their patches are made once for all, and are of everything.
  absl::Status allowed = RequireRole(caller, request.action, Role::kGuest, std::nullopt);
  if (!allowed.ok()) return fail(allowed);
  std::unique_ptr<LegacyStream> stream = services_.events->Subscribe(choice);
  if (full->value_or(false)) {
    LegacyRequest status = request;
    status.options.erase("full");
    const auto make = [this, status, caller](const std::function<void(StreamMessagePtr)>& give) {
      DaemonStatus(status, caller, [this, give](const LegacyReply& reply) {
        if (reply.rendered == nullptr) return give(nullptr);
        Json head = {{"nodename", services_.context->facts.node},
                     {"ts", StatusStamp(services_.context->clock->Now())},
                     {"kind", "full"}};
        std::string text = DumpJson(head);
        text.pop_back();
        give(std::make_shared<const StreamMessage>(
            absl::StrCat(text, ", \"data\": ", reply.rendered->text, "}")));
      });
    };
    stream = StartingWith(make, std::move(stream));
  }
  OpenStream(caller, std::move(stream), done);
}

void Router::OpenStream(const Caller& caller, std::unique_ptr<LegacyStream> stream,
                        const Done& done) {
  absl::StatusOr<CallLimiter::Slot> slot = TakeStream(services_.context->limiter, caller);
  if (!slot.ok()) return done({LegacyError(slot.status()), nullptr, nullptr});
  if (slot->held()) {
    stream = std::make_unique<HoldingLegacyStream>(std::move(stream), *std::move(slot));
  }
  done({Json(), nullptr, std::make_shared<std::unique_ptr<LegacyStream>>(std::move(stream))});
}

void Router::BlacklistStatus(const LegacyRequest& /*request*/, const Caller& caller,
                             const JsonDone& done) {
  Json data = Json::object();
  pb::ListEntriesRequest page;
  page.set_page_size(10'000);
  do {
    absl::StatusOr<pb::ListEntriesResponse> entries =
        services_.blacklist->ListEntries(caller, page);
    if (!entries.ok()) return done(LegacyError(entries.status()));
    for (const pb::BlacklistEntry& entry : entries->entries()) {
      // Two addresses of one node are told apart by showing the second as it is.
      const bool by_name = !entry.node().empty() && !data.contains(entry.node());
      data[by_name ? entry.node() : entry.address()] = entry.invalid_count();
    }
    page.set_page_token(entries->next_page_token());
  } while (!page.page_token().empty());
  done({{"data", std::move(data)}, {"status", 0}});
}

void Router::BlacklistClear(const LegacyRequest& request, const Caller& caller,
                            const JsonDone& done) {
  absl::StatusOr<std::optional<std::string>> sender = StringOption(request.options, "sender");
  if (!sender.ok()) return done(LegacyError(sender.status()));
  pb::ClearEntriesRequest clear;
  clear.set_sender(sender->value_or(""));
  services_.blacklist->ClearEntries(caller, clear,
                                    [done](const absl::StatusOr<pb::ClearEntriesResponse>& result) {
                                      done(result.ok() ? Ok() : LegacyError(result.status()));
                                    });
}

void Router::DaemonStats(const LegacyRequest& /*request*/, const Caller& caller,
                         const JsonDone& done) {
  const bool posted = services_.context->workers->Post([this, caller, done] {
    absl::StatusOr<pb::GetStatsResponse> stats = services_.daemon->GetStats(caller, {});
    if (!stats.ok()) return done(LegacyError(stats.status()));
    const auto process = [](const pb::ProcessStats& from) -> Json {
      return {{"cpu", {{"time", Seconds(from.cpu_time())}}},
              {"mem", {{"total", from.memory_bytes()}}}};
    };
    Json data = {{"timestamp", Seconds(stats->time())},
                 {"daemon", process(stats->daemon())},
                 {"node", {{"cpu", {{"time", Seconds(stats->node_cpu_time())}}}}},
                 {"services", Json::object()}};
    const std::map<std::string, pb::ProcessStats> threads(stats->threads().begin(),
                                                          stats->threads().end());
    for (const auto& [id, thread] : threads) {
      data[id] = process(thread);
      data[id]["threads"] = 1;
      data[id]["procs"] = 0;
    }
    const std::map<std::string, int64_t> counters(stats->counters().begin(),
                                                  stats->counters().end());
    data["counters"] = counters;
    done({{"status", 0}, {"data", std::move(data)}});
  });
  if (!posted) done(ErrorReply("too many requests"));
}

void Router::DaemonStart(const LegacyRequest& request, const Caller& caller, const JsonDone& done) {
  absl::StatusOr<std::optional<std::string>> id = StringOption(request.options, "thr_id");
  if (!id.ok()) return done(LegacyError(id.status()));
  if (id->value_or("").empty()) return done(ErrorReply("no thread specified"));
  pb::StartThreadRequest start;
  start.set_thread_id(**id);
  services_.daemon->StartThread(caller, start,
                                [done](const absl::StatusOr<pb::StartThreadResponse>& result) {
                                  done(result.ok() ? Ok() : LegacyError(result.status()));
                                });
}

void Router::DaemonShutdown(const LegacyRequest& /*request*/, const Caller& caller,
                            const JsonDone& done) {
  services_.daemon->ShutdownDaemon(
      caller, {}, [done](const absl::StatusOr<pb::ShutdownDaemonResponse>& result) {
        // Instances that could not be shut down are no failure of the request.
        done(result.ok() ? Ok() : LegacyError(result.status()));
      });
}

void Router::DaemonStop(const LegacyRequest& request, const Caller& caller, const JsonDone& done) {
  absl::StatusOr<std::optional<std::string>> id = StringOption(request.options, "thr_id");
  if (!id.ok()) return done(LegacyError(id.status()));
  absl::StatusOr<std::optional<bool>> wait = BoolOption(request.options, "wait");
  if (!wait.ok()) return done(LegacyError(wait.status()));
  absl::StatusOr<std::optional<bool>> upgrade = BoolOption(request.options, "upgrade");
  if (!upgrade.ok()) return done(LegacyError(upgrade.status()));
  if (!id->has_value()) {
    pb::StopDaemonRequest stop;
    stop.set_upgrade(upgrade->value_or(false));
    return services_.daemon->StopDaemon(
        caller, stop, [done](const absl::StatusOr<pb::StopDaemonResponse>& result) {
          done(result.ok() ? Ok() : LegacyError(result.status()));
        });
  }
  // Old daemons take an empty id for the whole daemon: too dangerous a typing error to copy.
  if ((*id)->empty()) return done(ErrorReply("thr_id is empty; expected the id of a thread"));
  if (**id == "tx") {
    // All heartbeat senders, of which this node may have none.
    const SnapshotPtr snapshot = services_.context->core->snapshot();
    const bool has_senders =
        std::any_of(snapshot->threads->begin(), snapshot->threads->end(), [](const auto& thread) {
          return thread.first.size() > 3 && thread.first.substr(thread.first.size() - 3) == ".tx";
        });
    if (!has_senders) return done(Ok());
  }
  pb::StopThreadRequest stop;
  stop.set_thread_id(**id);
  stop.set_wait(wait->value_or(false));
  services_.daemon->StopThread(caller, stop,
                               [done](const absl::StatusOr<pb::StopThreadResponse>& result) {
                                 done(result.ok() ? Ok() : LegacyError(result.status()));
                               });
}

void Router::ReadConfig(const LegacyRequest& request, const Caller& caller,
                        pb::GetConfigRequest read, Json metadata, const JsonDone& done) {
  absl::StatusOr<std::optional<std::string>> format = StringOption(request.options, "format");
  if (!format.ok()) return done(LegacyError(format.status()));
  absl::StatusOr<std::optional<bool>> evaluate = BoolOption(request.options, "evaluate");
  if (!evaluate.ok()) return done(LegacyError(evaluate.status()));
  absl::StatusOr<std::optional<std::string>> as = StringOption(request.options, "impersonate");
  if (!as.ok()) return done(LegacyError(as.status()));
  const std::string wanted = format->value_or("ini");
  if (wanted != "ini" && wanted != "json") {
    return done(
        ErrorReply(absl::StrCat("option format is \"", wanted, "\"; expected ini or json")));
  }
  const bool as_json = wanted == "json";
  const bool evaluated = as_json && evaluate->value_or(false);
  read.set_evaluate(evaluated);
  read.set_impersonate_node(as->value_or(""));
  services_.config->GetConfig(
      caller, read,
      [as_json, evaluated, metadata = std::move(metadata), path = read.target().object_path(),
       done](const absl::StatusOr<pb::GetConfigResponse>& config) {
        if (!config.ok()) {
          // The one place where legacy clients know the number as text.
          if (as_json && !path.empty() && absl::IsNotFound(config.status())) {
            return done({{"status", "1"}, {"error", absl::StrCat("'", path, "'")}});
          }
          return done(LegacyError(config.status()));
        }
        if (!as_json) {
          return done(
              {{"status", 0}, {"data", config->text()}, {"mtime", Seconds(config->update_time())}});
        }
        Json out = Json::object();
        for (const pb::ConfigSection& section : config->sections()) {
          Json keywords = Json::object();
          for (const pb::ConfigKeyword& keyword : section.keywords()) {
            keywords[keyword.name()] = evaluated ? TypedValue(keyword) : Json(keyword.value());
          }
          out[section.name()] = std::move(keywords);
        }
        out["metadata"] = metadata;
        done(std::move(out));
      });
}

void Router::NodeConfig(const LegacyRequest& request, const Caller& caller, const JsonDone& done) {
  pb::GetConfigRequest read;
  read.mutable_target()->set_node(true);
  ReadConfig(request, caller, std::move(read), {{"kind", "node"}}, done);
}

void Router::ServiceConfig(const LegacyRequest& request, const Caller& caller,
                           const JsonDone& done) {
  absl::StatusOr<std::string> text = RequiredPath(request);
  if (!text.ok()) return done(LegacyError(text.status()));
  absl::StatusOr<ObjectPath> path = ObjectPath::Parse(*text);
  if (!path.ok()) return done(LegacyError(path.status()));
  pb::GetConfigRequest read;
  read.mutable_target()->set_object_path(path->ToString());
  Json metadata = {{"name", path->name()}, {"kind", path->kind()}, {"namespace", nullptr}};
  if (!path->in_root()) metadata["namespace"] = path->ns();
  ReadConfig(request, caller, std::move(read), std::move(metadata), done);
}

void Router::NodesInfo(const LegacyRequest& /*request*/, const Caller& caller,
                       const JsonDone& done) {
  Json data = Json::object();
  pb::ListNodesRequest page;
  do {
    absl::StatusOr<pb::ListNodesResponse> nodes = services_.daemon->ListNodes(caller, page);
    if (!nodes.ok()) return done(LegacyError(nodes.status()));
    for (const pb::NodeInfo& node : nodes->nodes()) {
      Json& entry = data[node.name()] = Json::object();
      if (!node.known()) continue;
      const std::map<std::string, std::string> labels(node.labels().begin(), node.labels().end());
      entry["labels"] = labels.empty() ? Json::object() : Json(labels);
      entry["targets"] = Json::array();
    }
    page.set_page_token(nodes->next_page_token());
  } while (!page.page_token().empty());
  done({{"status", 0}, {"data", std::move(data)}});
}

void Router::SetNodeMonitor(const LegacyRequest& request, const Caller& caller,
                            const JsonDone& done) {
  pb::SetNodeMonitorRequest order;
  const auto take = [&](absl::string_view name,
                        const std::function<void(const std::string&)>& set) -> absl::Status {
    ASSIGN_OR_RETURN(const std::optional<std::string> value, StringOption(request.options, name));
    if (value.has_value() && !value->empty()) set(*value);
    return absl::OkStatus();
  };
  absl::Status taken = take("status", [&](const std::string& v) { order.set_status(v); });
  if (taken.ok()) {
    taken = take("local_expect", [&](const std::string& v) { order.set_local_expect(v); });
  }
  if (taken.ok()) {
    taken = take("global_expect", [&](const std::string& v) { order.set_global_expect(v); });
  }
  const auto refuse = [](const absl::Status& status) {
    Json refused = ErrorList(std::string(status.message()));
    refused["data"] = Json::object();
    return refused;
  };
  if (!taken.ok()) return done(refuse(taken));
  services_.node->SetNodeMonitor(
      caller, order,
      [order, refuse, done](const absl::StatusOr<pb::SetNodeMonitorResponse>& result) {
        if (!result.ok()) return done(refuse(result.status()));
        Json reply = Ok();
        reply["data"] = Json::object();
        if (order.has_global_expect()) {
          if (result->applied()) reply["data"]["global_expect"] = order.global_expect();
          reply["info"] = Json::array({result->message()});
        }
        done(std::move(reply));
      });
}

void Router::SetServiceMonitor(const LegacyRequest& request, const Caller& caller,
                               const JsonDone& done) {
  absl::StatusOr<std::string> path = RequiredPath(request);
  if (!path.ok()) return done(ErrorList(std::string(path.status().message())));
  pb::SetInstanceMonitorRequest order;
  order.set_path(*path);
  bool sets_something = false;
  const auto take = [&](absl::string_view name,
                        const std::function<void(const std::string&)>& set) -> absl::Status {
    ASSIGN_OR_RETURN(const std::optional<std::string> value, StringOption(request.options, name));
    if (!value.has_value() || value->empty()) return absl::OkStatus();
    sets_something = true;
    set(*value);
    return absl::OkStatus();
  };
  absl::Status taken = take("status", [&](const std::string& v) { order.set_status(v); });
  if (taken.ok()) {
    taken = take("local_expect", [&](const std::string& v) { order.set_local_expect(v); });
  }
  if (taken.ok()) {
    taken = take("global_expect", [&](const std::string& v) { order.set_global_expect(v); });
  }
  if (taken.ok()) taken = take("stonith", [&](const std::string& v) { order.set_stonith(v); });
  if (!taken.ok()) return done(ErrorList(std::string(taken.message())));
  absl::StatusOr<std::optional<bool>> reset = BoolOption(request.options, "reset_retries");
  if (!reset.ok()) return done(ErrorList(std::string(reset.status().message())));
  order.set_reset_retries(reset->value_or(false));
  sets_something = sets_something || order.reset_retries();

  services_.monitor->Order(
      caller, order,
      [this, caller, sets_something, path = *path,
       done](const absl::StatusOr<OrderAnswer>& answer) {
        if (!answer.ok()) return done(ErrorList(std::string(answer.status().message())));
        Json info = Json::array();
        Json error = Json::array();
        Json data = Json::object();
        for (const OrderOutcome& outcome : answer->outcomes) {
          (outcome.is_error() ? error : info).push_back(DescribeOutcome(outcome));
          if (outcome.kind == OrderOutcome::Kind::kAccepted && !outcome.value.empty()) {
            data["global_expect"] = outcome.value;
          }
        }
        Json reply = {{"status", answer->error_count()}};
        if (!info.empty()) reply["info"] = std::move(info);
        if (!error.empty()) reply["error"] = std::move(error);
        if (!sets_something) {
          // A request that sets nothing asks for the attributes.
          pb::GetInstanceMonitorRequest get;
          get.set_path(path);
          absl::StatusOr<pb::GetInstanceMonitorResponse> monitor =
              services_.monitor->GetInstanceMonitor(caller, get);
          if (!monitor.ok()) return done(ErrorList("service does not exist"));
          data = MonitorToJson(monitor->monitor(), services_.facts().compat_level);
        }
        reply["data"] = std::move(data);
        done(std::move(reply));
      });
}

void Router::GetServiceMonitor(const LegacyRequest& request, const Caller& caller,
                               const JsonDone& done) {
  absl::StatusOr<std::string> path = RequiredPath(request);
  if (!path.ok()) return done(LegacyError(path.status()));
  pb::GetInstanceMonitorRequest get;
  get.set_path(*path);
  absl::StatusOr<pb::GetInstanceMonitorResponse> monitor =
      services_.monitor->GetInstanceMonitor(caller, get);
  if (!monitor.ok()) return done(LegacyError(monitor.status()));
  done(
      {{"status", 0}, {"data", MonitorToJson(monitor->monitor(), services_.facts().compat_level)}});
}

void Router::Clear(const LegacyRequest& request, const Caller& caller, const JsonDone& done) {
  absl::StatusOr<std::string> path = RequiredPath(request);
  if (!path.ok()) return done(LegacyError(path.status()));
  pb::ClearInstanceRequest clear;
  clear.set_path(*path);
  services_.monitor->ClearInstance(
      caller, clear, [path = *path, done](const absl::StatusOr<pb::ClearInstanceResponse>& result) {
        Json cleared = {{"status", 0}, {"info", absl::StrCat(path, " instance cleared")}};
        // What does not exist has nothing to clear; legacy daemons say so in the same words.
        if (absl::IsNotFound(result.status())) return done(std::move(cleared));
        if (!result.ok()) return done(LegacyError(result.status()));
        if (result->cleared()) return done(std::move(cleared));
        done({{"info", absl::StrCat("skip clear on ", result->previous_status(), " instance")},
              {"status", 0}});
      });
}

void Router::WakeMonitor(const LegacyRequest& request, const Caller& caller, const JsonDone& done) {
  absl::StatusOr<std::string> path = ObjectPathOption(request.options);
  if (!path.ok()) return done(LegacyError(path.status()));
  absl::Status woken = services_.monitor->WakeMonitor(caller, *path);
  done(woken.ok() ? Ok() : LegacyError(woken));
}

}  // namespace om
