#include "server/service/caller_limits.h"

#include <chrono>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "server/admission/address.h"
#include "server/base/status.h"
#include "server/service/errors.h"

namespace om {
namespace {

constexpr std::chrono::seconds kStreamRetry{1};

// "ipv4:10.0.0.5:4711" and "ipv6:%5Bfe80::1%5D:4711" of gRPC, or a plain address.
std::string AddressKey(const std::string& text) {
  if (absl::StartsWith(text, "unix:")) return "address local";
  absl::string_view host = text;
  if (absl::ConsumePrefix(&host, "ipv4:") || absl::ConsumePrefix(&host, "ipv6:")) {
    host = host.substr(0, host.rfind(':'));
  }
  const std::string plain =
      absl::StrReplaceAll(host, {{"%5B", ""}, {"%5D", ""}, {"[", ""}, {"]", ""}});
  const absl::StatusOr<PeerAddress> address = PeerAddress::Parse(plain);
  return absl::StrCat("address ", address.ok() ? AdmissionKey(*address, false).ToString() : plain);
}

absl::Status TakeCallOf(CallLimiter* limiter, const std::string& key) {
  Duration wait{};
  if (limiter->TakeCall(key, &wait)) return absl::OkStatus();
  return WithRetryAfter(
      MakeError("TOO_MANY_CALLS", "more calls than limits.calls_per_second allows one caller"),
      std::chrono::duration_cast<std::chrono::milliseconds>(wait));
}

}  // namespace

std::string LimitKeyOf(const Caller& caller) {
  if (!caller.forwarder.empty()) return absl::StrCat("node ", caller.forwarder);
  switch (caller.kind) {
    case Caller::Kind::kLocalRoot:
      return "";
    case Caller::Kind::kUser:
      return absl::StrCat("user ", caller.name);
    case Caller::Kind::kGroup:
      return "group";
    case Caller::Kind::kNode:
      if (caller.transport != Transport::kPacket) return absl::StrCat("node ", caller.name);
      break;
    case Caller::Kind::kGuest:
    case Caller::Kind::kJoiner:
      break;
  }
  return AddressKey(caller.address);
}

absl::Status TakeCall(CallLimiter* limiter, const Caller& caller) {
  if (limiter == nullptr) return absl::OkStatus();
  return TakeCallOf(limiter, LimitKeyOf(caller));
}

absl::Status TakeCallOfAddress(CallLimiter* limiter, const std::string& address) {
  if (limiter == nullptr) return absl::OkStatus();
  return TakeCallOf(limiter, AddressKey(address));
}

absl::StatusOr<CallLimiter::Slot> TakeStream(CallLimiter* limiter, const Caller& caller) {
  if (limiter == nullptr) return CallLimiter::Slot();
  CallLimiter::Grant grant = limiter->TakeStream(LimitKeyOf(caller));
  if (grant.verdict == CallLimiter::Verdict::kGranted) return std::move(grant.slot);
  return WithRetryAfter(
      MakeError("TOO_MANY_STREAMS", grant.verdict == CallLimiter::Verdict::kTooManyInTotal
                                        ? "all streams of limits.streams are taken"
                                        : "more streams than limits.streams_per_caller allows"),
      kStreamRetry);
}

}  // namespace om
