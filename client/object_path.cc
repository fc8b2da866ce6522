#include "client/object_path.h"

#include <array>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace om {
namespace {

constexpr std::array<const char*, 6> kKinds = {"svc", "vol", "cfg", "sec", "usr", "ccfg"};
constexpr size_t kMaxPartLength = 63;

bool IsKind(absl::string_view text) {
  for (const char* kind : kKinds) {
    if (text == kind) return true;
  }
  return false;
}

// Letters, digits, hyphens, and dots where they are allowed; a letter first, no hyphen last.
bool IsName(absl::string_view text, bool dots) {
  if (text.empty() || text.size() > kMaxPartLength) return false;
  if (!absl::ascii_isalpha(static_cast<unsigned char>(text.front()))) return false;
  if (!absl::ascii_isalnum(static_cast<unsigned char>(text.back()))) return false;
  for (const char c : text) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-' && !(dots && c == '.')) {
      return false;
    }
  }
  return true;
}

// A name may carry the number of a scaler's slice in front: `3.web`.
absl::string_view WithoutSlice(absl::string_view name) {
  size_t digits = 0;
  while (digits < name.size() && absl::ascii_isdigit(static_cast<unsigned char>(name[digits]))) {
    ++digits;
  }
  if (digits > 0 && digits < name.size() && name[digits] == '.') return name.substr(digits + 1);
  return name;
}

}  // namespace

absl::StatusOr<std::string> CanonicalObjectPath(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '/');
  if (parts.size() > 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("path '", text, "' has ", parts.size(),
                     " parts, expected <name>, <kind>/<name> or <namespace>/<kind>/<name>"));
  }
  const absl::string_view name = parts.back();
  absl::string_view kind = parts.size() > 1 ? parts[parts.size() - 2] : "svc";
  const absl::string_view space = parts.size() > 2 ? parts[0] : "root";
  if (parts.size() == 1 && name == "cluster") kind = "ccfg";
  if (!IsKind(kind)) {
    return absl::InvalidArgumentError(absl::StrCat("path '", text, "' has the kind '", kind,
                                                   "', expected one of ",
                                                   absl::StrJoin(kKinds, ", ")));
  }
  if (!IsName(WithoutSlice(name), /*dots=*/true)) {
    return absl::InvalidArgumentError(
        absl::StrCat("path '", text, "' has the name '", name,
                     "', expected a letter, then letters, digits, '-' and '.', at most ",
                     kMaxPartLength, " in all"));
  }
  if (!IsName(space, /*dots=*/false)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "path '", text, "' has the namespace '", space,
        "', expected a letter, then letters, digits and '-', at most ", kMaxPartLength, " in all"));
  }
  if (kind == "svc" && (name == "node" || name == "auth")) {
    return absl::InvalidArgumentError(absl::StrCat("'", name, "' is not the name of an object"));
  }
  if (space != "root") return absl::StrCat(space, "/", kind, "/", name);
  if (kind == "svc" || kind == "ccfg") return std::string(name);
  return absl::StrCat(kind, "/", name);
}

}  // namespace om
