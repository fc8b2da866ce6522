#include "server/service/context.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace om {

namespace {

absl::Status Note(const ServiceContext& context, const Caller& caller, absl::string_view operation,
                  absl::Status allowed) {
  if (!allowed.ok()) return Noted(context, caller, operation, std::move(allowed));
  context.counters->Get("service.requests")->Add();
  if (FindOperationRule(operation)->changes()) {
    LOG(INFO) << operation << " asked for by " << caller.ToString();
  }
  return allowed;
}

}  // namespace

void LogDenied(absl::string_view operation, const Caller& caller) {
  static std::atomic<int64_t> last_second{std::numeric_limits<int64_t>::min()};
  static std::atomic<int64_t> unsaid{0};
  const int64_t second = std::chrono::duration_cast<std::chrono::seconds>(
                             std::chrono::steady_clock::now().time_since_epoch())
                             .count();
  if (last_second.exchange(second) == second) {
    ++unsaid;
    return;
  }
  const int64_t more = unsaid.exchange(0);
  LOG(WARNING) << "OM-SVC-DENIED " << operation << " refused to " << caller.ToString()
               << (more > 0 ? absl::StrCat(" (and ", more, " more not told)") : "");
}

absl::Status Admit(const ServiceContext& context, const Caller& caller,
                   absl::string_view operation) {
  return Note(context, caller, operation, Authorize(caller, operation));
}

absl::Status Admit(const ServiceContext& context, const Caller& caller, absl::string_view operation,
                   const ObjectPath& path) {
  return Note(context, caller, operation, Authorize(caller, operation, path.ns()));
}

absl::Status Noted(const ServiceContext& context, const Caller& caller, absl::string_view operation,
                   absl::Status verdict) {
  if (absl::IsPermissionDenied(verdict)) {
    context.counters->Get("service.denied")->Add();
    LogDenied(operation, caller);
  }
  return verdict;
}

absl::Status BeginAudited(const ServiceContext& context, const Caller& caller,
                          absl::string_view operation, AuditedChange change, AuditedEnd* end) {
  absl::Status admitted = Admit(context, caller, operation);
  AuditLog* const audit = context.audit;
  if (audit == nullptr) return admitted;
  // Requests are not checked yet; what a line could not take anyway need not be kept until its end.
  size_t bytes = 0;
  for (size_t i = 0; i < change.words.size(); ++i) {
    bytes += change.words[i].size() + 1;
    if (bytes <= AuditLog::kMaxLineBytes) continue;
    change.words[i].resize(std::min(change.words[i].size(), AuditLog::kMaxLineBytes));
    change.words.resize(i + 1);
  }
  if (change.target.size() > AuditLog::kMaxLineBytes) change.target.resize(AuditLog::kMaxLineBytes);
  if (change.request_id.size() > AuditLog::kMaxLineBytes) {
    change.request_id.resize(AuditLog::kMaxLineBytes);
  }
  AuditEntry entry{caller, std::string(operation), std::move(change.target),
                   std::move(change.words), std::move(change.request_id)};
  if (!admitted.ok()) {
    *end = [audit, entry = std::move(entry)](const absl::Status& answer,
                                             std::function<void()> written) {
      audit->WriteRefusal(entry, answer, std::move(written));
    };
    return admitted;
  }
  absl::StatusOr<AuditLog::Place> place = audit->Reserve();
  if (!place.ok()) return place.status();
  // Shared: functions are copied, places are not.
  auto room = std::make_shared<AuditLog::Place>(*std::move(place));
  *end = [audit, entry = std::move(entry), room](const absl::Status& answer,
                                                 std::function<void()> written) {
    audit->Write(entry, answer, std::move(*room), std::move(written));
  };
  return absl::OkStatus();
}

void AuditRefusal(const ServiceContext& context, const Caller& caller, absl::string_view operation,
                  const absl::Status& refusal) {
  const OperationRule* rule = FindOperationRule(operation);
  if (context.audit == nullptr || rule == nullptr || !rule->changes()) return;
  context.audit->WriteRefusal({caller, std::string(operation), "", {}, ""}, refusal, nullptr);
}

absl::Status CheckRequestId(absl::string_view request_id) {
  const bool printable = std::all_of(request_id.begin(), request_id.end(), [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c));
  });
  if (request_id.size() <= 128 && printable) return absl::OkStatus();
  return WithField(absl::InvalidArgumentError(absl::StrCat(
                       "request_id has ", request_id.size(),
                       " bytes; expected at most 128 printable characters, such as a UUID")),
                   "request_id");
}

}  // namespace om
