// The packet part of load.h.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "asio/buffer.hpp"
#include "asio/io_context.hpp"
#include "asio/ip/tcp.hpp"
#include "asio/post.hpp"
#include "asio/steady_timer.hpp"
#include "asio/write.hpp"
#include "compat/wire/envelope.h"
#include "server/base/json.h"
#include "server/base/random.h"
#include "server/base/status.h"
#include "tests/bench/child_process.h"
#include "tests/bench/load.h"

namespace om {
namespace {

using asio::ip::tcp;
using ErrorCode = std::error_code;
using TimePoint = std::chrono::steady_clock::time_point;

// How long requests that were begun in time may take to end.
constexpr std::chrono::seconds kDrainLimit{10};
// Connections at a time of a load at a fixed rate. What is due past it is a failure.
constexpr int kMaxOpen = 512;
constexpr size_t kReadBytes = size_t{64} << 10;

// Connects, sends, reads to the end of the stream. Confined to the thread of its io_context, and
// used for one request after the other.
class Exchange {
 public:
  using Done = std::function<void(const ErrorCode& error)>;

  Exchange(asio::io_context* io, asio::ip::address_v4 source, uint16_t port)
      : socket_(*io), source_(source), server_(asio::ip::address_v4::loopback(), port) {}

  // `keep`: reply() holds what came, else only its size is known.
  void Start(std::string packet, bool keep, Done done) {
    packet_ = std::move(packet);
    keep_ = keep;
    done_ = std::move(done);
    reply_.clear();
    reply_bytes_ = 0;
    last_ = 1;
    ErrorCode error;
    socket_.open(tcp::v4(), error);
    if (!error && !source_.is_loopback_default())
      socket_.bind(tcp::endpoint(source_.address, 0), error);
    if (error) return End(error);
    socket_.async_connect(server_, [this](const ErrorCode& failed) {
      if (failed) return End(failed);
      asio::async_write(socket_, asio::buffer(packet_),
                        [this](const ErrorCode& unsent, size_t /*bytes*/) {
                          // A server that closed at once may still have answered.
                          (void)unsent;
                          Read();
                        });
    });
  }

  const std::string& reply() const { return reply_; }
  // Whether a whole reply came: it ends with a zero byte.
  bool answered() const { return reply_bytes_ > 0 && last_ == '\0'; }

 private:
  struct Source {
    explicit Source(asio::ip::address_v4 from) : address(from) {}
    bool is_loopback_default() const { return address == asio::ip::address_v4::loopback(); }
    asio::ip::address_v4 address;
  };

  void Read() {
    socket_.async_read_some(asio::buffer(chunk_), [this](const ErrorCode& error, size_t bytes) {
      if (error) return End(error == asio::error::eof ? ErrorCode() : error);
      reply_bytes_ += bytes;
      last_ = chunk_[bytes - 1];
      if (keep_) reply_.append(chunk_.data(), bytes);
      Read();
    });
  }

  void End(const ErrorCode& error) {
    ErrorCode ignored;
    socket_.close(ignored);
    std::exchange(done_, nullptr)(error);
  }

  tcp::socket socket_;
  const Source source_;
  const tcp::endpoint server_;
  std::string packet_;
  bool keep_ = false;
  Done done_;
  std::string reply_;
  size_t reply_bytes_ = 0;
  char last_ = 1;
  std::array<char, kReadBytes> chunk_;
};

bool Opens(const Key& key, absl::string_view reply) {
  while (!reply.empty() && reply.back() == '\0') reply.remove_suffix(1);
  const absl::StatusOr<Envelope> envelope = ParseEnvelope(reply);
  if (!envelope.ok()) return false;
  constexpr size_t kMaxTextBytes = size_t{64} << 20;
  const absl::StatusOr<OpenedPacket> opened = OpenPacket(key, *envelope, kMaxTextBytes);
  return opened.ok() && opened->text.size() > 2 && opened->text.front() == '{' &&
         opened->text.back() == '}';
}

// The part of a load that one thread makes.
class Generator {
 public:
  struct Options {
    uint16_t port = 0;
    asio::ip::address_v4 source = asio::ip::address_v4::loopback();
    std::function<std::string()> next_packet;
    const Key* key = nullptr;  // Opens replies. Null: replies are not expected. Not owned.
    int open_one_in = 100;
    int connections = 8;
    double requests_a_second = 0;
    std::chrono::milliseconds duration{1000};
  };

  explicit Generator(Options options) : options_(std::move(options)), timer_(io_) {}

  LoadResult Run() {
    begin_ = std::chrono::steady_clock::now();
    end_ = begin_ + options_.duration;
    if (options_.requests_a_second > 0) {
      interval_ = std::chrono::nanoseconds(static_cast<int64_t>(1e9 / options_.requests_a_second));
      next_ = begin_;
      Pace();
    } else {
      for (int i = 0; i < options_.connections; ++i) Next(NewExchange());
    }
    io_.run_until(end_ + kDrainLimit);
    result_.failure_count += open_;
    result_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    return std::move(result_);
  }

 private:
  Exchange* NewExchange() {
    exchanges_.push_back(std::make_unique<Exchange>(&io_, options_.source, options_.port));
    return exchanges_.back().get();
  }

  // Closed loop: as soon as one is answered, the next.
  void Next(Exchange* exchange) {
    // Where nobody answers there is no point in asking until the time is over.
    constexpr int64_t kMaxFailures = 1000;
    if (std::chrono::steady_clock::now() >= end_ || result_.failure_count >= kMaxFailures) return;
    Send(exchange, [this, exchange] { Next(exchange); });
  }

  // Open loop: each at its time.
  void Pace() {
    const TimePoint now = std::chrono::steady_clock::now();
    while (next_ <= now && next_ < end_) {
      const TimePoint due = next_;
      next_ += interval_;
      Exchange* exchange = nullptr;
      if (!idle_.empty()) {
        exchange = idle_.back();
        idle_.pop_back();
      } else if (exchanges_.size() < static_cast<size_t>(kMaxOpen)) {
        exchange = NewExchange();
      } else {
        ++result_.failure_count;
        continue;
      }
      Send(exchange, [this, exchange, due] {
        result_.latencies_ms.push_back(
            std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - due)
                .count());
        idle_.push_back(exchange);
      });
    }
    if (next_ >= end_) return;
    timer_.expires_at(next_);
    timer_.async_wait([this](const ErrorCode& error) {
      if (!error) Pace();
    });
  }

  void Send(Exchange* exchange, std::function<void()> then) {
    const bool opens = options_.key != nullptr && sent_++ % options_.open_one_in == 0;
    ++open_;
    exchange->Start(options_.next_packet(), opens,
                    [this, exchange, opens, then = std::move(then)](const ErrorCode& error) {
                      --open_;
                      Count(*exchange, opens, error);
                      // From the loop, or many refused connections in a row would be a recursion.
                      asio::post(io_, then);
                    });
  }

  void Count(const Exchange& exchange, bool opens, const ErrorCode& error) {
    const bool right =
        options_.key == nullptr
            ? error != asio::error::connection_refused
            : !error && exchange.answered() && (!opens || Opens(*options_.key, exchange.reply()));
    ++(right ? result_.request_count : result_.failure_count);
    if (right && opens) ++result_.opened_count;
  }

  const Options options_;
  asio::io_context io_{1};
  asio::steady_timer timer_;
  std::vector<std::unique_ptr<Exchange>> exchanges_;
  std::vector<Exchange*> idle_;
  int open_ = 0;
  int64_t sent_ = 0;
  TimePoint begin_;
  TimePoint end_;
  TimePoint next_;
  std::chrono::nanoseconds interval_{0};
  LoadResult result_;
};

LoadResult RunTogether(std::vector<Generator::Options> parts) {
  std::vector<LoadResult> results(parts.size());
  std::vector<std::thread> threads;
  const double cpu_before = OwnCpuSeconds();
  for (size_t i = 0; i < parts.size(); ++i) {
    threads.emplace_back([&results, &parts, i] {
      Generator generator(std::move(parts[i]));
      results[i] = generator.Run();
    });
  }
  for (std::thread& thread : threads) thread.join();
  LoadResult sum;
  for (const LoadResult& result : results) {
    sum.request_count += result.request_count;
    sum.failure_count += result.failure_count;
    sum.opened_count += result.opened_count;
    sum.seconds = std::max(sum.seconds, result.seconds);
    sum.latencies_ms.insert(sum.latencies_ms.end(), result.latencies_ms.begin(),
                            result.latencies_ms.end());
  }
  sum.client_cpu_seconds = OwnCpuSeconds() - cpu_before;
  return sum;
}

}  // namespace

double LoadResult::LatencyQuantile(double share) const {
  if (latencies_ms.empty()) return 0;
  std::vector<double> sorted = latencies_ms;
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  const size_t index = std::min(sorted.size() - 1, rank == 0 ? 0 : rank - 1);
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<ptrdiff_t>(index), sorted.end());
  return sorted[index];
}

LoadResult RunPacketLoad(const PacketLoad& load) {
  const int threads = std::max(1, load.thread_count);
  std::vector<Generator::Options> parts;
  for (int i = 0; i < threads; ++i) {
    Generator::Options options;
    options.port = load.port;
    options.next_packet = [&load, random = std::make_shared<SystemRandom>()] {
      return Seal(*load.key, random.get(), load.cluster_name, load.node, load.text);
    };
    options.key = load.key;
    options.open_one_in = load.open_one_in;
    options.connections = load.connections_per_thread;
    options.requests_a_second = static_cast<double>(load.requests_a_second) / threads;
    options.duration = load.duration;
    parts.push_back(std::move(options));
  }
  return RunTogether(std::move(parts));
}

LoadResult RunFlood(const Flood& flood) {
  Generator::Options options;
  options.port = flood.port;
  options.source = asio::ip::make_address_v4("127.0.0.2");
  options.next_packet = [&flood] { return flood.packet; };
  options.requests_a_second = flood.packets_a_second;
  options.duration = flood.duration;
  std::vector<Generator::Options> parts;
  parts.push_back(std::move(options));
  return RunTogether(std::move(parts));
}

absl::StatusOr<std::string> ExchangePacket(uint16_t port, const std::string& packet) {
  asio::io_context io(1);
  Exchange exchange(&io, asio::ip::address_v4::loopback(), port);
  std::optional<ErrorCode> outcome;
  exchange.Start(packet, /*keep=*/true, [&outcome](const ErrorCode& error) { outcome = error; });
  io.run_for(kDrainLimit);
  if (!outcome.has_value()) return absl::DeadlineExceededError("no reply to a packet");
  if (*outcome) return absl::UnavailableError(outcome->message());
  if (!exchange.answered()) return absl::InternalError("an empty or cut reply to a packet");
  return exchange.reply();
}

}  // namespace om
