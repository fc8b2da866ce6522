// Finds the end of a legacy request in a stream of bytes and says what kind of request it is.
#ifndef OM_COMPAT_WIRE_FRAME_H_
#define OM_COMPAT_WIRE_FRAME_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace om {

// Limit of a request unless configured otherwise.
inline constexpr size_t kDefaultMaxRequestBytes = size_t{1} << 20;

// What a complete request is, before anything in it is read.
enum class RawRequestKind {
  kEmpty,           // End of stream without a byte.
  kNulsOnly,        // Zero bytes and nothing else: a keepalive without a request.
  kDequeueActions,  // The literal packet `dequeue_actions`, without NUL, then end of stream.
  kMessage,         // Anything else: an envelope or a clear request.
};

// Collects the one request of a connection. A request is complete when a chunk *ends* with a zero
// byte, or at the end of the stream; there is no length prefix. So the chunks must be fed as they
// were read. Two requests in one chunk are one message, malformed.
// Each byte is looked at once, so a request that trickles in costs no more than one that does not.
// Confined to its owner's strand.
class RequestReader {
 public:
  enum class State {
    kNeedMore,
    kComplete,
    kTooLarge,  // More than `max_bytes`; what was collected has been freed. Close the connection.
  };

  // `max_bytes` counts every byte received, trailing NULs included.
  explicit RequestReader(size_t max_bytes = kDefaultMaxRequestBytes) : max_bytes_(max_bytes) {}

  // Takes what one read returned. Bytes after completion are discarded: a connection carries one
  // request, and what comes later are the pings of a stream's reader.
  State Feed(absl::string_view chunk);

  // The stream has ended: what came so far is the request.
  State Finish();

  State state() const { return state_; }
  size_t received_bytes() const { return raw_.size(); }

  // Only once complete.
  RawRequestKind kind() const;

  // Only once complete, and once: the text of the message, without trailing NULs and without bytes
  // that are not valid UTF-8. May be empty.
  std::string TakeText();

 private:
  const size_t max_bytes_;
  State state_ = State::kNeedMore;
  std::string raw_;
};

}  // namespace om

#endif  // OM_COMPAT_WIRE_FRAME_H_
