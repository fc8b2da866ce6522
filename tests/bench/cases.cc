#include "tests/bench/cases.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "om/bench/v1/echo.pb.h"
#include "om/control/v1/daemon.pb.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "tests/bench/omd_under_test.h"

namespace om {
namespace {

using Milliseconds = std::chrono::milliseconds;

constexpr int kChangesASecond = 10;
constexpr Milliseconds kServerStartLimit{20'000};
constexpr char kStatusRequest[] = R"({"action": "daemon_status", "options": {}})";

// omd and the process it is compared with.
struct Pair {
  std::unique_ptr<OmdUnderTest> omd;
  std::optional<ChildProcess> bare;
};

absl::StatusOr<std::shared_ptr<Pair>> StartOmd(const BenchSettings& settings, int service_count) {
  auto pair = std::make_shared<Pair>();
  ASSIGN_OR_RETURN(pair->omd, OmdUnderTest::Start(settings.omd_program, service_count));
  return pair;
}

// Starts `serve <words>` of this program; its first line.
absl::StatusOr<std::string> StartBare(Pair* pair, std::vector<std::string> words) {
  words.insert(words.begin(), {OwnProgram(), "serve"});
  ASSIGN_OR_RETURN(ChildProcess child,
                   ChildProcess::Start(words, absl::StrCat(pair->omd->scratch(), "/bare.txt")));
  pair->bare = std::move(child);
  return pair->bare->ReadLine(kServerStartLimit);
}

absl::StatusOr<uint16_t> PortOf(const absl::StatusOr<std::string>& line) {
  RETURN_IF_ERROR(line.status());
  uint32_t port = 0;
  if (!absl::SimpleAtoi(*line, &port) || port == 0 || port > 65535) {
    return absl::InternalError(absl::StrCat("a bare server said \"", *line, "\", not its port"));
  }
  return static_cast<uint16_t>(port);
}

// Runs `load` and accounts for the server's CPU.
absl::StatusOr<SideSample> Measure(const ChildProcess& server,
                                   const std::function<LoadResult()>& load) {
  SideSample sample;
  ASSIGN_OR_RETURN(const double before, server.CpuSeconds());
  sample.load = load();
  ASSIGN_OR_RETURN(const double after, server.CpuSeconds());
  sample.server_cpu_seconds = after - before;
  return sample;
}

// The same on omd, while it changes or not.
absl::StatusOr<SideSample> MeasureOmd(OmdUnderTest* omd, bool with_changes,
                                      const std::function<LoadResult()>& load) {
  ASSIGN_OR_RETURN(const uint64_t before, omd->Revision());
  std::optional<Changer> changer;
  if (with_changes) changer.emplace(omd->grpc_target(), kChangesASecond);
  absl::StatusOr<SideSample> sample = Measure(*omd->process(), load);
  const int64_t changes = changer.has_value() ? changer->Stop() : 0;
  RETURN_IF_ERROR(sample.status());
  ASSIGN_OR_RETURN(const uint64_t after, omd->Revision());
  sample->change_count = changes;
  sample->revision_count = static_cast<int64_t>(after - before);
  if (with_changes && changes == 0) return absl::InternalError("no change was made");
  return sample;
}

// ---- gRPC ----

absl::StatusOr<BenchSetup> PrepareGrpc(const BenchSettings& settings, bool with_changes) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Pair> pair, StartOmd(settings, /*service_count=*/1));
  ASSIGN_OR_RETURN(const std::string status, pair->omd->StatusBytes());
  const std::string body_path = absl::StrCat(pair->omd->scratch(), "/body");
  RETURN_IF_ERROR(WriteFileAtomically(body_path, status, {}));
  const std::string socket = absl::StrCat(pair->omd->scratch(), "/echo.sock");
  RETURN_IF_ERROR(StartBare(pair.get(), {"echo", socket, body_path}).status());

  bench::v1::EchoRequest echo;
  echo.set_body(status);
  const auto load = [settings, size = status.size()](std::string target, std::string method,
                                                     std::string request, Milliseconds duration) {
    GrpcLoad out;
    out.target = std::move(target);
    out.method = std::move(method);
    out.request = std::move(request);
    out.min_reply_bytes = size / 2;  // It varies a little with the figures in it.
    out.duration = duration;
    if (settings.smoke) {
      out.channel_count = 1;
      out.calls_per_channel = 2;
    }
    return RunGrpcLoad(out);
  };
  BenchSetup setup;
  setup.omd = {"omd GetStatus", [=](Milliseconds duration) {
                 return MeasureOmd(pair->omd.get(), with_changes, [&] {
                   return load(pair->omd->grpc_target(), "/om.control.v1.DaemonService/GetStatus",
                               "", duration);
                 });
               }};
  const auto bare = [=](const std::string& method, const std::string& request) {
    return [=](Milliseconds duration) {
      return Measure(*pair->bare, [&] {
        return load(absl::StrCat("unix:", socket),
                    absl::StrCat("/om.bench.v1.EchoService/", method), request, duration);
      });
    };
  };
  setup.references.push_back({"bare echo", bare("Echo", echo.SerializeAsString())});
  setup.references.push_back({"bare, empty request", bare("Tell", "")});
  setup.facts = {{"reply_bytes", status.size()},
                 {"channels", settings.smoke ? 1 : 4},
                 {"open_calls", settings.smoke ? 2 : 32}};
  setup.keep = pair;
  return setup;
}

// ---- Packets ----

PacketLoad StatusLoad(const OmdUnderTest& omd) {
  PacketLoad load;
  load.port = omd.packet_port();
  load.cluster_name = OmdUnderTest::kClusterName;
  load.node = OmdUnderTest::kNode;
  load.key = &omd.key();
  load.text = kStatusRequest;
  return load;
}

absl::StatusOr<BenchSetup> PreparePackets(const BenchSettings& settings, int service_count,
                                          bool with_changes) {
  if (settings.smoke) service_count = std::min(service_count, 20);
  ASSIGN_OR_RETURN(const std::shared_ptr<Pair> pair, StartOmd(settings, service_count));
  PacketLoad load = StatusLoad(*pair->omd);
  if (settings.smoke) {
    load.connections_per_thread = 2;
    load.open_one_in = 1;
  } else {
    load.thread_count = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1U, 4U));
  }
  SystemRandom random;
  ASSIGN_OR_RETURN(const std::string reply,
                   ExchangePacket(load.port, Seal(pair->omd->key(), &random, load.cluster_name,
                                                  load.node, load.text)));
  const std::string reply_path = absl::StrCat(pair->omd->scratch(), "/reply");
  RETURN_IF_ERROR(WriteFileAtomically(reply_path, reply, {}));
  PacketLoad bare_load = load;
  ASSIGN_OR_RETURN(bare_load.port, PortOf(StartBare(pair.get(), {"reply", reply_path})));

  BenchSetup setup;
  setup.omd = {"omd daemon_status", [=](Milliseconds duration) {
                 return MeasureOmd(pair->omd.get(), with_changes, [&] {
                   PacketLoad timed = load;
                   timed.duration = duration;
                   return RunPacketLoad(timed);
                 });
               }};
  setup.references.push_back({"bare reply", [=](Milliseconds duration) {
                                return Measure(*pair->bare, [&] {
                                  PacketLoad timed = bare_load;
                                  timed.duration = duration;
                                  return RunPacketLoad(timed);
                                });
                              }});
  setup.facts = {{"services", service_count},
                 {"reply_bytes", reply.size()},
                 {"generator_threads", load.thread_count},
                 {"connections", load.thread_count * load.connections_per_thread}};
  setup.keep = pair;
  return setup;
}

// ---- A flood beside valid senders ----

absl::StatusOr<BenchSetup> PrepareFlood(const BenchSettings& settings) {
  const int valid_rate = settings.smoke ? 20 : 200;
  const int flood_rate = settings.smoke ? 50 : 1000;
  ASSIGN_OR_RETURN(const std::shared_ptr<Pair> pair, StartOmd(settings, /*service_count=*/1));
  ASSIGN_OR_RETURN(const uint16_t bare_port, PortOf(StartBare(pair.get(), {"close"})));
  PacketLoad load = StatusLoad(*pair->omd);
  load.requests_a_second = valid_rate;
  // Right in everything but the key.
  SystemRandom random;
  ASSIGN_OR_RETURN(const Key wrong_key, Key::FromSecret("this is not the secret of the cluster"));
  const std::string invalid =
      Seal(wrong_key, &random, load.cluster_name, load.node, kStatusRequest);

  // The first side that is run is thrown away: in it the flooder is blacklisted.
  const auto side = [=](uint16_t flooded_port) {
    return [=](Milliseconds duration) -> absl::StatusOr<SideSample> {
      ASSIGN_OR_RETURN(const int64_t dropped_before, pair->omd->Counter("packet.dropped"));
      LoadResult flooded;
      ASSIGN_OR_RETURN(SideSample sample, MeasureOmd(pair->omd.get(), /*with_changes=*/false, [&] {
                         Flood flood;
                         flood.port = flooded_port;
                         flood.packet = invalid;
                         flood.packets_a_second = flood_rate;
                         flood.duration = duration;
                         std::thread flooder([&] { flooded = RunFlood(flood); });
                         PacketLoad timed = load;
                         timed.duration = duration;
                         LoadResult result = RunPacketLoad(timed);
                         flooder.join();
                         return result;
                       }));
      ASSIGN_OR_RETURN(const int64_t dropped_after, pair->omd->Counter("packet.dropped"));
      // A flood that did not take place, or that omd did not see as one, would measure nothing.
      const bool on_omd = flooded_port == pair->omd->packet_port();
      const int64_t dropped = dropped_after - dropped_before;
      const int64_t expected = on_omd ? flooded.request_count * 9 / 10 - 5 : 0;
      if (flooded.request_count == 0 || flooded.failure_count > flooded.request_count / 20 ||
          dropped < expected || (!on_omd && dropped > 0)) {
        return absl::InternalError(absl::StrCat("of ", flooded.request_count, " flood packets (",
                                                flooded.failure_count, " more failed) omd dropped ",
                                                dropped));
      }
      return sample;
    };
  };
  BenchSetup setup;
  setup.omd = {"flood on omd", side(pair->omd->packet_port())};
  setup.references.push_back({"flood on a bare server", side(bare_port)});
  setup.facts = {{"valid_packets_per_second", valid_rate},
                 {"flood_packets_per_second", flood_rate}};
  setup.keep = pair;
  return setup;
}

}  // namespace

std::vector<Benchmark> AllBenchmarks() {
  std::vector<Benchmark> all;
  for (const bool changes : {false, true}) {
    Benchmark grpc;
    grpc.name = changes ? "grpc_status_changing" : "grpc_status_fixed";
    grpc.what = absl::StrCat("GetStatus over the Unix socket, ",
                             changes ? "10 changes a second" : "fixed revision");
    grpc.goal = changes ? 0.6 : 0.85;
    grpc.prepare = [changes](const BenchSettings& settings) {
      return PrepareGrpc(settings, changes);
    };
    all.push_back(std::move(grpc));
  }
  for (const int services : {1, 1000}) {
    for (const bool changes : {false, true}) {
      Benchmark packets;
      packets.name = absl::StrCat("packet_status_", services, changes ? "_changing" : "");
      packets.what = absl::StrCat("encrypted daemon_status, ", services,
                                  services == 1 ? " service" : " services",
                                  changes ? ", 10 changes a second" : "");
      packets.goal = 0.5;
      packets.prepare = [services, changes](const BenchSettings& settings) {
        return PreparePackets(settings, services, changes);
      };
      all.push_back(std::move(packets));
    }
  }
  for (Benchmark& log : LogBenchmarks()) all.push_back(std::move(log));
  Benchmark flood;
  flood.name = "flood_p99";
  flood.what = "valid packets beside a blacklisted flooder, both at fixed rates";
  flood.metric = Metric::kP99Latency;
  flood.goal = 1.5;
  flood.prepare = PrepareFlood;
  all.push_back(std::move(flood));
  for (Benchmark& action : ActionBenchmarks()) all.push_back(std::move(action));
  for (Benchmark& watch : WatchBenchmarks()) all.push_back(std::move(watch));
  return all;
}

}  // namespace om
