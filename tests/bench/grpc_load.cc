// The gRPC part of load.h.
#include <memory>

#include "absl/strings/str_cat.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "server/base/mutex.h"
#include "tests/bench/child_process.h"
#include "tests/bench/load.h"

namespace om {
namespace {

using Deadline = std::chrono::steady_clock::time_point;

constexpr std::chrono::seconds kLoadLimit{20};

// What the calls of a load share.
struct Tally {
  Mutex mutex;
  CondVar changed;
  int open GUARDED_BY(mutex) = 0;
  int64_t requests GUARDED_BY(mutex) = 0;
  int64_t failures GUARDED_BY(mutex) = 0;
};

// One call after the other on one channel, until the time is over. Confined to whichever thread of
// the library completes its call.
class Caller {
 public:
  // All borrowed.
  Caller(grpc::GenericStub* stub, const GrpcLoad* load, Deadline end, Tally* tally)
      : stub_(stub), load_(load), end_(end), tally_(tally) {
    const grpc::Slice slice(load->request);
    request_ = grpc::ByteBuffer(&slice, 1);
  }

  void Call() {
    context_ = std::make_unique<grpc::ClientContext>();
    context_->set_deadline(std::chrono::system_clock::now() + kLoadLimit);
    response_.Clear();
    stub_->UnaryCall(context_.get(), load_->method, grpc::StubOptions(), &request_, &response_,
                     [this](const grpc::Status& status) { Done(status); });
  }

 private:
  void Done(const grpc::Status& status) {
    if (status.ok() && response_.Length() >= load_->min_reply_bytes) {
      ++requests_;
    } else {
      ++failures_;
    }
    // A server that is gone answers at once: no point in asking it until the time is over.
    constexpr int64_t kMaxFailures = 100;
    if (std::chrono::steady_clock::now() < end_ && failures_ < kMaxFailures) return Call();
    MutexLock lock(&tally_->mutex);
    tally_->requests += requests_;
    tally_->failures += failures_;
    --tally_->open;
    tally_->changed.NotifyAll();
  }

  grpc::GenericStub* const stub_;  // Not owned, as the others.
  const GrpcLoad* const load_;
  const Deadline end_;
  Tally* const tally_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  std::unique_ptr<grpc::ClientContext> context_;
  int64_t requests_ = 0;
  int64_t failures_ = 0;
};

}  // namespace

LoadResult RunGrpcLoad(const GrpcLoad& load) {
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs;
  for (int i = 0; i < load.channel_count; ++i) {
    grpc::ChannelArguments arguments;
    // A connection each.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    std::shared_ptr<grpc::Channel> channel =
        grpc::CreateCustomChannel(load.target, grpc::InsecureChannelCredentials(), arguments);
    (void)channel->WaitForConnected(std::chrono::system_clock::now() + kLoadLimit);
    stubs.push_back(std::make_unique<grpc::GenericStub>(std::move(channel)));
  }
  Tally tally;
  std::vector<std::unique_ptr<Caller>> callers;
  const double cpu_before = OwnCpuSeconds();
  const auto begin = std::chrono::steady_clock::now();
  for (const std::unique_ptr<grpc::GenericStub>& stub : stubs) {
    for (int i = 0; i < load.calls_per_channel; ++i) {
      callers.push_back(std::make_unique<Caller>(stub.get(), &load, begin + load.duration, &tally));
    }
  }
  {
    MutexLock lock(&tally.mutex);
    tally.open = static_cast<int>(callers.size());
  }
  for (const std::unique_ptr<Caller>& caller : callers) caller->Call();
  LoadResult result;
  {
    MutexLock lock(&tally.mutex);
    // Every call has a deadline, so this ends.
    while (tally.open > 0) tally.changed.Wait(&tally.mutex);
    result.request_count = tally.requests;
    result.failure_count = tally.failures;
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  result.client_cpu_seconds = OwnCpuSeconds() - cpu_before;
  return result;
}

}  // namespace om
