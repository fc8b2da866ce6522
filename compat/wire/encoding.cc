#include "compat/wire/encoding.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace om {
namespace {

// Length of the valid UTF-8 sequence at the start of `text`; 0 if there is none.
size_t SequenceLength(absl::string_view text) {
  const auto at = [&text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = at(0);
  if (lead < 0x80) return 1;
  size_t length = 0;
  uint8_t low = 0x80;  // Bounds of the second byte; the others are always 80..bf.
  uint8_t high = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0) low = 0xa0;   // Below are overlong forms.
    if (lead == 0xed) high = 0x9f;  // Above are surrogates.
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;  // Above is past U+10FFFF.
  } else {
    return 0;
  }
  if (text.size() < length || at(1) < low || at(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

constexpr uint8_t kForeign = 0xff;

constexpr std::array<uint8_t, 256> MakeBase64Values() {
  std::array<uint8_t, 256> values{};
  for (uint8_t& value : values) value = kForeign;
  for (unsigned i = 0; i < 26; ++i) {
    values['A' + i] = static_cast<uint8_t>(i);
    values['a' + i] = static_cast<uint8_t>(26 + i);
  }
  for (unsigned i = 0; i < 10; ++i) values['0' + i] = static_cast<uint8_t>(52 + i);
  values['+'] = values['-'] = 62;
  values['/'] = values['_'] = 63;
  return values;
}

constexpr std::array<uint8_t, 256> kBase64Values = MakeBase64Values();

constexpr char kBase64Characters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// The two characters of each 12 bits: status documents are long, and sealed for every reply.
constexpr size_t kPairCount = 4096;
constexpr std::array<char, 2 * kPairCount> MakeBase64Pairs() {
  std::array<char, 2 * kPairCount> pairs{};
  for (size_t i = 0; i < kPairCount; ++i) {
    pairs[2 * i] = kBase64Characters[i >> 6];
    pairs[2 * i + 1] = kBase64Characters[i & 0x3f];
  }
  return pairs;
}

constexpr std::array<char, 2 * kPairCount> kBase64Pairs = MakeBase64Pairs();

// The characters of `bits`, less than 4096.
const char* PairOf(uint32_t bits) { return &kBase64Pairs[size_t{bits} * 2]; }

}  // namespace

std::string DropInvalidUtf8(std::string bytes) {
  size_t kept = 0;
  for (size_t i = 0; i < bytes.size();) {
    const size_t length = SequenceLength(absl::string_view(bytes).substr(i));
    if (length == 0) {
      // One byte at a time is enough: what follows a bad lead is either a lead of its own or a
      // continuation byte, which is invalid alone.
      ++i;
      continue;
    }
    for (size_t end = i + length; i < end; ++i) bytes[kept++] = bytes[i];
  }
  bytes.resize(kept);
  return bytes;
}

std::string EncodeBase64(absl::string_view bytes) {
  std::string text;
  AppendBase64(bytes, &text);
  return text;
}

void AppendBase64(absl::string_view bytes, std::string* out) {
  const size_t begin = out->size();
  out->resize(begin + (bytes.size() + 2) / 3 * 4, '=');
  // Pointers of our own: writing characters may alter anything else that the compiler can see.
  char* to = out->data() + begin;
  const auto* from = reinterpret_cast<const uint8_t*>(bytes.data());
  size_t left = bytes.size();
  for (; left >= 3; left -= 3, from += 3, to += 4) {
    const uint32_t bits = uint32_t{from[0]} << 16 | uint32_t{from[1]} << 8 | from[2];
    std::memcpy(to, PairOf(bits >> 12), 2);
    std::memcpy(to + 2, PairOf(bits & 0xfff), 2);
  }
  // What the last one or two bytes do not fill is padding already.
  if (left == 0) return;
  const uint32_t bits = uint32_t{from[0]} << 16 | (left == 2 ? uint32_t{from[1]} << 8 : 0);
  std::memcpy(to, PairOf(bits >> 12), 2);
  if (left == 2) to[2] = kBase64Characters[bits >> 6 & 0x3f];
}

std::optional<std::string> DecodeBase64(absl::string_view text) {
  std::string bytes(text.size() / 4 * 3 + 3, '\0');
  size_t size = 0;
  uint32_t quad = 0;  // The bits of the characters of an unfinished group of four.
  int in_quad = 0;
  int pads = 0;
  for (const char c : text) {
    if (c == '=') {
      if (in_quad >= 2 && in_quad + ++pads >= 4) {
        in_quad = 0;  // Complete: its whole bytes are out already.
        break;
      }
      continue;
    }
    const uint8_t value = kBase64Values[static_cast<uint8_t>(c)];
    if (value == kForeign) continue;
    pads = 0;
    quad = quad << 6 | value;
    switch (in_quad) {
      case 0:
        in_quad = 1;
        break;
      case 1:
        bytes[size++] = static_cast<char>(quad >> 4);
        in_quad = 2;
        break;
      case 2:
        bytes[size++] = static_cast<char>(quad >> 2);
        in_quad = 3;
        break;
      default:
        bytes[size++] = static_cast<char>(quad);
        in_quad = 0;
    }
  }
  if (in_quad != 0) return std::nullopt;
  bytes.resize(size);
  return bytes;
}

}  // namespace om
