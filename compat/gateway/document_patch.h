// How one JSON document became another, in the form that legacy peers exchange.
#ifndef OM_COMPAT_GATEWAY_DOCUMENT_PATCH_H_
#define OM_COMPAT_GATEWAY_DOCUMENT_PATCH_H_

#include "server/base/json.h"

namespace om {

// Adds to `stanzas`, a list, what makes `to` of `from`: `[[key, ...], value]` sets, `[[key, ...]]`
// removes, keys are names or indexes. `path` is put in front of each. Compares deeper while both
// sides are containers of one type and not empty; what else differs is replaced whole. Items at the
// end of a list go highest index first. Pure.
void AppendPatch(const Json& path, const Json& from, const Json& to, Json* stanzas);

// `document` after `stanzas`; what cannot be applied is left out. For tests and tools.
Json ApplyPatch(Json document, const Json& stanzas);

}  // namespace om

#endif  // OM_COMPAT_GATEWAY_DOCUMENT_PATCH_H_
