// The legacy roles: what a user's `grant` keyword says, and the one question asked of it.
#ifndef OM_SERVER_AUTH_GRANTS_H_
#define OM_SERVER_AUTH_GRANTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace om {

enum class Role {
  kAnyone,  // Needs no grant: even a caller about whom nothing is known.
  // Of namespaces, each implying the ones before it.
  kGuest,
  kOperator,
  kAdmin,
  // Of the cluster.
  kRoot,            // Everything.
  kBlacklistAdmin,  // Clears the blacklist.
  kSquatter,        // Makes namespaces and becomes their admin.
  kPrioritizer,     // Sets priorities.
  kHeartbeat,       // Relays heartbeats.
};

// The word of grants and messages: "guest", "blacklistadmin" ...
absl::string_view RoleName(Role role);
// True for guest, operator and admin, which are held on namespaces.
bool IsNamespaceRole(Role role);

// What one caller holds. An immutable value; the empty one holds nothing. THREAD: any.
class Grants {
 public:
  static constexpr size_t kMaxTextBytes = 16 << 10;
  static constexpr size_t kMaxGrants = 256;  // Pairs of a role and a glob, and bare roles.

  Grants() = default;

  // Words separated by white space: a bare cluster role, or `<role>[,<role>...]:<glob>[,<glob>...]`
  // with * ? and [sets]. As in the legacy daemon, roles that are not known are ignored, and so are
  // namespace roles without namespaces and cluster roles with them: they give nothing.
  // INVALID_ARGUMENT for text or a list over the bounds, a word with more than one colon, and globs
  // longer than 63 bytes or with bytes that no namespace has.
  static absl::StatusOr<Grants> Parse(absl::string_view text);

  // Everything: what root on the Unix socket and senders of valid packets hold.
  static Grants Root();

  // Whether `role` is held on the namespace `ns` ("root" or "" is that of bare names). For a
  // cluster role `ns` says nothing. Root holds every role everywhere.
  bool Allows(Role role, absl::string_view ns) const;
  // Whether `role` is held on some namespace of `namespaces`, those that exist.
  bool AllowsAny(Role role, const std::vector<std::string>& namespaces) const;
  // Whether `role` is held on some namespace, existing or not.
  bool AllowsSomewhere(Role role) const;
  // Whether `role` is held on every namespace there can be: by root, or by the glob "*".
  bool AllowsEverywhere(Role role) const;
  // OK, or PERMISSION_DENIED that names role and namespace.
  absl::Status Check(Role role, absl::string_view ns) const;

  // Whether everything that `other` gives is held here too: nobody gives away what he has not.
  // Globs are compared as text, "*" covering all: when in doubt the answer is no.
  bool Covers(const Grants& other) const;

  bool empty() const { return cluster_.empty() && namespaced_.empty(); }
  // A `grant` text that parses to the same; in the order of the roles, each once.
  std::string ToString() const;

 private:
  struct Namespaced {
    Role role;
    std::string glob;
  };
  bool HoldsCluster(Role role) const;

  std::vector<Role> cluster_;
  std::vector<Namespaced> namespaced_;
};

}  // namespace om

#endif  // OM_SERVER_AUTH_GRANTS_H_
