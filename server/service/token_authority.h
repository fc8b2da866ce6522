// The node's bearer tokens: the key file, the users' revocations, and the one place that checks.
#ifndef OM_SERVER_SERVICE_TOKEN_AUTHORITY_H_
#define OM_SERVER_SERVICE_TOKEN_AUTHORITY_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/auth/token.h"
#include "server/base/clock.h"
#include "server/base/counters.h"
#include "server/base/loop.h"
#include "server/base/mutex.h"
#include "server/base/random.h"

namespace om {

// Makes and checks the tokens of this cluster. THREAD: any; what blocks says so.
//
// What cannot be read lets nobody in: with a key file or a list of revocations that is damaged, or
// that others may read, every token is refused until it is mended.
class TokenAuthority {
 public:
  // Users whose tokens are revoked. Entries go when every token that they are about has expired.
  static constexpr size_t kMaxRevocations = 10'000;

  struct Options {
    std::string dir;  // <var>/omd: tokens.key and token_revocations.json.
    // The id of the cluster now; empty: there is none yet, and so there are no tokens. Any thread,
    // never blocks.
    std::function<std::string()> cluster_id;
  };
  // Borrowed. `workers` read the files when they have changed.
  struct Ports {
    Executor* workers = nullptr;
    const Clock* clock = nullptr;
    SecureRandom* random = nullptr;
    Counters* counters = nullptr;
  };
  TokenAuthority(Options options, Ports ports);

  // Reads both files; ones that are not there are empty. Blocks.
  void Load();

  // The claims of a good token; else UNAUTHENTICATED, whose text is for this node's log only. Never
  // blocks: files that were changed by another hand count from a second or so after they are looked
  // at again, which a call does at most once a second, on a worker.
  absl::StatusOr<TokenClaims> Verify(absl::string_view token);

  struct Made {
    std::string token;  // SECRET.
    TokenClaims claims;
  };
  // A token for `user`, whose object has the id `user_id`; empty if it has none. Makes the key file
  // if there is none. FAILED_PRECONDITION if the cluster has no id yet, or the key file is not
  // usable; INVALID_ARGUMENT for a lifetime out of range. Blocks.
  absl::StatusOr<Made> Make(const std::string& user, const std::string& user_id,
                            absl::Duration lifetime, const std::string& grants);

  // Tokens of `user` made until now are worthless from here on; the moment is returned, a whole
  // second. RESOURCE_EXHAUSTED for more users than kMaxRevocations: rotate the keys, then. Blocks.
  absl::StatusOr<absl::Time> Revoke(const std::string& user);

  // Signs with a new key; tokens of the `keep` before it stay good. The ids now. Blocks.
  absl::StatusOr<std::vector<std::string>> Rotate(size_t keep);

 private:
  using Revocations = std::map<std::string, absl::Time>;

  std::string KeyFile() const { return options_.dir + "/tokens.key"; }
  std::string RevocationFile() const { return options_.dir + "/token_revocations.json"; }
  absl::StatusOr<Revocations> ReadRevocations() const;
  absl::Status WriteRevocations(const Revocations& revocations) const;
  // Takes what the files say, and tells the log when they are not usable.
  void Reload() REQUIRES(files_);
  // Changes when one of the files does.
  std::string FileStamps() const;
  // Puts a look at the files on its way, if the last is old enough.
  void LookAgain();

  const Options options_;
  const Ports ports_;
  // One at a time changes the files. Taken before `mutex_`.
  Mutex files_;
  std::string complaint_ GUARDED_BY(files_);  // What was logged last; empty: all is well.
  std::string stamps_ GUARDED_BY(files_);     // Of what was read.
  std::atomic<bool> looking_{false};

  mutable Mutex mutex_;
  // Unset: there are none, or they are not usable; `why_` says it.
  std::shared_ptr<const TokenKeys> keys_ GUARDED_BY(mutex_);
  std::shared_ptr<const Revocations> revocations_ GUARDED_BY(mutex_);
  std::string why_ GUARDED_BY(mutex_) = "no token was made here yet";
  // Of `keys_`, for the cluster that it was made for.
  std::shared_ptr<const TokenVerifier> verifier_ GUARDED_BY(mutex_);
  std::string verifier_cluster_ GUARDED_BY(mutex_);
  MonotonicTime looked_ GUARDED_BY(mutex_);
};

}  // namespace om

#endif  // OM_SERVER_SERVICE_TOKEN_AUTHORITY_H_
