// Randomness, injected like time. Random is for schedules and jitter and is seeded; SecureRandom is
// for keys, nonces and tokens.
#ifndef OM_SERVER_BASE_RANDOM_H_
#define OM_SERVER_BASE_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

#include "absl/strings/string_view.h"

namespace om {

// Repeatable: the same seed gives the same sequence. Not for secrets. Confined to one thread.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  // Uniform in [0, bound); `bound` must be positive.
  uint64_t Below(uint64_t bound) {
    return std::uniform_int_distribution<uint64_t>(0, bound - 1)(engine_);
  }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

 private:
  std::mt19937_64 engine_;
};

// Unpredictable bytes. THREAD: any.
class SecureRandom {
 public:
  virtual ~SecureRandom() = default;
  virtual void Fill(void* buffer, size_t size_bytes) = 0;

  std::string Bytes(size_t size_bytes);
  // `length` characters drawn uniformly from `alphabet` (2 to 256 characters).
  std::string Text(size_t length, absl::string_view alphabet);
  // A random (version 4) UUID in its lower-case text form.
  std::string Uuid();
};

// The kernel's generator.
class SystemRandom final : public SecureRandom {
 public:
  void Fill(void* buffer, size_t size_bytes) override;
};

}  // namespace om

#endif  // OM_SERVER_BASE_RANDOM_H_
