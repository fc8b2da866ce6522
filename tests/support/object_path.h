// Object paths as tests write them.
#ifndef OM_TESTS_SUPPORT_OBJECT_PATH_H_
#define OM_TESTS_SUPPORT_OBJECT_PATH_H_

#include <string>

#include "server/config/object_path.h"

namespace om {

// The text must be a path.
inline ObjectPath Path(const std::string& text) { return ObjectPath::Parse(text).value(); }

}  // namespace om

#endif  // OM_TESTS_SUPPORT_OBJECT_PATH_H_
