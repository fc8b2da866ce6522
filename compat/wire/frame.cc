#include "compat/wire/frame.h"

#include <utility>

#include "compat/wire/encoding.h"
#include "glog/logging.h"

namespace om {
namespace {

constexpr absl::string_view kDequeueActionsPacket = "dequeue_actions";

}  // namespace

RequestReader::State RequestReader::Feed(absl::string_view chunk) {
  if (state_ != State::kNeedMore || chunk.empty()) return state_;
  if (chunk.size() > max_bytes_ - raw_.size()) {
    std::string().swap(raw_);
    return state_ = State::kTooLarge;
  }
  raw_.append(chunk.data(), chunk.size());
  if (chunk.back() == '\0') state_ = State::kComplete;
  return state_;
}

RequestReader::State RequestReader::Finish() {
  if (state_ == State::kNeedMore) state_ = State::kComplete;
  return state_;
}

RawRequestKind RequestReader::kind() const {
  CHECK(state_ == State::kComplete);
  if (raw_.empty()) return RawRequestKind::kEmpty;
  if (raw_ == kDequeueActionsPacket) return RawRequestKind::kDequeueActions;
  if (raw_.find_first_not_of('\0') == std::string::npos) return RawRequestKind::kNulsOnly;
  return RawRequestKind::kMessage;
}

std::string RequestReader::TakeText() {
  CHECK(state_ == State::kComplete);
  std::string text = std::exchange(raw_, std::string());
  text.resize(text.find_last_not_of('\0') + 1);  // npos + 1 is 0: nothing but NULs.
  return DropInvalidUtf8(std::move(text));
}

}  // namespace om
