// The part of load.h about streams.
#include <memory>

#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "server/base/mutex.h"
#include "tests/bench/child_process.h"
#include "tests/bench/load.h"

namespace om {
namespace {

using Deadline = std::chrono::steady_clock::time_point;

constexpr std::chrono::seconds kStreamLimit{60};

// What the streams of a load share.
struct StreamTally {
  Mutex mutex;
  CondVar changed;
  int open GUARDED_BY(mutex) = 0;
  int64_t requests GUARDED_BY(mutex) = 0;
  int64_t failures GUARDED_BY(mutex) = 0;
};

// One stream, and then the next one in a new object. Confined to its call; deletes itself.
class Reader final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  // All borrowed.
  Reader(grpc::GenericStub* stub, const StreamLoad* load, Deadline end, StreamTally* tally)
      : stub_(stub), load_(load), end_(end), tally_(tally) {
    const grpc::Slice slice(load->request);
    request_ = grpc::ByteBuffer(&slice, 1);
    context_.set_deadline(std::chrono::system_clock::now() + kStreamLimit);
    stub_->PrepareBidiStreamingCall(&context_, load_->method, grpc::StubOptions(), this);
    StartWriteLast(&request_, grpc::WriteOptions());
    StartRead(&message_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;  // OnDone() follows.
    bytes_ += message_.Length();
    StartRead(&message_);
  }
  void OnDone(const grpc::Status& status) override {
    const bool whole = status.ok() && bytes_ >= load_->min_bytes;
    grpc::GenericStub* const stub = stub_;
    const StreamLoad* const load = load_;
    const Deadline end = end_;
    StreamTally* const tally = tally_;
    // Before anyone is told: the context holds the channel, whose end must not be on this thread.
    delete this;
    // A server that is gone answers at once: no point in asking it until the time is over.
    const bool again = whole && std::chrono::steady_clock::now() < end;
    {
      MutexLock lock(&tally->mutex);
      (whole ? tally->requests : tally->failures) += load->requests_a_stream;
      if (!again) {
        --tally->open;
        tally->changed.NotifyAll();
      }
    }
    if (again) new Reader(stub, load, end, tally);
  }

 private:
  grpc::GenericStub* const stub_;  // Not owned, as the others.
  const StreamLoad* const load_;
  const Deadline end_;
  StreamTally* const tally_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer message_;
  size_t bytes_ = 0;
};

}  // namespace

LoadResult RunStreamLoad(const StreamLoad& load) {
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs;
  for (int i = 0; i < load.channel_count; ++i) {
    grpc::ChannelArguments arguments;
    // A connection each.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    std::shared_ptr<grpc::Channel> channel =
        grpc::CreateCustomChannel(load.target, grpc::InsecureChannelCredentials(), arguments);
    (void)channel->WaitForConnected(std::chrono::system_clock::now() + kStreamLimit);
    stubs.push_back(std::make_unique<grpc::GenericStub>(std::move(channel)));
  }
  StreamTally tally;
  {
    MutexLock lock(&tally.mutex);
    tally.open = load.channel_count;
  }
  const double cpu_before = OwnCpuSeconds();
  const auto begin = std::chrono::steady_clock::now();
  for (const std::unique_ptr<grpc::GenericStub>& stub : stubs) {
    new Reader(stub.get(), &load, begin + load.duration, &tally);
  }
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
