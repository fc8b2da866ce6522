// What the service layer works with, and how it does a request once.
#ifndef OM_SERVER_SERVICE_CONTEXT_H_
#define OM_SERVER_SERVICE_CONTEXT_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "server/admission/blacklist.h"
#include "server/admission/call_limiter.h"
#include "server/admission/node_names.h"
#include "server/base/counters.h"
#include "server/base/loop.h"
#include "server/base/random.h"
#include "server/base/status.h"
#include "server/config/settings.h"
#include "server/config/store.h"
#include "server/core/core.h"
#include "server/core/supervisor.h"
#include "server/service/audit_log.h"
#include "server/service/caller.h"
#include "server/service/convert.h"
#include "server/service/errors.h"
#include "server/service/user_directory.h"

namespace om {

class TokenAuthority;

// The settings in force. Replaced whole when files change. THREAD: any.
class SettingsHolder {
 public:
  explicit SettingsHolder(NodeSettings settings)
      : settings_(std::make_shared<const NodeSettings>(std::move(settings))) {}
  std::shared_ptr<const NodeSettings> get() const {
    MutexLock lock(&mutex_);
    return settings_;
  }
  void Set(NodeSettings settings) {
    auto fresh = std::make_shared<const NodeSettings>(std::move(settings));
    MutexLock lock(&mutex_);
    settings_ = std::move(fresh);
  }

 private:
  mutable Mutex mutex_;
  std::shared_ptr<const NodeSettings> settings_ GUARDED_BY(mutex_);
};

// All borrowed; outlives the services.
struct ServiceContext {
  Core* core = nullptr;
  Loop* loop = nullptr;  // The core loop: the supervisor is confined to it.
  Supervisor* supervisor = nullptr;
  Blacklist* blacklist = nullptr;
  NodeNames* node_names = nullptr;
  ConfigStore* config_store = nullptr;
  SettingsHolder* settings = nullptr;
  Executor* workers = nullptr;  // For what blocks.
  Counters* counters = nullptr;
  const Clock* clock = nullptr;
  TokenAuthority* tokens = nullptr;
  CallLimiter* limiter = nullptr;  // Null: no limits on callers.
  AuditLog* audit = nullptr;       // Null: nothing is written down.
  const UserDirectory* users = nullptr;
  Roots roots;
  DaemonFacts facts;
  // Begins the end of the daemon; returns at once. Called once at most, on the loop.
  std::function<void()> end_daemon;
};

// Answers a request: exactly once, from any thread.
template <class T>
using Reply = std::function<void(absl::StatusOr<T>)>;

// Authorises a read: of an operation with Scope::kObject, that the caller may ask for some object.
absl::Status Admit(const ServiceContext& context, const Caller& caller,
                   absl::string_view operation);
// The same for an operation on an object.
absl::Status Admit(const ServiceContext& context, const Caller& caller, absl::string_view operation,
                   const ObjectPath& path);

// For what a request asks for beyond its row: gives `verdict` back, and notes it as Admit() does if
// it is a refusal.
absl::Status Noted(const ServiceContext& context, const Caller& caller, absl::string_view operation,
                   absl::Status verdict);

// Logs that somebody was refused, a line a second at most, whoever it was; the next line tells how
// many did not get one. THREAD: any.
void LogDenied(absl::string_view operation, const Caller& caller);

// What a change is, for the audit log. Nothing in it may be a secret.
struct AuditedChange {
  std::string target;  // What it is on: a path, a thread, a node, "" for the daemon.
  std::string request_id;
  std::vector<std::string> words;  // What is asked for, where the operation leaves that open.
};

// Has a change in the audit log, with `answer`, and then calls `written`. Once.
using AuditedEnd = std::function<void(const absl::Status& answer, std::function<void()> written)>;
// Authorises a change, and has room for its line. `*end` is for its answer, also that of a refusal;
// it stays empty if nothing is to be written down.
absl::Status BeginAudited(const ServiceContext& context, const Caller& caller,
                          absl::string_view operation, AuditedChange change, AuditedEnd* end);
// For doors: writes down that they refused a change themselves.
void AuditRefusal(const ServiceContext& context, const Caller& caller, absl::string_view operation,
                  const absl::Status& refusal);

// Authorises a change, and notes it with its caller. If it is refused, `*reply` has been answered
// and false is returned; else `*reply` is one that has the change in the audit log before it
// answers.
template <class Response>
bool BeginChange(const ServiceContext& context, const Caller& caller, absl::string_view operation,
                 AuditedChange change, Reply<Response>* reply) {
  AuditedEnd end;
  absl::Status begun = BeginAudited(context, caller, operation, std::move(change), &end);
  if (end) {
    *reply = [end = std::move(end), reply = std::move(*reply)](absl::StatusOr<Response> response) {
      const absl::Status status = response.status();
      end(status,
          [reply, response = std::move(response)]() mutable { reply(std::move(response)); });
    };
  }
  if (begun.ok()) return true;
  (*reply)(std::move(begun));
  return false;
}

// Identifies a request for RequestTable. `request` is any message with a request_id.
template <class Request>
RequestKey KeyOf(const Caller& caller, absl::string_view operation, Request request) {
  RequestKey key;
  key.request_id = request.request_id();
  // A node may be called anything, "root" too.
  if (caller.kind == Caller::Kind::kLocalRoot) {
    key.caller = "root";
  } else if (caller.kind == Caller::Kind::kGroup) {
    key.caller = "operator";
  } else if (caller.kind == Caller::Kind::kUser) {
    key.caller = absl::StrCat("user ", caller.name);
  } else {
    key.caller = absl::StrCat("node ", caller.name);
  }
  key.method = std::string(operation);
  request.clear_request_id();
  // A digest: requests may hold secrets, and the key is written to the journal.
  key.fingerprint = RevisionOf(request.SerializeAsString());
  return key;
}

// OK for an empty request_id, or one of 1 to 128 printable characters.
absl::Status CheckRequestId(absl::string_view request_id);

// Does `work` unless the request has been done before: then its answer is given again. Without
// request_id it is simply done. `reply` gets the answer once it would be found again after a crash;
// where the journal cannot take it, the change is made and answered all the same, and the journal's
// counters tell: a repetition after a crash is then done again. `remembered`, if given, makes of an
// answer what a repetition gets: for answers too big for the journal.
template <class Response>
void DoOnce(const ServiceContext& context, const RequestKey& key,
            std::function<void(Reply<Response>)> work, Reply<Response> reply,
            Response (*remembered)(Response) = nullptr) {
  absl::Status id_ok = CheckRequestId(key.request_id);
  if (!id_ok.ok()) return reply(std::move(id_ok));
  if (key.request_id.empty()) return work(std::move(reply));
  Core* core = context.core;
  core->BeginRequest(key, [core, key, work = std::move(work), reply = std::move(reply),
                           remembered](std::optional<absl::StatusOr<std::string>> known) {
    if (known.has_value()) {
      if (!known->ok()) return reply(known->status());
      Response response;
      if (!response.ParseFromString(**known)) {
        return reply(absl::InternalError("the remembered answer is damaged"));
      }
      return reply(std::move(response));
    }
    work([core, key, reply, remembered](absl::StatusOr<Response> response) {
      absl::StatusOr<std::string> bytes = std::string();
      if (!response.ok()) {
        bytes = response.status();
      } else if (remembered != nullptr) {
        bytes = remembered(*response).SerializeAsString();
      } else {
        bytes = response->SerializeAsString();
      }
      core->EndRequest(key, std::move(bytes),
                       [reply, response = std::move(response)](const absl::Status& kept) {
                         // The change is made; an answer that could not be kept says so only in
                         // the journal's own counters, because refusing it would be a lie.
                         (void)kept;
                         reply(response);
                       });
    });
  });
}

}  // namespace om

#endif  // OM_SERVER_SERVICE_CONTEXT_H_
