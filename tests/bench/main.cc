// omd-bench: how much of what a bare server could do omd does. See README.md.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/base/file.h"
#include "tests/bench/bare_servers.h"
#include "tests/bench/cases.h"
#include "tests/bench/child_process.h"
#include "tests/bench/omd_under_test.h"
#include "tests/bench/watch_fan_out.h"

namespace om {
namespace {

#ifdef __OPTIMIZE__
constexpr char kBuild[] = "optimized";
#else
constexpr char kBuild[] = "not optimized: figures mean little";
#endif

constexpr size_t kMaxBodyBytes = size_t{64} << 20;

struct Flags {
  std::string filter;
  std::string json_path;
  std::string omd_program;
  int rounds = 0;
  double seconds = 0;
  bool smoke = false;
  bool list = false;
};

int Fail(absl::string_view what) {
  std::fprintf(stderr, "omd-bench: %s\n", std::string(what).c_str());
  return 1;
}

Json Machine() {
  double load[3] = {};
  if (getloadavg(load, 3) < 1) load[0] = std::nan("");
  return {{"cpus", std::thread::hardware_concurrency()},
          {"build", kBuild},
          {"load_average", std::round(load[0] * 100) / 100}};
}

// Interrupted, nothing may be left over either: a thread waits for the signals, so that it may do
// what a signal handler may not.
void CleanUpOnSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGHUP, SIGINT, SIGTERM}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  std::thread([signals] {
    int received = 0;
    sigwait(&signals, &received);
    ChildProcess::KillAll();
    ScratchDirectory::RemoveAll();
    _exit(128 + received);
  }).detach();
}

int Run(const Flags& flags) {
  CleanUpOnSignals();
  BenchSettings settings;
  settings.smoke = flags.smoke;
  settings.rounds = flags.rounds > 0 ? flags.rounds : flags.smoke ? 1 : 7;
  const double seconds = flags.seconds > 0 ? flags.seconds : flags.smoke ? 0.2 : 3.0;
  settings.side_duration = std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
  settings.omd_program = flags.omd_program.empty()
                             ? std::filesystem::path(OwnProgram()).replace_filename("omd").string()
                             : flags.omd_program;
  if (access(settings.omd_program.c_str(), X_OK) != 0) {
    return Fail(
        absl::StrCat("there is no program ", settings.omd_program, "; name one with --omd"));
  }
  const Json machine = Machine();
  Json report = {{"machine", machine},
                 {"rounds", settings.rounds},
                 {"seconds_per_side", seconds},
                 {"benchmarks", Json::array()}};
  std::printf("%u CPUs, load average %.2f before, build %s; %d rounds of %g s a side\n\n",
              machine["cpus"].get<unsigned>(), machine["load_average"].get<double>(), kBuild,
              settings.rounds, seconds);
  int selected = 0;
  int failed = 0;
  for (const Benchmark& benchmark : AllBenchmarks()) {
    if (benchmark.name.find(flags.filter) == std::string::npos) continue;
    ++selected;
    if (flags.list) {
      std::printf("%-28s %s\n", benchmark.name.c_str(), benchmark.what.c_str());
      continue;
    }
    const absl::StatusOr<Json> result = RunBenchmark(benchmark, settings);
    if (!result.ok()) {
      ++failed;
      (void)Fail(absl::StrCat(benchmark.name, ": ", result.status().message()));
      continue;
    }
    std::printf("%s\n", FormatResult(*result).c_str());
    std::fflush(stdout);
    report["benchmarks"].push_back(*result);
  }
  if (selected == 0)
    return Fail(absl::StrCat("no benchmark has \"", flags.filter, "\" in its name"));
  if (!flags.json_path.empty() && !flags.list) {
    std::ofstream file(flags.json_path);
    file << report.dump(2) << '\n';
    if (!file.flush()) return Fail(absl::StrCat("cannot write ", flags.json_path));
  }
  return failed == 0 ? 0 : 1;
}

// The processes that Run() starts.
int Exec(std::vector<std::string> argv) {
  DieWithParent();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  std::vector<char*> pointers;
  for (std::string& word : argv) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  execv(pointers[0], pointers.data());
  return Fail(absl::StrCat("cannot run ", argv[0]));
}

int Serve(const std::vector<std::string>& words) {
  DieWithParent();
  const auto body = [](const std::string& path) {
    absl::StatusOr<FileContent> content = ReadFile(path, kMaxBodyBytes);
    return content.ok() ? std::move(content->text) : std::string();
  };
  if (words.size() == 3 && words[0] == "echo") return ServeEcho(words[1], body(words[2]));
  if (words.size() == 2 && words[0] == "reply") return ServeReply(body(words[1]));
  if (words.size() == 1 && words[0] == "close") return ServeClose();
  int rate = 0;
  if (words.size() == 3 && words[0] == "watch" && absl::SimpleAtoi(words[2], &rate) && rate > 0) {
    return ServeWatchFanOut(words[1], rate);
  }
  return Fail("serve echo SOCKET FILE | reply FILE | close | watch SOCKET RATE");
}

}  // namespace
}  // namespace om

int main(int argc, char** argv) {
  const std::string mode = argc > 2 ? argv[1] : "";
  const std::vector<std::string> words(argv + std::min(argc, 2), argv + argc);
  if (mode == "exec") return om::Exec(words);
  if (mode == "serve") return om::Serve(words);

  om::Flags flags;
  CLI::App app{"Measures omd against bare servers. Starts a daemon of its own on loopback."};
  app.add_option("--filter", flags.filter, "Only benchmarks with TEXT in their name")
      ->type_name("TEXT");
  app.add_option("--rounds", flags.rounds, "Rounds of all sides, 7 unless given")
      ->check(CLI::Range(1, 1000));
  app.add_option("--seconds", flags.seconds, "Length of each side of a round, 3 unless given")
      ->check(CLI::Range(0.1, 60.0));
  app.add_option("--json", flags.json_path, "Also write the figures to FILE")->type_name("FILE");
  app.add_option("--omd", flags.omd_program,
                 "The daemon; unless given, the one beside this program")
      ->type_name("PROGRAM");
  app.add_flag("--smoke", flags.smoke, "Show that everything runs; the figures mean nothing");
  app.add_flag("--list", flags.list, "List the benchmarks");
  CLI11_PARSE(app, argc, argv);
  return om::Run(flags);
}
