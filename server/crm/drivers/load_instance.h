// Reads what is known of an object on this node.
#ifndef OM_SERVER_CRM_DRIVERS_LOAD_INSTANCE_H_
#define OM_SERVER_CRM_DRIVERS_LOAD_INSTANCE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/crm/drivers/driver.h"

namespace om {

// OMD_NODENAME if that is set, else the host's name; lower-cased.
std::string LocalNodeName();

// A random UUID, from the kernel.
std::string NewUuid();

struct LoadOptions {
  std::string action;      // What programs get as OPENSVC_ACTION; empty: nothing.
  bool leader = false;     // OPENSVC_LEADER.
  bool is_child = false;   // Keeps the session id of the omcrm that started this one.
  bool read_only = false;  // Leaves an object without an id as it is.
};

struct LoadedObject {
  Instance instance;        // Its log and interrupt are for the caller to set.
  absl::Time config_mtime;  // Of the object's file.
};

// The configurations, and the environment that programs get. An object without an id gets one, from
// whoever loads it first. NOT_FOUND without a configuration file.
absl::StatusOr<LoadedObject> LoadObject(const ObjectPath& path, const Roots& roots,
                                        const std::string& node, const LoadOptions& options);

// Where configurations are read: the cluster, the node's keywords, the process's environment. As
// another node, for `node`, where that is asked for.
absl::StatusOr<EvaluationContext> MakeContext(const ObjectPath& path, const Roots& roots,
                                              const std::string& node);

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_LOAD_INSTANCE_H_
