// What omd is measured against: servers that do nothing but answer. Each is a process of its own.
#ifndef OM_TESTS_BENCH_BARE_SERVERS_H_
#define OM_TESTS_BENCH_BARE_SERVERS_H_

#include <string>

#include "absl/strings/string_view.h"

namespace om {

// Each prints one line once it serves, and then serves until it is killed; they return only if they
// cannot begin, with an exit code.

// gRPC with the callback API on the Unix socket `path`; Tell() gives `body`, Stream()
// the same in chunks of 64 KiB. Prints "ready".
int ServeEcho(const std::string& path, const std::string& body);

// One request a connection: reads up to a zero byte, sends `reply`, closes. One thread on loopback,
// as omd's packet door has one. Prints the port.
int ServeReply(const std::string& reply);

// Accepts and closes. Prints the port.
int ServeClose();

}  // namespace om

#endif  // OM_TESTS_BENCH_BARE_SERVERS_H_
