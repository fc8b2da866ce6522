#include "server/crm/drivers/object_keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <zlib.h>

#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "server/base/status.h"
#include "server/config/settings.h"

namespace om {
namespace {

constexpr size_t kKeyBytes = 32;
constexpr size_t kBlockBytes = 16;
constexpr size_t kMaxValueBytes = size_t{1} << 20;

// Both alphabets are in use, with and without padding.
bool DecodeBase64(absl::string_view text, std::string* out) {
  const std::string plain = absl::StrReplaceAll(text, {{"-", "+"}, {"_", "/"}});
  return absl::Base64Unescape(plain, out);
}

// AES-256-CBC; of the padding, as of what it is padded with, only the last byte counts.
bool Decrypt(absl::string_view key, const std::string& iv, const std::string& data,
             std::string* out) {
  if (iv.size() != kBlockBytes || data.empty() || data.size() % kBlockBytes != 0) return false;
  const auto bytes = [](absl::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
  };
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(
      EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  out->resize(data.size());
  auto* const target = reinterpret_cast<unsigned char*>(out->data());
  int length = 0;
  const bool done =
      context != nullptr &&
      EVP_DecryptInit_ex(context.get(), EVP_aes_256_cbc(), nullptr, bytes(key), bytes(iv)) == 1 &&
      EVP_CIPHER_CTX_set_padding(context.get(), 0) == 1 &&
      EVP_DecryptUpdate(context.get(), target, &length, bytes(data),
                        static_cast<int>(data.size())) == 1 &&
      static_cast<size_t>(length) == data.size();
  if (!done) return false;
  const auto padding = static_cast<unsigned char>(out->back());
  if (padding == 0 || padding > kBlockBytes) return false;
  out->resize(out->size() - padding);
  return true;
}

bool Inflate(const std::string& packed, std::string* out) {
  z_stream stream = {};
  if (inflateInit(&stream) != Z_OK) return false;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  int code = Z_OK;
  char buffer[4096];
  while (code == Z_OK && out->size() <= kMaxValueBytes) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer);
    stream.avail_out = sizeof buffer;
    code = inflate(&stream, Z_NO_FLUSH);
    if (code == Z_OK || code == Z_STREAM_END) out->append(buffer, sizeof buffer - stream.avail_out);
  }
  inflateEnd(&stream);
  OPENSSL_cleanse(buffer, sizeof buffer);
  return code == Z_STREAM_END && out->size() <= kMaxValueBytes;
}

const std::string* StringOf(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_string() ? &it->get_ref<const std::string&>() : nullptr;
}

absl::StatusOr<std::string> OpenSealed(absl::string_view text, absl::string_view cluster_secret) {
  const absl::Status refusal = absl::UnauthenticatedError(
      "it cannot be opened with the secret of the cluster: was it written by another cluster?");
  if (cluster_secret.size() < kKeyBytes) {
    return absl::FailedPreconditionError(absl::StrCat("cluster.secret has ", cluster_secret.size(),
                                                      " bytes, expected at least ", kKeyBytes));
  }
  std::string packet;
  if (text.size() > 4 * kMaxValueBytes || !DecodeBase64(text, &packet)) return refusal;
  const absl::StatusOr<Json> json =
      ParseJson(absl::StripSuffix(packet, absl::string_view("\0", 1)), 4);
  if (!json.ok() || !json->is_object()) return refusal;
  const std::string* const iv_text = StringOf(*json, "iv");
  const std::string* const data_text = StringOf(*json, "data");
  std::string iv;
  std::string data;
  std::string packed;
  std::string clear;
  if (iv_text == nullptr || data_text == nullptr || !DecodeBase64(*iv_text, &iv) ||
      !DecodeBase64(*data_text, &data) ||
      !Decrypt(cluster_secret.substr(0, kKeyBytes), iv, data, &packed) ||
      !Inflate(packed, &clear)) {
    return refusal;
  }
  // Texts are kept as a JSON string, binary values as they are.
  const absl::StatusOr<Json> value = ParseJson(clear, 4);
  if (value.ok() && value->is_string()) return value->get<std::string>();
  return clear;
}

}  // namespace

absl::StatusOr<std::string> DecodeObjectValue(absl::string_view text,
                                              absl::string_view cluster_secret) {
  if (absl::ConsumePrefix(&text, "literal:")) return std::string(text);
  if (absl::ConsumePrefix(&text, "base64:")) {
    std::string value;
    if (!DecodeBase64(text, &value)) {
      return absl::InvalidArgumentError("expected base64 text after \"base64:\"");
    }
    return value;
  }
  if (absl::ConsumePrefix(&text, "crypt:")) return OpenSealed(text, cluster_secret);
  return std::string(text);
}

absl::StatusOr<std::string> ReadObjectKey(const Instance& instance, absl::string_view kind,
                                          absl::string_view reference) {
  const size_t slash = reference.find('/');
  const absl::string_view name = reference.substr(0, slash);
  if (slash == absl::string_view::npos || name.empty() || slash + 1 == reference.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected <name of a ", kind, ">/<key>, found \"", absl::CHexEscape(reference), "\""));
  }
  ASSIGN_OR_RETURN(const ObjectPath path, ObjectPath::ParseRelative(absl::StrCat(kind, "/", name),
                                                                    instance.settings.path.ns()));
  // Keys of configuration files have no case.
  const std::string key = absl::AsciiStrToLower(reference.substr(slash + 1));
  ASSIGN_OR_RETURN(const Document document, ReadDocument(path.ConfigFile(instance.roots)));
  const Document::Value* const entry = document.Find("data", key);
  if (entry == nullptr) {
    return absl::NotFoundError(absl::StrCat("object \"", path.ToString(), "\" has no key \"",
                                            absl::CHexEscape(key), "\""));
  }
  std::string secret;
  if (absl::StartsWith(entry->text, "crypt:")) {
    ASSIGN_OR_RETURN(const LoadedConfig node, LoadNodeConfig(instance.roots, instance.node));
    secret = node.settings.cluster_secret;
  }
  absl::StatusOr<std::string> value = DecodeObjectValue(entry->text, secret);
  OPENSSL_cleanse(secret.data(), secret.size());
  if (!value.ok()) {
    return Annotate(value.status(), absl::StrCat("key \"", absl::CHexEscape(key), "\" of \"",
                                                 path.ToString(), "\""));
  }
  return value;
}

}  // namespace om
