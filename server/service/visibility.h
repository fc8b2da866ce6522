// What of the state a caller is shown: the objects of the namespaces on which it holds guest, and
// nothing from which others could be told. Nodes, threads, orders to nodes, the blacklist are facts
// of the cluster: everyone who may ask sees them.
#ifndef OM_SERVER_SERVICE_VISIBILITY_H_
#define OM_SERVER_SERVICE_VISIBILITY_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "server/core/order_table.h"
#include "server/service/caller.h"
#include "server/service/convert.h"
#include "server/state/snapshot.h"

namespace om {

// A value. THREAD: any.
class Visibility {
 public:
  static Visibility Everything() { return Visibility(); }
  // Of a caller that the operation's row has let through.
  explicit Visibility(const Caller& caller)
      : everything_(caller.HoldsEverywhere(Role::kGuest)), grants_(caller.grants) {}

  bool everything() const { return everything_; }
  bool Sees(absl::string_view ns) const { return everything_ || grants_.Allows(Role::kGuest, ns); }
  bool Sees(const ObjectPath& path) const { return Sees(path.ns()); }
  // What is about no object is for everyone.
  bool Sees(const Event& event) const { return !event.path.has_value() || Sees(*event.path); }

  // `text`, about an object of namespace `ns`; fixed words instead if it names an object that is
  // not seen: that would tell that there is one, and its state.
  std::string Shown(const std::string& text, absl::string_view ns) const;

  // As those of convert.h. Texts that may name any object are left out unless everything is seen:
  // alerts, errors of threads. Counts are of what is seen.
  control::v1::DaemonStatus ShowDaemon(const DaemonFacts& facts, const Snapshot& snapshot) const;
  control::v1::ClusterStatus ShowCluster(const Snapshot& snapshot) const;
  control::v1::ThreadStatus ShowThread(const ThreadStatus& thread, const Snapshot& snapshot) const;
  // Its parts, steps and nodes that are seen. nullopt: the order is for an object that is not.
  std::optional<control::v1::Order> ShowOrder(const OrderProgress& order) const;

 private:
  Visibility() : everything_(true) {}

  bool everything_;
  Grants grants_;  // Looked at unless everything is seen.
};

}  // namespace om

#endif  // OM_SERVER_SERVICE_VISIBILITY_H_
