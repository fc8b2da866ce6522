// What every kind of resource implements: one class, one file a driver.
#ifndef OM_SERVER_CRM_DRIVERS_DRIVER_H_
#define OM_SERVER_CRM_DRIVERS_DRIVER_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "server/config/settings.h"
#include "server/crm/drivers/instance_log.h"
#include "server/crm/drivers/interrupt.h"
#include "server/crm/drivers/status_document.h"

namespace om {

// One instance that a command works on: its configuration as it applies here, and what drivers need
// of the world. Confined to omcrm's one thread.
struct Instance {
  ObjectSettings settings;
  Roots roots;
  std::string node;
  std::string node_env;                  // `node.env`.
  std::vector<std::string> environment;  // What programs get, but for what is a resource's own.
  // What omcrm itself gets when it is started again for a part of the action.
  std::vector<std::string> own_environment;
  std::string action;              // "start"; empty in a plain status.
  InstanceLog* log = nullptr;      // Not owned.
  Interrupt* interrupt = nullptr;  // Not owned.

  std::string StateDir() const { return settings.path.StateDir(roots); }
  std::string ResourceDir(const std::string& rid) const { return StateDir() + "/" + rid; }
};

// One resource of an instance. Made for one command and used by one thread. Nothing here decides
// whether an action applies (disabled, standby, filtered out, triggers): the action does.
class ResourceDriver {
 public:
  // Both are borrowed and must outlive this object.
  ResourceDriver(const Instance* instance, const ResourceSettings* resource)
      : instance_(instance), resource_(resource) {}
  virtual ~ResourceDriver() = default;

  // As status.json has it: "app.forking".
  virtual std::string Type() const = 0;
  // What tells it from its like, for people.
  virtual std::string Label() const = 0;
  // Orders resources within a set; stops go the other way.
  virtual std::string SortKey() const { return resource_->rid; }

  // Brings it up. False: it was up already, so a rollback need not stop it.
  virtual absl::StatusOr<bool> Start() = 0;
  // Brings it down. OK means that it is down, or that there is nothing that could tell.
  virtual absl::Status Stop() = 0;
  // Its state now, without the mapping of standby resources. What is worth telling goes to `log`; a
  // warn or error line shows in the instance's overall state. An error is the state undef.
  virtual absl::StatusOr<Availability> Status(StatusLog* log) = 0;
  // Cleans up after a reboot.
  virtual absl::Status Boot() { return absl::OkStatus(); }
  // Makes what a start needs to find; a start follows, from the action. Idempotent.
  virtual absl::Status Provision() { return absl::OkStatus(); }
  // Removes what Provision() made; a stop came before. What is not there is no error.
  virtual absl::Status Unprovision() { return absl::OkStatus(); }
  // Does the work of a task. UNIMPLEMENTED of other kinds of resources.
  virtual absl::Status Run() {
    return absl::UnimplementedError(absl::StrCat("a resource of type ", Type(), " is no task"));
  }
  // What it tells of itself: keys and values. Most tell nothing.
  virtual absl::StatusOr<std::vector<std::pair<std::string, std::string>>> Info() {
    return std::vector<std::pair<std::string, std::string>>();
  }
  // Whether it exists, for drivers that can tell; else the flag file says it.
  virtual std::optional<bool> Provisioned() { return std::nullopt; }
  // Whether it can only be evaluated on an instance whose addresses, disks and file systems are up.
  virtual bool NeedsHostResources() const { return false; }

 protected:
  const Instance& instance() const { return *instance_; }
  const ResourceSettings& resource() const { return *resource_; }
  void Log(InstanceLog::Level level, absl::string_view text) const {
    instance_->log->Write(resource_->rid, level, text);
  }

 private:
  const Instance* const instance_;          // Not owned.
  const ResourceSettings* const resource_;  // Not owned.
};

// The driver of that resource. One that omcrm does not have is a driver whose state is undef and
// whose actions say UNIMPLEMENTED, naming `crm.command`; so is one whose keywords cannot be used.
std::unique_ptr<ResourceDriver> MakeDriver(const Instance* instance,
                                           const ResourceSettings* resource);

// The drivers' own makers, one a file; driver.cc has the table.
using DriverMaker = std::unique_ptr<ResourceDriver> (*)(const Instance*, const ResourceSettings*);
std::unique_ptr<ResourceDriver> MakeForkingApp(const Instance*, const ResourceSettings*);
std::unique_ptr<ResourceDriver> MakeSimpleApp(const Instance*, const ResourceSettings*);
std::unique_ptr<ResourceDriver> MakeDirectory(const Instance*, const ResourceSettings*);
std::unique_ptr<ResourceDriver> MakeTask(const Instance*, const ResourceSettings*);
std::unique_ptr<ResourceDriver> MakeFlag(const Instance*, const ResourceSettings*);
std::unique_ptr<ResourceDriver> MakeHostAddress(const Instance*, const ResourceSettings*);
std::unique_ptr<ResourceDriver> MakeDocker(const Instance*, const ResourceSettings*);
std::unique_ptr<ResourceDriver> MakePodman(const Instance*, const ResourceSettings*);
std::unique_ptr<ResourceDriver> MakeSync(const Instance*, const ResourceSettings*);

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_DRIVER_H_
