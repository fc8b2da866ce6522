#include "server/service/token_authority.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "server/base/status.h"

namespace om {
namespace {

constexpr std::chrono::seconds kLookInterval{1};
constexpr size_t kMaxRevocationBytes = 4 << 20;

// Past every token that was made until `time`: those say in which whole second that was.
absl::Time NextSecond(absl::Time time) {
  return absl::FromUnixSeconds(absl::ToUnixSeconds(time) + 1);
}

std::string AudienceOf(const std::string& cluster_id) { return absl::StrCat("om:", cluster_id); }

}  // namespace

TokenAuthority::TokenAuthority(Options options, Ports ports)
    : options_(std::move(options)),
      ports_(ports),
      revocations_(std::make_shared<const Revocations>()),
      looked_(ports.clock->Monotonic()) {}

void TokenAuthority::Load() {
  MutexLock lock(&files_);
  Reload();
}

absl::StatusOr<TokenAuthority::Revocations> TokenAuthority::ReadRevocations() const {
  Revocations revocations;
  const absl::StatusOr<FileContent> file = ReadFile(RevocationFile(), kMaxRevocationBytes);
  if (absl::IsNotFound(file.status())) return revocations;
  if (!file.ok()) return file.status();
  const absl::Status bad = absl::InvalidArgumentError(
      absl::StrCat(RevocationFile(), " is not an object with a time in seconds for each user"));
  const absl::StatusOr<Json> json = ParseJson(file->text, 3);
  if (!json.ok() || !json->is_object()) return bad;
  const auto users = json->find("users");
  if (users == json->end() || !users->is_object()) return bad;
  for (const auto& [user, time] : users->items()) {
    if (!time.is_number_integer()) return bad;
    revocations[user] = absl::FromUnixSeconds(time.get<int64_t>());
  }
  return revocations;
}

absl::Status TokenAuthority::WriteRevocations(const Revocations& revocations) const {
  Json::object_t users;  // No name is there twice: none is looked for.
  for (const auto& [user, time] : revocations) users.emplace_back(user, absl::ToUnixSeconds(time));
  return WriteFileAtomically(RevocationFile(), DumpJson({{"users", std::move(users)}}), {});
}

std::string TokenAuthority::FileStamps() const {
  std::string stamps;
  for (const std::string& path : {KeyFile(), RevocationFile()}) {
    struct stat info = {};
    if (stat(path.c_str(), &info) != 0) info = {};
    // The time of the last change of anything, the mode included.
    absl::StrAppend(&stamps, info.st_ino, " ", info.st_ctim.tv_sec, " ", info.st_ctim.tv_nsec, ";");
  }
  return stamps;
}

void TokenAuthority::Reload() {
  stamps_ = FileStamps();
  absl::StatusOr<TokenKeys> keys = TokenKeys::Load(KeyFile());
  absl::StatusOr<Revocations> revocations = ReadRevocations();
  std::string why;
  bool broken = true;
  if (!revocations.ok()) {
    why = std::string(revocations.status().message());
  } else if (absl::IsNotFound(keys.status())) {
    why = "no token was made here yet";
    broken = false;
  } else if (!keys.ok()) {
    why = std::string(keys.status().message());
  } else {
    broken = false;
  }
  const std::string complaint = broken ? why : "";
  if (complaint != complaint_ && broken) {
    LOG(ERROR) << "OM-TOKEN-FILES every token is refused: " << why;
  }
  complaint_ = complaint;
  MutexLock lock(&mutex_);
  why_ = why;
  verifier_ = nullptr;
  keys_ = why.empty() ? std::make_shared<const TokenKeys>(*std::move(keys)) : nullptr;
  if (revocations.ok()) {
    revocations_ = std::make_shared<const Revocations>(*std::move(revocations));
  }
}

void TokenAuthority::LookAgain() {
  const MonotonicTime now = ports_.clock->Monotonic();
  {
    MutexLock lock(&mutex_);
    if (now - looked_ < kLookInterval) return;
    looked_ = now;
  }
  if (looking_.exchange(true)) return;
  const bool posted = ports_.workers->Post([this] {
    {
      MutexLock lock(&files_);
      if (FileStamps() != stamps_) Reload();
    }
    looking_ = false;
  });
  if (!posted) looking_ = false;
}

absl::StatusOr<TokenClaims> TokenAuthority::Verify(absl::string_view token) {
  LookAgain();
  const std::string cluster_id = options_.cluster_id();
  std::shared_ptr<const TokenVerifier> verifier;
  std::string why;
  {
    MutexLock lock(&mutex_);
    if (keys_ != nullptr && !cluster_id.empty() &&
        (verifier_ == nullptr || verifier_cluster_ != cluster_id)) {
      TokenVerifier::Options options;
      options.issuer = cluster_id;
      options.audience = AudienceOf(cluster_id);
      options.valid_from =
          [revocations = revocations_](const std::string& user) -> std::optional<absl::Time> {
        const auto found = revocations->find(user);
        if (found == revocations->end()) return std::nullopt;
        return found->second;
      };
      verifier_ = std::make_shared<const TokenVerifier>(*keys_, std::move(options), ports_.clock);
      verifier_cluster_ = cluster_id;
    }
    if (keys_ != nullptr && !cluster_id.empty()) verifier = verifier_;
    why = cluster_id.empty() ? "the cluster has no id yet" : why_;
  }
  absl::StatusOr<TokenClaims> claims =
      verifier == nullptr ? absl::UnauthenticatedError(absl::StrCat("token refused: ", why))
                          : verifier->Verify(token);
  ports_.counters->Get(claims.ok() ? "tokens.accepted" : "tokens.refused")->Add();
  return claims;
}

absl::StatusOr<TokenAuthority::Made> TokenAuthority::Make(const std::string& user,
                                                          const std::string& user_id,
                                                          absl::Duration lifetime,
                                                          const std::string& grants) {
  const std::string cluster_id = options_.cluster_id();
  if (cluster_id.empty()) {
    return absl::FailedPreconditionError(
        "the cluster has no id yet (cluster.id of cluster.conf), and tokens are for one cluster");
  }
  MutexLock lock(&files_);
  Reload();
  std::shared_ptr<const TokenKeys> keys;
  std::shared_ptr<const Revocations> revocations;
  const auto take = [&] {
    MutexLock values(&mutex_);
    keys = keys_;
    revocations = revocations_;
  };
  take();
  if (keys == nullptr) {
    if (!complaint_.empty()) {
      return absl::FailedPreconditionError(absl::StrCat("no token can be made: ", complaint_));
    }
    RETURN_IF_ERROR(TokenKeys::Rotate(KeyFile(), 0, ports_.random).status());
    Reload();
    take();
    if (keys == nullptr) return absl::InternalError("the key file that was made cannot be read");
  }
  Made made;
  const absl::Time now = ports_.clock->Now();
  made.claims.issuer = cluster_id;
  made.claims.audience = AudienceOf(cluster_id);
  made.claims.subject = user;
  made.claims.user_id = user_id;
  // Times are whole seconds in a token. Those of the second of a revocation count as before it,
  // so that one that is made right after it begins with the next.
  made.claims.issue_time = absl::FromUnixSeconds(absl::ToUnixSeconds(now));
  const auto revoked = revocations->find(user);
  if (revoked != revocations->end()) {
    made.claims.issue_time = std::max(made.claims.issue_time, revoked->second);
  }
  made.claims.not_before = made.claims.issue_time;
  made.claims.expire_time = made.claims.issue_time + lifetime;
  made.claims.id = ports_.random->Uuid();
  made.claims.grants = grants;
  ASSIGN_OR_RETURN(made.token, SignToken(*keys, made.claims));
  ports_.counters->Get("tokens.made")->Add();
  return made;
}

absl::StatusOr<absl::Time> TokenAuthority::Revoke(const std::string& user) {
  MutexLock lock(&files_);
  Reload();
  ASSIGN_OR_RETURN(Revocations revocations, ReadRevocations());
  const absl::Time now = ports_.clock->Now();
  for (auto it = revocations.begin(); it != revocations.end();) {
    const bool over = it->second + kMaxTokenLifetime + kTokenClockSkew < now;
    it = over ? revocations.erase(it) : std::next(it);
  }
  absl::Time valid_from = NextSecond(now);
  // Tokens made since the last revocation, all within this second, begin where that ends.
  const auto before = revocations.find(user);
  if (before != revocations.end() && before->second >= valid_from) {
    valid_from = NextSecond(before->second);
  }
  if (revocations.size() >= kMaxRevocations && revocations.count(user) == 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the tokens of ", kMaxRevocations,
                     " users are revoked, all that are kept; rotate the keys, keeping none"));
  }
  revocations[user] = valid_from;
  RETURN_IF_ERROR(WriteRevocations(revocations));
  Reload();
  return valid_from;
}

absl::StatusOr<std::vector<std::string>> TokenAuthority::Rotate(size_t keep) {
  MutexLock lock(&files_);
  ASSIGN_OR_RETURN(const TokenKeys keys, TokenKeys::Rotate(KeyFile(), keep, ports_.random));
  Reload();
  return keys.Ids();
}

}  // namespace om
