// A real omd in a fresh root folder, with services that need no processes.
#ifndef OM_TESTS_BENCH_OMD_UNDER_TEST_H_
#define OM_TESTS_BENCH_OMD_UNDER_TEST_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "compat/wire/crypto.h"
#include "server/base/random.h"
#include "tests/bench/child_process.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace om {

// A directory that is removed, with what is in it, when this goes.
class ScratchDirectory {
 public:
  static absl::StatusOr<std::unique_ptr<ScratchDirectory>> Make();
  ~ScratchDirectory();
  // Removes all there are, for a program that must end at once. THREAD: any.
  static void RemoveAll();
  const std::string& path() const { return path_; }

 private:
  explicit ScratchDirectory(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

// Started by Start(), ended when this goes. Used on one thread.
//
// Its configuration departs from the defaults where a benchmark could not be run otherwise:
// loopback and free ports; connection caps above what the loads open; `crm.command = /bin/true`, so
// that evaluating an instance finds what was written beforehand. The replay check stays on.
class OmdUnderTest {
 public:
  static constexpr char kClusterName[] = "bench";
  static constexpr char kNode[] = "node1";

  // `program` is the daemon. Returns once all of `service_count` services have a state.
  static absl::StatusOr<std::unique_ptr<OmdUnderTest>> Start(const std::string& program,
                                                             int service_count);

  const Key& key() const { return *key_; }
  uint16_t packet_port() const { return packet_port_; }
  std::string grpc_target() const;
  ChildProcess* process() { return &*process_; }
  // Folder for the files of those who stand beside it.
  const std::string& scratch() const { return scratch_->path(); }

  // Of the state, as GetStatus tells it.
  absl::StatusOr<uint64_t> Revision();
  // One of its counters.
  absl::StatusOr<int64_t> Counter(const std::string& name);
  // The serialized answer of GetStatus without arguments.
  absl::StatusOr<std::string> StatusBytes();

 private:
  OmdUnderTest() = default;

  absl::Status WriteFiles(int service_count);
  absl::Status AwaitReady(int service_count);
  // Whether everything has a state; fills in the port.
  absl::StatusOr<bool> IsReady(int service_count);

  std::unique_ptr<ScratchDirectory> scratch_;
  std::string secret_;
  std::optional<Key> key_;
  uint16_t packet_port_ = 0;
  std::optional<ChildProcess> process_;
  std::shared_ptr<grpc::Channel> channel_;
};

// Makes changes at a steady rate while it lives: SetInstanceMonitor on the first service, with the
// status word alternating between two that ask for nothing ("idle", "start failed"). Each makes a
// revision and reaches every cache of the status.
class Changer {
 public:
  Changer(const std::string& grpc_target, int changes_a_second);
  ~Changer() { Stop(); }

  // Ends it; the number of changes that were acknowledged.
  int64_t Stop();

 private:
  void Run(const std::string& grpc_target, int changes_a_second);

  std::atomic<bool> stopping_{false};
  std::atomic<int64_t> changes_{0};
  std::thread thread_;
};

}  // namespace om

#endif  // OM_TESTS_BENCH_OMD_UNDER_TEST_H_
