// The bare server that watches are compared with.
#ifndef OM_TESTS_BENCH_WATCH_FAN_OUT_H_
#define OM_TESTS_BENCH_WATCH_FAN_OUT_H_

#include <string>

namespace om {

// Serves EchoService.Watch on a Unix socket: makes a WatchStatusResponse with one changed object
// `rate` times a second and writes the same bytes to every stream; what a stream has not taken
// waits for it. Prints "ready" and runs until it is killed.
int ServeWatchFanOut(const std::string& socket, int rate);

}  // namespace om

#endif  // OM_TESTS_BENCH_WATCH_FAN_OUT_H_
