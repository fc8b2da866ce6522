// Compares omd with bare servers in interleaved rounds.
#ifndef OM_TESTS_BENCH_BENCHMARK_H_
#define OM_TESTS_BENCH_BENCHMARK_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/json.h"
#include "tests/bench/load.h"

namespace om {

struct BenchSettings {
  std::string omd_program;
  int rounds = 7;
  std::chrono::milliseconds side_duration{3000};  // Of each side in each round.
  // Tiny states and loads: shows that everything runs, measures nothing.
  bool smoke = false;
};

// What one side did in one round.
struct SideSample {
  LoadResult load;
  double server_cpu_seconds = 0;
  int64_t change_count = 0;    // Made by the Changer.
  int64_t revision_count = 0;  // By which the state's revision grew.
};

// One of the things that are compared.
struct Side {
  std::string name;
  std::function<absl::StatusOr<SideSample>(std::chrono::milliseconds duration)> run;
};

enum class Metric {
  kRate,        // Requests a second; the more the better, a goal is a lower bound.
  kP99Latency,  // The less the better, a goal is an upper bound.
};

// What a benchmark runs on. Destroyed with it, on the thread that made it.
struct BenchSetup {
  Side omd;
  std::vector<Side> references;  // The goal is about the first.
  Json facts = Json::object();   // Sizes, rates: what the figures hang on.
  std::shared_ptr<void> keep;    // Processes and files behind the sides.
};

struct Benchmark {
  std::string name;
  std::string what;  // One line.
  Metric metric = Metric::kRate;
  double goal = 0;  // Of the median ratio of omd to the first reference.
  std::function<absl::StatusOr<BenchSetup>(const BenchSettings&)> prepare;
};

// Past this spread a ratio is called noisy.
inline constexpr double kNoisySpread = 0.15;

// What the ratio of rates would be if servers and clients had all CPUs for themselves and used them
// up: of CPU time a request, on both ends, the reference's to omd's. Nearly untouched by what else
// the machine does.
double CpuRatio(const SideSample& omd, const SideSample& reference);

// A ratio over the rounds.
struct RatioSummary {
  double median = 0;
  double min = 0;
  double max = 0;
  double spread() const { return median > 0 ? (max - min) / median : 0; }
  bool noisy() const { return spread() > kNoisySpread; }
};
// `values` must not be empty.
RatioSummary Summarize(std::vector<double> values);

// Runs `settings.rounds` rounds; each runs every side once, and the next round in the opposite
// order, so that what drifts on the machine drifts over both. A short run of every side comes first
// and is thrown away. An error if a side got no answers, or wrong ones to more than one request in
// a hundred.
absl::StatusOr<Json> RunBenchmark(const Benchmark& benchmark, const BenchSettings& settings);

// A few lines about one result, for people.
std::string FormatResult(const Json& result);

}  // namespace om

#endif  // OM_TESTS_BENCH_BENCHMARK_H_
