#include "server/core/ownership_table.h"

#include <utility>

namespace om {

std::vector<ObjectPath> OwnershipTable::Renewed(const Lease& lease, MonotonicTime now) {
  may_act_until_ = lease.may_act_until;
  std::vector<ObjectPath> lost;
  for (auto it = records_.begin(); it != records_.end();) {
    const auto held = lease.held->find(it->first);
    const bool gone =
        it->second.held && (held == lease.held->end() || held->second != it->second.token);
    if (gone) {
      lost.push_back(it->first);
      since_.erase(it->first);
      it = records_.erase(it);
    } else {
      ++it;
    }
  }
  for (auto it = giving_.begin(); it != giving_.end();) {
    const auto held = lease.held->find(it->first);
    const bool gone = held == lease.held->end() || held->second != it->second.token;
    it = gone ? giving_.erase(it) : std::next(it);
  }
  for (const auto& [path, token] : *lease.held) {
    if (giving_.count(path) != 0) continue;
    Ownership& record = records_[path];
    if (record.held) continue;
    record = Ownership();
    record.held = true;
    record.token = token;
    since_[path] = now;
  }
  shown_until_ = absl::InfinitePast();
  return lost;
}

bool OwnershipTable::BeginAcquire(const ObjectPath& path, MonotonicTime now) {
  const auto known = records_.find(path);
  if (known != records_.end() && known->second.held) return false;
  if (giving_.count(path) != 0 || acquiring_.count(path) != 0) return false;
  const auto asked = asked_.find(path);
  if (asked != asked_.end() && now - asked->second < kRetry) return false;
  asked_[path] = now;
  acquiring_.insert(path);
  return true;
}

bool OwnershipTable::Answered(const ObjectPath& path, const absl::StatusOr<Ownership>& answer,
                              MonotonicTime now) {
  acquiring_.erase(path);
  const auto known = records_.find(path);
  if (known != records_.end() && known->second.held) return true;  // The lease told it already.
  if (!answer.ok()) return false;
  records_[path] = *answer;
  since_[path] = now;
  if (answer->held) asked_.erase(path);
  shown_until_ = absl::InfinitePast();
  return answer->held;
}

void OwnershipTable::Release(const ObjectPath& path) {
  const auto it = records_.find(path);
  if (it == records_.end() || !it->second.held) return;
  giving_[path].token = it->second.token;
  records_.erase(it);
  since_.erase(path);
}

std::vector<std::pair<ObjectPath, uint64_t>> OwnershipTable::DueReleases(MonotonicTime now) {
  std::vector<std::pair<ObjectPath, uint64_t>> due;
  for (auto& [path, giving] : giving_) {
    if (giving.under_way || giving.next_try > now) continue;
    giving.under_way = true;
    giving.next_try = now + kRetry;
    due.emplace_back(path, giving.token);
  }
  return due;
}

void OwnershipTable::Released(const ObjectPath& path, uint64_t token, const absl::Status& status) {
  const auto it = giving_.find(path);
  if (it == giving_.end() || it->second.token != token) return;
  if (status.ok() || absl::IsNotFound(status)) {
    giving_.erase(it);
  } else {
    it->second.under_way = false;
  }
}

bool OwnershipTable::MayAct(const ObjectPath& path, MonotonicTime now) const {
  const auto it = records_.find(path);
  return it != records_.end() && it->second.held && now < may_act_until_;
}

std::vector<ObjectPath> OwnershipTable::Held(MonotonicTime now) const {
  std::vector<ObjectPath> held;
  for (const auto& [path, record] : records_) {
    if (record.held && now - since_.at(path) >= kKept) held.push_back(path);
  }
  return held;
}

const std::map<ObjectPath, Ownership>& OwnershipTable::ForView(absl::Time now,
                                                               MonotonicTime monotonic) {
  for (auto it = records_.begin(); it != records_.end();) {
    const auto since = since_.find(it->first);
    if (!it->second.held && monotonic - since->second >= kElsewhereHolds) {
      since_.erase(since);
      it = records_.erase(it);
    } else {
      ++it;
    }
  }
  // The limit is a moment of the monotonic clock; the wall clock may have jumped since.
  absl::Time until = absl::InfiniteFuture();
  if (may_act_until_ == MonotonicTime::min()) {
    until = absl::InfinitePast();
  } else if (may_act_until_ != MonotonicTime::max()) {
    until = now + absl::FromChrono(may_act_until_ - monotonic);
  }
  if (until != shown_until_) {
    for (auto& [path, record] : records_) record.may_act_until = until;
    shown_until_ = until;
  }
  return records_;
}

}  // namespace om
