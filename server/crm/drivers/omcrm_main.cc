// omcrm: the built-in resource manager. One process an action on an instance:
//   omcrm -s <path>[,<path>...] <action> [options] [--root DIR] [--local]
#include <signal.h>
#include <stdio.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/crm/drivers/arguments.h"
#include "server/crm/drivers/command.h"
#include "server/crm/drivers/program.h"
#include "server/crm/drivers/run_self.h"

extern char** environ;

namespace om {
namespace {

// With --parallel, objects are shared out to that many processes at a time ...
constexpr size_t kProcesses = 8;
// ... of few enough objects each that one that hangs keeps few others waiting.
constexpr size_t kMaxShare = 32;

int RunShared(const Arguments& arguments, int argc, char** argv, Interrupt* interrupt) {
  SelfRuns runs;
  runs.at_once = kProcesses;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    runs.environment.emplace_back(*variable);
  }
  const size_t count = arguments.paths.size();
  const size_t share = std::clamp<size_t>(count / (4 * kProcesses), 1, kMaxShare);
  for (size_t begin = 0; begin < count; begin += share) {
    const size_t end = std::min(count, begin + share);
    std::vector<std::string> words;
    for (int i = 1; i < argc; ++i) {
      if (absl::string_view(argv[i]) != "--parallel") words.emplace_back(argv[i]);
    }
    // Of several, the last counts.
    words.push_back("-s");
    words.push_back(absl::StrJoin(arguments.paths.begin() + static_cast<std::ptrdiff_t>(begin),
                                  arguments.paths.begin() + static_cast<std::ptrdiff_t>(end), ","));
    // A process of one object tells its state, which is not asked of several.
    words.push_back("--several");
    runs.arguments.push_back(std::move(words));
  }
  const absl::StatusOr<std::vector<int>> codes = RunSelf(runs, interrupt);
  if (!codes.ok()) {
    fprintf(stderr, "omcrm: %s\n", std::string(codes.status().message()).c_str());
    return 1;
  }
  const bool ok = std::all_of(codes->begin(), codes->end(), [](int code) { return code == 0; });
  return ok ? 0 : 1;
}

int Main(int argc, char** argv) {
  if (argc > 1 && absl::string_view(argv[1]) == "--launch") return LaunchMain(argc, argv);
  if (argc > 1 && (absl::string_view(argv[1]) == "--help" || absl::string_view(argv[1]) == "-h")) {
    fputs(std::string(Usage()).c_str(), stdout);
    return 0;
  }
  signal(SIGPIPE, SIG_IGN);  // The daemon may go away while we tell it something.
  signal(SIGXFSZ, SIG_IGN);  // A file that may not grow is an error that can be told.
  const absl::StatusOr<Arguments> arguments = ParseArguments(argc, argv);
  if (!arguments.ok()) {
    fprintf(stderr, "omcrm: %s\n%s", std::string(arguments.status().message()).c_str(),
            std::string(Usage()).c_str());
    return 1;
  }
  const ActionInfo* const action = FindAction(arguments->action);
  if (action == nullptr) {
    fprintf(stderr,
            "omcrm: it has no action \"%s\"; set crm.command of node.conf to a resource manager "
            "that has it\n",
            arguments->action.c_str());
    return 1;
  }
  if (arguments->paths.size() > 1 && !action->several) {
    fprintf(stderr, "omcrm: \"%s\" takes one path\n", arguments->action.c_str());
    return 1;
  }
  std::string root = arguments->root;
  if (root.empty() && getenv("OM_ROOT") != nullptr) root = getenv("OM_ROOT");
  const Roots roots = root.empty() ? Roots::Packaged() : Roots::Under(root);
  Interrupt interrupt = Interrupt::FromSignals();
  if (arguments->parent_pid != 0 && !FollowParent(arguments->parent_pid)) return 1;
  if (arguments->parallel && arguments->paths.size() > 1) {
    return RunShared(*arguments, argc, argv, &interrupt);
  }
  int exit_code = 0;
  for (const std::string& path : arguments->paths) {
    Command command(&*arguments, action, roots, &interrupt);
    const int code = command.Run(path);
    if (arguments->paths.size() == 1 && !arguments->several) return code;
    if (command.failed()) exit_code = 1;  // Of several, no state is told.
    if (interrupt.Requested()) return 1;
  }
  return exit_code;
}

}  // namespace
}  // namespace om

int main(int argc, char** argv) { return om::Main(argc, argv); }
