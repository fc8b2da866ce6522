// How fast omd streams a log, against a bare server that streams the same bytes from its memory.
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "om/control/v1/log.pb.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "tests/bench/cases.h"
#include "tests/bench/child_process.h"
#include "tests/bench/omd_under_test.h"

namespace om {
namespace {

using Milliseconds = std::chrono::milliseconds;

constexpr Milliseconds kLogStartLimit{20'000};
constexpr size_t kLogBytes = size_t{32} << 20;
constexpr size_t kSmokeLogBytes = size_t{1} << 20;

struct LogPair {
  std::unique_ptr<OmdUnderTest> omd;
  std::optional<ChildProcess> bare;
};

// Lines as they stand in the logs of services, a hundred bytes each or so.
std::string LogText(size_t bytes, int64_t* line_count) {
  std::string text;
  text.reserve(bytes + 200);
  for (*line_count = 0; text.size() < bytes; ++*line_count) {
    const int64_t i = *line_count;
    absl::StrAppendFormat(
        &text,
        "2026-11-22 %02d:%02d:%02d,%03d - %s.svc0000.app#1 - INFO - output %d of the program\n",
        i / 3'600'000 % 24, i / 60'000 % 60, i / 1000 % 60, i % 1000, OmdUnderTest::kNode, i);
  }
  return text;
}

absl::StatusOr<BenchSetup> PrepareLog(const BenchSettings& settings, bool raw, int readers) {
  auto pair = std::make_shared<LogPair>();
  ASSIGN_OR_RETURN(pair->omd, OmdUnderTest::Start(settings.omd_program, /*service_count=*/1));
  int64_t lines = 0;
  const std::string text = LogText(settings.smoke ? kSmokeLogBytes : kLogBytes, &lines);
  const std::string path = absl::StrCat(pair->omd->scratch(), "/log/svc0000.log");
  RETURN_IF_ERROR(WriteFileAtomically(path, text, {}));
  const std::string socket = absl::StrCat(pair->omd->scratch(), "/echo.sock");
  ASSIGN_OR_RETURN(ChildProcess bare,
                   ChildProcess::Start({OwnProgram(), "serve", "echo", socket, path},
                                       absl::StrCat(pair->omd->scratch(), "/bare.txt")));
  pair->bare = std::move(bare);
  RETURN_IF_ERROR(pair->bare->ReadLine(kLogStartLimit).status());

  control::v1::ReadLogRequest request;
  request.set_path("svc0000");
  request.set_whole_file(true);
  request.set_raw(raw);
  StreamLoad load;
  load.min_bytes = text.size();
  // Rates are in KiB a second, or in lines.
  load.requests_a_stream = raw ? static_cast<int64_t>(text.size() >> 10) : lines;
  load.channel_count = readers;
  const auto side = [load](const ChildProcess* server, const std::string& target,
                           const std::string& method, const std::string& message) {
    return [=](Milliseconds duration) -> absl::StatusOr<SideSample> {
      StreamLoad timed = load;
      timed.target = target;
      timed.method = method;
      timed.request = message;
      timed.duration = duration;
      SideSample sample;
      ASSIGN_OR_RETURN(const double before, server->CpuSeconds());
      sample.load = RunStreamLoad(timed);
      ASSIGN_OR_RETURN(const double after, server->CpuSeconds());
      sample.server_cpu_seconds = after - before;
      return sample;
    };
  };
  BenchSetup setup;
  setup.omd = {raw ? "omd ReadLog, raw (KiB)" : "omd ReadLog, parsed (lines)",
               side(pair->omd->process(), pair->omd->grpc_target(),
                    "/om.control.v1.LogService/ReadLog", request.SerializeAsString())};
  setup.references.push_back(
      {"bare stream of the bytes",
       side(&*pair->bare, absl::StrCat("unix:", socket), "/om.bench.v1.EchoService/Stream", "")});
  setup.facts = {{"log_bytes", text.size()},
                 {"log_lines", lines},
                 {"readers", readers},
                 {"request", raw ? "KiB" : "line"}};
  setup.keep = pair;
  return setup;
}

}  // namespace

std::vector<Benchmark> LogBenchmarks() {
  std::vector<Benchmark> all;
  const auto add = [&all](const std::string& name, const std::string& what, double goal, bool raw,
                          int readers) {
    Benchmark log;
    log.name = name;
    log.what = what;
    log.goal = goal;
    log.prepare = [raw, readers](const BenchSettings& settings) {
      return PrepareLog(settings, raw, readers);
    };
    all.push_back(std::move(log));
  };
  add("log_raw", "a log in chunks of 64 KiB, a request is a KiB, one reader", 0.8, true, 1);
  add("log_raw_4", "the same, four readers", 0.8, true, 4);
  // No goal: a bare stream parses nothing.
  add("log_parsed", "a log as parsed lines, a request is a line, one reader", 0, false, 1);
  return all;
}

}  // namespace om
