// echo_as_user UID GID GROUP TARGET: becomes that user, with GROUP as its one supplementary group,
// calls the echo service once, and prints the reply. A program of its own, because a process that
// has used gRPC cannot fork.
#include <grp.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "tests/server/rpc/echo.h"

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: echo_as_user UID GID GROUP TARGET\n");
    return 2;
  }
  const gid_t group = static_cast<gid_t>(std::atoi(argv[3]));
  if (setgroups(1, &group) != 0 || setgid(static_cast<gid_t>(std::atoi(argv[2]))) != 0 ||
      setuid(static_cast<uid_t>(std::atoi(argv[1]))) != 0) {
    std::perror("echo_as_user");
    return 2;
  }
  const om::EchoReply reply = om::CallEcho(om::NewChannel(argv[4]), "hello");
  if (!reply.status.ok()) {
    std::fprintf(stderr, "%s\n", reply.status.error_message().c_str());
    return 1;
  }
  std::puts(reply.text.c_str());
  return 0;
}
