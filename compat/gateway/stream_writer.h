// Writes the messages of a stream to a connection, keeps it alive, and notices when it is dead.
#ifndef OM_COMPAT_GATEWAY_STREAM_WRITER_H_
#define OM_COMPAT_GATEWAY_STREAM_WRITER_H_

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "asio/buffer.hpp"
#include "asio/io_context.hpp"
#include "asio/post.hpp"
#include "asio/steady_timer.hpp"
#include "compat/gateway/legacy_stream.h"

namespace om {

struct StreamTimes {
  // Of silence, after which a NUL is sent.
  std::chrono::milliseconds keepalive{1100};
  // A reader that takes no byte for so long is dead.
  std::chrono::milliseconds write_limit{30'000};
};

enum class StreamEnd {
  kOver,        // Everything was told.
  kLost,        // The reader was too slow for the stream.
  kDead,        // It took nothing for the limit.
  kDisconnect,  // It is gone.
  kError,       // The stream has nothing to tell any more.
};

// Confined to the thread of the socket; only what it hands to the stream runs elsewhere. One
// message is handed to the kernel at a time, in one piece as far as there is room: readers that
// find the middle of a message and nothing more take it for the end.
template <class Socket>
class StreamWriter : public std::enable_shared_from_this<StreamWriter<Socket>> {
 public:
  struct Parts {
    asio::io_context* io = nullptr;  // Not owned.
    Socket* socket = nullptr;        // Not owned; lives as long as `owner`.
    std::shared_ptr<void> owner;     // Kept until the stream has ended.
    std::function<std::string(const StreamMessage&)> encode;  // Final NUL included.
    std::function<void(size_t bytes)> sent;
    std::function<void(StreamEnd)> ended;  // Once, unless Stop() was first.
  };
  StreamWriter(Parts parts, std::unique_ptr<LegacyStream> stream, const StreamTimes& times)
      : parts_(std::move(parts)),
        stream_(std::move(stream)),
        times_(times),
        timer_(*parts_.io),
        awake_(std::make_shared<std::atomic<bool>>(false)) {}

  void Start() {
    AwaitTimer();
    // What is set in motion from elsewhere finds the writer on its own thread, if it still is.
    stream_->Start([io = parts_.io, awake = awake_, weak = this->weak_from_this()] {
      if (awake->exchange(true)) return;  // One that has not run yet sees this, too.
      asio::post(*io, [awake, weak] {
        *awake = false;
        if (const auto self = weak.lock()) self->OnWake();
      });
    });
    if (!ended_) Advance();
  }

  // Without telling.
  void Stop() {
    ended_ = true;
    timer_.cancel();
    stream_ = nullptr;
    parts_.owner = nullptr;
  }

 private:
  using Time = std::chrono::steady_clock;

  void OnWake() {
    if (ended_) return;
    if (stream_->lost()) return End(StreamEnd::kLost);
    Advance();
  }

  void Advance() {
    if (writing_ || ended_) return;
    absl::StatusOr<StreamMessagePtr> message = stream_->Next();
    if (!message.ok()) return End(StreamEnd::kError);
    if (*message == nullptr) {
      if (stream_->lost()) return End(StreamEnd::kLost);
      if (stream_->over()) return End(StreamEnd::kOver);
      return;
    }
    Write(parts_.encode(**message));
  }

  void Write(std::string bytes) {
    out_ = std::move(bytes);
    written_ = 0;
    writing_ = true;
    progress_ = Time::now();
    WriteSome();
  }

  void WriteSome() {
    parts_.socket->async_write_some(asio::buffer(out_.data() + written_, out_.size() - written_),
                                    [self = this->shared_from_this(), owner = parts_.owner](
                                        const std::error_code& error, size_t bytes) {
                                      if (self->ended_) return;
                                      self->parts_.sent(bytes);
                                      if (error) return self->End(StreamEnd::kDisconnect);
                                      self->progress_ = Time::now();
                                      self->written_ += bytes;
                                      if (self->written_ < self->out_.size())
                                        return self->WriteSome();
                                      self->writing_ = false;
                                      self->out_ = std::string();
                                      self->Advance();
                                    });
  }

  // Looks again when silence would be due, or, while a message is on its way, after as long.
  void AwaitTimer() {
    timer_.expires_at(writing_ ? Time::now() + times_.keepalive
                               : std::max(progress_ + times_.keepalive, Time::now() + kMinWait));
    timer_.async_wait(
        [self = this->shared_from_this(), owner = parts_.owner](const std::error_code& error) {
          if (!error && !self->ended_) self->OnTimer();
        });
  }

  void OnTimer() {
    const auto silence = Time::now() - progress_;
    if (writing_ && silence >= times_.write_limit) return End(StreamEnd::kDead);
    if (!writing_ && silence >= times_.keepalive && stream_->keeps_alive()) {
      Write(std::string(1, '\0'));
    }
    if (!ended_) AwaitTimer();
  }

  void End(StreamEnd end) {
    const std::shared_ptr<void> owner = parts_.owner;
    const auto ended = std::move(parts_.ended);
    Stop();
    ended(end);
  }

  static constexpr std::chrono::milliseconds kMinWait{50};

  Parts parts_;
  std::unique_ptr<LegacyStream> stream_;
  const StreamTimes times_;
  asio::steady_timer timer_;
  const std::shared_ptr<std::atomic<bool>> awake_;
  std::string out_;
  size_t written_ = 0;
  bool writing_ = false;
  bool ended_ = false;
  Time::time_point progress_ = Time::now();
};

}  // namespace om

#endif  // OM_COMPAT_GATEWAY_STREAM_WRITER_H_
