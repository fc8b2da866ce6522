// Takes secrets out of text: the second line of defence, behind code that does not log them.
#ifndef OM_SERVER_LOGS_SECRET_MASK_H_
#define OM_SERVER_LOGS_SECRET_MASK_H_

#include <cstddef>
#include <deque>
#include <string>

#include "absl/strings/string_view.h"
#include "server/base/mutex.h"

namespace om {

// A registry of secrets. A replaced secret stays registered, since old messages may still show it;
// the oldest is forgotten when there are more than kMaxSecrets. THREAD: any.
class SecretMask {
 public:
  static constexpr size_t kMaxSecrets = 64;
  // Shorter secrets are not taken: text would lose words that have nothing to do with them.
  static constexpr size_t kMinSecretBytes = 6;

  // False if `secret` is too short to be masked. One that is known becomes the newest.
  bool Add(absl::string_view secret) EXCLUDES(mutex_);
  // `text` with every occurrence of every secret replaced by "***".
  std::string Mask(absl::string_view text) const EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  std::deque<std::string> secrets_ GUARDED_BY(mutex_);  // Oldest first.
};

}  // namespace om

#endif  // OM_SERVER_LOGS_SECRET_MASK_H_
