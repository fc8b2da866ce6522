// The benchmarks that there are.
#ifndef OM_TESTS_BENCH_CASES_H_
#define OM_TESTS_BENCH_CASES_H_

#include <vector>

#include "tests/bench/benchmark.h"

namespace om {

std::vector<Benchmark> AllBenchmarks();

// Parts of it.
std::vector<Benchmark> LogBenchmarks();
std::vector<Benchmark> ActionBenchmarks();
std::vector<Benchmark> WatchBenchmarks();

}  // namespace om

#endif  // OM_TESTS_BENCH_CASES_H_
