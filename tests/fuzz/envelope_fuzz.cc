// Everything a stranger's bytes meet in compat/wire. A fuzzer does not find its way through AES, so
// each input is tried on each side of it: as what is received, and as what was encrypted.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "compat/wire/crypto.h"
#include "compat/wire/encoding.h"
#include "compat/wire/envelope.h"
#include "compat/wire/frame.h"
#include "compat/wire/request.h"
#include "glog/logging.h"
#include "server/base/random.h"

namespace om {
namespace {

constexpr size_t kMaxTextBytes = size_t{1} << 20;

const Key& TestKey() {
  static const Key* const key = new Key(*Key::FromSecret("0123456789abcdef0123456789abcdef"));
  return *key;
}

void Interpret(absl::string_view text) {
  const ParsedRequest parsed = ParseRequest(text);
  if (parsed.outcome == ParsedRequest::Outcome::kRefused) {
    CHECK(parsed.refusal.is_object());
    return;
  }
  CHECK(parsed.request.options.is_object());
  ObjectPathOption(parsed.request.options).IgnoreError();
}

void Open(const Envelope& envelope) {
  // One that was not made with the key passes with a chance of 1 in 2^256.
  CHECK(!CheckMac(TestKey(), envelope));
  const absl::StatusOr<OpenedPacket> opened = OpenPacket(TestKey(), envelope, kMaxTextBytes);
  if (!opened.ok()) {
    CHECK(absl::IsUnauthenticated(opened.status()));
    return;
  }
  CHECK_LE(opened->text.size(), kMaxTextBytes);
  Interpret(opened->text);
}

void Receive(absl::string_view bytes) {
  RequestReader reader(size_t{1} << 16);
  // In two chunks, cut where the input says.
  const size_t cut = bytes.empty() ? 0 : static_cast<uint8_t>(bytes.back()) % bytes.size();
  reader.Feed(bytes.substr(0, cut));
  reader.Feed(bytes.substr(cut));
  if (reader.Finish() != RequestReader::State::kComplete) return;
  if (reader.kind() != RawRequestKind::kMessage) return;
  const std::string text = reader.TakeText();
  CHECK(DropInvalidUtf8(text) == text);
  const absl::StatusOr<Envelope> envelope = ParseEnvelope(text);
  if (envelope.ok()) Open(*envelope);
  Interpret(text);
}

void ReceiveEncrypted(std::string padded) {
  padded.resize((padded.size() + 15) / 16 * 16);
  if (padded.empty()) return;
  const std::string iv(16, 'i');
  Open({"demo", "node1", EncodeBase64(iv), EncodeBase64(*EncryptBlocks(TestKey(), iv, padded))});
}

void SealAndOpen(absl::string_view text) {
  if (text.size() > kMaxTextBytes) return;
  SystemRandom random;
  std::string wire = Seal(TestKey(), &random, "demo", text.substr(0, 8), text);
  wire.pop_back();
  const absl::StatusOr<Envelope> envelope = ParseEnvelope(wire);
  CHECK(envelope.ok()) << envelope.status();
  const absl::StatusOr<OpenedPacket> opened = OpenPacket(TestKey(), *envelope, kMaxTextBytes);
  CHECK(opened.ok()) << opened.status();
  CHECK(opened->text == text);
  Envelope with_mac = *envelope;
  with_mac.hmac =
      MacOf(TestKey(), with_mac.nodename, with_mac.clustername, with_mac.iv, with_mac.data);
  CHECK(CheckMac(TestKey(), with_mac));
  with_mac.nodename.push_back('x');
  CHECK(!CheckMac(TestKey(), with_mac));
}

void Base64(absl::string_view bytes) {
  const std::optional<std::string> decoded = DecodeBase64(bytes);
  if (decoded.has_value()) CHECK_LE(decoded->size(), bytes.size());
  const std::optional<std::string> again = DecodeBase64(EncodeBase64(bytes));
  CHECK(again.has_value() && *again == bytes);
}

}  // namespace
}  // namespace om

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  om::Receive(bytes);
  om::ReceiveEncrypted(std::string(bytes));
  om::SealAndOpen(bytes);
  om::Base64(bytes);
  return 0;
}
