#include "server/core/request_table.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace om {

// Callers have no control characters in their names.
std::string RequestTable::IndexOf(const RequestKey& key) {
  return absl::StrCat(key.caller, "\n", key.request_id);
}

absl::StatusOr<RequestTable::State> RequestTable::Begin(const RequestKey& key, absl::Time now,
                                                        Waiter waiter, Answer* answer) {
  if (key.request_id.empty()) return State::kNew;
  Expire(now);
  std::string index = IndexOf(key);
  const auto it = entries_.find(index);
  if (it == entries_.end()) {
    RETURN_IF_ERROR(MakeRoom());
    by_age_.push_back(index);
    Entry entry;
    entry.key = key;
    entry.time = now;
    entry.age = std::prev(by_age_.end());
    entries_.emplace(std::move(index), std::move(entry));
    return State::kNew;
  }
  Entry& entry = it->second;
  if (entry.key.method != key.method || entry.key.fingerprint != key.fingerprint) {
    return WithField(WithReason(absl::InvalidArgumentError(absl::StrCat(
                                    "request_id \"", absl::CHexEscape(key.request_id),
                                    "\" was used for another request to ", entry.key.method)),
                                "REQUEST_ID_REUSED"),
                     "request_id");
  }
  if (entry.finished) {
    *answer = entry.answer;
    return State::kAnswered;
  }
  if (entry.waiters.size() >= options_.max_waiters) {
    return WithReason(absl::ResourceExhaustedError(absl::StrCat(
                          options_.max_waiters, " calls wait for this request already")),
                      "TOO_MANY_WAITERS");
  }
  entry.waiters.push_back(std::move(waiter));
  return State::kInProgress;
}

void RequestTable::End(const RequestKey& key, const Answer& answer, absl::Time now) {
  if (key.request_id.empty()) return;
  const auto it = entries_.find(IndexOf(key));
  if (it == entries_.end() || it->second.finished) return;
  std::vector<Waiter> waiters = std::move(it->second.waiters);
  if (IsKept(answer)) {
    it->second.waiters.clear();
    it->second.finished = true;
    it->second.answer = answer;
    it->second.time = now;
    by_age_.splice(by_age_.end(), by_age_, it->second.age);
  } else {
    by_age_.erase(it->second.age);
    entries_.erase(it);
  }
  // Last: they may call back into the table.
  for (const Waiter& waiter : waiters) waiter(answer);
}

bool RequestTable::IsKept(const Answer& answer) {
  switch (answer.status().code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
      return false;
    default:
      return true;
  }
}

void RequestTable::Restore(const RequestKey& key, const Answer& answer, absl::Time when) {
  std::string index = IndexOf(key);
  if (entries_.count(index) != 0 || !MakeRoom().ok()) return;
  by_age_.push_back(index);
  Entry entry;
  entry.key = key;
  entry.finished = true;
  entry.answer = answer;
  entry.time = when;
  entry.age = std::prev(by_age_.end());
  entries_.emplace(std::move(index), std::move(entry));
}

std::vector<RequestTable::Finished> RequestTable::All() const {
  std::vector<Finished> all;
  for (const std::string& index : by_age_) {
    const Entry& entry = entries_.at(index);
    if (entry.finished) all.push_back({entry.key, entry.answer, entry.time});
  }
  return all;
}

void RequestTable::Expire(absl::Time now) {
  for (auto it = by_age_.begin(); it != by_age_.end();) {
    const Entry& entry = entries_.at(*it);
    if (!entry.finished) {
      ++it;  // Begun and not ended: it is not forgotten, however long it takes.
      continue;
    }
    if (entry.time + options_.remember > now) return;
    entries_.erase(*it);
    it = by_age_.erase(it);
  }
}

absl::Status RequestTable::MakeRoom() {
  if (entries_.size() < options_.max_requests) return absl::OkStatus();
  for (auto it = by_age_.begin(); it != by_age_.end(); ++it) {
    if (!entries_.at(*it).finished) continue;
    entries_.erase(*it);
    by_age_.erase(it);
    ++evicted_count_;
    return absl::OkStatus();
  }
  return WithReason(absl::ResourceExhaustedError(
                        absl::StrCat(options_.max_requests, " requests are in progress")),
                    "TOO_MANY_REQUESTS");
}

}  // namespace om
