#include "server/admission/blacklist.h"

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace om {

absl::Status Blacklist::Options::Validate() const {
  if (threshold < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("Blacklist::Options.threshold is ", threshold, ", expected at least 1"));
  }
  if (max_entries < 1) {
    return absl::InvalidArgumentError("Blacklist::Options.max_entries is 0, expected at least 1");
  }
  return absl::OkStatus();
}

Blacklist::Blacklist(const Options& options) : options_(options) {
  DCHECK(options_.Validate().ok()) << options_.Validate();
}

bool Blacklist::IsBlacklisted(const AdmissionKey& key) const {
  MutexLock lock(&mutex_);
  const auto it = by_key_.find(key);
  return it != by_key_.end() && it->second->blacklisted;
}

Blacklist::InvalidResult Blacklist::RecordInvalid(const AdmissionKey& key) {
  MutexLock lock(&mutex_);
  auto it = by_key_.find(key);
  if (it == by_key_.end()) {
    MakeRoom();
    counted_.push_back(Entry{key, 0, false});
    it = by_key_.emplace(key, std::prev(counted_.end())).first;
  }
  Entry& entry = *it->second;
  if (entry.blacklisted) return {entry.count, false};
  ++entry.count;
  if (entry.count < options_.threshold) {
    counted_.splice(counted_.end(), counted_, it->second);
    return {entry.count, false};
  }
  entry.blacklisted = true;
  blacklisted_.splice(blacklisted_.end(), counted_, it->second);
  return {entry.count, true};
}

void Blacklist::RecordValid(const AdmissionKey& key) {
  MutexLock lock(&mutex_);
  const auto it = by_key_.find(key);
  if (it == by_key_.end() || it->second->blacklisted) return;
  counted_.erase(it->second);
  by_key_.erase(it);
}

size_t Blacklist::Clear() {
  MutexLock lock(&mutex_);
  const size_t count = blacklisted_.size();
  counted_.clear();
  blacklisted_.clear();
  by_key_.clear();
  return count;
}

size_t Blacklist::Clear(const AdmissionKey& key) {
  MutexLock lock(&mutex_);
  const auto it = by_key_.find(key);
  if (it == by_key_.end()) return 0;
  const bool was_blacklisted = it->second->blacklisted;
  (was_blacklisted ? blacklisted_ : counted_).erase(it->second);
  by_key_.erase(it);
  return was_blacklisted ? 1 : 0;
}

std::vector<Blacklist::Entry> Blacklist::Entries() const {
  MutexLock lock(&mutex_);
  std::vector<Entry> entries(counted_.begin(), counted_.end());
  entries.insert(entries.end(), blacklisted_.begin(), blacklisted_.end());
  return entries;
}

size_t Blacklist::size() const {
  MutexLock lock(&mutex_);
  return by_key_.size();
}

int64_t Blacklist::evicted_blacklisted() const {
  MutexLock lock(&mutex_);
  return evicted_blacklisted_;
}

void Blacklist::MakeRoom() {
  if (by_key_.size() < options_.max_entries) return;
  List& list = counted_.empty() ? blacklisted_ : counted_;
  if (list.front().blacklisted) ++evicted_blacklisted_;
  by_key_.erase(list.front().key);
  list.pop_front();
}

}  // namespace om
