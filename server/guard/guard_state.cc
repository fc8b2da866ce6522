#include "server/guard/guard_state.h"

#include <cstring>

namespace om {
namespace {

// Texts come from another process: one without an end is no text.
template <size_t N>
bool EndsWithin(const char (&text)[N]) {
  return memchr(text, 0, N) != nullptr;
}

int Compare(const char* a, size_t a_size, const char* b, size_t b_size) {
  const int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
  if (order != 0) return order;
  return a_size < b_size ? -1 : (a_size > b_size ? 1 : 0);
}

bool IsValid(const GuardInstance& instance) {
  if (!EndsWithin(instance.id) || !EndsWithin(instance.path) || !EndsWithin(instance.cgroup)) {
    return false;
  }
  if (instance.id[0] == 0) return false;
  if (instance.cgroup[0] != 0 && instance.cgroup[0] != '/') return false;
  // Group 1 is init's; smaller ones are no groups.
  return instance.group == 0 || instance.group > 1;
}

}  // namespace

uint32_t GuardState::LowerBound(const char* id, size_t size) const {
  uint32_t first = 0;
  uint32_t last = count_;
  while (first < last) {
    const uint32_t middle = first + (last - first) / 2;
    const char* other = at(middle).id;
    if (Compare(other, strlen(other), id, size) < 0) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return first;
}

bool GuardState::IsAt(uint32_t index, const char* id, size_t size) const {
  return index < count_ && Compare(at(index).id, strlen(at(index).id), id, size) == 0;
}

bool GuardState::Watches(const char* id, size_t size) const {
  return IsAt(LowerBound(id, size), id, size);
}

GuardReply GuardState::Apply(const GuardRequest& request, int64_t now_ns) {
  GuardReply reply = last_;
  if (request.magic != kGuardMagic) {
    reply.answer = GuardAnswer::kInvalid;
  } else if (request.op == GuardOp::kHello) {
    reply.answer = GuardAnswer::kOk;
  } else if (request.epoch != epoch_) {
    reply.answer = GuardAnswer::kStaleEpoch;
  } else if (request.op == GuardOp::kList) {
    reply.answer = request.index < count_ ? GuardAnswer::kOk : GuardAnswer::kUnknown;
    if (request.index < count_) reply.instance = at(request.index);
  } else {
    reply.answer = Change(request, now_ns);
  }
  reply.sequence = request.sequence;
  reply.epoch = epoch_;
  reply.until_ns = until_ns_;
  reply.instance_count = count_;
  return reply;
}

GuardAnswer GuardState::Change(const GuardRequest& request, int64_t now_ns) {
  switch (request.op) {
    case GuardOp::kRenew:
      if (request.until_ns <= 0 || request.until_ns > now_ns + kGuardMaxAheadNs) {
        return GuardAnswer::kInvalid;
      }
      // Also past the old time, if nobody has looked since: the sender knew of a longer lease.
      until_ns_ = request.until_ns;
      if (until_ns_ > now_ns) fired_ = false;
      return GuardAnswer::kOk;
    case GuardOp::kWatch:
      return Watch(request.instance, now_ns);
    case GuardOp::kRelease:
      if (!EndsWithin(request.instance.id)) return GuardAnswer::kInvalid;
      Release(request.instance.id);
      return GuardAnswer::kOk;
    case GuardOp::kHello:
    case GuardOp::kList:
      break;
  }
  return GuardAnswer::kInvalid;
}

GuardAnswer GuardState::Watch(const GuardInstance& instance, int64_t now_ns) {
  if (!IsValid(instance)) return GuardAnswer::kInvalid;
  if (now_ns >= until_ns_) return GuardAnswer::kLate;
  const size_t size = strlen(instance.id);
  const uint32_t index = LowerBound(instance.id, size);
  if (IsAt(index, instance.id, size)) {
    instances_[order_[index]] = instance;
    return GuardAnswer::kOk;
  }
  if (count_ == kGuardMaxInstances) return GuardAnswer::kFull;
  memmove(&order_[index] + 1, &order_[index], (count_ - index) * sizeof(order_[0]));
  order_[index] = static_cast<uint16_t>(count_);
  instances_[count_] = instance;
  ++count_;
  return GuardAnswer::kOk;
}

void GuardState::Release(const char* id) {
  const size_t size = strlen(id);
  const uint32_t index = LowerBound(id, size);
  if (!IsAt(index, id, size)) return;
  const uint16_t hole = order_[index];
  --count_;
  memmove(&order_[index], &order_[index] + 1, (count_ - index) * sizeof(order_[0]));
  const uint16_t last = static_cast<uint16_t>(count_);
  if (hole == last) return;
  instances_[hole] = instances_[last];
  for (uint32_t i = 0; i < count_; ++i) {
    if (order_[i] == last) order_[i] = hole;
  }
}

bool GuardState::Fire(int64_t now_ns) {
  if (fired_ || !Expired(now_ns)) return false;
  fired_ = true;
  ++epoch_;
  last_.fired_ns = now_ns;
  last_.done_ns = 0;
  last_.killed_count = 0;
  last_.survivor_count = 0;
  return true;
}

void GuardState::Fired(uint32_t killed_count, uint32_t survivor_count, int64_t done_ns) {
  last_.killed_count = killed_count;
  last_.survivor_count = survivor_count;
  last_.done_ns = done_ns;
}

}  // namespace om
