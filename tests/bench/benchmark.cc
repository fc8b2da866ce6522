#include "tests/bench/benchmark.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/base/status.h"

namespace om {
namespace {

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double ValueOf(Metric metric, const SideSample& sample) {
  return metric == Metric::kRate ? sample.load.rate() : sample.load.LatencyQuantile(0.99);
}

// Rounded, so that people can read the document.
double Rounded(double value) {
  const double unit = value >= 100 ? 1 : 1000;
  return std::round(value * unit) / unit;
}

absl::StatusOr<SideSample> RunSide(const Side& side, std::chrono::milliseconds duration) {
  absl::StatusOr<SideSample> sample = side.run(duration);
  if (!sample.ok()) return Annotate(sample.status(), side.name);
  const LoadResult& load = sample->load;
  if (load.request_count == 0) {
    return absl::UnavailableError(
        absl::StrCat(side.name, " answered nothing, ", load.failure_count, " requests failed"));
  }
  if (load.failure_count > load.request_count / 100) {
    return absl::UnavailableError(absl::StrCat(side.name, " failed ", load.failure_count,
                                               " requests and answered ", load.request_count));
  }
  return sample;
}

// Medians over the rounds, and sums.
Json SideToJson(const std::string& name, Metric metric, const std::vector<SideSample>& samples) {
  std::vector<double> values;
  std::vector<double> client_us;
  std::vector<double> client_cores;
  std::vector<double> server_us;
  std::vector<double> p50;
  int64_t requests = 0;
  int64_t failures = 0;
  int64_t opened = 0;
  int64_t changes = 0;
  int64_t revisions = 0;
  double seconds = 0;
  for (const SideSample& sample : samples) {
    const auto count = static_cast<double>(sample.load.request_count);
    values.push_back(ValueOf(metric, sample));
    client_us.push_back(sample.load.client_cpu_seconds * 1e6 / count);
    client_cores.push_back(sample.load.client_cpu_seconds / sample.load.seconds);
    server_us.push_back(sample.server_cpu_seconds * 1e6 / count);
    p50.push_back(sample.load.LatencyQuantile(0.5));
    requests += sample.load.request_count;
    failures += sample.load.failure_count;
    opened += sample.load.opened_count;
    changes += sample.change_count;
    revisions += sample.revision_count;
    seconds += sample.load.seconds;
  }
  Json out = {{"name", name}};
  if (metric == Metric::kRate) {
    out["requests_per_second"] = Rounded(Median(values));
  } else {
    out["p99_ms"] = Rounded(Median(values));
    out["p50_ms"] = Rounded(Median(p50));
  }
  out["client_cpu_us_per_request"] = Rounded(Median(client_us));
  out["client_cpu_cores"] = Rounded(Median(client_cores));
  out["server_cpu_us_per_request"] = Rounded(Median(server_us));
  out["requests"] = requests;
  out["failures"] = failures;
  out["replies_opened"] = opened;
  out["changes_per_second"] = Rounded(static_cast<double>(changes) / seconds);
  out["revisions_per_second"] = Rounded(static_cast<double>(revisions) / seconds);
  return out;
}

Json RatioToJson(const std::vector<double>& values) {
  const RatioSummary summary = Summarize(values);
  Json rounds = Json::array();
  for (const double value : values) rounds.push_back(Rounded(value));
  return {{"median", Rounded(summary.median)}, {"min", Rounded(summary.min)},
          {"max", Rounded(summary.max)},       {"spread_percent", Rounded(summary.spread() * 100)},
          {"noisy", summary.noisy()},          {"rounds", std::move(rounds)}};
}

}  // namespace

double CpuRatio(const SideSample& omd, const SideSample& reference) {
  const auto seconds_a_request = [](const SideSample& sample) {
    return (sample.server_cpu_seconds + sample.load.client_cpu_seconds) /
           static_cast<double>(sample.load.request_count);
  };
  const double own = seconds_a_request(omd);
  return own > 0 ? seconds_a_request(reference) / own : 0;
}

RatioSummary Summarize(std::vector<double> values) {
  RatioSummary summary;
  const auto [min, max] = std::minmax_element(values.begin(), values.end());
  summary.min = *min;
  summary.max = *max;
  summary.median = Median(std::move(values));
  return summary;
}

absl::StatusOr<Json> RunBenchmark(const Benchmark& benchmark, const BenchSettings& settings) {
  absl::StatusOr<BenchSetup> setup = benchmark.prepare(settings);
  if (!setup.ok()) return Annotate(setup.status(), "preparing");
  std::vector<const Side*> sides = {&setup->omd};
  for (const Side& reference : setup->references) sides.push_back(&reference);
  for (const Side* side : sides) {
    RETURN_IF_ERROR(RunSide(*side, settings.side_duration / 5).status());
  }
  std::vector<std::vector<SideSample>> samples(sides.size());
  for (int round = 0; round < settings.rounds; ++round) {
    for (size_t i = 0; i < sides.size(); ++i) {
      const size_t which = round % 2 == 0 ? i : sides.size() - 1 - i;
      ASSIGN_OR_RETURN(SideSample sample, RunSide(*sides[which], settings.side_duration));
      samples[which].push_back(std::move(sample));
    }
  }

  const bool is_rate = benchmark.metric == Metric::kRate;
  Json result = {{"name", benchmark.name},
                 {"what", benchmark.what},
                 {"metric", is_rate ? "requests_per_second" : "p99_ms"},
                 {"goal", benchmark.goal},
                 {"facts", setup->facts}};
  result["sides"] = Json::array();
  result["ratios"] = Json::array();
  for (size_t i = 0; i < sides.size(); ++i) {
    result["sides"].push_back(SideToJson(sides[i]->name, benchmark.metric, samples[i]));
  }
  for (size_t i = 1; i < sides.size(); ++i) {
    std::vector<double> ratios;
    std::vector<double> cpu_ratios;
    for (size_t round = 0; round < samples[i].size(); ++round) {
      const double reference = ValueOf(benchmark.metric, samples[i][round]);
      if (reference <= 0) {
        return absl::InternalError(absl::StrCat(sides[i]->name, " gave no figure"));
      }
      ratios.push_back(ValueOf(benchmark.metric, samples[0][round]) / reference);
      cpu_ratios.push_back(CpuRatio(samples[0][round], samples[i][round]));
    }
    Json ratio = {{"reference", sides[i]->name}};
    ratio.update(RatioToJson(ratios));
    // Of latencies it would say nothing.
    if (is_rate) ratio["by_cpu_time"] = RatioToJson(cpu_ratios);
    result["ratios"].push_back(std::move(ratio));
  }
  const double median = result["ratios"][0]["median"].get<double>();
  result["goal_met"] = is_rate ? median >= benchmark.goal : median <= benchmark.goal;
  return result;
}

std::string FormatResult(const Json& result) {
  const bool is_rate = result["metric"] == "requests_per_second";
  std::string out = absl::StrFormat("%s: %s\n", result["name"].get<std::string>(),
                                    result["what"].get<std::string>());
  absl::StrAppendFormat(&out, "  %-34s %12s %12s %12s %12s %9s\n", "side",
                        is_rate ? "requests/s" : "p99 ms", "server us/r", "client us/r",
                        "client cores", "changes/s");
  for (const Json& side : result["sides"]) {
    absl::StrAppendFormat(
        &out, "  %-34s %12.6g %12.6g %12.6g %12.3g %9.3g\n", side["name"].get<std::string>(),
        side[is_rate ? "requests_per_second" : "p99_ms"].get<double>(),
        side["server_cpu_us_per_request"].get<double>(),
        side["client_cpu_us_per_request"].get<double>(), side["client_cpu_cores"].get<double>(),
        side["changes_per_second"].get<double>());
  }
  const auto line = [&out](absl::string_view what, const Json& ratio) {
    absl::StrAppendFormat(&out, "  %-34s %12.3f   rounds %.3f to %.3f, spread %.0f %%%s", what,
                          ratio["median"].get<double>(), ratio["min"].get<double>(),
                          ratio["max"].get<double>(), ratio["spread_percent"].get<double>(),
                          ratio["noisy"].get<bool>() ? ", noisy" : "");
  };
  bool first = true;
  for (const Json& ratio : result["ratios"]) {
    line(absl::StrCat("ratio to ", ratio["reference"].get<std::string>()), ratio);
    if (std::exchange(first, false)) {
      absl::StrAppendFormat(&out, "; goal %s %g: %s", is_rate ? "at least" : "at most",
                            result["goal"].get<double>(),
                            result["goal_met"].get<bool>() ? "met" : "not met");
    }
    out.push_back('\n');
    if (!is_rate) continue;
    line("  the same by CPU time", ratio["by_cpu_time"]);
    out.push_back('\n');
  }
  return out;
}

}  // namespace om
