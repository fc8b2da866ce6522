// A "secure" source that repeats itself, so that encoded bytes can be compared.
#ifndef OM_TESTS_SUPPORT_FAKE_RANDOM_H_
#define OM_TESTS_SUPPORT_FAKE_RANDOM_H_

#include <cstring>
#include <string>
#include <utility>

#include "server/base/random.h"

namespace om {

// Gives out `script` once, byte by byte, then a counter: 0, 1, 2 ...
class FakeSecureRandom final : public SecureRandom {
 public:
  explicit FakeSecureRandom(std::string script = "") : script_(std::move(script)) {}
  void Fill(void* buffer, size_t size_bytes) override {
    char* out = static_cast<char*>(buffer);
    for (size_t i = 0; i < size_bytes; ++i) {
      out[i] = position_ < script_.size() ? script_[position_++] : static_cast<char>(next_++);
    }
  }

 private:
  const std::string script_;
  size_t position_ = 0;
  unsigned char next_ = 0;
};

// Repeatable by its seed, and never the same twice in one run.
class SeededSecureRandom final : public SecureRandom {
 public:
  explicit SeededSecureRandom(uint64_t seed) : random_(seed) {}
  void Fill(void* buffer, size_t size_bytes) override {
    char* out = static_cast<char*>(buffer);
    for (size_t i = 0; i < size_bytes; ++i) out[i] = static_cast<char>(random_.Below(256));
  }

 private:
  Random random_;
};

}  // namespace om

#endif  // OM_TESTS_SUPPORT_FAKE_RANDOM_H_
