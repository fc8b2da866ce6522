// How long a change takes to reach very many watchers.
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/impl/codegen/proto_utils.h"
#include "om/control/v1/daemon.pb.h"
#include "server/base/mutex.h"
#include "server/base/status.h"
#include "tests/bench/cases.h"
#include "tests/bench/child_process.h"
#include "tests/bench/omd_under_test.h"

namespace om {
namespace {

namespace pb = control::v1;
using Milliseconds = std::chrono::milliseconds;

constexpr int kWatchedChanges = 10;
constexpr Milliseconds kStartLimit{20'000};
constexpr std::chrono::seconds kWatchLimit{90};

// What the watchers of a load share.
struct Watched {
  Mutex mutex;
  CondVar changed;
  int ready GUARDED_BY(mutex) = 0;
  int open GUARDED_BY(mutex) = 0;
  bool counting GUARDED_BY(mutex) = false;
  int64_t failures GUARDED_BY(mutex) = 0;
  std::vector<double> latencies_ms GUARDED_BY(mutex);
};

// One stream. Confined to whichever thread of the library completes its reads.
class Watcher final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit Watcher(Watched* watched) : watched_(watched) {}

  void Start(grpc::GenericStub* stub, const std::string& method) {
    context_.set_deadline(std::chrono::system_clock::now() + kWatchLimit);
    stub->PrepareBidiStreamingCall(&context_, method, grpc::StubOptions(), this);
    const grpc::Slice empty;
    request_ = grpc::ByteBuffer(&empty, 1);
    StartWriteLast(&request_, grpc::WriteOptions());
    StartRead(&reply_);
    StartCall();
  }
  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    const absl::Time now = absl::Now();
    pb::WatchStatusResponse message;
    const bool parsed =
        grpc::SerializationTraits<pb::WatchStatusResponse>::Deserialize(&reply_, &message).ok();
    {
      MutexLock lock(&watched_->mutex);
      if (!parsed) {
        ++watched_->failures;
      } else if (message.has_state_end()) {
        ++watched_->ready;
        watched_->changed.NotifyAll();
      } else if (message.has_change() && watched_->counting) {
        const absl::Time made = absl::FromUnixSeconds(message.change().time().seconds()) +
                                absl::Nanoseconds(message.change().time().nanos());
        watched_->latencies_ms.push_back(absl::ToDoubleMilliseconds(now - made));
      }
    }
    reply_.Clear();
    StartRead(&reply_);
  }
  void OnDone(const grpc::Status& /*status*/) override {
    MutexLock lock(&watched_->mutex);
    --watched_->open;
    watched_->changed.NotifyAll();
  }

 private:
  Watched* const watched_;  // Not owned.
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer reply_;
};

LoadResult RunWatchLoad(const std::string& target, const std::string& method, int watcher_count,
                        int channel_count, Milliseconds duration) {
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs;
  for (int i = 0; i < channel_count; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    stubs.push_back(std::make_unique<grpc::GenericStub>(
        grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments)));
  }
  Watched watched;
  std::vector<std::unique_ptr<Watcher>> watchers;
  {
    MutexLock lock(&watched.mutex);
    watched.open = watcher_count;
  }
  for (int i = 0; i < watcher_count; ++i) {
    watchers.push_back(std::make_unique<Watcher>(&watched));
    watchers.back()->Start(stubs[static_cast<size_t>(i % channel_count)].get(), method);
  }
  LoadResult result;
  const auto limit = std::chrono::steady_clock::now() + kStartLimit;
  double cpu_before = 0;
  std::chrono::steady_clock::time_point begin;
  {
    MutexLock lock(&watched.mutex);
    while (watched.ready < watcher_count && watched.changed.WaitUntil(&watched.mutex, limit)) {
    }
    result.failure_count = watcher_count - watched.ready;
    cpu_before = OwnCpuSeconds();
    begin = std::chrono::steady_clock::now();
    watched.counting = true;
    while (watched.changed.WaitUntil(&watched.mutex, begin + duration)) {
    }
    watched.counting = false;
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  result.client_cpu_seconds = OwnCpuSeconds() - cpu_before;
  for (const std::unique_ptr<Watcher>& watcher : watchers) watcher->Cancel();
  MutexLock lock(&watched.mutex);
  while (watched.open > 0) watched.changed.Wait(&watched.mutex);  // Cancelled, and with deadlines.
  result.latencies_ms = std::move(watched.latencies_ms);
  result.request_count = static_cast<int64_t>(result.latencies_ms.size());
  result.failure_count += watched.failures;
  return result;
}

struct WatchPair {
  std::unique_ptr<OmdUnderTest> omd;
  std::optional<ChildProcess> bare;
};

absl::StatusOr<BenchSetup> PrepareWatch(const BenchSettings& settings) {
  auto pair = std::make_shared<WatchPair>();
  ASSIGN_OR_RETURN(pair->omd, OmdUnderTest::Start(settings.omd_program, /*service_count=*/1));
  const std::string socket = absl::StrCat(pair->omd->scratch(), "/watch.sock");
  ASSIGN_OR_RETURN(
      ChildProcess bare,
      ChildProcess::Start({OwnProgram(), "serve", "watch", socket, absl::StrCat(kWatchedChanges)},
                          absl::StrCat(pair->omd->scratch(), "/bare.txt")));
  pair->bare = std::move(bare);
  RETURN_IF_ERROR(pair->bare->ReadLine(kStartLimit).status());

  const int watchers = settings.smoke ? 20 : 1000;
  const int channels = settings.smoke ? 2 : 10;
  // A change of state must fall into the shortest of runs.
  const auto at_least = [](Milliseconds duration) { return std::max(duration, Milliseconds(500)); };
  BenchSetup setup;
  setup.omd = {"omd WatchStatus", [=](Milliseconds duration) -> absl::StatusOr<SideSample> {
                 SideSample sample;
                 ASSIGN_OR_RETURN(const double before, pair->omd->process()->CpuSeconds());
                 Changer changer(pair->omd->grpc_target(), kWatchedChanges);
                 sample.load = RunWatchLoad(pair->omd->grpc_target(),
                                            "/om.control.v1.DaemonService/WatchStatus", watchers,
                                            channels, at_least(duration));
                 sample.change_count = changer.Stop();
                 ASSIGN_OR_RETURN(const double after, pair->omd->process()->CpuSeconds());
                 sample.server_cpu_seconds = after - before;
                 return sample;
               }};
  setup.references.push_back(
      {"bare fan-out", [=](Milliseconds duration) -> absl::StatusOr<SideSample> {
         SideSample sample;
         ASSIGN_OR_RETURN(const double before, pair->bare->CpuSeconds());
         sample.load = RunWatchLoad(absl::StrCat("unix:", socket), "/om.bench.v1.EchoService/Watch",
                                    watchers, channels, at_least(duration));
         ASSIGN_OR_RETURN(const double after, pair->bare->CpuSeconds());
         sample.server_cpu_seconds = after - before;
         return sample;
       }});
  setup.facts = {
      {"watchers", watchers}, {"connections", channels}, {"changes_per_second", kWatchedChanges}};
  setup.keep = pair;
  return setup;
}

}  // namespace

std::vector<Benchmark> WatchBenchmarks() {
  std::vector<Benchmark> all;
  Benchmark watch;
  watch.name = "watch_p99";
  watch.what = "from a change to its receipt by every watcher";
  watch.metric = Metric::kP99Latency;
  watch.goal = 2.0;
  watch.prepare = PrepareWatch;
  all.push_back(std::move(watch));
  return all;
}

}  // namespace om
