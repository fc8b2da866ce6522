// What follows from the end of a command.
#include <algorithm>
#include <utility>

#include "server/control/conditions.h"
#include "server/control/decide.h"

namespace om {
namespace {

class Conclusion {
 public:
  Conclusion(const View& view, const std::string& node, const RunCrm& action,
             const CrmOutcome& outcome)
      : view_(view), action_(action), outcome_(outcome) {
    object_ = view.snapshot->objects.Find(action.path);
    if (object_ != nullptr) {
      instance_ = object_->instance(node);
      config_ = object_->config(node);
    }
    if (outcome.status != nullptr && outcome.status->has_avail) avail_ = outcome.status->avail;
  }

  std::vector<Action> Draw() {
    switch (action_.verb) {
      case CrmVerb::kStart:
        Started();
        break;
      case CrmVerb::kRestart:
        Started();
        if (succeeded_ && instance_ != nullptr) patch_.restarted = OrderKey(instance_->monitor);
        break;
      case CrmVerb::kStop:
        End(outcome_.succeeded && is_stopped(), status_word::kStopFailed);
        if (succeeded_) patch_.local_expect = "";
        break;
      case CrmVerb::kShutdown:
        End(outcome_.succeeded && is_stopped() && IsShutDown(avail_), status_word::kShutdownFailed);
        patch_.local_expect = "";
        break;
      case CrmVerb::kRestartResources:
      case CrmVerb::kRestartStandby:
        End(true, status_word::kIdle);
        ForgetAttempts();
        break;
      case CrmVerb::kToc:
        Switched();
        break;
      case CrmVerb::kProvision:
        Provisioned();
        break;
      case CrmVerb::kUnprovision:
      case CrmVerb::kPurge:
        // Without an evaluation nothing says that it is done.
        End(outcome_.succeeded && is_stopped() && outcome_.status->provisioned != true,
            status_word::kUnprovisionFailed);
        break;
      case CrmVerb::kDelete:
        End(outcome_.succeeded, status_word::kDeleteFailed);
        break;
    }
    return Actions();
  }

 private:
  bool is_stopped() const { return outcome_.status != nullptr && IsStopped(avail_); }
  bool is_flex() const { return config_ != nullptr && config_->topology == "flex"; }

  void End(bool succeeded, const char* failed) {
    succeeded_ = succeeded;
    patch_.status = succeeded                       ? status_word::kIdle
                    : action_.failed_status.empty() ? std::string(failed)
                                                    : action_.failed_status;
  }

  void Started() {
    // Without an evaluation, or with one that says "down", the order would be carried out again at
    // once, for ever.
    const bool runs =
        avail_.has_value() && avail_ != Availability::kDown && avail_ != Availability::kStdbyDown;
    End(outcome_.succeeded && runs, status_word::kStartFailed);
    if (succeeded_) patch_.local_expect = expect_word::kStarted;
    if (instance_ != nullptr && instance_->monitor.start_requested) {
      patch_.start_requested = false;
      if (!succeeded_) patch_.local_expect = "";
    }
  }

  void ForgetAttempts() {
    if (outcome_.status == nullptr || instance_ == nullptr) return;
    std::map<std::string, int> restart = instance_->monitor.restart;
    for (const ResourceStatus& resource : outcome_.status->resources) {
      if (IsOneOf(AvailabilityName(resource.status), {"up", "stdby up"})) {
        restart.erase(resource.rid);
      }
    }
    if (restart != instance_->monitor.restart) patch_.restart = std::move(restart);
  }

  void Switched() {
    if (!outcome_.succeeded) {
      patch_.status = status_word::kTocFailed;
      return;
    }
    patch_.local_expect = "";
    succeeded_ = true;
    // A resource manager may have told the daemon the same already.
    if (instance_ == nullptr || instance_->monitor.status != status_word::kTocing) return;
    patch_.status = status_word::kIdle;
    if (config_ == nullptr || config_->monitor_action != "switch" || !is_stopped()) return;
    // This node is no candidate, so that another one takes the service over.
    patch_.status = status_word::kStartFailed;
    then_.push_back(GiveOrder{action_.path, expect_word::kPlaced});
  }

  void Provisioned() {
    End(outcome_.succeeded && outcome_.status != nullptr && outcome_.status->provisioned != false,
        status_word::kProvisionFailed);
    const bool leads =
        std::find(action_.words.begin(), action_.words.end(), "--leader") != action_.words.end();
    // Provisioning leaves what it provisioned running, but starts no more than that: the rest
    // follows at once, or the service would stay half started.
    if (!succeeded_ || !leads || avail_ != Availability::kWarn) return;
    patch_.status.reset();
    then_.push_back(RunCrm{action_.path, CrmVerb::kStart, {"start"}, status_word::kStarting, {}});
  }

  std::vector<Action> Actions() {
    std::vector<Action> actions;
    const bool stops = IsOneOf(CrmVerbName(action_.verb),
                               {"stop", "shutdown", "toc", "unprovision", "purge", "delete"});
    if (succeeded_ && stops && view_.ownership != nullptr && !is_flex()) {
      const auto owned = view_.ownership->find(action_.path);
      // What was deleted tells nothing of itself any more: it says what it was before.
      const bool down = action_.verb == CrmVerb::kDelete
                            ? instance_ == nullptr || IsStopped(instance_->avail())
                            : is_stopped();
      if (down && owned != view_.ownership->end() && owned->second.held) {
        actions.push_back(ReleaseOwnership{action_.path});
      }
    }
    if (succeeded_ && action_.verb == CrmVerb::kPurge) {
      patch_.status.reset();
      then_.push_back(RunCrm{action_.path,
                             CrmVerb::kDelete,
                             {"delete", "--purge-collector"},
                             status_word::kDeleting,
                             {},
                             status_word::kPurgeFailed});
    }
    actions.push_back(SetMonitor{action_.path, std::move(patch_)});
    if (succeeded_ && action_.verb == CrmVerb::kDelete) {
      actions.push_back(ClearOrder{action_.path, OrderEnd::kReached, ""});
    }
    std::move(then_.begin(), then_.end(), std::back_inserter(actions));
    return actions;
  }

  const View& view_;
  const RunCrm& action_;
  const CrmOutcome& outcome_;
  std::shared_ptr<const ObjectState> object_;
  const InstanceState* instance_ = nullptr;
  const ObjectConfig* config_ = nullptr;
  std::optional<Availability> avail_;
  MonitorPatch patch_;
  std::vector<Action> then_;
  bool succeeded_ = false;
};

}  // namespace

std::vector<Action> AfterCrm(const View& view, const std::string& node, const RunCrm& action,
                             const CrmOutcome& outcome, absl::Time /*now*/) {
  return Conclusion(view, node, action, outcome).Draw();
}

}  // namespace om
