// The clear wrapping of an encrypted packet: who claims to have sent it, to which cluster, and the
// two base64 texts that crypto.h opens.
#ifndef OM_COMPAT_WIRE_ENVELOPE_H_
#define OM_COMPAT_WIRE_ENVELOPE_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace om {

// The cluster name under which nodes that are no members yet send their requests.
inline constexpr char kJoinClusterName[] = "join";

// Nothing in it is authenticated, unless there is a MAC and CheckMac() of crypto.h has passed it:
// the names are claims.
struct Envelope {
  std::string clustername;  // To be compared exactly, case included.
  std::string nodename;     // May be empty or any text.
  std::string iv;           // Base64 text, not decoded.
  std::string data;         // Base64 text, not decoded.
  // The member `hmac`, which old agents neither send nor look at. One that is no string is here as
  // an empty text, which is no MAC of anything. Unset: there is none.
  std::optional<std::string> hmac = std::nullopt;
};

// First stage of the validation of a packet: its form. Whatever fails here is *ignored*, never
// counted against the sender: port scanners and strangers send it. The stages that follow, in this
// order, are the caller's: cluster name, sender, blacklist; then OpenPacket() of crypto.h, whose
// failures *are* counted.
//
// The first four fields must be there and be strings; unknown keys are ignored. INVALID_ARGUMENT
// carries one of these reasons: ENVELOPE_NOT_JSON, ENVELOPE_NOT_AN_OBJECT, ENVELOPE_FIELD. THREAD:
// any.
absl::StatusOr<Envelope> ParseEnvelope(absl::string_view text);

}  // namespace om

#endif  // OM_COMPAT_WIRE_ENVELOPE_H_
