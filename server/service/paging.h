// What all lists do alike.
#ifndef OM_SERVER_SERVICE_PAGING_H_
#define OM_SERVER_SERVICE_PAGING_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/service/errors.h"

namespace om {

// Answers stay below what every client accepts (4 MiB by default), whatever the page size: a page
// ends with the entry that brings it here.
constexpr size_t kMaxPageBytes = 1 << 20;

// Most entries in a list's answers.
struct PageSizes {
  int usual;  // If the request names none.
  int most;
};

// How many entries a request asks for. INVALID_ARGUMENT, with the field, if it is out of range.
inline absl::StatusOr<size_t> PageSizeOf(int asked, PageSizes sizes) {
  if (asked < 0 || asked > sizes.most) {
    return WithField(absl::InvalidArgumentError(
                         absl::StrCat("page_size is ", asked, "; expected 0 to ", sizes.most)),
                     "page_size");
  }
  return static_cast<size_t>(asked == 0 ? sizes.usual : asked);
}

// For a token that does not say where to go on.
inline absl::Status BadPageToken() {
  return WithField(MakeError("INVALID_PAGE_TOKEN", "page_token was not given by this daemon"),
                   "page_token");
}

}  // namespace om

#endif  // OM_SERVER_SERVICE_PAGING_H_
