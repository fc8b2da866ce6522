#include "server/crm/drivers/driver.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace om {
namespace {

// Stands for what omcrm cannot drive, so that the rest of the instance still shows.
class UnsupportedDriver final : public ResourceDriver {
 public:
  using ResourceDriver::ResourceDriver;
  std::string Type() const override {
    return resource().type.empty() ? resource().group
                                   : absl::StrCat(resource().group, ".", resource().type);
  }
  std::string Label() const override { return Type(); }
  absl::StatusOr<bool> Start() override { return Refusal(); }
  absl::Status Stop() override { return Refusal(); }
  absl::StatusOr<Availability> Status(StatusLog*) override { return Refusal(); }

 private:
  absl::Status Refusal() const {
    return absl::UnimplementedError(
        absl::StrCat("driver \"", Type(),
                     "\" is not one of omcrm's; set crm.command of node.conf to a resource manager "
                     "that has it"));
  }
};

struct Entry {
  absl::string_view group;
  absl::string_view type;
  DriverMaker maker;
};
// The default type of a group comes filled in; an empty one here is a group without types.
constexpr Entry kDrivers[] = {
    {"app", "forking", &MakeForkingApp},
    {"app", "", &MakeForkingApp},
    {"app", "simple", &MakeSimpleApp},
    {"fs", "directory", &MakeDirectory},
    {"fs", "flag", &MakeFlag},
    {"ip", "host", &MakeHostAddress},
    {"container", "docker", &MakeDocker},
    {"container", "podman", &MakePodman},
    {"task", "", &MakeTask},
    {"task", "host", &MakeTask},
    {"sync", "", &MakeSync},
    {"sync", "rsync", &MakeSync},
};

}  // namespace

std::unique_ptr<ResourceDriver> MakeDriver(const Instance* instance,
                                           const ResourceSettings* resource) {
  for (const Entry& entry : kDrivers) {
    if (entry.group == resource->group && entry.type == resource->type) {
      return entry.maker(instance, resource);
    }
  }
  return std::make_unique<UnsupportedDriver>(instance, resource);
}

}  // namespace om
