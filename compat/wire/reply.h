// The forms of replies. Encrypted ones are made from the same text by crypto.h.
#ifndef OM_COMPAT_WIRE_REPLY_H_
#define OM_COMPAT_WIRE_REPLY_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "server/base/json.h"

namespace om {

// {"error": "<error>", "status": <status>}
Json ErrorReply(absl::string_view error, int64_t status = 1);

// The text of a reply, as legacy peers write JSON. What a cache keeps (compressed, for packets).
std::string ReplyText(const Json& reply);

// The bytes of a reply on the clear socket: the text and one NUL, to be written in one go and
// followed by a close, for clients do not take the NUL for the end when it comes with the text.
std::string ClearReply(std::string text);

}  // namespace om

#endif  // OM_COMPAT_WIRE_REPLY_H_
