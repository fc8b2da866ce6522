// The two text encodings of the legacy wire, with the leniency of its decoders.
// Pure functions. THREAD: any.
#ifndef OM_COMPAT_WIRE_ENCODING_H_
#define OM_COMPAT_WIRE_ENCODING_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace om {

// `bytes` without those that are not part of a valid UTF-8 sequence (overlong forms, surrogates and
// code points past U+10FFFF are invalid). What is left is valid UTF-8.
std::string DropInvalidUtf8(std::string bytes);

// URL-safe base64 (RFC 4648, 5) with padding: what legacy senders write.
std::string EncodeBase64(absl::string_view bytes);
// The same at the end of `out`, which must not hold `bytes`.
void AppendBase64(absl::string_view bytes, std::string* out);

// Reads base64 as legacy receivers do: both alphabets, mixed or not; foreign characters are
// skipped; everything after complete padding is ignored, and so is padding where none is due.
// Nothing if padding is missing or a lone character is left over.
std::optional<std::string> DecodeBase64(absl::string_view text);

}  // namespace om

#endif  // OM_COMPAT_WIRE_ENCODING_H_
