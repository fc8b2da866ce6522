// The keywords of a container as words of docker's and podman's command line, which are alike.
#ifndef OM_SERVER_CRM_DRIVERS_CONTAINER_ARGUMENTS_H_
#define OM_SERVER_CRM_DRIVERS_CONTAINER_ARGUMENTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/crm/drivers/driver.h"
#include "server/crm/drivers/execution.h"

namespace om {

// The label by which a container is known to belong to a resource.
inline constexpr char kContainerIdLabel[] = "com.opensvc.id";
std::string ContainerId(const Instance& instance, const ResourceSettings& resource);

// `name`, or `[<namespace>..]<service>.container.<index>`. INVALID_ARGUMENT for a name that the
// programs would take for something else.
absl::StatusOr<std::string> ContainerName(const Instance& instance,
                                          const ResourceSettings& resource);

struct RunArguments {
  // What follows the program's name, from "run" on.
  std::vector<std::string> words;
  // For the environment of the program itself: values that are not to be seen on a command line.
  std::vector<Variable> variables;
  bool detach = true;
  bool remove = false;  // It is removed when it stops.
};

// How the resource's container is run. INVALID_ARGUMENT names keyword and word; UNIMPLEMENTED for
// mounts of volume objects.
absl::StatusOr<RunArguments> MakeRunArguments(const Instance& instance,
                                              const ResourceSettings& resource);

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_CONTAINER_ARGUMENTS_H_
