// What a packet connection sends that stays open.
#ifndef OM_COMPAT_GATEWAY_LEGACY_STREAM_H_
#define OM_COMPAT_GATEWAY_LEGACY_STREAM_H_

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "compat/wire/crypto.h"

namespace om {

// One message of a stream: a JSON text, shared by all connections that send it. THREAD: any.
class StreamMessage {
 public:
  explicit StreamMessage(std::string text) : text_(std::move(text)) {}
  const std::string& text() const { return text_; }
  // For sealing; compressed once, when it is first asked for.
  const std::string& compressed() const {
    std::call_once(once_, [this] { compressed_ = Compress(text_, kLevel); });
    return compressed_;
  }

 private:
  static constexpr int kLevel = 1;  // Fast rather than small: receivers take any.
  const std::string text_;
  mutable std::once_flag once_;
  mutable std::string compressed_;
};
using StreamMessagePtr = std::shared_ptr<const StreamMessage>;

// Tells what to send next. The connection calls it from one thread, one call at a time, and
// destroys it when it is over, for whatever reason. Messages are asked for one by one, each when
// the one before it has been taken: a slow reader holds back no more than one.
class LegacyStream {
 public:
  virtual ~LegacyStream() = default;
  // Before everything else, once. `wake` is called, from any thread, when there may be something to
  // ask for; it only sets something in motion.
  virtual void Start(std::function<void()> wake) = 0;
  // The next message; null if there is none now. Must not block. An error ends the connection.
  virtual absl::StatusOr<StreamMessagePtr> Next() = 0;
  // Everything has been told: the connection is closed in good order. Asked after Next() gave
  // nothing.
  virtual bool over() const { return false; }
  // The reader fell behind further than is kept for it: the connection ends at once, even in the
  // middle of a message. THREAD: any.
  virtual bool lost() const { return false; }
  // Silence is filled with NULs. Not so for what is read as one reply: there a lone NUL is the end.
  virtual bool keeps_alive() const { return true; }
};

}  // namespace om

#endif  // OM_COMPAT_GATEWAY_LEGACY_STREAM_H_
