// omd-guard: kills the instances that omd may no longer run, when omd cannot.
#include <getopt.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "server/guard/guard_server.h"

namespace {

// Not on the stack, which is small, and not from the heap, which nothing else needs.
alignas(om::GuardServer) char server_memory[sizeof(om::GuardServer)];

constexpr long kMaxBoundMs = 600000;

int Usage() {
  fprintf(stderr,
          "usage: omd-guard --folder DIR [--split-action stop|reboot|crash]\n"
          "                 [--sysrq-trigger FILE] [--kill-bound-ms N] [--ready-fd N]\n");
  return 2;
}

// Whole decimal numbers from `least` to `most`.
bool ReadNumber(const char* text, long least, long most, long* number) {
  char* end = nullptr;
  *number = strtol(text, &end, 10);
  return end != text && *end == 0 && *number >= least && *number <= most;
}

}  // namespace

int main(int argc, char** argv) {
  const option options[] = {{"folder", required_argument, nullptr, 'f'},
                            {"split-action", required_argument, nullptr, 'a'},
                            {"sysrq-trigger", required_argument, nullptr, 't'},
                            {"kill-bound-ms", required_argument, nullptr, 'b'},
                            {"ready-fd", required_argument, nullptr, 'r'},
                            {nullptr, 0, nullptr, 0}};
  om::GuardServerOptions server;
  long number = 0;
  for (int given; (given = getopt_long(argc, argv, "", options, nullptr)) != -1;) {
    switch (given) {
      case 'f':
        server.folder = optarg;
        break;
      case 'a':
        if (strcmp(optarg, "stop") == 0) {
          server.split_action = om::SplitAction::kStop;
        } else if (strcmp(optarg, "reboot") == 0) {
          server.split_action = om::SplitAction::kReboot;
        } else if (strcmp(optarg, "crash") == 0) {
          server.split_action = om::SplitAction::kCrash;
        } else {
          fprintf(stderr, "omd-guard: --split-action \"%s\" is not stop, reboot or crash\n",
                  optarg);
          return 2;
        }
        break;
      case 't':
        server.sysrq_trigger = optarg;
        break;
      case 'b':
        if (!ReadNumber(optarg, 1, kMaxBoundMs, &number)) {
          fprintf(stderr, "omd-guard: --kill-bound-ms \"%s\" is not 1 to %ld\n", optarg,
                  kMaxBoundMs);
          return 2;
        }
        server.kill_bound_ns = int64_t{number} * 1000 * 1000;
        break;
      case 'r':
        if (!ReadNumber(optarg, 3, 1 << 20, &number)) {
          fprintf(stderr, "omd-guard: --ready-fd \"%s\" is no descriptor from 3\n", optarg);
          return 2;
        }
        server.ready_fd = static_cast<int>(number);
        break;
      default:
        return Usage();
    }
  }
  if (server.folder == nullptr || optind != argc) return Usage();
  return (new (server_memory) om::GuardServer(server))->Run();
}
