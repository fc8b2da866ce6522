// The name of an object (service, volume, configuration, secret ...) as files, packets and people
// write it.
#ifndef OM_SERVER_CONFIG_OBJECT_PATH_H_
#define OM_SERVER_CONFIG_OBJECT_PATH_H_

#include <ostream>
#include <string>
#include <tuple>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/config/paths.h"

namespace om {

// [<namespace>/<kind>/]<name>. A value: ordered by namespace, kind, name; hashable by absl::Hash.
// THREAD: any.
class ObjectPath {
 public:
  static constexpr size_t kMaxNameBytes = 128;
  static constexpr size_t kMaxNamespaceBytes = 63;

  // No object; only for containers that must make one. Text "".
  ObjectPath() = default;

  // Accepts `name`, `kind/name`, `root/kind/name` and `namespace/kind/name`. Kinds: svc vol cfg sec
  // usr ccfg; a bare name is a svc, except "cluster", the only ccfg. INVALID_ARGUMENT for anything
  // else: nothing that parses can leave its directory when it becomes a file name.
  static absl::StatusOr<ObjectPath> Parse(absl::string_view text);
  // The same, where a text without namespace means one in `ns` ("root" or "" is the root).
  static absl::StatusOr<ObjectPath> ParseRelative(absl::string_view text, absl::string_view ns);

  const std::string& name() const { return name_; }
  // "root" for the root namespace.
  const std::string& ns() const { return ns_; }
  const std::string& kind() const { return kind_; }
  bool in_root() const { return ns_ == "root"; }
  // Has instances to orchestrate: svc and vol.
  bool is_service() const { return kind_ == "svc" || kind_ == "vol"; }
  bool empty() const { return name_.empty(); }

  // Canonical: the bare name (svc and ccfg of the root), `kind/name` (others of the root), else all
  // three parts.
  std::string ToString() const;
  // <name>.<namespace or root>.<kind>.<cluster name>
  std::string Fqdn(absl::string_view cluster_name) const;
  // Name without the leading "<n>." of a scaler's slice.
  absl::string_view ScalerName() const;

  std::string ConfigFile(const Roots& roots) const;
  std::string StateDir(const Roots& roots) const;
  std::string LogFile(const Roots& roots) const;
  // Directory of launcher scripts given by a relative name.
  std::string ScriptDir(const Roots& roots) const;

  friend bool operator==(const ObjectPath& a, const ObjectPath& b) { return a.Key() == b.Key(); }
  friend bool operator!=(const ObjectPath& a, const ObjectPath& b) { return !(a == b); }
  friend bool operator<(const ObjectPath& a, const ObjectPath& b) { return a.Key() < b.Key(); }
  template <typename H>
  friend H AbslHashValue(H state, const ObjectPath& path) {
    return H::combine(std::move(state), path.ns_, path.kind_, path.name_);
  }
  friend std::ostream& operator<<(std::ostream& out, const ObjectPath& path) {
    return out << path.ToString();
  }

 private:
  ObjectPath(std::string ns, std::string kind, std::string name)
      : ns_(std::move(ns)), kind_(std::move(kind)), name_(std::move(name)) {}
  std::tuple<const std::string&, const std::string&, const std::string&> Key() const {
    return {ns_, kind_, name_};
  }
  // Path below a root: "" extension for directories.
  std::string Below(absl::string_view root, absl::string_view extension) const;

  std::string ns_;
  std::string kind_;
  std::string name_;
};

}  // namespace om

#endif  // OM_SERVER_CONFIG_OBJECT_PATH_H_
