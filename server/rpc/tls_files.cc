#include "server/rpc/tls_files.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace om {

bool TlsState::IsRevoked(absl::string_view serial) const {
  return std::binary_search(revoked.begin(), revoked.end(), serial);
}

TlsFiles::TlsFiles(Options options, const Clock* clock, Counters* counters)
    : options_(std::move(options)),
      clock_(clock),
      reloads_(counters->Get("tls.reloads")),
      refusals_(counters->Get("tls.bad_files")) {}

std::string TlsFiles::Published(absl::string_view file) const {
  return absl::StrCat(options_.dir, "/current/", file);
}

std::shared_ptr<const TlsState> TlsFiles::state() const {
  MutexLock lock(&mutex_);
  return state_;
}

std::vector<FileStamp> TlsFiles::Stamps() const {
  const KeyPairPaths& files = options_.files;
  return {StampOf(files.certificate), StampOf(files.key), StampOf(files.authority),
          StampOf(files.crl)};
}

bool TlsFiles::Refresh() {
  const std::shared_ptr<const TlsState> before = state();
  std::vector<FileStamp> stamps = Stamps();
  // Dates go by without a file being touched: what is not good now may be so later.
  if (stamps == stamps_ && before->problem.empty()) return false;
  stamps_ = std::move(stamps);
  auto fresh = std::make_shared<TlsState>(*before);
  const absl::Time now = clock_->Now();
  absl::StatusOr<CheckedPair> pair = LoadCheckedPair(options_.files, now);
  absl::Status status = pair.status();
  if (status.ok()) status = PublishPair(options_.dir, *pair);
  // What is served stays, but what is revoked must not wait until the rest is mended.
  const KeyPairPaths published = {Published("tls.crt"), Published("tls.key"), Published("ca.crt"),
                                  options_.files.crl};
  if (!status.ok()) pair = LoadCheckedPair(published, now);
  if (pair.ok()) {
    fresh->serving = true;
    fresh->expire_time = pair->expire_time;
    fresh->revoked = std::move(pair->revoked);
  } else if (before->serving) {
    // The list may revoke what is served, too.
    absl::StatusOr<RevocationList> list = LoadRevocationList(published, now);
    if (list.ok()) fresh->revoked = std::move(list->revoked);
  }
  fresh->problem = std::string(status.message());
  if (status.ok()) {
    reloads_->Add();
    LOG(INFO) << "TLS: certificate of " << pair->identity.name << ", serial "
              << pair->identity.serial << ", good until " << pair->expire_time;
  } else if (fresh->problem != before->problem) {
    refusals_->Add();
    LOG(WARNING) << "OM-TLS-FILES "
                 << (fresh->serving ? "what was good is served on: " : "TLS cannot be served: ")
                 << fresh->problem;
  } else if (fresh->serving == before->serving && fresh->expire_time == before->expire_time &&
             fresh->revoked == before->revoked) {
    return false;
  }
  MutexLock lock(&mutex_);
  state_ = std::move(fresh);
  return true;
}

}  // namespace om
