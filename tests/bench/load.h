// The loads that benchmarks put on servers, and what they saw. All of them end by themselves.
#ifndef OM_TESTS_BENCH_LOAD_H_
#define OM_TESTS_BENCH_LOAD_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compat/wire/crypto.h"

namespace om {

// What one load saw.
struct LoadResult {
  int64_t request_count = 0;  // Answered.
  int64_t failure_count = 0;  // Not answered, or wrongly.
  int64_t opened_count = 0;   // Replies that were decrypted and found right.
  double seconds = 0;
  double client_cpu_seconds = 0;
  std::vector<double> latencies_ms;  // Of a load at a fixed rate: from when each was due.

  double rate() const { return seconds > 0 ? static_cast<double>(request_count) / seconds : 0; }
  // `share` from 0 to 1 of the latencies are below it; 0 if there are none.
  double LatencyQuantile(double share) const;
};

struct GrpcLoad {
  std::string target;
  std::string method;          // "/om.control.v1.DaemonService/GetStatus".
  std::string request;         // Serialized.
  size_t min_reply_bytes = 0;  // Shorter ones are failures.
  int channel_count = 4;
  int calls_per_channel = 8;  // Open at a time.
  std::chrono::milliseconds duration{1000};
};

// Keeps a number of calls open. Replies are not parsed, whoever sends them: the client costs the
// same on both sides.
LoadResult RunGrpcLoad(const GrpcLoad& load);

struct StreamLoad {
  std::string target;
  std::string method;             // Of a server stream.
  std::string request;            // Serialized.
  size_t min_bytes = 0;           // Of all messages of a stream; less is a failure.
  int64_t requests_a_stream = 1;  // What a stream that came whole counts for.
  int channel_count = 1;          // One stream at a time on each.
  std::chrono::milliseconds duration{1000};
};

// Takes one stream after the other, each to its end; the last ones end after `duration`. Messages
// are not parsed, whoever sends them.
LoadResult RunStreamLoad(const StreamLoad& load);

struct PacketLoad {
  uint16_t port = 0;
  std::string cluster_name;
  std::string node;
  const Key* key = nullptr;  // Not owned.
  std::string text;          // Of the request; encrypted each time with a fresh IV.
  int open_one_in = 100;     // This share of the replies is decrypted and parsed.
  int thread_count = 1;
  int connections_per_thread = 8;  // At a time. At a fixed rate: many more at most.
  // 0: as many as are answered. Else so many a second, whether earlier ones were answered or not.
  int requests_a_second = 0;
  std::chrono::milliseconds duration{1000};
};

// One connection a request, from 127.0.0.1 to 127.0.0.1.
LoadResult RunPacketLoad(const PacketLoad& load);

struct Flood {
  uint16_t port = 0;
  std::string packet;  // The same each time.
  int packets_a_second = 1000;
  std::chrono::milliseconds duration{1000};
};

// One connection a packet, from 127.0.0.2. Any end of the connection counts as an answer.
LoadResult RunFlood(const Flood& flood);

// Sends one packet and returns the reply as it came.
absl::StatusOr<std::string> ExchangePacket(uint16_t port, const std::string& packet);

}  // namespace om

#endif  // OM_TESTS_BENCH_LOAD_H_
