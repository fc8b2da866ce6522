// What the guard watches and until when: its decisions, without any I/O.
#ifndef OM_SERVER_GUARD_GUARD_STATE_H_
#define OM_SERVER_GUARD_GUARD_STATE_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "server/guard/guard_protocol.h"

namespace om {

// The watched instances and the time until which their processes may run. Large and of fixed size:
// it is made once, before memory is locked, and never allocates.
//
// After firing, the instances stay watched and the time stays past, so what appears of them is
// killed again, until somebody who knows of the firing (its epoch) renews or releases.
//
// One thread. Time is CLOCK_BOOTTIME in nanoseconds and always given.
class GuardState {
 public:
  // Carries out `request` and returns what is answered; on anything but kOk nothing has changed.
  GuardReply Apply(const GuardRequest& request, int64_t now_ns);

  // There is something to kill: instances are watched and `may_act_until` has been reached.
  bool Expired(int64_t now_ns) const { return count_ > 0 && now_ns >= until_ns_; }
  // The first to notice that it expired says so: a new epoch begins, and everyone who fed the old
  // one is refused. False if that was said already and nobody renewed since.
  bool Fire(int64_t now_ns);
  // How the killing went, for the next hello.
  void Fired(uint32_t killed_count, uint32_t survivor_count, int64_t done_ns);

  // Meaningful while instances are watched.
  int64_t until_ns() const { return until_ns_; }
  bool fired() const { return fired_; }
  uint32_t count() const { return count_; }
  // In the order of ids.
  const GuardInstance& at(uint32_t index) const { return instances_[order_[index]]; }
  // `id` needs no zero at its end.
  bool Watches(const char* id, size_t size) const;

 private:
  // Index into order_ of the first id that is not less.
  uint32_t LowerBound(const char* id, size_t size) const;
  bool IsAt(uint32_t index, const char* id, size_t size) const;
  GuardAnswer Change(const GuardRequest& request, int64_t now_ns);
  GuardAnswer Watch(const GuardInstance& instance, int64_t now_ns);
  void Release(const char* id);

  // Slots are dense: the last one moves into a hole. `order_` sorts them by id.
  std::array<GuardInstance, kGuardMaxInstances> instances_ = {};
  std::array<uint16_t, kGuardMaxInstances> order_ = {};
  uint32_t count_ = 0;
  uint64_t epoch_ = 1;
  int64_t until_ns_ = 0;
  bool fired_ = false;  // In this epoch's past, and nobody has renewed since.
  GuardReply last_;     // Its members about the last firing.
};

}  // namespace om

#endif  // OM_SERVER_GUARD_GUARD_STATE_H_
