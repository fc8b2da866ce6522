// Commands of the resource manager: what ActionService of the API means, without any transport.
#ifndef OM_SERVER_SERVICE_ACTION_API_H_
#define OM_SERVER_SERVICE_ACTION_API_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "om/control/v1/action.pb.h"
#include "server/crm/action_registry.h"
#include "server/service/context.h"
#include "server/service/stream_source.h"

namespace om {

// Serialized StreamActionResponses or AttachActionResponses, which are the same bytes. Keeps no
// queue: what a slow reader has yet to get is in the registry. The command's owner leaves with it.
class ActionStream final : public StreamSource {
 public:
  // What the audit log is told of a command with an owner: that it was accepted, before its first
  // message, and how it ended.
  class AuditRecord {
   public:
    // `audit` is borrowed. `place` is for the line of the end.
    AuditRecord(AuditLog* audit, AuditEntry entry, AuditLog::Place place)
        : audit_(audit), entry_(std::move(entry)), place_(std::move(place)) {}
    // The first line is written. THREAD: any.
    void Begun() EXCLUDES(mutex_);
    bool begun() const EXCLUDES(mutex_) {
      MutexLock lock(&mutex_);
      return begun_;
    }
    // Called once, by Begun().
    void SetWake(std::function<void()> wake) EXCLUDES(mutex_);
    // Writes the last line; only the first call does. By the stream, which is used by one thread at
    // a time.
    void End(const std::string& how);

   private:
    AuditLog* const audit_;  // Not owned.
    const AuditEntry entry_;
    AuditLog::Place place_;
    bool ended_ = false;
    mutable Mutex mutex_;
    bool begun_ GUARDED_BY(mutex_) = false;
    std::function<void()> wake_ GUARDED_BY(mutex_);
  };

  // `audit` may be null.
  ActionStream(std::string node, std::unique_ptr<ActionRegistry::Reader> reader,
               std::shared_ptr<AuditRecord> audit = nullptr)
      : node_(std::move(node)), reader_(std::move(reader)), audit_(std::move(audit)) {}
  ~ActionStream() override;

  // The error of a command that could not be run ends the stream.
  absl::StatusOr<Bytes> Next() override;
  Bytes HeartbeatMessage() const override;
  bool over() const override { return over_; }

  // Has `wake` called when Next() may have something after it had nothing. One at a time; it ends
  // with the stream, but a call may still be under way then. THREAD: any.
  void SetWake(std::function<void()> wake);

 private:
  const std::string node_;
  const std::unique_ptr<ActionRegistry::Reader> reader_;
  const std::shared_ptr<AuditRecord> audit_;
  bool over_ = false;
};

// THREAD: any. Errors are those the proto names.
class ActionApi {
 public:
  // Both are borrowed.
  ActionApi(const ServiceContext* context, ActionRegistry* actions)
      : context_(context), actions_(actions) {}

  void RunAction(const Caller& caller, const control::v1::RunActionRequest& request,
                 Reply<control::v1::RunActionResponse> reply);
  absl::StatusOr<std::shared_ptr<ActionStream>> StreamAction(
      const Caller& caller, const control::v1::StreamActionRequest& request);
  absl::StatusOr<std::shared_ptr<ActionStream>> AttachAction(
      const Caller& caller, const control::v1::AttachActionRequest& request);
  absl::StatusOr<control::v1::GetActionResponse> GetAction(
      const Caller& caller, const control::v1::GetActionRequest& request);
  absl::StatusOr<control::v1::ListActionsResponse> ListActions(
      const Caller& caller, const control::v1::ListActionsRequest& request);
  void KillAction(const Caller& caller, const control::v1::KillActionRequest& request,
                  Reply<control::v1::KillActionResponse> reply);
  void CreateObjects(const Caller& caller, const control::v1::CreateObjectsRequest& request,
                     Reply<control::v1::CreateObjectsResponse> reply);

 private:
  // What the registry is to run. `in_doubt` becomes true for an object that this node does not
  // know, unless the command is one that makes it: it may be there all the same, just written.
  absl::StatusOr<ActionRequest> Checked(const Caller& caller,
                                        const control::v1::ActionCommand& command,
                                        bool* in_doubt) const;
  // Whether `caller` may run the command: PERMISSION_DENIED if not.
  absl::Status CheckRole(const Caller& caller, absl::string_view operation,
                         const control::v1::ActionCommand& command) const;
  // The action with that id, if `caller` may run it. ACTION_UNKNOWN if it is of an object that the
  // caller does not see, or of the node.
  absl::StatusOr<ActionInfo> Reachable(const Caller& caller, absl::string_view operation,
                                       const std::string& id) const;
  // SERVICE_UNKNOWN for an object without a configuration on this node. Looks at the disk.
  absl::Status CheckExists(const ObjectPath& path) const;
  control::v1::Action ToProto(const ActionInfo& info) const;
  // Runs a command for an owner.
  absl::StatusOr<std::unique_ptr<ActionRegistry::Reader>> Own(
      const Caller& caller, const control::v1::StreamActionRequest& request);
  void Start(ActionRequest request, bool asynchronous,
             const Reply<control::v1::RunActionResponse>& reply);
  // Blocks on disk.
  void Create(const Caller& caller, const control::v1::CreateObjectsRequest& request,
              const Reply<control::v1::CreateObjectsResponse>& reply);

  const ServiceContext* const context_;  // Not owned.
  ActionRegistry* const actions_;        // Not owned.
};

// As the API shows it. Pure.
control::v1::Action ActionToProto(const ActionInfo& info, const std::string& node);

}  // namespace om

#endif  // OM_SERVER_SERVICE_ACTION_API_H_
