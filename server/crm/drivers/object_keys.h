// Values kept in cfg and sec objects, for programs that need them.
#ifndef OM_SERVER_CRM_DRIVERS_OBJECT_KEYS_H_
#define OM_SERVER_CRM_DRIVERS_OBJECT_KEYS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/crm/drivers/driver.h"

namespace om {

// The value that a text of a [data] section stands for: `literal:<text>`, `base64:<text>`, the text
// itself, or `crypt:<text>`, which is the base64 text of a packet sealed with the secret of the
// cluster (and read with its first 32 bytes). Pure. UNAUTHENTICATED for what cannot be opened; no
// message repeats any of it.
absl::StatusOr<std::string> DecodeObjectValue(absl::string_view text,
                                              absl::string_view cluster_secret);

// The value of `reference`, "<name>/<key>" or "<name>/<key with slashes>", of an object of that
// kind ("cfg" or "sec") in the namespace of the instance. Reads files. NOT_FOUND names object and
// key. The answer may be a secret.
absl::StatusOr<std::string> ReadObjectKey(const Instance& instance, absl::string_view kind,
                                          absl::string_view reference);

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_OBJECT_KEYS_H_
