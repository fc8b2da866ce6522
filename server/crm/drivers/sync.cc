// sync: copies to other nodes. omcrm makes none, so there is nothing to tell of them.
#include "server/crm/drivers/driver.h"

namespace om {
namespace {

class Sync final : public ResourceDriver {
 public:
  using ResourceDriver::ResourceDriver;
  std::string Type() const override { return "sync.rsync"; }
  std::string Label() const override {
    // The one that every service of several nodes has without a section of its own.
    return resource().rid == "sync#i0" ? "rsync svc config to nodes" : "rsync";
  }
  absl::StatusOr<bool> Start() override { return false; }
  absl::Status Stop() override { return absl::OkStatus(); }
  absl::StatusOr<Availability> Status(StatusLog*) override { return Availability::kNa; }
};

}  // namespace

std::unique_ptr<ResourceDriver> MakeSync(const Instance* instance,
                                         const ResourceSettings* resource) {
  return std::make_unique<Sync>(instance, resource);
}

}  // namespace om
