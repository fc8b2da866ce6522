#include "server/logs/secret_mask.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_replace.h"

namespace om {

bool SecretMask::Add(absl::string_view secret) {
  if (secret.size() < kMinSecretBytes) return false;
  MutexLock lock(&mutex_);
  const auto known = std::find(secrets_.begin(), secrets_.end(), secret);
  if (known != secrets_.end()) secrets_.erase(known);
  if (secrets_.size() >= kMaxSecrets) secrets_.pop_front();
  secrets_.emplace_back(secret);
  return true;
}

std::string SecretMask::Mask(absl::string_view text) const {
  MutexLock lock(&mutex_);
  // Of secrets that begin at one place the longest is replaced.
  std::vector<std::pair<absl::string_view, absl::string_view>> replacements;
  replacements.reserve(secrets_.size());
  for (const std::string& secret : secrets_) replacements.emplace_back(secret, "***");
  return absl::StrReplaceAll(text, replacements);
}

}  // namespace om
