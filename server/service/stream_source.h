// What a stream to a client sends, without any transport.
#ifndef OM_SERVER_SERVICE_STREAM_SOURCE_H_
#define OM_SERVER_SERVICE_STREAM_SOURCE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace om {

// A serialized message. Shared and immutable.
using Bytes = std::shared_ptr<const std::string>;

// Tells what to send next. Not thread-safe: the stream calls it from one callback at a time.
class StreamSource {
 public:
  virtual ~StreamSource() = default;
  // The next message; null if there is nothing to tell now. An error ends the stream.
  virtual absl::StatusOr<Bytes> Next() = 0;
  // What to send when nothing has been told for a while.
  virtual Bytes HeartbeatMessage() const = 0;
  // Everything has been told, and the stream ends well. Asked after Next() gave nothing.
  virtual bool over() const { return false; }
};

}  // namespace om

#endif  // OM_SERVER_SERVICE_STREAM_SOURCE_H_
