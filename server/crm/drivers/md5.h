// MD5, for the checksum of status documents only.
#ifndef OM_SERVER_CRM_DRIVERS_MD5_H_
#define OM_SERVER_CRM_DRIVERS_MD5_H_

#include <string>

#include "absl/strings/string_view.h"

namespace om {

// Lower-case hex MD5 (RFC 1321). Not OpenSSL's, because setting up that library for its first
// digest takes omcrm longer than everything else that it does; and nothing here depends on its
// strength.
std::string HexMd5(absl::string_view text);

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_MD5_H_
