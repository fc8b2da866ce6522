#include "server/crm/dequeue_runner.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace om {

CoalescingRunner::CoalescingRunner(Loop* loop, const Clock* clock, ProcessLauncher* launcher,
                                   Counters* counters, Options options)
    : loop_(loop),
      clock_(clock),
      launcher_(launcher),
      options_(std::move(options)),
      requests_(counters->Get(absl::StrCat(options_.name, ".requests"))),
      runs_(counters->Get(absl::StrCat(options_.name, ".runs"))),
      failures_(counters->Get(absl::StrCat(options_.name, ".failures"))),
      missing_(counters->Get(absl::StrCat(options_.name, ".missing"))) {}

CoalescingRunner::~CoalescingRunner() {
  *alive_ = false;
  if (timer_.has_value()) loop_->Cancel(*timer_);
}

void CoalescingRunner::Request() {
  DCHECK(loop_->RunsHere());
  requests_->Add();
  wanted_ = true;
  StartOrDefer();
}

void CoalescingRunner::SetCommand(std::vector<std::string> argv) {
  DCHECK(loop_->RunsHere());
  if (argv == options_.argv) return;
  options_.argv = std::move(argv);
  missing_logged_ = false;
}

void CoalescingRunner::StartOrDefer() {
  if (!wanted_ || running_ || timer_.has_value()) return;
  if (last_start_.has_value()) {
    const Duration since = clock_->Monotonic() - *last_start_;
    if (since < options_.minimum_interval) {
      timer_ = loop_->PostAfter(options_.minimum_interval - since, [this, alive = alive_] {
        if (!*alive) return;
        timer_.reset();
        Start();
      });
      return;
    }
  }
  Start();
}

void CoalescingRunner::Start() {
  wanted_ = false;
  running_ = true;
  last_start_ = clock_->Monotonic();
  runs_->Add();
  ProcessSpec spec;
  spec.argv = options_.argv;
  spec.extra_environment = options_.environment;
  spec.time_limit = options_.time_limit;
  launcher_->Run(std::move(spec), [this, alive = alive_](const ProcessResult& result) {
    if (*alive) OnDone(result);
  });
}

void CoalescingRunner::OnDone(const ProcessResult& result) {
  DCHECK(loop_->RunsHere());
  running_ = false;
  if (absl::IsNotFound(result.status) || absl::IsInvalidArgument(result.status)) {
    missing_->Add();
    if (!missing_logged_) {
      LOG(WARNING) << "OM-CRM-MISSING " << options_.name << ": " << result.Describe();
      missing_logged_ = true;
    }
  } else if (!result.Succeeded()) {
    failures_->Add();
    LOG(WARNING) << "OM-CRM-FAILED " << options_.name << ": " << result.Describe();
  } else {
    missing_logged_ = false;
  }
  StartOrDefer();
}

}  // namespace om
