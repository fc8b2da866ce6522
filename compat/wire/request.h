// The text of a request, from the clear socket or out of an opened packet, as a typed message.
#ifndef OM_COMPAT_WIRE_REQUEST_H_
#define OM_COMPAT_WIRE_REQUEST_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/base/json.h"

namespace om {

// A well-formed request. Whether the action exists is not looked at here.
struct LegacyRequest {
  std::string action;             // Without leading slashes: newer clients send some.
  Json options = Json::object();  // Always an object; empty when absent.
  Json node;                      // Null when absent or empty; else a string or a list of strings.
  std::string method;             // "GET", "POST" ...; empty when absent, as from older clients.
  bool multiplexed = false;       // Already spread over nodes by the daemon that sent it.
};

// What a text came to.
struct ParsedRequest {
  enum class Outcome {
    kRequest,  // `request` is set.
    kNothing,  // JSON null: close without a reply.
    kRefused,  // Send `refusal` and close.
  };
  Outcome outcome = Outcome::kNothing;
  LegacyRequest request;
  Json refusal;
};

// Reads the text of a request. Bytes that are not valid UTF-8 are dropped first; unknown keys are
// ignored. Refusals have the texts that legacy clients know where they know one, else name the
// thing, what was met and what was expected; values are not repeated, they may be secret.
// THREAD: any.
ParsedRequest ParseRequest(absl::string_view text);

// The object path among the options: the first of `svcpath`, `svcname`, `path` that is set, that is
// neither missing nor null nor empty; an empty string if none is. INVALID_ARGUMENT, with the field,
// if that one is no string. The path itself is not checked.
absl::StatusOr<std::string> ObjectPathOption(const Json& options);

}  // namespace om

#endif  // OM_COMPAT_WIRE_REQUEST_H_
