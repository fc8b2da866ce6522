// How many commands a second omd runs for clients, against nothing but starting the same program.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>

#include "om/control/v1/action.pb.h"
#include "server/base/status.h"
#include "tests/bench/cases.h"
#include "tests/bench/child_process.h"
#include "tests/bench/omd_under_test.h"

namespace om {
namespace {

using Milliseconds = std::chrono::milliseconds;

// What omd makes of the request below, with the `crm.command` of OmdUnderTest.
constexpr const char* kCommand[] = {"/bin/true", "-s", "svc0000", "start", "--local"};

// Starts the program and waits for its end. False if that went wrong.
bool RunOnce() {
  std::vector<char*> argv;
  for (const char* word : kCommand) argv.push_back(const_cast<char*>(word));
  argv.push_back(nullptr);
  pid_t pid = 0;
  int status = 0;
  return posix_spawn(&pid, argv[0], nullptr, nullptr, argv.data(), environ) == 0 &&
         waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// One program after the other on each of some threads.
LoadResult RunBareSpawns(int thread_count, Milliseconds duration) {
  std::vector<LoadResult> parts(static_cast<size_t>(thread_count));
  std::vector<std::thread> threads;
  const double cpu_before = OwnCpuSeconds();
  const auto begin = std::chrono::steady_clock::now();
  for (LoadResult& part : parts) {
    threads.emplace_back([&part, end = begin + duration] {
      while (std::chrono::steady_clock::now() < end) {
        if (RunOnce()) {
          ++part.request_count;
        } else {
          ++part.failure_count;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  LoadResult result;
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  result.client_cpu_seconds = OwnCpuSeconds() - cpu_before;
  for (const LoadResult& part : parts) {
    result.request_count += part.request_count;
    result.failure_count += part.failure_count;
  }
  return result;
}

absl::StatusOr<BenchSetup> PrepareAction(const BenchSettings& settings) {
  ASSIGN_OR_RETURN(std::unique_ptr<OmdUnderTest> started,
                   OmdUnderTest::Start(settings.omd_program, /*service_count=*/1));
  const std::shared_ptr<OmdUnderTest> omd = std::move(started);
  const int threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1U, 4U));

  control::v1::RunActionRequest request;
  request.mutable_command()->set_path("svc0000");
  request.mutable_command()->add_arguments("start");
  GrpcLoad load;
  load.target = omd->grpc_target();
  load.method = "/om.control.v1.ActionService/RunAction";
  load.request = request.SerializeAsString();
  load.min_reply_bytes = 36;  // An id at least.
  load.channel_count = settings.smoke ? 1 : threads;
  load.calls_per_channel = settings.smoke ? 1 : 4;

  BenchSetup setup;
  setup.omd = {"omd RunAction", [=](Milliseconds duration) -> absl::StatusOr<SideSample> {
                 SideSample sample;
                 ASSIGN_OR_RETURN(const int64_t count_before, omd->Counter("action.started"));
                 ASSIGN_OR_RETURN(const double before, omd->process()->CpuSeconds());
                 GrpcLoad timed = load;
                 timed.duration = duration;
                 sample.load = RunGrpcLoad(timed);
                 ASSIGN_OR_RETURN(const double after, omd->process()->CpuSeconds());
                 ASSIGN_OR_RETURN(const int64_t count_after, omd->Counter("action.started"));
                 sample.server_cpu_seconds = after - before;
                 // Answers without programs would measure nothing.
                 if (count_after - count_before < sample.load.request_count) {
                   return absl::InternalError("omd started fewer programs than it answered");
                 }
                 return sample;
               }};
  setup.references.push_back(
      {"bare posix_spawn", [threads](Milliseconds duration) -> absl::StatusOr<SideSample> {
         SideSample sample;
         sample.load = RunBareSpawns(threads, duration);
         return sample;
       }});
  setup.facts = {{"program", kCommand[0]},
                 {"spawning_threads", threads},
                 {"open_calls", load.channel_count * load.calls_per_channel}};
  setup.keep = omd;
  return setup;
}

}  // namespace

std::vector<Benchmark> ActionBenchmarks() {
  std::vector<Benchmark> all;
  Benchmark start;
  start.name = "action_start";
  start.what = "commands run for clients to their end, one service";
  start.goal = 0.7;
  start.prepare = PrepareAction;
  all.push_back(std::move(start));
  return all;
}

}  // namespace om
