// The legacy encryption: zlib, then AES-CBC under the cluster's secret, then base64 in an envelope.
//
// What it cannot promise: CBC without a MAC hides, but authenticates nothing. Only zlib's header
// check and its Adler-32, an unkeyed sum, stand between an altered packet and its acceptance. Some
// alterations always pass: of the envelope's two names; of padding bytes other than the last; of
// anything after the end of the zlib stream; and, by way of the IV, of the bits of the zlib header
// that do not change what is decoded. None of these changes the text that comes out. Authority
// rests on knowing the key, never on the names.
//
// A MAC in the envelope, which old agents neither send nor look at, covers both names, the IV and
// the data, and is checked before any of them is decoded. It proves that who wrote these five knows
// the secret; not which node that was, for all have the same secret, nor when.
//
// Everything here is a pure function of its arguments. THREAD: any.
#ifndef OM_COMPAT_WIRE_CRYPTO_H_
#define OM_COMPAT_WIRE_CRYPTO_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "compat/wire/envelope.h"
#include "server/base/random.h"

namespace om {

// Limit of an inflated text unless configured otherwise: 1 MiB can inflate to 1 GiB.
inline constexpr size_t kDefaultMaxTextBytes = size_t{16} << 20;

// The level of legacy senders, 1 (fast) to 9 (small); receivers take any.
inline constexpr int kDefaultZlibLevel = 6;

// An AES key, and the key of MACs that is derived from it. Their bytes are wiped when it goes.
class Key {
 public:
  // The first 32 bytes of `secret`, a UTF-8 text, as they are: no hashing, no hex decoding, no
  // trimming. With `allow_short_secret` also secrets of exactly 16 or 24 bytes, which give AES-128
  // and AES-192. INVALID_ARGUMENT otherwise; the message tells the length, never the secret.
  static absl::StatusOr<Key> FromSecret(absl::string_view secret, bool allow_short_secret = false);

  Key(const Key&) = default;
  Key& operator=(const Key&) = default;
  ~Key();

  const uint8_t* data() const { return bytes_.data(); }
  size_t size_bytes() const { return size_bytes_; }  // 16, 24 or 32.
  // HKDF-SHA256 of the AES key's bytes: without salt, and with the info "om packet mac v1".
  const std::array<uint8_t, 32>& mac_key() const { return mac_key_; }

 private:
  Key() = default;
  std::array<uint8_t, 32> bytes_{};
  std::array<uint8_t, 32> mac_key_{};
  size_t size_bytes_ = 0;
};

// Whether the key part of `secret` reads like a version-1 UUID in hex, the default of old agents:
// it is made of a clock and a network address, and can be guessed.
bool LooksLikeUuid1(absl::string_view secret);

// Names a packet for the detection of replays: SHA-256 over ciphertext, made by OpenPacket().
//
// It covers the ciphertext's blocks up to the end of the zlib stream, without the last of them if
// there are several. Every block of a CBC message depends on its random IV, so two messages never
// share these, equal texts included. What is left out is what an eavesdropper can alter at will:
// the base64 spelling, the padding, junk after the stream, and the IV, with which the zlib header
// can be rewritten. A digest over all bytes would take such a copy for a new packet.
using PacketDigest = std::array<uint8_t, 32>;

struct OpenedPacket {
  std::string text;
  PacketDigest digest;
};

// Second stage of the validation of a packet, after the blacklist: base64, AES, padding, zlib.
// Every failure is *counted* against the sender, and all of them are one and the same error,
// UNAUTHENTICATED, after about the same work: which step failed would help to decrypt. That
// includes a text longer than `max_text_bytes`; no more than that is ever inflated.
//
// Only the last byte of the padding is read (1 to 16), as legacy receivers do. A digest that was
// seen before is a replay: the caller counts it like a failure. Digests of packets that did not
// open need not be remembered.
absl::StatusOr<OpenedPacket> OpenPacket(const Key& key, const Envelope& envelope,
                                        size_t max_text_bytes = kDefaultMaxTextBytes);

// The MAC of an envelope, as its member `hmac` spells it: base64 of the HMAC-SHA256, under the
// derived key, of the four texts as they stand in the envelope, in this order: nodename,
// clustername, iv, data; each after its length as 8 bytes, big end first, so that no two envelopes
// have the same bytes under the MAC.
std::string MacOf(const Key& key, absl::string_view nodename, absl::string_view clustername,
                  absl::string_view iv, absl::string_view data);

// Whether the envelope's MAC is the one that `key` gives. False without one. Compares in constant
// time; nothing of the envelope is decoded.
bool CheckMac(const Key& key, const Envelope& envelope);

// Whether a packet that is sealed gets a MAC.
enum class PacketMac { kNone, kAttached };

// First half of sealing, the expensive one and the same for all recipients: a reply that many ask
// for is compressed once. `level` is 1 to 9.
std::string Compress(absl::string_view text, int level = kDefaultZlibLevel);

// Second half: the packet as it goes on the wire, final NUL included. The IV, 16 bytes, is fresh
// from `random` each time. `clustername` and `nodename` are the sender's own.
std::string SealCompressed(const Key& key, SecureRandom* random, absl::string_view clustername,
                           absl::string_view nodename, absl::string_view compressed,
                           PacketMac mac = PacketMac::kNone);

// Both halves.
std::string Seal(const Key& key, SecureRandom* random, absl::string_view clustername,
                 absl::string_view nodename, absl::string_view text, int level = kDefaultZlibLevel,
                 PacketMac mac = PacketMac::kNone);

// Bare AES-CBC without padding, for published test vectors. `iv` must have 16 bytes and `blocks` a
// multiple of 16, at least one block: INVALID_ARGUMENT otherwise.
absl::StatusOr<std::string> EncryptBlocks(const Key& key, absl::string_view iv,
                                          absl::string_view blocks);
absl::StatusOr<std::string> DecryptBlocks(const Key& key, absl::string_view iv,
                                          absl::string_view blocks);

}  // namespace om

#endif  // OM_COMPAT_WIRE_CRYPTO_H_
