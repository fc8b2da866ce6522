#include "server/base/random.h"

#include <sys/random.h>

#include <cerrno>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace om {

std::string SecureRandom::Bytes(size_t size_bytes) {
  std::string bytes(size_bytes, '\0');
  Fill(bytes.data(), bytes.size());
  return bytes;
}

std::string SecureRandom::Text(size_t length, absl::string_view alphabet) {
  CHECK(alphabet.size() >= 2 && alphabet.size() <= 256);
  // Bytes past the last whole multiple of the alphabet are thrown away: a plain modulo would favour
  // its first characters.
  const size_t limit = 256 - 256 % alphabet.size();
  std::string text;
  while (text.size() < length) {
    uint8_t byte = 0;
    Fill(&byte, 1);
    if (byte < limit) text.push_back(alphabet[byte % alphabet.size()]);
  }
  return text;
}

std::string SecureRandom::Uuid() {
  std::string bytes = Bytes(16);
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x40);  // Version 4 (RFC 4122, 4.4).
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);  // Variant 1.
  const std::string hex = absl::BytesToHexString(bytes);
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-",
                      hex.substr(16, 4), "-", hex.substr(20));
}

void SystemRandom::Fill(void* buffer, size_t size_bytes) {
  char* out = static_cast<char*>(buffer);
  while (size_bytes > 0) {
    const ssize_t got = getrandom(out, size_bytes, 0);
    if (got < 0) {
      CHECK_EQ(errno, EINTR) << "getrandom failed";
      continue;
    }
    out += got;
    size_bytes -= static_cast<size_t>(got);
  }
}

}  // namespace om
