// The words of a command that a client asked for: what can be a command, and what of it may be
// shown.
#ifndef OM_SERVER_CRM_ACTION_WORDS_H_
#define OM_SERVER_CRM_ACTION_WORDS_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/config/object_path.h"

namespace om {

constexpr size_t kMaxActionWords = 1000;
constexpr size_t kMaxActionBytes = size_t{128} << 10;  // Of all words, each with its final NUL.
constexpr size_t kMaxActionInputBytes = size_t{60} << 10;

// OK for words that a program can be given. INVALID_ARGUMENT, field `command.arguments`, for none,
// too many, too long ones, an empty first one, and those with a NUL in them.
absl::Status CheckActionWords(const std::vector<std::string>& words);

// The words with every value that may be a secret replaced by "***": of keywords, whose names stay
// (`--kw env.x=...`, `--param env.x --value ...`), of `--env`, of options that are passwords by
// their name, and of keys of objects that hold secrets. `path` is the object, unset: the node.
std::vector<std::string> MaskedActionWords(const std::vector<std::string>& words,
                                           const std::optional<ObjectPath>& path);

}  // namespace om

#endif  // OM_SERVER_CRM_ACTION_WORDS_H_
