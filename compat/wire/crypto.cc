#include "compat/wire/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "compat/wire/encoding.h"
#include "glog/logging.h"
#include "server/base/json.h"
#include "server/base/status.h"

namespace om {
namespace {

constexpr size_t kBlockBytes = 16;
constexpr size_t kKeyBytes = 32;
// A new form of the MAC gets another one, and so another key.
constexpr absl::string_view kMacPurpose = "om packet mac v1";

absl::Status DoesNotOpen() {
  return absl::UnauthenticatedError("the packet does not open with the cluster's secret");
}

const EVP_CIPHER* CipherFor(const Key& key) {
  switch (key.size_bytes()) {
    case 16:
      return EVP_aes_128_cbc();
    case 24:
      return EVP_aes_192_cbc();
    default:
      return EVP_aes_256_cbc();
  }
}

const uint8_t* Bytes(absl::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

absl::StatusOr<std::string> RunCipher(const Key& key, absl::string_view iv,
                                      absl::string_view blocks, bool encrypt) {
  if (iv.size() != kBlockBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the IV has ", iv.size(), " bytes: expected ", kBlockBytes));
  }
  if (blocks.empty() || blocks.size() % kBlockBytes != 0 ||
      blocks.size() > size_t{std::numeric_limits<int>::max()} - kBlockBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the data has ", blocks.size(),
                                                   " bytes: expected a positive multiple of ",
                                                   kBlockBytes, " below 2 GiB"));
  }
  struct FreeContext {
    void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  };
  const std::unique_ptr<EVP_CIPHER_CTX, FreeContext> context(EVP_CIPHER_CTX_new());
  CHECK(context != nullptr);
  // None of these can fail with sizes that were checked, short of a broken OpenSSL.
  CHECK_EQ(EVP_CipherInit_ex(context.get(), CipherFor(key), nullptr, key.data(), Bytes(iv),
                             encrypt ? 1 : 0),
           1);
  CHECK_EQ(EVP_CIPHER_CTX_set_padding(context.get(), 0), 1);
  std::string out(blocks.size() + kBlockBytes, '\0');
  int wrote = 0;
  int wrote_last = 0;
  CHECK_EQ(EVP_CipherUpdate(context.get(), reinterpret_cast<uint8_t*>(out.data()), &wrote,
                            Bytes(blocks), static_cast<int>(blocks.size())),
           1);
  CHECK_EQ(EVP_CipherFinal_ex(context.get(), reinterpret_cast<uint8_t*>(out.data()) + wrote,
                              &wrote_last),
           1);
  out.resize(static_cast<size_t>(wrote) + static_cast<size_t>(wrote_last));
  CHECK_EQ(out.size(), blocks.size());
  return out;
}

struct Inflated {
  std::string text;
  size_t used_bytes;  // Of the input; the rest is junk after the stream.
};

// Nothing if `compressed` is not one whole zlib stream, or inflates to more than `max_text_bytes`.
std::optional<Inflated> Inflate(absl::string_view compressed, size_t max_text_bytes) {
  z_stream stream = {};
  if (compressed.size() > std::numeric_limits<uInt>::max()) return std::nullopt;
  stream.next_in = const_cast<Bytef*>(Bytes(compressed));
  stream.avail_in = static_cast<uInt>(compressed.size());
  CHECK_EQ(inflateInit(&stream), Z_OK);  // zlib's header only: neither gzip nor raw deflate.
  struct EndInflate {
    z_stream* stream;
    ~EndInflate() { inflateEnd(stream); }
  } const end{&stream};

  Inflated result{};
  // Room for one byte past the limit, so that a text of exactly the limit meets its end.
  const size_t most = max_text_bytes + 1;
  size_t room = std::min(most, std::max<size_t>(4 * compressed.size(), 4096));
  while (true) {
    const size_t before = result.text.size();
    const size_t step = std::min({room, most - before, size_t{1} << 24});
    result.text.resize(before + step);
    stream.next_out = reinterpret_cast<Bytef*>(result.text.data()) + before;
    stream.avail_out = static_cast<uInt>(step);
    const int code = inflate(&stream, Z_NO_FLUSH);
    result.text.resize(before + step - stream.avail_out);
    if (result.text.size() > max_text_bytes) return std::nullopt;
    if (code == Z_STREAM_END) break;
    // Z_BUF_ERROR, or room left over: the input ended before the stream did.
    if (code != Z_OK || stream.avail_out > 0) return std::nullopt;
    room = result.text.size();  // Doubles.
  }
  result.used_bytes = compressed.size() - stream.avail_in;
  return result;
}

PacketDigest DigestOf(absl::string_view bytes) {
  PacketDigest digest{};
  unsigned size = 0;
  CHECK_EQ(EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr), 1);
  CHECK_EQ(size, digest.size());
  return digest;
}

// HKDF of RFC 5869 over SHA-256, without salt.
void DeriveKey(absl::string_view key, absl::string_view purpose, std::array<uint8_t, 32>* out) {
  struct FreeContext {
    void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  };
  const std::unique_ptr<EVP_PKEY_CTX, FreeContext> context(
      EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, nullptr));
  CHECK(context != nullptr);
  // As with ciphers: only a broken OpenSSL fails here.
  CHECK_EQ(EVP_PKEY_derive_init(context.get()), 1);
  CHECK_EQ(EVP_PKEY_CTX_set_hkdf_md(context.get(), EVP_sha256()), 1);
  CHECK_EQ(EVP_PKEY_CTX_set1_hkdf_key(context.get(), Bytes(key), static_cast<int>(key.size())), 1);
  CHECK_EQ(
      EVP_PKEY_CTX_add1_hkdf_info(context.get(), Bytes(purpose), static_cast<int>(purpose.size())),
      1);
  size_t size = out->size();
  CHECK_EQ(EVP_PKEY_derive(context.get(), out->data(), &size), 1);
  CHECK_EQ(size, out->size());
}

}  // namespace

absl::StatusOr<Key> Key::FromSecret(absl::string_view secret, bool allow_short_secret) {
  const bool short_but_usable = secret.size() == 16 || secret.size() == 24;
  if (secret.size() < kKeyBytes && !(short_but_usable && allow_short_secret)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the secret has ", secret.size(), " bytes: expected at least ", kKeyBytes,
                     short_but_usable ? " for AES-256 (compat.allow_short_secret = true accepts it)"
                                      : " for AES-256"));
  }
  Key key;
  key.size_bytes_ = std::min(secret.size(), kKeyBytes);
  std::memcpy(key.bytes_.data(), secret.data(), key.size_bytes_);
  DeriveKey(secret.substr(0, key.size_bytes_), kMacPurpose, &key.mac_key_);
  return key;
}

Key::~Key() {
  OPENSSL_cleanse(bytes_.data(), bytes_.size());
  OPENSSL_cleanse(mac_key_.data(), mac_key_.size());
}

std::string MacOf(const Key& key, absl::string_view nodename, absl::string_view clustername,
                  absl::string_view iv, absl::string_view data) {
  std::string framed;
  framed.reserve(nodename.size() + clustername.size() + iv.size() + data.size() + 32);
  for (const absl::string_view field : {nodename, clustername, iv, data}) {
    for (int shift = 56; shift >= 0; shift -= 8) {
      framed.push_back(static_cast<char>((uint64_t{field.size()} >> shift) & 0xff));
    }
    framed.append(field.data(), field.size());
  }
  std::array<uint8_t, 32> mac{};
  unsigned size = 0;
  CHECK(HMAC(EVP_sha256(), key.mac_key().data(), static_cast<int>(key.mac_key().size()),
             Bytes(framed), framed.size(), mac.data(), &size) != nullptr);
  CHECK_EQ(size, mac.size());
  return EncodeBase64(absl::string_view(reinterpret_cast<const char*>(mac.data()), mac.size()));
}

bool CheckMac(const Key& key, const Envelope& envelope) {
  if (!envelope.hmac.has_value()) return false;
  const std::string expected =
      MacOf(key, envelope.nodename, envelope.clustername, envelope.iv, envelope.data);
  // The length of a MAC is no secret.
  return envelope.hmac->size() == expected.size() &&
         CRYPTO_memcmp(envelope.hmac->data(), expected.data(), expected.size()) == 0;
}

bool LooksLikeUuid1(absl::string_view secret) {
  if (secret.size() < kKeyBytes) return false;
  for (const char c : secret.substr(0, kKeyBytes)) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return false;
  }
  // RFC 4122: the version is the 13th digit, the variant the upper bits of the 17th.
  return secret[12] == '1' &&
         absl::string_view("89abAB").find(secret[16]) != absl::string_view::npos;
}

absl::StatusOr<std::string> EncryptBlocks(const Key& key, absl::string_view iv,
                                          absl::string_view blocks) {
  return RunCipher(key, iv, blocks, /*encrypt=*/true);
}

absl::StatusOr<std::string> DecryptBlocks(const Key& key, absl::string_view iv,
                                          absl::string_view blocks) {
  return RunCipher(key, iv, blocks, /*encrypt=*/false);
}

absl::StatusOr<OpenedPacket> OpenPacket(const Key& key, const Envelope& envelope,
                                        size_t max_text_bytes) {
  const std::optional<std::string> iv = DecodeBase64(envelope.iv);
  const std::optional<std::string> ciphertext = DecodeBase64(envelope.data);
  if (!iv.has_value() || !ciphertext.has_value()) return DoesNotOpen();
  const absl::StatusOr<std::string> padded = DecryptBlocks(key, *iv, *ciphertext);
  if (!padded.ok()) return DoesNotOpen();

  const uint8_t pad = static_cast<uint8_t>(padded->back());
  const bool pad_ok = pad >= 1 && pad <= kBlockBytes;
  // Bad padding is inflated as well, with nothing cut off: refusing it at once would tell, by the
  // time it took, what the last byte decrypts to.
  std::optional<Inflated> inflated = Inflate(
      absl::string_view(*padded).substr(0, padded->size() - (pad_ok ? pad : 0)), max_text_bytes);
  if (!pad_ok || !inflated.has_value()) return DoesNotOpen();

  const size_t used_blocks = (inflated->used_bytes + kBlockBytes - 1) / kBlockBytes;
  const size_t digest_blocks = used_blocks > 1 ? used_blocks - 1 : used_blocks;
  return OpenedPacket{
      std::move(inflated->text),
      DigestOf(absl::string_view(*ciphertext).substr(0, digest_blocks * kBlockBytes))};
}

std::string Compress(absl::string_view text, int level) {
  CHECK(level >= 1 && level <= 9);
  uLongf size = compressBound(text.size());
  std::string compressed(size, '\0');
  CHECK_EQ(compress2(reinterpret_cast<Bytef*>(compressed.data()), &size, Bytes(text), text.size(),
                     level),
           Z_OK);
  compressed.resize(size);
  return compressed;
}

std::string SealCompressed(const Key& key, SecureRandom* random, absl::string_view clustername,
                           absl::string_view nodename, absl::string_view compressed,
                           PacketMac mac) {
  const size_t pad = kBlockBytes - compressed.size() % kBlockBytes;
  std::string padded;
  padded.reserve(compressed.size() + pad);
  padded.append(compressed.data(), compressed.size());
  padded.append(pad, static_cast<char>(pad));
  const std::string iv = random->Bytes(kBlockBytes);
  const absl::StatusOr<std::string> ciphertext = EncryptBlocks(key, iv, padded);
  CHECK(ciphertext.ok()) << ciphertext.status();
  const std::string iv_text = EncodeBase64(iv);
  std::string packet;
  // Names, base64 and what stands around them, so that a long packet is written once.
  packet.reserve(ciphertext->size() / 3 * 4 + clustername.size() + nodename.size() + 192);
  absl::StrAppend(&packet, R"({"clustername": )", DumpJson(Json(std::string(clustername))),
                  R"(, "nodename": )", DumpJson(Json(std::string(nodename))), R"(, "iv": ")",
                  iv_text, R"(", "data": ")");
  const size_t data_at = packet.size();
  AppendBase64(*ciphertext, &packet);
  if (mac == PacketMac::kAttached) {
    const std::string hmac =
        MacOf(key, nodename, clustername, iv_text, absl::string_view(packet).substr(data_at));
    absl::StrAppend(&packet, R"(", "hmac": ")", hmac);
  }
  absl::StrAppend(&packet, "\"}", absl::string_view("\0", 1));
  return packet;
}

std::string Seal(const Key& key, SecureRandom* random, absl::string_view clustername,
                 absl::string_view nodename, absl::string_view text, int level, PacketMac mac) {
  return SealCompressed(key, random, clustername, nodename, Compress(text, level), mac);
}

}  // namespace om
