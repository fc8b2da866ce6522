#include "server/auth/token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/stat.h>

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "server/auth/grants.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "server/base/status.h"
#include "server/config/file_lock.h"

namespace om {
namespace {

constexpr size_t kSecretBytes = 32;
constexpr size_t kKeyIdBytes = 16;  // As text.
constexpr size_t kMaxKeyFileBytes = 16 << 10;
constexpr size_t kMaxNameBytes = 256;
constexpr Duration kLockPatience = std::chrono::seconds(10);

std::string Hmac(absl::string_view key, absl::string_view data) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned int out_bytes = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(data.data()), data.size(), out, &out_bytes);
  return std::string(reinterpret_cast<char*>(out), out_bytes);
}

std::string Signature(absl::string_view secret, absl::string_view signed_text) {
  std::string key = Hmac(secret, "om bearer token HS256 v1");
  std::string mac = Hmac(key, signed_text);
  OPENSSL_cleanse(key.data(), key.size());
  return mac;
}

// Unpadded base64url in its one canonical spelling: a token has one text only.
std::optional<std::string> Decode(absl::string_view text) {
  std::string out;
  if (!absl::WebSafeBase64Unescape(text, &out)) return std::nullopt;
  if (absl::WebSafeBase64Escape(out) != text) return std::nullopt;
  return out;
}

absl::Status Refused(absl::string_view why) {
  return absl::UnauthenticatedError(absl::StrCat("token refused: ", why));
}

std::optional<std::string> TextOf(const Json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_string()) return std::nullopt;
  return it->get<std::string>();
}

std::optional<absl::Time> TimeOf(const Json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_number_integer()) return std::nullopt;
  const int64_t seconds = it->get<int64_t>();
  // Years 1970 to 9999; larger numbers would overflow sums.
  if (seconds < 0 || seconds > 253'402'300'799) return std::nullopt;
  return absl::FromUnixSeconds(seconds);
}

absl::Status CheckClaims(const TokenClaims& claims) {
  for (const auto& [name, value] :
       {std::pair<absl::string_view, const std::string&>("iss", claims.issuer),
        {"aud", claims.audience},
        {"sub", claims.subject},
        {"jti", claims.id}}) {
    if (value.empty() || value.size() > kMaxNameBytes) {
      return absl::InvalidArgumentError(absl::StrCat("claim ", name, " has ", value.size(),
                                                     " bytes; expected 1 to ", kMaxNameBytes));
    }
  }
  if (claims.user_id.size() > kMaxNameBytes) {
    return absl::InvalidArgumentError(absl::StrCat("claim uid has ", claims.user_id.size(),
                                                   " bytes; expected at most ", kMaxNameBytes));
  }
  const absl::Duration lifetime = claims.expire_time - claims.issue_time;
  if (lifetime <= absl::ZeroDuration() || lifetime > kMaxTokenLifetime) {
    return absl::InvalidArgumentError(absl::StrCat("a lifetime of ", absl::FormatDuration(lifetime),
                                                   " is not positive and at most ",
                                                   absl::FormatDuration(kMaxTokenLifetime)));
  }
  if (claims.not_before >= claims.expire_time) {
    return absl::InvalidArgumentError("claim nbf is not before exp");
  }
  return Annotate(Grants::Parse(claims.grants).status(), "claim grants");
}

}  // namespace

absl::StatusOr<TokenKeys> TokenKeys::Parse(const std::string& path, absl::string_view text) {
  const absl::Status bad = absl::InvalidArgumentError(
      absl::StrCat("token key file ", path, " is not an object with 1 to ", kMaxKeys,
                   " keys, each with an id of ", kKeyIdBytes, " characters and a secret of ",
                   kSecretBytes, " bytes in base64url"));
  // The parser's own message could quote what it met.
  absl::StatusOr<Json> json = ParseJson(text, 4);
  if (!json.ok() || !json->is_object()) return bad;
  const auto list = json->find("keys");
  if (list == json->end() || !list->is_array() || list->empty() || list->size() > kMaxKeys) {
    return bad;
  }
  TokenKeys keys;
  for (const Json& entry : *list) {
    if (!entry.is_object()) return bad;
    const std::optional<std::string> id = TextOf(entry, "id");
    const std::optional<std::string> spelled = TextOf(entry, "secret");
    if (!id.has_value() || id->size() != kKeyIdBytes || !spelled.has_value()) return bad;
    std::optional<std::string> secret = Decode(*spelled);
    if (!secret.has_value() || secret->size() != kSecretBytes) return bad;
    keys.keys_.push_back({*id, *std::move(secret)});
  }
  return keys;
}

absl::StatusOr<TokenKeys> TokenKeys::Load(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "token key file ", path, " has mode ", absl::StrFormat("%04o", info.st_mode & 07777),
        "; expected 0600: others may have read it, rotate the keys"));
  }
  ASSIGN_OR_RETURN(const FileContent content, ReadFile(path, kMaxKeyFileBytes));
  return Parse(path, content.text);
}

absl::StatusOr<TokenKeys> TokenKeys::Rotate(const std::string& path, size_t keep,
                                            SecureRandom* random) {
  if (keep >= kMaxKeys) {
    return absl::InvalidArgumentError(
        absl::StrCat("keeping ", keep, " old token keys; expected 0 to ", kMaxKeys - 1));
  }
  ASSIGN_OR_RETURN(const FileLock lock,
                   FileLock::Acquire(absl::StrCat(path, ".lock"), kLockPatience));
  TokenKeys keys;
  keys.keys_.push_back(
      {random->Text(kKeyIdBytes, "0123456789abcdef"), random->Bytes(kSecretBytes)});
  // A file that cannot be read is only replaced where nothing of it was to be kept.
  absl::StatusOr<TokenKeys> old = Load(path);
  if (!old.ok() && !absl::IsNotFound(old.status()) && keep > 0) return old.status();
  if (old.ok()) {
    for (size_t i = 0; i < old->keys_.size() && i < keep; ++i) keys.keys_.push_back(old->keys_[i]);
  }
  Json list = Json::array();
  for (const Key& key : keys.keys_) {
    list.push_back({{"id", key.id}, {"secret", absl::WebSafeBase64Escape(key.secret)}});
  }
  std::string text = DumpJson({{"keys", std::move(list)}});
  RETURN_IF_ERROR(WriteFileAtomically(path, text, {}));
  OPENSSL_cleanse(text.data(), text.size());
  return keys;
}

std::vector<std::string> TokenKeys::Ids() const {
  std::vector<std::string> ids;
  ids.reserve(keys_.size());
  for (const Key& key : keys_) ids.push_back(key.id);
  return ids;
}

absl::StatusOr<std::string> SignToken(const TokenKeys& keys, const TokenClaims& claims) {
  RETURN_IF_ERROR(CheckClaims(claims));
  if (keys.keys_.empty())
    return absl::FailedPreconditionError("there is no token key to sign with");
  const TokenKeys::Key& key = keys.keys_.front();
  const Json header = {{"alg", "HS256"}, {"typ", "JWT"}, {"kid", key.id}};
  const Json body = {{"iss", claims.issuer},
                     {"aud", claims.audience},
                     {"sub", claims.subject},
                     {"uid", claims.user_id},
                     {"iat", absl::ToUnixSeconds(claims.issue_time)},
                     {"nbf", absl::ToUnixSeconds(claims.not_before)},
                     {"exp", absl::ToUnixSeconds(claims.expire_time)},
                     {"jti", claims.id},
                     {"grants", claims.grants}};
  std::string token = absl::StrCat(absl::WebSafeBase64Escape(DumpCompactJson(header)), ".",
                                   absl::WebSafeBase64Escape(DumpCompactJson(body)));
  absl::StrAppend(&token, ".", absl::WebSafeBase64Escape(Signature(key.secret, token)));
  if (token.size() > kMaxTokenBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a token of ", token.size(),
                                                   " bytes is longer than ", kMaxTokenBytes,
                                                   ": give it fewer grants"));
  }
  return token;
}

TokenVerifier::TokenVerifier(TokenKeys keys, Options options, const Clock* clock)
    : keys_(std::move(keys)), options_(std::move(options)), clock_(clock) {}

absl::StatusOr<TokenClaims> TokenVerifier::Verify(absl::string_view token) const {
  if (token.size() > kMaxTokenBytes) {
    return Refused(absl::StrCat("longer than ", kMaxTokenBytes, " bytes"));
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(token, '.');
  if (parts.size() != 3) return Refused("not three parts");
  const std::optional<std::string> header_text = Decode(parts[0]);
  if (!header_text.has_value()) return Refused("its header is not base64url");
  absl::StatusOr<Json> header = ParseJson(*header_text, 4);
  if (!header.ok() || !header->is_object()) return Refused("its header is not a JSON object");
  if (TextOf(*header, "alg") != "HS256") return Refused("its algorithm is not HS256");
  // Extensions that must be understood are none of ours.
  if (header->contains("crit")) return Refused("it has critical extensions");
  const std::optional<std::string> id = TextOf(*header, "kid");
  const TokenKeys::Key* key = nullptr;
  for (const TokenKeys::Key& candidate : keys_.keys_) {
    if (id == candidate.id) key = &candidate;
  }
  if (key == nullptr) return Refused("its key is not known here");
  const std::optional<std::string> mac = Decode(parts[2]);
  const std::string expected =
      Signature(key->secret, token.substr(0, parts[0].size() + 1 + parts[1].size()));
  if (!mac.has_value() || mac->size() != expected.size() ||
      CRYPTO_memcmp(mac->data(), expected.data(), expected.size()) != 0) {
    return Refused("its signature is wrong");
  }

  // From here on the text is our own, perhaps meant for somebody else.
  const std::optional<std::string> body_text = Decode(parts[1]);
  if (!body_text.has_value()) return Refused("its claims are not base64url");
  absl::StatusOr<Json> body = ParseJson(*body_text, 4);
  if (!body.ok() || !body->is_object()) return Refused("its claims are not a JSON object");
  TokenClaims claims;
  for (const auto& [name, out] : {std::pair<const char*, std::string*>("iss", &claims.issuer),
                                  {"aud", &claims.audience},
                                  {"sub", &claims.subject},
                                  {"uid", &claims.user_id},
                                  {"jti", &claims.id},
                                  {"grants", &claims.grants}}) {
    std::optional<std::string> value = TextOf(*body, name);
    if (!value.has_value()) return Refused(absl::StrCat("no text in its claim ", name));
    *out = *std::move(value);
  }
  for (const auto& [name, out] : {std::pair<const char*, absl::Time*>("iat", &claims.issue_time),
                                  {"nbf", &claims.not_before},
                                  {"exp", &claims.expire_time}}) {
    const std::optional<absl::Time> value = TimeOf(*body, name);
    if (!value.has_value()) return Refused(absl::StrCat("no time in its claim ", name));
    *out = *value;
  }
  if (!CheckClaims(claims).ok()) return Refused("its claims are out of bounds");
  if (claims.issuer != options_.issuer) return Refused("another issuer's");
  if (claims.audience != options_.audience) return Refused("for another audience");
  const absl::Time now = clock_->Now();
  if (now >= claims.expire_time + kTokenClockSkew) return Refused("expired");
  if (now < claims.not_before - kTokenClockSkew) return Refused("not yet valid");
  if (now < claims.issue_time - kTokenClockSkew) return Refused("issued in the future");
  if (options_.valid_from) {
    const std::optional<absl::Time> valid_from = options_.valid_from(claims.subject);
    if (valid_from.has_value() && claims.issue_time < *valid_from) return Refused("revoked");
  }
  return claims;
}

}  // namespace om
