#include "server/auth/grants.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "server/base/status.h"

namespace om {
namespace {

constexpr size_t kMaxGlobBytes = 63;

struct RoleRow {
  Role role;
  absl::string_view name;
};
constexpr std::array<RoleRow, 8> kRoles = {{{Role::kGuest, "guest"},
                                            {Role::kOperator, "operator"},
                                            {Role::kAdmin, "admin"},
                                            {Role::kRoot, "root"},
                                            {Role::kBlacklistAdmin, "blacklistadmin"},
                                            {Role::kSquatter, "squatter"},
                                            {Role::kPrioritizer, "prioritizer"},
                                            {Role::kHeartbeat, "heartbeat"}}};

std::optional<Role> RoleOf(absl::string_view word) {
  for (const RoleRow& row : kRoles) {
    if (row.name == word) return row.role;
  }
  return std::nullopt;
}

// Whether the set that starts at `glob[0]`, a '[', holds `c`; `*used` becomes its length, 0 if it
// is not closed and '[' stands for itself.
bool SetHolds(absl::string_view glob, char c, size_t* used) {
  size_t at = 1;
  const bool inverted = at < glob.size() && glob[at] == '!';
  if (inverted) ++at;
  const size_t close = glob.find(']', at + 1);
  if (close == absl::string_view::npos) {
    *used = 0;
    return false;
  }
  bool found = false;
  while (at < close) {
    if (at + 2 < close && glob[at + 1] == '-') {
      if (glob[at] <= c && c <= glob[at + 2]) found = true;
      at += 3;
    } else {
      if (glob[at] == c) found = true;
      ++at;
    }
  }
  *used = close + 1;
  return found != inverted;
}

// Takes time of the order of the product of the lengths at worst, whatever the glob.
bool GlobMatches(absl::string_view glob, absl::string_view text) {
  size_t g = 0;
  size_t t = 0;
  size_t star = absl::string_view::npos;
  size_t resume = 0;
  while (t < text.size()) {
    size_t used = 0;
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      resume = t;
      continue;
    }
    if (g < glob.size()) {
      if (glob[g] == '?') {
        used = 1;
      } else if (glob[g] == '[') {
        const bool holds = SetHolds(glob.substr(g), text[t], &used);
        if (used == 0 && text[t] == '[') {
          used = 1;
        } else if (!holds) {
          used = 0;
        }
      } else if (glob[g] == text[t]) {
        used = 1;
      }
    }
    if (used > 0) {
      g += used;
      ++t;
    } else if (star != absl::string_view::npos) {
      g = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

absl::Status CheckGlob(absl::string_view glob) {
  const bool known = std::all_of(glob.begin(), glob.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           absl::StrContains("-_.*?[]!", absl::string_view(&c, 1));
  });
  if (known && glob.size() <= kMaxGlobBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("namespace glob \"", absl::CHexEscape(glob.substr(0, kMaxGlobBytes)),
                   "\" is not up to ", kMaxGlobBytes, " letters, digits and -_.*?[]!"));
}

}  // namespace

absl::string_view RoleName(Role role) {
  if (role == Role::kAnyone) return "anyone";
  for (const RoleRow& row : kRoles) {
    if (row.role == role) return row.name;
  }
  return "unknown";
}

bool IsNamespaceRole(Role role) { return role >= Role::kGuest && role <= Role::kAdmin; }

Grants Grants::Root() {
  Grants grants;
  grants.cluster_.push_back(Role::kRoot);
  return grants;
}

absl::StatusOr<Grants> Grants::Parse(absl::string_view text) {
  if (text.size() > kMaxTextBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a grant of ", text.size(), " bytes is longer than ", kMaxTextBytes));
  }
  Grants grants;
  size_t count = 0;
  for (const absl::string_view word :
       absl::StrSplit(text, absl::ByAnyChar(" \t\r\n\v\f"), absl::SkipEmpty())) {
    const std::vector<absl::string_view> parts = absl::StrSplit(word, ':');
    if (parts.size() > 2) {
      return absl::InvalidArgumentError(
          absl::StrCat("grant \"", absl::CHexEscape(word.substr(0, kMaxGlobBytes)),
                       "\" has more than one colon; expected role or roles:namespaces"));
    }
    for (const absl::string_view name : absl::StrSplit(parts[0], ',', absl::SkipEmpty())) {
      const std::optional<Role> role = RoleOf(name);
      if (parts.size() == 1) {
        if (!role.has_value() || IsNamespaceRole(*role)) continue;
        if (++count > kMaxGrants) break;
        if (!grants.HoldsCluster(*role)) grants.cluster_.push_back(*role);
        continue;
      }
      for (const absl::string_view glob : absl::StrSplit(parts[1], ',', absl::SkipEmpty())) {
        RETURN_IF_ERROR(CheckGlob(glob));
        if (!role.has_value() || !IsNamespaceRole(*role)) continue;
        if (++count > kMaxGrants) break;
        grants.namespaced_.push_back({*role, std::string(glob)});
      }
    }
    if (count > kMaxGrants) {
      return absl::InvalidArgumentError(
          absl::StrCat("a grant gives more than ", kMaxGrants, " roles"));
    }
  }
  return grants;
}

bool Grants::HoldsCluster(Role role) const {
  if (role == Role::kAnyone) return true;
  return std::any_of(cluster_.begin(), cluster_.end(),
                     [&](Role held) { return held == role || held == Role::kRoot; });
}

bool Grants::Allows(Role role, absl::string_view ns) const {
  if (HoldsCluster(role)) return true;
  if (!IsNamespaceRole(role)) return false;
  const absl::string_view name = ns.empty() ? "root" : ns;
  return std::any_of(namespaced_.begin(), namespaced_.end(), [&](const Namespaced& held) {
    return held.role >= role && GlobMatches(held.glob, name);
  });
}

bool Grants::AllowsAny(Role role, const std::vector<std::string>& namespaces) const {
  if (HoldsCluster(role)) return true;
  return std::any_of(namespaces.begin(), namespaces.end(),
                     [&](const std::string& ns) { return Allows(role, ns); });
}

bool Grants::AllowsSomewhere(Role role) const {
  if (HoldsCluster(role)) return true;
  return IsNamespaceRole(role) &&
         std::any_of(namespaced_.begin(), namespaced_.end(),
                     [&](const Namespaced& held) { return held.role >= role; });
}

bool Grants::AllowsEverywhere(Role role) const {
  if (HoldsCluster(role)) return true;
  return IsNamespaceRole(role) &&
         std::any_of(namespaced_.begin(), namespaced_.end(),
                     [&](const Namespaced& held) { return held.role >= role && held.glob == "*"; });
}

absl::Status Grants::Check(Role role, absl::string_view ns) const {
  if (Allows(role, ns)) return absl::OkStatus();
  if (!IsNamespaceRole(role)) {
    return absl::PermissionDeniedError(absl::StrCat("needs the role ", RoleName(role)));
  }
  return absl::PermissionDeniedError(absl::StrCat("needs the role ", RoleName(role),
                                                  " on the namespace ", ns.empty() ? "root" : ns));
}

bool Grants::Covers(const Grants& other) const {
  if (HoldsCluster(Role::kRoot)) return true;
  return std::all_of(other.cluster_.begin(), other.cluster_.end(),
                     [&](Role role) { return HoldsCluster(role); }) &&
         std::all_of(other.namespaced_.begin(), other.namespaced_.end(),
                     [&](const Namespaced& wanted) {
                       return std::any_of(namespaced_.begin(), namespaced_.end(),
                                          [&](const Namespaced& held) {
                                            return held.role >= wanted.role &&
                                                   (held.glob == "*" || held.glob == wanted.glob);
                                          });
                     });
}

std::string Grants::ToString() const {
  std::vector<std::string> words;
  for (const RoleRow& row : kRoles) {
    if (std::find(cluster_.begin(), cluster_.end(), row.role) != cluster_.end()) {
      words.emplace_back(row.name);
    }
    std::vector<std::string> globs;
    for (const Namespaced& held : namespaced_) {
      if (held.role != row.role) continue;
      if (std::find(globs.begin(), globs.end(), held.glob) == globs.end()) {
        globs.push_back(held.glob);
      }
    }
    if (!globs.empty()) words.push_back(absl::StrCat(row.name, ":", absl::StrJoin(globs, ",")));
  }
  return absl::StrJoin(words, " ");
}

}  // namespace om
