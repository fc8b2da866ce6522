// Which objects this node has configurations of.
#ifndef OM_SERVER_CRM_INVENTORY_LOADER_H_
#define OM_SERVER_CRM_INVENTORY_LOADER_H_

#include <map>
#include <memory>
#include <string>

#include "server/base/loop.h"
#include "server/config/paths.h"
#include "server/core/ports.h"

namespace om {

// Lists the configuration files of the node: <etc>/*.conf but node.conf, <etc>/<kind>/*.conf,
// <etc>/namespaces/*/*/*.conf. A file whose name is no object's is left out. One that cannot be
// read or evaluated is listed with an error; the node files' last good state is kept for evaluating
// the others. What has not changed costs a stat. THREAD: any; works and answers on the executor,
// one listing at a time, or, when that is full, answers at once with RESOURCE_EXHAUSTED.
class InventoryLoader final : public InventoryPort {
 public:
  static constexpr size_t kMaxObjects = 100'000;  // More are RESOURCE_EXHAUSTED.

  // `workers` is borrowed and must outlive this object; it may block. `nodename` is the local node.
  // Of `unchanged_in_a_row` listings that find nothing new, in a row, only the last says
  // everything.
  InventoryLoader(Executor* workers, Roots roots, std::string nodename, int unchanged_in_a_row = 0);
  ~InventoryLoader() override;

  void List(Done<absl::StatusOr<Inventory>> done) override;
  void SayEverything() override;
  // The same as List(), here and now. Blocks on disk.
  absl::StatusOr<Inventory> ListNow();

 private:
  struct State;

  Executor* const workers_;  // Not owned.
  const std::shared_ptr<State> state_;
};

}  // namespace om

#endif  // OM_SERVER_CRM_INVENTORY_LOADER_H_
