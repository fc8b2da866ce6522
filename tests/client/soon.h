// A deadline for what should not take long, and may on a busy machine.
#ifndef OM_TESTS_CLIENT_SOON_H_
#define OM_TESTS_CLIENT_SOON_H_

#include <chrono>

#include "server/base/clock.h"

namespace om {

inline MonotonicTime Soon() { return std::chrono::steady_clock::now() + std::chrono::minutes(3); }

}  // namespace om

#endif  // OM_TESTS_CLIENT_SOON_H_
